#define _XOPEN_SOURCE 700
#define _DEFAULT_SOURCE
#include "termtext.h"

#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <wchar.h>

bool cli_text_locale(void)
{
    const char *set = setlocale(LC_CTYPE, "");

    /* A missing or C locale is the rule in containers and cron, and their terminals are UTF-8. */
    if (!set || strcmp(set, "C") == 0 || strcmp(set, "POSIX") == 0)
        return setlocale(LC_CTYPE, "C.UTF-8") != NULL;
    return strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}

size_t cli_utf8_next(const char *s, size_t len, uint32_t *cp)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    unsigned char lead = (unsigned char)s[0];
    size_t need = lead < 0x80   ? 1
                  : lead < 0xC2 ? 0
                  : lead < 0xE0 ? 2
                  : lead < 0xF0 ? 3
                  : lead < 0xF5 ? 4
                                : 0;
    uint32_t value;

    *cp = CLI_UTF8_BAD;
    if (need == 0 || need > len)
        return 1;
    value = need == 1 ? lead : lead & (0x7Fu >> need);
    for (size_t i = 1; i < need; i++) {
        unsigned char c = (unsigned char)s[i];
        if ((c & 0xC0) != 0x80)
            return 1;
        value = value << 6 | (c & 0x3Fu);
    }
    if (value < least[need] || value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF))
        return 1;
    *cp = value;
    return need;
}

/* Direction marks and overrides, line separators, invisible operators, tags: they take no column or
 * reorder what stands around them, so a name could pose as another. ZWJ and variation selectors
 * (emoji, Indic scripts) stay. */
static bool is_steering(uint32_t cp)
{
    return cp == 0x061C || cp == 0x200B || cp == 0x200E || cp == 0x200F ||
           (cp >= 0x2028 && cp <= 0x202E) || (cp >= 0x2060 && cp <= 0x206F) || cp == 0xFEFF ||
           (cp >= 0xFFF9 && cp <= 0xFFFB) || (cp >= 0xE0000 && cp <= 0xE007F);
}

static bool is_safe(uint32_t cp)
{
    if (cp < 0x20 || (cp >= 0x7F && cp < 0xA0))
        return false;
    return cp < 0x7F || (!is_steering(cp) && wcwidth((wchar_t)cp) >= 0);
}

void cli_text_clean(cli_bytes *out, const char *s, bool utf8)
{
    size_t len = strlen(s);
    uint32_t cp;

    for (size_t i = 0, n; i < len; i += n) {
        n = cli_utf8_next(s + i, len - i, &cp);
        if (cp == CLI_UTF8_BAD)
            cli_bytes_add_fmt(out, "\\x%02x", (unsigned)(unsigned char)s[i]);
        else if (is_safe(cp) && (utf8 || cp < 0x80))
            cli_bytes_add(out, s + i, n);
        else if (cp == '\n' || cp == '\r' || cp == '\t')
            cli_bytes_add_str(out, cp == '\n' ? "\\n" : cp == '\r' ? "\\r" : "\\t");
        else if (cp < 0x80)
            cli_bytes_add_fmt(out, "\\x%02x", (unsigned)cp);
        else
            cli_bytes_add_fmt(out, "\\u{%x}", (unsigned)cp);
    }
}

void cli_text_repair(cli_bytes *out, const char *s)
{
    size_t len = strlen(s);
    uint32_t cp;

    for (size_t i = 0, n; i < len; i += n) {
        n = cli_utf8_next(s + i, len - i, &cp);
        if (cp == CLI_UTF8_BAD)
            cli_bytes_add_str(out, "\xEF\xBF\xBD");
        else
            cli_bytes_add(out, s + i, n);
    }
}

void cli_text_json_safe(cli_bytes *out, const char *json)
{
    size_t len = strlen(json);
    uint32_t cp;

    for (size_t i = 0, n; i < len; i += n) {
        n = cli_utf8_next(json + i, len - i, &cp);
        if (cp == CLI_UTF8_BAD)
            cli_bytes_add_str(out, "\\ufffd");
        else if (is_safe(cp))
            cli_bytes_add(out, json + i, n);
        else if (cp <= 0xFFFF)
            cli_bytes_add_fmt(out, "\\u%04x", (unsigned)cp);
        else
            cli_bytes_add_fmt(out, "\\u%04x\\u%04x", (unsigned)(0xD7C0 + (cp >> 10)),
                              (unsigned)(0xDC00 | (cp & 0x3FF)));
    }
}

void cli_text_csv(cli_bytes *out, const char *s)
{
    if (!strpbrk(s, "\",\r\n") && s[0] != ' ' && (!*s || s[strlen(s) - 1] != ' ')) {
        cli_bytes_add_str(out, s);
        return;
    }
    cli_bytes_add_char(out, '"');
    for (; *s; s++) {
        if (*s == '"')
            cli_bytes_add_char(out, '"');
        cli_bytes_add_char(out, *s);
    }
    cli_bytes_add_char(out, '"');
}

static size_t columns_of(uint32_t cp)
{
    int width = cp == CLI_UTF8_BAD ? 1 : wcwidth((wchar_t)cp);

    return width < 0 ? 1 : (size_t)width;
}

size_t cli_text_width(const char *clean)
{
    size_t len = strlen(clean);
    size_t width = 0;
    uint32_t cp;

    for (size_t i = 0; i < len;) {
        i += cli_utf8_next(clean + i, len - i, &cp);
        width += columns_of(cp);
    }
    return width;
}

void cli_text_fit(cli_bytes *out, const char *clean, size_t width, bool utf8)
{
    const char *dots = utf8 ? "\u2026" : "~";
    size_t len = strlen(clean);
    bool cut = cli_text_width(clean) > width;
    size_t room = cut && width ? width - 1 : width;
    size_t used = 0;
    uint32_t cp;

    if (width == 0)
        return;
    for (size_t i = 0, n; i < len; i += n) {
        n = cli_utf8_next(clean + i, len - i, &cp);
        if (used + columns_of(cp) > room)
            break;
        used += columns_of(cp);
        cli_bytes_add(out, clean + i, n);
    }
    if (cut) {
        cli_bytes_add_str(out, dots);
        used++;
    }
    for (; used < width; used++)
        cli_bytes_add_char(out, ' ');
}

size_t cli_text_columns(int fd)
{
    struct winsize size = {0};
    const char *env = getenv("COLUMNS");
    long columns = 80;

    if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        columns = size.ws_col;
    else if (env && *env)
        columns = strtol(env, NULL, 10) > 0 ? strtol(env, NULL, 10) : 80;
    return columns < 20 ? 20 : columns > 200 ? 200 : (size_t)columns;
}
