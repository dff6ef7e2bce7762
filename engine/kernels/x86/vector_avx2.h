/* AVX2's names for the operations of engine/kernels/vector. */
#ifndef CT_KERNELS_X86_VECTOR_AVX2_H
#define CT_KERNELS_X86_VECTOR_AVX2_H

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#define CT_INLINE static inline __attribute__((always_inline))

#define V_SET     avx2
enum { V_LANES = 8, V_MR = 6 };
typedef __m256 v_f32;

CT_INLINE v_f32 v_zero(void)
{
    return _mm256_setzero_ps();
}

CT_INLINE v_f32 v_set1(float x)
{
    return _mm256_set1_ps(x);
}

CT_INLINE v_f32 v_load(const float *x)
{
    return _mm256_loadu_ps(x);
}

CT_INLINE void v_store(float *y, v_f32 x)
{
    _mm256_storeu_ps(y, x);
}

/* All ones in the first n lanes. */
CT_INLINE __m256i v_first_n(int64_t n)
{
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n < 8 ? (int)n : 8), lanes);
}

CT_INLINE v_f32 v_load_n(const float *x, int64_t n)
{
    return n >= V_LANES ? _mm256_loadu_ps(x) : _mm256_maskload_ps(x, v_first_n(n));
}

CT_INLINE void v_store_n(float *y, int64_t n, v_f32 x)
{
    if (n >= V_LANES)
        _mm256_storeu_ps(y, x);
    else
        _mm256_maskstore_ps(y, v_first_n(n), x);
}

CT_INLINE v_f32 v_keep_n(v_f32 x, int64_t n, float fill)
{
    return _mm256_blendv_ps(_mm256_set1_ps(fill), x, _mm256_castsi256_ps(v_first_n(n)));
}

/* The first n of 8 16-bit values, and zeros. */
CT_INLINE __m128i v_load_16_n(const uint16_t *x, int64_t n)
{
    if (n >= V_LANES)
        return _mm_loadu_si128((const __m128i *)x);
    uint16_t part[V_LANES] = {0};
    memcpy(part, x, (size_t)n * sizeof *x);
    return _mm_loadu_si128((const __m128i *)part);
}

CT_INLINE v_f32 v_f16(const uint16_t *x)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)x));
}

CT_INLINE v_f32 v_i8(const int8_t *x)
{
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)x)));
}

CT_INLINE v_f32 v_f16_n(const uint16_t *x, int64_t n)
{
    return _mm256_cvtph_ps(v_load_16_n(x, n));
}

CT_INLINE v_f32 v_bf16_n(const uint16_t *x, int64_t n)
{
    __m256i wide = _mm256_cvtepu16_epi32(v_load_16_n(x, n));
    return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}

CT_INLINE void v_to_f16_n(uint16_t *y, int64_t n, v_f32 x)
{
    __m128i half = _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT);
    if (n >= V_LANES)
        _mm_storeu_si128((__m128i *)y, half);
    else
        memcpy(y, &half, (size_t)n * sizeof *y);
}

CT_INLINE v_f32 v_add(v_f32 a, v_f32 b)
{
    return _mm256_add_ps(a, b);
}

CT_INLINE v_f32 v_sub(v_f32 a, v_f32 b)
{
    return _mm256_sub_ps(a, b);
}

CT_INLINE v_f32 v_mul(v_f32 a, v_f32 b)
{
    return _mm256_mul_ps(a, b);
}

CT_INLINE v_f32 v_div(v_f32 a, v_f32 b)
{
    return _mm256_div_ps(a, b);
}

CT_INLINE v_f32 v_max(v_f32 a, v_f32 b)
{
    return _mm256_max_ps(a, b);
}

CT_INLINE v_f32 v_fma(v_f32 a, v_f32 b, v_f32 c)
{
    return _mm256_fmadd_ps(a, b, c);
}

CT_INLINE v_f32 v_round(v_f32 x)
{
    return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

CT_INLINE v_f32 v_power(v_f32 x, v_f32 n)
{
    __m256i power = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(power, 1);
    __m256i rest = _mm256_sub_epi32(power, half), bias = _mm256_set1_epi32(127);
    __m256i a = _mm256_slli_epi32(_mm256_add_epi32(half, bias), 23);
    __m256i b = _mm256_slli_epi32(_mm256_add_epi32(rest, bias), 23);
    return _mm256_mul_ps(_mm256_mul_ps(x, _mm256_castsi256_ps(a)), _mm256_castsi256_ps(b));
}

CT_INLINE v_f32 v_minus_abs(v_f32 x)
{
    return _mm256_or_ps(x, _mm256_set1_ps(-0.0f));
}

CT_INLINE v_f32 v_pick(v_f32 x, v_f32 a, v_f32 b)
{
    return _mm256_blendv_ps(b, a, x);
}

CT_INLINE float v_sum(v_f32 x)
{
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

CT_INLINE float v_top(v_f32 x)
{
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

#endif
