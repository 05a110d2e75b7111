#ifndef MDL_JSON_H
#define MDL_JSON_H
#include "prelu/status.h"
#include <stddef.h>

/** JSON that was read. Values live as long as their root; a function given NULL, or a value of
 *  another kind, says that there is nothing, so that paths need no checks in between. */
typedef struct mdl_json mdl_json;

/** @param what  for the message. @return E_FORMAT, E_LIMIT. */
PRELU_MUST_CHECK prelu_status mdl_json_parse(mdl_json **out, const char *what, const char *text,
                                             prelu_err *err);
void mdl_json_free(mdl_json *root); /* NULL is fine */
const mdl_json *mdl_json_get(const mdl_json *object, const char *key);
size_t mdl_json_count(const mdl_json *array);
const mdl_json *mdl_json_at(const mdl_json *array, size_t i);
double mdl_json_number(const mdl_json *v);    /* NaN if it is none */
const char *mdl_json_text(const mdl_json *v); /* "" if it is none */
#endif
