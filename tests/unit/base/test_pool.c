/* The pool: every worker runs, the barrier orders their writes, idle workers can be woken again. */
#include "tests/support/unit.h"

#include "engine/base/pool.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

enum { N_ROUNDS = 60, MAX_WORKERS = 5, N_OWNERS = 3, N_TURNS = 20 };

struct job {
    struct ct_pool *pool;
    int values[MAX_WORKERS]; /* plain: the barrier alone orders them */
    int n_turns;             /* plain: the turns alone order it */
    atomic_int n_wrong;
};

/* Each worker writes its own place, waits, and must see what all others wrote. */
static void exchange(void *context, int worker, int n_workers)
{
    struct job *job = context;
    for (int round = 1; round <= N_ROUNDS; round++) {
        job->values[worker] = round;
        ct_pool_barrier(job->pool, NULL);
        for (int i = 0; i < n_workers; i++)
            if (job->values[i] != round)
                atomic_fetch_add(&job->n_wrong, 1);
        ct_pool_barrier(job->pool, NULL);
    }
}

static void workers_see_each_other_behind_the_barrier(void **state)
{
    (void)state;
    for (int n = 1; n <= MAX_WORKERS; n++) {
        struct job job = {0};
        assert_int_equal(ct_pool_open(n, &job.pool), CT_OK);
        assert_int_equal(ct_pool_n_workers(job.pool), n);
        for (int run = 0; run < 10; run++) {
            memset(job.values, 0, sizeof job.values);
            ct_pool_run(job.pool, exchange, &job);
            if (run % 5 == 0)
                usleep(3000); /* long enough for the workers to park */
        }
        assert_int_equal(job.n_wrong, 0);
        ct_pool_close(job.pool);
    }
}

/* An owner's turns: what the others did in theirs is seen, and nobody is in between. */
static void *take_turns_with_others(void *context)
{
    struct job *job = context;
    for (int turn = 0; turn < N_TURNS; turn++) {
        ct_pool_enter(job->pool);
        const int n_before = job->n_turns;
        ct_pool_run(job->pool, exchange, job);
        job->n_turns = n_before + 1;
        ct_pool_leave(job->pool);
    }
    return NULL;
}

static void owners_take_turns(void **state)
{
    (void)state;
    for (int n = 1; n <= 2; n++) {
        struct job job = {0};
        pthread_t owners[N_OWNERS];
        assert_int_equal(ct_pool_open(n, &job.pool), CT_OK);
        for (int i = 0; i < N_OWNERS; i++)
            assert_int_equal(pthread_create(&owners[i], NULL, take_turns_with_others, &job), 0);
        for (int i = 0; i < N_OWNERS; i++)
            pthread_join(owners[i], NULL);
        assert_int_equal(job.n_turns, N_OWNERS * N_TURNS);
        assert_int_equal(job.n_wrong, 0);
        ct_pool_close(job.pool);
    }
}

static void shares_cover_everything_once(void **state)
{
    (void)state;
    for (int64_t n = 0; n < 70; n++) {
        for (int unit = 1; unit <= 16; unit *= 4) {
            for (int n_workers = 1; n_workers <= 7; n_workers++) {
                int64_t next = 0;
                for (int w = 0; w < n_workers; w++) {
                    int64_t begin, end;
                    ct_pool_share(n, unit, w, n_workers, &begin, &end);
                    assert_int_equal(begin, next);
                    assert_true(end >= begin && (begin % unit == 0 || begin == n));
                    next = end;
                }
                assert_int_equal(next, n);
            }
        }
    }
}

enum { N_DEALS = 40, MOST_ITEMS = 300 };

struct dealt {
    struct ct_pool *pool;
    atomic_int n_taken[2][MOST_ITEMS];
    atomic_int n_wrong;
};

/* The first worker is slow: others take what it has not come to. Items of two deals apart, because
 * a worker may be in the next one while another looks for items of this one. */
static void take_turns(void *context, int worker, int n_workers)
{
    struct dealt *dealt = context;
    for (int deal = 0; deal < N_DEALS; deal++) {
        const int64_t n = 7 * deal % MOST_ITEMS, least = 1 + deal % 5;
        int64_t begin, end;
        ct_pool_deal(dealt->pool, worker, n, least);
        ct_pool_barrier(dealt->pool, NULL);
        while (ct_pool_take(dealt->pool, worker, &begin, &end)) {
            if (begin < 0 || end > n || begin >= end)
                atomic_fetch_add(&dealt->n_wrong, 1);
            for (int64_t i = begin; i < end; i++)
                atomic_fetch_add(&dealt->n_taken[deal % 2][i], 1);
            if (worker == 0)
                usleep(50);
        }
        ct_pool_barrier(dealt->pool, NULL);
        for (int64_t i = worker; i < MOST_ITEMS; i += n_workers)
            if (atomic_exchange(&dealt->n_taken[deal % 2][i], 0) != (i < n))
                atomic_fetch_add(&dealt->n_wrong, 1);
    }
}

static void dealt_items_are_taken_once(void **state)
{
    (void)state;
    for (int n = 1; n <= MAX_WORKERS; n++) {
        struct dealt dealt = {0};
        assert_int_equal(ct_pool_open(n, &dealt.pool), CT_OK);
        for (int run = 0; run < 3; run++)
            ct_pool_run(dealt.pool, take_turns, &dealt);
        assert_int_equal(dealt.n_wrong, 0);
        ct_pool_close(dealt.pool);
    }
}

static void wrong_sizes_are_refused(void **state)
{
    (void)state;
    struct ct_pool *pool;
    assert_int_equal(ct_pool_open(0, &pool), CT_INVALID);
    assert_null(pool);
    assert_int_equal(ct_pool_open(257, &pool), CT_INVALID);
    ct_pool_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(workers_see_each_other_behind_the_barrier),
        cmocka_unit_test(owners_take_turns),
        cmocka_unit_test(shares_cover_everything_once),
        cmocka_unit_test(dealt_items_are_taken_once),
        cmocka_unit_test(wrong_sizes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
