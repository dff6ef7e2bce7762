/* Checks of the integers of an accelerator's stores: every set has the specification's bits. That those
 * are the machine's is test_gemmini_ibert.c's to say. */
#include "tests/kernels/check.h"

#include "tests/support/guard.h"

#include <string.h>

static const int64_t sizes[] = {1,  2,  3,  7,  8,  9,  15,  16,  17,  31,  32,
                                33, 47, 63, 64, 65, 97, 127, 128, 129, 257, 1009};
enum { N_SIZES = sizeof sizes / sizeof *sizes, N_ROUNDS = 16 };

/* n integers within -size..size as floats, at the guard. */
static float *take_whole(struct check *c, int64_t n, int64_t size)
{
    float *x = guard_take((size_t)n * sizeof *x);
    for (int64_t i = 0; i < n; i++)
        x[i] = (float)check_int(c, -size, size);
    return x;
}

static float *take_copy(const float *x, int64_t n)
{
    float *copy = guard_take((size_t)n * sizeof *copy);
    return memcpy(copy, x, (size_t)n * sizeof *copy);
}

/* Tells the guard that a case is over. */
static void end_case(struct check *c)
{
    guard_check(c->what);
    guard_release();
}

void check_store_i8(struct check *c)
{
    for (int i = 0; i < N_SIZES * N_ROUNDS; i++) {
        const int64_t n = sizes[i % N_SIZES], size = (int64_t)1 << check_int(c, 1, 24);
        const bool has_bias = check_int(c, 0, 1) == 1;
        /* Halves are many with a power of two. */
        const float scale = i % 4 == 0   ? 0
                            : i % 4 == 1 ? 0.5F
                                         : check_float(c, -4, 4) / (float)size * 127;
        CHECK_CASE(c, "store_i8, n %lld, scale %g", (long long)n, (double)scale);
        float *x = take_whole(c, n, size), *expected = take_copy(x, n);
        const float *bias = has_bias ? take_whole(c, n, size) : NULL;
        ct_store_i8_scalar(expected, bias, n, scale);
        c->kernels->store_i8(x, bias, n, scale);
        check_same(c, x, expected, (size_t)n * sizeof *x);
        end_case(c);
    }
}

void check_igelu_i8(struct check *c)
{
    for (int i = 0; i < N_SIZES * N_ROUNDS; i++) {
        const int64_t n = sizes[i % N_SIZES];
        const int count = (int)check_int(c, 1, 127);
        const float unit = ldexpf(check_float(c, 0.5F, 1), (int)-check_int(c, 0, 12)),
                    scale = -unit * unit * unit * check_float(c, 0, 4);
        CHECK_CASE(c, "igelu_i8, n %lld, count %d, unit %g", (long long)n, count, (double)unit);
        float *x = take_whole(c, n, 128), *y = take_copy(x, n), *expected = take_copy(x, n);
        ct_igelu_i8_scalar(x, n, count, unit, scale, expected);
        c->kernels->igelu_i8(x, n, count, unit, scale, y);
        check_same(c, y, expected, (size_t)n * sizeof *y);
        c->kernels->igelu_i8(x, n, count, unit, scale, x);
        check_same(c, x, expected, (size_t)n * sizeof *x);
        end_case(c);
    }
}

void check_layernorm_i8(struct check *c)
{
    for (int i = 0; i < N_SIZES * N_ROUNDS; i++) {
        const int64_t n = sizes[i % N_SIZES];
        const float scale = check_float(c, 1, 60);
        CHECK_CASE(c, "layernorm_i8, n %lld, scale %g", (long long)n, (double)scale);
        /* The largest ones pass int32 in their squares. */
        float *x = take_whole(c, n, ((int64_t)1 << check_int(c, 0, 24)) - 1);
        float *y = take_copy(x, n), *expected = take_copy(x, n);
        ct_layernorm_i8_scalar(x, n, scale, expected);
        c->kernels->layernorm_i8(x, n, scale, y);
        check_same(c, y, expected, (size_t)n * sizeof *y);
        c->kernels->layernorm_i8(x, n, scale, x);
        check_same(c, x, expected, (size_t)n * sizeof *x);
        end_case(c);
    }
}

void check_softmax_i8(struct check *c)
{
    for (int i = 0; i < N_SIZES * N_ROUNDS; i++) {
        const int64_t n = sizes[i % N_SIZES], size = (int64_t)1 << check_int(c, 0, 24);
        const size_t n_bytes = (size_t)n * sizeof(int32_t);
        const float unit = ldexpf(check_float(c, 0.5F, 1), (int)-check_int(c, 0, 12));
        CHECK_CASE(c, "softmax_i8, n %lld, unit %g", (long long)n, (double)unit);
        int32_t *scores = guard_take(n_bytes), *copy = guard_take(n_bytes);
        int8_t *y = guard_take((size_t)n), *expected = guard_take((size_t)n);
        for (int64_t j = 0; j < n; j++)
            copy[j] = scores[j] = (int32_t)check_int(c, -size, size);
        ct_softmax_i8_scalar(copy, n, unit, expected);
        c->kernels->softmax_i8(scores, n, unit, y);
        check_same(c, y, expected, (size_t)n);
        end_case(c);
    }
}
