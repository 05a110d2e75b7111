/* Reports. The only user of libpng in this module: pictures are small PNG files in data URIs. */
#include "html.h"
#include "common.h"
#include "prelu/mem.h"
#include <errno.h>
#include <math.h>
#include <png.h>
#include <string.h>

/* Eight series colours that people with any colour vision can tell apart, for each background. */
static const char style[] =
    ":root{color-scheme:light dark;--bg:#fcfcfb;--fg:#1a1a19;--soft:#6b6a66;--line:#d9d8d3;"
    "--c0:#2a78d6;--c1:#eb6834;--c2:#1baf7a;--c3:#4a3aa7;--c4:#e34948;--c5:#eda100;--c6:#008300;"
    "--c7:#e87ba4}"
    "@media(prefers-color-scheme:dark){:root{--bg:#1a1a19;--fg:#f1f0ec;--soft:#a3a29c;"
    "--line:#3a3a37;--c0:#3987e5;--c1:#d95926;--c2:#199e70;--c3:#9085e9;--c4:#e66767;--c5:#c98500;"
    "--c6:#0ca30c;--c7:#d55181}}"
    "body{background:var(--bg);color:var(--fg);font:15px/1.5 system-ui,sans-serif;margin:2rem auto;"
    "max-width:72rem;padding:0 1rem}"
    "h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2.2rem}p.soft,figcaption,.soft{"
    "color:var(--soft)}"
    "table{border-collapse:collapse;font-variant-numeric:tabular-nums}"
    "th,td{padding:.2rem .7rem;text-align:right;border-bottom:1px solid var(--line)}"
    "th:first-child,td:first-child{text-align:left}th{vertical-align:bottom;color:var(--soft);font-"
    "weight:600}"
    ".wide{overflow-x:auto}"
    "table.matrix td,table.matrix th{padding:.15rem .3rem;text-align:center;border:0;"
    "min-width:2.2rem;font-size:.8rem}table.matrix th:first-child{text-align:right}"
    "table.matrix td.p{background:color-mix(in srgb,var(--c0) calc(var(--p)*1%),transparent)}"
    "figure{margin:1rem 0;display:inline-block;vertical-align:top;max-width:100%}"
    "svg{max-width:100%;height:auto}svg text{fill:var(--soft);font-size:12px}"
    ".grid{stroke:var(--line)}.frame{stroke:var(--soft);fill:none}"
    ".key span{display:inline-block;margin-right:1.2rem}"
    ".key i{display:inline-block;width:1.6rem;height:0;border-top:2.5px solid;"
    "vertical-align:middle;margin-right:.4rem}.key i.dash{border-top-style:dashed}"
    ".pictures{display:flex;flex-wrap:wrap;gap:1rem}.pictures figure{width:9rem;margin:0}"
    ".pictures img{width:9rem;height:9rem;object-fit:contain;background:var(--line);"
    "image-rendering:auto}figcaption{font-size:.8rem;line-height:1.3;overflow-wrap:anywhere}"
    "summary{cursor:pointer;color:var(--soft)}";

static prelu_status fail_errno(prelu_err *err, const char *path)
{
    return prelu_fail(err, prelu_status_from_errno(errno), "%s: %s", path, strerror(errno));
}

prelu_status train_html_open(train_html *h, const char *path, const char *title, prelu_err *err)
{
    const size_t len = strlen(path) + sizeof ".tmp";
    *h = (train_html){.path = prelu_strdup(path), .temporary = prelu_alloc(len)};
    if (!h->path || !h->temporary) {
        prelu_free(h->path);
        prelu_free(h->temporary);
        return prelu_fail(err, PRELU_E_NOMEM, "report: %zu bytes", len);
    }
    snprintf(h->temporary, len, "%s.tmp", path);
    h->f = fopen(h->temporary, "w");
    if (!h->f) {
        prelu_status st = fail_errno(err, h->temporary);
        prelu_free(h->path);
        prelu_free(h->temporary);
        return st;
    }
    fputs("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
          "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>",
          h->f);
    train_html_text(h->f, title);
    fprintf(h->f, "</title>\n<style>%s</style></head>\n<body><h1>", style);
    train_html_text(h->f, title);
    fputs("</h1>\n", h->f);
    return PRELU_OK;
}

