/* Activation quantisation: the specification. */
#include "engine/kernels/kernels.h"

#include <math.h>
#include <string.h>

void ct_quantize_i8_scalar(const float *x, int64_t k, int8_t *q, float *scale, int32_t *sum)
{
    for (int64_t begin = 0, g = 0; begin < k; begin += CT_X_GROUP, g++) {
        int64_t end = begin + CT_X_GROUP < k ? begin + CT_X_GROUP : k;
        float peak = 0;
        for (int64_t j = begin; j < end; j++)
            peak = fmaxf(peak, fabsf(x[j]));
        float inverse = peak > 0 ? 127.0f / peak : 0;
        int32_t total = 0;
        for (int64_t j = begin; j < end; j++) {
            float rounded = rintf(x[j] * inverse);
            int32_t value = (int32_t)fminf(fmaxf(rounded, -127), 127);
            q[j] = (int8_t)value;
            total += value;
        }
        scale[g] = peak / 127.0f;
        sum[g] = total;
    }
    memset(q + k, 0, (size_t)(((k + 63) & ~(int64_t)63) - k));
}

/* Adding 1.5 * 2^23 rounds to an integer, halves to even, without a call. */
void ct_quantize_row_i8_scalar(const float *x, int64_t k, int8_t *q, float *scale)
{
    const float round = 12582912;
    float peak = 0;
    for (int64_t j = 0; j < k; j++) {
        const float size = fabsf(x[j]);
        peak = size > peak ? size : peak;
    }
    const float inverse = peak > 0 ? 127.0f / peak : 0;
    for (int64_t j = 0; j < k; j++) {
        float value = x[j] * inverse;
        value = value > -127 ? value : -127;
        value = value < 127 ? value : 127;
        q[j] = (int8_t)(value + round - round);
    }
    memset(q + k, 0, (size_t)(((k + 63) & ~(int64_t)63) - k));
    scale[0] = peak / 127.0f;
}
