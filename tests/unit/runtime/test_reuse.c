/* Reuse of keys and values: the bits of every row are the same whether its prefix was evaluated,
 * shared or copied, whatever was evicted in between, for any number of threads and any cut into
 * steps; a session that is closed half-way and begun again goes on with the same bits. Nothing of it
 * allocates. */
#include "tests/support/allocations.h"
#include "tests/support/unit.h"

#include "engine/base/rng.h"
#include "engine/engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_TEXTS = 8, N_SESSIONS = 6, CONTEXT = 256, STEP_TOK = 192 };

struct text {
    int n;
    int32_t tokens[CONTEXT];
    float *logits; /* [n, n_vocab] */
};

static const struct {
    const char *path;
    enum ct_activations activations;
    enum ct_kv_type kv;
} models[] = {
    {CT_TEST_DIR "/support/fixture", CT_ACTIVATIONS_INT8, CT_KV_F16},
    {CT_CLUSTERED_FIXTURE, CT_ACTIVATIONS_INT8, CT_KV_F16},
    {CT_CLUSTERED_FIXTURE, CT_ACTIVATIONS_FLOAT, CT_KV_F16},
    {CT_CLUSTERED_FIXTURE, CT_ACTIVATIONS_INT8, CT_KV_INT8},
};

static struct ct_engine *open_engine(int model, struct ct_engine_options options)
{
    struct ct_engine *engine = NULL;
    struct ct_error err = {0};
    options.max_sessions = N_SESSIONS;
    options.max_step_tok = STEP_TOK;
    options.max_step_logits = STEP_TOK;
    options.activations = models[model].activations;
    options.kv = models[model].kv;
    if (ct_engine_open(models[model].path, &options, &engine, &err) != CT_OK)
        fail_msg("%s: %s", models[model].path, err.message);
    return engine;
}

static void step(struct ct_engine *engine, struct ct_slice *slices, int n)
{
    struct ct_error err = {0};
    if (ct_engine_step(engine, slices, n, &err) != CT_OK)
        fail_msg("step: %s", err.message);
}

/* Each text begins as the one before it, for a random way: texts meet in whole pages, in parts of
 * one, and some are the beginning of another. */
static void make_texts(struct text *texts, int n_vocab, struct ct_rng *rng)
{
    for (int i = 0; i < N_TEXTS; i++) {
        texts[i].n = 100 + (int)ct_rng_below(rng, CONTEXT - 100);
        for (int t = 0; t < texts[i].n; t++)
            texts[i].tokens[t] = (int32_t)ct_rng_below(rng, (uint64_t)n_vocab);
        if (i > 0)
            memcpy(texts[i].tokens, texts[i - 1].tokens,
                   ct_rng_below(rng, 100) * sizeof texts[i].tokens[0]);
        texts[i].logits = malloc((size_t)(texts[i].n * n_vocab) * sizeof(float));
    }
    texts[1].n = 128; /* whole pages, and the beginning of another text */
    memcpy(texts[2].tokens, texts[1].tokens, 99 * sizeof texts[1].tokens[0]);
    texts[3].n = 64;
    memcpy(texts[3].tokens, texts[1].tokens, 64 * sizeof texts[1].tokens[0]);
}

/* What is right: each text alone, in one piece a page, one thread, nothing kept. */
static void run_alone(int model, struct text *texts)
{
    struct ct_engine *engine = open_engine(model, (struct ct_engine_options){.n_threads = 1});
    const int V = ct_engine_info(engine)->n_vocab;
    for (int i = 0; i < N_TEXTS; i++) {
        struct ct_slice slice = {.tokens = texts[i].tokens};
        assert_int_equal(ct_session_open(engine, texts[i].n, &slice.session), CT_OK);
        for (int t = 0; t < texts[i].n; t += slice.n_tokens) {
            slice.tokens = texts[i].tokens + t;
            slice.n_tokens = slice.n_logits = texts[i].n - t < 64 ? texts[i].n - t : 64;
            step(engine, &slice, 1);
            for (int k = 0; k < slice.n_tokens; k++)
                memcpy(texts[i].logits + (t + k) * V, slice.logits + k * slice.ld_logits,
                       (size_t)V * sizeof(float));
        }
        ct_session_close(slice.session);
    }
    ct_engine_close(engine);
}

struct runner {
    struct ct_session *session;
    const struct text *text;
};

/* Steps of random slices over random texts; sessions are also given up half-way, as when pages run
 * short. Every logit is compared. Returns how many tokens were reused. */
