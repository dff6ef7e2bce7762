/* Clustering matrices: what is decoded follows the formula, costs what was reported, and depends on
 * neither the number of threads nor, for kept blocks, on any rounding at all. */
#include "tests/support/unit.h"

#include "engine/base/f16.h"
#include "engine/base/rng.h"
#include "engine/compress/quantize.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A matrix in memory, and what encoding made of it. */
struct made {
    struct ct_weight weight;
    struct ct_plan plan;
    struct ct_encoded encoded;
    struct ct_codebook codebook;
    uint8_t *index;
    size_t n_index;
    struct ct_clustered view;
};

static double gauss(struct ct_rng *rng)
{
    double u = ct_rng_uniform(rng) + 0x1p-54, v = ct_rng_uniform(rng);
    return sqrt(-2 * log(u)) * cos(6.283185307179586 * v);
}

/* Rows of different sizes, a few far values, a row and a group of zeros. */
static float *make_rows(int64_t n, int64_t k, uint64_t seed)
{
    struct ct_rng rng;
    ct_rng_init(&rng, seed);
    float *w = malloc((size_t)(n * k) * sizeof *w);
    assert_non_null(w);
    for (int64_t i = 0; i < n; i++) {
        double size = 0.02 * exp(gauss(&rng));
        for (int64_t j = 0; j < k; j++) {
            bool is_far = ct_rng_below(&rng, 500) == 0;
            bool is_zero = i == 1 || (i == 2 && j < 64);
            w[i * k + j] = is_zero ? 0 : (float)(size * gauss(&rng) * (is_far ? 6 : 1));
        }
    }
    return w;
}

static struct ct_weight f32_weight(const float *w, int64_t n, int64_t k)
{
    return (struct ct_weight){.tensor = {.name = "test.weight",
                                         .dtype = CT_DTYPE_F32,
                                         .n_dims = 2,
                                         .shape = {n, k, 1, 1},
                                         .data = w,
                                         .n_bytes = (size_t)(n * k) * sizeof *w}};
}

static enum ct_status collect(void *context, const uint8_t *bytes, size_t n_bytes,
                              struct ct_error *err)
{
    struct made *made = context;
    (void)err;
    made->index = realloc(made->index, made->n_index + n_bytes + CT_CLUSTERED_SLACK);
    assert_non_null(made->index);
    memcpy(made->index + made->n_index, bytes, n_bytes);
    made->n_index += n_bytes;
    return CT_OK;
}

/* source: what is known of the inputs. */
static void make_from(struct made *made, const struct ct_quantize *options,
                      const struct ct_source *source, bool is_kept, int n_threads)
{
    const struct ct_weight *weight = source->weight;
    struct ct_pool *pool;
    struct ct_quantizer *quantizer;
    struct ct_error err;
    *made = (struct made){.weight = *weight};
    made->plan = is_kept ? ct_plan_kept(weight) : ct_plan_matrix(options, weight);
    bool has_shared = !is_kept && options->scope != CT_SCOPE_ROW;
    assert_int_equal(ct_pool_open(n_threads, &pool), CT_OK);
    assert_int_equal(ct_quantizer_open(options, made->plan.k, pool, &quantizer), CT_OK);
    if (has_shared)
        assert_int_equal(ct_quantizer_learn(quantizer, source, 1, &made->codebook, &err), CT_OK);
    assert_int_equal(ct_quantizer_encode(quantizer, &made->plan, source,
                                         has_shared ? &made->codebook : NULL, &made->encoded,
                                         collect, made, &err),
                     CT_OK);
    ct_quantizer_close(quantizer);
    ct_pool_close(pool);
    const struct ct_encoded *e = &made->encoded;
    made->view = ct_plan_view(&made->plan);
    made->view.index = made->index;
    made->view.scale = e->scale;
    made->view.offset = e->offset;
    made->view.codebook_i8 = made->plan.has_float_centroids ? NULL
                             : e->codebook_i8 != NULL       ? e->codebook_i8
                                                            : made->codebook.i8;
    made->view.codebook_f32 = !made->plan.has_float_centroids ? NULL
                              : e->codebook_f32 != NULL       ? e->codebook_f32
                                                              : made->codebook.f32;
    assert_int_equal(made->n_index, ct_clustered_index_bytes(&made->view));
}

