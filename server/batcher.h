/* The request scheduler of one model: admits requests, queues their sequences, and runs them
 * together. The only place where the loop's thread and an engine's meet; engines' threads meet at
 * the pool (engine/base/pool.h), for the time of a step.
 *
 *   loop thread                                engine thread
 *   submit ---> [submitted] -------------------> roster (roster.h): one step at a time, with a
 *   token cancel ---> stop_status -------------------> of every sequence that decodes and parts of
 *   prompts next_ready <--- [ready] <--- news <----------- what has text, or has ended
 *               the rings <--- records <--------- sampled text
 *
 * A sequence whose reader is slow (no room in its ring) sits out, alone. Nothing is polled:
 * without work the engine thread waits on a condition. The one lock, `lock`, is held for list
 * operations only and never while another lock is taken. (Continuous batching: Orca, OSDI 2022,
 * section 3.) */
#ifndef CT_SERVER_BATCHER_H
#define CT_SERVER_BATCHER_H

#include "server/request.h"
#include "server/roster.h"

struct ct_batcher;

struct ct_batcher_options {
    int max_in_flight; /* sequences, running and waiting; more are refused */
    double token_ns;   /* between two tokens of an answer: aimed at while prompts are read */
};

/* Called from the engine thread when ct_batcher_next_ready has something; must not block. */
typedef void ct_batcher_wake_fn(void *context);

/* Starts the engine thread. CT_MEMORY, CT_INTERNAL. */
CT_MUST_CHECK enum ct_status ct_batcher_open(struct ct_engine *engine,
                                             const struct ct_batcher_options *options,
                                             ct_batcher_wake_fn *wake, void *context,
                                             struct ct_batcher **out);

/* Ends all that is in flight with CT_SHUTDOWN and joins the engine thread. Afterwards
 * ct_batcher_next_ready still hands out what has finished; ct_batcher_free, at last, releases the
 * rest. */
void ct_batcher_stop(struct ct_batcher *batcher);
void ct_batcher_free(struct ct_batcher *batcher);

/* ---- loop thread ---- */

/* The request is the batcher's until ct_batcher_next_ready gives it back as finished. An estimate
 * is made between two steps, whatever is in flight. CT_BUSY: too many in flight; CT_SHUTDOWN. */
CT_MUST_CHECK enum ct_status ct_batcher_submit(struct ct_batcher *batcher,
                                               struct ct_request *request);

/* Ends a submitted request within one step; it still comes back through ct_batcher_next_ready. */
void ct_batcher_cancel(struct ct_batcher *batcher, struct ct_request *request, enum ct_status why);

/* A request with records to read or that has finished, or NULL. Once *is_finished, all of the
 * request is the caller's again. */
struct ct_request *ct_batcher_next_ready(struct ct_batcher *batcher, bool *is_finished);

/* After reading from a sequence's ring: lets a stalled sequence go on. */
void ct_batcher_read_from(struct ct_batcher *batcher, struct ct_sequence *sequence);

/* When a place in the queue is likely to be free, by the model of costs: 1..60. */
int ct_batcher_retry_after_s(struct ct_batcher *batcher);

/* ---- any thread ---- */

struct ct_batcher_stats {
    struct ct_roster_stats roster; /* as of the last step; n_waiting: of now */
    uint64_t stuck_ns;             /* how long the step that runs now has taken; 0: none runs */
};
void ct_batcher_stats(struct ct_batcher *batcher, struct ct_batcher_stats *stats);

#endif
