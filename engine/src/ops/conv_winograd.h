#ifndef OP_CONV_WINOGRAD_H
#define OP_CONV_WINOGRAD_H
#include "ops/patch.h"
#include "ops/product.h"

/** Convolution 3x3 or 2x2, stride 1, by Winograd (kernels/winograd.h), in rounds of two phases over
 * some of the batch's tiles, so that what the first leaves for the second stays in the shared
 * cache:
 *
 *      phase 0   a few tiles:   windows -> v[part][xi][tile][depth]                 krn->input
 *      phase 1   a block of tiles x a block of output channels, whose 36 sums stay in L2:
 *                for each part of the input channels, each of 6 rows of xi, each strip of filters
 *                    filters -> u[xi][panel][depth][nr], or made when packed      krn->filter
 *                    m[xi][tile][output] += v[xi] u[xi]              krn->product or gemm_f32
 *                m -> pixels, bias, residual, activation                          krn->output
 *
 *  Where a block's windows and its sums for all outputs fit into L2, and there are blocks enough,
 *  the block makes the windows itself: one phase, and nothing is shared.
 *
 *  A sum is one chain over the channels in rising order (krn_gemm), so no cut into rounds, blocks,
 *  parts or strips changes a bit, and blocks may span images. */

/** Tiles of one kind: rows x cols of them in each image, from tile (y,x) on. */
typedef struct op_winograd_tiles {
    size_t y, x, rows, cols, from; /* from: the first one's number in a span */
} op_winograd_tiles;
/** A span's tiles are numbered kind by kind, so that those that have an element of the products lie
 *  side by side: without rows 3 and 4 of the elements, bottom and corner (short,
 * krn_winograd_short) drop out; without columns 3 and 4, right and corner. */
enum { OP_TILES_CORNER, OP_TILES_RIGHT, OP_TILES_FULL, OP_TILES_BOTTOM, OP_TILES_KINDS };

typedef struct op_winograd {
    op_patch g;
    const krn_gemm *gemm;
    const krn_winograd *krn;
    const krn_gemm_narrow *bf16;
    bool ahead;   /* filters were transformed when packed */
    bool narrow;  /* filters not made ahead are in bf16; set after op_winograd_cut */
    bool own;     /* every block makes its own windows */
    size_t tiles; /* of one image */
    op_winograd_tiles kinds[OP_TILES_KINDS];
    size_t spans, span, span_rounds;   /* a span is cut into rounds: the batch, or one image */
    size_t most_round;                 /* tiles of a round */
    size_t tile_blocks, most_tiles;    /* tasks along the tiles of a round; tiles of a task */
    size_t strips, panels;             /* of the filters */
    size_t strip_blocks, most_outputs; /* tasks along the outputs; outputs of a task */
    size_t depth, parts, ldv;          /* input channels of a part; floats of a row of v */
    size_t v_step, u_step, m_step;     /* floats from one xi to the next */
} op_winograd;

/** How to pack the filters, by the node and its filters' shape; picture sizes are not known then.
 *  On the fly: packed for the direct product, and the same memory serves both; small filters are
 *  transformed ahead, four times as large. */
typedef enum op_winograd_kind {
    OP_WINOGRAD_NO,
    OP_WINOGRAD_FLY,
    OP_WINOGRAD_AHEAD
} op_winograd_kind;
/** The variant for filters of taps x taps, 2 or 3. */
static inline const krn_winograd *op_winograd_of(const krn_table *krn, size_t taps)
{
    return taps == 2 ? krn->winograd_2x2_f32 : krn->winograd_f32;
}
op_winograd_kind op_winograd_fits(const prelu_node *n, const prelu_shape *w);
/** False where one image has so few outputs that the direct product is faster. */
bool op_winograd_pays(const op_patch *g);
/** The same for a run whose filters serve a batch of any size. */
bool op_winograd_pays_batch(const op_patch *g, const krn_table *krn);
/** @param g its kh says which variant. */
op_winograd op_winograd_cut(const op_patch *g, const krn_table *krn, bool ahead);

/** Floats of the filters transformed ahead. */
size_t op_winograd_packed(const op_winograd *p);
/** Strip `strip` of them from panels packed for the direct product (op_conv). */
void op_winograd_pack(const op_winograd *p, float *packed, const float *panels, size_t strip);

static inline int op_winograd_phases(const op_winograd *p) { return p->own ? 1 : 2; }
/** Floats of `shared`; whole cache lines. */
size_t op_winograd_shared(const op_winograd *p);
/** Fill all of work. E_LIMIT. */
prelu_status op_winograd_work(const op_winograd *p, op_work *work, prelu_err *err);
typedef struct op_winograd_run {
    const float *x, *filters;        /* packed ahead, or the direct product's panels */
    const uint16_t *x16, *filters16; /* x in bf16 instead, or NULL; panels if `narrow` */
    bool round;                      /* x to bf16 as it is read */
    float *y;
    uint16_t *y16;          /* instead of y, or NULL */
    const krn_epilogue *ep; /* as for op_conv_task */
    float *shared, *scratch;
} op_winograd_run;
/** @param phase counted on over the rounds. */
void op_winograd_task(const op_winograd *p, const op_winograd_run *r, int phase, size_t task);
#endif
