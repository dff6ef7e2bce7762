/* The scheduler over the fake engine: who gets tokens when, and how things end. The test's own
 * thread plays the loop thread. */
#include "tests/support/unit.h"

#include "engine/base/rng.h"
#include "server/batcher.h"
#include "server/openai_request.h"
#include "tests/support/fake_engine.h"
#include "tests/support/json_body.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t woken = PTHREAD_COND_INITIALIZER;
static bool is_woken;

static struct ct_models models = {.n = 1};
static struct ct_model *const model = &models.all[0];
static struct ct_batcher *batcher;

static void wake(void *context)
{
    (void)context;
    pthread_mutex_lock(&lock);
    is_woken = true;
    pthread_cond_signal(&woken);
    pthread_mutex_unlock(&lock);
}

/* A token takes the fake engine a millisecond, as it says. */
static void open_batcher_at(struct ct_engine_options options, int n_queue, int token_ms)
{
    struct ct_error err;
    ct_fake_release();
    ct_fake_set_step_us(0);
    assert_int_equal(ct_engine_open("fake", &options, &model->engine, &err), CT_OK);
    model->info = ct_engine_info(model->engine);
    model->name = "fake";
    model->max_token_bytes = 1;
    model->max_in_flight = model->info->max_sessions + n_queue;
    const struct ct_batcher_options how = {model->max_in_flight, 1e6 * token_ms};
    struct ct_batcher_stats stats = {0};
    assert_int_equal(ct_batcher_open(model->engine, &how, wake, NULL, &batcher), CT_OK);
    while (!stats.roster.is_measured) {
        sched_yield();
        ct_batcher_stats(batcher, &stats);
    }
}

static void open_batcher(struct ct_engine_options options, int n_queue)
{
    open_batcher_at(options, n_queue, 50000);
}

static void close_batcher(void)
{
    bool is_finished;
    ct_fake_release();
    ct_batcher_stop(batcher);
    while (ct_batcher_next_ready(batcher, &is_finished) != NULL)
        ;
    ct_batcher_free(batcher);
    assert_int_equal(ct_fake_n_sessions(), 0);
    assert_int_equal(ct_fake_n_samplers(), 0);
    ct_engine_close(model->engine);
}

/* A completion for prompt; members: more JSON members, each with a comma in front. */
static struct ct_request *request_for(const char *prompt, const char *members)
{
    char body[4096];
    struct ct_refusal refusal;
    struct ct_request *request = ct_request_open(CT_REQUEST_COMPLETION);
    snprintf(body, sizeof body, "{\"model\":\"fake\",\"prompt\":\"%s\"%s}", prompt, members);
    const struct ct_body all = json_body(body, strlen(body));
    if (ct_openai_request_read(request, &all, &models, &refusal) != CT_OK)
        fail_msg("%s", refusal.message);
    return request;
}

static struct ct_request *submit(const char *prompt, const char *members)
{
    struct ct_request *request = request_for(prompt, members);
    assert_int_equal(ct_batcher_submit(batcher, request), CT_OK);
    return request;
}

/* Takes the text of sequence i's records. */
static void take(struct ct_request *request, int i, char *out, size_t capacity)
{
    struct ct_sequence *sequence = &request->sequences[i];
    size_t n_out = strlen(out);
    while (ct_ring_filled(&sequence->ring) > 0) {
        struct ct_record record;
        ct_ring_get(&sequence->ring, &record, sizeof record);
        assert_true(n_out + record.n_text < capacity);
        ct_ring_get(&sequence->ring, out + n_out, record.n_text);
        n_out += record.n_text;
        ct_batcher_read_from(batcher, sequence);
    }
    out[n_out] = '\0';
}

/* The next request with news, waiting for it. */
static struct ct_request *next(bool *is_finished)
{
    for (;;) {
        struct ct_request *request = ct_batcher_next_ready(batcher, is_finished);
        if (request != NULL)
            return request;
        pthread_mutex_lock(&lock);
        while (!is_woken)
            pthread_cond_wait(&woken, &lock);
        is_woken = false;
        pthread_mutex_unlock(&lock);
    }
}

/* Reads nothing, and waits until request is finished. */
static void finish(const struct ct_request *request)
{
    bool is_finished = false;
    while (next(&is_finished) != request || !is_finished)
        ;
}

