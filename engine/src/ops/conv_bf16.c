#include "ops/conv_bf16.h"
#include "ops/util.h"
#include <string.h>

enum { STEP = KRN_BF16_K, FEW_CHANNELS = 16, MAX_STRIDE = 4, WANT_TASKS = 32, NARROW = 64 };

static size_t blocks_of(size_t c) { return (c + STEP - 1) / STEP; }

bool op_conv_bf16_fits(const prelu_node *n, const prelu_shape *w)
{
    const int64_t *stride;
    size_t len;
    if (op_ints(n, "strides", 2, 1, MAX_STRIDE, &stride, &len, NULL) != PRELU_OK)
        return false;
    return prelu_node_int(n, "group", 1) == 1 && w->dim[1] >= FEW_CHANNELS;
}

static int64_t floor_div(int64_t a, int64_t b) { return a >= 0 ? a / b : -((b - 1 - a) / b); }

/* Where tap k of a side reads for output 0, in rows (columns) of its plane, and which plane. */
typedef struct tap {
    int64_t at;
    size_t plane;
} tap;

static tap tap_of(size_t k, int64_t dilation, int64_t pad, int64_t stride)
{
    const int64_t t = (int64_t)k * dilation - pad, at = floor_div(t, stride);
    return (tap){at, (size_t)(t - at * stride)};
}

static int64_t at_least_0(int64_t v) { return v > 0 ? v : 0; }

op_conv_bf16 op_conv_bf16_cut(const op_patch *g, const krn_table *krn)
{
    const krn_gemm_bf16 *gemm = krn->gemm_bf16;
    op_conv_bf16 p = {.g = *g, .blocks = blocks_of(g->c), .nr = gemm->nr};
    const int64_t first_row = tap_of(0, g->dh, g->pt, g->sh).at;
    const int64_t last_row = tap_of(g->kh - 1, g->dh, g->pt, g->sh).at + (int64_t)g->oh - 1;
    const int64_t first_col = tap_of(0, g->dw, g->pl, g->sw).at;
    const int64_t last_col = tap_of(g->kw - 1, g->dw, g->pl, g->sw).at + (int64_t)g->ow - 1;
    p.steps = p.blocks * g->kh * g->kw;
    p.top = (size_t)at_least_0(-first_row);
    p.rows = p.top + (size_t)at_least_0(last_row + 1);
    p.left = (size_t)at_least_0(-first_col);
    p.wide = ((size_t)g->w + (size_t)g->sw - 1) / (size_t)g->sw;
    const size_t right = (size_t)at_least_0(last_col - (int64_t)p.wide + 1);
    p.pitch = p.wide + (p.left > right ? p.left : right);
    if (p.pitch < g->ow)
        p.pitch = g->ow;
    p.plane = (p.left + p.rows * p.pitch) * STEP;
    p.block = (size_t)(g->sh * g->sw) * p.plane;
    p.image = p.blocks * p.block;
    const size_t each = op_min(gemm->pixels > p.pitch ? gemm->pixels / p.pitch : 1, g->oh);
    const size_t parts = op_parts(g->oh, each ? each : 1), tasks = g->n * parts;
    p.row_blocks = parts;
    p.col_blocks = 1;
    if (tasks > 0 && tasks < WANT_TASKS && g->o > NARROW)
        p.col_blocks = op_min((WANT_TASKS + tasks - 1) / tasks, g->o / NARROW);
    return p;
}

size_t op_conv_bf16_packed(const krn_table *krn, size_t o, size_t c, size_t taps)
{
    const size_t nr = krn->gemm_bf16->nr;
    return (o + nr - 1) / nr * nr * blocks_of(c) * STEP * taps * sizeof(uint16_t);
}

typedef struct pack_job {
    const krn_table *krn;
    uint16_t *panels;
    const op_file_f32 *w;
    size_t o, c, taps;
} pack_job;

