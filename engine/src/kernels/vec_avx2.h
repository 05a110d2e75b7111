#ifndef KRN_VEC_AVX2_H
#define KRN_VEC_AVX2_H
#include <immintrin.h>
#include <stdbool.h>

/** The vocabulary of vec_avx512.h for AVX2. */
typedef __m256 vec;
typedef __m256i lanes;
enum { LANES = 8 };

/* Eight ones, then eight zeros: n lanes begin at 8 - n. */
static const int ones[16] = {-1, -1, -1, -1, -1, -1, -1, -1};

#define LOAD(p) _mm256_loadu_ps(p)
#define STORE(p, v) _mm256_storeu_ps(p, v)
#define MLOAD(mask, p) _mm256_maskload_ps(p, mask)
#define MSTORE(p, mask, v) _mm256_maskstore_ps(p, mask, v)
#define SET(x) _mm256_set1_ps((float)(x))
#define ZERO _mm256_setzero_ps()
#define ADD _mm256_add_ps
#define SUB _mm256_sub_ps
#define MUL _mm256_mul_ps
#define FMA _mm256_fmadd_ps
#define FNMA _mm256_fnmadd_ps
#define MAX _mm256_max_ps
#define PICK_LOW(v, w) _mm256_blendv_ps(v, w, _mm256_cmp_ps(v, ZERO, _CMP_NGT_UQ))
#define FIRST(n) _mm256_loadu_si256((const __m256i *)(const void *)(ones + 8 - (n)))
#endif
