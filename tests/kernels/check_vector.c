/* Checks of the kernels on rows: conversions, quantisation, norm, rotation, gate, softmax, sum. */
#include "tests/kernels/check.h"

#include "engine/base/f16.h"
#include "tests/support/guard.h"

#include <math.h>
#include <string.h>

static const int64_t sizes[] = {0,  1,  2,  3,  7,  8,  9,   15,  16,  17,  31,  32,
                                33, 47, 63, 64, 65, 97, 127, 128, 129, 257, 576, 1009};
enum { N_SIZES = sizeof sizes / sizeof *sizes };

void check_f32_from_f16(struct check *c)
{
    CHECK_CASE(c, "f32_from_f16, all values");
    uint16_t *all = guard_take(65536 * sizeof *all);
    float *y = guard_take(65536 * sizeof *y), *expected = guard_take(65536 * sizeof *y);
    for (int i = 0; i < 65536; i++)
        all[i] = (uint16_t)i;
    ct_f32_from_f16_scalar(all, 65536, expected);
    c->kernels->f32_from_f16(all, 65536, y);
    check_same(c, y, expected, 65536 * sizeof *y);
    for (int s = 0; s < N_SIZES; s++) {
        int64_t n = sizes[s];
        CHECK_CASE(c, "f32_from_f16, n %lld", (long long)n);
        c->kernels->f32_from_f16(all + 65536 - n, n, y + 65536 - n);
        check_same(c, y, expected, 65536 * sizeof *y);
        memset(y, 0, 65536 * sizeof *y);
        c->kernels->f32_from_f16(all, n, y);
        check_same(c, y, expected, (size_t)n * sizeof *y);
        check_same(c, y + n, (float[8]){0}, sizeof(float[8]));
        memcpy(y, expected, 65536 * sizeof *y);
    }
    guard_check(c->what);
}

/* Every f16, every midpoint between neighbours, and their float neighbours; both signs, NaNs. */
void check_f16_from_f32(struct check *c)
{
    enum { N = 6 * 65536 };
    float *x = guard_take(N * sizeof *x);
    uint16_t *y = guard_take(N * sizeof *y), *expected = guard_take(N * sizeof *y);
    int64_t n = 0;
    for (uint32_t h = 0; h < 65536; h++) {
        float value = ct_f16_to_f32((uint16_t)h);
        uint32_t next = ct_f32_bits(ct_f16_to_f32((uint16_t)(h + 1)));
        uint32_t bits = ct_f32_bits(value), middle = bits / 2 + next / 2 + (bits & next & 1);
        if ((h & 0x7fff) == 0) /* below the smallest: half of 2^-24 */
            middle = (bits & 0x80000000u) | 0x33000000u;
        const uint32_t tried[6] = {bits,   bits + 1,   middle - 1,
                                   middle, middle + 1, (uint32_t)ct_rng_next(&c->rng)};
        for (int i = 0; i < 6; i++)
            x[n++] = ct_f32_from_bits(tried[i]);
    }
    CHECK_CASE(c, "f16_from_f32, all midpoints");
    ct_f16_from_f32_scalar(x, n, expected);
    c->kernels->f16_from_f32(x, n, y);
    for (int64_t i = 0; i < n; i++)
        if (y[i] != expected[i])
            check_fail(c, "f32 bits %08x give %04x, expected %04x", ct_f32_bits(x[i]), y[i],
                       expected[i]);
    for (int s = 0; s < N_SIZES; s++) {
        CHECK_CASE(c, "f16_from_f32, n %lld", (long long)sizes[s]);
        int64_t at = n - sizes[s];
        memset(y, 0, (size_t)n * sizeof *y);
        c->kernels->f16_from_f32(x + at, sizes[s], y + at);
        check_same(c, y + at, expected + at, (size_t)sizes[s] * sizeof *y);
    }
    guard_check(c->what);
}

static void try_quantize(struct check *c, int64_t k, float *x)
{
    int64_t ldq = (k + 63) / 64 * 64, n_groups = (k + CT_X_GROUP - 1) / CT_X_GROUP;
    CHECK_CASE(c, "quantize_i8, k %lld", (long long)k);
    int8_t *q[2];
    float *scale[2];
    int32_t *sum[2];
    for (int i = 0; i < 2; i++) {
        q[i] = guard_take((size_t)ldq);
        scale[i] = guard_take((size_t)n_groups * sizeof(float));
        sum[i] = guard_take((size_t)n_groups * sizeof(int32_t));
    }
    c->kernels->quantize_i8(x, k, q[0], scale[0], sum[0]);
    ct_quantize_i8_scalar(x, k, q[1], scale[1], sum[1]);
    check_same(c, q[0], q[1], (size_t)ldq);
    check_same(c, scale[0], scale[1], (size_t)n_groups * sizeof(float));
    check_same(c, sum[0], sum[1], (size_t)n_groups * sizeof(int32_t));
    guard_check(c->what);
    guard_release();
}

