/* Activation quantisation with AVX2, to the bit like the scalar one, NaN and infinity included: of
 * a maximum whose first operand is NaN, the processor gives the second. */
#include "engine/kernels/kernels.h"
#include "engine/kernels/x86/vector_avx2.h"

void ct_quantize_i8_avx2(const float *x, int64_t k, int8_t *q, float *scale, int32_t *sum)
{
    const __m256 sign = _mm256_set1_ps(-0.0f);
    const __m256 low = _mm256_set1_ps(-127), high = _mm256_set1_ps(127);
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
            __m256 rounded = _mm256_round_ps(_mm256_mul_ps(v[i], inverse),
                                             _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
            rounded = _mm256_min_ps(_mm256_max_ps(rounded, low), high);
            value[i] = _mm256_and_si256(_mm256_cvtps_epi32(rounded),
                                        v_first_n(k - g * CT_X_GROUP - 8 * i));
            total = _mm256_add_epi32(total, value[i]);
        }
        __m256i bytes = _mm256_packs_epi16(_mm256_packs_epi32(value[0], value[1]),
                                           _mm256_packs_epi32(value[2], value[3]));
        bytes = _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
        _mm256_storeu_si256((__m256i *)(q + g * CT_X_GROUP), bytes);
        int32_t lanes[8];
        _mm256_storeu_si256((__m256i *)lanes, total);
        sum[g] =
            lanes[0] + lanes[1] + lanes[2] + lanes[3] + lanes[4] + lanes[5] + lanes[6] + lanes[7];
        scale[g] = peak / 127.0f;
    }
    if (g % 2 == 1)
        memset(q + g * CT_X_GROUP, 0, CT_X_GROUP);
}