static void wait_for_steps(int n)
{
    while (ct_fake_n_steps() < n)
        sched_yield();
}

static void wait_for_stall(struct ct_request *request)
{
    while (!atomic_load(&request->sequences[0].is_stalled))
        sched_yield();
}

/* ---- what comes out ---- */

static void check_text(const char *prompt, const char *members, const char *expected,
                       enum ct_finish reason, int n_generated)
{
    char text[512] = "";
    struct ct_request *request = submit(prompt, members);
    finish(request);
    take(request, 0, text, sizeof text);
    assert_string_equal(text, expected);
    assert_int_equal(request->sequences[0].error.status, CT_OK);
    assert_int_equal(request->sequences[0].finish, reason);
    assert_int_equal(request->sequences[0].n_generated, n_generated);
    ct_request_close(request);
}

static void test_text_and_stops(void **state)
{
    (void)state;
    open_batcher((struct ct_engine_options){0}, 4);
    check_text("echo:hello|", ",\"max_tokens\":99", "hello", CT_FINISH_STOP, 6);
    check_text("echo:hello|", ",\"max_tokens\":5", "hello", CT_FINISH_LENGTH, 5);
    check_text("echo:hello|", ",\"max_tokens\":2", "he", CT_FINISH_LENGTH, 2);
    check_text("echo:say STOP now|", ",\"max_tokens\":99,\"stop\":\"STOP\"", "say ", CT_FINISH_STOP,
               8);
    check_text("echo:say STO|", ",\"max_tokens\":99,\"stop\":\"STOP\"", "say STO", CT_FINISH_STOP,
               8);
    check_text("echo:say STO|", ",\"max_tokens\":6,\"stop\":\"STOP\"", "say ST", CT_FINISH_LENGTH,
               6);
    check_text("echo:abcd|", ",\"max_tokens\":99,\"stop\":[\"zz\",\"cd\",\"b\"]", "a",
               CT_FINISH_STOP, 2);
    /* characters of several bytes come one byte a token; half of one at the end becomes U+FFFD */
    check_text("echo:h\xc3\xa9\xf0\x9f\x98\x80|", ",\"max_tokens\":99", "h\xc3\xa9\xf0\x9f\x98\x80",
               CT_FINISH_STOP, 8);
    check_text("echo:h\xc3\xa9\xf0\x9f\x98\x80|", ",\"max_tokens\":5", "h\xc3\xa9\xef\xbf\xbd",
               CT_FINISH_LENGTH, 5);
    close_batcher();
}

/* No record ever holds a part of a character or of a stop string. */
static void test_records_are_whole(void **state)
{
    (void)state;
    open_batcher((struct ct_engine_options){0}, 4);
    struct ct_request *request =
        submit("echo:\xc3\xa9x\xe2\x82\xac END|", ",\"max_tokens\":99,\"stop\":\"END\"");
    finish(request);
    const char *const expected[] = {"\xc3\xa9", "x", "\xe2\x82\xac", " "};
    for (int i = 0; i < 4; i++) {
        struct ct_record record;
        char text[8] = "";
        ct_ring_get(&request->sequences[0].ring, &record, sizeof record);
        ct_ring_get(&request->sequences[0].ring, text, record.n_text);
        assert_string_equal(text, expected[i]);
    }
    assert_int_equal(ct_ring_filled(&request->sequences[0].ring), 0);
    ct_request_close(request);
    close_batcher();
}

/* The same request gives the same text, alone and in a crowd; another seed another text. */
static void test_seed_decides(void **state)
{
    (void)state;
    open_batcher((struct ct_engine_options){0}, 64);
    char alone[64] = "", other[64] = "";
    struct ct_request *request = submit("tell me", ",\"seed\":5,\"max_tokens\":40");
    finish(request);
    take(request, 0, alone, sizeof alone);
    ct_request_close(request);
    struct ct_request *crowd[20];
    ct_fake_hold();
    for (int i = 0; i < 20; i++)
        crowd[i] = submit("tell me", i % 2 ? ",\"seed\":6,\"max_tokens\":40"
                                           : ",\"seed\":5,\"max_tokens\":40");
    ct_fake_release();
    for (int n_done = 0; n_done < 20;) {
        bool is_finished;
        next(&is_finished);
        n_done += is_finished;
    }
    for (int i = 0; i < 20; i++) {
        char text[64] = "";
        take(crowd[i], 0, text, sizeof text);
        if (i % 2 == 0)
            assert_string_equal(text, alone);
        else if (i == 1)
            strcpy(other, text);
        else
            assert_string_equal(text, other);
        ct_request_close(crowd[i]);
    }
    assert_string_not_equal(alone, other);
    close_batcher();
}