static void make(struct made *made, const struct ct_quantize *options,
                 const struct ct_weight *weight, const float *importance, bool is_kept,
                 int n_threads)
{
    make_from(made, options, &(struct ct_source){.weight = weight, .importance = importance},
              is_kept, n_threads);
}

static void unmake(struct made *made)
{
    ct_encoded_deinit(&made->encoded);
    free(made->index);
}

/* The squared error by decoding every row. */
static double decoded_error(const struct made *made)
{
    int64_t k = made->plan.k;
    float *w = malloc((size_t)k * sizeof *w), *decoded = malloc((size_t)k * sizeof *decoded);
    double error = 0;
    assert_non_null(w);
    assert_non_null(decoded);
    for (int64_t i = 0; i < made->plan.n; i++) {
        ct_weight_row_f32(&made->weight, i, w);
        ct_clustered_row_f32(&made->view, i, decoded);
        for (int64_t j = 0; j < k; j++)
            error += ((double)w[j] - decoded[j]) * ((double)w[j] - decoded[j]);
    }
    free(decoded);
    free(w);
    return error;
}

static double relative_error(const struct made *made)
{
    return sqrt(made->encoded.sum_error / made->encoded.sum_square);
}

static void every_setting_decodes_to_what_it_reports(void **state)
{
    (void)state;
    enum { N = 37, K = 202 }; /* neither a multiple of a tile nor of a group */
    static const int groups[] = {CT_GROUP_NONE, CT_GROUP_ROW, 32, 64, 128};
    float *w = make_rows(N, K, 5);
    struct ct_weight weight = f32_weight(w, N, K);
    for (int scope = CT_SCOPE_TENSOR; scope <= CT_SCOPE_ROW; scope++)
        for (int g = 0; g < 5; g++)
            for (int is_float = 0; is_float < 2; is_float++)
                for (int has_offset = 0; has_offset < (groups[g] == CT_GROUP_NONE ? 1 : 2);
                     has_offset++)
                    for (int bits = 2; bits <= 8; bits += 3) {
                        struct ct_quantize options = {.bits = bits,
                                                      .scope = scope,
                                                      .group = groups[g],
                                                      .has_offset = has_offset,
                                                      .has_float_centroids = is_float};
                        struct made made;
                        make(&made, &options, &weight, NULL, false, 2);
                        double error = decoded_error(&made);
                        assert_true(fabs(error - made.encoded.sum_error) <= 1e-9 * error + 1e-18);
                        double limit = bits == 2 ? 0.75 : bits == 5 ? 0.22 : 0.12;
                        if (relative_error(&made) > limit)
                            print_message("scope %d group %d float %d offset %d bits %d: %g\n",
                                          scope, groups[g], is_float, has_offset, bits,
                                          relative_error(&made));
                        assert_true(relative_error(&made) <= limit);
                        unmake(&made);
                    }
    free(w);
}

/* With one codebook a row, 256 centroids and fewer columns than that, float weights come back
 * whole. */
static void enough_centroids_lose_nothing(void **state)
{
    (void)state;
    enum { N = 20, K = 100 };
    float *w = make_rows(N, K, 6);
    struct ct_weight weight = f32_weight(w, N, K);
    struct ct_quantize options = {
        .bits = 8, .scope = CT_SCOPE_ROW, .group = CT_GROUP_NONE, .has_float_centroids = true};
    struct made made;
    make(&made, &options, &weight, NULL, false, 1);
    assert_null(made.encoded.scale);
    /* Only values within one bin of 65,536 share a centroid. */
    assert_true(relative_error(&made) < 1e-4);
    unmake(&made);
    free(w);
}

static void threads_change_nothing(void **state)
{
    (void)state;
    enum { N = 130, K = 192 };
    float *w = make_rows(N, K, 7);
    struct ct_weight weight = f32_weight(w, N, K);
    for (int scope = CT_SCOPE_TENSOR; scope <= CT_SCOPE_ROW; scope++) {
        struct ct_quantize options = {.bits = 6, .scope = scope, .group = 64, .seed = 3};
        struct made one, many;
        make(&one, &options, &weight, NULL, false, 1);
        for (int n_threads = 2; n_threads <= 7; n_threads += 5) {
            make(&many, &options, &weight, NULL, false, n_threads);
            struct ct_clustered view = one.view;
            assert_memory_equal(one.index, many.index, one.n_index);
            assert_memory_equal(one.view.scale, many.view.scale, ct_clustered_scale_bytes(&view));
            assert_memory_equal(one.view.codebook_i8, many.view.codebook_i8,
                                (size_t)view.n_codebooks << 6);
            assert_true(one.encoded.sum_error == many.encoded.sum_error);
            unmake(&many);
        }
        unmake(&one);
    }
    free(w);
}

