#ifndef PRELU_TEST_GRADIENT_CASES_H
#define PRELU_TEST_GRADIENT_CASES_H
#include "prelu/graph.h"

/** What the numbers of an input are like. */
typedef enum gradient_kind {
    UNIFORM,  /* -1.5..1.5 */
    AWAY,     /* the same, but not within 0.1 of 0: no kink is near */
    SPACED,   /* all different by 0.1 or more, shuffled: no two maxima are near each other */
    POSITIVE, /* 0.5..2 */
    SPLIT,    /* 1.15..1.45 with either sign */
    SMALL,    /* within 0.08 of 0 */
    LABELS    /* i32, 0..2; no gradient */
} gradient_kind;

enum { GRADIENT_IN = 6, GRADIENT_ATTRS = 8 };

/** One op on one set of shapes. */
typedef struct gradient_case {
    const char *op;
    int n_in, n_out;
    struct {
        gradient_kind kind;
        prelu_shape shape;
    } in[GRADIENT_IN];
    prelu_attr attrs[GRADIENT_ATTRS]; /* up to the first without a name */
} gradient_case;

extern const gradient_case gradient_cases[];
extern const size_t gradient_n_cases;
#endif
