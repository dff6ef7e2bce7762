/* What the AVX2 kernels share: ends of rows, sums across lanes, exp. */
#ifndef CT_KERNELS_X86_FLOAT_AVX2_H
#define CT_KERNELS_X86_FLOAT_AVX2_H

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#define CT_INLINE static inline __attribute__((always_inline))

/* All ones in the first n of 8 lanes, 0 <= n; masked loads and stores touch only these. */
CT_INLINE __m256i ct_first_avx2(int64_t n)
{
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n < 8 ? (int)n : 8), lanes);
}

/* 8 floats, or the first n and zeros. */
CT_INLINE __m256 ct_load_f32_avx2(const float *x, int64_t n)
{
    return n >= 8 ? _mm256_loadu_ps(x) : _mm256_maskload_ps(x, ct_first_avx2(n));
}

CT_INLINE void ct_store_f32_avx2(float *y, int64_t n, __m256 value)
{
    if (n >= 8)
        _mm256_storeu_ps(y, value);
    else
        _mm256_maskstore_ps(y, ct_first_avx2(n), value);
}

/* 8 halves as they are, or the first n and zeros. */
CT_INLINE __m128i ct_load_16_avx2(const uint16_t *x, int64_t n)
{
    if (n >= 8)
        return _mm_loadu_si128((const __m128i *)x);
    uint16_t part[8] = {0};
    memcpy(part, x, (size_t)n * sizeof *x);
    return _mm_loadu_si128((const __m128i *)part);
}

/* 8 halves as floats. */
CT_INLINE __m256 ct_load_f16_avx2(const uint16_t *x)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)x));
}

CT_INLINE float ct_sum_avx2(__m256 x)
{
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

CT_INLINE float ct_max_avx2(__m256 x)
{
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

/* exp(x) for x <= 0, within 2 u of relative error down to the smallest normal and gradually to 0
 * below; NaN stays. x = n ln 2 + r with |r| <= ln 2 / 2; a polynomial of degree 6 gives exp(r)
 * (Cephes' expf), and 2^n is multiplied in two halves so that small results become denormal rather
 * than wrong. */
CT_INLINE __m256 ct_exp_avx2(__m256 x)
{
    x = _mm256_max_ps(_mm256_set1_ps(-110), x);
    __m256 n = _mm256_round_ps(_mm256_mul_ps(x, _mm256_set1_ps(1.44269504088896341f)),
                               _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m256 r = _mm256_fnmadd_ps(n, _mm256_set1_ps(0.693359375f), x);
    r = _mm256_fnmadd_ps(n, _mm256_set1_ps(-2.12194440e-4f), r);
    __m256 p = _mm256_set1_ps(1.9875691500e-4f);
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.3981999507e-3f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(8.3334519073e-3f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(4.1665795894e-2f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.6666665459e-1f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(5.0000001201e-1f));
    p = _mm256_fmadd_ps(p, _mm256_mul_ps(r, r), _mm256_add_ps(r, _mm256_set1_ps(1)));
    __m256i power = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(power, 1);
    __m256i bias = _mm256_set1_epi32(127);
    __m256i first = _mm256_slli_epi32(_mm256_add_epi32(half, bias), 23);
    __m256i second = _mm256_slli_epi32(_mm256_add_epi32(_mm256_sub_epi32(power, half), bias), 23);
    return _mm256_mul_ps(_mm256_mul_ps(p, _mm256_castsi256_ps(first)), _mm256_castsi256_ps(second));
}

#endif
