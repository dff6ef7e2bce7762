#include "engine/base/pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__) || defined(__i386__)
#define RELAX() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define RELAX() __asm__ volatile("yield")
#else
#define RELAX() ((void)0)
#endif

enum {
    CACHE_LINE = 64,
    LINES_AHEAD = 4, /* cache lines read in a round of waiting */
    /* How long a worker spins for the next run before it parks: about the gap between two steps. */
    SPIN_ROUNDS = 20000,
    /* How long a barrier spins before it yields, for a machine with fewer cores than workers. */
    BARRIER_ROUNDS = 2000,
};

/* What is left of a worker's share, the first item in the high half and the end in the low one. Two
 * deals take turns, because a worker may deal again while another still looks for items. */
struct hand {
    _Alignas(CACHE_LINE) _Atomic uint64_t left[2];
    int turn;
    int64_t least;
};

struct worker {
    struct hand hand;
    struct ct_pool *pool;
    pthread_t thread;
    int index;
};

/* The owner raises `run` (a counter) to start a run; each worker raises `n_done` when it has ended
 * its part. A parked worker waits on `wake` with `lock` held while it looks at `run` again, so that
 * no start is missed. */
struct ct_pool {
    int n_workers;
    int n_started;
    struct worker *workers;
    ct_pool_fn *fn;
    void *context;
    pthread_mutex_t lock; /* of wake; the last: taken within a turn too */
    pthread_cond_t wake;
    pthread_mutex_t turn_lock; /* guards the turns below; let go before a turn begins */
    pthread_cond_t next_turn;
    uint64_t n_entered, n_left;
    _Alignas(64) atomic_uint run;
    atomic_int n_parked;
    atomic_bool is_closing;
    _Alignas(64) atomic_int n_done;
    _Alignas(64) atomic_int n_arrived;
    _Alignas(64) atomic_uint phase;
};

static void relax(int *n_rounds, int limit)
{
    if (++*n_rounds < limit) {
        RELAX();
    } else {
        *n_rounds = 0;
        sched_yield();
    }
}

/* Waits until run differs from seen; parks after a while. */
static unsigned wait_for_run(struct ct_pool *pool, unsigned seen)
{
    for (int i = 0; i < SPIN_ROUNDS; i++) {
        unsigned run = atomic_load_explicit(&pool->run, memory_order_acquire);
        if (run != seen)
            return run;
        RELAX();
    }
    pthread_mutex_lock(&pool->lock);
    atomic_fetch_add(&pool->n_parked, 1);
    unsigned run;
    while ((run = atomic_load(&pool->run)) == seen)
        pthread_cond_wait(&pool->wake, &pool->lock);
    atomic_fetch_sub(&pool->n_parked, 1);
    pthread_mutex_unlock(&pool->lock);
    return run;
}

static void start_run(struct ct_pool *pool)
{
    atomic_store(&pool->n_done, 0);
    atomic_fetch_add(&pool->run, 1);
    if (atomic_load(&pool->n_parked) > 0) {
        pthread_mutex_lock(&pool->lock);
        pthread_cond_broadcast(&pool->wake);
        pthread_mutex_unlock(&pool->lock);
    }
}

static void *worker_main(void *argument)
{
    struct worker *self = argument;
    struct ct_pool *pool = self->pool;
    unsigned seen = 0;
    for (;;) {
        seen = wait_for_run(pool, seen);
        if (atomic_load_explicit(&pool->is_closing, memory_order_acquire))
            return NULL;
        pool->fn(pool->context, self->index, pool->n_workers);
        atomic_fetch_add_explicit(&pool->n_done, 1, memory_order_release);
    }
}

enum ct_status ct_pool_open(int n_workers, struct ct_pool **out)
{
    *out = NULL;
    if (n_workers < 1 || n_workers > CT_MAX_WORKERS)
        return CT_INVALID;
    struct ct_pool *pool = aligned_alloc(64, sizeof *pool);
    if (pool == NULL)
        return CT_MEMORY;
    *pool = (struct ct_pool){.n_workers = n_workers, .n_started = 1};
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->wake, NULL);
    pthread_mutex_init(&pool->turn_lock, NULL);
    pthread_cond_init(&pool->next_turn, NULL);
    const size_t n_bytes = (size_t)n_workers * sizeof *pool->workers;
    pool->workers = aligned_alloc(CACHE_LINE, n_bytes);
    if (pool->workers == NULL) {
        ct_pool_close(pool);
        return CT_MEMORY;
    }
    memset(pool->workers, 0, n_bytes);
    for (int i = 1; i < n_workers; i++) {
        pool->workers[i].pool = pool;
        pool->workers[i].index = i;
        if (pthread_create(&pool->workers[i].thread, NULL, worker_main, &pool->workers[i]) != 0) {
            ct_pool_close(pool);
            return CT_MEMORY;
        }
        pool->n_started = i + 1;
    }
    *out = pool;
    return CT_OK;
}

void ct_pool_close(struct ct_pool *pool)
{
    if (pool == NULL)
        return;
    atomic_store(&pool->is_closing, true);
    start_run(pool);
    for (int i = 1; i < pool->n_started; i++)
        pthread_join(pool->workers[i].thread, NULL);
    pthread_cond_destroy(&pool->wake);
    pthread_mutex_destroy(&pool->lock);
    pthread_cond_destroy(&pool->next_turn);
    pthread_mutex_destroy(&pool->turn_lock);
    free(pool->workers);
    free(pool);
}

