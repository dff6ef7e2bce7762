/* Sentence encoders against Hugging Face transformers in float32: vectors of the fixture in
 * tests/support/bert, alone and many in one step, and of all-MiniLM-L6-v2 and all-mpnet-base-v2 where they
 * are in the cache. In float mode the engine differs by the order of its sums and by keys and values kept in f16. */
#include "tests/support/cached_model.h"
#include "tests/support/reference.h"

#include <math.h>

#define FIXTURE CT_TEST_DIR "/support/bert"

static json_t *golden;

static int setup(void **state)
{
    (void)state;
    golden = reference_load("bert_vectors.json");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    json_decref(golden);
    return 0;
}

static double cosine(const float *vector, const json_t *expected)
{
    double dot = 0, square = 0, expected_square = 0;
    for (size_t i = 0; i < json_array_size(expected); i++) {
        double x = json_number_value(json_array_get(expected, i));
        dot += vector[i] * x;
        square += (double)vector[i] * vector[i];
        expected_square += x * x;
    }
    return dot / sqrt(square * expected_square);
}

/* The vector of each case alone; the smallest cosine is at least `least`. */
static void check_vectors(struct ct_engine *engine, const json_t *cases, double least)
{
    static int32_t ids[REFERENCE_MAX_TOK];
    const size_t width = (size_t)ct_engine_info(engine)->n_outputs;
    double lowest = 1;
    size_t i;
    const json_t *one;
    assert_true(ct_engine_info(engine)->is_encoder);
    json_array_foreach(cases, i, one)
    {
        const json_t *expected = json_object_get(one, "mean_unit");
        assert_int_equal(json_array_size(expected), width);
        const int n = reference_ids(json_object_get(one, "tokens"), ids);
        struct ct_slice slice = reference_read(engine, ids, n, 0, 1);
        const double found = cosine(slice.logits, expected);
        double square = 0;
        for (size_t j = 0; j < width; j++)
            square += (double)slice.logits[j] * slice.logits[j];
        if (!(found >= least) || !(fabs(square - 1) < 1e-5))
            fail_msg("case %zu, %d tokens: cosine %.8f, expected %.8f; length %.8f", i, n, found,
                     least, sqrt(square));
        lowest = fmin(lowest, found);
        ct_session_close(slice.session);
    }
    print_message("lowest cosine %.9f\n", lowest);
}

static void vectors_equal_the_reference(void **state)
{
    (void)state;
    struct ct_engine *engine = reference_engine(FIXTURE, CT_ACTIVATIONS_FLOAT, CT_KV_F16);
    check_vectors(engine, golden, 0.999999);
    ct_engine_close(engine);
}

static void clustered_vectors_are_near(void **state)
{
    (void)state;
    struct ct_engine *engine = reference_engine(CT_CLUSTERED_BERT, CT_ACTIVATIONS_INT8, CT_KV_F16);
    check_vectors(engine, golden, 0.995);
    ct_engine_close(engine);
}

/* All cases in one step, in both orders, have the bits that each has alone. */
static void check_packing(const char *path, enum ct_activations activations)
{
    enum { N = 8 };
    static int32_t ids[N][REFERENCE_MAX_TOK];
    static float alone[N][REFERENCE_MAX_TOK];
    struct ct_engine *engine = reference_engine(path, activations, CT_KV_F16);
    const size_t width = (size_t)ct_engine_info(engine)->n_outputs;
    struct ct_slice slices[N];
    assert_int_equal(json_array_size(golden), N);
    for (int i = 0; i < N; i++) {
        const json_t *tokens = json_object_get(json_array_get(golden, (size_t)i), "tokens");
        slices[i] = reference_read(engine, ids[i], reference_ids(tokens, ids[i]), 0, 1);
        memcpy(alone[i], slices[i].logits, width * sizeof(float));
        ct_session_close(slices[i].session);
    }
    for (int turn = 0; turn < 2; turn++) {
        for (int i = 0; i < N; i++)
            assert_int_equal(ct_session_open(engine, slices[i].n_tokens, &slices[i].session),
                             CT_OK);
        reference_step(engine, slices, N);
        for (int i = 0; i < N; i++) {
            const int own = turn == 0 ? i : N - 1 - i;
            assert_memory_equal(slices[i].logits, alone[own], width * sizeof(float));
            ct_session_close(slices[i].session);
        }
        for (int i = 0; i < N / 2; i++) {
            struct ct_slice one = slices[i];
            slices[i] = slices[N - 1 - i];
            slices[N - 1 - i] = one;
        }
    }
    ct_engine_close(engine);
}

