/* Rounds over the real engine and the fixture model, in one thread: 64 sequences come, go and are
 * cancelled at random, in too little memory, with and without a prefix cache, for several numbers
 * of threads and budgets. Each has the tokens and the log probabilities, to the bit, that it has
 * alone; steps allocate nothing; after all, no page is held. (The engine checks its books of pages
 * after every step.) */
#include "tests/support/allocations.h"
#include "tests/support/unit.h"

#include "engine/base/rng.h"
#include "server/openai_request.h"
#include "server/roster.h"
#include "tests/support/json_body.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_REQUESTS = 64, MAX_TOKENS = 60, MAX_BYTES = 40000, SEED = 64 };

/* What a request's ring brought: its records, as they were. */
struct result {
    char bytes[MAX_BYTES];
    size_t n_bytes;
};

static struct ct_models models = {.n = 1};
static struct ct_model *const model = &models.all[0];
static struct ct_roster roster;
static char bodies[N_REQUESTS][2048];
static struct result alone[N_REQUESTS], together[N_REQUESTS];

static void open_roster(struct ct_engine_options options, double token_ns)
{
    struct ct_error err = {0};
    options.max_step_tok = 96;
    if (ct_engine_open(CT_CLUSTERED_FIXTURE, &options, &model->engine, &err) != CT_OK)
        fail_msg("%s", err.message);
    model->info = ct_engine_info(model->engine);
    model->name = "tiny";
    model->max_token_bytes = 32;
    model->max_in_flight = N_REQUESTS;
    assert_int_equal(ct_roster_init(&roster, model->engine, N_REQUESTS, token_ns), CT_OK);
}

static void close_roster(void)
{
    assert_int_equal(ct_engine_count_pages(model->engine).n_held, 0);
    ct_roster_deinit(&roster);
    ct_engine_close(model->engine);
}

/* Texts that begin alike, at any place; some requests end by themselves. */
static void make_bodies(void)
{
    struct ct_rng rng;
    int tokens[150];
    ct_rng_init(&rng, SEED);
    printf("seed %d\n", SEED);
    for (int i = 0; i < N_REQUESTS; i++) {
        const int n = 1 + (int)ct_rng_below(&rng, 150);
        const int n_same = (int)ct_rng_below(&rng, 150);
        for (int t = i == 0 ? 0 : n_same; t < 150; t++)
            tokens[t] = 3 + (int)ct_rng_below(&rng, 500);
        char *p = bodies[i];
        p += sprintf(
            p,
            "{\"model\":\"tiny\",\"logprobs\":3,\"seed\":%d,\"temperature\":%g,\"priority\":%d,"
            "\"max_tokens\":%d,\"prompt\":[",
            i, ct_rng_uniform(&rng) * 1.5, (int)ct_rng_below(&rng, 3),
            1 + (int)ct_rng_below(&rng, MAX_TOKENS));
        for (int t = 0; t < n; t++)
            p += sprintf(p, t ? ",%d" : "%d", tokens[t]);
        sprintf(p, "]}");
    }
}

static struct ct_request *make_request(int i)
{
    struct ct_refusal refusal;
    struct ct_request *request = ct_request_open(CT_REQUEST_COMPLETION);
    const struct ct_body body = json_body(bodies[i], strlen(bodies[i]));
    if (ct_openai_request_read(request, &body, &models, &refusal) != CT_OK)
        fail_msg("%s", refusal.message);
    request->client = (uint64_t)i % 5;
    return request;
}

static void drain(struct ct_request *request, struct result *result)
{
    struct ct_ring *ring = &request->sequences[0].ring;
    const size_t n = ct_ring_filled(ring);
    assert_true(result->n_bytes + n <= MAX_BYTES);
    ct_ring_get(ring, result->bytes + result->n_bytes, n);
    result->n_bytes += n;
}

static void run_alone(void)
{
    open_roster((struct ct_engine_options){.n_threads = 1}, 5e7);
    for (int i = 0; i < N_REQUESTS; i++) {
        struct ct_request *request = make_request(i);
        alone[i].n_bytes = 0;
        ct_roster_add(&roster, request, 0);
        while (request->sequences[0].phase != CT_PHASE_DONE) {
            assert_true(ct_roster_prepare(&roster));
            ct_roster_step(&roster);
            roster.n_news = 0;
            drain(request, &alone[i]);
        }
        assert_int_equal(request->sequences[0].error.status, CT_OK);
        ct_request_close(request);
    }
    assert_int_equal(roster.stats.n_yields, 0);
    close_roster();
}

