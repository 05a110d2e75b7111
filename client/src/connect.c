#include "connect.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "files.h"

#define MAX_KEY_LEN 4096

/* The key in PRELU_API_KEY, or, before it, in a file. `key` stays empty if there is neither.
 * @return false with the reason printed; `key` then holds nothing. */
static bool read_key(const char *path, cli_bytes *key, FILE *err)
{
    const char *env = getenv("PRELU_API_KEY");
    char why[256] = "";
    const char *code = NULL;
    bool ok;

    cli_bytes_init(key, MAX_KEY_LEN);
    if (path)
        code = strcmp(path, "-") == 0 ? "usage" : cli_files_read(key, path, why, sizeof why);
    else if (!env || !*env)
        return true;
    else if (!cli_bytes_add_str(key, env))
        code = "too_long";
    while (key->len && strchr(" \t\r\n", key->data[key->len - 1]))
        key->data[--key->len] = '\0';
    ok = !code && key->len > 0;
    for (size_t i = 0; i < key->len; i++)
        ok = ok && key->data[i] > 0x20 && key->data[i] < 0x7F; /* no CR or LF into a header */
    if (!ok) {
        fprintf(err, "prelu-classify: %s: %s\n", path ? "--api-key-file" : "PRELU_API_KEY",
                code && *why ? why : "must hold one key of printable ASCII");
        cli_bytes_deinit(key);
    }
    return ok;
}

/* Values need no URL encoding: options.c lets only harmless characters through. */
static void build_query(cli_bytes *query, const cli_options *o)
{
    cli_bytes_init(query, 0);
    if (o->top_k)
        cli_bytes_add_fmt(query, "&top_k=%u", o->top_k);
    if (o->mode || o->heatmap)
        cli_bytes_add_fmt(query, "&mode=%s", o->mode ? o->mode : "dense");
    if (o->budget_ms)
        cli_bytes_add_fmt(query, "&budget_ms=%u", o->budget_ms);
    if (o->average)
        cli_bytes_add_fmt(query, "&average=%s", o->average);
    if (o->scales)
        cli_bytes_add_fmt(query, "&scales=%s", o->scales);
    if (o->model)
        cli_bytes_add_fmt(query, "&model=%s", o->model);
}

int cli_connect(cli_http **http, const cli_options *o, unsigned slots, const char *more, FILE *err)
{
    cli_bytes key;
    cli_bytes query;
    bool usage = false;
    char why[256] = "";

    if (o->cacert && access(o->cacert, R_OK) != 0) {
        fprintf(err, "prelu-classify: --cacert: %s\n", strerror(errno));
        return CLI_EXIT_USAGE;
    }
    if (!read_key(o->api_key_file, &key, err))
        return CLI_EXIT_USAGE;
    build_query(&query, o);
    cli_bytes_add_str(&query, more);
    *http = cli_http_create(
        &(cli_http_config){
            .server = o->server,
            .path = "classify",
            .query = query.len ? query.data + 1 : NULL, /* without the first '&' */
            .unix_socket = o->unix_socket,
            .cacert = o->cacert,
            .bearer = key.len ? key.data : NULL,
            .user_agent = "prelu-classify/" PRELU_VERSION,
            .timeout_s = o->timeout_s,
            .slots = slots,
        },
        &usage, why, sizeof why);
    cli_bytes_deinit(&query);
    cli_bytes_deinit(&key);
    if (!*http) {
        fprintf(err, "prelu-classify: %s%s\n", usage ? "--server: " : "", why);
        return usage ? CLI_EXIT_USAGE : CLI_EXIT_SOFTWARE;
    }
    if (!o->quiet && cli_http_key_exposed(*http))
        fputs("prelu-classify: warning: the API key crosses the network unencrypted (use https)\n",
              err);
    return CLI_EXIT_OK;
}