static void packing_changes_no_bit(void **state)
{
    (void)state;
    check_packing(FIXTURE, CT_ACTIVATIONS_FLOAT);
    check_packing(CT_CLUSTERED_BERT, CT_ACTIVATIONS_INT8);
}

static void sequences_go_whole(void **state)
{
    (void)state;
    struct ct_engine *engine = reference_engine(FIXTURE, CT_ACTIVATIONS_FLOAT, CT_KV_F16);
    const int32_t ids[2] = {2, 3};
    struct ct_slice slice = {.tokens = ids, .n_tokens = 2, .n_logits = 2};
    struct ct_error err = {0};
    assert_int_equal(ct_session_open(engine, 2, &slice.session), CT_OK);
    assert_int_equal(ct_engine_step(engine, &slice, 1, &err), CT_INVALID);
    slice.n_tokens = slice.n_logits = 1;
    assert_int_equal(ct_engine_step(engine, &slice, 1, &err), CT_OK);
    assert_int_equal(ct_engine_step(engine, &slice, 1, &err), CT_INVALID);
    assert_non_null(strstr(err.message, "whole"));
    ct_session_close(slice.session);
    assert_int_equal(ct_session_open(engine, 81, &slice.session), CT_CONTEXT);
    ct_engine_close(engine);
}

static void a_profile_counts_the_whole_model(void **state)
{
    (void)state;
    enum { N = 7, N_LAYERS = 2, N_HEADS = 2 };
    struct ct_engine *engine = reference_engine(FIXTURE, CT_ACTIVATIONS_FLOAT, CT_KV_F16);
    struct ct_op_cost ops[CT_MAX_OP_COSTS];
    int n_ops;
    int64_t n_weights = 0, n_scores = 0;
    uint64_t ns = 0;
    assert_int_equal(ct_engine_profile(engine, 81, ops, &n_ops), CT_CONTEXT);
    assert_int_equal(ct_engine_profile(engine, N, ops, &n_ops), CT_OK);
    for (int i = 0; i < n_ops; i++) {
        n_weights += ops[i].n_weights;
        n_scores += ops[i].n_scores;
        ns += ops[i].ns;
        assert_true(ops[i].n_values > 0);
        assert_int_equal(ops[i].n_scores > 0, strcmp(ops[i].name, "ATTEND") == 0);
    }
    assert_int_equal(n_weights, ct_engine_info(engine)->n_parameters);
    assert_int_equal(n_scores, N_LAYERS * N_HEADS * N * N);
    assert_true(ns > 0);
    ct_engine_close(engine);
}

/* Of real models, from the text on. */
static void check_real(const char *name, const char *file)
{
    char path[512], weights[128];
    static int32_t expected[REFERENCE_MAX_TOK];
    snprintf(weights, sizeof weights, "%s/model.safetensors", name);
    if (!cached_model(weights, path))
        skip();
    cached_model(name, path);
    json_t *cases = reference_load(file);
    struct ct_engine *engine = reference_engine(path, CT_ACTIVATIONS_FLOAT, CT_KV_F16);
    size_t i;
    const json_t *one;
    json_array_foreach(cases, i, one)
    {
        const json_t *text = json_object_get(one, "text");
        const int n = reference_ids(json_object_get(one, "tokens"), expected);
        reference_check_tokens(engine, text, expected, n);
    }
    check_vectors(engine, cases, 0.99999);
    ct_engine_close(engine);
    json_decref(cases);
}

static void mini_lm_equals_the_reference(void **state)
{
    (void)state;
    check_real(CACHED_MINI_LM, "minilm_vectors.json");
}

static void mpnet_equals_the_reference(void **state)
{
    (void)state;
    check_real(CACHED_MPNET, "mpnet_vectors.json");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors_equal_the_reference),
        cmocka_unit_test(clustered_vectors_are_near),
        cmocka_unit_test(packing_changes_no_bit),
        cmocka_unit_test(sequences_go_whole),
        cmocka_unit_test(a_profile_counts_the_whole_model),
        cmocka_unit_test(mini_lm_equals_the_reference),
        cmocka_unit_test(mpnet_equals_the_reference),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
