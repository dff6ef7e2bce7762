/* Clustered matrix times float activations with AVX2. The four bytes of a float are looked up in
 * four tables like int8 centroids and put together again; from 7 bits on, and with a codebook a
 * row, one weight at a time is as fast. */
#include "engine/kernels/x86/tile_avx2.h"

struct lookup {
    struct ct_lookup_avx2 byte[4];
};

static void lookup_init(struct lookup *l, const float *codebook, int bits)
{
    for (int byte = 0; byte < 4; byte++) {
        int8_t plane[256];
        for (int i = 0; i < 1 << bits; i++)
            memcpy(plane + i, (const char *)(codebook + i) + byte, 1);
        ct_lookup_init_avx2(&l->byte[byte], plane, bits);
    }
}

/* 8 rows x 4 columns of indices to w[column][row]. bits is a constant. */
CT_INLINE void decode_half(const struct lookup *l, __m256i index, float (*w)[CT_TILE_ROWS],
                           int bits)
{
    /* bytes from row, column to column, row */
    index = _mm256_shuffle_epi8(index, _mm256_broadcastsi128_si256(_mm_setr_epi8(
                                           0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15)));
    const struct ct_index_avx2 apart = ct_split_index_avx2(index, bits);
    __m256i byte[4];
    for (int i = 0; i < 4; i++)
        byte[i] = ct_lookup_half_avx2(&l->byte[i], apart, bits);
    __m256i low[2] = {_mm256_unpacklo_epi8(byte[0], byte[1]),
                      _mm256_unpackhi_epi8(byte[0], byte[1])};
    __m256i high[2] = {_mm256_unpacklo_epi8(byte[2], byte[3]),
                       _mm256_unpackhi_epi8(byte[2], byte[3])};
    for (int i = 0; i < 2; i++) {
        _mm256_store_si256((__m256i *)w[2 * i], _mm256_unpacklo_epi16(low[i], high[i]));
        _mm256_store_si256((__m256i *)w[2 * i + 1], _mm256_unpackhi_epi16(low[i], high[i]));
    }
}

/* The same, one weight at a time; a row's codebook is `step` after the one before. */
CT_INLINE void decode_half_slow(const float *codebook, int64_t step, __m256i index,
                                float (*w)[CT_TILE_ROWS])
{
    uint8_t at[32];
    _mm256_storeu_si256((__m256i *)at, index);
    for (int r = 0; r < 8; r++)
        for (int c = 0; c < 4; c++)
            w[c][r] = codebook[r * step + at[4 * r + c]];
}

/* Columns [begin, end) of a tile to out; bits is a constant. */
CT_INLINE void decode_tile(const struct ct_linear *a, const struct lookup *lookup, int64_t tile,
                           int64_t begin, int64_t end, float (*out)[CT_TILE_ROWS], const int bits)
{
    const int64_t n_tiles_k = (a->k + CT_TILE_COLS - 1) / CT_TILE_COLS;
    const uint8_t *p = a->index + (tile * n_tiles_k + begin / CT_TILE_COLS) * 8 * bits;
    for (int64_t j = 0; j < end - begin; j += CT_TILE_COLS, p += 8 * bits) {
        _mm_prefetch((const char *)p + CT_PREFETCH_BYTES, _MM_HINT_T0);
#pragma GCC unroll 2
        for (int h = 0; h < 2; h++) {
            __m256i index = ct_join_index_avx2(ct_load_index_avx2(p, h, bits), bits);
            float(*w)[CT_TILE_ROWS] = (float(*)[CT_TILE_ROWS])(out[j] + 8 * h);
            if (a->n_codebooks > 1)
                decode_half_slow(a->codebook_f32 + ((tile * CT_TILE_ROWS + 8 * h) << bits),
                                 1 << bits, index, w);
            else if (bits >= 7)
                decode_half_slow(a->codebook_f32, 0, index, w);
            else
                decode_half(lookup, index, w, bits);
        }
    }
}

#include "engine/kernels/vector/linear_f32.inc"
