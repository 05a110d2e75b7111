#include "bench_run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "meter.h"
#include "result.h"
#include "run.h"

#define MAX_WAITING ((size_t)1 << 20) /* refused requests that wait for their next try */
#define PAUSE_S 0.1                   /* of the closed loop while nobody listens */
#define POLL_S 1.0

typedef struct call {
    double due_s;   /* when it should have been sent */
    double sent_s;  /* this try */
    double next_s;  /* while it waits: the next try */
    size_t number;  /* of the request */
    unsigned tries; /* sent so far */
} call;

/* Times are the clock's. */
typedef struct generator {
    const cli_bench_load *load;
    cli_bench_run *run;
    call *flying; /* connections of them; the tag of a request is its index */
    size_t *idle; /* indices of flying that are free */
    size_t idle_count;
    call *waiting; /* a heap, the earliest next try first */
    size_t waiting_count, waiting_cap;
    double start_s, end_s; /* of what counts */
    double next_due_s;     /* of the next new request */
    size_t next_number;
    uint64_t random;
    bool no_mem;
} generator;

/* Exponentially distributed, mean 1. splitmix64: any seed will do. */
static double exponential(uint64_t *state)
{
    uint64_t z = *state += 0x9E3779B97F4A7C15u;

    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    z ^= z >> 31;
    return -log(((double)(z >> 11) + 0.5) * 0x1p-53);
}

static bool heap_push(generator *g, const call *c)
{
    size_t i = g->waiting_count;

    if (i == g->waiting_cap) {
        size_t cap = i ? 2 * i : 64;
        call *grown = cap <= MAX_WAITING ? realloc(g->waiting, cap * sizeof *grown) : NULL;
        if (!grown)
            return false;
        g->waiting = grown;
        g->waiting_cap = cap;
    }
    g->waiting_count++;
    for (; i > 0 && g->waiting[(i - 1) / 2].next_s > c->next_s; i = (i - 1) / 2)
        g->waiting[i] = g->waiting[(i - 1) / 2];
    g->waiting[i] = *c;
    return true;
}

static call heap_pop(generator *g)
{
    call top = g->waiting[0];
    call last = g->waiting[--g->waiting_count];
    size_t i = 0;

    for (size_t child; (child = 2 * i + 1) < g->waiting_count; i = child) {
        if (child + 1 < g->waiting_count && g->waiting[child + 1].next_s < g->waiting[child].next_s)
            child++;
        if (last.next_s <= g->waiting[child].next_s)
            break;
        g->waiting[i] = g->waiting[child];
    }
    g->waiting[i] = last;
    return top;
}

static size_t try_index(unsigned tries)
{
    return tries < CLI_BENCH_TRIES ? tries - 1 : CLI_BENCH_TRIES - 1;
}

/* A request counts by the time it was due: one that a stall makes late is not lost. */
static bool counts(const generator *g, const call *c)
{
    return c->due_s >= g->start_s && c->due_s < g->end_s;
}

static uint64_t hash_bytes(uint64_t hash, const void *data, size_t len)
{
    const unsigned char *at = data;

    while (len--)
        hash = (hash ^ *at++) * 0x100000001B3u; /* FNV-1a */
    return hash;
}

/* Compares an answer with the picture's first one. */
static bool differs(cli_bench_picture *p, const cli_http_reply *reply)
{
    uint64_t hash = 0xCBF29CE484222325u;
    cli_result r;
    bool same;

    cli_result_init(&r, "");
    cli_result_from_reply(&r, reply->status, reply->body, reply->body_len, reply->type);
    for (size_t i = 0; i < r.count; i++) {
        hash = hash_bytes(hash, &r.predictions[i].class_index, sizeof r.predictions[i].class_index);
        hash = hash_bytes(hash, &r.predictions[i].score, sizeof r.predictions[i].score);
    }
    same = (r.ok || reply->status != 200) &&
           (!p->answered || (p->status == reply->status && p->predictions == hash));
    if (!p->answered) {
        p->answered = true;
        p->status = reply->status;
        p->predictions = hash;
    }
    cli_result_deinit(&r);
    return !same;
}

static cli_bench_picture *picture_of(const generator *g, const call *c)
{
    return &g->load->pictures[c->number % g->load->picture_count];
}

static bool is_refusal(int status) { return status == 429 || status == 503 || status == 504; }

/* The last word on a request. */
static void settle(generator *g, const call *c, const cli_http_reply *reply, double now)
{
    cli_bench_run *run = g->run;
    bool answered = reply->outcome == CLI_HTTP_ANSWERED;
    bool rejected = answered && reply->status >= 400 && reply->status < 500;

    run->requests++;
    if (g->load->rate <= 0) /* the closed loop's time lasts to its last answer */
        run->seconds = fmax(run->seconds, now - g->start_s);
    if (answered && reply->status == 200) {
        run->ok++;
        run->taken[try_index(c->tries)]++;
        cli_histogram_add(&run->latency, now - c->due_s);
    } else if (answered && is_refusal(reply->status)) {
        run->refused++;
        return;
    } else if (rejected) {
        run->rejected++;
    } else {
        run->errors++;
        return;
    }
    if (g->load->same)
        run->differing += differs(picture_of(g, c), reply);
}