static int64_t run_mixed(struct ct_engine *engine, const struct text *texts, struct ct_rng *rng)
{
    const int V = ct_engine_info(engine)->n_vocab;
    struct runner runners[N_SESSIONS] = {0};
    int64_t n_reused = 0;
    const int n_before = ct_n_allocations();
    for (int round = 0; round < 40; round++) {
        struct ct_slice slices[N_SESSIONS];
        const struct text *of[N_SESSIONS];
        int n = 0, room = STEP_TOK;
        for (int i = 0; i < N_SESSIONS; i++) {
            struct runner *r = &runners[i];
            if (r->session == NULL) {
                r->text = &texts[ct_rng_below(rng, N_TEXTS)];
                assert_int_equal(ct_session_open(engine, 0, &r->session), CT_OK);
                const int n_expected = ct_engine_n_reusable(engine, r->text->tokens, r->text->n);
                const int n_found = ct_session_reuse(r->session, r->text->tokens, r->text->n);
                assert_true(n_found == n_expected ||
                            (n_found == n_expected / 64 * 64 && n_found < n_expected));
                assert_int_equal(ct_session_n_tok(r->session), n_found);
                n_reused += n_found;
            }
            const int done = ct_session_n_tok(r->session), left = r->text->n - done;
            if (left == 0 || ct_rng_below(rng, 10) == 0) {
                ct_session_close(r->session);
                r->session = NULL;
                continue;
            }
            const int most = left < room ? left : room;
            if (most == 0)
                continue;
            const int n_tok = ct_rng_below(rng, 2) ? 1 : 1 + (int)ct_rng_below(rng, (uint64_t)most);
            if (ct_session_reserve(r->session, done + n_tok) != CT_OK) {
                ct_session_close(r->session);
                r->session = NULL;
                continue;
            }
            room -= n_tok;
            of[n] = r->text;
            slices[n++] = (struct ct_slice){.session = r->session,
                                            .tokens = r->text->tokens + done,
                                            .n_tokens = n_tok,
                                            .n_logits = n_tok};
        }
        step(engine, slices, n);
        for (int s = 0; s < n; s++) {
            const int begin = ct_session_n_tok(slices[s].session) - slices[s].n_tokens;
            for (int t = 0; t < slices[s].n_logits; t++)
                assert_memory_equal(slices[s].logits + t * slices[s].ld_logits,
                                    of[s]->logits + (begin + t) * V, (size_t)V * sizeof(float));
        }
    }
    for (int i = 0; i < N_SESSIONS; i++)
        ct_session_close(runners[i].session);
    assert_int_equal(ct_n_allocations(), n_before);
    return n_reused;
}

static void reused_prefixes_give_the_same_bits(void **state)
{
    (void)state;
    const uint64_t seed = 4;
    printf("seed %d\n", (int)seed);
    const struct {
        int n_threads;
        bool is_kept;
        int n_pages; /* 0: enough */
    } ways[] = {{1, false, 0}, {2, true, 0}, {3, true, 8}, {1, true, 8}};
    for (size_t model = 0; model < sizeof models / sizeof models[0]; model++) {
        struct ct_rng rng;
        struct text texts[N_TEXTS];
        ct_rng_init(&rng, seed);
        struct ct_engine *probe = open_engine((int)model, (struct ct_engine_options){0});
        const int64_t tok_bytes = ct_engine_info(probe)->n_kv_bytes_tok;
        make_texts(texts, ct_engine_info(probe)->n_vocab, &rng);
        ct_engine_close(probe);
        run_alone((int)model, texts);
        for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
            struct ct_engine *engine = open_engine(
                (int)model,
                (struct ct_engine_options){.n_threads = ways[i].n_threads,
                                           .has_prefix_cache = ways[i].is_kept,
                                           .memory_bytes = ways[i].n_pages * 64 * tok_bytes});
            const int64_t n_reused = run_mixed(engine, texts, &rng);
            assert_true(ways[i].is_kept ? n_reused > 500 : n_reused == 0);
            const struct ct_page_counts pages = ct_engine_count_pages(engine);
            assert_int_equal(pages.n_held, 0);
            assert_int_equal(pages.n_kept + pages.n_free, ct_engine_info(engine)->n_kv_pages);
            ct_engine_close(engine);
        }
        for (int i = 0; i < N_TEXTS; i++)
            free(texts[i].logits);
    }
}

/* The last token is always left, and a copy leaves the page that it was made of alone. */
static void the_last_token_is_left(void **state)
{
    (void)state;
    struct ct_engine *engine =
        open_engine(1, (struct ct_engine_options){.n_threads = 1, .has_prefix_cache = true});
    int32_t tokens[130];
    for (int t = 0; t < 130; t++)
        tokens[t] = 3 + t;
    struct ct_slice slice = {.tokens = tokens, .n_tokens = 128};
    assert_int_equal(ct_session_open(engine, 128, &slice.session), CT_OK);
    step(engine, &slice, 1);
    const struct {
        int n, n_reused;
    } cases[] = {{1, 0}, {2, 1}, {64, 63}, {65, 64}, {66, 65}, {128, 127}, {129, 128}, {130, 128}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct ct_session *s = NULL;
        assert_int_equal(ct_session_open(engine, 0, &s), CT_OK);
        assert_int_equal(ct_session_reuse(s, tokens, cases[i].n), cases[i].n_reused);
        ct_session_close(s);
    }
    ct_session_close(slice.session);
    assert_int_equal(ct_engine_n_reusable(engine, tokens + 1, 100), 0);
    ct_engine_close(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reused_prefixes_give_the_same_bits),
        cmocka_unit_test(the_last_token_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
