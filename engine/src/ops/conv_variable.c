#include "ops/conv_variable.h"
#include "ops/round.h"

op_conv_variable op_conv_variable_cut(const op_instance *inst, const op_patch *g,
                                      const prelu_shape *w)
{
    const krn_table *krn = inst->krn;
    op_conv_variable v = {.p = op_conv_cut(g, krn->gemm_f32), .krn = krn};
    v.bf16 = inst->round && op_rounds_itself(inst->node, w, krn);
    if (v.bf16) {
        v.low = op_conv_bf16_cut(g, krn);
        v.low_panels = (g->o + v.low.nr - 1) / v.low.nr;
        v.low_panel = v.low.nr * v.low.steps * KRN_BF16_K;
        return v;
    }
    v.winograd =
        op_winograd_fits(inst->node, w) != OP_WINOGRAD_NO && op_winograd_pays_batch(g, krn);
    if (v.winograd)
        v.w = op_winograd_cut(g, krn, false);
    return v;
}

/* The picture is laid out and the filters are packed in one phase; they lie behind it. */
static prelu_status low_work(const op_conv_variable *v, op_work *work, prelu_err *err)
{
    size_t bytes;
    PRELU_TRY(op_conv_bf16_work(&v->low, work, err));
    PRELU_TRY(prelu_mul(v->low_panels * sizeof(uint16_t), v->low_panel, &bytes, err));
    PRELU_TRY(prelu_add(work->shared, 63, &work->shared, err));
    work->shared = work->shared / 64 * 64;
    work->tasks[0] += v->low_panels;
    return prelu_add(work->shared, bytes, &work->shared, err);
}

/* Phases of a round: the filters' (in the first round only), then the product's. The filters lie
 * behind what Winograd shares. */
prelu_status op_conv_variable_work(const op_conv_variable *v, op_work *work, prelu_err *err)
{
    size_t bytes;
    if (v->bf16)
        return low_work(v, work, err);
    PRELU_TRY(prelu_mul(op_conv_packed(&v->p), sizeof(float), &bytes, err));
    if (v->winograd) {
        PRELU_TRY(op_winograd_work(&v->w, work, err));
        for (int i = work->phases++; i > 0; i--) {
            work->tasks[i] = work->tasks[i - 1];
            work->flops[i] = work->flops[i - 1];
        }
    } else {
        op_conv_work(&v->p, v->krn->gemm_f32, work, 1);
        work->phases = 2;
    }
    work->tasks[0] = v->p.g.groups * v->p.panels;
    work->flops[0] = 4.0 * (double)v->p.panel_len;
    return prelu_add(work->shared, bytes, &work->shared, err);
}

static void low_task(const op_conv_variable *v, const op_conv_variable_run *r, int phase,
                     size_t task)
{
    const op_exec *x = r->exec;
    const size_t len = v->low_panels * v->low_panel, lay = x->work->tasks[0] - v->low_panels;
    uint16_t *panels =
        (uint16_t *)(void *)((char *)x->shared + x->work->shared - len * sizeof *panels);
    if (phase == 0 && task >= lay)
        r->pack_bf16(panels + (task - lay) * v->low_panel, &v->p.g, v->krn, x->in[1].data,
                     (task - lay) * v->low.nr);
    else
        op_conv_bf16_task(&v->low, v->krn, x, panels, r->ep, phase, task, r->scratch);
}

void op_conv_variable_task(const op_conv_variable *v, const op_conv_variable_run *r, int phase,
                           size_t task)
{
    const op_exec *x = r->exec;
    const int phases = 1 + (v->winograd ? op_winograd_phases(&v->w) : 1);
    const int round = phase / phases, in = phase % phases;
    if (v->bf16) {
        low_task(v, r, phase, task);
        return;
    }
    float *panels = (float *)x->shared + (v->winograd ? op_winograd_shared(&v->w) : 0);
    if (in == 0) {
        if (round == 0)
            r->pack(panels + task * v->p.panel_len, &v->p.g, v->krn->gemm_f32->nr, x->in[1].data,
                    task / v->p.panels, task % v->p.panels * v->krn->gemm_f32->nr);
        return;
    }
    if (!v->winograd) {
        op_conv_task(&v->p, v->krn->gemm_f32, x->in[0].data, panels, x->out[0].data, r->ep, task,
                     r->scratch);
        return;
    }
    const op_winograd_run w = {.x = x->in[0].data,
                               .filters = panels,
                               .y = x->out[0].data,
                               .ep = r->ep,
                               .shared = x->shared,
                               .scratch = r->scratch};
    op_winograd_task(&v->w, &w, (phases - 1) * round + in - 1, task);
}
