/* A layer-wise run sees what the engine computes, whatever the number of threads, and what is
 * changed on the way is seen by what follows. */
#include "tests/support/unit.h"

#include "engine/base/rng.h"
#include "engine/engine.h"
#include "engine/graph/family.h"
#include "engine/runtime/layerwise.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_TOK = 70 };

static const char *const fixtures[] = {CT_TEST_DIR "/support/fixture",
                                       CT_TEST_DIR "/support/fixture/fixture.gguf"};
static const char vocabulary[] = "model.embed_tokens.weight"; /* tied */

struct opened {
    struct ct_pool *pool;
    struct ct_model_file *file;
    struct ct_layerwise *run;
};

static void make_tokens(int32_t *tokens, int n, int n_vocab)
{
    struct ct_rng rng;
    ct_rng_init(&rng, 41);
    for (int t = 0; t < n; t++)
        tokens[t] = (int32_t)ct_rng_below(&rng, (uint64_t)n_vocab);
}

static struct opened open_run(const char *path, int n_tok, int n_threads)
{
    struct opened o = {0};
    struct ct_error err = {0};
    assert_int_equal(ct_model_file_open(path, ct_family_foreign_names(), &o.file, &err), CT_OK);
    assert_int_equal(ct_pool_open(n_threads, &o.pool), CT_OK);
    int32_t *tokens = malloc((size_t)n_tok * sizeof *tokens);
    assert_non_null(tokens);
    make_tokens(tokens, n_tok, ct_model_file_hparams(o.file)->n_vocab);
    const struct ct_layerwise_text text = {.tokens = tokens, .n_tokens = n_tok, .window_tok = 512};
    if (ct_layerwise_open(o.file, &text, o.pool, &o.run, &err) != CT_OK)
        fail_msg("%s: %s", path, err.message);
    free(tokens);
    return o;
}

static void close_run(struct opened *o)
{
    ct_layerwise_close(o->run);
    ct_model_file_close(o->file);
    ct_pool_close(o->pool);
}

static const float *input_of(struct opened *o, const char *name, int64_t *n_rows)
{
    struct ct_error err = {0};
    if (ct_layerwise_seek(o->run, ct_layerwise_place(o->run, name), &err) != CT_OK)
        fail_msg("%s: %s", name, err.message);
    return ct_layerwise_input(o->run, n_rows);
}

static void the_last_product_makes_the_engines_logits(void **state)
{
    (void)state;
    for (int f = 0; f < 2; f++) {
        struct opened o = open_run(fixtures[f], N_TOK, 2);
        const struct ct_weight *table = ct_model_file_find(o.file, vocabulary);
        const int64_t V = table->tensor.shape[0], E = table->tensor.shape[1];
        int64_t n_rows;
        const float *x = input_of(&o, vocabulary, &n_rows);
        assert_int_equal(n_rows, N_TOK);
        assert_null(ct_layerwise_weight(o.run, vocabulary));

        int32_t tokens[N_TOK];
        make_tokens(tokens, N_TOK, (int)V);
        const struct ct_engine_options options = {
            .n_threads = 1, .max_step_logits = N_TOK, .activations = CT_ACTIVATIONS_FLOAT};
        struct ct_engine *engine;
        struct ct_error err = {0};
        assert_int_equal(ct_engine_open(fixtures[f], &options, &engine, &err), CT_OK);
        struct ct_slice slice = {.tokens = tokens, .n_tokens = N_TOK, .n_logits = N_TOK};
        assert_int_equal(ct_session_open(engine, N_TOK, &slice.session), CT_OK);
        assert_int_equal(ct_engine_step(engine, &slice, 1, &err), CT_OK);
        float *row = malloc((size_t)E * sizeof *row);
        assert_non_null(row);
        for (int64_t v = 0; v < V; v++) {
            ct_weight_row_f32(table, v, row);
            for (int64_t t = 0; t < N_TOK; t++) {
                double sum = 0, size = 0;
                for (int64_t j = 0; j < E; j++) {
                    sum += (double)row[j] * x[t * E + j];
                    size += fabs((double)row[j] * x[t * E + j]);
                }
                assert_true(fabs(sum - slice.logits[t * slice.ld_logits + v]) <= 1e-5 * size);
            }
        }
        free(row);
        ct_session_close(slice.session);
        ct_engine_close(engine);
        close_run(&o);
    }
}