/* Two prompts with two answers each: sequence p * n + c. */
static void test_choices_and_prompts(void **state)
{
    (void)state;
    static const char body[] =
        "{\"model\":\"fake\",\"n\":2,\"prompt\":[\"echo:ab|\",\"echo:cdef|\"]}";
    open_batcher((struct ct_engine_options){0}, 64);
    struct ct_refusal refusal;
    struct ct_request *request = ct_request_open(CT_REQUEST_COMPLETION);
    const struct ct_body all = json_body(body, strlen(body));
    assert_int_equal(ct_openai_request_read(request, &all, &models, &refusal), CT_OK);
    assert_int_equal(request->n_sequences, 4);
    assert_int_equal(ct_batcher_submit(batcher, request), CT_OK);
    finish(request);
    for (int i = 0; i < 4; i++) {
        char text[32] = "";
        take(request, i, text, sizeof text);
        assert_string_equal(text, i < 2 ? "ab" : "cdef");
    }
    struct ct_ledger ledger;
    ct_request_ledger(request, &ledger);
    assert_int_equal(ledger.n_prompt_tok, 8 + 10); /* each prompt counts once, as OpenAI counts */
    assert_int_equal(ledger.n_generated_tok, 2 * 3 + 2 * 5);
    /* the fake engine asks 1e6 pJ a token, for what was evaluated */
    assert_true(ledger.prefill.pj == 2 * (8 + 10) * 1e6);
    assert_true(ledger.decode.pj == (2 * 2 + 2 * 4) * 1e6);
    ct_request_close(request);
    close_batcher();
}

/* ---- fairness ---- */

/* Two long prompts and a short one: nobody waits for another to be through. */
static void test_prompts_share_steps(void **state)
{
    (void)state;
    open_batcher((struct ct_engine_options){.max_step_tok = 128}, 64);
    char prompt[1001];
    memset(prompt, 'p', 1000);
    prompt[1000] = '\0';
    ct_fake_hold();
    int before = ct_fake_n_steps();
    struct ct_request *plug = submit("p", ",\"max_tokens\":1"); /* holds the first step */
    wait_for_steps(before);
    struct ct_request *longer = submit(prompt, ",\"max_tokens\":1");
    struct ct_request *other = submit(prompt, ",\"max_tokens\":1");
    struct ct_request *shorter = submit("ten tokens", ",\"max_tokens\":1");
    ct_fake_release();
    bool is_finished;
    struct ct_request *order[4];
    for (int n = 0; n < 4;) {
        struct ct_request *request = next(&is_finished);
        if (is_finished)
            order[n++] = request;
    }
    assert_ptr_equal(order[0], plug);
    assert_ptr_equal(order[1], shorter);
    /* 2,011 tokens in steps of 128: were the long ones run one after the other, or in smaller
     * bites, there would be more */
    assert_in_range(ct_fake_n_steps() - before, 2, 20);
    ct_request_close(plug);
    ct_request_close(longer);
    ct_request_close(other);
    ct_request_close(shorter);
    close_batcher();
}

/* Who decodes gets a token in every step, also while a long prompt is evaluated, and that one goes
 * on. */
