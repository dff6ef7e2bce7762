#include "server/roster.h"

#include "engine/base/clock.h"
#include "engine/base/log.h"
#include "server/sequence.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* However long its step gets, prompts go on by this much; and without anybody who waits for a
 * token they may take this many times as long. */
enum { MIN_CHUNK_TOK = 16, PROMPT_TIMES = 4 };

/* A deadline is out of reach when the chance to meet it is smaller than this. */
static const double least_chance = 0.05;

static struct ct_sequence *sequence_of(struct ct_turn *turn)
{
    return (struct ct_sequence *)((char *)turn - offsetof(struct ct_sequence, turn));
}

/* ---- lists ---- */

enum ct_status ct_roster_init(struct ct_roster *r, struct ct_engine *engine, int max_turns,
                              double token_ns)
{
    const struct ct_engine_info *info = ct_engine_info(engine);
    const size_t n_turns = (size_t)max_turns, n_sessions = (size_t)info->max_sessions;
    *r = (struct ct_roster){
        .engine = engine,
        .info = info,
        .limits = {info->max_sessions, info->max_step_tok, MIN_CHUNK_TOK, token_ns,
                   PROMPT_TIMES * token_ns},
    };
    ct_pace_init(&r->pace);
    r->clients = calloc(n_turns + 1, sizeof *r->clients);
    r->waiting = calloc(n_turns, sizeof *r->waiting);
    r->running = calloc(n_sessions, sizeof *r->running);
    r->batch = calloc(n_sessions, sizeof *r->batch);
    r->slices = calloc(n_sessions, sizeof *r->slices);
    r->news = calloc(n_turns, sizeof *r->news);
    r->ranked = calloc(n_turns + CT_MAX_SEQUENCES, sizeof *r->ranked);
    r->items = calloc(n_turns + CT_MAX_SEQUENCES, sizeof *r->items);
    if (r->clients == NULL || r->waiting == NULL || r->running == NULL || r->batch == NULL ||
        r->slices == NULL || r->news == NULL || r->ranked == NULL || r->items == NULL) {
        ct_roster_deinit(r);
        return CT_MEMORY;
    }
    ct_schedule_init(&r->schedule, r->clients, max_turns + 1);
    r->stats.pages = ct_engine_count_pages(engine);
    return CT_OK;
}

void ct_roster_deinit(struct ct_roster *r)
{
    free(r->clients);
    free(r->waiting);
    free(r->running);
    free(r->batch);
    free(r->slices);
    free(r->news);
    free(r->ranked);
    free(r->items);
}

/* News are taken after each step and before the next, so that a sequence is in them at most once.
 * */
static void note(struct ct_roster *r, struct ct_sequence *sequence)
{
    r->news[r->n_news++] = sequence;
}

/* The sequence is in no list, or about to leave it. */
static void finish(struct ct_roster *r, struct ct_sequence *sequence)
{
    ct_schedule_leave(&sequence->turn);
    ct_sequence_finish(sequence);
    note(r, sequence);
}

/* Removes turn i; the order of the rest stays. */
static void take_out(struct ct_turn **turns, int *n, int i)
{
    (*n)--;
    memmove(turns + i, turns + i + 1, (size_t)(*n - i) * sizeof *turns);
}

static void yield(struct ct_roster *r, int i)
{
    struct ct_turn *turn = r->running[i];
    ct_sequence_yield(sequence_of(turn));
    take_out(r->running, &r->n_running, i);
    r->waiting[r->n_waiting++] = turn;
    r->stats.n_yields++;
}

/* Why a sequence must end now, or CT_OK. */
static enum ct_status end_of(const struct ct_sequence *sequence, uint64_t now_ns, bool is_stopping)
{
    const int status = atomic_load(&sequence->request->stop_status);
    if (status != CT_OK)
        return (enum ct_status)status;
    if (sequence->request->deadline_ns > 0 && now_ns > sequence->request->deadline_ns)
        return CT_DEADLINE;
    return is_stopping ? CT_SHUTDOWN : CT_OK;
}

static void reap(struct ct_roster *r, struct ct_turn **turns, int *n, uint64_t now_ns,
                 bool is_stopping)
{
    for (int i = *n; i-- > 0;) {
        struct ct_sequence *sequence = sequence_of(turns[i]);
        const enum ct_status status = end_of(sequence, now_ns, is_stopping);
        if (status == CT_OK)
            continue;
        ct_error_set(&sequence->error, status, "%s", ct_status_text(status));
        take_out(turns, n, i);
        finish(r, sequence);
    }
}

