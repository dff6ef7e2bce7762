/* Norm, rotation, gate, softmax and sum with AVX2. */
#include "engine/kernels/kernels.h"
#include "engine/kernels/x86/float_avx2.h"

#include <math.h>

void ct_rmsnorm_avx2(const float *x, const float *w, int64_t n, float eps, float *y)
{
    __m256 sum[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
    for (int64_t i = 0; i < n; i += 8) {
        __m256 v = ct_load_f32_avx2(x + i, n - i);
        sum[i / 8 & 1] = _mm256_fmadd_ps(v, v, sum[i / 8 & 1]);
    }
    double square = ct_sum_avx2(_mm256_add_ps(sum[0], sum[1]));
    __m256 factor = _mm256_set1_ps((float)(1 / sqrt(square / (double)(n > 0 ? n : 1) + eps)));
    for (int64_t i = 0; i < n; i += 8) {
        __m256 v = _mm256_mul_ps(ct_load_f32_avx2(x + i, n - i), factor);
        ct_store_f32_avx2(y + i, n - i, _mm256_mul_ps(v, ct_load_f32_avx2(w + i, n - i)));
    }
}

void ct_rope_avx2(float *x, int n_heads, int head_dim, const float *cos, const float *sin)
{
    int half = head_dim / 2;
    for (int h = 0; h < n_heads; h++, x += head_dim) {
        for (int i = 0; i < half; i += 8) {
            int n = half - i;
            __m256 a = ct_load_f32_avx2(x + i, n), b = ct_load_f32_avx2(x + half + i, n);
            __m256 c = ct_load_f32_avx2(cos + i, n), s = ct_load_f32_avx2(sin + i, n);
            ct_store_f32_avx2(x + i, n, _mm256_fmsub_ps(a, c, _mm256_mul_ps(b, s)));
            ct_store_f32_avx2(x + half + i, n, _mm256_fmadd_ps(b, c, _mm256_mul_ps(a, s)));
        }
    }
}

/* gate * sigmoid(gate) through e = exp(-|gate|), which never overflows: 1 / (1 + e) or e / (1 + e).
 */
void ct_swiglu_avx2(const float *gate, const float *up, int64_t n, float *y)
{
    const __m256 sign = _mm256_set1_ps(-0.0f), one = _mm256_set1_ps(1);
    for (int64_t i = 0; i < n; i += 8) {
        __m256 g = ct_load_f32_avx2(gate + i, n - i);
        __m256 e = ct_exp_avx2(_mm256_or_ps(g, sign));
        __m256 top = _mm256_blendv_ps(one, e, g);
        __m256 sigmoid = _mm256_div_ps(top, _mm256_add_ps(one, e));
        __m256 value = _mm256_mul_ps(_mm256_mul_ps(g, sigmoid), ct_load_f32_avx2(up + i, n - i));
        ct_store_f32_avx2(y + i, n - i, value);
    }
}

void ct_softmax_avx2(float *x, int64_t n)
{
    __m256 top = _mm256_set1_ps(x[0]);
    int64_t i = 0;
    for (; i + 8 <= n; i += 8)
        top = _mm256_max_ps(top, _mm256_loadu_ps(x + i));
    float peak = ct_max_avx2(top);
    for (; i < n; i++)
        peak = fmaxf(peak, x[i]);
    __m256 sum = _mm256_setzero_ps(), shift = _mm256_set1_ps(peak);
    for (i = 0; i < n; i += 8) {
        __m256 e = ct_exp_avx2(_mm256_sub_ps(ct_load_f32_avx2(x + i, n - i), shift));
        e = _mm256_and_ps(e, _mm256_castsi256_ps(ct_first_avx2(n - i)));
        sum = _mm256_add_ps(sum, e);
        ct_store_f32_avx2(x + i, n - i, e);
    }
    __m256 factor = _mm256_set1_ps(1 / ct_sum_avx2(sum));
    for (i = 0; i < n; i += 8)
        ct_store_f32_avx2(x + i, n - i, _mm256_mul_ps(ct_load_f32_avx2(x + i, n - i), factor));
}

void ct_add_avx2(const float *x, int64_t n, float *y)
{
    for (int64_t i = 0; i < n; i += 8)
        ct_store_f32_avx2(
            y + i, n - i,
            _mm256_add_ps(ct_load_f32_avx2(y + i, n - i), ct_load_f32_avx2(x + i, n - i)));
}
