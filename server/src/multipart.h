#ifndef SRV_MULTIPART_H
#define SRV_MULTIPART_H
#include "prelu/status.h"
#include <stdbool.h>

/** multipart/form-data (RFC 7578) of a body that is in memory: parts are pointed at, not copied.
 *  Hostile input: boundary 1..70 characters, part headers at most SRV_MAX_PART_HEADER bytes, number
 *  of parts as the caller allows. */
enum { SRV_MAX_BOUNDARY = 70, SRV_MAX_PART_HEADER = 4096, SRV_MAX_PART_NAME = 128 };

typedef struct srv_part {
    const unsigned char *data; /* into the body */
    size_t len;
    char name[SRV_MAX_PART_NAME]; /* file name without folders, else the field's name; UTF-8 made
                                     clean, "" if there is neither */
} srv_part;

/** Whether a Content-Type says multipart/form-data, in any case; NULL is no. */
bool srv_is_multipart(const char *content_type);
/** The boundary parameter. @return E_FORMAT absent, empty, too long or with illegal characters. */
PRELU_MUST_CHECK prelu_status srv_multipart_boundary(char out[SRV_MAX_BOUNDARY + 1],
                                                     const char *content_type, prelu_err *err);
/** Split `body`. @param parts room for `max` parts; @param n  how many were found, 1..max.
 *  @return E_FORMAT no part, no final boundary, malformed headers; E_LIMIT more than `max` parts,
 *  headers too long. */
PRELU_MUST_CHECK prelu_status srv_multipart_parse(const char *boundary, const void *body,
                                                  size_t len, srv_part *parts, size_t max,
                                                  size_t *n, prelu_err *err);
#endif
