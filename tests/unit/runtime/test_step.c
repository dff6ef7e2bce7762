/* Steps: a row's result is the same bits in any batch, chunking and number of threads; the step
 * loop allocates nothing; wrong slices are refused and change nothing. */
#include "tests/support/allocations.h"
#include "tests/support/unit.h"

#include "engine/base/rng.h"
#include "engine/engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_TEXTS = 6, MAX_TOK = 150 };

struct text {
    int n;
    int32_t tokens[MAX_TOK];
    float *logits; /* [n, n_vocab]: of every position, computed alone */
};

static const struct {
    const char *name, *path;
    enum ct_activations activations;
    enum ct_kv_type kv;
} models[] = {
    {"float weights", CT_TEST_DIR "/support/fixture", CT_ACTIVATIONS_INT8, CT_KV_F16},
    {"clustered, int8", CT_CLUSTERED_FIXTURE, CT_ACTIVATIONS_INT8, CT_KV_F16},
    {"clustered, float", CT_CLUSTERED_FIXTURE, CT_ACTIVATIONS_FLOAT, CT_KV_F16},
    {"clustered qwen2, int8", CT_CLUSTERED_QWEN2, CT_ACTIVATIONS_INT8, CT_KV_F16},
    {"clustered, all int8", CT_CLUSTERED_FIXTURE, CT_ACTIVATIONS_INT8, CT_KV_INT8},
    {"float weights, W8A8", CT_TEST_DIR "/support/fixture", CT_ACTIVATIONS_W8A8, CT_KV_F16},
    {"clustered, W8A8", CT_CLUSTERED_FIXTURE, CT_ACTIVATIONS_W8A8, CT_KV_INT8},
};

static struct ct_engine *open_engine(int model, int n_threads)
{
    const struct ct_engine_options options = {.n_threads = n_threads,
                                              .max_sessions = N_TEXTS,
                                              .max_step_tok = 192,
                                              .max_step_logits = 192,
                                              .activations = models[model].activations,
                                              .kv = models[model].kv};
    struct ct_engine *engine = NULL;
    struct ct_error err = {0};
    if (ct_engine_open(models[model].path, &options, &engine, &err) != CT_OK)
        fail_msg("%s: %s", models[model].path, err.message);
    return engine;
}

static struct ct_session *open_session(struct ct_engine *engine, int n_tok)
{
    struct ct_session *session = NULL;
    assert_int_equal(ct_session_open(engine, n_tok, &session), CT_OK);
    return session;
}

static void step(struct ct_engine *engine, struct ct_slice *slices, int n)
{
    struct ct_error err = {0};
    if (ct_engine_step(engine, slices, n, &err) != CT_OK)
        fail_msg("step: %s", err.message);
}

static void make_texts(struct text *texts, int n_vocab, uint64_t seed)
{
    struct ct_rng rng;
    ct_rng_init(&rng, seed);
    for (int i = 0; i < N_TEXTS; i++) {
        texts[i].n = 1 + (int)ct_rng_below(&rng, MAX_TOK);
        for (int t = 0; t < texts[i].n; t++)
            texts[i].tokens[t] = (int32_t)ct_rng_below(&rng, (uint64_t)n_vocab);
        texts[i].logits = malloc((size_t)(texts[i].n * n_vocab) * sizeof(float));
    }
}

static void run_alone(struct ct_engine *engine, struct text *texts)
{
    const int V = ct_engine_info(engine)->n_vocab;
    for (int i = 0; i < N_TEXTS; i++) {
        struct text *text = &texts[i];
        struct ct_slice slice = {.session = open_session(engine, text->n),
                                 .tokens = text->tokens,
                                 .n_tokens = text->n,
                                 .n_logits = text->n};
        step(engine, &slice, 1);
        for (int t = 0; t < text->n; t++)
            memcpy(text->logits + t * V, slice.logits + t * slice.ld_logits,
                   (size_t)V * sizeof(float));
        ct_session_close(slice.session);
    }
}

/* All texts at once, in steps of random slices, until each has been read; every logit is compared.
 */
