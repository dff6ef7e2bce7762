/* Activation quantisation with AVX2, to the bit like the scalar one, NaN and infinity included: of
 * a maximum whose first operand is NaN, the processor gives the second. */
#include "engine/kernels/kernels.h"
#include "engine/kernels/x86/vector_avx2.h"

/* 32 whole numbers as int8. */
CT_INLINE __m256i narrow(const __m256i value[4])
{
    const __m256i bytes = _mm256_packs_epi16(_mm256_packs_epi32(value[0], value[1]),
                                             _mm256_packs_epi32(value[2], value[3]));
    return _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

/* v times inverse as whole numbers within -127..127. */
CT_INLINE __m256i whole(__m256 v, __m256 inverse)
{
    const __m256 low = _mm256_set1_ps(-127), high = _mm256_set1_ps(127);
    const __m256 rounded =
        _mm256_round_ps(_mm256_mul_ps(v, inverse), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    return _mm256_cvtps_epi32(_mm256_min_ps(_mm256_max_ps(rounded, low), high));
}

void ct_quantize_i8_avx2(const float *x, int64_t k, int8_t *q, float *scale, int32_t *sum)
{
    const __m256 sign = _mm256_set1_ps(-0.0f);
    int64_t g = 0;
    for (; g * CT_X_GROUP < k; g++) {
        __m256 v[4], top = _mm256_setzero_ps();
        __m256i value[4];
        for (int i = 0; i < 4; i++) {
            int64_t j = g * CT_X_GROUP + 8 * i;
            v[i] = v_load_n(x + j, k - j);
            top = _mm256_max_ps(_mm256_andnot_ps(sign, v[i]), top);
        }
        float peak = v_top(top);
        __m256 inverse = _mm256_set1_ps(peak > 0 ? 127.0f / peak : 0);
        __m256i total = _mm256_setzero_si256();
        for (int i = 0; i < 4; i++) {
            value[i] =
                _mm256_and_si256(whole(v[i], inverse), v_first_n(k - g * CT_X_GROUP - 8 * i));
            total = _mm256_add_epi32(total, value[i]);
        }
        _mm256_storeu_si256((__m256i *)(q + g * CT_X_GROUP), narrow(value));
        int32_t lanes[8];
        _mm256_storeu_si256((__m256i *)lanes, total);
        sum[g] =
            lanes[0] + lanes[1] + lanes[2] + lanes[3] + lanes[4] + lanes[5] + lanes[6] + lanes[7];
        scale[g] = peak / 127.0f;
    }
    if (g % 2 == 1)
        memset(q + g * CT_X_GROUP, 0, CT_X_GROUP);
}

void ct_quantize_row_i8_avx2(const float *x, int64_t k, int8_t *q, float *scale)
{
    const __m256 sign = _mm256_set1_ps(-0.0f);
    __m256 top = _mm256_setzero_ps();
    for (int64_t j = 0; j < k; j += 8)
        top = _mm256_max_ps(_mm256_andnot_ps(sign, v_load_n(x + j, k - j)), top);
    const float peak = v_top(top);
    const __m256 inverse = _mm256_set1_ps(peak > 0 ? 127.0f / peak : 0);
    int64_t j = 0;
    for (; j < k; j += 32) {
        __m256i value[4];
        for (int i = 0; i < 4; i++)
            value[i] =
                _mm256_and_si256(whole(v_load_n(x + j + (int64_t)8 * i, k - j - 8 * i), inverse),
                                 v_first_n(k - j - 8 * i));
        _mm256_storeu_si256((__m256i *)(q + j), narrow(value));
    }
    if (j % 64 != 0)
        memset(q + j, 0, 32);
    scale[0] = peak / 127.0f;
}
