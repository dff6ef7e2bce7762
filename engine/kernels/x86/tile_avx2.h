/* Packed tiles to centroids with AVX2, half a tile (8 rows x 4 columns) to a register.
 *
 * A dword lane is a row, its four bytes the row's four columns. A 16-bit window of the bitstream
 * holds two neighbouring indices a, b: a high multiply shifts b down into the low byte and a low
 * multiply shifts a up into the high byte, so one shuffle, two multiplies, a blend and a mask
 * unpack 32 indices of 2..6 bits. That leaves each pair of columns swapped (1 0 3 2), and callers
 * swap their activations once instead. 7 bits need two windows; 8 bits are bytes already, not
 * swapped.
 *
 *     window   |b b b b b b a a|a a a a . . . .|     bits 6, columns 0 (a) and 1 (b)
 *     unpacked |0 0 a a a a a a|0 0 b b b b b b|     high byte, low byte
 *
 * Looking up 2^bits bytes in 16-byte tables: pshufb gives 0 where bit 7 of the index is set, so
 * with D[j] = table[j] ^ table[j + 1] and index + (0x70 - 16 j), which sets bit 7 from 16 (j + 1)
 * up, the xor of all lookups is the centroid: no comparisons, no blends. */
#ifndef CT_KERNELS_X86_TILE_AVX2_H
#define CT_KERNELS_X86_TILE_AVX2_H

#include "engine/base/tile.h"
#include "engine/kernels/kernels.h"
#include "engine/kernels/x86/float_avx2.h"

enum {
    CT_LINEAR8 = 9, /* in place of bits: 8 bits whose codebook is index - 128 (kept Q8_0 blocks) */
    CT_PREFETCH_BYTES = 4096,
};

/* Constants of one bit width, for the 16 windows of a half tile; see above. */
struct ct_unpack_avx2 {
    int8_t high[2][32];   /* the bytes of the windows that hold a, in either half */
    int8_t low[2][32];    /* those that hold b */
    uint16_t to_high[16]; /* 2^(8 - a's place) */
    uint16_t to_low[16];  /* 2^(16 - b's place) */
};

/* A window is named by its half, lane (a quarter tile: 4 rows), row and column pair. Up to 4 bits a
 * half tile is 16 bytes at most and both lanes hold it whole. Above, each lane holds its quarter:
 * at its start, but for the third quarter, which a load ending with the tile puts at the end of its
 * lane. */
#define CT_A(b, row, pair)      ((4 * (row) + 2 * (pair)) * (b))
#define CT_B(b, row, pair)      (CT_A(b, row, pair) + (b))
#define CT_A_BYTE(b, row, pair) (CT_A(b, row, pair) >> 3)
#define CT_B_BYTE(b, row, pair) ((b) <= 6 ? CT_A_BYTE(b, row, pair) : (CT_B(b, row, pair) - 1) >> 3)
#define CT_START(b, half, lane)                                                                    \
    ((b) <= 4 ? 2 * (b) * (lane) : (half) == 1 && (lane) == 0 ? 16 - 2 * (b) : 0)
#define CT_HIGH(b, half, lane, row, pair)                                                          \
    CT_START(b, half, lane) + CT_A_BYTE(b, row, pair),                                             \
        CT_START(b, half, lane) + CT_A_BYTE(b, row, pair) + 1
#define CT_LOW(b, half, lane, row, pair)                                                           \
    CT_START(b, half, lane) + CT_B_BYTE(b, row, pair),                                             \
        CT_START(b, half, lane) + CT_B_BYTE(b, row, pair) + 1
#define CT_TO_HIGH(b, half, lane, row, pair) 1 << (8 - (CT_A(b, row, pair) & 7))
#define CT_TO_LOW(b, half, lane, row, pair)                                                        \
    1 << (16 - (CT_B(b, row, pair) - 8 * CT_B_BYTE(b, row, pair)))
#define CT_ROW(what, b, half, lane, row) what(b, half, lane, row, 0), what(b, half, lane, row, 1)
#define CT_LANE(what, b, half, lane)                                                               \
    CT_ROW(what, b, half, lane, 0), CT_ROW(what, b, half, lane, 1),                                \
        CT_ROW(what, b, half, lane, 2), CT_ROW(what, b, half, lane, 3)
#define CT_HALF(what, b, half) CT_LANE(what, b, half, 0), CT_LANE(what, b, half, 1)
#define CT_UNPACK(b)                                                                               \
    {                                                                                              \
        .high = {{CT_HALF(CT_HIGH, b, 0)}, {CT_HALF(CT_HIGH, b, 1)}},                              \
        .low = {{CT_HALF(CT_LOW, b, 0)}, {CT_HALF(CT_LOW, b, 1)}},                                 \
        .to_high = {CT_HALF(CT_TO_HIGH, b, 0)}, .to_low = {CT_HALF(CT_TO_LOW, b, 0)},              \
    }