prelu_status train_html_close(train_html *h, prelu_status st, prelu_err *err)
{
    bool failed;
    fputs("</body></html>\n", h->f);
    failed = ferror(h->f) != 0;
    failed = fclose(h->f) != 0 || failed;
    if (!st && failed)
        st = prelu_fail(err, PRELU_E_IO, "%s cannot be written whole", h->temporary);
    if (!st && rename(h->temporary, h->path))
        st = fail_errno(err, h->path);
    if (st)
        remove(h->temporary);
    prelu_free(h->path);
    prelu_free(h->temporary);
    return st;
}

void train_html_text(FILE *f, const char *text)
{
    const unsigned char *s = (const unsigned char *)text;
    while (*s) {
        const int n = train_utf8(s);
        if (!n)
            fputs("\xef\xbf\xbd", f);
        else if (*s == '<' || *s == '>' || *s == '&' || *s == '"' || *s < 0x20)
            fprintf(f, "&#%d;", *s < 0x20 ? ' ' : *s);
        else
            fwrite(s, 1, (size_t)n, f);
        s += n ? n : 1;
    }
}

void train_html_number(FILE *f, double value, int decimals)
{
    if (isfinite(value))
        fprintf(f, "<td>%.*f</td>", decimals, value);
    else
        fputs("<td>&ndash;</td>", f);
}

void train_html_cell(FILE *f, double count, double all)
{
    if (count > 0 && all > 0)
        fprintf(f, "<td class=\"p\" style=\"--p:%.0f\">%.0f</td>", 8 + 60 * fmin(1, count / all),
                count);
    else
        fputs("<td></td>", f);
}

void train_html_error(FILE *f, const char *label, double own, const char *taken_for, double score,
                      const char *name)
{
    fputs("<figcaption><b>", f);
    train_html_text(f, label);
    fprintf(f, "</b> %.3f<br>taken for <b>", own);
    train_html_text(f, taken_for);
    fprintf(f, "</b> %.3f<br>", score);
    train_html_text(f, name);
    fputs("</figcaption>", f);
}

static void base64(FILE *f, const uint8_t *data, size_t len)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < len; i += 3) {
        const size_t n = len - i < 3 ? len - i : 3;
        const uint32_t v = (uint32_t)data[i] << 16 | (n > 1 ? (uint32_t)data[i + 1] << 8 : 0) |
                           (n > 2 ? data[i + 2] : 0);
        putc(digits[v >> 18], f);
        putc(digits[v >> 12 & 63], f);
        putc(n > 1 ? digits[v >> 6 & 63] : '=', f);
        putc(n > 2 ? digits[v & 63] : '=', f);
    }
}

static prelu_status write_png(FILE *f, const prelu_image *img, prelu_err *err)
{
    png_image png = {.version = PNG_IMAGE_VERSION,
                     .width = (png_uint_32)img->width,
                     .height = (png_uint_32)img->height,
                     .format = PNG_FORMAT_RGB};
    png_alloc_size_t len = PNG_IMAGE_PNG_SIZE_MAX(png);
    prelu_status st = PRELU_OK;
    uint8_t *out = prelu_alloc(len);
    if (!out)
        return prelu_fail(err, PRELU_E_NOMEM, "report: a picture of %zu bytes", (size_t)len);
    if (png_image_write_to_memory(&png, out, &len, 0, img->data, (png_int_32)img->stride, NULL))
        base64(f, out, len);
    else
        st = prelu_fail(err, PRELU_E_NOMEM, "report: PNG: %s", png.message);
    png_image_free(&png);
    prelu_free(out);
    return st;
}

prelu_status train_html_picture(FILE *f, const prelu_image *img, int side, const char *what,
                                prelu_err *err)
{
    const int longer = img->width > img->height ? img->width : img->height;
    const int w = longer > side ? img->width * side / longer : img->width;
    const int h = longer > side ? img->height * side / longer : img->height;
    prelu_image small = {.data = NULL};
    prelu_status st = prelu_image_resize(&small, img, w < 1 ? 1 : w, h < 1 ? 1 : h, NULL, err);
    if (st)
        return st;
    fputs("<img loading=\"lazy\" alt=\"", f);
    train_html_text(f, what);
    fputs("\" src=\"data:image/png;base64,", f);
    st = write_png(f, &small, err);
    fputs("\">", f);
    prelu_image_deinit(&small);
    return st;
}