static void try_quantize_row(struct check *c, int64_t k, float *x)
{
    const size_t ldq = (size_t)((k + 63) / 64 * 64);
    int8_t *q[2] = {guard_take(ldq), guard_take(ldq)};
    float *scale[2] = {guard_take(sizeof(float)), guard_take(sizeof(float))};
    CHECK_CASE(c, "quantize_row_i8, k %lld", (long long)k);
    c->kernels->quantize_row_i8(x, k, q[0], scale[0]);
    ct_quantize_row_i8_scalar(x, k, q[1], scale[1]);
    check_same(c, q[0], q[1], ldq);
    check_same(c, scale[0], scale[1], sizeof(float));
    guard_check(c->what);
    guard_release();
}

static void check_rows(struct check *c, void (*try)(struct check *c, int64_t k, float *x))
{
    static const float odd[] = {0,     -0.0f,  1e-45f,   -1e-45f,   1e-39f,
                                3e38f, -3e38f, INFINITY, -INFINITY, NAN};
    for (int s = 0; s < N_SIZES; s++)
        for (int round = 0; round < 4; round++)
            for (int kind = 0; kind < 4; kind++) {
                int64_t k = sizes[s];
                float *x = check_floats(c, k);
                for (int64_t i = 0; i < k && kind == 1; i++) /* halves: ties go to even */
                    x[i] = (float)check_int(c, -254, 254) / 2;
                if (kind == 1 && k > 0)
                    x[check_int(c, 0, k - 1)] = 127;
                if (kind == 2)
                    memset(x, 0, (size_t)k * sizeof *x);
                for (int64_t i = 0; i < k && kind == 3; i++)
                    if (check_int(c, 0, 9) == 0)
                        x[i] = CHECK_PICK(c, odd);
                try(c, k, x);
            }
}

void check_quantize_i8(struct check *c)
{
    check_rows(c, try_quantize);
}

void check_quantize_row_i8(struct check *c)
{
    check_rows(c, try_quantize_row);
}

void check_rmsnorm(struct check *c)
{
    for (int s = 0; s < N_SIZES; s++)
        for (int in_place = 0; in_place < 2; in_place++) {
            int64_t n = sizes[s];
            CHECK_CASE(c, "rmsnorm, n %lld, in place %d", (long long)n, in_place);
            float *x = check_floats(c, n), *w = check_floats(c, n), *kept = check_floats(c, n);
            memcpy(kept, x, (size_t)n * sizeof *x);
            float *y = in_place ? x : guard_take((size_t)n * sizeof *y);
            c->kernels->rmsnorm(x, w, n, 1e-5f, y);
            double square = 0;
            for (int64_t i = 0; i < n; i++)
                square += (double)kept[i] * kept[i];
            for (int64_t i = 0; i < n; i++) {
                double exact = w[i] * (double)kept[i] / sqrt(square / (double)n + (double)1e-5f);
                check_near(c, i, y[i], exact, ((double)n + 8) * CHECK_U * fabs(exact));
            }
            guard_check(c->what);
            guard_release();
        }
}

void check_layernorm(struct check *c)
{
    for (int s = 1; s < N_SIZES; s++)
        for (int in_place = 0; in_place < 2; in_place++) {
            const int64_t n = sizes[s];
            const float eps = 1e-5f, shift = check_float(c, -3, 3);
            CHECK_CASE(c, "layernorm, n %lld, in place %d, shift %g", (long long)n, in_place,
                       (double)shift);
            float *x = check_floats(c, n), *w = check_floats(c, n), *b = check_floats(c, n);
            float *kept = guard_take((size_t)n * sizeof *kept);
            double sum = 0, square = 0, top = 0;
            for (int64_t i = 0; i < n; i++) {
                kept[i] = x[i] += shift;
                sum += x[i];
                top = fmax(top, fabs((double)x[i]));
            }
            for (int64_t i = 0; i < n; i++)
                square += pow(kept[i] - sum / (double)n, 2);
            const double root = sqrt(square / (double)n + (double)eps);
            float *y = in_place ? x : guard_take((size_t)n * sizeof *y);
            c->kernels->layernorm(x, w, b, n, eps, y);
            for (int64_t i = 0; i < n && root >= 0x1p-10 * top; i++) {
                double exact = w[i] * (kept[i] - sum / (double)n) / root + b[i];
                double bound = ((double)n + 16) * fabs((double)w[i]) * top / root;
                check_near(c, i, y[i], exact, CHECK_U * (bound + 2 * fabs((double)b[i])));
            }
            guard_check(c->what);
            guard_release();
        }
}