/* Shared int8 codebooks of 5 bits and more: magnitudes, then the same negated. */
static void the_top_bit_of_an_index_is_the_sign(void **state)
{
    (void)state;
    enum { N = 64, K = 512 };
    static const int groups[] = {CT_GROUP_NONE, CT_GROUP_ROW, 64};
    float *w = make_rows(N, K, 14);
    struct ct_weight weight = f32_weight(w, N, K);
    for (int bits = 2; bits <= 8; bits++)
        for (int g = 0; g < 3; g++)
            for (int method = CT_KMEANS_LLOYD; method <= CT_KMEANS_EXACT; method++) {
                struct ct_quantize options = {
                    .bits = bits, .group = groups[g], .method = method, .seed = 1};
                struct made made;
                make(&made, &options, &weight, NULL, false, 2);
                const int8_t *c = made.view.codebook_i8;
                const int half = 1 << (bits - 1);
                for (int i = 0; i < half && bits >= 5; i++) {
                    assert_true(c[i] >= 0 && (i == 0 || c[i] > c[i - 1]));
                    assert_int_equal(c[i + half], -c[i]);
                }
                for (int i = 1; i < 2 * half && bits < 5; i++)
                    assert_true(c[i] > c[i - 1]);
                unmake(&made);
            }
    free(w);
}

/* A shared int8 codebook of up to 64 clusters lies within -63..63 and uses all of it, where groups or
 * rows have scales; all others reach farther. */
static void few_clusters_are_small_integers(void **state)
{
    (void)state;
    enum { N = 64, K = 512 };
    float *w = make_rows(N, K, 16);
    struct ct_weight weight = f32_weight(w, N, K);
    for (int bits = 4; bits <= 8; bits++)
        for (int i = 0; i < 4; i++) {
            struct ct_quantize options = {.bits = bits,
                                          .group = i == 0   ? 64
                                                   : i == 1 ? CT_GROUP_ROW
                                                   : i == 2 ? CT_GROUP_NONE
                                                            : 64,
                                          .scope = i < 3 ? CT_SCOPE_TENSOR : CT_SCOPE_ROW,
                                          .seed = 1};
            struct made made;
            make(&made, &options, &weight, NULL, false, 2);
            int largest = 0;
            for (int64_t j = 0; j < made.view.n_codebooks << bits; j++)
                largest = abs(made.view.codebook_i8[j]) > largest ? abs(made.view.codebook_i8[j])
                                                                  : largest;
            print_message("%d bits, case %d: %d\n", bits, i, largest);
            if (bits <= 6 && i < 2)
                assert_in_range(largest, 50, 63);
            else
                assert_in_range(largest, 64, 127);
            unmake(&made);
        }
    free(w);
}

/* Fewer clusters than an index can tell apart are those of a narrower index. */
static void a_wide_index_changes_no_weight(void **state)
{
    (void)state;
    enum { N = 64, K = 512 };
    float *w = make_rows(N, K, 15);
    struct ct_weight weight = f32_weight(w, N, K);
    for (int bits = 3; bits <= 7; bits++)
        for (int is_float = 0; is_float < 2; is_float++) {
            struct made narrow, wide;
            struct ct_quantize options = {
                .bits = bits, .group = CT_GROUP_NONE, .has_float_centroids = is_float};
            if (!is_float && bits < 5) /* the wide one is symmetric, the narrow one is not */
                continue;
            make(&narrow, &options, &weight, NULL, false, 2);
            options.n_clusters = 1 << bits;
            options.bits = 8;
            make(&wide, &options, &weight, NULL, false, 2);
            assert_true(wide.encoded.sum_error == narrow.encoded.sum_error);
            assert_int_equal(wide.n_index, (size_t)N * K);
            unmake(&wide);
            unmake(&narrow);
        }
    free(w);
}

