/* The peak of smmla: 32 products an instruction. */
#include "engine/kernels/arm/vector_neon.h"
#include "engine/kernels/kernels.h"

enum { SUMS = 16 }; /* independent, to hide the latency */

/* Each eighth of x and w fills both rows of its operand, so that it is multiplied four times at once. */
void ct_dot_peak_i8mm(const uint8_t *x, const int8_t *w, int64_t n, int32_t *sum)
{
    int32x4_t total = vdupq_n_s32(0), part[SUMS];
    int8x16_t x_eighth[8], w_eighth[8];
    for (int i = 0; i < 8; i++) {
        const int8x8_t x_i = vreinterpret_s8_u8(vld1_u8(x + 8 * i)), w_i = vld1_s8(w + 8 * i);
        x_eighth[i] = vcombine_s8(x_i, x_i);
        w_eighth[i] = vcombine_s8(w_i, w_i);
    }
#pragma GCC unroll 16
    for (int i = 0; i < SUMS; i++) { /* begun apart, or the compiler keeps one sum for two */
        part[i] = vdupq_n_s32(i);
        total = vsubq_s32(total, part[i]);
    }
    for (int64_t left = n; left > 0; left -= 4 * SUMS / 8)
#pragma GCC unroll 16
        for (int i = 0; i < SUMS; i++)
            part[i] = vmmlaq_s32(part[i], x_eighth[i % 8], w_eighth[i % 8]);
#pragma GCC unroll 16
    for (int i = 0; i < SUMS; i++)
        total = vaddq_s32(total, part[i]);
    *sum = vaddvq_s32(total);
}
