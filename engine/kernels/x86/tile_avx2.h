/* Packed tiles to centroids with AVX2, half a tile (8 rows x 4 columns) to a register.
 *
 * A dword lane is a row, its four bytes the row's four columns. The planes of a tile (base/tile.h)
 * need a shift for each: the plane of four gives the place in a table of 16 bytes, which is what
 * pshufb looks up, and the planes of two and one, shifted so that their bits are the highest of
 * each byte, choose between tables, which is what pblendvb looks at:
 *
 *     6 bits: centroid = two.bit7 ? (two.bit6 ? T3 : T2)[four] : (two.bit6 ? T1 : T0)[four] */
#ifndef CT_KERNELS_X86_TILE_AVX2_H
#define CT_KERNELS_X86_TILE_AVX2_H

#include "engine/base/tile.h"
#include "engine/kernels/kernels.h"
#include "engine/kernels/x86/vector_avx2.h"

enum {
    CT_LINEAR8 = 9, /* in place of bits: 8 bits whose codebook is index - 128 (kept Q8_0 blocks) */
    CT_PREFETCH_BYTES = 4096,
};

CT_INLINE __m256i ct_load_avx2(const void *p)
{
    return _mm256_loadu_si256((const __m256i *)p);
}

/* 32 indices, taken apart: `low` is their low four bits (all of them up to 4 bits, and the byte at
 * 8), and the highest bits of `two` and `one` are the bits above, two of them or one; the other
 * bits of these are anything. */
struct ct_index_avx2 {
    __m256i low, two, one;
};

/* Bits [7:6] of each byte become bits [1:0]. */
CT_INLINE __m256i ct_two_down_avx2(__m256i two)
{
    return _mm256_and_si256(_mm256_srli_epi16(two, 6), _mm256_set1_epi8(3));
}

/* Rows 0-7 (half 0) or 8-15 of the packed tile at p. half and bits are constants. */
CT_INLINE struct ct_index_avx2 ct_load_index_avx2(const uint8_t *p, int half, int bits)
{
    struct ct_index_avx2 index = {_mm256_setzero_si256(), _mm256_setzero_si256(),
                                  _mm256_setzero_si256()};
    if (bits >= 8) {
        index.low = ct_load_avx2(p + 32 * half);
        return index;
    }
    if (bits & 4) {
        __m256i four = ct_load_avx2(p);
        index.low =
            _mm256_and_si256(half ? _mm256_srli_epi16(four, 4) : four, _mm256_set1_epi8(15));
        p += 32;
    }
    if (bits & 2) { /* lane l holds the pairs 2 half + l: up to the top by 6 - 2 (2 half + l) */
        const int up = 6 - 4 * half;
        index.two =
            _mm256_sllv_epi32(_mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)p)),
                              _mm256_setr_epi32(up, up, up, up, up - 2, up - 2, up - 2, up - 2));
        p += 16;
    }
    if (bits & 1) { /* qword i holds the bits 4 half + i */
        const int up = 7 - 4 * half;
        int64_t bytes;
        memcpy(&bytes, p, sizeof bytes);
        index.one = _mm256_sllv_epi64(_mm256_set1_epi64x(bytes),
                                      _mm256_setr_epi64x(up, up - 1, up - 2, up - 3));
    }
    if (bits < 4) {
        index.low = ct_two_down_avx2(index.two);
        if (bits == 3)
            index.low = _mm256_or_si256(
                index.low, _mm256_and_si256(_mm256_srli_epi16(index.one, 5), _mm256_set1_epi8(4)));
    }
    return index;
}

/* The whole indices, one a byte. */
CT_INLINE __m256i ct_join_index_avx2(struct ct_index_avx2 index, int bits)
{
    __m256i whole = index.low;
    if (bits == 6 || bits == 7)
        whole = _mm256_or_si256(whole, _mm256_slli_epi16(ct_two_down_avx2(index.two), 4));
    if (bits == 5)
        whole = _mm256_or_si256(
            whole, _mm256_and_si256(_mm256_srli_epi16(index.one, 3), _mm256_set1_epi8(16)));
    if (bits == 7)
        whole = _mm256_or_si256(
            whole, _mm256_and_si256(_mm256_srli_epi16(index.one, 1), _mm256_set1_epi8(64)));
    return whole;
}

/* And apart again. */
CT_INLINE struct ct_index_avx2 ct_split_index_avx2(__m256i whole, int bits)
{
    const __m256i low = bits < 8 ? _mm256_and_si256(whole, _mm256_set1_epi8(15)) : whole;
    return (struct ct_index_avx2){low, _mm256_slli_epi16(whole, 2),
                                  _mm256_slli_epi16(whole, bits == 5 ? 3 : 1)};
}

/* A codebook as tables of 16 bytes, each in both lanes. */
struct ct_lookup_avx2 {
    __m256i table[16];
};

