#include "ops/fc.h"
#include "ops/product.h"
#include <math.h>
#include <string.h>

op_fc op_fc_choose(const op_instance *inst, size_t n, size_t k)
{
    const krn_table *krn = inst->krn;
    op_fc f = {.n = n, .k = k, .kp = k, .krn = krn};
    if (inst->precision == PRELU_PRECISION_BF16) {
        const krn_gemm_bf16 *g = krn->gemm_bf16;
        f.kind = OP_FC_BF16;
        f.mr = g->mr, f.nr = g->nr, f.mc = g->mc, f.kc = g->kc, f.name = g->name;
        f.kp = (k + KRN_BF16_K - 1) / KRN_BF16_K * KRN_BF16_K;
        f.bytes = (n + f.nr - 1) / f.nr * f.nr * f.kp * sizeof(uint16_t);
    } else if (inst->precision == PRELU_PRECISION_INT8FC) {
        const krn_gemm_i8 *g = krn->gemm_i8;
        f.kind = OP_FC_I8;
        f.mr = g->mr, f.nr = g->nr, f.mc = g->mc, f.kc = g->kc, f.name = g->name;
        f.bytes = (n + 15) / 16 * 64 + (n + f.nr - 1) / f.nr * f.nr * k;
    }
    return f;
}

typedef struct pack_job {
    const op_instance *inst;
    const op_fc *f;
    const op_file_f32 *b;
    bool rows;
    float alpha, *scale;
    char *panels;
} pack_job;

static float weight(const pack_job *j, size_t unit, size_t k)
{
    const float w = j->rows ? j->b[unit * j->f->k + k] : j->b[k * j->f->n + unit];
    return w * j->alpha;
}

enum { PART = 256 }; /* of k, even: a part of a panel stays in the first-level cache */

/* Units of a panel, elements k0..k0+len-1, one unit after another. */
static void pack_part(const pack_job *j, size_t panel, size_t k0, size_t len, uint16_t *dst)
{
    const op_fc *f = j->f;
    const size_t units = op_min(f->nr, f->n - panel * f->nr);
    float values[PART];
    uint16_t rounded[PART + 1];
    for (size_t c = 0; c < units; c++) {
        for (size_t k = 0; k < len; k++)
            values[k] = weight(j, panel * f->nr + c, k0 + k);
        f->krn->to_bf16(rounded, values, len);
        rounded[len] = 0;
        for (size_t k = 0; k < len; k += 2)
            memcpy(dst + k * f->nr + 2 * c, rounded + k, 2 * sizeof *dst);
    }
}

static void pack_bf16(const pack_job *j, size_t panel)
{
    const op_fc *f = j->f;
    uint16_t *dst = (uint16_t *)(void *)j->panels + panel * f->nr * f->kp;
    if (f->n - panel * f->nr < f->nr)
        memset(dst, 0, f->nr * f->kp * sizeof *dst);
    else
        memset(dst + f->k / 2 * 2 * f->nr, 0, (f->kp - f->k / 2 * 2) * f->nr * sizeof *dst);
    for (size_t k0 = 0; k0 < f->k; k0 += PART)
        pack_part(j, panel, k0, op_min(PART, f->k - k0), dst + k0 * f->nr);
}

/* The largest weight of a unit becomes 127. */
static void pack_i8(const pack_job *j, size_t panel)
{
    const op_fc *f = j->f;
    int8_t *dst = (int8_t *)(void *)j->panels + panel * f->nr * f->k;
    for (size_t c = 0; c < f->nr; c++) {
        const size_t unit = panel * f->nr + c;
        float largest = 0.0f;
        for (size_t k = 0; k < f->k && unit < f->n; k++)
            largest = fmaxf(largest, fabsf(weight(j, unit, k)));
        const float scale = largest > 0.0f ? largest / 127.0f : 1.0f;
        for (size_t k = 0; k < f->k; k++)
            dst[k * f->nr + c] = unit < f->n ? (int8_t)lrintf(weight(j, unit, k) / scale) : 0;
        if (unit < f->n)
            j->scale[unit] = scale;
    }
}

static void pack_task(void *ctx, size_t task, int worker)
{
    const pack_job *j = ctx;
    (void)worker;
    if (j->f->kind == OP_FC_BF16)
        pack_bf16(j, task);
    else
        pack_i8(j, task);
    if (j->rows)
        op_rows_packed(j->inst, j->b, j->f->k, task * j->f->nr, j->f->nr, j->f->n);
}

