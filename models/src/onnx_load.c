/* prelu_model_load: a file becomes a model. */
#include "file.h"
#include "onnx_build.h"
#include "prelu/log.h"
#include "prelu/mem.h"
#include <string.h>

#define MAX_LABEL_FILE ((size_t)64 << 20)

static const char *metadata(const onnx_doc *doc, const char *key)
{
    for (size_t i = 0; i < doc->n_metadata; i++)
        if (!strcmp(doc->metadata[i].key, key))
            return doc->metadata[i].value;
    return NULL;
}

/* A foreign file that fixes its picture's size says the crop; the rest in the paper's proportions.
 */
static void geometry_from_input(prelu_preprocess *p, const onnx_doc *doc)
{
    const prelu_shape *s = doc->n_inputs ? &doc->inputs[0].shape : NULL;
    for (size_t i = 0; i < doc->n_inputs; i++)
        if (doc->inputs[i].shape.rank == 4 && doc->inputs[i].shape.dim[1] == 3) {
            s = &doc->inputs[i].shape;
            break;
        }
    if (!s || s->rank != 4 || s->dim[2] != s->dim[3] || s->dim[2] < 1 || s->dim[2] > 3584)
        return;
    for (int i = 0; i < p->n_scales; i++)
        p->scales[i] = (int)((p->scales[i] * s->dim[2] + 112) / 224);
    p->resize = (int)((256 * s->dim[2] + 112) / 224);
    p->crop = (int)s->dim[2];
}

static prelu_status read_preprocess(prelu_model *m, const onnx_doc *doc,
                                    const prelu_model_options *o, prelu_err *err)
{
    const char *json = metadata(doc, "prelu.preprocess");
    prelu_preprocess *p = &m->preprocess;
    mdl_preprocess_defaults(p);
    if (json)
        PRELU_TRY(mdl_preprocess_parse(p, json, false, err));
    else
        geometry_from_input(p, doc);
    if (o && o->preprocess)
        return mdl_preprocess_named(p, o->preprocess, err);
    if (!json)
        prelu_log(PRELU_LOG_WARN, "the model says nothing of preprocessing: it gets raw 0..255 RGB "
                                  "(--preprocess imagenet is what torchvision's expect)");
    return PRELU_OK;
}

static prelu_status read_labels(prelu_model *m, const onnx_doc *doc, const prelu_model_options *o,
                                prelu_err *err)
{
    const char *json = metadata(doc, "prelu.labels");
    prelu_status st;
    char *text;
    size_t len;
    if (o && o->labels) {
        PRELU_TRY(mdl_file_read(o->labels, MAX_LABEL_FILE, &text, &len, err));
        st = mdl_labels_lines(&m->labels, m->classes, text, err);
        prelu_free(text);
        return st;
    }
    if (json && m->classes > 0)
        return mdl_labels_parse(&m->labels, m->classes, json, err);
    return mdl_labels_empty(&m->labels, m->classes, err);
}

/* The folder of `path`, owned by the caller. */
static prelu_status folder_of(char **out, const char *path, prelu_err *err)
{
    const char *slash = strrchr(path, '/');
    *out = !slash ? prelu_strdup(".") : prelu_strndup(path, (size_t)(slash - path) + 1);
    return *out ? PRELU_OK : prelu_fail(err, PRELU_E_NOMEM, "path");
}

static prelu_status fill(prelu_model *m, onnx_doc *doc, const mdl_map *file, const char *folder,
                         const prelu_model_options *o, prelu_err *err)
{
    prelu_preprocess *p = &m->preprocess;
    m->logits = m->prob = PRELU_NONE;
    m->extra = prelu_calloc(1, sizeof *m->extra);
    if (!m->extra)
        return prelu_fail(err, PRELU_E_NOMEM, "model: %zu bytes", sizeof *m->extra);
    PRELU_TRY(onnx_doc_read(doc, file, folder, m->extra, err));
    PRELU_TRY(read_preprocess(m, doc, o, err));
    PRELU_TRY(onnx_graph_build(&m->graph, doc, p->crop, &m->extra->pile, err));
    PRELU_TRY(onnx_graph_tidy(&m->graph, p, err));
    /* From here on the arithmetic is the graph's own. */
    p->bgr = false;
    p->scale = 1;
    for (int i = 0; i < 3; i++) {
        p->mean[i] = 0;
        p->std[i] = 1;
    }
    PRELU_TRY(mdl_find_scores(m, err));
    PRELU_TRY(read_labels(m, doc, o, err));
    PRELU_TRY(mdl_text_set(&m->arch, metadata(doc, "prelu.arch"), err));
    PRELU_TRY(mdl_text_set(&m->training, metadata(doc, "prelu.training"), err));
    PRELU_TRY(mdl_text_set(&m->precision, metadata(doc, "prelu.precision"), err));
    if (m->precision)
        PRELU_TRY(mdl_precision_parse(m->precision, &m->int8fc_agrees, err));
    /* With other arithmetic before the network, its scores say nothing. */
    return mdl_text_set(&m->check, o && o->preprocess ? NULL : metadata(doc, "prelu.check"), err);
}

prelu_status mdl_model_read(prelu_model **out, const mdl_map *file, const char *folder,
                            const prelu_model_options *o, prelu_err *err)
{
    onnx_doc doc = {.ir_version = 0};
    prelu_model *m = prelu_calloc(1, sizeof *m);
    prelu_status st;
    if (!m)
        return prelu_fail(err, PRELU_E_NOMEM, "model: %zu bytes", sizeof *m);
    st = fill(m, &doc, file, folder, o, err);
    onnx_doc_deinit(&doc);
    if (st)
        prelu_model_destroy(&m);
    else
        *out = m;
    return st;
}

prelu_status prelu_model_load(prelu_model **out, const char *path, const prelu_model_options *o,
                              prelu_err *err)
{
    const char *slash = strrchr(path, '/');
    prelu_err inner = {0};
    mdl_map map = {NULL, 0};
    char *folder = NULL;
    prelu_status st;
    PRELU_TRY(folder_of(&folder, path, err));
    st = mdl_map_file(&map, path, err);
    if (st)
        goto out;
    st = mdl_model_read(out, &map, folder, o, &inner);
    if (st) {
        mdl_map_deinit(&map);
        st = prelu_fail(err, st, "%.60s: %.190s", slash ? slash + 1 : path, inner.text);
        goto out;
    }
    (*out)->map = (void *)map.data;
    (*out)->map_len = map.len;
out:
    prelu_free(folder);
    return st;
}
