#include "server/batcher.h"

#include "engine/base/clock.h"
#include "engine/base/log.h"
#include "server/sequence.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

/* A prompt's part of a step is at least this long where there is room: shorter parts would stream
 * all weights for a handful of tokens. */
enum { MIN_CHUNK_TOK = 32 };

struct ct_batcher {
    struct ct_engine *engine;
    const struct ct_engine_info *info;
    int max_in_flight;
    ct_batcher_wake_fn *wake;
    void *context;
    pthread_t thread;

    pthread_mutex_t lock; /* guards this block */
    pthread_cond_t kick;
    struct ct_sequence *submitted, **submitted_end;
    struct ct_request *ready, **ready_end;
    int n_in_flight;
    bool is_kicked, is_stopping;
    double
        service_s; /* how long a sequence takes from admission on; a moving average, 0 at first */

    /* the engine thread's */
    struct ct_sequence *waiting, **waiting_end;
    struct ct_sequence **running; /* [max_sessions] */
    int n_running;
    int cursor;                 /* whose turn it is to be first */
    struct ct_slice *slices;    /* [max_sessions] */
    struct ct_sequence **batch; /* [max_sessions], of the slices */
    struct ct_sequence **news;  /* [max_news], to be published */
    int n_news, max_news;

    atomic_int n_running_now, n_in_flight_now;
    atomic_ullong n_steps, n_prefill_tok, n_decode_tok, step_ns;
    atomic_ullong step_began_ns; /* 0: no step runs */
};

/* ---- engine thread ---- */

/* Each sequence is in the news at most once before they are published: while it runs, and when it
 * ends. */
static void note(struct ct_batcher *b, struct ct_sequence *sequence)
{
    assert(b->n_news < b->max_news);
    b->news[b->n_news++] = sequence;
}

/* Tells the loop thread. After the lock is released a finished request may be gone. */
static void publish(struct ct_batcher *b)
{
    if (b->n_news == 0)
        return;
    pthread_mutex_lock(&b->lock);
    for (int i = 0; i < b->n_news; i++) {
        struct ct_sequence *sequence = b->news[i];
        struct ct_request *request = sequence->request;
        if (sequence->phase == CT_PHASE_DONE) {
            request->n_running--;
            b->n_in_flight--;
            if (sequence->admitted_ns > 0) {
                double took_s = (double)(sequence->done_ns - sequence->admitted_ns) * 1e-9;
                b->service_s += (b->service_s > 0 ? 0.1 : 1.0) * (took_s - b->service_s);
            }
        }
        if (!request->is_ready) {
            request->is_ready = true;
            request->next_ready = NULL;
            *b->ready_end = request;
            b->ready_end = &request->next_ready;
        }
    }
    atomic_store(&b->n_in_flight_now, b->n_in_flight);
    pthread_mutex_unlock(&b->lock);
    b->n_news = 0;
    b->wake(b->context);
}

static void finish(struct ct_batcher *b, struct ct_sequence *sequence)
{
    ct_sequence_finish(sequence);
    note(b, sequence);
}

/* Why a sequence must end now, or CT_OK. */
static enum ct_status end_of(const struct ct_sequence *sequence, uint64_t now, bool is_stopping)
{
    int status = atomic_load(&sequence->request->stop_status);
    if (status != CT_OK)
        return (enum ct_status)status;
    if (sequence->request->deadline_ns > 0 && now > sequence->request->deadline_ns)
        return CT_DEADLINE;
    return is_stopping ? CT_SHUTDOWN : CT_OK;
}

static void drop_finished(struct ct_batcher *b)
{
    int n = 0;
    for (int i = 0; i < b->n_running; i++)
        if (b->running[i]->phase != CT_PHASE_DONE)
            b->running[n++] = b->running[i];
    b->n_running = n;
    atomic_store(&b->n_running_now, n);
}