/* Filter o of the file is (c, taps); a panel wants pairs of (block, taps, channel of the block). */
static void pack_panel(void *ctx, size_t task, int worker)
{
    enum { PART = 512 };
    const pack_job *j = ctx;
    const size_t nr = j->krn->gemm_bf16->nr, kp = blocks_of(j->c) * STEP * j->taps;
    const size_t len = j->c * j->taps;
    uint16_t *dst = j->panels + task * kp * nr, rounded[PART];
    float values[PART];
    (void)worker;
    memset(dst, 0, kp * nr * sizeof *dst);
    for (size_t col = 0; col < nr && task * nr + col < j->o; col++) {
        const op_file_f32 *w = j->w + (task * nr + col) * len;
        for (size_t at = 0, c = 0, t = 0; at < len; at += PART) {
            const size_t n = op_min(PART, len - at);
            for (size_t i = 0; i < n; i++)
                values[i] = w[at + i];
            j->krn->to_bf16(rounded, values, n);
            for (size_t i = 0; i < n; i++) {
                const size_t p = (c / STEP * j->taps + t) * STEP + c % STEP;
                dst[p / 2 * 2 * nr + col * 2 + p % 2] = rounded[i];
                if (++t == j->taps) {
                    t = 0;
                    c++;
                }
            }
        }
    }
}

void op_conv_bf16_pack(const krn_table *krn, uint16_t *panels, const op_file_f32 *w, size_t o,
                       size_t c, size_t taps, prelu_pool *pool)
{
    const size_t nr = krn->gemm_bf16->nr;
    pack_job j = {.krn = krn, .panels = panels, .w = w, .o = o, .c = c, .taps = taps};
    prelu_pool_run(pool, (o + nr - 1) / nr, pack_panel, &j);
}

/* Shared memory: offsets of the steps, then the images. */
static size_t table_bytes(const op_conv_bf16 *p)
{
    return (p->steps * sizeof(size_t) + 63) / 64 * 64;
}

prelu_status op_conv_bf16_work(const op_conv_bf16 *p, op_work *work, prelu_err *err)
{
    const op_patch *g = &p->g;
    const size_t stride_rows = (size_t)g->sh * p->rows;
    size_t bytes = p->left, row;
    PRELU_TRY(prelu_mul(p->rows, p->pitch, &row, err));
    PRELU_TRY(prelu_add(bytes, row, &bytes, err));
    PRELU_TRY(prelu_mul(bytes, (size_t)(g->sh * g->sw) * STEP * sizeof(uint16_t), &bytes, err));
    PRELU_TRY(prelu_mul(bytes, p->blocks, &bytes, err));
    PRELU_TRY(prelu_mul(bytes, g->n, &bytes, err));
    PRELU_TRY(prelu_add(bytes, table_bytes(p), &work->shared, err));
    work->phases = 2;
    work->tasks[0] = 1 + g->n * stride_rows;
    work->flops[0] = 4.0 * (double)(g->w * g->c) + 1.0;
    work->tasks[1] = g->n * p->row_blocks * p->col_blocks;
    work->flops[1] = 2.0 * (double)(g->oh * g->ow) * (double)g->o * (double)(p->steps * STEP) /
                         (double)(p->row_blocks * p->col_blocks) +
                     1.0;
    work->scratch = g->w * g->c * sizeof(uint16_t);
    return PRELU_OK;
}

static void fill_table(const op_conv_bf16 *p, size_t *at)
{
    const op_patch *g = &p->g;
    for (size_t b = 0; b < p->blocks; b++)
        for (size_t ky = 0; ky < g->kh; ky++)
            for (size_t kx = 0; kx < g->kw; kx++) {
                const tap y = tap_of(ky, g->dh, g->pt, g->sh), x = tap_of(kx, g->dw, g->pl, g->sw);
                const int64_t row = (int64_t)p->top + y.at, col = (int64_t)p->left + x.at;
                *at++ = b * p->block + (y.plane * (size_t)g->sw + x.plane) * p->plane +
                        (size_t)(row * (int64_t)p->pitch + col) * STEP;
            }
}

/* Row r of the planes with row remainder `parity`: all blocks of channels, all column planes.
 * @param src  the rounded row of the picture, or NULL outside of it. */
