#ifndef PRELU_TEST_AMX_EMULATOR_H
#define PRELU_TEST_AMX_EMULATOR_H
/* The tile instructions in software, for a kernel's own source compiled on top of this instead of
 * kernels/tiles_amx.h: tile sizes, zeroed rests, the order of additions and denormals as in Intel's
 * manual. What the processor would refuse (#UD, #GP) ends in amx_refuse. State belongs to a thread.
 */
#include <immintrin.h>
#include <stdbool.h>
#include <stdint.h>

/* Stands for kernels/tiles_amx.h. */
#define KRN_TILES_AMX_H
typedef struct krn_tile_config {
    uint8_t palette, start_row, reserved[14];
    uint16_t colsb[16];
    uint8_t rows[16];
} krn_tile_config;

enum { AMX_TILES = 8, AMX_ROWS = 16, AMX_COLSB = 64 };
/* Faults to plant: what a wrong kernel, or a processor of another mind, would do. */
typedef enum amx_fault {
    AMX_RIGHT,
    AMX_LOST_PAIR,   /* a product leaves out the last pair of k */
    AMX_SHORT_STORE, /* the last row of a tile is not stored */
    AMX_NO_ZERO,     /* tilezero does nothing */
    AMX_OLD_LOAD,    /* a load keeps the last row of what was there */
    AMX_WRONG_ROWS   /* a configuration with a row less in tile 7 */
} amx_fault;

typedef struct amx_state {
    bool configured;
    uint8_t rows[AMX_TILES];
    uint16_t colsb[AMX_TILES];
    uint8_t data[AMX_TILES][AMX_ROWS][AMX_COLSB];
    amx_fault fault;
    unsigned long loads, products;
} amx_state;
extern _Thread_local amx_state amx;
/* Called instead of aborting; must not return. */
extern _Thread_local void (*amx_on_refusal)(const char *why);

void krn_tiles_configure(const krn_tile_config *c);
void amx_load(int tile, const void *base, long stride);
void amx_store(int tile, void *base, long stride);
void amx_zero(int tile);
void amx_release(void);
void amx_dpbf16ps(int c, int a, int b);
static inline void krn_tiles_barrier(void) {}

#undef _tile_loadd
#undef _tile_stream_loadd
#undef _tile_stored
#undef _tile_zero
#undef _tile_release
#undef _tile_dpbf16ps
#define _tile_loadd(tile, base, stride) amx_load(tile, base, stride)
#define _tile_stream_loadd(tile, base, stride) amx_load(tile, base, stride)
#define _tile_stored(tile, base, stride) amx_store(tile, base, stride)
#define _tile_zero(tile) amx_zero(tile)
#define _tile_release() amx_release()
#define _tile_dpbf16ps(c, a, b) amx_dpbf16ps(c, a, b)
#endif
