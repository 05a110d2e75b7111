#ifndef PRELU_SESSION_H
#define PRELU_SESSION_H
#include "prelu/image.h"
#include "prelu/plan.h"
#include <stdatomic.h>

/** One worker's activations for a plan. Not thread-safe; many sessions may share a plan and pool.
 */
typedef struct prelu_session prelu_session;

/** @param pool borrowed, may be NULL; @param max_bytes ceiling of the activations, 0 = 8 GiB. */
PRELU_MUST_CHECK prelu_status prelu_session_create(prelu_session **out, const prelu_plan *plan,
                                                   prelu_pool *pool, size_t max_bytes,
                                                   prelu_err *err);
void prelu_session_destroy(prelu_session **s);

/** Lay out all activations in one block for n pictures of h x w (first and last use). The only call
 *  that allocates; cheap when the sizes are the last ones. Input dims that the graph fixes must
 * fit.
 *  @return E_ARG sizes, E_FORMAT shapes do not fit (text names the node), E_LIMIT above max_bytes,
 *  E_NOMEM. */
PRELU_MUST_CHECK prelu_status prelu_session_reshape(prelu_session *s, int64_t n, int64_t h,
                                                    int64_t w, prelu_err *err);

/** Feed the first input: n views of h x w u8 RGB, borrowed until the run ends. */
PRELU_MUST_CHECK prelu_status prelu_session_set_views(prelu_session *s, const prelu_view *views,
                                                      size_t n, prelu_err *err);
/** Feed an input (by number) with row-major data in logical order (f32; labels i32), borrowed until
 *  the run ends. @param count elements, checked against the shape. */
PRELU_MUST_CHECK prelu_status prelu_session_set_input(prelu_session *s, int input, const void *data,
                                                      size_t count, prelu_err *err);
/** Bind a variable (prelu_graph_make_variable, by the index that the value had in the graph) to a
 *  buffer in the engine's layout (rank 4: channels-last), read at every run; borrowed. */
PRELU_MUST_CHECK prelu_status prelu_session_bind(prelu_session *s, prelu_value variable,
                                                 const float *data, prelu_err *err);
/** Seed of Dropout for the next run. */
void prelu_session_seed(prelu_session *s, uint64_t seed);

/** When a step ends before its run does. Where, and how often, changes no bit of the results. */
typedef struct prelu_pause {
    bool brief;              /* after a millisecond's work or so of each thread */
    const atomic_bool *stop; /* once it is set, within the time of a task, which is a small part of
                                a layer's work; NULL = never */
} prelu_pause;
/** Begin; then step until *done. Between steps the caller may drop the run. Allocates nothing. */
PRELU_MUST_CHECK prelu_status prelu_session_begin(prelu_session *s, prelu_err *err);
PRELU_MUST_CHECK prelu_status prelu_session_step(prelu_session *s, prelu_pause pause, bool *done,
                                                 prelu_err *err);
/** Add up where time goes: from now on, each run adds the seconds of layer i of the plan to
 *  seconds[i], and those of feeding the inputs to seconds[prelu_plan_layers(plan)]. Borrowed; NULL
 *  ends it. */
void prelu_session_clock(prelu_session *s, double *seconds);
/** From now on `done` is called after each layer of a run, by the thread that runs it: its outputs
 *  are there. NULL ends it. */
void prelu_session_watch(prelu_session *s, void (*done)(void *ctx, int layer), void *ctx);
/** From such a call: give an input other data than the run began with, for the layers that come.
 *  @param data  as prelu_session_set_input's, whose number of elements it has. */
void prelu_session_renew(prelu_session *s, int input, const void *data);
/** begin, and step to the end. */
PRELU_MUST_CHECK prelu_status prelu_session_run(prelu_session *s, prelu_err *err);

/** Output i after a run: f32, valid until the next reshape or run. Rank 4 outputs lie
 * channels-last; see prelu_session_read for logical order. */
const float *prelu_session_output(const prelu_session *s, int i);
const prelu_shape *prelu_session_output_shape(const prelu_session *s, int i);
/** Copy output i in logical (ONNX) order. @param count elements of dst, must be the output's. */
PRELU_MUST_CHECK prelu_status prelu_session_read(const prelu_session *s, int i, float *dst,
                                                 size_t count, prelu_err *err);
const prelu_plan *prelu_session_plan(const prelu_session *s);
size_t prelu_session_bytes(const prelu_session *s); /* of the block and scratch */
/** What prelu_session_bytes would be after a reshape to n x h x w; allocates no activations.
 *  @return as prelu_session_reshape. Thread-safe. */
PRELU_MUST_CHECK prelu_status prelu_session_measure(const prelu_plan *plan, prelu_pool *pool,
                                                    int64_t n, int64_t h, int64_t w, size_t *bytes,
                                                    prelu_err *err);
#endif