static void errors_fall_as_more_is_stored(void **state)
{
    (void)state;
    enum { N = 64, K = 512 };
    float *w = make_rows(N, K, 8);
    struct ct_weight weight = f32_weight(w, N, K);
    double before = 1;
    for (int bits = 2; bits <= 8; bits++) {
        struct made plain, offset;
        struct ct_quantize options = {.bits = bits, .group = 64};
        make(&plain, &options, &weight, NULL, false, 2);
        options.has_offset = true;
        make(&offset, &options, &weight, NULL, false, 2);
        print_message("bits %d: %.5f, with offset %.5f\n", bits, relative_error(&plain),
                      relative_error(&offset));
        assert_true(relative_error(&plain) < before);
        assert_true(relative_error(&offset) < relative_error(&plain));
        before = relative_error(&plain);
        unmake(&offset);
        unmake(&plain);
    }
    double by_group[4];
    static const int groups[] = {CT_GROUP_ROW, 128, 64, 32};
    for (int g = 0; g < 4; g++) {
        struct made made;
        make(&made, &(struct ct_quantize){.bits = 4, .group = groups[g]}, &weight, NULL, false, 2);
        by_group[g] = relative_error(&made);
        assert_true(g == 0 || by_group[g] < by_group[g - 1]);
        unmake(&made);
    }
    free(w);
}

/* The search must beat the plain recipe: scale by the extreme, nearest of 64 evenly spaced. */
static void the_fit_beats_the_plain_recipe(void **state)
{
    (void)state;
    enum { N = 64, K = 512 };
    float *w = make_rows(N, K, 9);
    struct ct_weight weight = f32_weight(w, N, K);
    struct made made;
    make(&made, &(struct ct_quantize){.bits = 6, .group = 64}, &weight, NULL, false, 2);
    double plain = 0;
    for (int64_t i = 0; i < N * K; i += 64) {
        double extreme = 0;
        for (int j = 0; j < 64; j++)
            extreme = fmax(extreme, fabs(w[i + j]));
        for (int j = 0; j < 64 && extreme > 0; j++) {
            double u = nearbyint(w[i + j] / extreme * 31) * extreme / 31;
            plain += (u - w[i + j]) * (u - w[i + j]);
        }
    }
    assert_true(made.encoded.sum_error < 0.8 * plain);
    unmake(&made);
    free(w);
}

static void importance_moves_the_error(void **state)
{
    (void)state;
    enum { N = 64, K = 256 };
    float *w = make_rows(N, K, 10), importance[K];
    struct ct_weight weight = f32_weight(w, N, K);
    for (int j = 0; j < K; j++)
        importance[j] = j % 64 < 8 ? 20.0f : 0.1f;
    struct made alike, weighted;
    struct ct_quantize options = {.bits = 3, .group = 64};
    make(&alike, &options, &weight, NULL, false, 2);
    make(&weighted, &options, &weight, importance, false, 2);
    double cost[2] = {0, 0};
    for (int64_t i = 0; i < N; i++) {
        float a[K], b[K];
        ct_clustered_row_f32(&alike.view, i, a);
        ct_clustered_row_f32(&weighted.view, i, b);
        for (int j = 0; j < K; j++) {
            cost[0] += importance[j] * pow(a[j] - w[i * K + j], 2);
            cost[1] += importance[j] * pow(b[j] - w[i * K + j], 2);
        }
    }
    assert_true(cost[1] < 0.8 * cost[0]);
    assert_true(weighted.encoded.sum_error > alike.encoded.sum_error);
    unmake(&weighted);
    unmake(&alike);
    free(w);
}

/* Inputs whose features go together, and the factored Hessian of them. */
static float *make_inputs(int64_t n, int64_t k, struct ct_hessian *hessian)
{
    struct ct_rng rng;
    ct_rng_init(&rng, 15);
    float *x = malloc((size_t)(n * k) * sizeof *x);
    assert_non_null(x);
    for (int64_t t = 0; t < n; t++) {
        double shared[4];
        for (int i = 0; i < 4; i++)
            shared[i] = gauss(&rng);
        for (int64_t j = 0; j < k; j++)
            x[t * k + j] = (float)(shared[j % 4] + 0.5 * gauss(&rng));
    }
    struct ct_pool *pool;
    assert_int_equal(ct_pool_open(2, &pool), CT_OK);
    assert_int_equal(ct_hessian_init(hessian, k), CT_OK);
    assert_int_equal(ct_hessian_add(hessian, pool, x, k, n), CT_OK);
    assert_true(ct_hessian_finish(hessian));
    assert_int_equal(ct_hessian_factor(hessian, pool, 0.01), CT_OK);
    ct_pool_close(pool);
    return x;
}

