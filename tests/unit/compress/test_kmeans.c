/* One-dimensional K-means: against brute force, against another implementation's optimum, and
 * against itself where one method must not be worse than another. */
#include "tests/support/unit.h"

#include "engine/base/rng.h"
#include "engine/compress/histogram.h"
#include "engine/compress/kmeans.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_POINTS = 4096 };

static double gauss(struct ct_rng *rng)
{
    double u = ct_rng_uniform(rng) + 0x1p-54, v = ct_rng_uniform(rng);
    return sqrt(-2 * log(u)) * cos(6.283185307179586 * v);
}

static void make_points(struct ct_points *p, const float *x, const float *weights, int n)
{
    struct ct_point_key *scratch = malloc(2 * (size_t)n * sizeof *scratch);
    float low = x[0], high = x[0];
    for (int i = 0; i < n; i++) {
        low = x[i] < low ? x[i] : low;
        high = x[i] > high ? x[i] : high;
    }
    assert_non_null(scratch);
    assert_int_equal(ct_points_init(p, n), CT_OK);
    ct_points_from_values(p, x, weights, n, low, high + 1e-3, scratch);
    free(scratch);
}

static void random_points(struct ct_points *p, struct ct_rng *rng, int n, double spread)
{
    float x[MAX_POINTS], w[MAX_POINTS];
    for (int i = 0; i < n; i++) {
        x[i] = (float)(gauss(rng) * spread);
        w[i] = (float)(0.1 + ct_rng_uniform(rng));
    }
    make_points(p, x, w, n);
}

/* The cost of the best k intervals, by trying every last interval of every prefix. */
static double brute_force_cost(const struct ct_points *p, int k)
{
    double before[64], now[64];
    assert_true(p->n < 64);
    for (int j = 0; j <= p->n; j++)
        before[j] = j == 0 ? 0 : INFINITY;
    for (int m = 0; m < k; m++) {
        for (int j = 0; j <= p->n; j++) {
            now[j] = INFINITY;
            for (int i = 0; i < j; i++) {
                double mean = 0, weight = 0, cost = 0;
                for (int t = i; t < j; t++) {
                    mean += (p->w[t + 1] - p->w[t]) * p->x[t];
                    weight += p->w[t + 1] - p->w[t];
                }
                mean /= weight;
                for (int t = i; t < j; t++)
                    cost += (p->w[t + 1] - p->w[t]) * (p->x[t] - mean) * (p->x[t] - mean);
                if (before[i] + cost < now[j])
                    now[j] = before[i] + cost;
            }
        }
        memcpy(before, now, sizeof before);
    }
    return before[p->n];
}

static void exact_equals_brute_force(void **state)
{
    (void)state;
    uint64_t seed = 7;
    print_message("seed %llu\n", (unsigned long long)seed);
    struct ct_rng rng;
    ct_rng_init(&rng, seed);
    for (int round = 0; round < 60; round++) {
        struct ct_points p;
        random_points(&p, &rng, 5 + (int)ct_rng_below(&rng, 55), 3);
        int k = 1 + (int)ct_rng_below(&rng, 9);
        if (k < p.n) {
            double c[CT_MAX_CLUSTERS];
            struct ct_kmeans options = {.n_clusters = k, .method = CT_KMEANS_EXACT};
            assert_int_equal(ct_kmeans_solve(&p, &options, c), CT_OK);
            double best = brute_force_cost(&p, k);
            assert_true(fabs(ct_kmeans_cost(&p, c, k) - best) <= 1e-9 * (p.wxx + 1));
        }
        ct_points_deinit(&p);
    }
}

