#include "limiter.h"
#include "prelu/mem.h"
#include <math.h>
#include <pthread.h>
#include <sys/random.h>

enum { SETS = 1024, WAYS = 4 };

typedef struct bucket {
    uint64_t client; /* 0: nobody's */
    double tokens;   /* at `since` */
    int64_t since;
} bucket;

struct srv_limiter {
    double rate;
    uint64_t seed;
    pthread_mutex_t lock;
    bucket buckets[SETS][WAYS];
};

prelu_status srv_limiter_create(srv_limiter **out, int64_t rate, prelu_err *err)
{
    srv_limiter *l = prelu_calloc(1, sizeof *l);
    if (!l)
        return prelu_fail(err, PRELU_E_NOMEM, "--rate-limit: no memory");
    if (getrandom(&l->seed, sizeof l->seed, 0) != sizeof l->seed)
        l->seed = (uint64_t)(uintptr_t)l;
    l->rate = (double)rate;
    pthread_mutex_init(&l->lock, NULL);
    *out = l;
    return PRELU_OK;
}

void srv_limiter_destroy(srv_limiter **l)
{
    if (!*l)
        return;
    pthread_mutex_destroy(&(*l)->lock);
    prelu_free(*l);
    *l = NULL;
}

/* Seeded, so that nobody can choose whose bucket to share. */
static uint64_t hash(uint64_t seed, const unsigned char *p, size_t len)
{
    uint64_t h = seed;
    for (size_t i = 0; i < len; i++) {
        h = (h ^ p[i]) * 0x9e3779b97f4a7c15u;
        h ^= h >> 29;
    }
    return h | 1;
}

static double tokens_at(const srv_limiter *l, const bucket *b, int64_t now)
{
    return b->client ? fmin(l->rate, b->tokens + (double)(now - b->since) * 1e-9 * l->rate)
                     : l->rate;
}

bool srv_limiter_take(srv_limiter *l, const void *client, size_t len, int64_t now, int *retry_after)
{
    const uint64_t h = hash(l->seed, client, len);
    bucket *set = l->buckets[(h >> 32) % SETS], *b = set;
    pthread_mutex_lock(&l->lock);
    for (int i = 0; i < WAYS && b->client != h; i++)
        if (set[i].client == h || tokens_at(l, &set[i], now) > tokens_at(l, b, now))
            b = &set[i];
    const double tokens = b->client == h ? tokens_at(l, b, now) : l->rate;
    const bool taken = tokens >= 1;
    *b = (bucket){h, taken ? tokens - 1 : tokens, now};
    pthread_mutex_unlock(&l->lock);
    *retry_after = (int)ceil(fmax(1, (1 - tokens) / l->rate));
    return taken;
}