static void on_done(void *ctx, size_t tag, const cli_http_reply *reply)
{
    generator *g = ctx;
    double now = cli_clock();
    call c = g->flying[tag];
    bool answered = reply->outcome == CLI_HTTP_ANSWERED;
    bool counted = counts(g, &c);

    g->idle[g->idle_count++] = tag;
    if (reply->outcome == CLI_HTTP_UNREACHABLE && g->load->rate <= 0)
        g->next_due_s = now + PAUSE_S;
    if (counted) {
        g->run->outcomes[reply->outcome]++;
        g->run->statuses[answered ? reply->status : 0]++;
        if (answered && is_refusal(reply->status))
            cli_histogram_add(&g->run->refusal, now - c.sent_s);
    }
    if (answered && (reply->status == 429 || reply->status == 503) && c.tries <= g->load->retries) {
        double wait = cli_retry_wait(reply->retry_after_s, c.tries, c.number);
        c.next_s = now + wait;
        if (wait >= 0 && heap_push(g, &c))
            return;
    }
    if (counted)
        settle(g, &c, reply, now);
}

static void send_call(generator *g, call *c, double now)
{
    size_t tag = g->idle[--g->idle_count];
    const cli_bytes *body = &picture_of(g, c)->bytes;

    c->sent_s = now;
    c->tries++;
    if (counts(g, c)) {
        g->run->sent[try_index(c->tries)]++;
        if (c->tries == 1)
            cli_histogram_add(&g->run->lag, now - c->due_s);
    }
    g->flying[tag] = *c;
    if (!cli_http_post(g->load->http, tag, body->data, body->len)) {
        g->idle[g->idle_count++] = tag;
        g->no_mem = true;
    }
}

/* Whether a new request is due: at its time, or when one of the closed loop's is over. */
static bool is_due(const generator *g, double now)
{
    if (g->load->rate > 0)
        return g->next_due_s <= now && g->next_due_s < g->end_s;
    return g->next_due_s <= now && now < g->end_s && g->waiting_count < g->idle_count;
}

static void send_due(generator *g)
{
    double now = cli_clock();

    while (g->idle_count && !g->no_mem) {
        call c;

        if (g->waiting_count && g->waiting[0].next_s <= now) {
            c = heap_pop(g);
        } else if (is_due(g, now)) {
            c = (call){.due_s = g->load->rate > 0 ? g->next_due_s : now,
                       .number = g->next_number++};
            if (g->load->rate > 0)
                g->next_due_s += exponential(&g->random) / g->load->rate;
        } else {
            return;
        }
        send_call(g, &c, now);
        now = cli_clock();
    }
}

static bool is_over(const generator *g, double now)
{
    bool more = g->load->rate > 0 ? g->next_due_s < g->end_s : now < g->end_s;
    bool busy = g->idle_count < g->load->connections || g->waiting_count;

    return g->no_mem || (!more && !busy) || now > g->end_s + g->load->timeout_s;
}

static double wait_time(const generator *g)
{
    double now = cli_clock();
    double wait = POLL_S;

    if (g->idle_count) {
        if (g->next_due_s < g->end_s && (g->load->rate > 0 || g->next_due_s > now))
            wait = fmin(wait, g->next_due_s - now);
        if (g->waiting_count)
            wait = fmin(wait, g->waiting[0].next_s - now);
    }
    return fmax(wait, 0);
}

/* What was due and has not come to an end: in flight, waiting for a further try, or never sent. */
static void count_lost(generator *g)
{
    cli_bench_run *run = g->run;
    uint64_t lost = 0;

    for (; g->load->rate > 0 && g->next_due_s < g->end_s;
         g->next_due_s += exponential(&g->random) / g->load->rate)
        run->unsent += g->next_due_s >= g->start_s;
    for (size_t i = 0; i < g->load->connections; i++)
        lost += counts(g, &g->flying[i]);
    for (size_t i = 0; i < g->idle_count; i++)
        lost -= counts(g, &g->flying[g->idle[i]]);
    for (size_t i = 0; i < g->waiting_count; i++)
        lost += counts(g, &g->waiting[i]);
    run->outcomes[CLI_HTTP_TIMEOUT] += lost;
    run->errors += lost + run->unsent;
    run->requests += lost + run->unsent;
}

bool cli_bench_load_run(const cli_bench_load *load, cli_bench_run *run)
{
    double begin = cli_clock();
    generator g = {
        .load = load,
        .run = run,
        .flying = calloc(load->connections, sizeof *g.flying),
        .idle = calloc(load->connections, sizeof *g.idle),
        .start_s = begin + load->warmup_s,
        .end_s = begin + load->warmup_s + load->duration_s,
        .next_due_s = begin,
        .random = load->seed,
    };

    *run = (cli_bench_run){.rate = load->rate, .seconds = load->duration_s};
    g.no_mem = !g.flying || !g.idle;
    while (!g.no_mem && g.idle_count < load->connections) {
        g.idle[g.idle_count] = g.idle_count;
        g.idle_count++;
    }
    for (send_due(&g); !is_over(&g, cli_clock()); send_due(&g)) {
        cli_http_poll(load->http, wait_time(&g), on_done, &g);
        if (*load->stop && cli_clock() < g.end_s) {
            g.end_s = fmax(cli_clock(), g.start_s);
            run->seconds = fmax(g.end_s - g.start_s, 1e-6);
        }
    }
    if (!g.no_mem)
        count_lost(&g);
    free(g.flying);
    free(g.idle);
    free(g.waiting);
    return !g.no_mem;
}
