/* W8A8: products are sums of integers to the bit, however wide the matrix, and models stay what they
 * were. */
#include "engine/base/f16.h"
#include "engine/base/rng.h"
#include "engine/kernels/kernels.h"
#include "engine/runtime/w8a8.h"
#include "tests/support/reference.h"

#include <math.h>

enum { N = 33, M = 13 };

/* Rows of different sorts: noise, one large value, all the same, zeros, and very small. */
static float weight(struct ct_rng *rng, int64_t row, int64_t column)
{
    const float noise = (float)ct_rng_uniform(rng) - 0.5f;
    switch (row % 5) {
    case 0:
        return noise;
    case 1:
        return column == 0 ? 100 : noise;
    case 2:
        return -3;
    case 3:
        return 0;
    default:
        return noise * 1e-9f;
    }
}

static void check_products(const struct ct_clustered *w, struct ct_rng *rng)
{
    const int64_t k = w->k, ldq = (k + 63) & ~(int64_t)63, n_groups = (k + 31) / 32;
    int8_t *q = calloc((size_t)(M * ldq), 1);
    float *ones = malloc((size_t)(M * n_groups) * sizeof *ones);
    int32_t *sum = calloc((size_t)(M * n_groups), sizeof *sum);
    float y[M * N], token[M];
    assert_true(q != NULL && ones != NULL && sum != NULL);
    for (int64_t i = 0; i < M * n_groups; i++)
        ones[i] = 1;
    for (int t = 0; t < M; t++) {
        token[t] = (float)ct_rng_uniform(rng) * 0.1f;
        for (int64_t j = 0; j < k; j++) { /* the first with the largest sums that there are */
            q[t * ldq + j] = (int8_t)(t == 0 ? 127 : (int)(ct_rng_next(rng) % 255) - 127);
            sum[t * n_groups + j / 32] += q[t * ldq + j];
        }
    }
    const struct ct_linear job = {.n = N,
                                  .k = k,
                                  .bits = w->bits,
                                  .group = w->group,
                                  .index = w->index,
                                  .codebook_i8 = w->codebook_i8,
                                  .n_codebooks = 1,
                                  .scale = w->scale,
                                  .m = M,
                                  .x_i8 = {q, ones, sum, ldq, n_groups, false},
                                  .token_scale = token,
                                  .y = y,
                                  .ldy = N};
    ct_kernels()->linear_i8(&job, 0, (N + 15) / 16);
    for (int t = 0; t < M; t++)
        for (int64_t row = 0; row < N; row++) {
            int64_t exact = 0;
            for (int64_t j = 0; j < k; j++) {
                const uint8_t *tile =
                    w->index + (row / 16 * ct_clustered_tiles_k(w) + j / 4) * CT_TILE_INDICES;
                exact += q[t * ldq + j] * (tile[row % 16 * 4 + j % 4] - 128);
            }
            assert_true(llabs(exact) <= 1 << 24);
            const float scaled = (float)exact * ct_f16_to_f32(w->scale[row]);
            assert_true(y[t * N + row] == scaled * token[t]);
        }
    free(q);
    free(ones);
    free(sum);
}

static void products_are_integers(void **state)
{
    (void)state;
    struct ct_rng rng;
    struct ct_pool *pool;
    struct ct_error err = {0};
    ct_rng_init(&rng, 3);
    print_message("seed 3\n");
    assert_int_equal(ct_pool_open(2, &pool), CT_OK);
    for (int i = 0; i < 5; i++) {
        const int64_t k = (int64_t[]){1, 31, 64, 577, 9000}[i];
        float *dense = malloc((size_t)(N * k) * sizeof *dense);
        assert_non_null(dense);
        for (int64_t j = 0; j < N * k; j++)
            dense[j] = weight(&rng, j / k, j % k);
        struct ct_graph graph;
        ct_graph_init(&graph);
        const int in = ct_graph_value(&graph, k, CT_ROWS_TOKENS),
                  out = ct_graph_value(&graph, N, CT_ROWS_TOKENS);
        const int slot = ct_graph_slot(&graph, N, k, "w");
        ct_graph_node(
            &graph,
            (struct ct_node){
                .op = CT_OP_LINEAR, .in = in, .out = out, .weights = {slot, slot}, .n_weights = 2});
        struct ct_matrix matrix = {
            .kind = CT_MATRIX_DENSE, .n = N, .k = k, .dense = dense, .dense_type = CT_DTYPE_F32};
        void *owned[4];
        struct ct_binding binding = {.matrices = &matrix, .owned = owned};
        assert_int_equal(ct_w8a8_bind(&binding, &graph, pool, &err), CT_OK);
        assert_int_equal(binding.n_owned, 3);
        float *row = malloc((size_t)k * sizeof *row);
        assert_non_null(row);
        for (int64_t r = 0; r < N; r++) {
            ct_clustered_row_f32(&matrix.clustered, r, row);
            const float step = ct_f16_to_f32(matrix.clustered.scale[r]);
            for (int64_t j = 0; j < k; j++)
                assert_true(fabsf(row[j] - dense[r * k + j]) <= step * 0.501f);
        }
        check_products(&matrix.clustered, &rng);
        for (int b = 0; b < binding.n_owned; b++)
            free(owned[b]);
        free(row);
        free(dense);
        ct_graph_deinit(&graph);
    }
    ct_pool_close(pool);
}

