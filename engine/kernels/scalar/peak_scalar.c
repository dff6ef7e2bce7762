/* The dot product over and over. */
#include "engine/kernels/kernels.h"

void ct_dot_peak_scalar(const uint8_t *x, const int8_t *w, int64_t n, int32_t *sum)
{
    uint32_t total = 0;
    for (int64_t i = 0; i < n; i++) {
        for (int j = 0; j < 64; j++)
            total += (uint32_t)(x[j] * w[j]);
        __asm__ volatile("" ::: "memory"); /* or the compiler multiplies once, by n */
    }
    *sum = (int32_t)total;
}
