/* The peak of sdot: 16 products an instruction. */
#include "engine/kernels/arm/vector_neon.h"
#include "engine/kernels/kernels.h"

enum { SUMS = 16 }; /* independent, to hide the latency */

void ct_dot_peak_neon(const uint8_t *x, const int8_t *w, int64_t n, int32_t *sum)
{
    int32x4_t total = vdupq_n_s32(0), part[SUMS];
    int8x16_t x_quarter[4], w_quarter[4];
    for (int q = 0; q < 4; q++) {
        x_quarter[q] = vreinterpretq_s8_u8(vld1q_u8(x + 16 * q));
        w_quarter[q] = vld1q_s8(w + 16 * q);
    }
    for (int i = 0; i < SUMS; i++)
        part[i] = vdupq_n_s32(0);
    for (int64_t left = n; left > 0; left -= SUMS / 4)
#pragma GCC unroll 16
        for (int i = 0; i < SUMS; i++)
            part[i] = vdotq_s32(part[i], x_quarter[i % 4], w_quarter[i % 4]);
    for (int i = 0; i < SUMS; i++)
        total = vaddq_s32(total, part[i]);
    *sum = vaddvq_s32(total);
}
