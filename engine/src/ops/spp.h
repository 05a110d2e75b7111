#ifndef OP_SPP_H
#define OP_SPP_H
#include <stddef.h>

/** Bins of spatial pyramid pooling, for all who cut a map or a window into them. */
enum { OP_SPP_MAX_LEVEL = 256, OP_SPP_MAX_LEVELS = 16 };

/** First place of bin i of `level` along an axis of `size`, and the place after its last. */
static inline size_t op_spp_from(size_t size, size_t level, size_t i) { return i * size / level; }

static inline size_t op_spp_to(size_t size, size_t level, size_t i)
{
    return ((i + 1) * size + level - 1) / level;
}
#endif
