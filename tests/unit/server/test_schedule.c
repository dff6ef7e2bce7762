/* The policy, with numbers only: ranks, fairness between clients, nobody starves, what a step holds. */
#include "tests/support/unit.h"

#include "engine/base/rng.h"
#include "server/schedule.h"

#include <stdio.h>
#include <string.h>

enum { N_TURNS = 16, N_CLIENTS = N_TURNS + 1 };

static struct ct_schedule schedule;
static struct ct_client clients[N_CLIENTS];
static struct ct_turn turns[N_TURNS];
static struct ct_turn *list[N_TURNS];

static int begin(void **state)
{
    (void)state;
    ct_schedule_init(&schedule, clients, N_CLIENTS);
    memset(turns, 0, sizeof turns);
    for (int i = 0; i < N_TURNS; i++)
        list[i] = &turns[i];
    return 0;
}

/* Turn i arrives: a prompt of n_tok tokens, which would be read at due_ns. */
static void enter(int i, uint64_t client, int priority, int n_tok, uint64_t due_ns)
{
    turns[i] =
        (struct ct_turn){.priority = priority, .n_tok = n_tok, .due_ns = due_ns, .is_ready = true};
    ct_schedule_enter(&schedule, &turns[i], client);
}

static int next(int n)
{
    return ct_schedule_next(&schedule, list, n);
}

static void test_ranks(void **state)
{
    (void)state;
    enter(0, 1, 0, 1000, 1000);
    enter(1, 1, 0, 10, 30);
    enter(2, 2, 0, 10, 5000);
    enter(3, 1, -1, 10, 9000);
    assert_int_equal(next(4), 3); /* priority before all else */
    turns[3].is_ready = false;
    assert_int_equal(next(4), 1); /* of one client's, the short one */
    turns[1].client->served_ns = 10;
    assert_int_equal(next(4), 2); /* the client that has had less */
    turns[2].is_ready = false;
    turns[1].is_ready = false;
    assert_int_equal(next(4), 0);
    turns[0].is_ready = false;
    assert_int_equal(next(4), -1);
}

/* Two clients, one with many requests at hand and one with a request at a time: each gets its half of
 * the time, whatever the sizes of their requests. */
static void test_clients_share_time(void **state)
{
    (void)state;
    const uint64_t seed = 5;
    printf("seed %d\n", (int)seed);
    struct ct_rng rng;
    ct_rng_init(&rng, seed);
    double got_ns[2] = {0};
    for (int i = 0; i < N_TURNS; i++)
        enter(i, i > 0, 0, 1 + (int)ct_rng_below(&rng, 100), 0);
    for (int round = 0; round < 4000; round++) {
        const int i = next(N_TURNS);
        const int is_many = i > 0;
        const double cost_ns =
            is_many ? 50.0 + (double)ct_rng_below(&rng, 100) : 5.0 + (double)ct_rng_below(&rng, 10);
        ct_schedule_count(&schedule);
        turns[i].client->served_ns += cost_ns;
        got_ns[is_many] += cost_ns;
        /* the same client's next one arrives before this one leaves */
        struct ct_turn old = turns[i];
        enter(i, (uint64_t)is_many, 0, 1, 0);
        ct_schedule_leave(&old);
    }
    /* but for the one choice in eight that goes by age */
    assert_true(got_ns[0] > 0.3 * (got_ns[0] + got_ns[1]));
}

/* A client that was away does not get the time that it has missed. */
static void test_nobody_saves_up_time(void **state)
{
    (void)state;
    enter(0, 1, 0, 10, 0);
    enter(1, 2, 0, 10, 0);
    ct_schedule_leave(&turns[1]);
    turns[0].client->served_ns = 1e9;
    enter(1, 2, 0, 10, 0);
    assert_true(turns[1].client->served_ns == 1e9);
    /* nor does one that comes back lose what it has had */
    turns[1].client->served_ns = 5e9;
    ct_schedule_leave(&turns[1]);
    enter(1, 2, 0, 10, 0);
    assert_true(turns[1].client->served_ns == 5e9);
}

/* There are more clients over time than places for them. */
static void test_clients_are_forgotten(void **state)
{
    (void)state;
    enter(0, 7, 0, 10, 0);
    turns[0].client->served_ns = 100;
    for (uint64_t client = 100; client < 1000; client++) {
        enter(1, client, 0, 10, 0);
        assert_true(turns[1].client != turns[0].client);
        assert_int_equal(turns[1].client->id, client);
        assert_true(turns[1].client->served_ns == 100);
        ct_schedule_leave(&turns[1]);
    }
    assert_int_equal(turns[0].client->id, 7);
}

/* New requests of higher rank arrive for ever; the lowest is chosen all the same. */
static void test_nobody_starves(void **state)
{
    (void)state;
    enter(0, 1, 100, 10, 0);
    turns[0].client->served_ns = 1e15;
    for (int i = 1; i < N_TURNS; i++)
        enter(i, 2, -100, 10, 0);
    for (int round = 0; round < 9; round++) {
        const int i = next(N_TURNS);
        ct_schedule_count(&schedule);
        if (i == 0)
            return;
        ct_schedule_leave(&turns[i]);
        enter(i, 2, -100, 10, 0);
    }
    fail_msg("it was never chosen");
}