void check_rope(struct check *c)
{
    static const int dims[] = {2, 4, 6, 14, 16, 18, 32, 34, 62, 64, 66, 96, 128, 256};
    for (size_t d = 0; d < sizeof dims / sizeof *dims; d++)
        for (int n_heads = 0; n_heads < 4; n_heads++) {
            int D = dims[d], half = D / 2;
            CHECK_CASE(c, "rope, %d heads of %d", n_heads, D);
            float *x = check_floats(c, n_heads * D), *old = check_floats(c, n_heads * D);
            float *cosine = check_floats(c, half), *sine = check_floats(c, half);
            memcpy(old, x, (size_t)(n_heads * D) * sizeof *x);
            c->kernels->rope(x, n_heads, D, cosine, sine);
            for (int i = 0; i < n_heads * D; i++) {
                int at = i % D % half;
                bool is_first = i % D < half;
                double other = (double)old[is_first ? i + half : i - half] * sine[at];
                double own = (double)old[i] * cosine[at];
                check_near(c, i, x[i], is_first ? own - other : own + other,
                           2 * CHECK_U * (fabs(own) + fabs(other)));
            }
            guard_check(c->what);
            guard_release();
        }
}

void check_swiglu(struct check *c)
{
    static const float extreme[] = {0,    -0.0f, -87, -88,  -100,  -104,
                                    -200, 88,    100, 1e4f, -1e4f, 1e-30f};
    for (int s = 0; s < N_SIZES; s++)
        for (int in_place = 0; in_place < 2; in_place++) {
            int64_t n = sizes[s];
            CHECK_CASE(c, "swiglu, n %lld, in place %d", (long long)n, in_place);
            float *gate = check_floats(c, n), *up = check_floats(c, n), *kept = check_floats(c, n);
            for (int64_t i = 0; i < n; i++)
                gate[i] = check_int(c, 0, 5) == 0 ? CHECK_PICK(c, extreme) : gate[i] * 10;
            memcpy(kept, gate, (size_t)n * sizeof *gate);
            float *y = in_place ? gate : guard_take((size_t)n * sizeof *y);
            c->kernels->swiglu(gate, up, n, y);
            for (int64_t i = 0; i < n; i++) {
                double exact = kept[i] / (1 + exp(-(double)kept[i])) * up[i];
                check_near(c, i, y[i], exact, 16 * CHECK_U * fabs(exact) + 0x1p-120);
            }
            guard_check(c->what);
            guard_release();
        }
}

typedef void activation_fn(const float *x, int64_t n, float *y);

/* An activation against exact(x), within by_x |x| + by_one. */
static void check_activation(struct check *c, const char *name, activation_fn *kernel,
                             double (*exact)(double x), double by_x, double by_one)
{
    static const float extreme[] = {0, -0.0f, -5, -9, -14, -100, 100, 1e4f, -1e4f, 1e30f, 1e-30f};
    for (int s = 0; s < N_SIZES; s++)
        for (int in_place = 0; in_place < 2; in_place++) {
            int64_t n = sizes[s];
            CHECK_CASE(c, "%s, n %lld, in place %d", name, (long long)n, in_place);
            float *x = check_floats(c, n), *kept = check_floats(c, n);
            for (int64_t i = 0; i < n; i++)
                kept[i] = x[i] = check_int(c, 0, 5) == 0 ? CHECK_PICK(c, extreme) : x[i] * 3;
            float *y = in_place ? x : guard_take((size_t)n * sizeof *y);
            kernel(x, n, y);
            for (int64_t i = 0; i < n; i++) {
                const double bound = by_x * fabs((double)kept[i]) + by_one;
                check_near(c, i, y[i], exact(kept[i]), bound);
            }
            guard_check(c->what);
            guard_release();
        }
}

static double exact_gelu(double x)
{
    return x * erfc(-x / sqrt(2)) / 2;
}

static double exact_gelu_tanh(double x)
{
    return x / (1 + exp(-2 * sqrt(2 / acos(-1)) * (x + 0.044715 * x * x * x)));
}

static double exact_quick_gelu(double x)
{
    return x / (1 + exp(-1.702 * x));
}

static double exact_relu(double x)
{
    return x > 0 ? x : 0;
}

void check_gelu(struct check *c)
{
    check_activation(c, "gelu", c->kernels->gelu, exact_gelu, 0x1p-21, 0);
}

void check_gelu_tanh(struct check *c)
{
    check_activation(c, "gelu_tanh", c->kernels->gelu_tanh, exact_gelu_tanh, 16 * CHECK_U, 0);
}

void check_quick_gelu(struct check *c)
{
    check_activation(c, "quick_gelu", c->kernels->quick_gelu, exact_quick_gelu, 16 * CHECK_U, 0);
}