static void exact_is_never_worse_than_lloyd(void **state)
{
    (void)state;
    struct ct_rng rng;
    ct_rng_init(&rng, 11);
    print_message("seed 11\n");
    for (int k = 4; k <= 256; k *= 2) {
        struct ct_points p;
        random_points(&p, &rng, MAX_POINTS, 1);
        double lloyd[CT_MAX_CLUSTERS], exact[CT_MAX_CLUSTERS];
        struct ct_kmeans options = {.n_clusters = k, .n_starts = 3, .seed = 1};
        assert_int_equal(ct_kmeans_solve(&p, &options, lloyd), CT_OK);
        options.method = CT_KMEANS_EXACT;
        assert_int_equal(ct_kmeans_solve(&p, &options, exact), CT_OK);
        double lloyd_cost = ct_kmeans_cost(&p, lloyd, k), exact_cost = ct_kmeans_cost(&p, exact, k);
        print_message("K %3d: lloyd %.6g, exact %.6g\n", k, lloyd_cost, exact_cost);
        assert_true(exact_cost <= lloyd_cost * (1 + 1e-12));
        assert_true(lloyd_cost <= exact_cost * 1.2);
        ct_points_deinit(&p);
    }
}

static void equals_another_implementation(void **state)
{
    (void)state;
    FILE *file = fopen(CT_TEST_DIR "/golden/kmeans.txt", "r");
    assert_non_null(file);
    int k, n, n_cases = 0;
    while (fscanf(file, "%d %d", &k, &n) == 2) {
        float x[MAX_POINTS], w[MAX_POINTS];
        double expected[CT_MAX_CLUSTERS], c[CT_MAX_CLUSTERS];
        for (int i = 0; i < n; i++)
            assert_int_equal(fscanf(file, "%f %f", &x[i], &w[i]), 2);
        for (int i = 0; i < k; i++)
            assert_int_equal(fscanf(file, "%lf", &expected[i]), 1);
        struct ct_points p;
        make_points(&p, x, w, n);
        struct ct_kmeans options = {.n_clusters = k, .method = CT_KMEANS_EXACT};
        assert_int_equal(ct_kmeans_solve(&p, &options, c), CT_OK);
        assert_true(fabs(ct_kmeans_cost(&p, c, k) - ct_kmeans_cost(&p, expected, k)) <=
                    1e-6 * p.wxx);
        for (int i = 0; i < k; i++)
            assert_true(fabs(c[i] - expected[i]) <= 1e-3);
        ct_points_deinit(&p);
        n_cases++;
    }
    assert_int_equal(n_cases, 5);
    fclose(file);
}

static double cost_i8(const struct ct_points *p, const int8_t *c, int k)
{
    double wide[CT_MAX_CLUSTERS];
    for (int i = 0; i < k; i++)
        wide[i] = c[i];
    return ct_kmeans_cost(p, wide, k);
}

static void integers_are_the_best_integers(void **state)
{
    (void)state;
    struct ct_rng rng;
    ct_rng_init(&rng, 13);
    print_message("seed 13\n");
    for (int round = 0; round < 8; round++) {
        struct ct_points p;
        random_points(&p, &rng, 12, 40);
        double best[2] = {INFINITY, INFINITY};
        for (int a = -127; a <= 127; a++)
            for (int b = a + 1; b <= 127; b++) {
                double two = cost_i8(&p, (int8_t[]){(int8_t)a, (int8_t)b}, 2);
                best[0] = two < best[0] ? two : best[0];
                for (int c = b + 1; c <= 127 && round < 2; c++) {
                    int8_t places[] = {(int8_t)a, (int8_t)b, (int8_t)c};
                    double three = cost_i8(&p, places, 3);
                    best[1] = three < best[1] ? three : best[1];
                }
            }
        for (int k = 2; k <= (round < 2 ? 3 : 2); k++) {
            int8_t c[CT_MAX_CLUSTERS];
            struct ct_kmeans options = {.n_clusters = k, .method = CT_KMEANS_EXACT, .largest = 127};
            assert_int_equal(ct_kmeans_solve_i8(&p, &options, c), CT_OK);
            assert_true(fabs(cost_i8(&p, c, k) - best[k - 2]) <= 1e-9 * p.wxx);
        }
        ct_points_deinit(&p);
    }
}