/* Ends what was cancelled, running or waiting. */
static void reap(struct ct_batcher *b, bool is_stopping)
{
    uint64_t now = ct_clock_ns();
    for (int i = 0; i < b->n_running; i++) {
        enum ct_status status = end_of(b->running[i], now, is_stopping);
        if (status != CT_OK) {
            ct_error_set(&b->running[i]->error, status, "%s", ct_status_text(status));
            finish(b, b->running[i]);
        }
    }
    drop_finished(b);
    for (struct ct_sequence **at = &b->waiting; *at != NULL;) {
        struct ct_sequence *sequence = *at;
        enum ct_status status = end_of(sequence, now, is_stopping);
        if (status == CT_OK) {
            at = &sequence->next;
            continue;
        }
        *at = sequence->next;
        ct_error_set(&sequence->error, status, "%s", ct_status_text(status));
        finish(b, sequence);
    }
    b->waiting_end = &b->waiting;
    while (*b->waiting_end != NULL)
        b->waiting_end = &(*b->waiting_end)->next;
}

/* Gives sessions to the sequences that have waited longest, as far as there are sessions and pages.
 */
static void admit(struct ct_batcher *b)
{
    while (b->waiting != NULL && b->n_running < b->info->max_sessions) {
        struct ct_sequence *sequence = b->waiting;
        enum ct_status status = ct_sequence_admit(sequence, b->engine);
        if (status == CT_BUSY && b->n_running > 0)
            return; /* what runs will give its pages back */
        if (status == CT_BUSY)
            ct_error_set(
                &sequence->error, CT_TOO_LARGE,
                "a prompt of %d tokens and %d to generate do not fit into the memory for keys "
                "and values (--memory)",
                sequence->n_prompt, sequence->max_tokens);
        b->waiting = sequence->next;
        if (b->waiting == NULL)
            b->waiting_end = &b->waiting;
        if (status == CT_OK)
            b->running[b->n_running++] = sequence;
        else
            finish(b, sequence);
        atomic_store(&b->n_running_now, b->n_running);
    }
}

static void add_slice(struct ct_batcher *b, int *n_slices, struct ct_sequence *sequence,
                      int n_tokens)
{
    b->batch[*n_slices] = sequence;
    b->slices[(*n_slices)++] = ct_sequence_slice(sequence, n_tokens);
}

static struct ct_sequence *in_turn(const struct ct_batcher *b, int i)
{
    return b->running[(b->cursor + i) % b->n_running];
}

/* Chooses the next step: first a token of each sequence that decodes, then the prompts share what
 * is left of the step. While somebody decodes, prompts get a quarter of a full step: they are sure
 * of it, and a long one does not hold up everybody's next token. Returns the number of slices. */
static int gather(struct ct_batcher *b)
{
    int n_slices = 0, n_prefill = 0, max_tok = b->info->max_step_tok;
    for (int i = 0; i < b->n_running; i++)
        n_prefill += b->running[i]->phase == CT_PHASE_PREFILL;
    int quarter = max_tok / 4 > MIN_CHUNK_TOK ? max_tok / 4 : MIN_CHUNK_TOK;
    if (quarter > (max_tok + 1) / 2)
        quarter = (max_tok + 1) / 2;
    int n_decode_max = n_prefill > 0 ? max_tok - quarter : max_tok;
    for (int i = 0; i < b->n_running && n_slices < n_decode_max; i++) {
        struct ct_sequence *sequence = in_turn(b, i);
        if (sequence->phase == CT_PHASE_DECODE && ct_sequence_has_room(sequence))
            add_slice(b, &n_slices, sequence, 1);
    }
    int budget = n_slices > 0 ? quarter : max_tok;
    for (int i = 0; i < b->n_running && n_prefill > 0 && budget > 0; i++) {
        struct ct_sequence *sequence = in_turn(b, i);
        if (sequence->phase != CT_PHASE_PREFILL)
            continue;
        int share = budget / n_prefill > MIN_CHUNK_TOK ? budget / n_prefill : MIN_CHUNK_TOK;
        int n_tokens = sequence->n_prompt - sequence->n_evaluated;
        if (n_tokens > share)
            n_tokens = share;
        if (n_tokens > budget)
            n_tokens = budget;
        n_prefill--;
        add_slice(b, &n_slices, sequence, n_tokens);
        budget -= n_tokens;
    }
    b->cursor = b->n_running > 0 ? (b->cursor + n_slices) % b->n_running : 0;
    return n_slices;
}

