#include "jsonscan.h"
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

/* Behind the closing quote of the string that begins at p; NULL: it has none. */
static char *string_end(char *p, const char *end)
{
    for (p++; p < end; p++) {
        if (*p == '"')
            return p + 1;
        if (*p == '\\')
            p++;
    }
    return NULL;
}

/* Behind the bracket that closes the one at p. */
static prelu_status array_end(char *p, const char *end, int depth, char **out, prelu_err *err)
{
    const int outside = depth;
    while (p && p < end) {
        if (*p == '"') {
            p = string_end(p, end);
            continue;
        }
        if ((*p == '[' || *p == '{') && ++depth > SRV_JSON_DEPTH)
            return prelu_fail(err, PRELU_E_FORMAT, "JSON deeper than %d levels", SRV_JSON_DEPTH);
        if ((*p == ']' || *p == '}') && --depth == outside) {
            *out = p + 1;
            return PRELU_OK;
        }
        p++;
    }
    return prelu_fail(err, PRELU_E_FORMAT, "JSON that ends within an array");
}

/* The array at p, of the key "data", leaves the tree. */
static prelu_status cut_array(srv_json_cut *cut, char *p, const char *end, int depth, char **after,
                              char *tree, prelu_err *err)
{
    if (p == end || *p != '[')
        return prelu_fail(err, PRELU_E_FORMAT, "\"data\" is not an array");
    if (cut->n == SRV_JSON_ARRAYS)
        return prelu_fail(err, PRELU_E_LIMIT, "more than %d arrays of data", SRV_JSON_ARRAYS);
    PRELU_TRY(array_end(p, end, depth, after, err));
    const size_t len = (size_t)(*after - p);
    memset(tree, ' ', len);
    tree[0] = (char)('0' + cut->n);
    cut->span[cut->n++] = (struct srv_json_span){p, len};
    return PRELU_OK;
}

static bool is_data_key(const char *p, const char *after) /* with its quotes */
{
    return after - p == 6 && memcmp(p, "\"data\"", 6) == 0;
}

static char *skip_space(char *p, const char *end)
{
    while (p < end && is_space(*p))
        p++;
    return p;
}

prelu_status srv_json_scan(char *text, size_t len, char *tree, srv_json_cut *cut, prelu_err *err)
{
    const char *end = len ? text + len : text; /* an empty text may be NULL */
    size_t values = 0;
    int depth = 0;
    if (len)
        memcpy(tree, text, len);
    for (char *p = text, *after; p < end; p = after) {
        after = p + 1;
        if ((*p == '[' || *p == '{') && ++depth > SRV_JSON_DEPTH)
            return prelu_fail(err, PRELU_E_FORMAT, "JSON deeper than %d levels", SRV_JSON_DEPTH);
        if (*p == ']' || *p == '}')
            depth--;
        if ((*p == ',' || *p == '[' || *p == '{') && ++values > SRV_JSON_VALUES)
            return prelu_fail(err, PRELU_E_LIMIT, "JSON of more than %d values", SRV_JSON_VALUES);
        if (*p != '"')
            continue;
        after = string_end(p, end);
        if (!after)
            return prelu_fail(err, PRELU_E_FORMAT, "JSON that ends within a string");
        char *colon = skip_space(after, end);
        if (!cut || depth != 3 || !is_data_key(p, after) || colon == end || *colon != ':')
            continue;
        char *value = skip_space(colon + 1, end);
        PRELU_TRY(cut_array(cut, value, end, depth, &after, tree + (value - text), err));
    }
    return PRELU_OK;
}

/* ---- what was taken out ---- */

/* Length of the number at p, by JSON's grammar; 0: it is none. */
static size_t number_len(const char *p, const char *end)
{
    static const char digits[] = "0123456789";
    char copy[64] = {0}; /* longer ones are refused */
    const size_t room = (size_t)(end - p) < sizeof copy - 1 ? (size_t)(end - p) : sizeof copy - 1;
    memcpy(copy, p, room);
    const char *q = copy + (copy[0] == '-');
    size_t n = strspn(q, digits);
    if (n == 0 || (n > 1 && *q == '0'))
        return 0;
    q += n;
    if (*q == '.') {
        n = strspn(q + 1, digits);
        if (n == 0)
            return 0;
        q += 1 + n;
    }
    if (*q == 'e' || *q == 'E') {
        q += q[1] == '+' || q[1] == '-' ? 2 : 1;
        n = strspn(q, digits);
        if (n == 0)
            return 0;
        q += n;
    }
    return *q ? (size_t)(q - copy) : 0;
}

/* Walks through a span: brackets and commas are checked here, leaves left to the caller. */
typedef struct walk {
    char *p;
    const char *end;
    int depth;
    bool value_next;
} walk;

/* To the next leaf. @return false at the end, or when the text is wrong: *wrong says so. */
static bool next_leaf(walk *w, bool *wrong)
{
    *wrong = false;
    for (; w->p < w->end; w->p++) {
        const char c = *w->p;
        if (is_space(c))
            continue;
        if (w->value_next && c != '[')
            return true;
        if (w->value_next)
            *wrong = ++w->depth > SRV_JSON_RANK;
        else if (c == ']')
            w->depth--;
        else if (c == ',')
            w->value_next = true;
        else
            *wrong = true;
        if (*wrong)
            return false;
    }
    *wrong = w->depth != 0;
    return false;
}

static prelu_status ended(bool wrong, size_t n, size_t count, const char *what, prelu_err *err)
{
    if (wrong)
        return prelu_fail(err, PRELU_E_FORMAT, "data is not an array of %s", what);
    if (n != count)
        return prelu_fail(err, PRELU_E_FORMAT, "data has %s%zu %s, the shape %zu",
                          n > count ? "more than " : "", n > count ? count : n, what, count);
    return PRELU_OK;
}

prelu_status srv_span_floats(const struct srv_json_span *span, float *out, size_t count,
                             prelu_err *err)
{
    walk w = {span->text, span->text + span->len, 0, true};
    size_t n = 0;
    bool wrong;
    while (next_leaf(&w, &wrong)) {
        const size_t len = number_len(w.p, w.end);
        if (len == 0 || n++ == count) {
            wrong = len == 0;
            break;
        }
        out[n - 1] = strtof(w.p, NULL); /* ends there too, or the walk fails */
        if (!isfinite(out[n - 1]))
            return prelu_fail(err, PRELU_E_FORMAT, "number %zu of data is too large", n - 1);
        w.p += len;
        w.value_next = false;
    }
    return ended(wrong, n, count, "numbers", err);
}

prelu_status srv_span_texts(const struct srv_json_span *span, size_t count,
                            prelu_status (*each)(void *ctx, size_t i, char *text, size_t len,
                                                 prelu_err *err),
                            void *ctx, prelu_err *err)
{
    walk w = {span->text, span->text + span->len, 0, true};
    size_t n = 0;
    bool wrong;
    while (next_leaf(&w, &wrong)) {
        char *after = *w.p == '"' ? string_end(w.p, w.end) : NULL;
        if (!after || n++ == count) {
            wrong = !after;
            break;
        }
        PRELU_TRY(each(ctx, n - 1, w.p + 1, (size_t)(after - w.p) - 2, err));
        w.p = after;
        w.value_next = false;
    }
    return ended(wrong, n, count, "strings", err);
}
