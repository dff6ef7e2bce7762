/* Clustered matrix times int8 activations with NEON's matrix product instruction (smmla: two rows of
 * eight int8 times two rows of eight, four int32 sums, exact), for many tokens: see
 * linear_i8_neon.inc. Few are left to sdot.
 *
 *     decoded: [columns / 8][16 rows][8 columns] */
#include "engine/kernels/arm/tile_neon.h"

enum { MR = 6, COLUMNS = 8 };

CT_INLINE void store_tiles(int8_t *out, int8x16_t w[2][4])
{
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        const int32x4_t left = vreinterpretq_s32_s8(w[0][i]), right = vreinterpretq_s32_s8(w[1][i]);
        vst1q_s8(out + 32 * i, vreinterpretq_s8_s32(vzip1q_s32(left, right)));
        vst1q_s8(out + 32 * i + 16, vreinterpretq_s8_s32(vzip2q_s32(left, right)));
    }
}

/* sum += the products of two tokens and two rows, in sum's own register and in the order written: left
 * to itself gcc 12 loads all rows ahead and has no registers left for the sums. */
CT_INLINE void add_products(int32x4_t *sum, int8x16_t tokens, int8x16_t rows)
{
    __asm__ volatile("smmla %0.4s, %1.16b, %2.16b" : "+w"(*sum) : "w"(tokens), "w"(rows));
}

/* Tokens go in pairs; one without another is paired with itself. A sum is of two tokens x two rows. */
CT_INLINE void dot_group(const int8_t *w, const int8_t *x, int64_t ldx, int64_t n_columns,
                         int32x4_t dot[MR][4], const int M)
{
    int32x4_t sum[MR / 2][8];
#pragma GCC unroll 3
    for (int pair = 0; pair < (M + 1) / 2; pair++)
#pragma GCC unroll 8
        for (int i = 0; i < 8; i++)
            sum[pair][i] = vdupq_n_s32(0);
    for (int64_t j = 0; j < n_columns; j += COLUMNS, w += COLUMNS * CT_TILE_ROWS) {
        int8x16_t two[MR / 2];
#pragma GCC unroll 3
        for (int pair = 0; pair < (M + 1) / 2; pair++) {
            const int8_t *first = x + 2 * pair * ldx + j;
            two[pair] =
                vcombine_s8(vld1_s8(first), vld1_s8(2 * pair + 1 < M ? first + ldx : first));
        }
#pragma GCC unroll 8
        for (int i = 0; i < 8; i++) {
            const int8x16_t rows = vld1q_s8(w + 16 * i);
#pragma GCC unroll 3
            for (int pair = 0; pair < (M + 1) / 2; pair++)
                add_products(&sum[pair][i], two[pair], rows);
        }
    }
#pragma GCC unroll 6
    for (int t = 0; t < M; t++)
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            const int64x2_t low = vreinterpretq_s64_s32(sum[t / 2][2 * i]);
            const int64x2_t high = vreinterpretq_s64_s32(sum[t / 2][2 * i + 1]);
            dot[t][i] =
                vreinterpretq_s32_s64(t % 2 == 0 ? vzip1q_s64(low, high) : vzip2q_s64(low, high));
        }
}

#include "engine/kernels/arm/linear_i8_neon.inc"

#define LINEAR(bits)                                                                               \
    static void linear_##bits(const struct ct_linear *a, int64_t tile_begin, int64_t tile_end)     \
    {                                                                                              \
        many_tokens(a, tile_begin, tile_end, bits);                                                \
    }
CT_EACH_BITS(LINEAR)

void ct_linear_i8_i8mm(const struct ct_linear *a, int64_t tile_begin, int64_t tile_end)
{
    static ct_tiles_fn *const linear[] = CT_BY_BITS(linear);
    if (a->m <= FEW && a->n_codebooks == 1)
        ct_linear_i8_neon(a, tile_begin, tile_end);
    else
        linear[a->bits](a, tile_begin, tile_end);
}