static void step(struct ct_batcher *b, int n_slices)
{
    struct ct_error err = {0};
    uint64_t began_ns = ct_clock_ns();
    atomic_store(&b->step_began_ns, began_ns);
    enum ct_status status = ct_engine_step(b->engine, b->slices, n_slices, &err);
    if (status != CT_OK)
        ct_log(CT_LOG_ERROR, "a step of %d sequences failed: %s", n_slices, err.message);
    for (int i = 0; i < n_slices; i++) {
        struct ct_sequence *sequence = b->batch[i];
        bool is_prefill = sequence->phase == CT_PHASE_PREFILL;
        atomic_fetch_add(is_prefill ? &b->n_prefill_tok : &b->n_decode_tok,
                         (unsigned long long)b->slices[i].n_tokens);
        bool is_news = false;
        if (status == CT_OK)
            is_news = ct_sequence_advance(sequence, b->engine, &b->slices[i]);
        else
            sequence->error = err;
        if (status != CT_OK || sequence->finish != CT_FINISH_NONE)
            finish(b, sequence);
        else if (is_news)
            note(b, sequence);
    }
    drop_finished(b);
    atomic_fetch_add(&b->n_steps, 1);
    atomic_fetch_add(&b->step_ns, ct_clock_ns() - began_ns);
    atomic_store(&b->step_began_ns, 0);
}

static void *run(void *context)
{
    struct ct_batcher *b = context;
    for (;;) {
        pthread_mutex_lock(&b->lock);
        bool is_stopping = b->is_stopping;
        if (b->submitted != NULL) {
            *b->waiting_end = b->submitted;
            b->waiting_end = b->submitted_end;
            b->submitted = NULL;
            b->submitted_end = &b->submitted;
        }
        b->is_kicked = false;
        pthread_mutex_unlock(&b->lock);

        reap(b, is_stopping);
        publish(b);
        admit(b);
        int n_slices = gather(b);
        if (n_slices > 0)
            step(b, n_slices);
        publish(b);
        if (is_stopping)
            return NULL;
        if (n_slices > 0)
            continue;
        pthread_mutex_lock(&b->lock);
        while (!b->is_kicked)
            pthread_cond_wait(&b->kick, &b->lock);
        pthread_mutex_unlock(&b->lock);
    }
}

/* ---- loop thread ---- */

enum ct_status ct_batcher_open(struct ct_engine *engine, int max_in_flight,
                               ct_batcher_wake_fn *wake, void *context, struct ct_batcher **out)
{
    const struct ct_engine_info *info = ct_engine_info(engine);
    size_t n = (size_t)info->max_sessions;
    struct ct_batcher *b = calloc(1, sizeof *b);
    if (b == NULL)
        return CT_MEMORY;
    b->engine = engine;
    b->info = info;
    b->max_in_flight = max_in_flight;
    b->wake = wake;
    b->context = context;
    b->submitted_end = &b->submitted;
    b->ready_end = &b->ready;
    b->waiting_end = &b->waiting;
    b->max_news = 2 * max_in_flight;
    b->running = calloc(n, sizeof *b->running);
    b->slices = calloc(n, sizeof *b->slices);
    b->batch = calloc(n, sizeof *b->batch);
    b->news = calloc((size_t)b->max_news, sizeof *b->news);
    pthread_mutex_init(&b->lock, NULL);
    pthread_cond_init(&b->kick, NULL);
    enum ct_status status = CT_MEMORY;
    if (b->running != NULL && b->slices != NULL && b->batch != NULL && b->news != NULL)
        status = pthread_create(&b->thread, NULL, run, b) == 0 ? CT_OK : CT_INTERNAL;
    if (status == CT_OK)
        *out = b;
    else
        ct_batcher_free(b);
    return status;
}