/* The squared error of the outputs for inputs x [n, k]. */
static double output_error(const struct made *made, const float *x, int64_t n)
{
    const int64_t k = made->plan.k;
    float *w = malloc((size_t)k * sizeof *w), *decoded = malloc((size_t)k * sizeof *decoded);
    double sum = 0;
    assert_non_null(w);
    assert_non_null(decoded);
    for (int64_t i = 0; i < made->plan.n; i++) {
        ct_weight_row_f32(&made->weight, i, w);
        ct_clustered_row_f32(&made->view, i, decoded);
        for (int64_t t = 0; t < n; t++) {
            double error = 0;
            for (int64_t j = 0; j < k; j++)
                error += ((double)decoded[j] - w[j]) * x[t * k + j];
            sum += error * error;
        }
    }
    free(decoded);
    free(w);
    return sum;
}

/* In every setting the outputs are nearer to the right ones than without feedback, decoded is what
 * readers see, and threads change nothing. */
static void feedback_lowers_the_error_of_outputs(void **state)
{
    (void)state;
    enum { N = 37, K = 202, N_INPUTS = 600 };
    static const int groups[] = {CT_GROUP_NONE, CT_GROUP_ROW, 32, 64, 128};
    float *w = make_rows(N, K, 16), *decoded = malloc(N * K * sizeof *decoded);
    struct ct_weight weight = f32_weight(w, N, K);
    struct ct_hessian hessian;
    float *x = make_inputs(N_INPUTS, K, &hessian);
    assert_non_null(decoded);
    for (int scope = CT_SCOPE_TENSOR; scope <= CT_SCOPE_ROW; scope += 2)
        for (int g = 0; g < 5; g++)
            for (int setting = 0; setting < 3; setting++) {
                struct ct_quantize options = {.bits = setting == 2 ? 6 : 4,
                                              .scope = scope,
                                              .group = groups[g],
                                              .has_offset = setting == 1 && g > 0,
                                              .has_float_centroids = setting == 1};
                struct made plain, fed_back, many;
                struct ct_source source = {
                    .weight = &weight, .hessian = &hessian, .decoded = decoded};
                make(&plain, &options, &weight, NULL, false, 2);
                make_from(&fed_back, &options, &source, false, 1);
                double ratio =
                    output_error(&fed_back, x, N_INPUTS) / output_error(&plain, x, N_INPUTS);
                print_message("scope %d group %3d setting %d: %.3f\n", scope, groups[g], setting,
                              ratio);
                assert_true(ratio < 0.6);
                for (int64_t i = 0; i < N; i++) {
                    float row[K];
                    ct_clustered_row_f32(&fed_back.view, i, row);
                    assert_memory_equal(row, decoded + i * K, sizeof row);
                }
                make_from(&many, &options, &source, false, 3);
                assert_memory_equal(many.index, fed_back.index, fed_back.n_index);
                unmake(&many);
                unmake(&fed_back);
                unmake(&plain);
            }
    ct_hessian_deinit(&hessian);
    free(decoded);
    free(x);
    free(w);
}