static void test_the_last_gives_way(void **state)
{
    (void)state;
    enter(0, 1, 0, 10, 0);
    enter(1, 1, 5, 10, 0);
    enter(2, 1, 5, 10, 0);
    enter(3, 1, -1, 10, 0);
    assert_int_equal(ct_schedule_victim(list, 4), 2);
    assert_int_equal(ct_schedule_victim(list, 2), 1);
    turns[3].is_ready = false; /* it cannot go on: whoever reads its text does not */
    assert_int_equal(ct_schedule_victim(list, 4), 3);
    assert_int_equal(ct_schedule_victim(list, 0), -1);
}

static void decode(int i, uint64_t last_step)
{
    enter(i, 1, 0, 10, 0);
    turns[i].n_done = 9;
    turns[i].is_answering = true;
    turns[i].last_step = last_step;
}

static void test_decodes_take_turns(void **state)
{
    (void)state;
    for (int i = 0; i < 6; i++)
        decode(i, (uint64_t)i % 3);
    enter(6, 1, 0, 10, 0);
    turns[2].is_ready = false;
    assert_int_equal(ct_schedule_decodes(list, 7, 3), 3);
    const int expected[7] = {1, 1, 0, 1, 0, 0, 0}; /* 5 was in the last step, 4 in the one before */
    for (int i = 0; i < 7; i++)
        assert_int_equal(turns[i].n_step, expected[i]);
    assert_int_equal(ct_schedule_decodes(list, 7, 100), 5);
    assert_int_equal(ct_schedule_decodes(list, 7, 0), 0);
}

/* One that was read before and is read again is a prompt until only its last token is left. */
static void test_prompts_share_a_budget(void **state)
{
    (void)state;
    decode(0, 0);
    enter(1, 1, 0, 1000, 1000);
    enter(2, 1, 0, 30, 40);
    enter(3, 1, 0, 50, 70);
    enter(4, 1, 0, 20, 2000);
    turns[4].is_answering = true;
    turns[3].n_done = 10;
    assert_int_equal(ct_schedule_decodes(list, 5, 64), 1);
    assert_int_equal(ct_schedule_prompts(&schedule, list, 5, 100), 100);
    const int expected[5] = {1, 30, 30, 40, 0};
    for (int i = 0; i < 5; i++)
        assert_int_equal(turns[i].n_step, expected[i]);
    ct_schedule_decodes(list, 5, 64);
    assert_int_equal(ct_schedule_prompts(&schedule, list, 5, 5000), 30 + 40 + 1000 + 20);
    ct_schedule_decodes(list, 5, 64);
    assert_int_equal(ct_schedule_prompts(&schedule, list, 5, 0), 0);
}

/* An encoder's go into a step while they fit, the first one in any case, and none in part. */
static void test_whole_prompts(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        enter(i, 1, 0, i == 0 ? 300 : 40, i);
        turns[i].is_whole = true;
    }
    assert_int_equal(ct_schedule_prompts(&schedule, list, 4, 100), 300);
    assert_int_equal(turns[0].n_step, 300);
    ct_schedule_leave(&turns[0]);
    turns[0].is_ready = false;
    for (int i = 0; i < 4; i++)
        turns[i].n_step = 0;
    assert_int_equal(ct_schedule_prompts(&schedule, list, 4, 100), 80);
    assert_int_equal(turns[1].n_step + turns[2].n_step + turns[3].n_step, 80);
    assert_true(turns[1].n_step % 40 == 0 && turns[2].n_step % 40 == 0);
}

/* The long prompt gets a step's budget now and then though shorter ones keep coming. */
static void test_no_prompt_starves(void **state)
{
    (void)state;
    enter(0, 1, 0, 1000, 1000000);
    int n_steps = 0;
    while (turns[0].n_done < turns[0].n_tok) {
        for (int i = 1; i < 4; i++)
            enter(i, 1, -1, 50, 0);
        ct_schedule_decodes(list, 4, 64);
        assert_int_equal(ct_schedule_prompts(&schedule, list, 4, 100), 100);
        turns[0].n_done += turns[0].n_step;
        for (int i = 1; i < 4; i++)
            ct_schedule_leave(&turns[i]);
        assert_true(++n_steps <= 80);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_ranks, begin),
        cmocka_unit_test_setup(test_clients_share_time, begin),
        cmocka_unit_test_setup(test_nobody_saves_up_time, begin),
        cmocka_unit_test_setup(test_clients_are_forgotten, begin),
        cmocka_unit_test_setup(test_nobody_starves, begin),
        cmocka_unit_test_setup(test_the_last_gives_way, begin),
        cmocka_unit_test_setup(test_decodes_take_turns, begin),
        cmocka_unit_test_setup(test_prompts_share_a_budget, begin),
        cmocka_unit_test_setup(test_whole_prompts, begin),
        cmocka_unit_test_setup(test_no_prompt_starves, begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
