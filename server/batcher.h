/* The request scheduler: admits requests, queues their sequences, and runs them together.
 *
 *   loop thread                               engine thread
 *   submit ---> [submitted] ------------------> waiting -> running --+  one step at a time:
 *   cancel ---> stop_status ------------------> ends it              |  a token of every sequence
 * that next_ready <--- [ready] <--- news <------------------------------+  decodes, and parts of
 * prompts, the rings  <--- records <------------------- sampled text           up to max_step_tok
 * in all
 *
 * First come, first served for a session; round robin among those that have one, so that nobody
 * starves. A sequence whose reader is slow (no room in its ring) sits out, alone. Nothing is
 * polled: without work the engine thread waits on a condition. The one lock, `lock`, is held for
 * list operations only and never while another lock is taken. (Continuous batching: Orca, OSDI
 * 2022, section 3.) */
#ifndef CT_SERVER_BATCHER_H
#define CT_SERVER_BATCHER_H

#include "server/request.h"

struct ct_batcher;

/* Called from the engine thread when ct_batcher_next_ready has something; must not block. */
typedef void ct_batcher_wake_fn(void *context);

/* Starts the engine thread. Sequences beyond max_in_flight are refused. CT_MEMORY, CT_INTERNAL. */
CT_MUST_CHECK enum ct_status ct_batcher_open(struct ct_engine *engine, int max_in_flight,
                                             ct_batcher_wake_fn *wake, void *context,
                                             struct ct_batcher **out);

/* Ends all that is in flight with CT_SHUTDOWN and joins the engine thread. Afterwards
 * ct_batcher_next_ready still hands out what has finished; ct_batcher_free, at last, releases the
 * rest. */
void ct_batcher_stop(struct ct_batcher *batcher);
void ct_batcher_free(struct ct_batcher *batcher);

/* ---- loop thread ---- */

/* The request is the batcher's until ct_batcher_next_ready gives it back as finished. CT_BUSY: too
 * many in flight; CT_SHUTDOWN. */
CT_MUST_CHECK enum ct_status ct_batcher_submit(struct ct_batcher *batcher,
                                               struct ct_request *request);

/* Ends a submitted request within one step; it still comes back through ct_batcher_next_ready. */
void ct_batcher_cancel(struct ct_batcher *batcher, struct ct_request *request, enum ct_status why);

/* A request with records to read or that has finished, or NULL. Once *is_finished, all of the
 * request is the caller's again. */
struct ct_request *ct_batcher_next_ready(struct ct_batcher *batcher, bool *is_finished);

/* After reading from a sequence's ring: lets a stalled sequence go on. */
void ct_batcher_read_from(struct ct_batcher *batcher, struct ct_sequence *sequence);

/* When a place in the queue is likely to be free: from the measured time that a sequence takes. */
int ct_batcher_retry_after_s(struct ct_batcher *batcher);

/* ---- any thread ---- */

struct ct_batcher_stats {
    int n_running, n_waiting;
    uint64_t n_steps;
    uint64_t n_prefill_tok, n_decode_tok; /* evaluated */
    uint64_t step_ns;                     /* in steps altogether */
    uint64_t stuck_ns; /* how long the step that runs now has taken; 0: none runs */
};
void ct_batcher_stats(struct ct_batcher *batcher, struct ct_batcher_stats *stats);

#endif
