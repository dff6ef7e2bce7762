/* A pool of threads that run one function together, with a barrier that costs well under a
 * microsecond.
 *
 * The caller is worker 0. Between runs the workers spin for a short while and then park, so that
 * an idle process uses no CPU. One owner thread at a time calls ct_pool_run: several that share a
 * pool take turns, as two pools on the same processors would spin in each other's way.
 * ct_pool_barrier is for inside a run. */
#ifndef CT_BASE_POOL_H
#define CT_BASE_POOL_H

#include "engine/base/status.h"

#include <stdbool.h>
#include <stdint.h>

enum { CT_MAX_WORKERS = 256 };

struct ct_pool;

/* worker is 0..n_workers-1. */
typedef void ct_pool_fn(void *context, int worker, int n_workers);

/* n_workers includes the caller: 1..CT_MAX_WORKERS. CT_INVALID, CT_MEMORY; nothing is left behind
 * on an error. */
CT_MUST_CHECK enum ct_status ct_pool_open(int n_workers, struct ct_pool **out);
void ct_pool_close(struct ct_pool *pool);
int ct_pool_n_workers(const struct ct_pool *pool);

/* The pool is the caller's from enter to leave. Owners that wait get it in the order in which they
 * came. Allocates nothing. */
void ct_pool_enter(struct ct_pool *pool);
void ct_pool_leave(struct ct_pool *pool);

/* Runs fn once on every worker and returns when all have ended. */
void ct_pool_run(struct ct_pool *pool, ct_pool_fn *fn, void *context);

/* Memory that a worker will read next: [at, end). */
struct ct_read_ahead {
    const char *at, *end;
};

/* Inside a run: returns when every worker has called it; what each wrote before is seen by all
 * after. A worker that waits reads ahead meanwhile and moves ahead->at; NULL: it only waits. */
void ct_pool_barrier(struct ct_pool *pool, struct ct_read_ahead *ahead);

/* Shares n items out among the workers of a run as they go, for work whose workers are not equally
 * fast: each takes its own share in ever smaller parts, of `least` items at least, and then parts
 * of what others have left. Every worker deals the same, then passes a barrier, then takes until
 * it gets nothing, and passes another barrier before the next deal but one. n <= INT32_MAX. */
void ct_pool_deal(struct ct_pool *pool, int worker, int64_t n, int64_t least);
bool ct_pool_take(struct ct_pool *pool, int worker, int64_t *begin, int64_t *end);

/* The part of n items that is worker's: [*begin, *end), cut at multiples of unit where possible. */
void ct_pool_share(int64_t n, int64_t unit, int worker, int n_workers, int64_t *begin,
                   int64_t *end);

#endif
