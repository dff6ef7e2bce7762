/* Half floats with F16C. */
#include "engine/kernels/kernels.h"
#include "engine/kernels/x86/float_avx2.h"

void ct_f32_from_f16_avx2(const uint16_t *x, int64_t n, float *y)
{
    for (int64_t i = 0; i < n; i += 8)
        ct_store_f32_avx2(y + i, n - i, _mm256_cvtph_ps(ct_load_16_avx2(x + i, n - i)));
}

void ct_f16_from_f32_avx2(const float *x, int64_t n, uint16_t *y)
{
    for (int64_t i = 0; i < n; i += 8) {
        __m128i half = _mm256_cvtps_ph(ct_load_f32_avx2(x + i, n - i), _MM_FROUND_TO_NEAREST_INT);
        if (n - i >= 8)
            _mm_storeu_si128((__m128i *)(y + i), half);
        else
            memcpy(y + i, &half, (size_t)(n - i) * sizeof *y);
    }
}
