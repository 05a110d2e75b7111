#include "kernels/kernels.h"
#include "kernels/verify.h"
#include <pthread.h>

void krn_table_init(krn_table *t, unsigned isa)
{
    *t = (krn_table){.isa = isa};
#define KERNEL(slot, need, fn)                                                                     \
    if ((isa & (need)) == (need))                                                                  \
        t->slot = &fn;
#include "kernels/kernels.inc"
#undef KERNEL
}

/* Slots whose variants may be a library's, or round: the others have their tests only. */
#define FITS_gemm_f32(fn) krn_gemm_f32_fits(fn)
#define FITS_gemm_bf16(fn) krn_gemm_bf16_fits(fn)
#define FITS_gemm_i8(fn) krn_gemm_narrow_fits(fn)
#define FITS_gemm_w16(fn) krn_gemm_narrow_fits(fn)
#define FITS_to_bf16(fn) krn_to_bf16_fits(fn)
#define FITS_round_bf16(fn) krn_round_bf16_fits(fn)
#define FITS_prelu_f32(fn) true
#define FITS_softmax_f32(fn) true
#define FITS_max_f32(fn) true
#define FITS_argmax_f32(fn) true
#define FITS_resample_row_u8(fn) true
#define FITS_resample_column_u8(fn) true
#define FITS_winograd_f32(fn) true
#define FITS_winograd_2x2_f32(fn) true
#define FITS_depthwise_f32(fn) true
#define FITS_winograd_grad_f32(fn) true
#define FITS_winograd_2x2_grad_f32(fn) true
#define FITS_passes_f32(fn) true

/* Where there are kernels of our own OpenBLAS is not even tried, which would load it. */
void krn_table_init_trusted(krn_table *t, unsigned isa)
{
    const unsigned use = isa & KRN_AVX2 ? isa & ~(unsigned)KRN_BLAS : isa;
    *t = (krn_table){.isa = isa};
#define KERNEL(slot, need, fn)                                                                     \
    if ((use & (need)) == (need) && ((need) == KRN_REF || krn_trusted(FITS_##slot(&fn), #fn)))     \
        t->slot = &fn;
#include "kernels/kernels.inc"
#undef KERNEL
}

static krn_table process_table;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void init_once(void) { krn_table_init_trusted(&process_table, krn_cpu_isa()); }

const krn_table *krn_table_get(void)
{
    pthread_once(&once, init_once);
    return &process_table;
}
