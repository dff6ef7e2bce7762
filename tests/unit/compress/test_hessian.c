/* The Hessian is the sum of x^T x, its factor multiplies back to it, and neither depends on the
 * number of threads. */
#include "tests/support/unit.h"

#include "engine/base/rng.h"
#include "engine/compress/hessian.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { B = CT_HESSIAN_BLOCK, MAX_K = 200 };

/* Rows whose features go together, of very different sizes. */
static float *make_rows(int64_t n, int64_t k, int64_t ld, struct ct_rng *rng)
{
    float *x = malloc((size_t)(n * ld) * sizeof *x);
    assert_non_null(x);
    for (int64_t t = 0; t < n; t++)
        for (int64_t j = 0; j < ld; j++) {
            double own = ct_rng_uniform(rng) - 0.5;
            double size = j % 17 == 3 ? 30 : 1;
            x[t * ld + j] =
                j >= k ? NAN : (float)(size * (own + (j > 0 ? 0.9 * x[t * ld + j - 1] / 30 : 0)));
        }
    return x;
}

/* The sum of two parts of the rows. */
static struct ct_hessian make(const float *x, int64_t n, int64_t k, int64_t ld, int n_threads,
                              double damping)
{
    struct ct_hessian h;
    struct ct_pool *pool;
    assert_int_equal(ct_pool_open(n_threads, &pool), CT_OK);
    assert_int_equal(ct_hessian_init(&h, k), CT_OK);
    assert_int_equal(ct_hessian_add(&h, pool, x, ld, n / 3), CT_OK);
    assert_int_equal(ct_hessian_add(&h, pool, x + n / 3 * ld, ld, n - n / 3), CT_OK);
    assert_true(ct_hessian_finish(&h));
    if (damping > 0)
        assert_int_equal(ct_hessian_factor(&h, pool, damping), CT_OK);
    ct_pool_close(pool);
    return h;
}

static size_t n_bytes_of(const struct ct_hessian *h)
{
    return (size_t)(h->n_blocks * (h->n_blocks + 1) / 2) * B * B * sizeof(float);
}

/* F[c, j] of the factor, also inside the transposed blocks. */
static double factor_at(const struct ct_hessian *h, int64_t c, int64_t j)
{
    const int64_t i = c / B, ld = (i + 1) * B;
    const float *row = ct_hessian_block_row(h, i);
    if (j == c)
        return 1;
    if (j > c)
        return 0;
    return j / B == i ? row[j % B * ld + c] : row[c % B * ld + j];
}

static void sums_and_factor_are_right(void **state)
{
    (void)state;
    static const int64_t sizes[] = {1, 63, 64, 65, 130, MAX_K};
    static double exact[MAX_K][MAX_K];
    struct ct_rng rng;
    ct_rng_init(&rng, 31);
    print_message("seed 31\n");
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        const int64_t k = sizes[s], ld = k + 5, n = 3 * k + 7;
        const double damping = 0.01;
        float *x = make_rows(n, k, ld, &rng);
        double mean = 0;
        for (int64_t c = 0; c < k; c++)
            for (int64_t j = 0; j <= c; j++) {
                exact[c][j] = 0;
                for (int64_t t = 0; t < n; t++)
                    exact[c][j] += (double)x[t * ld + c] * x[t * ld + j];
                mean += c == j ? exact[c][c] / (double)k : 0;
            }
        struct ct_hessian sum = make(x, n, k, ld, 2, 0), f = make(x, n, k, ld, 2, damping);
        for (int64_t c = 0; c < k; c++)
            for (int64_t j = 0; j <= c; j++) {
                const float *row = ct_hessian_block_row(&sum, c / B);
                const double size = sqrt(exact[c][c] * exact[j][j]);
                assert_true(fabs(row[c % B * (c / B + 1) * B + j] - exact[c][j]) <= 1e-5 * size);
                double product = 0; /* F^T D F */
                for (int64_t l = c; l < k; l++)
                    product += factor_at(&f, l, c) * f.diagonal[l] * factor_at(&f, l, j);
                const double expected = exact[c][j] + (c == j ? damping * mean : 0);
                assert_true(fabs(product - expected) <= 1e-4 * (size + damping * mean));
            }
        for (int64_t c = 0; c < k; c++)
            assert_true(f.diagonal[c] >= 0.99 * damping * mean);
        ct_hessian_deinit(&sum);
        ct_hessian_deinit(&f);
        free(x);
    }
}

static void threads_change_no_bit(void **state)
{
    (void)state;
    enum { K = 193, N = 400 };
    struct ct_rng rng;
    ct_rng_init(&rng, 32);
    print_message("seed 32\n");
    float *x = make_rows(N, K, K, &rng);
    struct ct_hessian one = make(x, N, K, K, 1, 0.01);
    for (int n_threads = 2; n_threads <= 5; n_threads += 3) {
        struct ct_hessian many = make(x, N, K, K, n_threads, 0.01);
        assert_memory_equal(one.blocks, many.blocks, n_bytes_of(&one));
        assert_memory_equal(one.diagonal, many.diagonal, K * sizeof *one.diagonal);
        ct_hessian_deinit(&many);
    }
    ct_hessian_deinit(&one);
    free(x);
}

static void what_cannot_be_used_is_said(void **state)
{
    (void)state;
    float zeros[3 * 8] = {0}, x[3 * 8] = {1, 2, INFINITY};
    struct ct_pool *pool;
    struct ct_hessian h;
    assert_int_equal(ct_pool_open(1, &pool), CT_OK);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(ct_hessian_init(&h, 8), CT_OK);
        assert_int_equal(ct_hessian_add(&h, pool, i == 0 ? zeros : x, 8, 3), CT_OK);
        assert_false(ct_hessian_finish(&h));
        ct_hessian_deinit(&h);
    }
    ct_pool_close(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_and_factor_are_right),
        cmocka_unit_test(threads_change_no_bit),
        cmocka_unit_test(what_cannot_be_used_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
