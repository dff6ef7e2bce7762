/* Clustered matrix times int8 activations with NEON and its dot product instruction (sdot: four
 * int8 products into an int32, exact).
 *
 * Few tokens (generation): a tile is decoded in four registers and used at once. Many tokens
 * (prompts, batches): a tile is decoded once to bytes and multiplied with MR tokens x 16 rows in
 * registers.
 *
 *     decoded: [columns / 4][16 rows][4 columns]
 *
 * Integer sums are exact in any order and the float tail is fixed by kernels.h, so both give the
 * same bits. Scratch is per thread. */
#include "engine/kernels/arm/tile_neon.h"

enum {
    FEW = 4,         /* tokens that the first path takes at once */
    KC = 4096,       /* columns in scratch at once: a multiple of 128 */
    MR = 6,          /* tokens in registers in the second path */
    TOKENS_MAX = 96, /* tokens between two decodings of a tile: a multiple of MR */
};

static _Thread_local struct {
    int8_t w[KC * CT_TILE_ROWS];
    float32x4_t part[TOKENS_MAX][4];
    float32x4_t acc[TOKENS_MAX][4];
} scratch __attribute__((aligned(64)));

CT_INLINE int64_t min_i64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

CT_INLINE int8x16_t broadcast_i32(const int8_t *p)
{
    int32_t four;
    memcpy(&four, p, sizeof four);
    return vreinterpretq_s8_s32(vdupq_n_s32(four));
}

/* part of a tile's 16 rows after the group of token t's activations that begins at column j. */
CT_INLINE void end_x_group(const struct ct_linear *a, int64_t j, int64_t t, const int32x4_t dot[4],
                           float32x4_t part[4])
{
    const float scale = a->x_i8.scale[t * a->x_i8.n_groups + j / CT_X_GROUP];
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++)
        part[i] = vfmaq_n_f32(part[i], vcvtq_f32_s32(dot[i]), scale);
}

/* acc of a tile's 16 rows after group `group` of the weights for token t; part is zero again. */
CT_INLINE void end_group(const struct ct_linear *a, int64_t tile, int64_t group, int64_t t,
                         float32x4_t part[4], float32x4_t acc[4])
{
    const int64_t n_groups = (a->k + a->group - 1) / a->group;
    const int64_t place = (tile * n_groups + group) * CT_TILE_ROWS;
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        float32x4_t scale = a->scale ? v_f16(a->scale + place + 4 * i) : vdupq_n_f32(1);
        acc[i] = vfmaq_f32(acc[i], part[i], scale);
        part[i] = vdupq_n_f32(0);
    }
    if (a->offset == NULL)
        return;
    const int64_t end = (min_i64((group + 1) * a->group, a->k) + CT_X_GROUP - 1) / CT_X_GROUP;
    const float sum = ct_rows_i8_sum(&a->x_i8, t, group * a->group / CT_X_GROUP, end);
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++)
        acc[i] = vfmaq_n_f32(acc[i], v_f16(a->offset + place + 4 * i), sum);
}

/* ---- Few tokens ---- */

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

/* ---- Many tokens ---- */

/* The centroids of 4 rows that have their own codebooks. */
static uint8x16_t look_up_by_row(uint8x16_t index, const int8_t *codebooks, int bits)
{
    uint8_t at[16];
    vst1q_u8(at, index);
    for (int i = 0; i < 16; i++)
        at[i] = (uint8_t)codebooks[((i / 4) << bits) + at[i]];
    return vld1q_u8(at);
}

/* Columns [begin, end) of a tile into scratch.w; bits is a constant. */
CT_INLINE void decode_tile(const struct ct_linear *a, const struct ct_lookup_neon *lookup,
                           int64_t tile, int64_t begin, int64_t end, const int bits)
{
    const int64_t n_tiles_k = (a->k + CT_TILE_COLS - 1) / CT_TILE_COLS;
    const uint8_t *p = a->index + (tile * n_tiles_k + begin / CT_TILE_COLS) * 8 * bits;
    int8_t *out = scratch.w;
    for (int64_t j = begin; j < end; j += CT_TILE_COLS, p += 8 * bits, out += CT_TILE_INDICES) {
        __builtin_prefetch(p + CT_PREFETCH_BYTES);
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            uint8x16_t w = ct_unpack_quarter_neon(p, i, bits);
            if (a->n_codebooks > 1)
                w = look_up_by_row(w, a->codebook_i8 + ((tile * CT_TILE_ROWS + 4 * i) << bits),
                                   bits);
            else
                w = ct_lookup_quarter_neon(lookup, w, bits);
            vst1q_s8(out + 16 * i, vreinterpretq_s8_u8(w));
        }
    }
}