static void kept_blocks_are_bit_equal(void **state)
{
    (void)state;
    enum { N = 24, K = 96 };
    static const enum ct_dtype dtypes[] = {CT_DTYPE_Q4_0, CT_DTYPE_Q4_1, CT_DTYPE_Q8_0};
    struct ct_rng rng;
    ct_rng_init(&rng, 11);
    print_message("seed 11\n");
    for (int d = 0; d < 3; d++)
        for (int n_heads = 0; n_heads <= 2; n_heads += 2) {
            size_t block = (size_t)ct_dtype_block_bytes(dtypes[d]), n_bytes = N * K / 32 * block;
            uint8_t *data = malloc(n_bytes);
            assert_non_null(data);
            for (size_t i = 0; i < n_bytes; i++)
                data[i] = (uint8_t)ct_rng_next(&rng);
            for (size_t b = 0; b < n_bytes; b += block)
                for (int half = 0; half < (dtypes[d] == CT_DTYPE_Q4_1 ? 2 : 1); half++) {
                    uint16_t f16 = ct_f16_from_f32((float)gauss(&rng));
                    memcpy(data + b + 2 * half, &f16, 2);
                }
            struct ct_weight weight = f32_weight(NULL, N, K);
            weight.tensor.dtype = dtypes[d];
            weight.tensor.data = data;
            weight.tensor.n_bytes = n_bytes;
            weight.n_permuted_heads = n_heads;
            assert_true(ct_can_keep(&weight));
            struct made made;
            make(&made, &(struct ct_quantize){.bits = 6, .group = 64}, &weight, NULL, true, 2);
            assert_true(made.encoded.sum_error == 0 && made.encoded.sum_square > 0);
            for (int64_t i = 0; i < N; i++) {
                float expected[K], decoded[K];
                ct_weight_row_f32(&weight, i, expected);
                ct_clustered_row_f32(&made.view, i, decoded);
                for (int j = 0; j < K; j++)
                    assert_true(expected[j] == decoded[j]);
            }
            unmake(&made);
            free(data);
        }
}

static void a_value_that_is_not_finite_is_named(void **state)
{
    (void)state;
    enum { N = 40, K = 64 };
    float *w = make_rows(N, K, 12);
    w[33 * K + 5] = NAN;
    w[17 * K + 9] = INFINITY;
    struct ct_weight weight = f32_weight(w, N, K);
    struct ct_source source = {.weight = &weight};
    struct ct_pool *pool;
    assert_int_equal(ct_pool_open(3, &pool), CT_OK);
    for (int scope = CT_SCOPE_TENSOR; scope <= CT_SCOPE_ROW; scope += 2) {
        struct ct_quantize options = {.bits = 4, .scope = scope, .group = 64};
        struct ct_quantizer *quantizer;
        struct ct_codebook codebook;
        struct ct_encoded encoded = {0};
        struct made made = {0};
        struct ct_plan plan = ct_plan_matrix(&options, &weight);
        struct ct_error err;
        assert_int_equal(ct_quantizer_open(&options, K, pool, &quantizer), CT_OK);
        enum ct_status status = scope == CT_SCOPE_TENSOR
                                    ? ct_quantizer_learn(quantizer, &source, 1, &codebook, &err)
                                    : ct_quantizer_encode(quantizer, &plan, &source, NULL, &encoded,
                                                          collect, &made, &err);
        assert_int_equal(status, CT_FORMAT);
        assert_non_null(strstr(err.message, "test.weight"));
        assert_non_null(strstr(err.message, "row 17"));
        ct_encoded_deinit(&encoded);
        free(made.index);
        ct_quantizer_close(quantizer);
    }
    ct_pool_close(pool);
    free(w);
}

static void zeros_stay_zeros(void **state)
{
    (void)state;
    enum { N = 16, K = 64 };
    float w[N * K] = {0};
    struct ct_weight weight = f32_weight(w, N, K);
    for (int group = CT_GROUP_ROW; group <= CT_GROUP_NONE; group++)
        for (int is_float = 0; is_float < 2; is_float++) {
            struct made made;
            make(&made,
                 &(struct ct_quantize){.bits = 6, .group = group, .has_float_centroids = is_float},
                 &weight, NULL, false, 1);
            assert_true(decoded_error(&made) == 0);
            unmake(&made);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_setting_decodes_to_what_it_reports),
        cmocka_unit_test(enough_centroids_lose_nothing),
        cmocka_unit_test(threads_change_nothing),
        cmocka_unit_test(the_top_bit_of_an_index_is_the_sign),
        cmocka_unit_test(few_clusters_are_small_integers),
        cmocka_unit_test(a_wide_index_changes_no_weight),
        cmocka_unit_test(errors_fall_as_more_is_stored),
        cmocka_unit_test(the_fit_beats_the_plain_recipe),
        cmocka_unit_test(importance_moves_the_error),
        cmocka_unit_test(feedback_lowers_the_error_of_outputs),
        cmocka_unit_test(kept_blocks_are_bit_equal),
        cmocka_unit_test(a_value_that_is_not_finite_is_named),
        cmocka_unit_test(zeros_stay_zeros),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
