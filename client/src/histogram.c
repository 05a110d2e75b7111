#include "histogram.h"

#include <math.h>

#define EXACT 256 /* microseconds below this have a bucket each */
#define STEPS 128 /* buckets of a doubling above */

static size_t bucket_of(double seconds)
{
    double us = seconds > 0 ? floor(seconds * 1e6) : 0;
    uint64_t n;
    unsigned shift = 0;

    if (us >= 0x1p37)
        return CLI_HISTOGRAM_BUCKETS - 1;
    n = (uint64_t)us;
    while (n >> shift >= EXACT)
        shift++;
    return shift == 0 ? (size_t)n : EXACT + (shift - 1) * STEPS + (size_t)(n >> shift) - STEPS;
}

/* The first time beyond bucket i. */
static double end_of(size_t i)
{
    if (i < EXACT)
        return (double)(i + 1) * 1e-6;
    return ldexp((double)((i - EXACT) % STEPS + STEPS + 1), (int)((i - EXACT) / STEPS) + 1) * 1e-6;
}

void cli_histogram_add(cli_histogram *h, double seconds)
{
    double t = seconds > 0 ? seconds : 0;

    h->count++;
    h->sum += t;
    h->max = fmax(h->max, t);
    h->buckets[bucket_of(t)]++;
}

double cli_histogram_quantile(const cli_histogram *h, double q)
{
    double wanted = fmax(ceil(q * (double)h->count), 1);
    uint64_t seen = 0;

    for (size_t i = 0; i < CLI_HISTOGRAM_BUCKETS && h->count; i++) {
        seen += h->buckets[i];
        if ((double)seen >= wanted && i < CLI_HISTOGRAM_BUCKETS - 1)
            return fmin(end_of(i), h->max);
    }
    return h->max;
}

double cli_histogram_mean(const cli_histogram *h)
{
    return h->count ? h->sum / (double)h->count : 0;
}