/* 1100 tokens are two windows; every product is stopped at. */
static void threads_and_stops_change_no_bit(void **state)
{
    (void)state;
    static const char *const stops[] = {
        "model.layers.0.self_attn.v_proj.weight", "model.layers.0.self_attn.o_proj.weight",
        "model.layers.1.mlp.gate_proj.weight", "model.layers.1.mlp.down_proj.weight"};
    struct opened one = open_run(fixtures[0], 1100, 1), many = open_run(fixtures[0], 1100, 3);
    for (int i = 0; i < 4; i++) {
        int64_t n_rows;
        const float *x = input_of(&one, stops[i], &n_rows);
        const struct ct_weight *w = ct_model_file_find(one.file, stops[i]);
        assert_int_equal(n_rows % 2, 0);
        assert_true(n_rows <= 1100);
        assert_memory_equal(x, input_of(&many, stops[i], &n_rows),
                            (size_t)(n_rows * w->tensor.shape[1]) * sizeof *x);
    }
    close_run(&many);
    struct opened straight = open_run(fixtures[0], 1100, 2);
    int64_t n_rows;
    const float *x = input_of(&straight, stops[3], &n_rows);
    const int64_t k = ct_model_file_find(one.file, stops[3])->tensor.shape[1];
    assert_memory_equal(x, ct_layerwise_input(one.run, &n_rows), (size_t)(n_rows * k) * sizeof *x);
    close_run(&straight);
    close_run(&one);
}

/* With all that is added to the residual stream set to zero, the embeddings come out at the end. */
static void changed_weights_are_seen(void **state)
{
    (void)state;
    struct opened o = open_run(fixtures[0], N_TOK, 2);
    const struct ct_hparams *p = ct_model_file_hparams(o.file);
    int64_t n_rows;
    for (int i = 0; i < p->n_layers; i++)
        for (int j = 0; j < 2; j++) {
            char name[96];
            snprintf(name, sizeof name, "model.layers.%d.%s.weight", i,
                     j == 0 ? "self_attn.o_proj" : "mlp.down_proj");
            const struct ct_weight *weight = ct_model_file_find(o.file, name);
            input_of(&o, name, &n_rows);
            float *w = ct_layerwise_weight(o.run, name);
            assert_non_null(w);
            for (int64_t r = 0; r < weight->tensor.shape[0]; r++) {
                float row[4096];
                assert_true(weight->tensor.shape[1] <= 4096);
                ct_weight_row_f32(weight, r, row);
                assert_memory_equal(row, w + r * weight->tensor.shape[1],
                                    (size_t)weight->tensor.shape[1] * sizeof row[0]);
            }
            memset(w, 0, (size_t)ct_tensor_n_elements(&weight->tensor) * sizeof *w);
        }
    const float *x = input_of(&o, vocabulary, &n_rows);
    const struct ct_weight *table = ct_model_file_find(o.file, vocabulary);
    const struct ct_weight *norm = ct_model_file_find(o.file, "model.norm.weight");
    const int64_t E = p->d_model;
    float *row = malloc((size_t)E * sizeof *row), *gain = malloc((size_t)E * sizeof *gain);
    assert_non_null(row);
    assert_non_null(gain);
    ct_weight_row_f32(norm, 0, gain);
    int32_t tokens[N_TOK];
    make_tokens(tokens, N_TOK, p->n_vocab);
    for (int t = 0; t < N_TOK; t++) {
        double square = 0;
        ct_weight_row_f32(table, tokens[t], row);
        for (int64_t j = 0; j < E; j++)
            square += (double)row[j] * row[j];
        for (int64_t j = 0; j < E; j++) {
            double expected = row[j] * gain[j] / sqrt(square / (double)E + p->norm_eps);
            assert_true(fabs(x[t * E + j] - expected) <= 1e-5 * fabs(expected) + 1e-7);
        }
    }
    free(gain);
    free(row);
    close_run(&o);
}

