#ifndef SRV_ASSETS_H
#define SRV_ASSETS_H
#include <stddef.h>

/** Files built into the program: assets.c is written by server/cmake/embed.cmake. */
typedef struct srv_asset {
    const char *name; /* of the file */
    const unsigned char *data;
    size_t len;
} srv_asset;
/** NULL if there is none of that name. */
const srv_asset *srv_asset_find(const char *name);
#endif
