#include "ops/gemm_bf16.h"
#include <string.h>

enum { PART = 256 }; /* elements rounded at a time; even */

/* Values of two neighbouring k, one of each column after another. */
static void pairs(uint16_t *dst, const uint16_t *lo, const uint16_t *hi, size_t n)
{
    for (size_t j = 0; j < n; j++) {
        dst[2 * j] = lo[j];
        dst[2 * j + 1] = hi[j];
    }
}

static void panel_of_rows(uint16_t *panel, const krn_table *krn, const float *b, size_t cols,
                          size_t k)
{
    const size_t nr = krn->gemm_bf16->nr;
    uint16_t rounded[PART + 1];
    for (size_t from = 0; from < k; from += PART)
        for (size_t j = 0; j < cols; j++) {
            const size_t n = op_min(PART, k - from);
            krn->to_bf16(rounded, b + j * k + from, n);
            rounded[n] = 0;
            for (size_t i = 0; i < n; i += 2)
                memcpy(panel + (from + i) * nr + 2 * j, rounded + i, 2 * sizeof *rounded);
        }
}

static void panel_of_cols(uint16_t *panel, const krn_table *krn, const float *b, size_t cols,
                          size_t k, size_t ld)
{
    const size_t nr = krn->gemm_bf16->nr;
    uint16_t lo[PART], hi[PART];
    for (size_t p = 0; p < k; p += 2)
        for (size_t j = 0; j < cols; j += PART) {
            const size_t n = op_min(PART, cols - j);
            krn->to_bf16(lo, b + p * ld + j, n);
            memset(hi, 0, n * sizeof *hi);
            if (p + 1 < k)
                krn->to_bf16(hi, b + (p + 1) * ld + j, n);
            pairs(panel + p * nr + 2 * j, lo, hi, n);
        }
}

void op_bf16_panel(uint16_t *panel, const krn_table *krn, const float *b, bool rows, size_t n,
                   size_t k, size_t first)
{
    const size_t nr = krn->gemm_bf16->nr, cols = op_min(nr, n - first), whole = k / 2 * 2;
    if (cols < nr)
        memset(panel, 0, op_bf16_depth(k) * nr * sizeof *panel);
    else
        memset(panel + whole * nr, 0, (op_bf16_depth(k) - whole) * nr * sizeof *panel);
    if (rows)
        panel_of_rows(panel, krn, b + first * k, cols, k);
    else
        panel_of_cols(panel, krn, b + first, cols, k, n);
}

void op_bf16_rows(uint16_t *dst, const krn_table *krn, const float *a, bool turned, size_t m,
                  size_t k, op_range row)
{
    const size_t depth = op_bf16_depth(k), ld = op_bf16_lda(depth);
    uint16_t rounded[PART];
    for (size_t i = row.from; i < row.to; i++) {
        memset(dst + i * ld + k, 0, (depth - k) * sizeof *dst);
        if (!turned)
            krn->to_bf16(dst + i * ld, a + i * k, k);
    }
    for (size_t p = 0; turned && p < k; p++)
        for (size_t from = row.from; from < row.to; from += PART) {
            const size_t n = op_min(PART, row.to - from);
            krn->to_bf16(rounded, a + p * m + from, n);
            for (size_t i = 0; i < n; i++)
                dst[(from + i) * ld + p] = rounded[i];
        }
}
