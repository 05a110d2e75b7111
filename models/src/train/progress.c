#define _GNU_SOURCE
#include "progress.h"
#include "common.h"
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define DRAW_EVERY_MS 100.0
#define PLAIN_EVERY_MS 30000.0
#define BAR 20

const char *train_duration(double seconds, char *buf, size_t len)
{
    unsigned long s = seconds > 0 && seconds < 1e9 ? (unsigned long)(seconds + 0.5) : 0;
    if (s >= 3600)
        snprintf(buf, len, "%lu:%02lu:%02lu", s / 3600, s / 60 % 60, s % 60);
    else
        snprintf(buf, len, "%lu:%02lu", s / 60, s % 60);
    return buf;
}

double train_progress_rate(const train_progress *p)
{
    double s = (train_now_ms() - p->start_ms) / 1e3;
    return s > 0 ? (double)(p->done - p->first) / s : 0;
}

void train_progress_begin(train_progress *p, FILE *f, bool quiet, const char *what, uint64_t first,
                          uint64_t total)
{
    *p = (train_progress){.f = f,
                          .terminal = isatty(fileno(f)) == 1,
                          .quiet = quiet,
                          .done = first,
                          .first = first,
                          .total = total};
    snprintf(p->what, sizeof p->what, "%s", what);
    p->start_ms = p->drawn_ms = train_now_ms();
    if (p->terminal)
        p->drawn_ms -= DRAW_EVERY_MS; /* the first update is drawn */
}

static int terminal_columns(FILE *f)
{
    struct winsize w;
    if (ioctl(fileno(f), TIOCGWINSZ, &w) || w.ws_col < 20)
        return 80;
    return w.ws_col;
}

static void draw(train_progress *p, const char *more)
{
    char line[512], bar[BAR + 1], eta[32];
    double rate = train_progress_rate(p);
    double part = p->total ? (double)p->done / (double)p->total : 1;
    double left = rate > 0 ? (double)(p->total - p->done) / rate : 0;
    int full = (int)(part * BAR);
    memset(bar, '.', BAR);
    memset(bar, '#', (size_t)(full < 0 ? 0 : full > BAR ? BAR : full));
    bar[BAR] = 0;
    if (rate > 0)
        train_duration(left, eta, sizeof eta);
    else
        snprintf(eta, sizeof eta, "-");
    if (p->terminal)
        snprintf(line, sizeof line, "%s [%s] %3.0f%% %.0f images/s ETA %s %s", p->what, bar,
                 100 * part, rate, eta, more);
    else
        snprintf(line, sizeof line, "%s: %llu of %llu, %.0f images/s, ETA %s %s", p->what,
                 (unsigned long long)p->done, (unsigned long long)p->total, rate, eta, more);
    if (p->terminal) {
        fprintf(p->f, "\r\033[K%.*s", terminal_columns(p->f) - 1, line);
        p->drawn = true;
    } else {
        fprintf(p->f, "%s\n", line);
    }
    fflush(p->f);
}

void train_progress_update(train_progress *p, uint64_t done, const char *more)
{
    double now = train_now_ms();
    p->done = done < p->total ? done : p->total;
    if (p->quiet || now - p->drawn_ms < (p->terminal ? DRAW_EVERY_MS : PLAIN_EVERY_MS))
        return;
    p->drawn_ms = now;
    draw(p, more);
}

void train_progress_end(train_progress *p)
{
    if (p->drawn) {
        fputs("\r\033[K", p->f);
        fflush(p->f);
    }
    p->drawn = false;
}

void train_progress_line(train_progress *p, bool always, const char *fmt, ...)
{
    va_list ap;
    if (p->quiet && !always)
        return;
    train_progress_end(p);
    va_start(ap, fmt);
    vfprintf(p->f, fmt, ap);
    va_end(ap);
    putc('\n', p->f);
    fflush(p->f);
}
