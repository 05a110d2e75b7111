#include "ops/conv_variable.h"

op_conv_variable op_conv_variable_cut(const op_patch *g, const prelu_node *n, const prelu_shape *w,
                                      const krn_table *krn)
{
    op_conv_variable v = {.p = op_conv_cut(g, krn->gemm_f32), .gemm = krn->gemm_f32};
    v.winograd = op_winograd_fits(n, w) != OP_WINOGRAD_NO && op_winograd_pays_batch(g, krn);
    if (v.winograd)
        v.w = op_winograd_cut(g, krn, false);
    return v;
}

/* Phases of a round: the filters' (in the first round only), then the product's. The filters lie
 * behind what Winograd shares. */
prelu_status op_conv_variable_work(const op_conv_variable *v, op_work *work, prelu_err *err)
{
    size_t bytes;
    PRELU_TRY(prelu_mul(op_conv_packed(&v->p), sizeof(float), &bytes, err));
    if (v->winograd) {
        PRELU_TRY(op_winograd_work(&v->w, work, err));
        for (int i = work->phases++; i > 0; i--) {
            work->tasks[i] = work->tasks[i - 1];
            work->flops[i] = work->flops[i - 1];
        }
    } else {
        op_conv_work(&v->p, v->gemm, work, 1);
        work->phases = 2;
    }
    work->tasks[0] = v->p.g.groups * v->p.panels;
    work->flops[0] = 4.0 * (double)v->p.panel_len;
    return prelu_add(work->shared, bytes, &work->shared, err);
}

void op_conv_variable_task(const op_conv_variable *v, const op_conv_variable_run *r, int phase,
                           size_t task)
{
    const int phases = 1 + (v->winograd ? op_winograd_phases(&v->w) : 1);
    const int round = phase / phases, in = phase % phases;
    float *panels = (float *)r->shared + (v->winograd ? op_winograd_shared(&v->w) : 0);
    if (in == 0) {
        if (round == 0)
            r->pack(panels + task * v->p.panel_len, &v->p.g, v->gemm->nr, r->filters,
                    task / v->p.panels, task % v->p.panels * v->gemm->nr);
        return;
    }
    if (!v->winograd) {
        op_conv_task(&v->p, v->gemm, r->x, panels, r->y, r->ep, task, r->scratch);
        return;
    }
    const op_winograd_run w = {.x = r->x,
                               .filters = panels,
                               .y = r->y,
                               .ep = r->ep,
                               .shared = r->shared,
                               .scratch = r->scratch};
    op_winograd_task(&v->w, &w, (phases - 1) * round + in - 1, task);
}
