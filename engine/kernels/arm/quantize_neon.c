/* Activation quantisation with NEON, to the bit like the scalar one: vmaxnm and vminnm are fmaxf
 * and fminf, NaN included. */
#include "engine/kernels/arm/vector_neon.h"
#include "engine/kernels/kernels.h"

void ct_quantize_i8_neon(const float *x, int64_t k, int8_t *q, float *scale, int32_t *sum)
{
    for (int64_t begin = 0, g = 0; begin < k; begin += CT_X_GROUP, g++) {
        int64_t end = begin + CT_X_GROUP < k ? begin + CT_X_GROUP : k;
        float32x4_t top = vdupq_n_f32(0);
        for (int64_t j = begin; j < end; j += 4)
            top = vmaxnmq_f32(top, vabsq_f32(v_load_n(x + j, end - j)));
        float peak = vmaxnmvq_f32(top);
        float inverse = peak > 0 ? 127.0f / peak : 0;
        int32x4_t total = vdupq_n_s32(0);
        for (int64_t j = begin; j < end; j += 4) {
            float32x4_t v = vrndnq_f32(vmulq_n_f32(v_load_n(x + j, end - j), inverse));
            v = vminnmq_f32(vmaxnmq_f32(v, vdupq_n_f32(-127)), vdupq_n_f32(127));
            int32x4_t value = vreinterpretq_s32_u32(
                vandq_u32(vreinterpretq_u32_s32(vcvtq_s32_f32(v)), v_first_n(end - j)));
            total = vaddq_s32(total, value);
            int8x8_t bytes = vmovn_s16(vcombine_s16(vmovn_s32(value), vdup_n_s16(0)));
            int32_t four = vget_lane_s32(vreinterpret_s32_s8(bytes), 0);
            memcpy(q + j, &four, sizeof four);
        }
        sum[g] = vaddvq_s32(total);
        scale[g] = peak / 127.0f;
    }
    memset(q + k, 0, (size_t)(((k + 63) & ~(int64_t)63) - k));
}