/* All, arriving within the first rounds; every sixteenth is cancelled, and some read slowly. */
static void run_together(struct ct_rng *rng)
{
    struct ct_request *requests[N_REQUESTS] = {NULL};
    bool is_cancelled[N_REQUESTS] = {false};
    int n_begun = 0, n_done = 0;
    for (int round = 0; n_done < N_REQUESTS; round++) {
        assert_true(round < 20000);
        while (n_begun < N_REQUESTS && ct_rng_below(rng, 4) > 0) {
            requests[n_begun] = make_request(n_begun);
            together[n_begun].n_bytes = 0;
            ct_roster_add(&roster, requests[n_begun++], 0);
        }
        if (ct_rng_below(rng, 100) == 0 && n_begun > 0) {
            const int i = (int)ct_rng_below(rng, (uint64_t)n_begun) / 16 * 16;
            is_cancelled[i] = true;
            atomic_store(&requests[i]->stop_status, CT_CANCELLED);
        }
        ct_roster_reap(&roster, 1, false);
        if (ct_roster_prepare(&roster)) {
            const int n_before = ct_n_allocations();
            ct_roster_step(&roster);
            assert_int_equal(ct_n_allocations(), n_before);
        }
        for (int k = 0; k < roster.n_news; k++)
            n_done += roster.news[k]->phase == CT_PHASE_DONE;
        roster.n_news = 0;
        for (int i = 0; i < n_begun; i++)
            if (i % 7 > 0 || round % 50 == 0 || n_done == N_REQUESTS)
                drain(requests[i], &together[i]);
    }
    assert_int_equal(roster.n_running + roster.n_waiting, 0);
    for (int i = 0; i < N_REQUESTS; i++) {
        const enum ct_status status = requests[i]->sequences[0].error.status;
        assert_true(status == CT_OK || (is_cancelled[i] && status == CT_CANCELLED));
        if (status == CT_OK)
            assert_int_equal(together[i].n_bytes, alone[i].n_bytes);
        assert_memory_equal(together[i].bytes, alone[i].bytes, together[i].n_bytes);
        ct_request_close(requests[i]);
    }
}

static void test_rounds(void **state)
{
    (void)state;
    const struct {
        int n_threads, n_pages;
        bool is_kept;
        double token_ns;
    } ways[] = {{1, 0, false, 5e7}, {2, 0, true, 1}, {3, 9, true, 5e7}, {2, 6, false, 1e9}};
    struct ct_rng rng;
    ct_rng_init(&rng, SEED);
    make_bodies();
    run_alone();
    for (size_t w = 0; w < sizeof ways / sizeof ways[0]; w++) {
        const int64_t page_bytes = 24576;
        open_roster((struct ct_engine_options){.n_threads = ways[w].n_threads,
                                               .has_prefix_cache = ways[w].is_kept,
                                               .memory_bytes = ways[w].n_pages * page_bytes},
                    ways[w].token_ns);
        assert_int_equal(model->info->n_kv_bytes_tok * model->info->page_tok, page_bytes);
        while (w % 2 == 0 && ct_roster_measure(&roster))
            ; /* the others learn from their steps alone */
        for (int times = 0; times < 2; times++)
            run_together(&rng);
        assert_int_equal(roster.stats.n_yields > 0, ways[w].n_pages > 0);
        assert_int_equal(roster.stats.n_cached_tok > 0, ways[w].is_kept);
        close_roster();
    }
}

/* What a real engine's measurement foretells is of the right order, and needs no step to be run. */
static void test_measurement(void **state)
{
    (void)state;
    open_roster((struct ct_engine_options){.n_threads = 1, .has_prefix_cache = true}, 5e7);
    struct ct_request *request = make_request(0);
    request->is_estimate = true;
    ct_roster_estimate(&roster, request, 0);
    assert_true(roster.stats.is_measured && roster.stats.n_steps == 0);
    const struct ct_ledger *estimate = &request->estimate;
    assert_int_equal(estimate->n_prompt_tok, request->prompts[0].n_tok);
    assert_int_equal(estimate->n_generated_tok, request->sequences[0].max_tokens);
    assert_int_equal(estimate->n_cached_tok, 0);
    assert_true(estimate->prefill_ns > 0 && estimate->prefill.pj > 0);
    ct_request_close(request);
    close_roster();
}

/* What the metrics say of pages is right also when nothing follows a cancellation. */
static void test_cancelled_holds_no_pages(void **state)
{
    (void)state;
    open_roster((struct ct_engine_options){.n_threads = 1}, 5e7);
    struct ct_request *request = make_request(0);
    ct_roster_add(&roster, request, 0);
    assert_true(ct_roster_prepare(&roster));
    ct_roster_step(&roster);
    assert_true(roster.stats.pages.n_held > 0);
    atomic_store(&request->stop_status, CT_CANCELLED);
    ct_roster_reap(&roster, 1, false);
    assert_false(ct_roster_prepare(&roster));
    assert_int_equal(roster.stats.pages.n_held, 0);
    roster.n_news = 0;
    ct_request_close(request);
    close_roster();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rounds),
        cmocka_unit_test(test_measurement),
        cmocka_unit_test(test_cancelled_holds_no_pages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
