/* Processes that mpirun started. MPI's own errors end the program (its default), so calls to it are
 * not checked. */
#include "dist.h"
#include "command.h"
#include "prelu/mem.h"
#include <mpi.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* MPI counts in int. */
#define PIECE ((size_t)1 << 30)
enum { TAG_BYTES = 1, TAG_FLOATS };

/* A sum on its way: each of the other processes sends its part of what this one owns. */
typedef struct incoming {
    float *x; /* owned numbers */
    size_t n;
    float *parts; /* n from each other process, in their order */
    size_t room;
} incoming;

/* Messages between two processes keep their order, so one tag serves all of them. */
static struct exchange {
    MPI_Request *requests;
    size_t n_requests, room;
    incoming *sums; /* of a step; their memory serves the next one too */
    size_t n_sums, sums_room;
    prelu_pool *pool;
} state;

prelu_status train_dist_begin(int *argc, char ***argv, prelu_err *err)
{
    int level = 0;
    if (MPI_Init_thread(argc, argv, MPI_THREAD_FUNNELED, &level) != MPI_SUCCESS)
        return prelu_fail(err, PRELU_E_INTERNAL, "MPI does not start");
    if (level < MPI_THREAD_FUNNELED)
        return prelu_fail(err, PRELU_E_INTERNAL, "this MPI does not allow threads");
    return PRELU_OK;
}

int train_dist_end(int code)
{
    if (code && train_dist_size() > 1)
        MPI_Abort(MPI_COMM_WORLD, code);
    for (size_t i = 0; i < state.sums_room; i++)
        prelu_free(state.sums[i].parts);
    prelu_free(state.sums);
    prelu_free(state.requests);
    MPI_Finalize();
    return code;
}

int train_dist_rank(void)
{
    int rank = 0;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    return rank;
}

int train_dist_size(void)
{
    int size = 1;
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    return size;
}

prelu_status train_dist_agree(prelu_status st, prelu_err *err)
{
    const int size = train_dist_size();
    int mine = st ? train_dist_rank() : size, first = size, code = st;
    MPI_Allreduce(&mine, &first, 1, MPI_INT, MPI_MIN, MPI_COMM_WORLD);
    if (first == size)
        return PRELU_OK;
    MPI_Bcast(&code, 1, MPI_INT, first, MPI_COMM_WORLD);
    return st ? st : prelu_fail(err, (prelu_status)code, "process %d failed", first);
}

prelu_status train_dist_same(const char *what, const void *data, size_t len, prelu_err *err)
{
    /* FNV-1a: a mistake is to be found, not an attack */
    uint64_t mine[2] = {14695981039346656037U, len}, root[2];
    const uint8_t *bytes = data;
    for (size_t i = 0; i < len; i++)
        mine[0] = (mine[0] ^ bytes[i]) * 1099511628211U;
    memcpy(root, mine, sizeof root);
    MPI_Bcast(root, 2, MPI_UINT64_T, 0, MPI_COMM_WORLD);
    int other = memcmp(root, mine, sizeof root) ? train_dist_rank() : train_dist_size();
    MPI_Allreduce(MPI_IN_PLACE, &other, 1, MPI_INT, MPI_MIN, MPI_COMM_WORLD);
    if (other < train_dist_size())
        return prelu_fail(err, PRELU_E_ARG, "%s of process %d is not that of process 0", what,
                          other);
    return PRELU_OK;
}

size_t train_dist_total(size_t len)
{
    uint64_t total = len;
    MPI_Allreduce(MPI_IN_PLACE, &total, 1, MPI_UINT64_T, MPI_SUM, MPI_COMM_WORLD);
    return (size_t)total;
}

size_t train_dist_most(size_t n)
{
    uint64_t most = n;
    MPI_Allreduce(MPI_IN_PLACE, &most, 1, MPI_UINT64_T, MPI_MAX, MPI_COMM_WORLD);
    return (size_t)most;
}

static void send_bytes(const uint8_t *data, size_t len, int to)
{
    for (size_t at = 0; at < len; at += PIECE)
        MPI_Send(data + at, (int)(len - at < PIECE ? len - at : PIECE), MPI_BYTE, to, TAG_BYTES,
                 MPI_COMM_WORLD);
}

static void receive_bytes(uint8_t *data, size_t len, int from)
{
    for (size_t at = 0; at < len; at += PIECE)
        MPI_Recv(data + at, (int)(len - at < PIECE ? len - at : PIECE), MPI_BYTE, from, TAG_BYTES,
                 MPI_COMM_WORLD, MPI_STATUS_IGNORE);
}

