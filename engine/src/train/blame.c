/* Finding the layer where numbers ran away: the network once more, keeping what every node gives.
 */
#include "prelu/mem.h"
#include "train/trainer.h"
#include <math.h>

static bool is_finite(const prelu_session *s, int output)
{
    const prelu_shape *shape = prelu_session_output_shape(s, output);
    const float *x = prelu_session_output(s, output);
    size_t n = 1;
    for (int i = 0; i < shape->rank; i++)
        n *= (size_t)shape->dim[i];
    for (size_t i = 0; i < n; i++)
        if (!isfinite(x[i]))
            return false;
    return true;
}

static const char *first_bad(prelu_trainer *t, tr_part part, prelu_session *s,
                             const prelu_view *views, size_t n, uint64_t seed)
{
    const tr_net *net = &t->nets[part];
    for (int i = 0; i < t->n_params; i++)
        if (t->params[i].part == part &&
            prelu_session_bind(s, t->params[i].var, t->weights + t->params[i].offset, NULL))
            return NULL;
    if (prelu_session_reshape(s, (int64_t)n, t->o.height, t->o.width, NULL))
        return NULL;
    if (part == TR_HEAD ? prelu_session_set_input(s, 0, t->rows, n * t->features, NULL)
                        : prelu_session_set_views(s, views, n, NULL))
        return NULL;
    prelu_session_seed(s, seed);
    if (prelu_session_run(s, NULL))
        return NULL;
    for (int i = 0; i < net->n_forward; i++)
        if (!is_finite(s, i))
            return net->graph->nodes[i].name;
    return "the loss";
}

const char *tr_blame(prelu_trainer *t, tr_part part, const prelu_view *views, size_t n,
                     uint64_t seed)
{
    const tr_net *net = &t->nets[part];
    prelu_plan_options o = {.precision = tr_precision(t),
                            .pool = t->pool,
                            .n_outputs = net->n_forward,
                            .training = true};
    prelu_value *outputs = prelu_calloc((size_t)net->n_forward + 1, sizeof *outputs);
    prelu_plan *plan = NULL;
    prelu_session *s = NULL;
    const char *name = NULL;
    if (!outputs)
        return "a layer";
    for (int i = 0; i < net->n_forward; i++)
        outputs[i] = net->graph->nodes[i].out[0];
    o.outputs = outputs;
    if (!prelu_plan_create(&plan, net->graph, &o, NULL) &&
        !prelu_session_create(&s, plan, t->pool, 0, NULL))
        name = first_bad(t, part, s, views, n, seed);
    prelu_session_destroy(&s);
    prelu_plan_destroy(&plan);
    prelu_free(outputs);
    return name ? name : "a layer that memory is too short to find";
}
