/* Gaussian numbers by inversion of the normal distribution: Wichura, algorithm AS 241 (PPND16),
 * relative accuracy 1e-16. libm's log is not the same on every C library, hence the one here. */
#include "gauss.h"
#include <math.h>
#include <string.h>

static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* ln x for normal x > 0: x = m 2^e with m in [sqrt 1/2, sqrt 2), ln m = 2 atanh((m-1)/(m+1)). */
static double log_exact(double x)
{
    uint64_t bits;
    double m, s, s2, sum = 0;
    int e;
    memcpy(&bits, &x, sizeof bits);
    e = (int)(bits >> 52) - 1023;
    bits = (bits & 0xfffffffffffffu) | 0x3ff0000000000000u;
    memcpy(&m, &bits, sizeof m);
    if (m > 1.4142135623730951) {
        m *= 0.5;
        e++;
    }
    s = (m - 1) / (m + 1); /* |s| <= 0.1716: s^23 / 23 < 2^-60 */
    s2 = s * s;
    for (int k = 21; k >= 1; k -= 2)
        sum = sum * s2 + 1.0 / k;
    return 2 * s * sum + e * 0.6931471805599453;
}

static double polynomial(const double c[8], double r)
{
    double sum = c[7];
    for (int i = 6; i >= 0; i--)
        sum = sum * r + c[i];
    return sum;
}

/* Quantile of the normal distribution at 0 < p < 1. */
static double normal_quantile(double p)
{
    static const double a[8] = {3.3871328727963666080e0,  1.3314166789178437745e+2,
                                1.9715909503065514427e+3, 1.3731693765509461125e+4,
                                4.5921953931549871457e+4, 6.7265770927008700853e+4,
                                3.3430575583588128105e+4, 2.5090809287301226727e+3};
    static const double b[8] = {1.0,
                                4.2313330701600911252e+1,
                                6.8718700749205790830e+2,
                                5.3941960214247511077e+3,
                                2.1213794301586595867e+4,
                                3.9307895800092710610e+4,
                                2.8729085735721942674e+4,
                                5.2264952788528545610e+3};
    static const double c[8] = {1.42343711074968357734e0,  4.63033784615654529590e0,
                                5.76949722146069140550e0,  3.64784832476320460504e0,
                                1.27045825245236838258e0,  2.41780725177450611770e-1,
                                2.27238449892691845833e-2, 7.74545014278341407640e-4};
    static const double d[8] = {1.0,
                                2.05319162663775882187e0,
                                1.67638483018380384940e0,
                                6.89767334985100004550e-1,
                                1.48103976427480074590e-1,
                                1.51986665636164571966e-2,
                                5.47593808499534494600e-4,
                                1.05075007164441684324e-9};
    static const double e[8] = {6.65790464350110377720e0,  5.46378491116411436990e0,
                                1.78482653991729133580e0,  2.96560571828504891230e-1,
                                2.65321895265761230930e-2, 1.24266094738807843860e-3,
                                2.71155556874348757815e-5, 2.01033439929228813265e-7};
    static const double f[8] = {1.0,
                                5.99832206555887937690e-1,
                                1.36929880922735805310e-1,
                                1.48753612908506148525e-2,
                                7.86869131145613259100e-4,
                                1.84631831751005468180e-5,
                                1.42151175831644588870e-7,
                                2.04426310338993978564e-15};
    double q = p - 0.5, r, v;
    if (fabs(q) <= 0.425) {
        r = 0.180625 - q * q;
        return q * polynomial(a, r) / polynomial(b, r);
    }
    r = sqrt(-log_exact(q < 0 ? p : 1 - p));
    v = r <= 5 ? polynomial(c, r - 1.6) / polynomial(d, r - 1.6)
               : polynomial(e, r - 5) / polynomial(f, r - 5);
    return q < 0 ? -v : v;
}

void mdl_gauss_fill(float *dst, size_t count, double std, uint64_t seed, const char *stream)
{
    uint64_t key = 0xcbf29ce484222325u; /* FNV-1a of the name */
    for (const char *s = stream; *s; s++)
        key = (key ^ (uint8_t)*s) * 0x100000001b3u;
    key = mix(key ^ mix(seed + 0x9e3779b97f4a7c15u));
    for (size_t i = 0; i < count; i++) {
        uint64_t r = mix(key + (uint64_t)(i + 1) * 0x9e3779b97f4a7c15u);
        /* The middle of one of 2^52 equal parts of (0,1): never 0 or 1, and 1 - p is exact. */
        double p = ((double)(r >> 12) + 0.5) * 0x1p-52;
        dst[i] = (float)(std * normal_quantile(p));
    }
}