static void test_decode_goes_on_beside_a_prompt(void **state)
{
    (void)state;
    open_batcher_at((struct ct_engine_options){.max_step_tok = 256}, 64, 67);
    char prompt[2001];
    memset(prompt, 'p', 2000);
    prompt[2000] = '\0';
    ct_fake_hold();
    int n = ct_fake_n_steps();
    struct ct_request *decoding[3];
    for (int i = 0; i < 3; i++)
        decoding[i] = submit("d", ",\"max_tokens\":100");
    ct_fake_allow(2);
    wait_for_steps(n + 2);
    struct ct_request *prefill = submit(prompt, ",\"max_tokens\":1");
    ct_fake_allow(2); /* the step that may have been chosen before the prompt came, and one more */
    wait_for_steps(n + 4);
    int sizes[8];
    for (int i = 0; i < 5; i++) {
        ct_fake_allow(1);
        wait_for_steps(n + 5 + i);
        assert_int_equal(ct_fake_last_step(sizes, 8), 4);
        int n_ones = 0, n_chunk = 0;
        for (int k = 0; k < 4; k++) {
            n_ones += sizes[k] == 1;
            n_chunk += sizes[k] > 1 ? sizes[k] : 0;
        }
        assert_int_equal(n_ones, 3);
        assert_in_range(n_chunk, 60, 64); /* what 67 ms leave beside three tokens */
    }
    ct_fake_release();
    bool is_finished;
    for (int n_done = 0; n_done < 4;) {
        next(&is_finished);
        n_done += is_finished;
    }
    for (int i = 0; i < 3; i++)
        ct_request_close(decoding[i]);
    ct_request_close(prefill);
    close_batcher();
}

/* More sequences than a step has tokens for take turns. */
static void test_turns_when_a_step_is_too_small(void **state)
{
    (void)state;
    open_batcher((struct ct_engine_options){.max_step_tok = 4, .max_sessions = 16}, 64);
    struct ct_request *requests[16];
    ct_fake_hold();
    for (int i = 0; i < 16; i++)
        requests[i] = submit("d", ",\"max_tokens\":50");
    ct_fake_release();
    bool is_finished;
    int n_done = 0, first_steps = 0;
    while (n_done < 16) {
        next(&is_finished);
        if (is_finished && n_done++ == 0)
            first_steps = ct_fake_n_steps();
    }
    /* 816 tokens in steps of 4. Were the first ones served until they end, they would end after a
     * quarter of the 204 steps; in turns, all end at about the same time. */
    assert_in_range(ct_fake_n_steps() - first_steps, 0, 60);
    for (int i = 0; i < 16; i++)
        ct_request_close(requests[i]);
    close_batcher();
}

/* ---- limits ---- */

static void test_queue_is_bounded(void **state)
{
    (void)state;
    open_batcher((struct ct_engine_options){.max_sessions = 2}, 3);
    struct ct_request *requests[5];
    ct_fake_hold();
    for (int i = 0; i < 5; i++)
        requests[i] = submit("d", ",\"max_tokens\":3");
    struct ct_request *more = request_for("d", ",\"max_tokens\":3");
    assert_int_equal(ct_batcher_submit(batcher, more), CT_BUSY);
    assert_in_range(ct_batcher_retry_after_s(batcher), 1, 60);
    ct_fake_release();
    bool is_finished;
    for (int n_done = 0; n_done < 5;) {
        next(&is_finished);
        n_done += is_finished;
    }
    assert_int_equal(ct_batcher_submit(batcher, more), CT_OK);
    finish(more);
    for (int i = 0; i < 5; i++)
        ct_request_close(requests[i]);
    ct_request_close(more);
    close_batcher();
}

/* Without pages for all, they come one after the other; what can never fit is told so. */
static void test_memory_is_bounded(void **state)
{
    (void)state;
    open_batcher((struct ct_engine_options){.memory_bytes = 50}, 64);
    struct ct_request *requests[6];
    for (int i = 0; i < 6; i++)
        requests[i] = submit("d", i == 3 ? ",\"max_tokens\":99" : ",\"max_tokens\":30");
    bool is_finished;
    for (int n_done = 0; n_done < 6;) {
        next(&is_finished);
        n_done += is_finished;
    }
    for (int i = 0; i < 6; i++) {
        assert_int_equal(requests[i]->sequences[0].error.status, i == 3 ? CT_TOO_LARGE : CT_OK);
        ct_request_close(requests[i]);
    }
    close_batcher();
}

/* Sequences outgrow the memory together: the latest give theirs up, and have the same text in the
 * end. */