void ct_roster_reap(struct ct_roster *r, uint64_t now_ns, bool is_stopping)
{
    reap(r, r->running, &r->n_running, now_ns, is_stopping);
    reap(r, r->waiting, &r->n_waiting, now_ns, is_stopping);
}

/* ---- outlook ---- */

/* How many of n more tokens an answer is likely to have, if each is the last with the chance seen
 * so far; to begin with, one of 256 is taken to be. */
static double chance_to_end(const struct ct_roster *r)
{
    return (double)(r->n_ended + 1) / (double)(r->n_generated + 256);
}

static double expected_tokens(const struct ct_roster *r, int n)
{
    const double chance = chance_to_end(r);
    return (1 - pow(1 - chance, n)) / chance;
}

static struct ct_outlook_item item_of(const struct ct_roster *r, struct ct_turn *turn)
{
    const struct ct_sequence *sequence = sequence_of(turn);
    const int n_left = sequence->max_tokens - sequence->n_generated;
    struct ct_outlook_item item = {.n_context = turn->n_done,
                                   .n_answer = expected_tokens(r, n_left)};
    if (sequence->phase == CT_PHASE_WAITING) /* a sibling's prompt will be there by then */
        item.n_context = sequence->leader != NULL && r->info->has_prefix_cache ? turn->n_tok - 1
                         : sequence->tokens != NULL                            ? 0
                                                    : sequence->n_reusable;
    if (sequence->phase == CT_PHASE_WAITING || !ct_turn_is_decoding(turn))
        item.n_prompt = turn->n_tok - item.n_context;
    return item;
}

static int by_rank(const void *a, const void *b)
{
    const struct ct_turn *x = *(struct ct_turn *const *)a, *y = *(struct ct_turn *const *)b;
    return x == y ? 0 : ct_turn_is_before(x, y) ? -1 : 1;
}

/* Plays forward what is at work, and what waits before the turns of asked, whose answers have all
 * their tokens. NULL: until anything ends. */
static struct ct_outlook look_out(struct ct_roster *r, struct ct_request *asked)
{
    struct ct_outlook outlook;
    int n = 0;
    for (int i = 0; i < r->n_running; i++)
        r->ranked[n++] = r->running[i];
    if (asked != NULL) {
        for (int i = 0; i < r->n_waiting; i++)
            r->ranked[n++] = r->waiting[i];
        for (int i = 0; i < asked->n_sequences; i++)
            r->ranked[n++] = &asked->sequences[i].turn;
        qsort(r->ranked, (size_t)r->n_running, sizeof *r->ranked, by_rank);
        qsort(r->ranked + r->n_running, (size_t)(n - r->n_running), sizeof *r->ranked, by_rank);
    }
    for (int i = 0; i < n; i++) {
        const struct ct_sequence *sequence = sequence_of(r->ranked[i]);
        r->items[i] = item_of(r, r->ranked[i]);
        r->items[i].is_asked = sequence->request == asked;
        if (r->items[i].is_asked)
            r->items[i].n_answer = sequence->max_tokens;
    }
    ct_forecast(&r->pace, &r->limits, r->items, r->n_running, n, &outlook);
    return outlook;
}

/* Makes the request's turns such as can be ranked. */
static void enter(struct ct_roster *r, struct ct_request *request, uint64_t now_ns)
{
    for (int i = 0; i < request->n_sequences; i++) {
        struct ct_sequence *sequence = &request->sequences[i];
        sequence->n_reusable =
            ct_engine_n_reusable(r->engine, sequence->prompt->tokens, sequence->prompt->n_tok);
        const int n_new = sequence->prompt->n_tok - sequence->n_reusable;
        const struct ct_work work = {n_new, 1, ct_work_keys(sequence->n_reusable, n_new)};
        sequence->turn.due_ns = now_ns + (uint64_t)ct_pace_ns(&r->pace, &work);
        ct_schedule_enter(&r->schedule, &sequence->turn, request->client);
    }
}

/* What is still to be measured of the pace, for those who ask just after the start. */
static void measure_all(struct ct_roster *r)
{
    while (r->n_running == 0 && ct_roster_measure(r))
        ;
}

