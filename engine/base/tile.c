#include "engine/base/tile.h"

#include <string.h>

/* Adds the `width` bits above n_below of every index to a plane of 8 * width bytes. */
static void pack_plane(const uint8_t *indices, int n_below, int width, uint8_t *plane)
{
    for (int t = 0; t < CT_TILE_INDICES; t++) {
        int value = indices[t] >> n_below & ((1 << width) - 1);
        plane[t % (8 * width)] |= (uint8_t)(value << width * (t / (8 * width)));
    }
}

void ct_tile_pack(const uint8_t indices[CT_TILE_INDICES], int bits, uint8_t *packed)
{
    memset(packed, 0, (size_t)(8 * bits));
    int n_below = 0;
    for (int width = 8; width > 0; width /= 2) {
        if ((bits & width) == 0)
            continue;
        pack_plane(indices, n_below, width, packed + 8 * n_below);
        n_below += width;
    }
}

void ct_tile_unpack(const uint8_t *packed, int bits, uint8_t indices[CT_TILE_INDICES])
{
    for (int t = 0; t < CT_TILE_INDICES; t++)
        indices[t] = (uint8_t)ct_tile_index(packed, bits, t);
}
