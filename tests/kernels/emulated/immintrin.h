/* Stands in for the compiler's immintrin.h where the AVX-VNNI and AVX-512 kernels are built for their
 * check, so that they run on any processor: SIMDe's portable versions, and here, after Intel's
 * descriptions, the few that its version 0.7.4 lacks, does not round once, or reads too far for. */
#ifndef CT_TESTS_EMULATED_IMMINTRIN_H
#define CT_TESTS_EMULATED_IMMINTRIN_H

#define SIMDE_NO_NATIVE
#define SIMDE_NO_INLINE /* or the compiler takes minutes */
#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>
#include <simde/x86/f16c.h>
#include <simde/x86/fma.h>

#include "engine/base/f16.h"

#include <math.h>
#include <string.h>

typedef uint16_t __mmask16;

static inline __m256 ct_emulated_fmadd_ps_256(__m256 a, __m256 b, __m256 c)
{
    float x[8], y[8], z[8];
    memcpy(x, &a, sizeof x);
    memcpy(y, &b, sizeof y);
    memcpy(z, &c, sizeof z);
    for (int i = 0; i < 8; i++)
        z[i] = fmaf(x[i], y[i], z[i]);
    memcpy(&c, z, sizeof z);
    return c;
}
#undef _mm256_fmadd_ps
#define _mm256_fmadd_ps(a, b, c) ct_emulated_fmadd_ps_256(a, b, c)

static inline __m256 ct_emulated_maskload_ps_256(const float *p, __m256i mask)
{
    int32_t is_loaded[8];
    float x[8] = {0};
    memcpy(is_loaded, &mask, sizeof is_loaded);
    for (int i = 0; i < 8; i++)
        if (is_loaded[i] < 0)
            x[i] = p[i];
    __m256 result;
    memcpy(&result, x, sizeof x);
    return result;
}
#undef _mm256_maskload_ps
#define _mm256_maskload_ps(p, mask) ct_emulated_maskload_ps_256(p, mask)

static inline __m512 ct_emulated_fmadd_ps(__m512 a, __m512 b, __m512 c)
{
    float x[16], y[16], z[16];
    memcpy(x, &a, sizeof x);
    memcpy(y, &b, sizeof y);
    memcpy(z, &c, sizeof z);
    for (int i = 0; i < 16; i++)
        z[i] = fmaf(x[i], y[i], z[i]);
    memcpy(&c, z, sizeof z);
    return c;
}
#undef _mm512_fmadd_ps
#define _mm512_fmadd_ps(a, b, c) ct_emulated_fmadd_ps(a, b, c)

static inline __m512 _mm512_cvtepi32_ps(__m512i a)
{
    int32_t x[16];
    float y[16];
    memcpy(x, &a, sizeof x);
    for (int i = 0; i < 16; i++)
        y[i] = (float)x[i];
    __m512 result;
    memcpy(&result, y, sizeof y);
    return result;
}

static inline __m512 _mm512_cvtph_ps(__m256i a)
{
    uint16_t x[16];
    float y[16];
    memcpy(x, &a, sizeof x);
    for (int i = 0; i < 16; i++)
        y[i] = ct_f16_to_f32(x[i]);
    __m512 result;
    memcpy(&result, y, sizeof y);
    return result;
}

static inline __m512 _mm512_maskz_loadu_ps(__mmask16 mask, const float *p)
{
    float x[16] = {0};
    for (int i = 0; i < 16; i++)
        if (mask >> i & 1)
            x[i] = p[i];
    __m512 result;
    memcpy(&result, x, sizeof x);
    return result;
}

static inline void _mm512_mask_storeu_ps(float *p, __mmask16 mask, __m512 a)
{
    float x[16];
    memcpy(x, &a, sizeof x);
    for (int i = 0; i < 16; i++)
        if (mask >> i & 1)
            p[i] = x[i];
}

static inline __m512i _mm512_cvtepu16_epi32(__m256i a)
{
    uint16_t x[16];
    uint32_t y[16];
    memcpy(x, &a, sizeof x);
    for (int i = 0; i < 16; i++)
        y[i] = x[i];
    __m512i result;
    memcpy(&result, y, sizeof y);
    return result;
}

static inline __m512i _mm512_cvtepi8_epi32(__m128i a)
{
    int8_t x[16];
    int32_t y[16];
    memcpy(x, &a, sizeof x);
    for (int i = 0; i < 16; i++)
        y[i] = x[i];
    __m512i result;
    memcpy(&result, y, sizeof y);
    return result;
}

#define _MM_FROUND_NO_EXC            SIMDE_MM_FROUND_NO_EXC
#define _mm512_cvtps_ph(a, rounding) ct_emulated_cvtps_ph(a)

/* To nearest even, the only rounding in use. */
static inline __m256i ct_emulated_cvtps_ph(__m512 a)
{
    float x[16];
    uint16_t y[16];
    memcpy(x, &a, sizeof x);
    for (int i = 0; i < 16; i++)
        y[i] = ct_f16_from_f32(x[i]);
    __m256i result;
    memcpy(&result, y, sizeof y);
    return result;
}

static inline float _mm512_reduce_add_ps(__m512 a)
{
    float x[16];
    memcpy(x, &a, sizeof x);
    for (int half = 8; half > 0; half /= 2)
        for (int i = 0; i < half; i++)
            x[i] += x[i + half];
    return x[0];
}

static inline float _mm512_reduce_max_ps(__m512 a)
{
    float x[16];
    memcpy(x, &a, sizeof x);
    for (int i = 1; i < 16; i++)
        x[0] = x[i] > x[0] ? x[i] : x[0];
    return x[0];
}

#endif
