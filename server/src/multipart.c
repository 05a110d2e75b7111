#define _GNU_SOURCE /* memmem, strcasestr */
#include "multipart.h"
#include "utf8.h"
#include <string.h>
#include <strings.h>

static const char media_type[] = "multipart/form-data";

bool srv_is_multipart(const char *type)
{
    size_t n = sizeof media_type - 1;
    return type && strncasecmp(type, media_type, n) == 0 && strchr("; \t", type[n]) != NULL;
}

/* The characters of RFC 2046 §5.1.1; a space may stand inside but is of no use to anyone. */
static bool boundary_char(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c && strchr("'()+_,-./:=?", c));
}

/* One `; name=value` after another. `*p` stands at a ';' or at the end; afterwards behind the
 * value. The value is copied without quotes and backslashes; one too long is cut at `room` - 1 and
 * reported as such. @return false when there is no further parameter. */
static bool next_param(const char **p, const char *end, const char **name, size_t *name_len,
                       char *value, size_t room, bool *cut)
{
    const char *s = *p;
    size_t n = 0;
    while (s < end && (*s == ';' || *s == ' ' || *s == '\t'))
        s++;
    *name = s;
    while (s < end && *s != '=' && *s != ';')
        s++;
    *name_len = (size_t)(s - *name);
    if (s == end || *s == ';' || *name_len == 0)
        return false;
    s++;
    bool quoted = s < end && *s == '"';
    if (quoted)
        s++;
    *cut = false;
    while (s < end && (quoted ? *s != '"' : *s != ';')) {
        if (quoted && *s == '\\' && end - s > 1)
            s++;
        if (n + 1 < room)
            value[n++] = *s;
        else
            *cut = true;
        s++;
    }
    if (quoted && s < end)
        s++;
    while (!quoted && n > 0 && (value[n - 1] == ' ' || value[n - 1] == '\t'))
        n--;
    value[n] = 0;
    *p = s;
    return true;
}

prelu_status srv_multipart_boundary(char out[SRV_MAX_BOUNDARY + 1], const char *type,
                                    prelu_err *err)
{
    const char *end = type + strlen(type), *p = strchr(type, ';'), *name;
    size_t name_len;
    char value[SRV_MAX_BOUNDARY + 1];
    bool cut;
    while (p && next_param(&p, end, &name, &name_len, value, sizeof value, &cut)) {
        if (name_len != 8 || strncasecmp(name, "boundary", 8) != 0)
            continue;
        size_t n = strlen(value);
        if (cut)
            return prelu_fail(err, PRELU_E_FORMAT, "the multipart boundary is longer than %d",
                              SRV_MAX_BOUNDARY);
        for (size_t i = 0; i < n; i++)
            if (!boundary_char(value[i]))
                return prelu_fail(err, PRELU_E_FORMAT,
                                  "the multipart boundary has an illegal character");
        if (n == 0)
            break;
        memcpy(out, value, n + 1);
        return PRELU_OK;
    }
    return prelu_fail(err, PRELU_E_FORMAT, "multipart/form-data without a boundary");
}

/* Name of a part from its Content-Disposition value. */
static void take_name(srv_part *part, const char *p, const char *end)
{
    char value[1024];
    const char *name;
    size_t name_len;
    bool cut, have_file = false;
    while (p < end && *p != ';')
        p++;
    while (next_param(&p, end, &name, &name_len, value, sizeof value, &cut)) {
        bool is_file = name_len == 8 && strncasecmp(name, "filename", 8) == 0;
        bool is_name = name_len == 4 && strncasecmp(name, "name", 4) == 0;
        if ((!is_file && !is_name) || have_file)
            continue;
        have_file = is_file;
        const char *base = value; /* never a path: only what follows the last separator */
        for (const char *s = value; *s; s++)
            if (*s == '/' || *s == '\\')
                base = s + 1;
        size_t n = strlen(base);
        if (n >= sizeof part->name)
            n = sizeof part->name - 1;
        memcpy(part->name, base, n);
        part->name[n] = 0;
        srv_utf8_clean(part->name);
    }
}