void ct_roster_estimate(struct ct_roster *r, struct ct_request *request, uint64_t now_ns)
{
    struct ct_ledger *estimate = &request->estimate;
    *estimate = (struct ct_ledger){0};
    measure_all(r);
    enter(r, request, now_ns);
    for (int i = 0; i < request->n_sequences; i++) {
        const struct ct_sequence *sequence = &request->sequences[i];
        estimate->n_generated_tok += sequence->max_tokens;
        if (sequence->leader == NULL) {
            estimate->n_prompt_tok += sequence->prompt->n_tok;
            estimate->n_cached_tok += sequence->n_reusable;
        }
    }
    const struct ct_outlook outlook = look_out(r, request);
    for (int i = 0; i < request->n_sequences; i++)
        ct_schedule_leave(&request->sequences[i].turn);
    estimate->queue_ns = (uint64_t)outlook.admitted_ns;
    estimate->prefill_ns = (uint64_t)(outlook.first_ns - outlook.admitted_ns);
    estimate->decode_ns = (uint64_t)(outlook.done_ns - outlook.first_ns);
    estimate->prefill.pj = outlook.prefill_pj;
    estimate->decode.pj = outlook.decode_pj;
}

/* Whether a request that has just entered can hardly be through by its deadline: its first token
 * would be late, or it would have to end by itself sooner than answers do. */
static bool is_hopeless(struct ct_roster *r, struct ct_request *request, uint64_t now_ns)
{
    if (request->deadline_ns == 0 || !r->pace.is_known)
        return false;
    const struct ct_outlook outlook = look_out(r, request);
    const double left_ns = (double)request->deadline_ns - (double)now_ns;
    int n_most = 0;
    for (int i = 0; i < request->n_sequences; i++)
        if (request->sequences[i].max_tokens > n_most)
            n_most = request->sequences[i].max_tokens;
    if (outlook.done_ns <= left_ns)
        return false;
    const double token_ns = (outlook.done_ns - outlook.first_ns) / fmax(1, n_most - 1);
    const double n_fit = 1 + (left_ns - outlook.first_ns) / token_ns;
    const double chance = n_fit < 1 ? 0 : 1 - pow(1 - chance_to_end(r), n_fit);
    if (chance >= least_chance)
        return false;
    for (int i = 0; i < request->n_sequences; i++)
        ct_error_set(
            &request->sequences[i].error, CT_DEADLINE,
            "the deadline in %.3f s cannot be met: the first token is expected after %.3f s "
            "and all %d after %.3f s",
            left_ns * 1e-9, outlook.first_ns * 1e-9, n_most, outlook.done_ns * 1e-9);
    return true;
}

static int pages_of(const struct ct_roster *r, int n_tok)
{
    return (n_tok + r->info->page_tok - 1) / r->info->page_tok;
}

/* Whether the sequence's tokens are more than all pages hold. */
static bool is_too_large(const struct ct_roster *r, struct ct_sequence *sequence)
{
    if (pages_of(r, sequence->prompt->n_tok + sequence->max_tokens) <= r->info->n_kv_pages)
        return false;
    ct_error_set(
        &sequence->error, CT_TOO_LARGE,
        "a prompt of %d tokens and %d to generate are more than the %lld tokens that the memory "
        "for keys and values holds (--memory)",
        sequence->prompt->n_tok, sequence->max_tokens,
        (long long)r->info->n_kv_pages * r->info->page_tok);
    return true;
}

void ct_roster_add(struct ct_roster *r, struct ct_request *request, uint64_t now_ns)
{
    if (request->deadline_ns > 0)
        measure_all(r);
    enter(r, request, now_ns);
    bool is_refused = is_hopeless(r, request, now_ns);
    for (int i = 0; i < request->n_sequences; i++)
        is_refused |= is_too_large(r, &request->sequences[i]);
    for (int i = 0; i < request->n_sequences; i++) {
        if (is_refused)
            finish(r, &request->sequences[i]);
        else
            r->waiting[r->n_waiting++] = &request->sequences[i].turn;
    }
}

/* ---- a round ---- */

/* Whether a sequence may take part now. Choices wait until the first one has read their prompt. */
static void check_ready(struct ct_roster *r, struct ct_turn *turn)
{
    struct ct_sequence *sequence = sequence_of(turn);
    const struct ct_sequence *leader = sequence->leader;
    turn->is_ready = ct_sequence_has_room(sequence) &&
                     (leader == NULL || !r->info->has_prefix_cache ||
                      leader->phase == CT_PHASE_DONE || leader->n_generated > 0);
}