static void send_length(size_t len)
{
    const uint64_t length = len;
    MPI_Send(&length, 1, MPI_UINT64_T, 0, TAG_BYTES, MPI_COMM_WORLD);
}

static size_t receive_length(int from)
{
    uint64_t length;
    MPI_Recv(&length, 1, MPI_UINT64_T, from, TAG_BYTES, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    return (size_t)length;
}

static size_t gather(void *ctx, const void *mine, size_t len, void *all)
{
    size_t at = len;
    (void)ctx;
    if (train_dist_rank()) {
        send_length(len);
        send_bytes(mine, len, 0);
        return 0;
    }
    if (len)
        memcpy(all, mine, len);
    for (int from = 1; from < train_dist_size(); from++) {
        const size_t length = receive_length(from);
        receive_bytes((uint8_t *)all + at, length, from);
        at += length;
    }
    return at;
}

static void scatter(void *ctx, const void *all, void *mine, size_t len)
{
    size_t at = len;
    (void)ctx;
    if (train_dist_rank()) {
        send_length(len);
        receive_bytes(mine, len, 0);
        return;
    }
    if (len)
        memcpy(mine, all, len);
    for (int to = 1; to < train_dist_size(); to++) {
        const size_t length = receive_length(to);
        send_bytes((const uint8_t *)all + at, length, to);
        at += length;
    }
}

prelu_status train_dist_gather(const void *mine, size_t len, void *all, size_t all_len,
                               prelu_err *err)
{
    const size_t total = train_dist_total(len);
    int ok = train_dist_rank() != 0 || total == all_len;
    MPI_Bcast(&ok, 1, MPI_INT, 0, MPI_COMM_WORLD);
    if (!ok)
        return prelu_fail(err, PRELU_E_FORMAT, "%zu bytes gathered, not %zu", total, all_len);
    (void)gather(NULL, mine, len, all);
    return PRELU_OK;
}

/* Summed on one process and handed out, so that no algorithm of MPI's choosing can give the
 * processes different bits. */
static void sum(void *x, size_t n, MPI_Datatype type, size_t size)
{
    for (size_t at = 0; at < n; at += PIECE / 8) {
        const int count = (int)(n - at < PIECE / 8 ? n - at : PIECE / 8);
        void *piece = (uint8_t *)x + at * size;
        MPI_Reduce(train_dist_rank() ? piece : MPI_IN_PLACE, piece, count, type, MPI_SUM, 0,
                   MPI_COMM_WORLD);
        MPI_Bcast(piece, count, type, 0, MPI_COMM_WORLD);
    }
}

void train_dist_sum_doubles(double *x, size_t n) { sum(x, n, MPI_DOUBLE, sizeof *x); }

/* ---- steps that all share ---- */

static void *grown(void *old, size_t *room, size_t want, size_t size)
{
    if (want <= *room)
        return old;
    const size_t more = 2 * want;
    void *p = prelu_realloc(old, more * size);
    if (!p) { /* the others wait for what this process cannot send */
        fprintf(stderr, "process %d: no memory for %zu bytes\n", train_dist_rank(), more * size);
        MPI_Abort(MPI_COMM_WORLD, train_exit_code(PRELU_E_NOMEM));
    }
    memset((char *)p + *room * size, 0, (more - *room) * size);
    *room = more;
    return p;
}

/* @param send  else receive. */
static void begin_message(float *x, size_t n, int other, bool send)
{
    for (size_t at = 0; at < n; at += PIECE / sizeof *x) {
        const int count = (int)(n - at < PIECE / sizeof *x ? n - at : PIECE / sizeof *x);
        state.requests =
            grown(state.requests, &state.room, state.n_requests + 1, sizeof *state.requests);
        MPI_Request *r = &state.requests[state.n_requests++];
        if (send)
            MPI_Isend(x + at, count, MPI_FLOAT, other, TAG_FLOATS, MPI_COMM_WORLD, r);
        else
            MPI_Irecv(x + at, count, MPI_FLOAT, other, TAG_FLOATS, MPI_COMM_WORLD, r);
    }
}

static void finish_messages(void)
{
    MPI_Waitall((int)state.n_requests, state.requests, MPI_STATUSES_IGNORE);
    state.n_requests = 0;
}

static void begin_sum(void *ctx, float *x, size_t n)
{
    const int rank = train_dist_rank(), size = train_dist_size();
    const size_t from = prelu_owned(n, rank, size), own = prelu_owned(n, rank + 1, size) - from;
    (void)ctx;
    state.sums = grown(state.sums, &state.sums_room, state.n_sums + 1, sizeof *state.sums);
    incoming *in = &state.sums[state.n_sums++];
    in->x = x + from;
    in->n = own;
    in->parts = grown(in->parts, &in->room, own * (size_t)(size - 1), sizeof *in->parts);
    for (int other = 0, k = 0; other < size; other++) {
        const size_t theirs = prelu_owned(n, other, size);
        if (other == rank)
            continue;
        if (own) /* fewer numbers than processes leave some without any, and without room */
            begin_message(in->parts + (size_t)k++ * own, own, other, false);
        begin_message(x + theirs, prelu_owned(n, other + 1, size) - theirs, other, true);
    }
}

enum { CHUNK = 1 << 15 };

typedef struct add_job {
    const incoming *in;
    int rank, size;
} add_job;

/* Rank by rank, whoever owns the numbers. */
static void add_task(void *ctx, size_t task, int worker)
{
    const add_job *j = ctx;
    const size_t from = task * CHUNK, left = j->in->n - from, n = left < CHUNK ? left : CHUNK;
    float *restrict x = j->in->x + from;
    float sum[256];
    (void)worker;
    for (size_t at = 0; at < n; at += 256) {
        const size_t some = n - at < 256 ? n - at : 256;
        memset(sum, 0, sizeof sum);
        for (int r = 0; r < j->size; r++) {
            const size_t k = (size_t)(r < j->rank ? r : r - 1);
            const float *restrict part =
                r == j->rank ? x + at : j->in->parts + k * j->in->n + from + at;
            for (size_t i = 0; i < some; i++)
                sum[i] += part[i];
        }
        memcpy(x + at, sum, some * sizeof *sum);
    }
}

static void finish_sums(void *ctx)
{
    (void)ctx;
    finish_messages();
    for (size_t i = 0; i < state.n_sums; i++) {
        add_job j = {&state.sums[i], train_dist_rank(), train_dist_size()};
        prelu_pool_run(state.pool, (j.in->n + CHUNK - 1) / CHUNK, add_task, &j);
    }
    state.n_sums = 0;
}

static void begin_spread(void *ctx, float *x, size_t n)
{
    const int rank = train_dist_rank(), size = train_dist_size();
    const size_t from = prelu_owned(n, rank, size), to = prelu_owned(n, rank + 1, size);
    (void)ctx;
    for (int other = 0; other < size; other++) {
        const size_t theirs = prelu_owned(n, other, size);
        if (other == rank)
            continue;
        begin_message(x + theirs, prelu_owned(n, other + 1, size) - theirs, other, false);
        begin_message(x + from, to - from, other, true);
    }
}

static void finish_spreads(void *ctx)
{
    (void)ctx;
    finish_messages();
}

static void progress(void *ctx)
{
    int done;
    (void)ctx;
    if (state.n_requests)
        MPI_Testall((int)state.n_requests, state.requests, &done, MPI_STATUSES_IGNORE);
}

static void sum_floats(void *ctx, float *x, size_t n)
{
    (void)ctx;
    sum(x, n, MPI_FLOAT, sizeof *x);
}

static void broadcast(void *ctx, float *x, size_t n)
{
    (void)ctx;
    for (size_t at = 0; at < n; at += PIECE / sizeof *x)
        MPI_Bcast(x + at, (int)(n - at < PIECE / sizeof *x ? n - at : PIECE / sizeof *x), MPI_FLOAT,
                  0, MPI_COMM_WORLD);
}

static prelu_status agree(void *ctx, prelu_status st, prelu_err *err)
{
    (void)ctx;
    return train_dist_agree(st, err);
}

const prelu_exchange *train_dist_exchange(prelu_pool *pool)
{
    static prelu_exchange e = {.begin_sum = begin_sum,
                               .finish_sums = finish_sums,
                               .begin_spread = begin_spread,
                               .finish_spreads = finish_spreads,
                               .progress = progress,
                               .sum = sum_floats,
                               .gather = gather,
                               .scatter = scatter,
                               .broadcast = broadcast,
                               .agree = agree};
    e.rank = train_dist_rank();
    e.size = train_dist_size();
    state.pool = pool;
    return e.size > 1 ? &e : NULL;
}

size_t train_dist_before(size_t n)
{
    uint64_t mine = n, before = 0;
    MPI_Exscan(&mine, &before, 1, MPI_UINT64_T, MPI_SUM, MPI_COMM_WORLD);
    return train_dist_rank() ? (size_t)before : 0;
}
