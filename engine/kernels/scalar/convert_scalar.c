/* Half floats, one at a time: the specification of the conversions. */
#include "engine/base/f16.h"
#include "engine/kernels/kernels.h"

void ct_f32_from_f16_scalar(const uint16_t *x, int64_t n, float *y)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = ct_f16_to_f32(x[i]);
}

void ct_f16_from_f32_scalar(const float *x, int64_t n, uint16_t *y)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = ct_f16_from_f32(x[i]);
}
