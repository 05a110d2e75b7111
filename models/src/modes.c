/* Test modes: their names, their sizes, and what they cost. */
#include "prelu/classify.h"
#include <stdio.h>
#include <string.h>

const char *prelu_mode_name(prelu_mode mode)
{
    switch (mode) {
    case PRELU_MODE_CENTER:
        return "center";
    case PRELU_MODE_10VIEW:
        return "10view";
    case PRELU_MODE_DENSE:
        return "dense";
    case PRELU_MODE_MULTISCALE:
        return "multiscale";
    }
    return "?";
}

prelu_status prelu_mode_parse(prelu_mode *out, const char *text, prelu_err *err)
{
    for (int i = 0; i < PRELU_MODES; i++)
        if (!strcmp(text, prelu_mode_name((prelu_mode)i))) {
            *out = (prelu_mode)i;
            return PRELU_OK;
        }
    return prelu_fail(err, PRELU_E_ARG,
                      "mode '%.20s' is none of: center, 10view, dense, multiscale, auto", text);
}

prelu_status prelu_average_parse(prelu_average *out, const char *text, prelu_err *err)
{
    if (strcmp(text, "prob") != 0 && strcmp(text, "logit") != 0)
        return prelu_fail(err, PRELU_E_ARG, "average '%.20s' is neither prob nor logit", text);
    *out = text[0] == 'l' ? PRELU_AVERAGE_LOGIT : PRELU_AVERAGE_PROB;
    return PRELU_OK;
}

/* A decimal number of 1 to 5 digits; what follows it. NULL: there is none. */
static const char *read_number(int *out, const char *text)
{
    size_t n = strspn(text, "0123456789");
    *out = 0;
    for (size_t i = 0; i < n && n <= 5; i++)
        *out = *out * 10 + (text[i] - '0');
    return n >= 1 && n <= 5 ? text + n : NULL;
}

static prelu_status parse_scales(prelu_test *t, const char *list, prelu_err *err)
{
    const char *at = list;
    do {
        int side;
        at = t->n_scales < PRELU_MAX_SCALES ? read_number(&side, at) : NULL;
        if (!at || (*at && *at != '+') || side < 1)
            return prelu_fail(err, PRELU_E_ARG, "sizes '%.40s': 1..%d numbers, with + between them",
                              list, PRELU_MAX_SCALES);
        t->scales[t->n_scales++] = side;
    } while (*at++ == '+');
    return PRELU_OK;
}

prelu_status prelu_test_parse(prelu_test *out, const char *text, prelu_err *err)
{
    prelu_test t = {.n_scales = 0};
    char name[24];
    const size_t len = strcspn(text, "@");
    snprintf(name, sizeof name, "%.*s", (int)(len < sizeof name ? len : sizeof name - 1), text);
    PRELU_TRY(prelu_mode_parse(&t.mode, name, err));
    if (text[len])
        PRELU_TRY(parse_scales(&t, text + len + 1, err));
    *out = t;
    return PRELU_OK;
}

const char *prelu_test_text(const prelu_test *t, char *buf, size_t len)
{
    size_t at = (size_t)snprintf(buf, len, "%s", prelu_mode_name(t->mode));
    for (int i = 0; i < t->n_scales && at < len; i++)
        at += (size_t)snprintf(buf + at, len - at, "%c%d", i ? '+' : '@', t->scales[i]);
    return buf;
}

static bool takes_scales(prelu_mode mode)
{
    return mode == PRELU_MODE_DENSE || mode == PRELU_MODE_MULTISCALE;
}

prelu_status prelu_test_resolve(prelu_test *t, const prelu_model *m, const prelu_plan *dense,
                                prelu_err *err)
{
    const prelu_preprocess *p = &m->preprocess;
    if (!takes_scales(t->mode)) {
        if (t->n_scales)
            return prelu_fail(err, PRELU_E_ARG, "mode %s takes no sizes", prelu_mode_name(t->mode));
        return PRELU_OK;
    }
    if (!dense)
        return prelu_fail(err, PRELU_E_UNSUPPORTED, "the model cannot be tested densely");
    if (t->mode == PRELU_MODE_DENSE && t->n_scales > 1)
        return prelu_fail(err, PRELU_E_ARG, "mode dense takes one size, not %d; see multiscale",
                          t->n_scales);
    t->dense = dense;
    if (!t->n_scales) {
        const bool many = t->mode == PRELU_MODE_MULTISCALE;
        t->n_scales = many ? p->n_scales : 1;
        for (int i = 0; i < t->n_scales; i++)
            t->scales[i] = many ? p->scales[i] : p->resize;
    }
    for (int i = 0; i < t->n_scales; i++)
        if (t->scales[i] < p->crop || t->scales[i] > PRELU_MAX_SIDE)
            return prelu_fail(err, PRELU_E_ARG, "size %d is not in %d..%d: a window has %d",
                              t->scales[i], p->crop, PRELU_MAX_SIDE, p->crop);
    return PRELU_OK;
}
