/* Dense matrix times float activations with AVX2: eight columns to a register, one sum for each
 * (row, token), so that its order is the same in every blocking. */
#include "engine/kernels/kernels.h"
#include "engine/kernels/x86/float_avx2.h"

enum { ROWS = 4, TOKENS = 3 };

/* 8 weights from element i on, or the first n and zeros. type is a constant. */
CT_INLINE __m256 load_weights(const void *w, int64_t i, int64_t n, enum ct_dense_type type)
{
    if (type == CT_DENSE_F32)
        return ct_load_f32_avx2((const float *)w + i, n);
    __m128i bits = ct_load_16_avx2((const uint16_t *)w + i, n);
    if (type == CT_DENSE_F16)
        return _mm256_cvtph_ps(bits);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
}

/* R rows x T tokens; R, T and type are constants. */
CT_INLINE void multiply_block(const struct ct_dense *a, int64_t row, int64_t t, const int R,
                              const int T, enum ct_dense_type type)
{
    __m256 sum[ROWS][TOKENS];
#pragma GCC unroll 4
    for (int r = 0; r < R; r++)
#pragma GCC unroll 3
        for (int s = 0; s < T; s++)
            sum[r][s] = _mm256_setzero_ps();
    for (int64_t j = 0; j < a->k; j += 8) {
        __m256 x[TOKENS];
#pragma GCC unroll 3
        for (int s = 0; s < T; s++)
            x[s] = ct_load_f32_avx2(a->x + (t + s) * a->ldx + j, a->k - j);
#pragma GCC unroll 4
        for (int r = 0; r < R; r++) {
            __m256 w = load_weights(a->w, (row + r) * a->k + j, a->k - j, type);
#pragma GCC unroll 3
            for (int s = 0; s < T; s++)
                sum[r][s] = _mm256_fmadd_ps(w, x[s], sum[r][s]);
        }
    }
    for (int r = 0; r < R; r++)
        for (int s = 0; s < T; s++) {
            float *y = a->y + (t + s) * a->ldy + row + r;
            *y = (a->is_added ? *y : 0) + ct_sum_avx2(sum[r][s]);
        }
}

CT_INLINE void multiply_rows(const struct ct_dense *a, int64_t row, const int R,
                             enum ct_dense_type type)
{
    int64_t t = 0;
    for (; t + TOKENS <= a->m; t += TOKENS)
        multiply_block(a, row, t, R, TOKENS, type);
    for (; t < a->m; t++)
        multiply_block(a, row, t, R, 1, type);
}

CT_INLINE void multiply(const struct ct_dense *a, int64_t row_begin, int64_t row_end,
                        enum ct_dense_type type)
{
    int64_t row = row_begin;
    for (; row + ROWS <= row_end; row += ROWS)
        multiply_rows(a, row, ROWS, type);
    for (; row < row_end; row++)
        multiply_rows(a, row, 1, type);
}

void ct_dense_avx2(const struct ct_dense *a, int64_t row_begin, int64_t row_end)
{
    switch (a->type) {
    case CT_DENSE_F32:
        multiply(a, row_begin, row_end, CT_DENSE_F32);
        break;
    case CT_DENSE_F16:
        multiply(a, row_begin, row_end, CT_DENSE_F16);
        break;
    case CT_DENSE_BF16:
        multiply(a, row_begin, row_end, CT_DENSE_BF16);
        break;
    }
}
