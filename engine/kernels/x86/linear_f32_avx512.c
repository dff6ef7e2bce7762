/* Clustered matrix times float activations with AVX-512. The four bytes of a float are looked up in
 * four tables like int8 centroids and put together again; with a codebook a row, one weight at a
 * time. */
#include "engine/kernels/x86/tile_avx512.h"

struct lookup {
    struct ct_lookup_avx512 byte[4];
};

static void lookup_init(struct lookup *l, const float *codebook, int bits)
{
    for (int byte = 0; byte < 4; byte++) {
        uint8_t plane[256];
        for (int i = 0; i < 1 << bits; i++)
            memcpy(plane + i, (const char *)(codebook + i) + byte, 1);
        ct_lookup_init_avx512(&l->byte[byte], plane, bits);
    }
}

/* 16 rows x 4 columns of indices to w[column][row]; bits is a constant. */
CT_INLINE void decode_indices(const struct lookup *l, __m512i index, float (*w)[CT_TILE_ROWS],
                              int bits)
{
    /* in each lane of 4 rows, bytes from row, column to column, row */
    const __m512i by_column = _mm512_set4_epi32(0x0f0b0703, 0x0e0a0602, 0x0d090501, 0x0c080400);
    index = _mm512_shuffle_epi8(index, by_column);
    __m512i byte[4];
    for (int i = 0; i < 4; i++)
        byte[i] = ct_lookup_tile_avx512(&l->byte[i], index, bits);
    __m512i low[2] = {_mm512_unpacklo_epi8(byte[0], byte[1]),
                      _mm512_unpackhi_epi8(byte[0], byte[1])};
    __m512i high[2] = {_mm512_unpacklo_epi8(byte[2], byte[3]),
                       _mm512_unpackhi_epi8(byte[2], byte[3])};
    for (int i = 0; i < 2; i++) {
        _mm512_store_si512(w[2 * i], _mm512_unpacklo_epi16(low[i], high[i]));
        _mm512_store_si512(w[2 * i + 1], _mm512_unpackhi_epi16(low[i], high[i]));
    }
}

/* The same where each row has its own codebook. */
static void decode_by_row(const float *codebooks, __m512i index, float (*w)[CT_TILE_ROWS], int bits)
{
    uint8_t at[64];
    _mm512_storeu_si512(at, index);
    for (int r = 0; r < CT_TILE_ROWS; r++)
        for (int c = 0; c < CT_TILE_COLS; c++)
            w[c][r] = codebooks[(r << bits) + (at[4 * r + c] & ((1 << bits) - 1))];
}

/* Columns [begin, end) of a tile to w; bits is a constant. */
CT_INLINE void decode_tile(const struct ct_linear *a, const struct lookup *l, int64_t tile,
                           int64_t begin, int64_t end, float (*w)[CT_TILE_ROWS], const int bits)
{
    const int64_t n_tiles_k = (a->k + CT_TILE_COLS - 1) / CT_TILE_COLS;
    const struct ct_unpack_avx512 unpack = ct_unpack_init_avx512(bits);
    const uint8_t *p = a->index + (tile * n_tiles_k + begin / CT_TILE_COLS) * 8 * bits;
    for (int64_t j = 0; j < end - begin; j += CT_TILE_COLS, p += 8 * bits) {
        _mm_prefetch((const char *)p + CT_PREFETCH_BYTES, _MM_HINT_T0);
        __m512i index = ct_unpack_tile_avx512(&unpack, p, bits);
        if (a->n_codebooks > 1)
            decode_by_row(a->codebook_f32 + ((tile * CT_TILE_ROWS) << bits), index, w + j, bits);
        else
            decode_indices(l, index, w + j, bits);
    }
}

#include "engine/kernels/vector/linear_f32.inc"