static void run_together(struct ct_engine *engine, const struct text *texts, struct ct_rng *rng)
{
    const int V = ct_engine_info(engine)->n_vocab;
    struct ct_session *sessions[N_TEXTS];
    for (int i = 0; i < N_TEXTS; i++)
        sessions[i] = open_session(engine, texts[i].n);
    for (int n_left = N_TEXTS; n_left > 0;) {
        struct ct_slice slices[N_TEXTS];
        int which[N_TEXTS], n = 0, room = 192;
        for (int i = 0; i < N_TEXTS; i++) {
            int done = ct_session_n_tok(sessions[i]), left = texts[i].n - done;
            if (left == 0 || ct_rng_below(rng, 3) == 0)
                continue;
            int most = left < room ? left : room;
            int n_tok = ct_rng_below(rng, 2) == 0 ? 1 : 1 + (int)ct_rng_below(rng, (uint64_t)most);
            if (room < 1)
                break;
            room -= n_tok;
            which[n] = i;
            slices[n++] =
                (struct ct_slice){.session = sessions[i],
                                  .tokens = texts[i].tokens + done,
                                  .n_tokens = n_tok,
                                  .n_logits = (int)ct_rng_below(rng, (uint64_t)n_tok + 1)};
        }
        int before = ct_n_allocations();
        step(engine, slices, n);
        assert_int_equal(ct_n_allocations(), before);
        for (int s = 0; s < n; s++) {
            const struct text *text = &texts[which[s]];
            int end = ct_session_n_tok(slices[s].session);
            for (int t = 0; t < slices[s].n_logits; t++)
                assert_memory_equal(slices[s].logits + t * slices[s].ld_logits,
                                    text->logits + (end - slices[s].n_logits + t) * V,
                                    (size_t)V * sizeof(float));
            n_left -= end == text->n;
        }
    }
    for (int i = 0; i < N_TEXTS; i++)
        ct_session_close(sessions[i]);
}

static void rows_are_the_same_bits_in_any_batch(void **state)
{
    (void)state;
    const uint64_t seed = 2026;
    printf("seed %d\n", (int)seed);
    for (size_t model = 0; model < sizeof models / sizeof models[0]; model++) {
        struct text texts[N_TEXTS];
        struct ct_engine *engine = open_engine((int)model, 1);
        make_texts(texts, ct_engine_info(engine)->n_vocab, seed);
        run_alone(engine, texts);
        ct_engine_close(engine);
        for (int n_threads = 1; n_threads <= 3; n_threads++) {
            struct ct_rng rng;
            ct_rng_init(&rng, seed + (uint64_t)n_threads);
            engine = open_engine((int)model, n_threads);
            for (int round = 0; round < 4; round++)
                run_together(engine, texts, &rng);
            ct_engine_close(engine);
        }
        for (int i = 0; i < N_TEXTS; i++)
            free(texts[i].logits);
    }
}