static void kick(struct ct_batcher *b)
{
    pthread_mutex_lock(&b->lock);
    b->is_kicked = true;
    pthread_cond_signal(&b->kick);
    pthread_mutex_unlock(&b->lock);
}

void ct_batcher_stop(struct ct_batcher *b)
{
    pthread_mutex_lock(&b->lock);
    b->is_stopping = true;
    pthread_mutex_unlock(&b->lock);
    kick(b);
    pthread_join(b->thread, NULL);
}

void ct_batcher_free(struct ct_batcher *b)
{
    if (b == NULL)
        return;
    pthread_cond_destroy(&b->kick);
    pthread_mutex_destroy(&b->lock);
    free(b->news);
    free(b->batch);
    free(b->slices);
    free(b->running);
    free(b);
}

enum ct_status ct_batcher_submit(struct ct_batcher *b, struct ct_request *request)
{
    enum ct_status status = CT_OK;
    pthread_mutex_lock(&b->lock);
    if (b->is_stopping) {
        status = CT_SHUTDOWN;
    } else if (b->n_in_flight + request->n_sequences > b->max_in_flight) {
        status = CT_BUSY;
    } else {
        b->n_in_flight += request->n_sequences;
        atomic_store(&b->n_in_flight_now, b->n_in_flight);
        request->n_running = request->n_sequences;
        for (int i = 0; i < request->n_sequences; i++) {
            struct ct_sequence *sequence = &request->sequences[i];
            sequence->next = NULL;
            *b->submitted_end = sequence;
            b->submitted_end = &sequence->next;
        }
        b->is_kicked = true;
        pthread_cond_signal(&b->kick);
    }
    pthread_mutex_unlock(&b->lock);
    return status;
}

void ct_batcher_cancel(struct ct_batcher *b, struct ct_request *request, enum ct_status why)
{
    int expected = CT_OK;
    if (atomic_compare_exchange_strong(&request->stop_status, &expected, why))
        kick(b);
}

struct ct_request *ct_batcher_next_ready(struct ct_batcher *b, bool *is_finished)
{
    pthread_mutex_lock(&b->lock);
    struct ct_request *request = b->ready;
    if (request != NULL) {
        b->ready = request->next_ready;
        if (b->ready == NULL)
            b->ready_end = &b->ready;
        request->is_ready = false;
        *is_finished = request->n_running == 0;
    }
    pthread_mutex_unlock(&b->lock);
    return request;
}

void ct_batcher_read_from(struct ct_batcher *b, struct ct_sequence *sequence)
{
    if (atomic_exchange(&sequence->is_stalled, false))
        kick(b);
}

int ct_batcher_retry_after_s(struct ct_batcher *b)
{
    pthread_mutex_lock(&b->lock);
    double service_s = b->service_s;
    int n_in_flight = b->n_in_flight;
    pthread_mutex_unlock(&b->lock);
    int n_running = atomic_load(&b->n_running_now);
    int n_waiting = n_in_flight - n_running;
    /* n_running sequences leave every service_s; those that wait go first. */
    double wait_s = service_s * (1.0 + n_waiting) / (n_running > 0 ? n_running : 1);
    return wait_s < 1 ? 1 : wait_s > 60 ? 60 : (int)(wait_s + 0.999);
}

void ct_batcher_stats(struct ct_batcher *b, struct ct_batcher_stats *stats)
{
    uint64_t began_ns = atomic_load(&b->step_began_ns);
    uint64_t now_ns = ct_clock_ns();
    stats->n_running = atomic_load(&b->n_running_now);
    stats->n_waiting = atomic_load(&b->n_in_flight_now) - stats->n_running;
    if (stats->n_waiting < 0)
        stats->n_waiting = 0; /* the two were read at different moments */
    stats->n_steps = atomic_load(&b->n_steps);
    stats->n_prefill_tok = atomic_load(&b->n_prefill_tok);
    stats->n_decode_tok = atomic_load(&b->n_decode_tok);
    stats->step_ns = atomic_load(&b->step_ns);
    stats->stuck_ns = began_ns > 0 && now_ns > began_ns ? now_ns - began_ns : 0;
}