static void test_text_after_giving_way(void **state)
{
    (void)state;
    enum { N = 6 };
    for (int is_kept = 0; is_kept < 2; is_kept++) {
        char alone[N][128] = {""}, members[N][64];
        struct ct_request *requests[N];
        struct ct_batcher_stats stats;
        open_batcher((struct ct_engine_options){.memory_bytes = 100, .has_prefix_cache = is_kept},
                     64);
        for (int i = 0; i < N; i++) {
            snprintf(members[i], sizeof members[i], ",\"seed\":%d,\"max_tokens\":%d", i, 70 + i);
            requests[0] = submit("tell", members[i]);
            finish(requests[0]);
            take(requests[0], 0, alone[i], sizeof alone[i]);
            ct_request_close(requests[0]);
        }
        ct_batcher_stats(batcher, &stats);
        assert_int_equal(stats.roster.n_yields, 0);
        ct_fake_hold();
        for (int i = 0; i < N; i++)
            requests[i] = submit("tell", members[i]);
        ct_fake_release();
        bool is_finished;
        for (int n_done = 0; n_done < N;) {
            next(&is_finished);
            n_done += is_finished;
        }
        ct_batcher_stats(batcher, &stats);
        assert_true(stats.roster.n_yields > 0);
        for (int i = 0; i < N; i++) {
            char text[128] = "";
            take(requests[i], 0, text, sizeof text);
            assert_string_equal(text, alone[i]);
            assert_int_equal(requests[i]->sequences[0].n_generated, 70 + i);
            ct_request_close(requests[i]);
        }
        close_batcher();
    }
}

/* Reads a request's first answer to its end. */
static void take_all(struct ct_request *request, char *text, size_t capacity)
{
    bool is_finished = false;
    text[0] = '\0';
    while (!is_finished) {
        take(request, 0, text, capacity);
        next(&is_finished);
    }
    take(request, 0, text, capacity);
}

/* A sequence whose reader does not read holds the only session, until somebody waits for it. */
static void test_slow_reader_gives_way(void **state)
{
    (void)state;
    open_batcher((struct ct_engine_options){.max_sessions = 1}, 64);
    static char text[5000];
    struct ct_request *slow = submit("d", ",\"max_tokens\":4000,\"priority\":-5");
    wait_for_stall(slow);
    check_text("echo:quick|", "", "quick", CT_FINISH_STOP, 6);
    take_all(slow, text, sizeof text);
    assert_int_equal(strlen(text), 4000);
    ct_request_close(slow);
    close_batcher();
}

/* A reader that does not read stops its own sequence and nobody else's; it goes on once it reads.
 */
static void test_slow_reader_sits_out(void **state)
{
    (void)state;
    open_batcher((struct ct_engine_options){0}, 64);
    struct ct_request *slow = submit("d", ",\"max_tokens\":4000");
    wait_for_stall(slow);
    size_t n_filled = ct_ring_filled(&slow->sequences[0].ring);
    struct ct_request *quick = submit("q", ",\"max_tokens\":300");
    finish(quick);
    assert_int_equal(ct_ring_filled(&slow->sequences[0].ring), n_filled);
    static char text[5000];
    take_all(slow, text, sizeof text);
    assert_int_equal(strlen(text), 4000);
    ct_request_close(slow);
    ct_request_close(quick);
    close_batcher();
}

/* ---- ends ---- */

static void test_cancel_while_queued(void **state)
{
    (void)state;
    open_batcher((struct ct_engine_options){.max_sessions = 1}, 4);
    ct_fake_hold();
    struct ct_request *running = submit("d", ",\"max_tokens\":9");
    struct ct_request *queued = submit("d", ",\"max_tokens\":9");
    ct_batcher_cancel(batcher, queued, CT_CANCELLED);
    ct_fake_allow(1); /* within one step */
    finish(queued);
    assert_int_equal(queued->sequences[0].error.status, CT_CANCELLED);
    assert_int_equal(queued->sequences[0].n_generated, 0);
    assert_int_equal(queued->sequences[0].admitted_ns, 0);
    ct_fake_release();
    finish(running);
    assert_int_equal(running->sequences[0].n_generated, 9);
    ct_request_close(queued);
    ct_request_close(running);
    close_batcher();
}

