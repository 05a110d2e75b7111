#define _POSIX_C_SOURCE 200809L
#include "meter.h"

#include <string.h>
#include <time.h>

#include "output.h"
#include "termtext.h"

#define REDRAW_S 0.1
#define BAR_MAX 30
#define BAR_MIN 5

double cli_clock(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

void cli_meter_text(cli_bytes *out, size_t done, size_t total, size_t failed, double elapsed_s,
                    size_t columns, bool utf8)
{
    double share = total ? (double)done / (double)total : 0;
    double rate = elapsed_s > 0 ? (double)done / elapsed_s : 0;
    cli_bytes facts;
    size_t room;

    cli_bytes_init(&facts, 0);
    cli_bytes_add_fmt(&facts, "%zu/%zu", done, total);
    if (failed)
        cli_bytes_add_fmt(&facts, "  %zu failed", failed);
    if (rate > 0) {
        unsigned long left = (unsigned long)((double)(total - done) / rate + 0.5);
        cli_bytes_add_fmt(&facts, "  %.*f/s  %lu:%02lu left", rate < 10 ? 1 : 0, rate, left / 60,
                          left % 60);
    }
    room = columns > facts.len + 5 ? columns - facts.len - 5 : 0; /* brackets, gap, free column */
    if (room >= BAR_MIN) {
        cli_bytes_add_char(out, '[');
        cli_bar_text(out, share, room < BAR_MAX ? room : BAR_MAX, utf8);
        cli_bytes_add_str(out, "]  ");
    }
    cli_bytes_add(out, cli_bytes_str(&facts), facts.len < columns ? facts.len : columns - 1);
    cli_bytes_deinit(&facts);
}

void cli_meter_draw(cli_meter *m, size_t done, size_t failed, double now_s)
{
    cli_bytes line;

    if (!m->on || (m->shown && now_s - m->drawn_s < REDRAW_S))
        return;
    cli_bytes_init(&line, 0);
    cli_meter_text(&line, done, m->total, failed, now_s - m->start_s,
                   cli_text_columns(fileno(m->err)), m->utf8);
    fprintf(m->err, "\r\033[K%s", cli_bytes_str(&line));
    fflush(m->err);
    cli_bytes_deinit(&line);
    m->shown = true;
    m->drawn_s = now_s;
}

void cli_meter_clear(cli_meter *m)
{
    if (!m->on || !m->shown)
        return;
    fputs("\r\033[K", m->err);
    fflush(m->err);
    m->shown = false;
}
