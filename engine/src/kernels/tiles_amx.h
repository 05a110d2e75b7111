#ifndef KRN_TILES_AMX_H
#define KRN_TILES_AMX_H
#include <immintrin.h>
#include <stdint.h>

/** What the tile kernels use beside the compiler's _tile_* intrinsics. A test puts a header of this
 *  name, with the instructions in software, in its place. */

/** Operand of ldtilecfg. */
typedef struct krn_tile_config {
    uint8_t palette, start_row, reserved[14];
    uint16_t colsb[16]; /* bytes of a row, by tile */
    uint8_t rows[16];
} krn_tile_config;

/** For the calling thread, until _tile_release. All tiles become zero. An own instruction because
 *  gcc 12's _tile_loadconfig claims to read 8 of the 64 bytes, and the stores to the rest vanish.
 */
static inline void krn_tiles_configure(const krn_tile_config *c)
{
    __asm__ volatile("ldtilecfg %0" ::"m"(*c));
}

/** gcc 12's tile loads do not say that they read memory: between the stores and them. */
static inline void krn_tiles_barrier(void) { __asm__ volatile("" ::: "memory"); }
#endif