static void test_cancel_in_prefill_and_decode(void **state)
{
    (void)state;
    open_batcher((struct ct_engine_options){.max_step_tok = 64}, 64);
    char prompt[1001];
    memset(prompt, 'p', 1000);
    prompt[1000] = '\0';
    ct_fake_hold();
    int n = ct_fake_n_steps();
    struct ct_request *other = submit("o", ",\"max_tokens\":20,\"seed\":1");
    struct ct_request *decoding = submit("d", ",\"max_tokens\":500");
    struct ct_request *prefill = submit(prompt, ",\"max_tokens\":5");
    ct_fake_allow(4);
    wait_for_steps(n + 4);
    ct_batcher_cancel(batcher, prefill, CT_CANCELLED);
    ct_batcher_cancel(batcher, decoding, CT_CANCELLED);
    int n_done = 0;
    bool is_finished;
    ct_fake_allow(1); /* the step that was under way */
    while (n_done < 2) {
        next(&is_finished);
        n_done += is_finished;
    }
    assert_in_range(ct_fake_n_steps() - n, 4, 6);
    assert_int_equal(prefill->sequences[0].error.status, CT_CANCELLED);
    assert_int_equal(prefill->sequences[0].n_generated, 0);
    assert_int_equal(decoding->sequences[0].error.status, CT_CANCELLED);
    assert_in_range(decoding->sequences[0].n_generated, 1, 6);
    ct_fake_release();
    finish(other);
    assert_int_equal(other->sequences[0].n_generated, 20);
    assert_int_equal(ct_fake_n_sessions(), 0);
    ct_request_close(other);
    ct_request_close(decoding);
    ct_request_close(prefill);
    close_batcher();
}

static void test_cancel_while_stalled(void **state)
{
    (void)state;
    open_batcher((struct ct_engine_options){0}, 64);
    struct ct_request *request = submit("d", ",\"max_tokens\":4000");
    wait_for_stall(request);
    ct_batcher_cancel(batcher, request, CT_CANCELLED);
    finish(request);
    assert_int_equal(ct_fake_n_sessions(), 0);
    ct_request_close(request);
    close_batcher();
}

static void test_deadline(void **state)
{
    (void)state;
    open_batcher((struct ct_engine_options){0}, 64);
    ct_fake_set_step_us(1000);
    struct ct_request *request = request_for("d", ",\"max_tokens\":4000");
    request->deadline_ns = request->received_ns + 20000000;
    assert_int_equal(ct_batcher_submit(batcher, request), CT_OK);
    finish(request);
    assert_int_equal(request->sequences[0].error.status, CT_DEADLINE);
    ct_request_close(request);
    close_batcher();
}

/* A thousand tokens take the fake engine a second, as it says. */
static void test_hopeless_deadline(void **state)
{
    (void)state;
    open_batcher((struct ct_engine_options){0}, 64);
    char prompt[1001];
    memset(prompt, 'p', 1000);
    prompt[1000] = '\0';
    ct_fake_hold();
    const int n_steps = ct_fake_n_steps();
    for (int is_late = 0; is_late < 2; is_late++) {
        struct ct_request *request = request_for(prompt, ",\"max_tokens\":50,\"timeout\":86400");
        request->deadline_ns = request->received_ns + (is_late ? 900000000u : 100000000000u);
        assert_int_equal(ct_batcher_submit(batcher, request), CT_OK);
        if (!is_late)
            ct_fake_release();
        finish(request);
        assert_int_equal(request->sequences[0].error.status, is_late ? CT_DEADLINE : CT_OK);
        assert_int_equal(request->sequences[0].n_generated, is_late ? 0 : 50);
        if (is_late)
            assert_non_null(strstr(request->sequences[0].error.message, "cannot be met"));
        ct_request_close(request);
        ct_fake_hold();
    }
    assert_true(ct_fake_n_steps() > n_steps);
    close_batcher();
}

static void test_failed_step_ends_its_batch(void **state)
{
    (void)state;
    open_batcher((struct ct_engine_options){0}, 64);
    ct_fake_fail_step(CT_INTERNAL);
    struct ct_request *request = submit("d", ",\"max_tokens\":9");
    finish(request);
    assert_int_equal(request->sequences[0].error.status, CT_INTERNAL);
    ct_request_close(request);
    check_text("echo:on|", "", "on", CT_FINISH_STOP, 3); /* and the next is served */
    close_batcher();
}