static void it_only_goes_on(void **state)
{
    (void)state;
    struct opened o = open_run(fixtures[0], N_TOK, 1);
    struct ct_error err;
    int64_t n_rows;
    assert_int_equal(ct_layerwise_place(o.run, "model.norm.weight"), -1);
    assert_int_equal(ct_layerwise_place(o.run, "no.such.weight"), -1);
    const int first = ct_layerwise_place(o.run, "model.layers.0.self_attn.q_proj.weight");
    assert_int_equal(first, ct_layerwise_place(o.run, "model.layers.0.self_attn.k_proj.weight"));
    input_of(&o, "model.layers.0.mlp.up_proj.weight", &n_rows);
    assert_int_equal(ct_layerwise_seek(o.run, first, &err), CT_INTERNAL);
    close_run(&o);
}

/* What stands before a classifier, made of images, gives the labels that the engine does. */
static void images_go_through_as_in_a_step(void **state)
{
    (void)state;
    enum { N_IMAGES = 3, N_PIXELS = 3 * 16 * 16 };
    static const char path[] = CT_TEST_DIR "/support/vision/vit";
    static float images[N_IMAGES * N_PIXELS];
    struct opened o = {0};
    struct ct_error err = {0};
    struct ct_rng rng;
    ct_rng_init(&rng, 43);
    for (int i = 0; i < N_IMAGES * N_PIXELS; i++)
        images[i] = (float)(2 * ct_rng_uniform(&rng) - 1);
    assert_int_equal(ct_model_file_open(path, ct_family_foreign_names(), &o.file, &err), CT_OK);
    assert_int_equal(ct_pool_open(2, &o.pool), CT_OK);
    const struct ct_layerwise_text text = {.images = images, .n_images = N_IMAGES};
    assert_int_equal(ct_layerwise_open(o.file, &text, o.pool, &o.run, &err), CT_OK);
    int64_t n_rows;
    const float *x = input_of(&o, "classifier.weight", &n_rows);
    const struct ct_weight *weight = ct_model_file_find(o.file, "classifier.weight");
    const struct ct_weight *bias = ct_model_file_find(o.file, "classifier.bias");
    const int64_t E = weight->tensor.shape[1];
    assert_int_equal(n_rows, N_IMAGES * 17);

    const struct ct_engine_options options = {.n_threads = 1, .activations = CT_ACTIVATIONS_FLOAT};
    struct ct_engine *engine;
    assert_int_equal(ct_engine_open(path, &options, &engine, &err), CT_OK);
    float row[64], biases[16];
    ct_weight_row_f32(bias, 0, biases);
    for (int i = 0; i < N_IMAGES; i++) {
        struct ct_slice slice = {.pixels = images + i * N_PIXELS, .n_tokens = 17, .n_logits = 1};
        assert_int_equal(ct_session_open(engine, 17, &slice.session), CT_OK);
        assert_int_equal(ct_engine_step(engine, &slice, 1, &err), CT_OK);
        for (int64_t v = 0; v < weight->tensor.shape[0]; v++) {
            double sum = biases[v];
            ct_weight_row_f32(weight, v, row);
            for (int64_t j = 0; j < E; j++)
                sum += (double)row[j] * x[i * 17 * E + j];
            assert_true(fabs(sum - slice.logits[v]) < 1e-4);
        }
        ct_session_close(slice.session);
    }
    ct_engine_close(engine);
    close_run(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_product_makes_the_engines_logits),
        cmocka_unit_test(threads_and_stops_change_no_bit),
        cmocka_unit_test(changed_weights_are_seen),
        cmocka_unit_test(images_go_through_as_in_a_step),
        cmocka_unit_test(it_only_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
