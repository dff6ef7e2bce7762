/* Packed tiles to centroids with NEON, a quarter of a tile (4 rows x 4 columns) to a register.
 *
 * Each plane of a tile (base/tile.h) is shifted, by a different amount for each quarter, so that
 * its bits come to their place in every byte. 64 bytes are looked up by one TBL of four registers;
 * an index outside its table leaves what TBX found before. */
#ifndef CT_KERNELS_ARM_TILE_NEON_H
#define CT_KERNELS_ARM_TILE_NEON_H

#include "engine/base/tile.h"
#include "engine/kernels/arm/vector_neon.h"
#include "engine/kernels/kernels.h"

enum { CT_PREFETCH_BYTES = 4096 };

/* 16 indices: rows 4 quarter to 4 quarter + 3 of the packed tile at p. quarter and bits are
 * constants. */
CT_INLINE uint8x16_t ct_unpack_quarter_neon(const uint8_t *p, int quarter, int bits)
{
    if (bits == 8)
        return vld1q_u8(p + 16 * quarter);
    uint8x16_t index = vdupq_n_u8(0);
    int n_below = 0;
    if (bits & 4) {
        uint8x16_t four = vld1q_u8(p + 16 * (quarter % 2));
        index = quarter < 2 ? vandq_u8(four, vdupq_n_u8(15)) : vshrq_n_u8(four, 4);
        n_below = 4;
        p += 32;
    }
    if (bits & 2) {
        uint8x16_t two = vshlq_u8(vld1q_u8(p), vdupq_n_s8((int8_t)(n_below - 2 * quarter)));
        index = vorrq_u8(index, vandq_u8(two, vdupq_n_u8((uint8_t)(3 << n_below))));
        n_below += 2;
        p += 16;
    }
    if (bits & 1) {
        int8x8_t up = vdup_n_s8((int8_t)(n_below - 2 * quarter));
        int8x16_t each = vcombine_s8(up, vsub_s8(up, vdup_n_s8(1)));
        uint8x16_t one = vshlq_u8(vcombine_u8(vld1_u8(p), vld1_u8(p)), each);
        index = vorrq_u8(index, vandq_u8(one, vdupq_n_u8((uint8_t)(1 << n_below))));
    }
    return index;
}

/* A table of 2^bits bytes. */
struct ct_lookup_neon {
    uint8x16x4_t table[4];
};

CT_INLINE void ct_lookup_init_neon(struct ct_lookup_neon *l, const void *bytes, int bits)
{
    uint8_t padded[256] = {0};
    memcpy(padded, bytes, (size_t)1 << bits);
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++)
            l->table[i].val[j] = vld1q_u8(padded + 64 * i + 16 * j);
}

CT_INLINE uint8x16_t ct_lookup_quarter_neon(const struct ct_lookup_neon *l, uint8x16_t index,
                                            int bits)
{
    if (bits <= 4)
        return vqtbl1q_u8(l->table[0].val[0], index);
    uint8x16_t found = vqtbl4q_u8(l->table[0], index);
    if (bits >= 7)
        found = vqtbx4q_u8(found, l->table[1], vsubq_u8(index, vdupq_n_u8(64)));
    if (bits == 8) {
        found = vqtbx4q_u8(found, l->table[2], vsubq_u8(index, vdupq_n_u8(128)));
        found = vqtbx4q_u8(found, l->table[3], vsubq_u8(index, vdupq_n_u8(192)));
    }
    return found;
}

/* Stores a tile's 16 values of token t; y ends at row n. */
CT_INLINE void ct_store_rows_neon(const struct ct_linear *a, int64_t tile, int64_t t,
                                  const v_f32 values[4])
{
    for (int i = 0; i < 4; i++) {
        int64_t row = tile * CT_TILE_ROWS + 4 * i, n = a->n - row;
        float *y = a->y + t * a->ldy + row;
        if (n <= 0)
            return;
        v_f32 value = values[i];
        if (a->token_scale != NULL)
            value = vmulq_n_f32(value, a->token_scale[t]);
        if (a->is_added)
            value = vaddq_f32(v_load_n(y, n), value);
        v_store_n(y, n, a->bias != NULL ? vaddq_f32(value, v_load_n(a->bias + row, n)) : value);
    }
}

/* X(bits) for each width of an index; and a table of the functions name_<bits> by it. */
#define CT_EACH_BITS(X) X(2) X(3) X(4) X(5) X(6) X(7) X(8)
#define CT_BY_BITS(name)                                                                           \
    {                                                                                              \
        [2] = name##_2, [3] = name##_3, [4] = name##_4, [5] = name##_5, [6] = name##_6,            \
        [7] = name##_7, [8] = name##_8,                                                            \
    }
typedef void ct_tiles_fn(const struct ct_linear *a, int64_t tile_begin, int64_t tile_end);

#endif