void check_relu(struct check *c)
{
    check_activation(c, "relu", c->kernels->relu, exact_relu, 0, 0);
}

void check_tanh(struct check *c)
{
    check_activation(c, "tanh", c->kernels->tanh, tanh, 0, 8 * CHECK_U);
}

void check_softmax(struct check *c)
{
    for (int s = 1; s < N_SIZES; s++)
        for (int kind = 0; kind < 4; kind++) {
            static const float spread[] = {1, 20, 300, 0};
            int64_t n = sizes[s];
            CHECK_CASE(c, "softmax, n %lld, spread %g", (long long)n, (double)spread[kind]);
            float *x = check_floats(c, n), *old = check_floats(c, n);
            for (int64_t i = 0; i < n; i++)
                old[i] = x[i] = x[i] * spread[kind] + 50 * spread[kind];
            c->kernels->softmax(x, n);
            double peak = old[0], sum = 0;
            for (int64_t i = 0; i < n; i++)
                peak = fmax(peak, old[i]);
            for (int64_t i = 0; i < n; i++)
                sum += exp(old[i] - peak);
            for (int64_t i = 0; i < n; i++) {
                double exact = exp(old[i] - peak) / sum;
                check_near(c, i, x[i], exact, ((double)n + 16) * CHECK_U * exact + 0x1p-120);
            }
            guard_check(c->what);
            guard_release();
        }
}

void check_add(struct check *c)
{
    for (int s = 0; s < N_SIZES; s++) {
        int64_t n = sizes[s];
        CHECK_CASE(c, "add, n %lld", (long long)n);
        float *x = check_floats(c, n), *y = check_floats(c, n), *expected = check_floats(c, n);
        memcpy(expected, y, (size_t)n * sizeof *y);
        c->kernels->add(x, n, y);
        ct_add_scalar(x, n, expected);
        check_same(c, y, expected, (size_t)n * sizeof *y);
        guard_check(c->what);
        guard_release();
    }
}

static int8_t *take_i8(struct check *c, int64_t n)
{
    int8_t *x = guard_take((size_t)n);
    for (int64_t i = 0; i < n; i++)
        x[i] = (int8_t)(check_int(c, 0, 9) == 0 ? -128 : check_int(c, -128, 127));
    return x;
}

void check_dot_page_i8(struct check *c)
{
    for (int head_dim = 2; head_dim <= 130; head_dim += 2) {
        CHECK_CASE(c, "dot_page_i8, head_dim %d", head_dim);
        int32_t expected[CT_KV_PAGE], *dot = guard_take(sizeof expected);
        const int8_t *q = take_i8(c, head_dim), *k = take_i8(c, (int64_t)head_dim * CT_KV_PAGE);
        c->kernels->dot_page_i8(q, k, head_dim, dot);
        ct_dot_page_i8_scalar(q, k, head_dim, expected);
        check_same(c, dot, expected, sizeof expected);
        guard_check(c->what);
        guard_release();
    }
}

void check_add_rows_i8(struct check *c)
{
    for (int head_dim = 2; head_dim <= 130; head_dim += 2) {
        const int64_t n = check_int(c, 0, CT_KV_PAGE);
        CHECK_CASE(c, "add_rows_i8, head_dim %d, n %lld", head_dim, (long long)n);
        const size_t n_bytes = (size_t)head_dim * sizeof(int32_t);
        int32_t *sum = guard_take(n_bytes), *expected = guard_take(n_bytes);
        const int8_t *w = take_i8(c, n), *v = take_i8(c, n * head_dim);
        for (int d = 0; d < head_dim; d++)
            expected[d] = sum[d] = (int32_t)check_int(c, -100000, 100000);
        c->kernels->add_rows_i8(w, v, n, head_dim, sum);
        ct_add_rows_i8_scalar(w, v, n, head_dim, expected);
        check_same(c, sum, expected, n_bytes);
        guard_check(c->what);
        guard_release();
    }
}

void check_add_scaled(struct check *c)
{
    for (int s = 0; s < N_SIZES; s++) {
        int64_t n = sizes[s];
        CHECK_CASE(c, "add_scaled, n %lld", (long long)n);
        float *x = check_floats(c, n), *w = check_floats(c, n);
        float *y = check_floats(c, n), *old = check_floats(c, n);
        memcpy(old, y, (size_t)n * sizeof *y);
        c->kernels->add_scaled(x, w, n, y);
        for (int64_t i = 0; i < n; i++) {
            const double product = (double)x[i] * w[i];
            check_near(c, i, y[i], old[i] + product, 2 * CHECK_U * (fabs(old[i]) + fabs(product)));
        }
        guard_check(c->what);
        guard_release();
    }
}
