#include "heatmap.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "files.h"
#include "result.h"

#define MAX_PICTURE_LEN ((size_t)256 << 20)

typedef struct wanted {
    const char *to;
    bool done, ok;
    char *why;
    size_t why_len;
} wanted;

static bool write_file(const char *path, const char *data, size_t len)
{
    FILE *f = fopen(path, "wb");
    bool ok = f && fwrite(data, 1, len, f) == len;

    if (f)
        ok = fclose(f) == 0 && ok;
    return ok;
}

static void on_reply(void *ctx, size_t tag, const cli_http_reply *reply)
{
    wanted *w = ctx;
    cli_result r;

    (void)tag;
    w->done = true;
    if (reply->outcome != CLI_HTTP_ANSWERED) {
        snprintf(w->why, w->why_len, "%s", reply->error);
    } else if (reply->status == 200 && strcmp(reply->type, "image/png") == 0) {
        w->ok = write_file(w->to, reply->body, reply->body_len);
        if (!w->ok)
            snprintf(w->why, w->why_len, "%s: %s", w->to, strerror(errno));
    } else {
        cli_result_init(&r, w->to);
        cli_result_from_reply(&r, reply->status, reply->body, reply->body_len, reply->type);
        snprintf(w->why, w->why_len, "%s",
                 r.ok ? "the server sent no picture" : cli_result_error(&r));
        cli_result_deinit(&r);
    }
}

bool cli_heatmap_save(cli_http *http, const char *from, const char *to, char *why, size_t why_len)
{
    wanted w = {.to = to, .why = why, .why_len = why_len};
    cli_bytes picture;

    cli_bytes_init(&picture, MAX_PICTURE_LEN);
    if (!cli_files_read(&picture, from, why, why_len)) {
        w.done = !cli_http_post(http, 0, picture.data, picture.len);
        if (w.done)
            snprintf(why, why_len, "the request could not be started");
        while (!w.done)
            cli_http_poll(http, 1.0, on_reply, &w);
    }
    cli_bytes_deinit(&picture);
    return w.ok;
}
