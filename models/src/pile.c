#include "pile.h"
#include "prelu/mem.h"
#include <stdint.h>
#include <string.h>

#define CHUNK_LEN ((size_t)64 * 1024)
#define SMALL_LEN ((size_t)4096)

/* 64 bytes, so that what follows keeps the alignment of prelu_alloc. */
struct mdl_pile_chunk {
    struct mdl_pile_chunk *next;
    char pad[64 - sizeof(struct mdl_pile_chunk *)];
};

/* A small block from the first chunk, or a new first chunk; a large one gets a chunk of its own,
 * put second so that the first keeps its room. */
static void *take(mdl_pile *pile, size_t len)
{
    struct mdl_pile_chunk *c;
    size_t at = pile->used;
    len = (len + 15) / 16 * 16;
    if (len <= SMALL_LEN && pile->chunks && len <= pile->size - at) {
        pile->used += len;
        return (char *)(pile->chunks + 1) + at;
    }
    c = prelu_alloc(sizeof *c + (len <= SMALL_LEN ? CHUNK_LEN : len));
    if (!c)
        return NULL;
    if (len <= SMALL_LEN || !pile->chunks) {
        c->next = pile->chunks;
        pile->chunks = c;
        pile->used = len;
        pile->size = len <= SMALL_LEN ? CHUNK_LEN : len;
    } else {
        c->next = pile->chunks->next;
        pile->chunks->next = c;
    }
    return c + 1;
}

void *mdl_pile_alloc(mdl_pile *pile, size_t count, size_t size, const char *what, prelu_err *err)
{
    size_t len;
    void *p;
    if (prelu_mul(count, size, &len, err))
        return NULL;
    p = len <= SIZE_MAX / 2 ? take(pile, len) : NULL;
    if (!p) {
        (void)prelu_fail(err, PRELU_E_NOMEM, "%s: %zu bytes", what, len);
        return NULL;
    }
    memset(p, 0, len);
    return p;
}

void mdl_pile_deinit(mdl_pile *pile)
{
    struct mdl_pile_chunk *c = pile->chunks;
    while (c) {
        struct mdl_pile_chunk *next = c->next;
        prelu_free(c);
        c = next;
    }
    memset(pile, 0, sizeof *pile);
}
