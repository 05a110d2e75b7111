#include "amx_emulator.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Thread_local amx_state amx;

_Thread_local void (*amx_on_refusal)(const char *why);
static void amx_refuse(const char *why)
{
    if (amx_on_refusal)
        amx_on_refusal(why);
    fprintf(stderr, "AMX: %s\n", why);
    abort();
}

void krn_tiles_configure(const krn_tile_config *c)
{
    const amx_fault fault = amx.fault;
    if (c->palette > 1 || c->start_row)
        amx_refuse("palette or start row");
    for (int i = 0; i < 14; i++)
        if (c->reserved[i])
            amx_refuse("reserved bytes of the configuration");
    for (int i = 0; i < 16; i++) {
        if (i >= AMX_TILES && (c->rows[i] || c->colsb[i]))
            amx_refuse("a tile beyond the eighth");
        if (c->rows[i] > AMX_ROWS || c->colsb[i] > AMX_COLSB || !c->rows[i] != !c->colsb[i])
            amx_refuse("a tile's size");
    }
    memset(&amx, 0, sizeof amx);
    amx.fault = fault;
    amx.configured = c->palette == 1;
    for (int i = 0; i < AMX_TILES; i++) {
        amx.rows[i] = c->rows[i];
        amx.colsb[i] = c->colsb[i];
    }
    if (fault == AMX_WRONG_ROWS)
        amx.rows[7]--;
}

static void amx_need(int tile)
{
    if (!amx.configured)
        amx_refuse("no configuration in this thread");
    if (tile < 0 || tile >= AMX_TILES || !amx.rows[tile])
        amx_refuse("a tile that is not configured");
}

void amx_load(int tile, const void *base, long stride)
{
    amx_need(tile);
    amx.loads++;
    for (int r = 0; r < AMX_ROWS; r++) {
        if (amx.fault == AMX_OLD_LOAD && r == amx.rows[tile] - 1 && r > 0)
            continue;
        memset(amx.data[tile][r], 0, AMX_COLSB);
        if (r < amx.rows[tile])
            memcpy(amx.data[tile][r], (const char *)base + r * stride, amx.colsb[tile]);
    }
}

void amx_store(int tile, void *base, long stride)
{
    amx_need(tile);
    for (int r = 0; r < amx.rows[tile] - (amx.fault == AMX_SHORT_STORE); r++)
        memcpy((char *)base + r * stride, amx.data[tile][r], amx.colsb[tile]);
}

void amx_zero(int tile)
{
    amx_need(tile);
    if (amx.fault != AMX_NO_ZERO)
        memset(amx.data[tile], 0, sizeof amx.data[tile]);
}

void amx_release(void)
{
    const amx_fault fault = amx.fault;
    memset(&amx, 0, sizeof amx);
    amx.fault = fault;
}

/* Denormals are zero going in and coming out, whatever MXCSR says. */
static float amx_flush(float v) { return fabsf(v) < 0x1p-126f ? copysignf(0.0f, v) : v; }

static float amx_bf16(const uint8_t *row, int i)
{
    const uint32_t bits = (uint32_t)row[2 * i] << 16 | (uint32_t)row[2 * i + 1] << 24;
    float v;
    memcpy(&v, &bits, sizeof v);
    return amx_flush(v);
}

/* Even and odd elements of k are summed apart over the whole step, then both are added to c. */
void amx_dpbf16ps(int c, int a, int b)
{
    amx_need(c);
    amx_need(a);
    amx_need(b);
    if (c == a || c == b || a == b)
        amx_refuse("a product with one tile twice");
    if (amx.rows[c] != amx.rows[a] || amx.colsb[c] != amx.colsb[b] ||
        amx.colsb[a] != 4 * amx.rows[b] || amx.colsb[a] % 4 || amx.colsb[b] % 4)
        amx_refuse("a product of tiles that do not fit");
    amx.products++;
    const int pairs = amx.colsb[a] / 4 - (amx.fault == AMX_LOST_PAIR);
    for (int m = 0; m < AMX_ROWS; m++)
        for (int n = 0; n < AMX_COLSB / 4; n++) {
            float sum[2] = {0.0f, 0.0f}, old;
            uint8_t *at = &amx.data[c][m][4 * n];
            if (m >= amx.rows[c] || 4 * n >= amx.colsb[c]) {
                memset(at, 0, 4);
                continue;
            }
            for (int k = 0; k < pairs; k++)
                for (int h = 0; h < 2; h++)
                    sum[h] = amx_flush(fmaf(amx_bf16(amx.data[a][m], 2 * k + h),
                                            amx_bf16(amx.data[b][k], 2 * n + h), sum[h]));
            memcpy(&old, at, 4);
            old = amx_flush(amx_flush(old) + amx_flush(sum[0] + sum[1]));
            memcpy(at, &old, 4);
        }
}