void op_fc_pack(const op_instance *inst, op_fc *f, void *at, const op_file_f32 *b, bool rows,
                float alpha, prelu_pool *pool)
{
    pack_job j = {
        .inst = inst, .f = f, .b = b, .rows = rows, .alpha = alpha, .scale = at, .panels = at};
    if (f->kind == OP_FC_I8)
        j.panels += (f->n + 15) / 16 * 64;
    f->scale = j.scale;
    f->panels = j.panels;
    prelu_pool_run(pool, (f->n + f->nr - 1) / f->nr, pack_task, &j);
}

/* Rows of a, part k0..k0+n-1, as f32 in scratch (int8) or rounded to bf16, filled up with zeros. */
static void rows_bf16(const op_fc *f, const float *a, size_t k, size_t turned, size_t row, size_t m,
                      size_t k0, size_t n, uint16_t *dst, size_t ld)
{
    const size_t real = k0 >= k ? 0 : op_min(n, k - k0);
    for (size_t i = 0; i < m; i++) {
        if (!turned)
            f->krn->to_bf16(dst + i * ld, a + (row + i) * k + k0, real);
        for (size_t p = 0; turned && p < real; p++)
            f->krn->to_bf16(dst + i * ld + p, a + (k0 + p) * turned + row + i, 1);
        memset(dst + i * ld + real, 0, (n - real) * sizeof *dst);
    }
}

static void block_bf16(const op_fc *f, const float *a, size_t k, size_t turned, size_t row,
                       size_t m, size_t col, size_t n, float *y, size_t ldy, const krn_epilogue *ep,
                       uint16_t *scratch)
{
    const size_t ld = op_lda(op_min(f->kc, f->kp));
    const uint16_t *panels = f->panels;
    for (size_t k0 = 0; k0 < f->kp; k0 += f->kc) {
        const size_t part = op_min(f->kc, f->kp - k0);
        rows_bf16(f, a, k, turned, row, m, k0, part, scratch, ld);
        f->krn->gemm_bf16->run(&(krn_gemm_bf16_args){.m = m,
                                                     .n = n,
                                                     .k = part,
                                                     .a = scratch,
                                                     .a_rs = ld,
                                                     .b = panels + col * f->kp + k0 * f->nr,
                                                     .b_panel = f->nr * f->kp,
                                                     .c = y,
                                                     .ldc = ldy,
                                                     .accumulate = k0 > 0,
                                                     .ep = k0 + part == f->kp ? ep : NULL});
    }
}

static void block_i8(const op_fc *f, const float *a, size_t k, size_t turned, size_t row, size_t m,
                     size_t col, size_t n, float *y, size_t ldy, const krn_epilogue *ep,
                     float *scratch)
{
    const int8_t *panels = f->panels;
    for (size_t k0 = 0; k0 < k; k0 += f->kc) {
        const size_t part = op_min(f->kc, k - k0), ld = op_lda(op_min(f->kc, k));
        const bool in_place = !turned && m <= OP_FC_FEW_ROWS;
        for (size_t i = 0; i < m && !in_place; i++)
            for (size_t p = 0; p < part; p++)
                scratch[i * ld + p] =
                    turned ? a[(k0 + p) * turned + row + i] : a[(row + i) * k + k0 + p];
        f->krn->gemm_i8->run(&(krn_gemm_i8_args){.m = m,
                                                 .n = n,
                                                 .k = part,
                                                 .a = in_place ? a + row * k + k0 : scratch,
                                                 .a_rs = in_place ? k : ld,
                                                 .b = panels + col * k + k0 * f->nr,
                                                 .b_panel = f->nr * k,
                                                 .scale = f->scale + col,
                                                 .c = y,
                                                 .ldc = ldy,
                                                 .accumulate = k0 > 0,
                                                 .last = k0 + part == k,
                                                 .ep = ep});
    }
}

void op_fc_block(const op_fc *f, const float *a, size_t k, size_t turned, size_t row, size_t m,
                 size_t col, size_t n, float *y, size_t ldy, const krn_epilogue *ep, void *scratch)
{
    if (f->kind == OP_FC_BF16)
        block_bf16(f, a, k, turned, row, m, col, n, y, ldy, ep, scratch);
    else
        block_i8(f, a, k, turned, row, m, col, n, y, ldy, ep, scratch);
}
