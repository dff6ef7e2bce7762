/* Packed tiles to centroids with AVX-512 VBMI, a whole tile (16 rows x 4 columns) to a register.
 *
 * Eight indices are b bytes: a byte permute gives each its own quadword, one multishift cuts eight
 * bytes out of each at multiples of b bits, and one byte permute (of a table repeated to 64
 * entries, so that the bits above b do not matter) looks all 64 up. 7 bits take a permute of two
 * tables, 8 bits two of those. */
#ifndef CT_KERNELS_X86_TILE_AVX512_H
#define CT_KERNELS_X86_TILE_AVX512_H

#include "engine/base/tile.h"
#include "engine/kernels/kernels.h"

#include <immintrin.h>
#include <string.h>

#define CT_INLINE static inline __attribute__((always_inline))

enum {
    CT_LINEAR8 = 9, /* in place of bits: 8 bits whose codebook is index - 128 (kept Q8_0 blocks) */
    CT_PREFETCH_BYTES = 4096,
};

/* Of one bit width: where the bytes of each quadword come from, and the shifts inside. */
struct ct_unpack_avx512 {
    __m512i spread, shift;
};

CT_INLINE struct ct_unpack_avx512 ct_unpack_init_avx512(int bits)
{
    uint8_t spread[64], shift[64];
    for (int i = 0; i < 64; i++) {
        spread[i] = (uint8_t)(i / 8 * bits + i % 8);
        shift[i] = (uint8_t)(i % 8 * bits);
    }
    return (struct ct_unpack_avx512){_mm512_loadu_si512(spread), _mm512_loadu_si512(shift)};
}

/* 64 indices, with anything above their `bits` bits (a constant); reads 64 bytes from p. */
CT_INLINE __m512i ct_unpack_tile_avx512(const struct ct_unpack_avx512 *u, const uint8_t *p,
                                        int bits)
{
    __m512i packed = _mm512_loadu_si512(p);
    if (bits >= 8)
        return packed;
    return _mm512_multishift_epi64_epi8(u->shift, _mm512_permutexvar_epi8(u->spread, packed));
}

/* A table of bytes; its rows are used as far as `bits` needs. */
struct ct_lookup_avx512 {
    __m512i table[4];
};

CT_INLINE void ct_lookup_init_avx512(struct ct_lookup_avx512 *l, const uint8_t *bytes, int bits)
{
    uint8_t repeated[256];
    for (int i = 0; i < 256; i++)
        repeated[i] = bytes[i & ((1 << bits) - 1)];
    for (int i = 0; i < 4; i++)
        l->table[i] = _mm512_loadu_si512(repeated + 64 * i);
}

CT_INLINE __m512i ct_lookup_tile_avx512(const struct ct_lookup_avx512 *l, __m512i index, int bits)
{
    if (bits == CT_LINEAR8)
        return index;
    if (bits <= 6)
        return _mm512_permutexvar_epi8(index, l->table[0]);
    __m512i low = _mm512_permutex2var_epi8(l->table[0], index, l->table[1]);
    if (bits == 7)
        return low;
    __m512i high = _mm512_permutex2var_epi8(l->table[2], index, l->table[3]);
    return _mm512_mask_blend_epi8(_mm512_movepi8_mask(index), low, high);
}

/* Stores a tile's 16 values of token t; y ends at row n. */
CT_INLINE void ct_store_rows_avx512(const struct ct_linear *a, int64_t tile, int64_t t,
                                    __m512 value)
{
    int64_t row = tile * CT_TILE_ROWS, n = a->n - row;
    __mmask16 mask = n >= CT_TILE_ROWS ? 0xffff : (__mmask16)((1u << n) - 1);
    float *y = a->y + t * a->ldy + row;
    if (a->is_added)
        value = _mm512_add_ps(_mm512_maskz_loadu_ps(mask, y), value);
    _mm512_mask_storeu_ps(y, mask, value);
}

#endif
