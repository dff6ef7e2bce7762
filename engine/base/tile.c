#include "engine/base/tile.h"

#include <string.h>

void ct_tile_pack(const uint8_t indices[CT_TILE_INDICES], int bits, uint8_t *packed)
{
    memset(packed, 0, (size_t)(8 * bits));
    for (int t = 0; t < CT_TILE_INDICES; t++) {
        int bit = t * bits;
        unsigned value = (unsigned)indices[t] << (bit & 7);
        packed[bit >> 3] |= (uint8_t)value;
        if (value >> 8)
            packed[(bit >> 3) + 1] |= (uint8_t)(value >> 8);
    }
}

void ct_tile_unpack(const uint8_t *packed, int bits, uint8_t indices[CT_TILE_INDICES])
{
    for (int t = 0; t < CT_TILE_INDICES; t++)
        indices[t] = (uint8_t)ct_tile_index(packed, bits, t);
}
