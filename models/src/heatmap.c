/* The score map of a class, from the scores of windows. */
#include "prelu/heatmap.h"
#include "prelu/mem.h"
#include <math.h>

/* Pixels added to a picture to count how many windows more it has. */
enum { STRETCH = 1 << 15 };

/* One size of the picture: its windows, and how they lie. */
typedef struct grid {
    int rows, cols;
    double stride_x, stride_y;
} grid;

/* A trunk rounds sizes down, so its stride shows only over many windows. */
static prelu_status find_stride(double *stride, const prelu_plan *plan, int crop, bool across,
                                prelu_err *err)
{
    prelu_plan_cost cost;
    const int64_t w = crop + (across ? STRETCH : 0), h = crop + (across ? 0 : STRETCH);
    PRELU_TRY(prelu_plan_measure(plan, h, w, &cost, err));
    if (cost.rows < 2)
        return prelu_fail(err, PRELU_E_ARG, "heatmap: the network has one window for all sizes");
    *stride = floor(STRETCH / (double)(cost.rows - 1) + 0.5);
    return PRELU_OK;
}

static prelu_status find_grid(grid *g, const prelu_prepared *p, int i, const prelu_model *m,
                              const prelu_test *t, prelu_err *err)
{
    const int crop = m->preprocess.crop;
    prelu_plan_cost down;
    PRELU_TRY(find_stride(&g->stride_x, t->dense, crop, true, err));
    PRELU_TRY(find_stride(&g->stride_y, t->dense, crop, false, err));
    PRELU_TRY(prelu_plan_measure(t->dense, p->images[i].height, crop, &down, err));
    const size_t windows = p->rows[i] / 2;
    if (down.rows < 1 || windows % down.rows != 0)
        return prelu_fail(err, PRELU_E_ARG, "heatmap: %zu windows in %zu rows", windows, down.rows);
    g->rows = (int)down.rows;
    g->cols = (int)(windows / down.rows);
    return PRELU_OK;
}

/* A window's softmax score of class c. */
static double score_of(const float *row, size_t classes, size_t c, prelu_average average)
{
    double most = (double)row[0], sum = 0;
    if (average == PRELU_AVERAGE_PROB)
        return (double)row[c];
    for (size_t i = 1; i < classes; i++)
        most = fmax(most, (double)row[i]);
    for (size_t i = 0; i < classes; i++)
        sum += exp((double)row[i] - most);
    return exp((double)row[c] - most) / sum;
}

/* The map of size number i; its scores begin at `scores`, the mirrored picture's after them. */
static prelu_status make_one(prelu_heatmap *out, const prelu_prepared *p, int i,
                             const prelu_model *m, const prelu_test *t, const float *scores,
                             size_t c, prelu_err *err)
{
    const prelu_image *img = &p->images[i];
    const size_t classes = (size_t)m->classes;
    const double crop = m->preprocess.crop, fx = (double)p->info.width / img->width,
                 fy = (double)p->info.height / img->height;
    grid g = {0};
    PRELU_TRY(find_grid(&g, p, i, m, t, err));
    const size_t cols = (size_t)g.cols, n = (size_t)g.rows * cols;
    float *to = prelu_calloc(n, sizeof *to);
    if (!to)
        return prelu_fail(err, PRELU_E_NOMEM, "heatmap: %zu windows", n);
    for (size_t k = 0; k < n; k++) {
        const size_t twin = n + k / cols * cols + (cols - 1 - k % cols);
        to[k] = (float)((score_of(scores + k * classes, classes, c, p->average) +
                         score_of(scores + twin * classes, classes, c, p->average)) /
                        2);
    }
    const double beside = img->width - crop - (g.cols - 1) * g.stride_x; /* the twin, in pixels */
    const double left = (crop - g.stride_x + beside) / 2, top = (crop - g.stride_y) / 2;
    *out = (prelu_heatmap){.rows = g.rows,
                           .cols = g.cols,
                           .scores = to,
                           .box = {left * fx, top * fy, (left + g.cols * g.stride_x) * fx,
                                   (top + g.rows * g.stride_y) * fy},
                           .window = {crop * fx, crop * fy}};
    return PRELU_OK;
}

