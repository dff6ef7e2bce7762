/* Norm, rotation, gate, softmax and sum, as plain loops in double: the specification. */
#include "engine/kernels/kernels.h"

#include <math.h>

void ct_rmsnorm_scalar(const float *x, const float *w, int64_t n, float eps, float *y)
{
    double square = 0;
    for (int64_t i = 0; i < n; i++)
        square += (double)x[i] * x[i];
    double factor = 1 / sqrt(square / (double)(n > 0 ? n : 1) + eps);
    for (int64_t i = 0; i < n; i++)
        y[i] = (float)(x[i] * factor * w[i]);
}

void ct_layernorm_scalar(const float *x, const float *w, const float *b, int64_t n, float eps,
                         float *y)
{
    double sum = 0, square = 0;
    for (int64_t i = 0; i < n; i++)
        sum += x[i];
    const double mean = sum / (double)(n > 0 ? n : 1);
    for (int64_t i = 0; i < n; i++)
        square += (x[i] - mean) * (x[i] - mean);
    const double factor = 1 / sqrt(square / (double)(n > 0 ? n : 1) + eps);
    for (int64_t i = 0; i < n; i++)
        y[i] = (float)((x[i] - mean) * factor * w[i] + b[i]);
}

void ct_rope_scalar(float *x, int n_heads, int head_dim, const float *cos, const float *sin)
{
    int half = head_dim / 2;
    for (int h = 0; h < n_heads; h++, x += head_dim) {
        for (int i = 0; i < half; i++) {
            double a = x[i], b = x[i + half];
            x[i] = (float)(a * cos[i] - b * sin[i]);
            x[i + half] = (float)(b * cos[i] + a * sin[i]);
        }
    }
}

void ct_swiglu_scalar(const float *gate, const float *up, int64_t n, float *y)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = (float)(gate[i] / (1 + exp(-(double)gate[i])) * up[i]);
}

void ct_gelu_scalar(const float *x, int64_t n, float *y)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = (float)(x[i] * (1 + erf(x[i] / sqrt(2))) / 2);
}

void ct_gelu_tanh_scalar(const float *x, int64_t n, float *y)
{
    const double pi = 3.14159265358979323846;
    for (int64_t i = 0; i < n; i++)
        y[i] = (float)(x[i] * (1 + tanh(sqrt(2 / pi) * (x[i] + 0.044715 * pow(x[i], 3)))) / 2);
}

void ct_quick_gelu_scalar(const float *x, int64_t n, float *y)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = (float)(x[i] / (1 + exp(-1.702 * x[i])));
}

void ct_relu_scalar(const float *x, int64_t n, float *y)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = fmaxf(x[i], 0);
}

void ct_tanh_scalar(const float *x, int64_t n, float *y)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = (float)tanh(x[i]);
}

void ct_softmax_scalar(float *x, int64_t n)
{
    float peak = x[0];
    for (int64_t i = 1; i < n; i++)
        peak = fmaxf(peak, x[i]);
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += exp((double)x[i] - peak);
    for (int64_t i = 0; i < n; i++)
        x[i] = (float)(exp((double)x[i] - peak) / sum);
}

void ct_add_scalar(const float *x, int64_t n, float *y)
{
    for (int64_t i = 0; i < n; i++)
        y[i] += x[i];
}

void ct_add_scaled_scalar(const float *x, const float *w, int64_t n, float *y)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = (float)(y[i] + (double)x[i] * w[i]);
}
