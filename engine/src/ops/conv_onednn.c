/* The only user of dnnl.h. Filters are packed in the layout that oneDNN chooses for a picture of
 * NOMINAL pixels a side; where it wants another, they are laid out anew in every run. */
#include "ops/conv_onednn.h"
#include "ops/util.h"
#include <oneapi/dnnl/dnnl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { NOMINAL = 8 };

static dnnl_engine_t engine;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void make_engine(void)
{
    if (dnnl_engine_create(&engine, dnnl_cpu, 0) != dnnl_success)
        engine = NULL;
}

static bool wanted(void)
{
    const char *text = getenv("PRELU_CONV");
    if (!text || strcmp(text, "onednn") != 0)
        return false;
    pthread_once(&once, make_engine);
    return engine != NULL;
}

/* @return NULL where oneDNN cannot. */
static dnnl_primitive_desc_t describe(const op_patch *g)
{
    const int64_t eh = (int64_t)(g->kh - 1) * g->dh + 1, ew = (int64_t)(g->kw - 1) * g->dw + 1;
    const dnnl_dims_t xd = {(int64_t)g->n, (int64_t)g->c, (int64_t)g->h, (int64_t)g->w};
    const dnnl_dims_t wd = {(int64_t)g->o, (int64_t)g->c, (int64_t)g->kh, (int64_t)g->kw};
    const dnnl_dims_t yd = {(int64_t)g->n, (int64_t)g->o, (int64_t)g->oh, (int64_t)g->ow};
    const dnnl_dims_t strides = {g->sh, g->sw}, spread = {g->dh - 1, g->dw - 1};
    const dnnl_dims_t before = {g->pt, g->pl};
    const dnnl_dims_t after = {((int64_t)g->oh - 1) * g->sh + eh - (int64_t)g->h - g->pt,
                               ((int64_t)g->ow - 1) * g->sw + ew - (int64_t)g->w - g->pl};
    dnnl_memory_desc_t x, w, b, y;
    dnnl_convolution_desc_t conv;
    dnnl_primitive_desc_t pd = NULL;
    bool ok =
        dnnl_memory_desc_init_by_tag(&x, 4, xd, dnnl_f32, dnnl_nhwc) == dnnl_success &&
        dnnl_memory_desc_init_by_tag(&w, 4, wd, dnnl_f32, dnnl_format_tag_any) == dnnl_success &&
        dnnl_memory_desc_init_by_tag(&b, 1, wd, dnnl_f32, dnnl_a) == dnnl_success &&
        dnnl_memory_desc_init_by_tag(&y, 4, yd, dnnl_f32, dnnl_nhwc) == dnnl_success;
    ok = ok && dnnl_dilated_convolution_forward_desc_init(
                   &conv, dnnl_forward_inference, dnnl_convolution_direct, &x, &w, &b, &y, strides,
                   spread, before, after) == dnnl_success;
    if (!ok || dnnl_primitive_desc_create(&pd, &conv, NULL, engine, NULL) != dnnl_success)
        return NULL;
    return pd;
}

/* The layout of the packed filters. */
static bool filter_layout(const op_instance *inst, const prelu_shape *w, dnnl_memory_desc_t *out)
{
    const prelu_shape x = {4, {1, w->dim[1], NOMINAL, NOMINAL}};
    op_patch g;
    if (op_patch_of_conv(&g, inst->node, &x, w, NULL) != PRELU_OK || g.groups != 1)
        return false;
    dnnl_primitive_desc_t pd = describe(&g);
    if (!pd)
        return false;
    *out = *dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0);
    dnnl_primitive_desc_destroy(pd);
    return true;
}

size_t op_onednn_packed(const op_instance *inst, const prelu_shape *w)
{
    dnnl_memory_desc_t layout;
    if (inst->precision != PRELU_PRECISION_FP32 || !wanted() || !filter_layout(inst, w, &layout))
        return 0;
    return dnnl_memory_desc_get_size(&layout);
}

/* Run one primitive on `n` arguments and wait; frees the description. */
static bool execute(dnnl_primitive_desc_t pd, dnnl_exec_arg_t *args, int n)
{
    dnnl_primitive_t p = NULL;
    dnnl_stream_t s = NULL;
    const bool ok = dnnl_primitive_create(&p, pd) == dnnl_success &&
                    dnnl_stream_create(&s, engine, dnnl_stream_default_flags) == dnnl_success &&
                    dnnl_primitive_execute(p, s, n, args) == dnnl_success &&
                    dnnl_stream_wait(s) == dnnl_success;
    if (s)
        dnnl_stream_destroy(s);
    if (p)
        dnnl_primitive_destroy(p);
    dnnl_primitive_desc_destroy(pd);
    return ok;
}

static dnnl_memory_t memory(const dnnl_memory_desc_t *desc, const void *data)
{
    dnnl_memory_t m = NULL;
    if (dnnl_memory_create(&m, desc, engine, (void *)(uintptr_t)data) != dnnl_success)
        return NULL;
    return m;
}

static void free_all(dnnl_exec_arg_t *args, int n)
{
    for (int i = 0; i < n; i++)
        if (args[i].memory)
            dnnl_memory_destroy(args[i].memory);
}

