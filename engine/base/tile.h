/* The tile of the clustered encoding: 64 indices of `bits` bits in 8 * bits bytes, cut into planes
 * of four, two and one bits, so that any instruction set unpacks it with shifts and masks alone.
 *
 *   bits  2: two   3: two, one   4: four   5: four, one   6: four, two   7: four, two, one   8:
 * bytes
 *
 *   four  32 bytes   byte i: index i in the low half, index i + 32 in the high half
 *   two   16 bytes   byte i: indices i, i + 16, i + 32, i + 48 from the lowest bits up
 *   one    8 bytes   byte i: indices i, i + 8, ... i + 56 from the lowest bit up
 *
 * The first plane holds an index's lowest bits, the next one the bits above them. Index t is row *
 * 4 + column; engine/format/clustered.h says how tiles make a matrix. Any thread. */
#ifndef CT_BASE_TILE_H
#define CT_BASE_TILE_H

#include <stdint.h>

enum {
    CT_TILE_ROWS = 16,
    CT_TILE_COLS = 4,
    CT_TILE_INDICES = 64,
    /* bytes after the last tile that are readable, so that whole vectors load */
    CT_CLUSTERED_SLACK = 64,
};

/* Index t of a packed tile. */
static inline int ct_tile_index(const uint8_t *packed, int bits, int t)
{
    if (bits == 8)
        return packed[t];
    int index = 0, n_below = 0;
    if (bits & 4) {
        index = packed[t % 32] >> 4 * (t / 32) & 15;
        packed += 32;
        n_below = 4;
    }
    if (bits & 2) {
        index |= (packed[t % 16] >> 2 * (t / 16) & 3) << n_below;
        packed += 16;
        n_below += 2;
    }
    if (bits & 1)
        index |= (packed[t % 8] >> t / 8 & 1) << n_below;
    return index;
}

/* Packs the 64 indices of a tile, each below 2^bits, into 8 * bits bytes; and back. */
void ct_tile_pack(const uint8_t indices[CT_TILE_INDICES], int bits, uint8_t *packed);
void ct_tile_unpack(const uint8_t *packed, int bits, uint8_t indices[CT_TILE_INDICES]);

#endif