/* Header lines from p; *body is set behind the empty line. */
static prelu_status read_headers(srv_part *part, const char *p, const char *end, const char **body,
                                 prelu_err *err)
{
    static const char disposition[] = "Content-Disposition:";
    size_t room = (size_t)(end - p), most = SRV_MAX_PART_HEADER;
    const char *limit = room > most ? p + most : end;
    for (;;) {
        const char *eol = memmem(p, (size_t)(limit - p), "\r\n", 2);
        if (!eol && limit < end)
            return prelu_fail(err, PRELU_E_LIMIT, "the headers of a part are longer than %d bytes",
                              SRV_MAX_PART_HEADER);
        if (!eol)
            return prelu_fail(err, PRELU_E_FORMAT, "the headers of a part do not end");
        if (eol == p) {
            *body = p + 2;
            return PRELU_OK;
        }
        size_t n = sizeof disposition - 1;
        if ((size_t)(eol - p) >= n && strncasecmp(p, disposition, n) == 0)
            take_name(part, p + n, eol);
        else if (!memchr(p, ':', (size_t)(eol - p)))
            return prelu_fail(err, PRELU_E_FORMAT, "a part has a header line without a colon");
        p = eol + 2;
    }
}

/* Behind a delimiter: *last for the closing "--"; else *p is moved behind the line's end. */
static prelu_status after_delimiter(const char **p, const char *end, bool *last, prelu_err *err)
{
    const char *s = *p;
    *last = end - s >= 2 && s[0] == '-' && s[1] == '-';
    if (*last)
        return PRELU_OK;
    while (s < end && (*s == ' ' || *s == '\t')) /* transport padding */
        s++;
    if (end - s < 2 || s[0] != '\r' || s[1] != '\n')
        return prelu_fail(err, PRELU_E_FORMAT,
                          "a multipart boundary is not followed by a line end");
    *p = s + 2;
    return PRELU_OK;
}

prelu_status srv_multipart_parse(const char *boundary, const void *body, size_t len,
                                 srv_part *parts, size_t max, size_t *n, prelu_err *err)
{
    char mark[4 + SRV_MAX_BOUNDARY + 1] = "\r\n--";
    size_t mark_len = strlen(boundary);
    bool last;
    *n = 0;
    if (mark_len == 0 || mark_len > SRV_MAX_BOUNDARY)
        return prelu_fail(err, PRELU_E_ARG, "boundary of %zu characters", mark_len);
    if (len == 0)
        return prelu_fail(err, PRELU_E_FORMAT, "the multipart body is empty");
    memcpy(mark + 4, boundary, mark_len + 1);
    mark_len += 4;
    const char *p = body, *end = p + len;
    if (len >= mark_len - 2 && memcmp(p, mark + 2, mark_len - 2) == 0) {
        p += mark_len - 2; /* the first delimiter may stand at the very start */
    } else {
        const char *first = memmem(p, len, mark, mark_len);
        if (!first)
            return prelu_fail(err, PRELU_E_FORMAT, "the multipart body has no boundary");
        p = first + mark_len;
    }
    for (;;) {
        PRELU_TRY(after_delimiter(&p, end, &last, err));
        if (last)
            break;
        if (*n == max)
            return prelu_fail(err, PRELU_E_LIMIT, "more than %zu parts (--max-images)", max);
        srv_part *part = &parts[*n];
        const char *data = NULL, *stop;
        part->name[0] = 0;
        PRELU_TRY(read_headers(part, p, end, &data, err));
        /* An empty part: its delimiter's CRLF is the one that ended the headers. */
        stop = memmem(data - 2, (size_t)(end - data) + 2, mark, mark_len);
        if (!stop)
            return prelu_fail(err, PRELU_E_FORMAT, "the multipart body has no final boundary");
        p = stop + mark_len;
        if (stop < data)
            stop = data;
        part->data = (const unsigned char *)data;
        part->len = (size_t)(stop - data);
        ++*n;
    }
    return *n ? PRELU_OK : prelu_fail(err, PRELU_E_FORMAT, "the multipart body has no parts");
}