int ct_pool_n_workers(const struct ct_pool *pool)
{
    return pool->n_workers;
}

/* A turn is a number: whose turn it is is how many are over. */
void ct_pool_enter(struct ct_pool *pool)
{
    pthread_mutex_lock(&pool->turn_lock);
    const uint64_t turn = pool->n_entered++;
    while (pool->n_left != turn)
        pthread_cond_wait(&pool->next_turn, &pool->turn_lock);
    pthread_mutex_unlock(&pool->turn_lock);
}

void ct_pool_leave(struct ct_pool *pool)
{
    pthread_mutex_lock(&pool->turn_lock);
    pool->n_left++;
    pthread_cond_broadcast(&pool->next_turn);
    pthread_mutex_unlock(&pool->turn_lock);
}

void ct_pool_run(struct ct_pool *pool, ct_pool_fn *fn, void *context)
{
    if (pool->n_workers == 1) {
        fn(context, 0, 1);
        return;
    }
    pool->fn = fn;
    pool->context = context;
    start_run(pool);
    fn(context, 0, pool->n_workers);
    int n_rounds = 0;
    while (atomic_load_explicit(&pool->n_done, memory_order_acquire) != pool->n_workers - 1)
        relax(&n_rounds, BARRIER_ROUNDS);
}

void ct_pool_barrier(struct ct_pool *pool, struct ct_read_ahead *ahead)
{
    if (pool->n_workers == 1)
        return;
    unsigned phase = atomic_load_explicit(&pool->phase, memory_order_acquire);
    if (atomic_fetch_add_explicit(&pool->n_arrived, 1, memory_order_acq_rel) ==
        pool->n_workers - 1) {
        atomic_store_explicit(&pool->n_arrived, 0, memory_order_relaxed);
        atomic_store_explicit(&pool->phase, phase + 1, memory_order_release);
        return;
    }
    int n_rounds = 0;
    while (atomic_load_explicit(&pool->phase, memory_order_acquire) == phase) {
        for (int i = 0; i < LINES_AHEAD && ahead != NULL && ahead->at < ahead->end; i++) {
            __builtin_prefetch(ahead->at, 0, 2);
            ahead->at += CACHE_LINE;
        }
        relax(&n_rounds, BARRIER_ROUNDS);
    }
}

static uint64_t range(int64_t begin, int64_t end)
{
    return (uint64_t)begin << 32 | (uint64_t)end;
}

static int64_t begin_of(uint64_t range)
{
    return (int64_t)(range >> 32);
}

static int64_t end_of(uint64_t range)
{
    return (int64_t)(range & UINT32_MAX);
}

void ct_pool_deal(struct ct_pool *pool, int worker, int64_t n, int64_t least)
{
    struct hand *hand = &pool->workers[worker].hand;
    int64_t begin, end;
    ct_pool_share(n, 1, worker, pool->n_workers, &begin, &end);
    hand->turn ^= 1;
    hand->least = least;
    atomic_store_explicit(&hand->left[hand->turn], range(begin, end), memory_order_relaxed);
}

static int64_t n_left(const struct ct_pool *pool, int worker, int turn)
{
    const struct hand *hand = &pool->workers[worker].hand;
    const uint64_t left = atomic_load_explicit(&hand->left[turn], memory_order_relaxed);
    return end_of(left) - begin_of(left);
}

/* Whose share to take from: one's own, then the largest. */
static int fullest(const struct ct_pool *pool, int worker, int turn)
{
    int best = worker;
    if (n_left(pool, worker, turn) > 0)
        return worker;
    for (int i = 0; i < pool->n_workers; i++)
        if (n_left(pool, i, turn) > n_left(pool, best, turn))
            best = i;
    return best;
}

/* The owner takes from the front, the others from the end. */
bool ct_pool_take(struct ct_pool *pool, int worker, int64_t *begin, int64_t *end)
{
    const int turn = pool->workers[worker].hand.turn;
    const int64_t least = pool->workers[worker].hand.least;
    for (;;) {
        const int from = fullest(pool, worker, turn);
        _Atomic uint64_t *share = &pool->workers[from].hand.left[turn];
        uint64_t left = atomic_load_explicit(share, memory_order_relaxed);
        *begin = begin_of(left);
        *end = end_of(left);
        if (*begin == *end) {
            if (from == worker) /* nobody has any */
                return false;
            continue;
        }
        int64_t n = (*end - *begin) / (pool->n_workers > 1 ? 2 : 1);
        n = n > least ? n : least;
        n = n < *end - *begin ? n : *end - *begin;
        const int64_t cut = from == worker ? *begin + n : *end - n;
        const uint64_t rest = from == worker ? range(cut, *end) : range(*begin, cut);
        if (!atomic_compare_exchange_weak_explicit(share, &left, rest, memory_order_relaxed,
                                                   memory_order_relaxed))
            continue;
        if (from == worker)
            *end = cut;
        else
            *begin = cut;
        return true;
    }
}

void ct_pool_share(int64_t n, int64_t unit, int worker, int n_workers, int64_t *begin, int64_t *end)
{
    int64_t n_units = (n + unit - 1) / unit;
    int64_t first = n_units * worker / n_workers * unit;
    int64_t last = n_units * (worker + 1) / n_workers * unit;
    *begin = first < n ? first : n;
    *end = last < n ? last : n;
}