/* Among 0..127, the best places of all. */
static void magnitudes_are_the_best_magnitudes(void **state)
{
    (void)state;
    struct ct_rng rng;
    ct_rng_init(&rng, 29);
    print_message("seed 29\n");
    for (int round = 0; round < 8; round++) {
        float x[24];
        struct ct_points p;
        for (int i = 0; i < 24; i++)
            x[i] = (float)(140 * ct_rng_uniform(&rng));
        make_points(&p, x, NULL, 24);
        double best = INFINITY;
        for (int a = 0; a <= 127; a++)
            for (int b = a + 1; b <= 127; b++)
                best = fmin(best, cost_i8(&p, (int8_t[]){(int8_t)a, (int8_t)b}, 2));
        int8_t c[CT_MAX_CLUSTERS];
        struct ct_kmeans options = {.n_clusters = 2,
                                    .method = CT_KMEANS_EXACT,
                                    .n_starts = 1,
                                    .largest = 127,
                                    .has_magnitudes = true};
        assert_int_equal(ct_kmeans_solve_i8(&p, &options, c), CT_OK);
        assert_true(fabs(cost_i8(&p, c, 2) - best) <= 1e-9 * p.wxx);
        for (int method = CT_KMEANS_LLOYD; method <= CT_KMEANS_EXACT; method++)
            for (int k = 16; k <= 128; k *= 2) {
                options.method = method;
                options.n_clusters = k;
                assert_int_equal(ct_kmeans_solve_i8(&p, &options, c), CT_OK);
                assert_true(c[0] >= 0);
                for (int i = 1; i < k; i++)
                    assert_true(c[i] > c[i - 1]);
            }
        ct_points_deinit(&p);
    }
}

static void integers_near_lloyd_are_close_to_the_best(void **state)
{
    (void)state;
    struct ct_rng rng;
    ct_rng_init(&rng, 17);
    print_message("seed 17\n");
    for (int k = 4; k <= 256; k *= 2) {
        struct ct_points p;
        random_points(&p, &rng, MAX_POINTS, 40);
        const int largest = k == 64 ? 63 : 127;
        int8_t near[CT_MAX_CLUSTERS], best[CT_MAX_CLUSTERS];
        struct ct_kmeans options = {.n_clusters = k, .n_starts = 3, .seed = 1, .largest = largest};
        assert_int_equal(ct_kmeans_solve_i8(&p, &options, near), CT_OK);
        options.method = CT_KMEANS_EXACT;
        assert_int_equal(ct_kmeans_solve_i8(&p, &options, best), CT_OK);
        for (int i = 1; i < k; i++) {
            assert_true(near[i] > near[i - 1] || (k == 256 && i == 255));
            assert_true(best[i] > best[i - 1] || (k == 256 && i == 255));
        }
        assert_true(near[0] >= -largest && best[0] >= -largest);
        assert_true(near[k - 1] <= largest && best[k - 1] <= largest);
        print_message("K %3d: near %.6g, best %.6g\n", k, cost_i8(&p, near, k),
                      cost_i8(&p, best, k));
        assert_true(cost_i8(&p, best, k) <= cost_i8(&p, near, k) * (1 + 1e-12));
        assert_true(cost_i8(&p, near, k) <= cost_i8(&p, best, k) * 1.05);
        ct_points_deinit(&p);
    }
}

static void degenerate_points_are_fine(void **state)
{
    (void)state;
    double c[CT_MAX_CLUSTERS];
    int8_t c8[CT_MAX_CLUSTERS];
    for (int method = CT_KMEANS_LLOYD; method <= CT_KMEANS_EXACT; method++) {
        struct ct_kmeans options = {
            .n_clusters = 64, .method = method, .n_starts = 2, .largest = 127};
        struct ct_points p;
        make_points(&p, (float[]){1, 1, 1, 2}, NULL, 4);
        assert_int_equal(p.n, 2);
        assert_int_equal(ct_kmeans_solve(&p, &options, c), CT_OK);
        assert_true(c[0] == 1 && c[1] == 2 && c[63] == 2);
        assert_int_equal(ct_kmeans_solve_i8(&p, &options, c8), CT_OK);
        assert_true(cost_i8(&p, c8, 64) == 0);
        ct_points_deinit(&p);

        make_points(&p, (float[]){5}, (float[]){0}, 1);
        assert_int_equal(p.n, 0);
        assert_int_equal(ct_kmeans_solve(&p, &options, c), CT_OK);
        assert_true(c[0] == 0 && c[63] == 0);
        assert_int_equal(ct_kmeans_solve_i8(&p, &options, c8), CT_OK);
        for (int i = 1; i < 64; i++)
            assert_true(c8[i] > c8[i - 1]);
        ct_points_deinit(&p);
    }
}