/* Whether there are a session and pages for it, and one page more for everybody who runs. */
static bool has_place(const struct ct_roster *r, struct ct_turn *turn)
{
    const struct ct_sequence *sequence = sequence_of(turn);
    if (r->n_running == 0)
        return true;
    if (r->n_running == r->info->max_sessions)
        return false;
    const struct ct_page_counts pages = ct_engine_count_pages(r->engine);
    const int32_t *tokens = sequence->tokens != NULL ? sequence->tokens : sequence->prompt->tokens;
    const int n_shared = ct_engine_n_reusable(r->engine, tokens, turn->n_tok) / r->info->page_tok;
    return pages.n_free + pages.n_kept >= pages_of(r, turn->n_tok) - n_shared + r->n_running;
}

/* Has somebody who runs give way to turn: one that cannot go on now, or of lower priority. */
static bool make_way(struct ct_roster *r, const struct ct_turn *turn)
{
    const int i = ct_schedule_victim(r->running, r->n_running);
    if (i < 0 || (r->running[i]->is_ready && r->running[i]->priority <= turn->priority))
        return false;
    yield(r, i);
    return true;
}

static void admit(struct ct_roster *r)
{
    for (int i = 0; i < r->n_waiting; i++)
        check_ready(r, r->waiting[i]);
    for (;;) {
        const int i = ct_schedule_next(&r->schedule, r->waiting, r->n_waiting);
        if (i < 0)
            return;
        struct ct_turn *turn = r->waiting[i];
        struct ct_sequence *sequence = sequence_of(turn);
        const enum ct_status status =
            has_place(r, turn) ? ct_sequence_admit(sequence, r->engine) : CT_BUSY;
        if (status == CT_BUSY && make_way(r, turn))
            continue;
        if (status == CT_BUSY)
            return;
        take_out(r->waiting, &r->n_waiting, i);
        ct_schedule_count(&r->schedule);
        if (status != CT_OK) {
            finish(r, sequence);
            continue;
        }
        r->running[r->n_running++] = turn;
    }
}

/* Prompts that are still to be begun may find what others have read since they were admitted. */
static void look_again(struct ct_roster *r)
{
    for (int i = 0; i < r->n_running; i++) {
        struct ct_turn *turn = r->running[i];
        struct ct_sequence *sequence = sequence_of(turn);
        if (turn->n_done > 0 || ct_engine_n_reusable(r->engine, sequence->tokens, turn->n_tok) == 0)
            continue;
        ct_sequence_yield(sequence);
        if (ct_sequence_admit(sequence, r->engine) == CT_OK)
            continue;
        take_out(r->running, &r->n_running, i--);
        r->waiting[r->n_waiting++] = turn;
    }
}

/* Pages for the next token of all that decode, if some must yield for it. */
static void make_room(struct ct_roster *r)
{
    for (int i = 0; i < r->n_running;) {
        const struct ct_turn *turn = r->running[i];
        const struct ct_sequence *sequence = sequence_of(r->running[i]);
        if (!turn->is_ready || ct_session_reserve(sequence->session, turn->n_tok) == CT_OK) {
            i++;
            continue;
        }
        yield(r, ct_schedule_victim(r->running, r->n_running));
        i = 0;
    }
}

static int n_before_first_prompt(const struct ct_roster *r)
{
    for (int i = 0; i < r->n_running; i++)
        if (r->running[i]->is_ready && !ct_turn_is_decoding(r->running[i]))
            return r->running[i]->n_done;
    return -1;
}

bool ct_roster_prepare(struct ct_roster *r)
{
    for (int i = 0; i < r->n_running; i++)
        check_ready(r, r->running[i]);
    look_again(r);
    admit(r);
    make_room(r);
    r->stats.n_running = r->n_running;
    r->stats.n_waiting = r->n_waiting;
    r->stats.pages = ct_engine_count_pages(r->engine); /* what was cancelled has let its pages go */

    const int n_before = n_before_first_prompt(r), max_tok = r->info->max_step_tok;
    const int n_kept = n_before < 0                        ? 0
                       : MIN_CHUNK_TOK < (max_tok + 1) / 2 ? MIN_CHUNK_TOK
                                                           : (max_tok + 1) / 2;
    struct ct_work work = {0};
    ct_schedule_decodes(r->running, r->n_running, max_tok - n_kept);
    for (int i = 0; i < r->n_running; i++) {
        if (r->running[i]->n_step == 0)
            continue;
        work.n_tok++;
        work.n_logits++;
        work.n_keys += r->running[i]->n_done + 1;
    }
    int n = work.n_tok;
    if (n_before >= 0)
        n += ct_schedule_prompts(&r->schedule, r->running, r->n_running,
                                 ct_prompt_budget(&r->pace, &r->limits, &work, n_before));
    return n > 0;
}

