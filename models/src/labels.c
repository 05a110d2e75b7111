#include "model_private.h"
#include "prelu/mem.h"
#include <string.h>

void mdl_labels_free(prelu_label *labels, int classes)
{
    for (int i = 0; labels && i < classes; i++) {
        prelu_free(labels[i].id);
        prelu_free(labels[i].label);
    }
    prelu_free(labels);
}

prelu_status mdl_labels_empty(prelu_label **out, int classes, prelu_err *err)
{
    prelu_label *labels = prelu_calloc((size_t)classes, sizeof *labels);
    if (!labels)
        return prelu_fail(err, PRELU_E_NOMEM, "%d labels", classes);
    for (int i = 0; i < classes; i++) {
        labels[i].id = prelu_strdup("");
        labels[i].label = prelu_strdup("");
        if (!labels[i].id || !labels[i].label) {
            mdl_labels_free(labels, classes);
            return prelu_fail(err, PRELU_E_NOMEM, "%d labels", classes);
        }
    }
    *out = labels;
    return PRELU_OK;
}

/* Well-formed UTF-8: no overlong forms, surrogates or values above U+10FFFF. */
static bool is_utf8(const char *text, size_t len)
{
    const unsigned char *s = (const unsigned char *)text, *end = s + len;
    while (s < end) {
        int more = *s < 0x80   ? 0
                   : *s < 0xc2 ? -1
                   : *s < 0xe0 ? 1
                   : *s < 0xf0 ? 2
                   : *s < 0xf5 ? 3
                               : -1;
        if (more < 0 || end - s <= more)
            return false;
        if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
            (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
            return false;
        for (int i = 1; i <= more; i++)
            if ((s[i] & 0xc0) != 0x80)
                return false;
        s += more + 1;
    }
    return true;
}

static prelu_status set_line(prelu_label *l, int number, const char *line, size_t len,
                             prelu_err *err)
{
    const char *tab = memchr(line, '\t', len);
    size_t id_len = tab ? (size_t)(tab - line) : 0, skip = tab ? id_len + 1 : 0;
    if (!is_utf8(line, len))
        return prelu_fail(err, PRELU_E_FORMAT, "labels: line %d is not UTF-8", number);
    prelu_free(l->id);
    prelu_free(l->label);
    l->id = prelu_strndup(line, id_len);
    l->label = prelu_strndup(line + skip, len - skip);
    if (!l->id || !l->label)
        return prelu_fail(err, PRELU_E_NOMEM, "labels: line %d", number);
    return PRELU_OK;
}

prelu_status mdl_labels_lines(prelu_label **out, int classes, const char *text, prelu_err *err)
{
    prelu_label *labels = NULL;
    prelu_status st;
    int lines = 0;
    PRELU_TRY(mdl_labels_empty(&labels, classes, err));
    while (*text) {
        size_t all = strcspn(text, "\n"), len = all;
        if (len && text[len - 1] == '\r')
            len--;
        if (labels && lines < classes) {
            st = set_line(&labels[lines], lines + 1, text, len, err);
            if (st)
                goto out;
        }
        lines++;
        text += all + (text[all] == '\n');
    }
    st = lines == classes
             ? PRELU_OK
             : prelu_fail(err, PRELU_E_FORMAT, "labels: %d lines, but the model has %d classes",
                          lines, classes);
out:
    if (st)
        mdl_labels_free(labels, classes);
    else
        *out = labels;
    return st;
}
