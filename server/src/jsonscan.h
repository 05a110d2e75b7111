#ifndef SRV_JSONSCAN_H
#define SRV_JSONSCAN_H
#include "prelu/status.h"

/** What is done to JSON of a client before a tree is made of it: depth and number of values are
 *  bounded, and the arrays of tensors, which may be long, are taken out and read as they stand. */
enum { SRV_JSON_DEPTH = 64, SRV_JSON_VALUES = 65536, SRV_JSON_ARRAYS = 8, SRV_JSON_RANK = 8 };
enum { SRV_MAX_JSON = 4 << 20 }; /* bytes of JSON in a body */

typedef struct srv_json_cut {
    size_t n;
    struct srv_json_span {
        char *text; /* "[...]", into a copy of what was scanned: at the same place */
        size_t len;
    } span[SRV_JSON_ARRAYS];
} srv_json_cut;

/** Check `text` and copy it to `tree`, where each array that is the value of a key "data" of an
 *  object in an array of the outermost object is replaced by its number in *cut; the spans point
 *  into `text`.
 *  @param tree  len bytes. @param cut  NULL: nothing is taken out.
 *  @return E_FORMAT too deep, no end of a string or an array, "data" that is no array; E_LIMIT too
 *  many values or arrays. That the rest is JSON is for srv_json_parse to find out. */
PRELU_MUST_CHECK prelu_status srv_json_scan(char *text, size_t len, char *tree, srv_json_cut *cut,
                                            prelu_err *err);

/** The numbers of a span, flat or nested, row-major. @param out  count.
 *  @return E_FORMAT anything but finite numbers, or another count of them. */
PRELU_MUST_CHECK prelu_status srv_span_floats(const struct srv_json_span *span, float *out,
                                              size_t count, prelu_err *err);
/** The strings of a span, flat or nested: `each` gets them one after the other, as they stand
 *  between the quotes. @return E_FORMAT anything but strings, or another count; what `each` says.
 */
PRELU_MUST_CHECK prelu_status srv_span_texts(const struct srv_json_span *span, size_t count,
                                             prelu_status (*each)(void *ctx, size_t i, char *text,
                                                                  size_t len, prelu_err *err),
                                             void *ctx, prelu_err *err);
#endif