/* Books what a slice took: on its client, and in the sums. Returns its share of the step's work. */
static void book(struct ct_roster *r, struct ct_turn *turn, const struct ct_slice *slice,
                 struct ct_work *work)
{
    *(ct_turn_is_decoding(turn) ? &r->stats.n_decode_tok : &r->stats.n_prefill_tok) +=
        (uint64_t)slice->n_tokens;
    turn->client->served_ns += (double)slice->cost.ns;
    turn->last_step = r->stats.n_steps;
    work->n_tok += slice->n_tokens;
    work->n_logits += slice->n_logits;
    work->n_keys += ct_work_keys(turn->n_done, slice->n_tokens);
}

/* The sequence after its slice: news, the end, or neither. */
static void advance(struct ct_roster *r, struct ct_turn *turn, const struct ct_slice *slice,
                    const struct ct_error *err)
{
    struct ct_sequence *sequence = sequence_of(turn);
    const int n_generated = sequence->n_generated;
    bool is_news = false;
    if (err->status == CT_OK)
        is_news = ct_sequence_advance(sequence, r->engine, slice);
    else
        sequence->error = *err;
    r->n_generated += (uint64_t)(sequence->n_generated - n_generated);
    if (n_generated == 0 && sequence->n_generated > 0) {
        r->stats.n_prompt_tok += (uint64_t)sequence->prompt->n_tok;
        r->stats.n_cached_tok += (uint64_t)sequence->n_cached;
    }
    r->n_ended += sequence->finish == CT_FINISH_STOP;
    if (err->status != CT_OK || sequence->finish != CT_FINISH_NONE)
        finish(r, sequence);
    else if (is_news)
        note(r, sequence);
}

void ct_roster_step(struct ct_roster *r)
{
    struct ct_error err = {.status = CT_OK};
    struct ct_work work = {0};
    double ns = 0, pj = 0;
    int n = 0;
    for (int i = 0; i < r->n_running; i++) {
        if (r->running[i]->n_step == 0)
            continue;
        r->slices[n] = ct_sequence_slice(sequence_of(r->running[i]));
        r->batch[n++] = r->running[i];
    }
    const uint64_t began_ns = ct_clock_ns();
    if (ct_engine_step(r->engine, r->slices, n, &err) != CT_OK)
        ct_log(CT_LOG_ERROR, "a step of %d sequences failed: %s", n, err.message);
    for (int i = 0; i < n; i++) {
        if (err.status == CT_OK) {
            book(r, r->batch[i], &r->slices[i], &work);
            ns += (double)r->slices[i].cost.ns;
            pj += r->slices[i].cost.pj;
        }
        advance(r, r->batch[i], &r->slices[i], &err);
    }
    if (err.status == CT_OK)
        ct_pace_learn(&r->pace, &work, ns, pj);
    for (int i = r->n_running; i-- > 0;)
        if (sequence_of(r->running[i])->phase == CT_PHASE_DONE)
            take_out(r->running, &r->n_running, i);
    r->stats.n_steps++;
    r->stats.step_ns += ct_clock_ns() - began_ns;
    r->stats.n_running = r->n_running;
    r->stats.pages = ct_engine_count_pages(r->engine);
    r->stats.first_end_ns = r->n_waiting > 0 ? look_out(r, NULL).first_end_ns : 0;
}

static bool next_probe(struct ct_roster *r, struct ct_probe *probe)
{
    return ct_pace_probe(&r->pace, r->info->max_step_tok, r->info->max_step_logits,
                         r->info->context_tok, probe);
}

bool ct_roster_measure(struct ct_roster *r)
{
    struct ct_probe probe;
    struct ct_cost cost;
    if (!next_probe(r, &probe))
        return false;
    if (ct_engine_measure(r->engine, probe.n_tok, probe.n_logits, probe.depth, &cost) == CT_OK)
        ct_pace_probed(&r->pace, &probe, (double)cost.ns, cost.pj);
    else
        ct_pace_skip(&r->pace, &probe);
    r->stats.is_measured = !next_probe(r, &probe);
    return true;
}
