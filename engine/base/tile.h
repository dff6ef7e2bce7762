/* The tile of the clustered encoding: 64 indices of `bits` bits in a little-endian bitstream. Index
 * t (row * 4 + column) occupies bits [t * bits, (t + 1) * bits), bit 0 being the lowest of byte 0.
 * engine/format/clustered.h says how tiles make a matrix. Any thread. */
#ifndef CT_BASE_TILE_H
#define CT_BASE_TILE_H

#include <stdint.h>

enum {
    CT_TILE_ROWS = 16,
    CT_TILE_COLS = 4,
    CT_TILE_INDICES = 64,
    CT_CLUSTERED_SLACK =
        64, /* bytes after the last tile that are readable, so that whole vectors load */
};

/* Index t of a packed tile. */
static inline int ct_tile_index(const uint8_t *packed, int bits, int t)
{
    int bit = t * bits;
    unsigned pair = packed[bit >> 3];
    if ((bit & 7) + bits > 8)
        pair |= (unsigned)packed[(bit >> 3) + 1] << 8;
    return (int)(pair >> (bit & 7) & ((1u << bits) - 1));
}

/* Packs the 64 indices of a tile, each below 2^bits, into 8 * bits bytes; and back. */
void ct_tile_pack(const uint8_t indices[CT_TILE_INDICES], int bits, uint8_t *packed);
void ct_tile_unpack(const uint8_t *packed, int bits, uint8_t indices[CT_TILE_INDICES]);

#endif