static void lay_row(const op_conv_bf16 *p, uint16_t *image, size_t parity, size_t r,
                    const uint16_t *src)
{
    const op_patch *g = &p->g;
    const size_t sw = (size_t)g->sw, before = r ? 0 : p->left;
    for (size_t b = 0; b < p->blocks; b++)
        for (size_t q = 0; q < sw; q++) {
            uint16_t *row = image + b * p->block + (parity * sw + q) * p->plane;
            uint16_t *dst = row + (p->left + r * p->pitch) * STEP;
            const size_t real = op_min(STEP, g->c - b * STEP);
            size_t col = 0;
            memset(dst - before * STEP, 0, before * STEP * sizeof *dst);
            for (size_t x = q; src && x < g->w; x += sw, col++, dst += STEP) {
                const uint16_t *pixel = src + x * g->c + b * STEP;
                if (real == STEP) {
                    memcpy(dst, pixel, STEP * sizeof *dst);
                } else {
                    memcpy(dst, pixel, real * sizeof *dst);
                    memset(dst + real, 0, (STEP - real) * sizeof *dst);
                }
            }
            memset(dst, 0, (p->pitch - col) * STEP * sizeof *dst);
        }
}

static void lay_task(const op_conv_bf16 *p, const krn_table *krn, const op_tensor *x,
                     uint16_t *images, size_t task, uint16_t *scratch)
{
    const op_patch *g = &p->g;
    const size_t r = task % p->rows, parity = task / p->rows % (size_t)g->sh;
    const size_t image = task / p->rows / (size_t)g->sh;
    const int64_t y = ((int64_t)r - (int64_t)p->top) * g->sh + (int64_t)parity;
    const bool inside = y >= 0 && y < (int64_t)g->h;
    const size_t at = inside ? (image * g->h + (size_t)y) * g->w * g->c : 0;
    const uint16_t *row = scratch;
    if (x->dtype == PRELU_BF16)
        row = (const uint16_t *)x->data + at;
    else if (inside)
        krn->to_bf16(scratch, (const float *)x->data + at, g->w * g->c);
    lay_row(p, images + image * p->image, parity, r, inside ? row : NULL);
}

static void multiply_task(const op_conv_bf16 *p, const krn_gemm_bf16 *gemm, const size_t *at,
                          const uint16_t *images, const uint16_t *panels, const op_tensor *y,
                          const krn_epilogue *ep, size_t task)
{
    const op_patch *g = &p->g;
    const size_t image = task / p->col_blocks / p->row_blocks, panel = p->nr * p->steps * STEP;
    const op_range col = op_cut(g->o, p->nr, p->col_blocks, task % p->col_blocks);
    const op_range row = op_cut(g->oh, 1, p->row_blocks, task / p->col_blocks % p->row_blocks);
    const op_conv_block b = {.first = col.from,
                             .at = (image * g->oh + row.from) * g->ow * g->o + col.from};
    const bool low = y->dtype == PRELU_BF16;
    krn_epilogue mine;
    if (col.from == col.to || row.from == row.to)
        return;
    if (ep)
        mine = op_conv_epilogue(ep, &b, g->o);
    gemm->run(&(krn_gemm_bf16_args){.m = (row.to - row.from - 1) * p->pitch + g->ow,
                                    .n = col.to - col.from,
                                    .k = p->steps * STEP,
                                    .a = images + image * p->image + row.from * p->pitch * STEP,
                                    .a_at = at,
                                    .a_rs = STEP,
                                    .b = panels + col.from / p->nr * panel,
                                    .b_panel = panel,
                                    .c = low ? NULL : (float *)y->data + b.at,
                                    .c16 = low ? (uint16_t *)y->data + b.at : NULL,
                                    .ldc = g->o,
                                    .row_len = g->ow,
                                    .row_gap = p->pitch - g->ow,
                                    .ep = ep ? &mine : NULL});
}

void op_conv_bf16_task(const op_conv_bf16 *p, const krn_table *krn, const op_exec *x,
                       const uint16_t *panels, const krn_epilogue *ep, int phase, size_t task,
                       void *scratch)
{
    uint16_t *images = (uint16_t *)(void *)((char *)x->shared + table_bytes(p));
    if (phase == 1)
        multiply_task(p, krn->gemm_bf16, x->shared, images, panels, &x->out[0], ep, task);
    else if (task == 0)
        fill_table(p, x->shared);
    else
        lay_task(p, krn, &x->in[0], images, task - 1, scratch);
}