static bool reorder(const dnnl_memory_desc_t *from_layout, const void *from,
                    const dnnl_memory_desc_t *to_layout, void *to)
{
    dnnl_primitive_desc_t pd = NULL;
    if (dnnl_reorder_primitive_desc_create(&pd, from_layout, engine, to_layout, engine, NULL) !=
        dnnl_success)
        return false;
    dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, memory(from_layout, from)},
                              {DNNL_ARG_TO, memory(to_layout, to)}};
    const bool ok = execute(pd, args, 2);
    free_all(args, 2);
    return ok;
}

prelu_status op_onednn_pack(const op_instance *inst, const prelu_shape *w, const op_file_f32 *from,
                            void *to, prelu_err *err)
{
    const dnnl_dims_t dims = {w->dim[0], w->dim[1], w->dim[2], w->dim[3]};
    dnnl_memory_desc_t plain, layout;
    if (filter_layout(inst, w, &layout) &&
        dnnl_memory_desc_init_by_tag(&plain, 4, dims, dnnl_f32, dnnl_oihw) == dnnl_success &&
        reorder(&plain, (const void *)from, &layout, to))
        return PRELU_OK;
    return prelu_fail(err, PRELU_E_UNSUPPORTED, "oneDNN cannot lay out filters");
}

static size_t bias_len(const op_patch *g) { return (g->o + 15) / 16 * 16 * sizeof(float); }

prelu_status op_onednn_work(const op_instance *inst, const op_patch *g, op_work *work,
                            prelu_err *err)
{
    dnnl_primitive_desc_t pd = describe(g);
    (void)inst;
    if (!pd)
        return prelu_fail(err, PRELU_E_UNSUPPORTED, "oneDNN has no such convolution");
    /* zeros where there is no bias; filters in another layout */
    work->shared = bias_len(g) + dnnl_memory_desc_get_size(
                                     dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0));
    dnnl_primitive_desc_destroy(pd);
    work->phases = 2;
    work->flops[0] = 2.0 * (double)(g->n * g->oh * g->ow * g->o) * (double)op_patch_len(g);
    work->tasks[1] = g->n * g->oh;
    work->flops[1] = 4.0 * (double)(g->ow * g->o);
    return PRELU_OK;
}

/* The filters as pd wants them. */
static const void *filters_for(const op_exec *x, const op_patch *g, const void *packed,
                               const dnnl_memory_desc_t *wanted_layout)
{
    const prelu_shape w = {4, {(int64_t)g->o, (int64_t)g->c, (int64_t)g->kh, (int64_t)g->kw}};
    void *to = (char *)x->shared + bias_len(g);
    dnnl_memory_desc_t layout;
    if (!filter_layout(x->op, &w, &layout))
        return NULL;
    if (dnnl_memory_desc_equal(&layout, wanted_layout))
        return packed;
    return reorder(&layout, packed, wanted_layout, to) ? to : NULL;
}

static bool sums(const op_exec *x, const op_patch *g, const void *packed, const float *bias)
{
    dnnl_primitive_desc_t pd = describe(g);
    if (!pd)
        return false;
    const dnnl_memory_desc_t *w = dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0);
    const void *filters = filters_for(x, g, packed, w);
    if (!filters) {
        dnnl_primitive_desc_destroy(pd);
        return false;
    }
    if (!bias)
        bias = memset(x->shared, 0, bias_len(g));
    dnnl_exec_arg_t args[] = {
        {DNNL_ARG_SRC,
         memory(dnnl_primitive_desc_query_md(pd, dnnl_query_src_md, 0), x->in[0].data)},
        {DNNL_ARG_WEIGHTS, memory(w, filters)},
        {DNNL_ARG_BIAS, memory(dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 1), bias)},
        {DNNL_ARG_DST,
         memory(dnnl_primitive_desc_query_md(pd, dnnl_query_dst_md, 0), x->out[0].data)}};
    const int n = (int)(sizeof args / sizeof *args);
    const bool ok = execute(pd, args, n);
    free_all(args, n);
    return ok;
}

void op_onednn_task(const op_exec *x, const op_patch *g, const void *filters,
                    const krn_epilogue *ep, int phase, size_t task)
{
    const size_t row = g->ow * g->o;
    float *y = (float *)x->out[0].data + task * row;
    if (phase == 0) {
        if (!sums(x, g, filters, ep ? ep->bias : NULL)) /* no scores rather than wrong ones */
            memset(x->out[0].data, 0xff, g->n * g->oh * row * sizeof(float));
        return;
    }
    if (!ep || (!ep->residual && ep->act == KRN_ACT_NONE))
        return;
    if (ep->residual || ep->act == KRN_ACT_RELU) {
        krn_epilogue rest = *ep;
        rest.bias = NULL;
        rest.residual = ep->residual ? ep->residual + task * row : NULL;
        krn_epilogue_ref(y, g->o, g->ow, g->o, &rest);
    } else {
        x->op->krn->prelu_f32(y, y, ep->slope, g->ow, g->o);
    }
}