static void wrong_slices_are_refused(void **state)
{
    (void)state;
    struct ct_engine *engine = open_engine(0, 1);
    struct ct_session *a = open_session(engine, 8);
    const int32_t good[200] = {1, 2, 3}, high[1] = {ct_engine_info(engine)->n_vocab}, low[1] = {-1};
    const struct {
        struct ct_slice slices[2];
        int n;
        const char *message;
    } cases[] = {
        {{{.session = a, .tokens = good, .n_tokens = 0}}, 1, "slice 0: 0 tokens and 0 logits"},
        {{{.session = a, .tokens = good, .n_tokens = 1, .n_logits = 2}},
         1,
         "slice 0: 1 tokens and 2 logits"},
        {{{.session = a, .tokens = good, .n_tokens = 9}},
         1,
         "slice 0: 9 tokens after 0, the session holds 8"},
        {{{.session = a, .tokens = high, .n_tokens = 1}},
         1,
         "slice 0: token 512 is outside 0..511"},
        {{{.session = a, .tokens = low, .n_tokens = 1}}, 1, "slice 0: token -1 is outside 0..511"},
        {{{.session = a, .tokens = good, .n_tokens = 1},
          {.session = a, .tokens = good, .n_tokens = 1}},
         2,
         "slice 1: its session is in the step already"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct ct_slice slices[2];
        struct ct_error err;
        memcpy(slices, cases[i].slices, sizeof slices);
        assert_int_equal(ct_engine_step(engine, slices, cases[i].n, &err), CT_INVALID);
        assert_string_equal(err.message, cases[i].message);
        assert_int_equal(ct_session_n_tok(a), 0);
    }
    struct ct_session *b = open_session(engine, 200);
    struct ct_slice slice = {.session = b, .tokens = good, .n_tokens = 193};
    struct ct_error err;
    assert_int_equal(ct_engine_step(engine, &slice, 1, &err), CT_INVALID);
    assert_string_equal(err.message, "193 tokens and 0 logits, at most 192 and 192 a step");
    ct_session_close(a);
    ct_session_close(b);
    ct_engine_close(engine);
}

static void sessions_and_pages_are_bounded(void **state)
{
    (void)state;
    struct ct_engine *engine = open_engine(0, 1);
    const int context = ct_engine_info(engine)->context_tok;
    struct ct_session *sessions[N_TEXTS], *more = NULL;
    assert_int_equal(ct_session_open(engine, context + 1, &more), CT_CONTEXT);
    assert_int_equal(ct_session_open(engine, -1, &more), CT_CONTEXT);
    for (int i = 0; i < N_TEXTS; i++)
        sessions[i] = open_session(engine, context);
    assert_int_equal(ct_session_open(engine, 1, &more), CT_BUSY);
    assert_null(more);
    ct_session_close(sessions[3]);
    sessions[3] = open_session(engine, 1);
    for (int i = 0; i < N_TEXTS; i++)
        ct_session_close(sessions[i]);
    ct_engine_close(engine);

    /* Memory for one context and a page: a second whole context has to wait. */
    engine = NULL;
    struct ct_error err;
    struct ct_engine_options options = {.n_threads = 1, .max_sessions = 4, .memory_bytes = 1};
    assert_int_equal(ct_engine_open(models[0].path, &options, &engine, &err), CT_INVALID);
    assert_non_null(strstr(err.message, "less than the context of"));
    struct ct_engine *probe = open_engine(0, 1);
    options.memory_bytes = ct_engine_info(probe)->n_kv_bytes_tok * (context + 64);
    ct_engine_close(probe);
    assert_int_equal(ct_engine_open(models[0].path, &options, &engine, &err), CT_OK);
    sessions[0] = open_session(engine, context);
    assert_int_equal(ct_session_open(engine, 65, &more), CT_BUSY);
    sessions[1] = open_session(engine, 64);
    ct_session_close(sessions[0]);
    ct_session_close(sessions[1]);
    ct_engine_close(engine);
}

/* Every layer and KV head has a key and a value: D numbers, in int8 with a scale of 16 bits. */
static void keys_and_values_in_int8_take_half(void **state)
{
    (void)state;
    struct ct_engine *f16 = open_engine(1, 1), *int8 = open_engine(4, 1);
    const int64_t D = 16, n_parts = ct_engine_info(f16)->n_kv_bytes_tok / (2 * D);
    assert_int_equal(ct_engine_info(f16)->n_kv_bytes_tok, n_parts * 2 * D);
    assert_int_equal(ct_engine_info(int8)->n_kv_bytes_tok, n_parts * (D + 2));
    ct_engine_close(f16);
    ct_engine_close(int8);
}

static void every_slice_says_what_it_cost(void **state)
{
    (void)state;
    struct ct_engine *engine = open_engine(1, 2);
    const int32_t tokens[64] = {5, 6, 7, 8};
    struct ct_slice slices[2] = {
        {.session = open_session(engine, 64), .tokens = tokens, .n_tokens = 32, .n_logits = 1},
        {.session = open_session(engine, 64), .tokens = tokens, .n_tokens = 64, .n_logits = 1},
    };
    step(engine, slices, 2);
    for (int i = 0; i < 2; i++) {
        assert_true(slices[i].cost.ns > 0);
        assert_true(slices[i].cost.pj > 0);
        assert_true(slices[i].cost.bytes_dram > 0);
    }
    /* Three layers of 64 x 128 (q, k, v), 64 x 64 (o) and three 64 x F; see the fixture's config.
     */
    const uint64_t row = slices[0].cost.macs_i8, vocabulary = 512 * 64;
    assert_int_equal((row - vocabulary) % 32, 0);
    assert_int_equal(slices[1].cost.macs_i8, 2 * (row - vocabulary) + vocabulary);
    assert_true(slices[1].cost.pj > slices[0].cost.pj);
    ct_session_close(slices[0].session);
    ct_session_close(slices[1].session);
    ct_engine_close(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_the_same_bits_in_any_batch),
        cmocka_unit_test(wrong_slices_are_refused),
        cmocka_unit_test(sessions_and_pages_are_bounded),
        cmocka_unit_test(keys_and_values_in_int8_take_half),
        cmocka_unit_test(every_slice_says_what_it_cost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