static void more_clusters_cost_less(void **state)
{
    (void)state;
    struct ct_rng rng;
    ct_rng_init(&rng, 19);
    print_message("seed 19\n");
    struct ct_points p;
    random_points(&p, &rng, MAX_POINTS, 30);
    double before = INFINITY, before_i8 = INFINITY;
    for (int k = 1; k <= 256; k *= 2) {
        double c[CT_MAX_CLUSTERS];
        int8_t c8[CT_MAX_CLUSTERS];
        struct ct_kmeans options = {.n_clusters = k, .n_starts = 1, .largest = 127};
        assert_int_equal(ct_kmeans_solve(&p, &options, c), CT_OK);
        assert_int_equal(ct_kmeans_solve_i8(&p, &options, c8), CT_OK);
        double cost = ct_kmeans_cost(&p, c, k), cost8 = cost_i8(&p, c8, k);
        assert_true(cost < before && cost8 < before_i8);
        before = cost;
        before_i8 = cost8;
    }
    ct_points_deinit(&p);
}

/* Any order and any division of the values among histograms gives the same points, bit for bit. */
static void histogram_sums_in_any_order(void **state)
{
    (void)state;
    enum { N = 20000 };
    struct ct_rng rng;
    ct_rng_init(&rng, 23);
    print_message("seed 23\n");
    struct ct_histogram h[3];
    struct ct_points points[2];
    for (int i = 0; i < 3; i++) {
        assert_int_equal(ct_histogram_init(&h[i]), CT_OK);
        ct_histogram_reset(&h[i], -8, 8, 2);
    }
    double *x = malloc(N * sizeof *x), sum = 0, weights = 0;
    assert_non_null(x);
    for (int i = 0; i < N; i++) {
        x[i] = gauss(&rng);
        double w = 1 + sin(x[i]);
        ct_histogram_add(&h[0], x[i], w);
        sum += w * x[i];
        weights += w;
    }
    for (int i = N - 1; i >= 0; i--)
        ct_histogram_add(&h[1 + i % 2], x[i], 1 + sin(x[i]));
    ct_histogram_merge(&h[1], &h[2]);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(ct_points_init(&points[i], CT_HISTOGRAM_BINS), CT_OK);
        ct_points_from_histogram(&points[i], &h[i]);
    }
    int n = points[0].n;
    assert_int_equal(n, points[1].n);
    assert_memory_equal(points[0].x, points[1].x, (size_t)n * sizeof(double));
    assert_memory_equal(points[0].w, points[1].w, (size_t)(n + 1) * sizeof(double));
    assert_true(fabs(points[0].w[n] - weights) < 1e-6 * weights);
    assert_true(fabs(points[0].wx[n] - sum) < 1e-6 * weights);
    for (int i = 0; i < 2; i++)
        ct_points_deinit(&points[i]);
    for (int i = 0; i < 3; i++)
        ct_histogram_deinit(&h[i]);
    free(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exact_equals_brute_force),
        cmocka_unit_test(exact_is_never_worse_than_lloyd),
        cmocka_unit_test(equals_another_implementation),
        cmocka_unit_test(integers_are_the_best_integers),
        cmocka_unit_test(magnitudes_are_the_best_magnitudes),
        cmocka_unit_test(integers_near_lloyd_are_close_to_the_best),
        cmocka_unit_test(degenerate_points_are_fine),
        cmocka_unit_test(more_clusters_cost_less),
        cmocka_unit_test(histogram_sums_in_any_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
