/* Clustered matrix times int8 activations with NEON and its dot product instruction (sdot: four
 * int8 products into an int32, exact).
 *
 * Few tokens (generation): a tile is decoded in four registers and used at once. Many tokens: see
 * linear_i8_neon.inc.
 *
 *     decoded: [columns / 4][16 rows][4 columns] */
#include "engine/kernels/arm/tile_neon.h"

enum { MR = 6, COLUMNS = 4 };

CT_INLINE int8x16_t broadcast_i32(const int8_t *p)
{
    int32_t four;
    memcpy(&four, p, sizeof four);
    return vreinterpretq_s8_s32(vdupq_n_s32(four));
}

CT_INLINE void store_tiles(int8_t *out, int8x16_t w[1][4])
{
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++)
        vst1q_s8(out + 16 * i, w[0][i]);
}

CT_INLINE void dot_group(const int8_t *w, const int8_t *x, int64_t ldx, int64_t n_columns,
                         int32x4_t dot[MR][4], const int M)
{
#pragma GCC unroll 6
    for (int t = 0; t < M; t++)
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++)
            dot[t][i] = vdupq_n_s32(0);
    for (int64_t j = 0; j < n_columns; j += COLUMNS, w += CT_TILE_INDICES) {
        int8x16_t w0 = vld1q_s8(w), w1 = vld1q_s8(w + 16);
        int8x16_t w2 = vld1q_s8(w + 32), w3 = vld1q_s8(w + 48);
#pragma GCC unroll 6
        for (int t = 0; t < M; t++) {
            int8x16_t four = broadcast_i32(x + t * ldx + j);
            dot[t][0] = vdotq_s32(dot[t][0], w0, four);
            dot[t][1] = vdotq_s32(dot[t][1], w1, four);
            dot[t][2] = vdotq_s32(dot[t][2], w2, four);
            dot[t][3] = vdotq_s32(dot[t][3], w3, four);
        }
    }
}

#include "engine/kernels/arm/linear_i8_neon.inc"

/* All tokens, M of them or fewer (the last stands in for those missing); bits and M are constants.
 */
CT_INLINE void few_tokens(const struct ct_linear *a, int64_t tile_begin, int64_t tile_end,
                          const int bits, const int M)
{
    const int64_t n_groups = (a->k + a->group - 1) / a->group;
    const int64_t n_tiles_k = (a->k + CT_TILE_COLS - 1) / CT_TILE_COLS;
    struct ct_lookup_neon lookup;
    ct_lookup_init_neon(&lookup, a->codebook_i8, bits);
    const int8_t *x[FEW];
#pragma GCC unroll 4
    for (int t = 0; t < M; t++)
        x[t] = a->x_i8.q + min_i64(t, a->m - 1) * a->x_i8.ldq;

    const uint8_t *p = a->index + tile_begin * n_tiles_k * 8 * bits;
    for (int64_t tile = tile_begin; tile < tile_end; tile++) {
        float32x4_t part[FEW][4], acc[FEW][4];
#pragma GCC unroll 4
        for (int t = 0; t < M; t++)
#pragma GCC unroll 4
            for (int i = 0; i < 4; i++)
                part[t][i] = acc[t][i] = vdupq_n_f32(0);
        for (int64_t group = 0; group < n_groups; group++) {
            const int64_t group_begin = group * a->group;
            const int64_t group_end = min_i64(group_begin + a->group, a->k);
            for (int64_t begin = group_begin; begin < group_end; begin += CT_X_GROUP) {
                const int64_t end = min_i64(begin + CT_X_GROUP, group_end);
                int32x4_t dot[FEW][4];
#pragma GCC unroll 4
                for (int t = 0; t < M; t++)
#pragma GCC unroll 4
                    for (int i = 0; i < 4; i++)
                        dot[t][i] = vdupq_n_s32(0);
                for (int64_t j = begin; j < end; j += CT_TILE_COLS, p += 8 * bits) {
                    __builtin_prefetch(p + CT_PREFETCH_BYTES);
#pragma GCC unroll 4
                    for (int i = 0; i < 4; i++) {
                        uint8x16_t index = ct_unpack_quarter_neon(p, i, bits);
                        int8x16_t w =
                            vreinterpretq_s8_u8(ct_lookup_quarter_neon(&lookup, index, bits));
#pragma GCC unroll 4
                        for (int t = 0; t < M; t++)
                            dot[t][i] = vdotq_s32(dot[t][i], w, broadcast_i32(x[t] + j));
                    }
                }
#pragma GCC unroll 4
                for (int t = 0; t < M; t++)
                    end_x_group(a, begin, min_i64(t, a->m - 1), dot[t], part[t]);
            }
#pragma GCC unroll 4
            for (int t = 0; t < M; t++)
                end_group(a, tile, group, min_i64(t, a->m - 1), part[t], acc[t]);
        }
#pragma GCC unroll 4
        for (int t = 0; t < M; t++)
            if (t < a->m)
                ct_store_rows_neon(a, tile, t, acc[t]);
    }
}

#define LINEAR(bits)                                                                               \
    static void linear_##bits(const struct ct_linear *a, int64_t tile_begin, int64_t tile_end)     \
    {                                                                                              \
        if (a->m > FEW || a->n_codebooks > 1)                                                      \
            many_tokens(a, tile_begin, tile_end, bits);                                            \
        else if (a->m == 1)                                                                        \
            few_tokens(a, tile_begin, tile_end, bits, 1);                                          \
        else if (a->m == 2)                                                                        \
            few_tokens(a, tile_begin, tile_end, bits, 2);                                          \
        else if (a->m > 0)                                                                         \
            few_tokens(a, tile_begin, tile_end, bits, FEW);                                        \
    }
CT_EACH_BITS(LINEAR)

void ct_linear_i8_neon(const struct ct_linear *a, int64_t tile_begin, int64_t tile_end)
{
    static ct_tiles_fn *const linear[] = CT_BY_BITS(linear);
    linear[a->bits](a, tile_begin, tile_end);
}
