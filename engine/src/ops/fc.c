#include "ops/fc.h"
#include "ops/product.h"
#include <math.h>
#include <string.h>

op_fc op_fc_choose(const op_instance *inst, size_t n, size_t k)
{
    const krn_table *krn = inst->krn;
    const krn_gemm_bf16 *tiles = krn->gemm_bf16;
    const bool bf16 = inst->precision == PRELU_PRECISION_BF16;
    op_fc f = {.n = n, .k = k, .kp = k, .krn = krn};
    if (bf16 && tiles->tiles) {
        f.kind = OP_FC_TILES;
        f.mr = tiles->mr, f.nr = tiles->nr, f.mc = tiles->mc, f.kc = tiles->kc;
        f.name = tiles->name;
        f.kp = (k + KRN_BF16_K - 1) / KRN_BF16_K * KRN_BF16_K;
        f.bytes = (n + f.nr - 1) / f.nr * f.nr * f.kp * sizeof(uint16_t);
    } else if (bf16 || inst->precision == PRELU_PRECISION_INT8FC) {
        const krn_gemm_narrow *g = bf16 ? krn->gemm_w16 : krn->gemm_i8;
        f.kind = OP_FC_NARROW;
        f.narrow = g;
        f.mr = g->mr, f.nr = g->nr, f.mc = g->mc, f.kc = g->kc, f.name = g->name;
        f.bytes = (n + f.nr - 1) / f.nr * f.nr * k * g->width + (bf16 ? 0 : (n + 15) / 16 * 64);
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

/* Units of a panel, elements k0..k0+len-1, one unit after another; pairs of k lie together for
 * tiles. */
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
        for (size_t k = 0; k < len && f->kind == OP_FC_NARROW; k++)
            dst[k * f->nr + c] = rounded[k];
        rounded[len] = 0;
        for (size_t k = 0; k < len && f->kind == OP_FC_TILES; k += 2)
            memcpy(dst + k * f->nr + 2 * c, rounded + k, 2 * sizeof *dst);
    }
}

static void pack_bf16(const pack_job *j, size_t panel)
{
    const op_fc *f = j->f;
    uint16_t *dst = (uint16_t *)(void *)j->panels + panel * f->nr * f->kp;
    if (f->n - panel * f->nr < f->nr)
        memset(dst, 0, f->nr * f->kp * sizeof *dst);
    else if (f->kind == OP_FC_TILES)
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
    if (j->scale)
        pack_i8(j, task);
    else
        pack_bf16(j, task);
    if (j->rows)
        op_rows_packed(j->inst, j->b, j->f->k, task * j->f->nr, j->f->nr, j->f->n);
}

void op_fc_pack(const op_instance *inst, op_fc *f, void *at, const op_file_f32 *b, bool rows,
                float alpha, prelu_pool *pool)
{
    pack_job j = {.inst = inst, .f = f, .b = b, .rows = rows, .alpha = alpha, .panels = at};
    if (f->kind == OP_FC_NARROW && f->narrow->width == 1) {
        j.scale = at;
        j.panels += (f->n + 15) / 16 * 64;
    }
    f->scale = j.scale;
    f->panels = j.panels;
    prelu_pool_run(pool, (f->n + f->nr - 1) / f->nr, pack_task, &j);
}

/* Rows of a, part k0..k0+n-1, in bf16, filled up with zeros. */
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

static void block_tiles(const op_fc *f, const float *a, size_t k, size_t turned, size_t row,
                        size_t m, size_t col, size_t n, float *y, size_t ldy,
                        const krn_epilogue *ep, uint16_t *scratch)
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

/* Rows of a, part k0..k0+n-1, as f32, rounded where the weights are bf16. */
static void rows_f32(const op_fc *f, const float *a, size_t k, size_t turned, size_t row, size_t m,
                     size_t k0, size_t n, float *dst, size_t ld)
{
    const bool round = f->narrow->width == 2;
    for (size_t i = 0; i < m; i++, dst += ld) {
        const float *from = a + (row + i) * k + k0;
        for (size_t p = 0; p < n && turned; p++)
            dst[p] = a[(k0 + p) * turned + row + i];
        if (round)
            f->krn->round_bf16(dst, turned ? dst : from, n);
        else if (!turned)
            memcpy(dst, from, n * sizeof *dst);
    }
}

static size_t narrow_bytes(const op_fc *f, size_t elements) { return elements * f->narrow->width; }

static krn_epilogue scaled(const op_fc *f, size_t col, const krn_epilogue *ep)
{
    krn_epilogue e = ep ? *ep : (krn_epilogue){.act = KRN_ACT_NONE};
    e.scale = f->scale ? f->scale + col : NULL;
    return e;
}

