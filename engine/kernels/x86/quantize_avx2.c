/* Activation quantisation with AVX2, to the bit like the scalar one, NaN and infinity included: of
 * a maximum whose first operand is NaN, the processor gives the second. */
#include "engine/kernels/kernels.h"
#include "engine/kernels/x86/vector_avx2.h"

/* 32 values, the first n of which count, times inverse, as int8. */
CT_INLINE __m256i quantize_32(const float *x, int64_t n, __m256 inverse)
{
    const __m256 low = _mm256_set1_ps(-127), high = _mm256_set1_ps(127);
    __m256i q[4];
    for (int i = 0; i < 4; i++) {
        int64_t rest = n - 8 * i > 0 ? n - 8 * i : 0;
        __m256 v = _mm256_mul_ps(v_load_n(x + 8 * i, rest), inverse);
        v = _mm256_round_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
        v = _mm256_min_ps(_mm256_max_ps(v, low), high);
        q[i] = _mm256_and_si256(_mm256_cvtps_epi32(v), v_first_n(rest));
    }
    __m256i packed =
        _mm256_packs_epi16(_mm256_packs_epi32(q[0], q[1]), _mm256_packs_epi32(q[2], q[3]));
    return _mm256_permutevar8x32_epi32(packed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

void ct_quantize_i8_avx2(const float *x, int64_t k, int group, int8_t *q, float *scale,
                         int32_t *sum)
{
    const __m256 sign = _mm256_set1_ps(-0.0f);
    int64_t j = 0;
    for (int64_t begin = 0, g = 0; begin < k; begin += group, g++) {
        int64_t end = begin + group < k ? begin + group : k;
        __m256 top = _mm256_setzero_ps();
        for (j = begin; j < end; j += 8)
            top = _mm256_max_ps(_mm256_andnot_ps(sign, v_load_n(x + j, end - j)), top);
        float peak = v_top(top);
        __m256 inverse = _mm256_set1_ps(peak > 0 ? 127.0f / peak : 0);
        __m256i total = _mm256_setzero_si256();
        for (j = begin; j < end; j += 32) {
            __m256i value = quantize_32(x + j, end - j, inverse);
            _mm256_storeu_si256((__m256i *)(q + j), value);
            __m256i pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(1), value);
            total = _mm256_add_epi32(total, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
        }
        int32_t lanes[8];
        _mm256_storeu_si256((__m256i *)lanes, total);
        sum[g] =
            lanes[0] + lanes[1] + lanes[2] + lanes[3] + lanes[4] + lanes[5] + lanes[6] + lanes[7];
        scale[g] = peak / 127.0f;
    }
    int64_t padded = (k + 63) & ~(int64_t)63;
    if (j < padded)
        memset(q + j, 0, (size_t)(padded - j));
}
