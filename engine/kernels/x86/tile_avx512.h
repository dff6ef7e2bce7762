/* Packed tiles to centroids with AVX-512 VBMI, a whole tile (16 rows x 4 columns) to a register.
 *
 * Each plane of a tile (base/tile.h) is loaded into all lanes and shifted or rotated so that its
 * bits come to their place in every byte; a ternary operation merges two planes. One byte permute,
 * of a table repeated to 64 entries so that the bits above do not matter, looks all 64 indices up;
 * 7 bits take a permute of two tables, 8 bits two of those. */
#ifndef CT_KERNELS_X86_TILE_AVX512_H
#define CT_KERNELS_X86_TILE_AVX512_H

#include "engine/base/tile.h"
#include "engine/kernels/kernels.h"
#include "engine/kernels/x86/vector_avx512.h"

enum {
    CT_LINEAR8 = 9, /* in place of bits: 8 bits whose codebook is index - 128 (kept Q8_0 blocks) */
    CT_PREFETCH_BYTES = 4096,
};

/* How far the lanes of each plane are moved, for one bit width. */
struct ct_unpack_avx512 {
    __m512i four, two, one;
};

CT_INLINE struct ct_unpack_avx512 ct_unpack_init_avx512(int bits)
{
    uint64_t four[8], one[8];
    uint32_t two[16];
    const int above_four = bits & 4, above_two = bits & 6;
    for (int i = 0; i < 8; i++) {
        four[i] = i < 4 ? 0 : 4;                 /* to the right */
        one[i] = (uint64_t)(above_two - i) & 63; /* around to the left */
    }
    for (int i = 0; i < 16; i++)
        two[i] = (uint32_t)(above_four - 2 * (i / 4)) & 31;
    return (struct ct_unpack_avx512){_mm512_loadu_si512(four), _mm512_loadu_si512(two),
                                     _mm512_loadu_si512(one)};
}

/* Each byte's bits below n from a, the others from b. */
CT_INLINE __m512i ct_merge_avx512(__m512i a, __m512i b, int n)
{
    return _mm512_ternarylogic_epi64(_mm512_set1_epi8((char)((1 << n) - 1)), a, b, 0xca);
}

/* 64 indices, with anything above their `bits` bits (a constant). */
CT_INLINE __m512i ct_unpack_tile_avx512(const struct ct_unpack_avx512 *u, const uint8_t *p,
                                        int bits)
{
    if (bits >= 8)
        return _mm512_loadu_si512(p);
    __m512i index = _mm512_setzero_si512();
    if (bits & 4) {
        index = _mm512_srlv_epi64(_mm512_broadcast_i64x4(_mm256_loadu_si256((const __m256i *)p)),
                                  u->four);
        p += 32;
    }
    if (bits & 2) {
        __m512i two =
            _mm512_rolv_epi32(_mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)p)), u->two);
        index = bits & 4 ? ct_merge_avx512(index, two, 4) : two;
        p += 16;
    }
    if (bits & 1) {
        int64_t bytes;
        memcpy(&bytes, p, sizeof bytes);
        index =
            ct_merge_avx512(index, _mm512_rolv_epi64(_mm512_set1_epi64(bytes), u->one), bits & 6);
    }
    return index;
}

/* A table of bytes; its rows are used as far as `bits` needs. */
struct ct_lookup_avx512 {
    __m512i table[4];
};

CT_INLINE void ct_lookup_init_avx512(struct ct_lookup_avx512 *l, const uint8_t *bytes, int bits)
{
    uint8_t repeated[256];
    memcpy(repeated, bytes, (size_t)1 << bits);
    for (size_t n = (size_t)1 << bits; n < sizeof repeated; n *= 2)
        memcpy(repeated + n, repeated, n);
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

#endif