/* Columns [begin, end) of tokens [t0, ...), decoded for a row tile. */
struct pass {
    int64_t t0, tile, begin, end;
};

/* The pass's columns, a group of activations at a time, for M tokens from t0 + first on; M is a
 * constant. */
CT_INLINE void multiply_set(const struct ct_linear *a, const struct pass *pass, int64_t first,
                            const int M)
{
    const int8_t *w = scratch.w;
    const int8_t *x = a->x_i8.q + (pass->t0 + first) * a->x_i8.ldq;
    int64_t group = pass->begin / a->group;
    for (int64_t begin = pass->begin, end; begin < pass->end; begin = end) {
        end = min_i64(begin + CT_X_GROUP, pass->end);
        int32x4_t dot[MR][4];
#pragma GCC unroll 6
        for (int t = 0; t < M; t++)
#pragma GCC unroll 4
            for (int i = 0; i < 4; i++)
                dot[t][i] = vdupq_n_s32(0);
        for (int64_t j = begin; j < end; j += CT_TILE_COLS, w += CT_TILE_INDICES) {
            int8x16_t w0 = vld1q_s8(w), w1 = vld1q_s8(w + 16);
            int8x16_t w2 = vld1q_s8(w + 32), w3 = vld1q_s8(w + 48);
#pragma GCC unroll 6
            for (int t = 0; t < M; t++) {
                int8x16_t four = broadcast_i32(x + t * a->x_i8.ldq + j);
                dot[t][0] = vdotq_s32(dot[t][0], w0, four);
                dot[t][1] = vdotq_s32(dot[t][1], w1, four);
                dot[t][2] = vdotq_s32(dot[t][2], w2, four);
                dot[t][3] = vdotq_s32(dot[t][3], w3, four);
            }
        }
        const bool is_group_end = end == a->k || end == (group + 1) * a->group;
#pragma GCC unroll 6
        for (int t = 0; t < M; t++) {
            float32x4_t *part = scratch.part[first + t];
            end_x_group(a, begin, pass->t0 + first + t, dot[t], part);
            if (is_group_end)
                end_group(a, pass->tile, group, pass->t0 + first + t, part, scratch.acc[first + t]);
        }
        group += is_group_end;
    }
}

CT_INLINE void many_tokens(const struct ct_linear *a, int64_t tile_begin, int64_t tile_end,
                           const int bits)
{
    struct ct_lookup_neon lookup;
    ct_lookup_init_neon(&lookup, a->codebook_i8, bits);
    for (int64_t t0 = 0; t0 < a->m; t0 += TOKENS_MAX) {
        const int64_t n_tokens = min_i64(a->m - t0, TOKENS_MAX);
        for (int64_t tile = tile_begin; tile < tile_end; tile++) {
            for (int64_t t = 0; t < n_tokens; t++)
                for (int i = 0; i < 4; i++)
                    scratch.part[t][i] = scratch.acc[t][i] = vdupq_n_f32(0);
            for (int64_t begin = 0; begin < a->k; begin += KC) {
                struct pass pass = {t0, tile, begin, min_i64(begin + KC, a->k)};
                decode_tile(a, &lookup, tile, begin, pass.end, bits);
                int64_t t = 0;
                for (; t + MR <= n_tokens; t += MR)
                    multiply_set(a, &pass, t, MR);
                for (; t + 2 <= n_tokens; t += 2)
                    multiply_set(a, &pass, t, 2);
                if (t < n_tokens)
                    multiply_set(a, &pass, t, 1);
            }
            for (int64_t t = 0; t < n_tokens; t++)
                ct_store_rows_neon(a, tile, t0 + t, scratch.acc[t]);
        }
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
LINEAR(2)
LINEAR(3)
LINEAR(4)
LINEAR(5)
LINEAR(6)
LINEAR(7)
LINEAR(8)

void ct_linear_i8_neon(const struct ct_linear *a, int64_t tile_begin, int64_t tile_end)
{
    typedef void linear_fn(const struct ct_linear *a, int64_t tile_begin, int64_t tile_end);
    static linear_fn *const linear[] = {
        [2] = linear_2, [3] = linear_3, [4] = linear_4, [5] = linear_5,
        [6] = linear_6, [7] = linear_7, [8] = linear_8,
    };
    linear[a->bits](a, tile_begin, tile_end);
}