static void test_stop_ends_everything(void **state)
{
    (void)state;
    open_batcher((struct ct_engine_options){.max_sessions = 2}, 64);
    ct_fake_set_step_us(500);
    struct ct_request *requests[6];
    for (int i = 0; i < 6; i++)
        requests[i] = submit("d", ",\"max_tokens\":4000");
    ct_batcher_stop(batcher);
    bool is_finished;
    int n_done = 0;
    while (ct_batcher_next_ready(batcher, &is_finished) != NULL)
        n_done += is_finished;
    assert_int_equal(n_done, 6);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(requests[i]->sequences[0].error.status, CT_SHUTDOWN);
        ct_request_close(requests[i]);
    }
    struct ct_request *late = request_for("d", "");
    assert_int_equal(ct_batcher_submit(batcher, late), CT_SHUTDOWN);
    ct_request_close(late);
    ct_batcher_free(batcher);
    ct_engine_close(model->engine); /* asserts that no session is left */
}

/* Cancels at random moments, 10,000 times: nothing may be left open, and nothing may hang. */
static void test_nothing_leaks(void **state)
{
    (void)state;
    const uint64_t seed = 11;
    enum { ROUNDS = 10000, MAX_OPEN = 12 };
    printf("seed %llu\n", (unsigned long long)seed);
    struct ct_rng rng;
    ct_rng_init(&rng, seed);
    open_batcher(
        (struct ct_engine_options){
            .max_sessions = 8, .max_step_tok = 32, .memory_bytes = 150, .has_prefix_cache = true},
        8);
    struct ct_request *open[MAX_OPEN];
    int n_open = 0, n_begun = 0, n_done = 0;
    while (n_done < ROUNDS) {
        if (n_open < MAX_OPEN && n_begun < ROUNDS) {
            char members[64];
            snprintf(members, sizeof members, ",\"max_tokens\":%d,\"priority\":%d",
                     1 + (int)ct_rng_below(&rng, 40), (int)ct_rng_below(&rng, 3));
            open[n_open++] =
                submit(ct_rng_below(&rng, 2) ? "echo:some text|" : "what a long prompt", members);
            n_begun++;
        }
        if (n_open > 0 && ct_rng_below(&rng, 3) == 0)
            ct_batcher_cancel(batcher, open[ct_rng_below(&rng, (uint64_t)n_open)], CT_CANCELLED);
        bool is_finished = false;
        struct ct_request *request = n_open == MAX_OPEN || n_begun == ROUNDS
                                         ? next(&is_finished)
                                         : ct_batcher_next_ready(batcher, &is_finished);
        if (request == NULL || !is_finished)
            continue;
        for (int i = 0; i < n_open; i++)
            if (open[i] == request)
                open[i] = open[--n_open];
        ct_request_close(request);
        n_done++;
    }
    assert_int_equal(ct_fake_n_sessions(), 0);
    assert_int_equal(ct_fake_n_samplers(), 0);
    struct ct_batcher_stats stats;
    ct_batcher_stats(batcher, &stats);
    assert_true(stats.roster.n_yields > 0);
    assert_int_equal(stats.roster.n_running, 0);
    assert_int_equal(stats.roster.n_waiting, 0);
    close_batcher();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_and_stops),
        cmocka_unit_test(test_records_are_whole),
        cmocka_unit_test(test_seed_decides),
        cmocka_unit_test(test_choices_and_prompts),
        cmocka_unit_test(test_prompts_share_steps),
        cmocka_unit_test(test_decode_goes_on_beside_a_prompt),
        cmocka_unit_test(test_turns_when_a_step_is_too_small),
        cmocka_unit_test(test_queue_is_bounded),
        cmocka_unit_test(test_memory_is_bounded),
        cmocka_unit_test(test_text_after_giving_way),
        cmocka_unit_test(test_slow_reader_gives_way),
        cmocka_unit_test(test_slow_reader_sits_out),
        cmocka_unit_test(test_cancel_while_queued),
        cmocka_unit_test(test_cancel_in_prefill_and_decode),
        cmocka_unit_test(test_cancel_while_stalled),
        cmocka_unit_test(test_deadline),
        cmocka_unit_test(test_hopeless_deadline),
        cmocka_unit_test(test_failed_step_ends_its_batch),
        cmocka_unit_test(test_stop_ends_everything),
        cmocka_unit_test(test_nothing_leaks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