static const struct ct_unpack_avx2 ct_unpack_avx2[8] __attribute__((aligned(32))) = {
    [2] = CT_UNPACK(2), [3] = CT_UNPACK(3), [4] = CT_UNPACK(4),
    [5] = CT_UNPACK(5), [6] = CT_UNPACK(6), [7] = CT_UNPACK(7),
};

CT_INLINE __m256i ct_load_avx2(const void *p)
{
    return _mm256_loadu_si256((const __m256i *)p);
}

/* 32 indices: rows 0-7 (half 0) or 8-15 of the packed tile at p; may read up to 64 bytes from p.
 * half and bits are constants. */
CT_INLINE __m256i ct_unpack_half_avx2(const uint8_t *p, int half, int bits)
{
    if (bits >= 8)
        return ct_load_avx2(p + 32 * half);
    __m256i packed;
    if (bits <= 4)
        packed =
            _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(p + 4 * bits * half)));
    else if (half == 1)
        packed = ct_load_avx2(p + 6 * bits - 16);
    else
        packed = _mm256_blend_epi32(
            ct_load_avx2(p),
            _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(p + 2 * bits))), 0xf0);
    const struct ct_unpack_avx2 *u = &ct_unpack_avx2[bits];
    __m256i high = _mm256_shuffle_epi8(packed, ct_load_avx2(u->high[half]));
    __m256i low = bits <= 6 ? high : _mm256_shuffle_epi8(packed, ct_load_avx2(u->low[half]));
    high = _mm256_mullo_epi16(high, ct_load_avx2(u->to_high));
    low = _mm256_mulhi_epu16(low, ct_load_avx2(u->to_low));
    __m256i both = _mm256_blendv_epi8(high, low, _mm256_set1_epi16(0x00ff));
    return _mm256_and_si256(both, _mm256_set1_epi8((char)((1 << bits) - 1)));
}

/* The 16-byte tables of a codebook, chained by xor. */
struct ct_lookup_avx2 {
    __m256i table[16];
};

CT_INLINE void ct_lookup_init_avx2(struct ct_lookup_avx2 *l, const int8_t *codebook, int bits)
{
    int8_t padded[256] = {0};
    memcpy(padded, codebook, (size_t)1 << bits);
    for (int j = 0; j < 16; j++)
        l->table[j] = _mm256_broadcastsi128_si256(_mm_loadu_si128((__m128i *)(padded + 16 * j)));
    int last = bits <= 4 ? 0 : bits == 8 ? 7 : (1 << (bits - 4)) - 1; /* 8 bits: two chains of 8 */
    for (int j = 0; j < 15; j++)
        if ((j & last) != last)
            l->table[j] = _mm256_xor_si256(l->table[j], l->table[j + 1]);
}

/* One chain over n tables for indices below 16 n <= 128; indices from 128 up give 0. */
CT_INLINE __m256i ct_lookup_chain_avx2(const __m256i *table, __m256i index, int n)
{
    __m256i found = _mm256_shuffle_epi8(table[n - 1], index);
#pragma GCC unroll 8
    for (int j = 0; j < n - 1; j++) {
        __m256i step = _mm256_set1_epi8((char)(0x70 - 16 * j));
        __m256i at = n == 8 ? _mm256_adds_epu8(index, step) : _mm256_add_epi8(index, step);
        found = _mm256_xor_si256(found, _mm256_shuffle_epi8(table[j], at));
    }
    return found;
}

CT_INLINE __m256i ct_lookup_half_avx2(const struct ct_lookup_avx2 *l, __m256i index, int bits)
{
    __m256i top = _mm256_set1_epi8((char)0x80);
    if (bits == CT_LINEAR8)
        return _mm256_xor_si256(index, top);
    if (bits <= 4)
        return _mm256_shuffle_epi8(l->table[0], index);
    if (bits < 8)
        return ct_lookup_chain_avx2(l->table, index, 1 << (bits - 4));
    return _mm256_xor_si256(ct_lookup_chain_avx2(l->table, index, 8),
                            ct_lookup_chain_avx2(l->table + 8, _mm256_xor_si256(index, top), 8));
}

/* Stores a tile's 16 values of token t; y ends at row n. */
CT_INLINE void ct_store_rows_avx2(const struct ct_linear *a, int64_t tile, int64_t t,
                                  const __m256 values[2])
{
    for (int h = 0; h < 2; h++) {
        int64_t row = tile * CT_TILE_ROWS + 8 * h, n = a->n - row;
        float *y = a->y + t * a->ldy + row;
        if (n <= 0)
            return;
        ct_store_f32_avx2(
            y, n, a->is_added ? _mm256_add_ps(ct_load_f32_avx2(y, n), values[h]) : values[h]);
    }
}

#endif
