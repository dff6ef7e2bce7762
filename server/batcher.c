#include "server/batcher.h"

#include "engine/base/clock.h"

#include <pthread.h>
#include <stdlib.h>

struct ct_batcher {
    int max_in_flight;
    ct_batcher_wake_fn *wake;
    void *context;
    pthread_t thread;

    pthread_mutex_t lock; /* guards this block */
    pthread_cond_t kick;
    struct ct_request *submitted, **submitted_end;
    struct ct_request *ready, **ready_end;
    int n_in_flight;
    bool is_kicked, is_stopping;
    struct ct_roster_stats stats; /* as the engine thread had them last */

    struct ct_roster roster;      /* the engine thread's */
    struct ct_request *estimates; /* the engine thread's: made, not yet published */

    atomic_ullong step_began_ns; /* 0: no step runs */
};

/* ---- engine thread ---- */

/* Under the lock. */
static void make_ready(struct ct_batcher *b, struct ct_request *request)
{
    if (request->is_ready)
        return;
    request->is_ready = true;
    request->next_ready = NULL;
    *b->ready_end = request;
    b->ready_end = &request->next_ready;
}

/* Tells the loop thread. After the lock is released a finished request may be gone. */
static void publish(struct ct_batcher *b)
{
    struct ct_roster *roster = &b->roster;
    const bool is_news = roster->n_news > 0 || b->estimates != NULL;
    pthread_mutex_lock(&b->lock);
    b->stats = roster->stats;
    for (int i = 0; i < roster->n_news; i++) {
        struct ct_sequence *sequence = roster->news[i];
        if (sequence->phase == CT_PHASE_DONE) {
            sequence->request->n_running--;
            b->n_in_flight--;
        }
        make_ready(b, sequence->request);
    }
    while (b->estimates != NULL) {
        struct ct_request *request = b->estimates;
        b->estimates = request->next_submitted;
        make_ready(b, request);
    }
    pthread_mutex_unlock(&b->lock);
    roster->n_news = 0;
    if (is_news)
        b->wake(b->context);
}

/* What the loop thread has submitted since. */
static struct ct_request *take_submitted(struct ct_batcher *b, bool *is_stopping)
{
    pthread_mutex_lock(&b->lock);
    struct ct_request *submitted = b->submitted;
    b->submitted = NULL;
    b->submitted_end = &b->submitted;
    b->is_kicked = false;
    *is_stopping = b->is_stopping;
    pthread_mutex_unlock(&b->lock);
    return submitted;
}

static void receive(struct ct_batcher *b, struct ct_request *submitted)
{
    const uint64_t now_ns = ct_clock_ns();
    while (submitted != NULL) {
        struct ct_request *request = submitted;
        submitted = request->next_submitted;
        if (request->is_estimate) {
            ct_roster_estimate(&b->roster, request, now_ns);
            request->next_submitted = b->estimates;
            b->estimates = request;
        } else {
            ct_roster_add(&b->roster, request, now_ns);
        }
    }
}

static void wait_for_kick(struct ct_batcher *b)
{
    pthread_mutex_lock(&b->lock);
    while (!b->is_kicked)
        pthread_cond_wait(&b->kick, &b->lock);
    pthread_mutex_unlock(&b->lock);
}

static void *run(void *context)
{
    struct ct_batcher *b = context;
    for (;;) {
        bool is_stopping;
        receive(b, take_submitted(b, &is_stopping));
        ct_roster_reap(&b->roster, ct_clock_ns(), is_stopping);
        const bool has_step = !is_stopping && ct_roster_prepare(&b->roster);
        publish(b);
        if (is_stopping)
            return NULL;
        if (has_step) {
            atomic_store(&b->step_began_ns, ct_clock_ns());
            ct_roster_step(&b->roster);
            atomic_store(&b->step_began_ns, 0);
            publish(b);
        } else if (!ct_roster_measure(&b->roster)) {
            wait_for_kick(b);
        }
    }
}

/* ---- loop thread ---- */

enum ct_status ct_batcher_open(struct ct_engine *engine, const struct ct_batcher_options *options,
                               ct_batcher_wake_fn *wake, void *context, struct ct_batcher **out)
{
    struct ct_batcher *b = calloc(1, sizeof *b);
    if (b == NULL)
        return CT_MEMORY;
    b->max_in_flight = options->max_in_flight;
    b->wake = wake;
    b->context = context;
    b->submitted_end = &b->submitted;
    b->ready_end = &b->ready;
    pthread_mutex_init(&b->lock, NULL);
    pthread_cond_init(&b->kick, NULL);
    enum ct_status status =
        ct_roster_init(&b->roster, engine, options->max_in_flight, options->token_ns);
    b->stats = b->roster.stats;
    if (status == CT_OK)
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
    ct_roster_deinit(&b->roster);
    free(b);
}

enum ct_status ct_batcher_submit(struct ct_batcher *b, struct ct_request *request)
{
    enum ct_status status = CT_OK;
    const int n = request->is_estimate ? 0 : request->n_sequences;
    pthread_mutex_lock(&b->lock);
    if (b->is_stopping) {
        status = CT_SHUTDOWN;
    } else if (b->n_in_flight + n > b->max_in_flight) {
        status = CT_BUSY;
    } else {
        b->n_in_flight += n;
        request->n_running = n;
        request->next_submitted = NULL;
        *b->submitted_end = request;
        b->submitted_end = &request->next_submitted;
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
    const double wait_s = b->stats.first_end_ns * 1e-9;
    pthread_mutex_unlock(&b->lock);
    return wait_s < 1 ? 1 : wait_s > 60 ? 60 : (int)(wait_s + 0.999);
}

void ct_batcher_stats(struct ct_batcher *b, struct ct_batcher_stats *stats)
{
    const uint64_t began_ns = atomic_load(&b->step_began_ns), now_ns = ct_clock_ns();
    pthread_mutex_lock(&b->lock);
    stats->roster = b->stats;
    stats->roster.n_waiting = b->n_in_flight - b->stats.n_running;
    pthread_mutex_unlock(&b->lock);
    stats->stuck_ns = began_ns > 0 && now_ns > began_ns ? now_ns - began_ns : 0;
}
