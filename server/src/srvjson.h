#ifndef SRV_SRVJSON_H
#define SRV_SRVJSON_H
#include "prelu/status.h"
#include <stdbool.h>
#include <stdint.h>

/** JSON for the server; srvjson.c is the only file that knows jansson. Errors stick: when a value
 *  could not be stored (no memory), the next dump on this thread returns NULL. So build and dump
 *  one document after the other. */
typedef struct srv_json srv_json;

srv_json *srv_json_object(void);
srv_json *srv_json_array(void);
/** Setters own what they are given. Text that is not UTF-8 is stored with '?' for bad bytes. */
void srv_json_set(srv_json *object, const char *key, srv_json *value);
void srv_json_set_text(srv_json *object, const char *key, const char *value);
void srv_json_set_int(srv_json *object, const char *key, int64_t value);
void srv_json_set_bool(srv_json *object, const char *key, bool value);
/** Not finite becomes null: JSON has no NaN or Inf. */
void srv_json_set_real(srv_json *object, const char *key, double value);
void srv_json_append(srv_json *array, srv_json *value);
void srv_json_append_real(srv_json *array, double value);
void srv_json_append_int(srv_json *array, int64_t value);
void srv_json_append_text(srv_json *array, const char *value);

/** One line, reals with 9 significant digits, keys in order of setting. Consumes `value`.
 *  @return text for prelu_free, its length in *len if not NULL; NULL when there is no memory. */
char *srv_json_dump(srv_json *value, size_t *len);
void srv_json_free(srv_json *value);

/** Read a client's JSON, of which srv_json_scan has said that it is bounded. Duplicate keys are
 *  refused. @return E_FORMAT, saying where but not what; E_NOMEM. */
PRELU_MUST_CHECK prelu_status srv_json_parse(srv_json **out, const char *text, size_t len,
                                             prelu_err *err);
/** What is not there, or of another kind, is NULL, false or 0. Borrowed from the tree. */
srv_json *srv_json_get(srv_json *object, const char *key);
srv_json *srv_json_at(srv_json *array, size_t i);
size_t srv_json_count(srv_json *array);
const char *srv_json_text(srv_json *value);
bool srv_json_int(srv_json *value, int64_t *out);
bool srv_json_is_object(srv_json *value);
bool srv_json_is_array(srv_json *value);
bool srv_json_is_null(srv_json *value);
bool srv_json_bool(srv_json *value, bool *out);

/** Read a flat JSON object of strings, numbers, booleans and arrays of strings from a file, calling
 *  `each` with every value as text (booleans "on" and "off"; arrays once for every element).
 *  @return E_NOTFOUND, E_PERM, E_IO; E_FORMAT (with line) not an object, nesting, duplicate keys;
 *  E_LIMIT above 1 MiB; or what `each` returned. */
PRELU_MUST_CHECK prelu_status srv_json_flat(const char *path,
                                            prelu_status (*each)(void *ctx, const char *key,
                                                                 const char *value, prelu_err *err),
                                            void *ctx, prelu_err *err);
#endif