prelu_status prelu_heatmap_make(prelu_heatmap *out, const prelu_prepared *p, const prelu_model *m,
                                const prelu_test *t, const float *scores, int class_index,
                                prelu_err *err)
{
    prelu_heatmap all = {.scores = NULL}, one;
    size_t at[PRELU_MAX_IMAGES_PREPARED], largest = 0, n = 1;
    prelu_status st;
    if (!t->dense || class_index < 0 || class_index >= m->classes)
        return prelu_fail(err, PRELU_E_ARG, "heatmap of class %d in mode %s", class_index,
                          prelu_mode_name(t->mode));
    for (int i = 0; i < p->n_images; i++) {
        at[i] = i ? at[i - 1] + p->rows[i - 1] : 0;
        largest = p->rows[i] > p->rows[largest] ? (size_t)i : largest;
    }
    const size_t classes = (size_t)m->classes, c = (size_t)class_index;
    st = make_one(&all, p, (int)largest, m, t, scores + at[largest] * classes, c, err);
    for (int i = 0; i < p->n_images && !st; i++) {
        if ((size_t)i == largest)
            continue;
        st = make_one(&one, p, i, m, t, scores + at[i] * classes, c, err);
        if (st)
            break;
        prelu_heatmap_join(&all, &one, ++n);
        prelu_heatmap_deinit(&one);
    }
    if (st)
        prelu_heatmap_deinit(&all);
    else
        *out = all;
    return st;
}

void prelu_heatmap_deinit(prelu_heatmap *h)
{
    prelu_free(h->scores);
    *h = (prelu_heatmap){.scores = NULL};
}

/* Between the centres of cells, straight; beyond the outer ones, as there. */
static double sample(const prelu_heatmap *h, double x, double y)
{
    const double u = (x - h->box[0]) / (h->box[2] - h->box[0]) * h->cols - 0.5;
    const double v = (y - h->box[1]) / (h->box[3] - h->box[1]) * h->rows - 0.5;
    const double i = fmin(fmax(u, 0), h->cols - 1), k = fmin(fmax(v, 0), h->rows - 1);
    const int i0 = (int)i, k0 = (int)k;
    const int i1 = i0 + 1 < h->cols ? i0 + 1 : i0, k1 = k0 + 1 < h->rows ? k0 + 1 : k0;
    const float *a = h->scores + (size_t)k0 * (size_t)h->cols;
    const float *b = h->scores + (size_t)k1 * (size_t)h->cols;
    const double s = i - i0, above = (1 - s) * (double)a[i0] + s * (double)a[i1];
    const double below = (1 - s) * (double)b[i0] + s * (double)b[i1];
    return above + (k - k0) * (below - above);
}

void prelu_heatmap_join(prelu_heatmap *into, const prelu_heatmap *other, size_t n)
{
    const double w = (into->box[2] - into->box[0]) / into->cols;
    const double h = (into->box[3] - into->box[1]) / into->rows;
    for (int k = 0; k < into->rows; k++)
        for (int i = 0; i < into->cols; i++) {
            float *s = &into->scores[(size_t)k * (size_t)into->cols + (size_t)i];
            const double x = into->box[0] + (i + 0.5) * w, y = into->box[1] + (k + 0.5) * h;
            *s += (float)((sample(other, x, y) - (double)*s) / (double)n);
        }
}

/* Blue, yellow, red; ever less of the picture. @param v  0..1. */
static void blend(uint8_t *px, double v)
{
    static const double ramp[4][3] = {{0, 0, 160}, {0, 160, 255}, {255, 220, 0}, {255, 0, 0}};
    const double at = v * 3, alpha = 0.7 * sqrt(v);
    const int i = at < 2 ? (int)at : 2;
    for (int c = 0; c < 3; c++) {
        const double colour = ramp[i][c] + (at - i) * (ramp[i + 1][c] - ramp[i][c]);
        px[c] = (uint8_t)(px[c] + alpha * (colour - px[c]) + 0.5);
    }
}

prelu_status prelu_heatmap_paint(prelu_image *dst, const prelu_heatmap *h,
                                 const prelu_image *picture, int width, int height, prelu_err *err)
{
    const int longer = picture->width > picture->height ? picture->width : picture->height;
    const double f = longer > PRELU_HEATMAP_SIDE ? (double)PRELU_HEATMAP_SIDE / longer : 1;
    const int w = (int)fmax(1, picture->width * f), hh = (int)fmax(1, picture->height * f);
    double most = 0;
    PRELU_TRY(prelu_image_resize(dst, picture, w, hh, NULL, err));
    for (size_t i = 0; i < (size_t)h->rows * (size_t)h->cols; i++)
        most = fmax(most, (double)h->scores[i]);
    for (int y = 0; y < hh && most > 0; y++)
        for (int x = 0; x < w; x++) {
            const double v = sample(h, (x + 0.5) * width / w, (y + 0.5) * height / hh) / most;
            blend(dst->data + (size_t)y * dst->stride + (size_t)x * 3, fmin(fmax(v, 0), 1));
        }
    return PRELU_OK;
}
