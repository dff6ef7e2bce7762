/* Clustered matrix times float activations with NEON. The four bytes of a float are looked up in
 * four tables like int8 centroids and zipped together again; with a codebook a row, one weight at a
 * time. */
#include "engine/kernels/arm/tile_neon.h"

struct lookup {
    struct ct_lookup_neon byte[4];
};

static void lookup_init(struct lookup *l, const float *codebook, int bits)
{
    for (int byte = 0; byte < 4; byte++) {
        uint8_t plane[256];
        for (int i = 0; i < 1 << bits; i++)
            memcpy(plane + i, (const char *)(codebook + i) + byte, 1);
        ct_lookup_init_neon(&l->byte[byte], plane, bits);
    }
}

/* 4 rows x 4 columns of indices to w[column][row]; bits is a constant. */
CT_INLINE void decode_quarter(const struct lookup *l, uint8x16_t index, float (*w)[CT_TILE_ROWS],
                              int bits)
{
    static const uint8_t by_column[16] = {0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15};
    index = vqtbl1q_u8(index, vld1q_u8(by_column));
    uint8x16_t byte[4];
    for (int i = 0; i < 4; i++)
        byte[i] = ct_lookup_quarter_neon(&l->byte[i], index, bits);
    uint16x8_t low[2] = {vreinterpretq_u16_u8(vzip1q_u8(byte[0], byte[1])),
                         vreinterpretq_u16_u8(vzip2q_u8(byte[0], byte[1]))};
    uint16x8_t high[2] = {vreinterpretq_u16_u8(vzip1q_u8(byte[2], byte[3])),
                          vreinterpretq_u16_u8(vzip2q_u8(byte[2], byte[3]))};
    for (int i = 0; i < 2; i++) {
        vst1q_f32(w[2 * i], vreinterpretq_f32_u16(vzip1q_u16(low[i], high[i])));
        vst1q_f32(w[2 * i + 1], vreinterpretq_f32_u16(vzip2q_u16(low[i], high[i])));
    }
}

/* The same where each of the 4 rows has its own codebook. */
static void decode_by_row(const float *codebooks, uint8x16_t index, float (*w)[CT_TILE_ROWS],
                          int bits)
{
    uint8_t at[16];
    vst1q_u8(at, index);
    for (int r = 0; r < 4; r++)
        for (int c = 0; c < CT_TILE_COLS; c++)
            w[c][r] = codebooks[(r << bits) + at[4 * r + c]];
}

/* Columns [begin, end) of a tile to out; bits is a constant. */
CT_INLINE void decode_tile(const struct ct_linear *a, const struct lookup *l, int64_t tile,
                           int64_t begin, int64_t end, float (*out)[CT_TILE_ROWS], const int bits)
{
    const int64_t n_tiles_k = (a->k + CT_TILE_COLS - 1) / CT_TILE_COLS;
    const uint8_t *p = a->index + (tile * n_tiles_k + begin / CT_TILE_COLS) * 8 * bits;
    for (int64_t j = 0; j < end - begin; j += CT_TILE_COLS, p += 8 * bits) {
        __builtin_prefetch(p + CT_PREFETCH_BYTES);
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            uint8x16_t index = ct_unpack_quarter_neon(p, i, bits);
            float(*w)[CT_TILE_ROWS] = (float(*)[CT_TILE_ROWS])(out[j] + 4 * i);
            if (a->n_codebooks > 1)
                decode_by_row(a->codebook_f32 + ((tile * CT_TILE_ROWS + 4 * i) << bits), index, w,
                              bits);
            else
                decode_quarter(l, index, w, bits);
        }
    }
}

#include "engine/kernels/vector/linear_f32.inc"