static bool few(const op_fc *f, size_t m)
{
    return m <= f->narrow->few || f->krn->gemm_f32->nr != f->nr;
}

static void block_few(const op_fc *f, const float *a, size_t k, size_t turned, size_t row, size_t m,
                      size_t col, size_t n, float *y, size_t ldy, const krn_epilogue *ep,
                      float *scratch)
{
    const krn_epilogue last = scaled(f, col, ep);
    const size_t ld = op_lda(op_min(f->kc, k));
    const bool in_place = !turned && m <= OP_FC_FEW_ROWS && f->narrow->width == 1;
    for (size_t k0 = 0; k0 < k; k0 += f->kc) {
        const size_t part = op_min(f->kc, k - k0);
        if (!in_place)
            rows_f32(f, a, k, turned, row, m, k0, part, scratch, ld);
        f->narrow->run(&(krn_gemm_narrow_args){.m = m,
                                               .n = n,
                                               .k = part,
                                               .a = in_place ? a + row * k + k0 : scratch,
                                               .a_rs = in_place ? k : ld,
                                               .b = (const char *)f->panels +
                                                    narrow_bytes(f, col * k + k0 * f->nr),
                                               .b_panel = f->nr * k,
                                               .c = y,
                                               .ldc = ldy,
                                               .accumulate = k0 > 0,
                                               .ep = k0 + part == k ? &last : NULL});
    }
}

/* Sums stay in scratch till the last part, see gemm.c. The part of a panel that is wanted next
 * comes to L2 meanwhile. */
static void block_many(const op_fc *f, const float *a, size_t k, size_t turned, size_t row,
                       size_t m, size_t col, size_t n, float *y, size_t ldy, const krn_epilogue *ep,
                       float *scratch)
{
    const krn_gemm *gemm = f->krn->gemm_f32;
    const krn_epilogue last = scaled(f, 0, ep);
    const size_t kc = op_min(OP_FC_PART, k), ld = op_lda(kc), panel = narrow_bytes(f, f->nr * k);
    const size_t ldc = op_lda(n);
    float *wide = scratch + m * ld, *sums = wide + f->nr * kc;
    for (size_t k0 = 0; k0 < k; k0 += kc) {
        const size_t part = op_min(kc, k - k0), len = narrow_bytes(f, part * f->nr);
        rows_f32(f, a, k, turned, row, m, k0, part, scratch, ld);
        const char *b = (const char *)f->panels + narrow_bytes(f, col * k + k0 * f->nr);
        for (size_t j = 0; j < n; j += f->nr, b += panel) {
            krn_epilogue here = last;
            here.scale = last.scale ? last.scale + col + j : NULL;
            here.bias = last.bias ? last.bias + j : NULL;
            here.slope = last.slope ? last.slope + j : NULL;
            here.residual = last.residual ? last.residual + j : NULL;
            f->narrow->widen(wide, b, part * f->nr);
            gemm->run(
                &(krn_gemm_args){.m = m,
                                 .n = op_min(f->nr, n - j),
                                 .k = part,
                                 .a = scratch,
                                 .a_rs = ld,
                                 .a_ks = 1,
                                 .b = wide,
                                 .b_panel = f->nr * part,
                                 .c = sums + j,
                                 .ldc = ldc,
                                 .accumulate = k0 > 0,
                                 .fetch = j + f->nr < n ? b + panel : b - j / f->nr * panel + len,
                                 .fetch_len = len,
                                 .ep = k0 + part == k ? &here : NULL});
        }
    }
    for (size_t i = 0; i < m; i++)
        memcpy(y + i * ldy, sums + i * ldc, n * sizeof *y);
}

size_t op_fc_scratch(const op_fc *f, size_t m, size_t n)
{
    const size_t one = op_lda(op_min(f->kc, f->kp)); /* of what tiles need, half */
    if (f->kind == OP_FC_TILES || few(f, m))
        return m * one;
    const size_t kc = op_min(OP_FC_PART, f->k);
    const size_t least = f->narrow->few * one, most = m * (op_lda(kc) + op_lda(n)) + f->nr * kc;
    return most > least ? most : least; /* a last block may have few rows */
}

void op_fc_block(const op_fc *f, const float *a, size_t k, size_t turned, size_t row, size_t m,
                 size_t col, size_t n, float *y, size_t ldy, const krn_epilogue *ep, void *scratch)
{
    if (f->kind == OP_FC_TILES)
        block_tiles(f, a, k, turned, row, m, col, n, y, ldy, ep, scratch);
    else if (few(f, m))
        block_few(f, a, k, turned, row, m, col, n, y, ldy, ep, scratch);
    else
        block_many(f, a, k, turned, row, m, col, n, y, ldy, ep, scratch);
}