static void a_row_too_large_is_named(void **state)
{
    (void)state;
    struct ct_pool *pool;
    struct ct_error err = {0};
    float dense[4] = {1, 2, 1e30f, 3};
    struct ct_graph graph;
    assert_int_equal(ct_pool_open(1, &pool), CT_OK);
    ct_graph_init(&graph);
    const int value = ct_graph_value(&graph, 2, CT_ROWS_TOKENS);
    const int slot = ct_graph_slot(&graph, 2, 2, "model.w");
    ct_graph_node(
        &graph,
        (struct ct_node){
            .op = CT_OP_LINEAR, .in = value, .out = value, .weights = {slot}, .n_weights = 1});
    struct ct_matrix matrix = {
        .kind = CT_MATRIX_DENSE, .n = 2, .k = 2, .dense = dense, .dense_type = CT_DTYPE_F32};
    void *owned[4];
    struct ct_binding binding = {.matrices = &matrix, .owned = owned};
    assert_int_equal(ct_w8a8_bind(&binding, &graph, pool, &err), CT_UNSUPPORTED);
    assert_non_null(strstr(err.message, "model.w"));
    for (int b = 0; b < binding.n_owned; b++)
        free(owned[b]);
    ct_graph_deinit(&graph);
    ct_pool_close(pool);
}

/* The last token's answer [n_outputs]; the caller frees it. */
static float *answer(const char *name, enum ct_activations activations, enum ct_kv_type kv,
                     int *n_outputs)
{
    char path[512];
    int32_t ids[70];
    snprintf(path, sizeof path, "%s/support/%s", CT_TEST_DIR, name);
    struct ct_engine *engine = reference_engine(path, activations, kv);
    for (int i = 0; i < 70; i++)
        ids[i] = 3 + i * 7 % 80;
    struct ct_slice slice = reference_read(engine, ids, 70, 0, 1);
    *n_outputs = ct_engine_info(engine)->n_outputs;
    float *out = malloc((size_t)*n_outputs * sizeof *out);
    assert_non_null(out);
    memcpy(out, slice.logits, (size_t)*n_outputs * sizeof *out);
    ct_session_close(slice.session);
    ct_engine_close(engine);
    return out;
}

/* Two pages of keys: a generator with shared KV heads, encoders of each kind, biases by distance. */
static void models_stay_what_they_were(void **state)
{
    (void)state;
    static const char *const names[] = {"fixture", "bert", "encoders/mpnet",
                                        "encoders/bert_classifier"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        for (int kv = CT_KV_F16; kv <= CT_KV_INT8; kv++) {
            int n;
            float *exact = answer(names[i], CT_ACTIVATIONS_FLOAT, CT_KV_F16, &n);
            float *found = answer(names[i], CT_ACTIVATIONS_W8A8, (enum ct_kv_type)kv, &n);
            double error = 0, size = 0;
            for (int j = 0; j < n; j++) {
                error += (found[j] - exact[j]) * (double)(found[j] - exact[j]);
                size += exact[j] * (double)exact[j];
            }
            print_message("%s, keys and values in %s: error %.4f\n", names[i],
                          kv == CT_KV_F16 ? "f16" : "int8", sqrt(error / size));
            assert_true(sqrt(error / size) < 0.06);
            assert_true(error > 0);
            free(exact);
            free(found);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_are_integers),
        cmocka_unit_test(a_row_too_large_is_named),
        cmocka_unit_test(models_stay_what_they_were),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
