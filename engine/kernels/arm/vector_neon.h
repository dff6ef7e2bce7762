/* NEON's names for the operations of engine/kernels/vector. */
#ifndef CT_KERNELS_ARM_VECTOR_NEON_H
#define CT_KERNELS_ARM_VECTOR_NEON_H

#include <arm_neon.h>
#include <stdint.h>
#include <string.h>

#define CT_INLINE static inline __attribute__((always_inline))

#define V_SET     neon
enum { V_LANES = 4, V_MR = 6 };
typedef float32x4_t v_f32;

CT_INLINE v_f32 v_zero(void)
{
    return vdupq_n_f32(0);
}

CT_INLINE v_f32 v_set1(float x)
{
    return vdupq_n_f32(x);
}

CT_INLINE v_f32 v_load(const float *x)
{
    return vld1q_f32(x);
}

CT_INLINE void v_store(float *y, v_f32 x)
{
    vst1q_f32(y, x);
}

/* All ones in the first n lanes. */
CT_INLINE uint32x4_t v_first_n(int64_t n)
{
    static const int32_t lanes[V_LANES] = {0, 1, 2, 3};
    return vcltq_s32(vld1q_s32(lanes), vdupq_n_s32(n < V_LANES ? (int)n : V_LANES));
}

CT_INLINE v_f32 v_load_n(const float *x, int64_t n)
{
    if (n >= V_LANES)
        return vld1q_f32(x);
    float part[V_LANES] = {0};
    memcpy(part, x, (size_t)n * sizeof *x);
    return vld1q_f32(part);
}

CT_INLINE void v_store_n(float *y, int64_t n, v_f32 x)
{
    if (n >= V_LANES) {
        vst1q_f32(y, x);
        return;
    }
    float part[V_LANES];
    vst1q_f32(part, x);
    memcpy(y, part, (size_t)n * sizeof *y);
}

CT_INLINE v_f32 v_keep_n(v_f32 x, int64_t n, float fill)
{
    return vbslq_f32(v_first_n(n), x, vdupq_n_f32(fill));
}

/* The first n of 4 16-bit values, and zeros. */
CT_INLINE uint16x4_t v_load_16_n(const uint16_t *x, int64_t n)
{
    if (n >= V_LANES)
        return vld1_u16(x);
    uint16_t part[V_LANES] = {0};
    memcpy(part, x, (size_t)n * sizeof *x);
    return vld1_u16(part);
}

CT_INLINE v_f32 v_f16(const uint16_t *x)
{
    return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(x)));
}

CT_INLINE v_f32 v_i8(const int8_t *x)
{
    int32_t four;
    memcpy(&four, x, sizeof four);
    int16x8_t wide = vmovl_s8(vreinterpret_s8_s32(vdup_n_s32(four)));
    return vcvtq_f32_s32(vmovl_s16(vget_low_s16(wide)));
}

CT_INLINE v_f32 v_f16_n(const uint16_t *x, int64_t n)
{
    return vcvt_f32_f16(vreinterpret_f16_u16(v_load_16_n(x, n)));
}

CT_INLINE v_f32 v_bf16_n(const uint16_t *x, int64_t n)
{
    return vreinterpretq_f32_u32(vshll_n_u16(v_load_16_n(x, n), 16));
}

CT_INLINE void v_to_f16_n(uint16_t *y, int64_t n, v_f32 x)
{
    uint16_t part[V_LANES];
    vst1_u16(part, vreinterpret_u16_f16(vcvt_f16_f32(x)));
    memcpy(y, part, (size_t)(n < V_LANES ? n : V_LANES) * sizeof *y);
}

CT_INLINE v_f32 v_add(v_f32 a, v_f32 b)
{
    return vaddq_f32(a, b);
}

CT_INLINE v_f32 v_sub(v_f32 a, v_f32 b)
{
    return vsubq_f32(a, b);
}

CT_INLINE v_f32 v_mul(v_f32 a, v_f32 b)
{
    return vmulq_f32(a, b);
}

CT_INLINE v_f32 v_div(v_f32 a, v_f32 b)
{
    return vdivq_f32(a, b);
}

CT_INLINE v_f32 v_max(v_f32 a, v_f32 b)
{
    return vmaxq_f32(a, b);
}

CT_INLINE v_f32 v_fma(v_f32 a, v_f32 b, v_f32 c)
{
    return vfmaq_f32(c, a, b);
}

CT_INLINE v_f32 v_round(v_f32 x)
{
    return vrndnq_f32(x);
}

CT_INLINE v_f32 v_power(v_f32 x, v_f32 n)
{
    int32x4_t power = vcvtq_s32_f32(n), half = vshrq_n_s32(power, 1);
    int32x4_t rest = vsubq_s32(power, half), bias = vdupq_n_s32(127);
    v_f32 a = vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(half, bias), 23));
    v_f32 b = vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(rest, bias), 23));
    return vmulq_f32(vmulq_f32(x, a), b);
}

CT_INLINE v_f32 v_minus_abs(v_f32 x)
{
    return vnegq_f32(vabsq_f32(x));
}

CT_INLINE v_f32 v_pick(v_f32 x, v_f32 a, v_f32 b)
{
    return vbslq_f32(vcltzq_s32(vreinterpretq_s32_f32(x)), a, b);
}

CT_INLINE float v_sum(v_f32 x)
{
    return vaddvq_f32(x);
}

CT_INLINE float v_top(v_f32 x)
{
    return vmaxvq_f32(x);
}

#endif
