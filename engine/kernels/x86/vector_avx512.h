/* AVX-512's names for the operations of engine/kernels/vector. */
#ifndef CT_KERNELS_X86_VECTOR_AVX512_H
#define CT_KERNELS_X86_VECTOR_AVX512_H

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#define CT_INLINE static inline __attribute__((always_inline))

#define V_SET     avx512
enum { V_LANES = 16, V_MR = 12 };
typedef __m512 v_f32;

CT_INLINE v_f32 v_zero(void)
{
    return _mm512_setzero_ps();
}

CT_INLINE v_f32 v_set1(float x)
{
    return _mm512_set1_ps(x);
}

CT_INLINE v_f32 v_load(const float *x)
{
    return _mm512_loadu_ps(x);
}

CT_INLINE void v_store(float *y, v_f32 x)
{
    _mm512_storeu_ps(y, x);
}

/* Ones for the first n lanes. */
CT_INLINE __mmask16 v_first_n(int64_t n)
{
    return n >= V_LANES ? 0xffff : (__mmask16)((1u << n) - 1);
}

CT_INLINE v_f32 v_load_n(const float *x, int64_t n)
{
    return _mm512_maskz_loadu_ps(v_first_n(n), x);
}

CT_INLINE void v_store_n(float *y, int64_t n, v_f32 x)
{
    _mm512_mask_storeu_ps(y, v_first_n(n), x);
}

CT_INLINE v_f32 v_keep_n(v_f32 x, int64_t n, float fill)
{
    return _mm512_mask_blend_ps(v_first_n(n), _mm512_set1_ps(fill), x);
}

/* The first n of 16 16-bit values, and zeros. */
CT_INLINE __m256i v_load_16_n(const uint16_t *x, int64_t n)
{
    if (n >= V_LANES)
        return _mm256_loadu_si256((const __m256i *)x);
    uint16_t part[V_LANES] = {0};
    memcpy(part, x, (size_t)n * sizeof *x);
    return _mm256_loadu_si256((const __m256i *)part);
}

CT_INLINE v_f32 v_f16(const uint16_t *x)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)x));
}

CT_INLINE v_f32 v_i8(const int8_t *x)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)x)));
}

CT_INLINE v_f32 v_f16_n(const uint16_t *x, int64_t n)
{
    return _mm512_cvtph_ps(v_load_16_n(x, n));
}

CT_INLINE v_f32 v_bf16_n(const uint16_t *x, int64_t n)
{
    __m512i wide = _mm512_cvtepu16_epi32(v_load_16_n(x, n));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}

CT_INLINE void v_to_f16_n(uint16_t *y, int64_t n, v_f32 x)
{
    __m256i half = _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT);
    if (n >= V_LANES)
        _mm256_storeu_si256((__m256i *)y, half);
    else
        memcpy(y, &half, (size_t)n * sizeof *y);
}

CT_INLINE v_f32 v_add(v_f32 a, v_f32 b)
{
    return _mm512_add_ps(a, b);
}

CT_INLINE v_f32 v_sub(v_f32 a, v_f32 b)
{
    return _mm512_sub_ps(a, b);
}

CT_INLINE v_f32 v_mul(v_f32 a, v_f32 b)
{
    return _mm512_mul_ps(a, b);
}

CT_INLINE v_f32 v_div(v_f32 a, v_f32 b)
{
    return _mm512_div_ps(a, b);
}

CT_INLINE v_f32 v_max(v_f32 a, v_f32 b)
{
    return _mm512_max_ps(a, b);
}

CT_INLINE v_f32 v_fma(v_f32 a, v_f32 b, v_f32 c)
{
    return _mm512_fmadd_ps(a, b, c);
}

CT_INLINE v_f32 v_round(v_f32 x)
{
    return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

CT_INLINE v_f32 v_power(v_f32 x, v_f32 n)
{
    return _mm512_scalef_ps(x, n);
}

CT_INLINE v_f32 v_minus_abs(v_f32 x)
{
    return _mm512_or_ps(x, _mm512_set1_ps(-0.0f));
}

CT_INLINE v_f32 v_pick(v_f32 x, v_f32 a, v_f32 b)
{
    return _mm512_mask_blend_ps(_mm512_movepi32_mask(_mm512_castps_si512(x)), b, a);
}

CT_INLINE float v_sum(v_f32 x)
{
    return _mm512_reduce_add_ps(x);
}

CT_INLINE float v_top(v_f32 x)
{
    return _mm512_reduce_max_ps(x);
}

#endif
