#ifndef KRN_VEC_AVX512_H
#define KRN_VEC_AVX512_H
#include "kernels/store_avx512.h"

/** The vector vocabulary that winograd_f4.h and depthwise_vec.h are written in, for AVX-512: vec,
 *  LANES, lanes (a mask type); LOAD STORE; MLOAD(mask, p) MSTORE(p, mask, v) (masked: 0 elsewhere,
 *  not touched); SET ZERO ADD SUB MUL FMA (a*b+c) FNMA (c-a*b) MAX; PICK_LOW(v, w) = v > 0 ? v : w;
 *  FIRST(n) the mask of n lanes. */
typedef __m512 vec;
typedef __mmask16 lanes;
enum { LANES = 16 };
#define LOAD(p) _mm512_loadu_ps(p)
#define STORE(p, v) _mm512_storeu_ps(p, v)
#define MLOAD(mask, p) _mm512_maskz_loadu_ps(mask, p)
#define MSTORE(p, mask, v) _mm512_mask_storeu_ps(p, mask, v)
#define SET(x) _mm512_set1_ps((float)(x))
#define ZERO _mm512_setzero_ps()
#define ADD _mm512_add_ps
#define SUB _mm512_sub_ps
#define MUL _mm512_mul_ps
#define FMA _mm512_fmadd_ps
#define FNMA _mm512_fnmadd_ps
#define MAX _mm512_max_ps
#define PICK_LOW(v, w) _mm512_mask_mov_ps(v, _mm512_cmp_ps_mask(v, ZERO, _CMP_NGT_UQ), w)
#define FIRST(n) krn_low_bits(n)
#endif