CT_INLINE void ct_lookup_init_avx2(struct ct_lookup_avx2 *l, const int8_t *codebook, int bits)
{
    int8_t padded[256] = {0};
    memcpy(padded, codebook, (size_t)1 << bits);
    for (int j = 0; j < 16; j++)
        l->table[j] = _mm256_broadcastsi128_si256(_mm_loadu_si128((__m128i *)(padded + 16 * j)));
}

/* Each byte of b where mask's highest bit is set, of a elsewhere. Given the intrinsic, gcc 12 first
 * compares a mask that is used twice with zero. */
CT_INLINE __m256i ct_blend_avx2(__m256i a, __m256i b, __m256i mask)
{
#ifdef __AVX2__
    __m256i blend;
    __asm__("vpblendvb %3, %2, %1, %0" : "=x"(blend) : "x"(a), "x"(b), "x"(mask));
    return blend;
#else /* in emulation */
    return _mm256_blendv_epi8(a, b, mask);
#endif
}

/* Four tables chosen by the highest two bits of `two`. */
CT_INLINE __m256i ct_lookup_four_avx2(const __m256i *table, __m256i low, __m256i two)
{
    const __m256i second = _mm256_add_epi8(two, two);
    return ct_blend_avx2(ct_blend_avx2(_mm256_shuffle_epi8(table[0], low),
                                       _mm256_shuffle_epi8(table[1], low), second),
                         ct_blend_avx2(_mm256_shuffle_epi8(table[2], low),
                                       _mm256_shuffle_epi8(table[3], low), second),
                         two);
}

/* The centroids of 32 indices. bits is a constant. */
CT_INLINE __m256i ct_lookup_half_avx2(const struct ct_lookup_avx2 *l, struct ct_index_avx2 index,
                                      int bits)
{
    const __m256i *table = l->table;
    if (bits == CT_LINEAR8)
        return _mm256_xor_si256(index.low, _mm256_set1_epi8((char)0x80));
    if (bits <= 4)
        return _mm256_shuffle_epi8(table[0], index.low);
    if (bits == 5)
        return _mm256_blendv_epi8(_mm256_shuffle_epi8(table[0], index.low),
                                  _mm256_shuffle_epi8(table[1], index.low), index.one);
    if (bits == 6)
        return ct_lookup_four_avx2(table, index.low, index.two);
    if (bits == 7)
        return _mm256_blendv_epi8(ct_lookup_four_avx2(table, index.low, index.two),
                                  ct_lookup_four_avx2(table + 4, index.low, index.two), index.one);
    const __m256i low = _mm256_and_si256(index.low, _mm256_set1_epi8(15));
    const __m256i two = _mm256_slli_epi16(index.low, 2), three = _mm256_slli_epi16(index.low, 1);
    return _mm256_blendv_epi8(ct_blend_avx2(ct_lookup_four_avx2(table, low, two),
                                            ct_lookup_four_avx2(table + 4, low, two), three),
                              ct_blend_avx2(ct_lookup_four_avx2(table + 8, low, two),
                                            ct_lookup_four_avx2(table + 12, low, two), three),
                              index.low);
}

/* The highest bit of 32 indices, as that of each byte. bits is a constant from 5 to 8. */
CT_INLINE __m256i ct_index_sign_avx2(struct ct_index_avx2 index, int bits)
{
    return bits == 8 ? index.low : bits == 6 ? index.two : index.one;
}

/* The centroids of 32 indices whose highest bit counts as 0: the magnitudes, in a codebook whose
 * second half is the first one negated. bits is a constant from 5 to 8. */
CT_INLINE __m256i ct_lookup_magnitude_avx2(const struct ct_lookup_avx2 *l,
                                           struct ct_index_avx2 index, int bits)
{
    const __m256i *table = l->table;
    if (bits == 5)
        return _mm256_shuffle_epi8(table[0], index.low);
    if (bits == 6)
        return _mm256_blendv_epi8(_mm256_shuffle_epi8(table[0], index.low),
                                  _mm256_shuffle_epi8(table[1], index.low),
                                  _mm256_add_epi8(index.two, index.two));
    if (bits == 7)
        return ct_lookup_four_avx2(table, index.low, index.two);
    const __m256i low = _mm256_and_si256(index.low, _mm256_set1_epi8(15));
    const __m256i two = _mm256_slli_epi16(index.low, 2), three = _mm256_slli_epi16(index.low, 1);
    return _mm256_blendv_epi8(ct_lookup_four_avx2(table, low, two),
                              ct_lookup_four_avx2(table + 4, low, two), three);
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
        __m256 value = values[h];
        if (a->token_scale != NULL)
            value = _mm256_mul_ps(value, _mm256_broadcast_ss(a->token_scale + t));
        if (a->is_added)
            value = _mm256_add_ps(v_load_n(y, n), value);
        v_store_n(y, n, a->bias != NULL ? _mm256_add_ps(value, v_load_n(a->bias + row, n)) : value);
    }
}

#endif
