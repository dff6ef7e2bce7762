/* The model of costs, on machines that are formulas: what it has measured and learnt it foretells,
 * for steps as for requests. */
#include "tests/support/unit.h"

#include "engine/base/rng.h"
#include "server/forecast.h"

#include <math.h>
#include <stdio.h>

/* A machine: a step takes the longer of its memory's and its arithmetic's time, and its keys'. */
struct machine {
    double weights_ns, row_ns, plain_part, key_ns;
};

static double time_of(const struct machine *m, const struct ct_work *work)
{
    const double rows = work->n_logits + m->plain_part * (work->n_tok - work->n_logits);
    return fmax(m->weights_ns, rows * m->row_ns) + work->n_keys * m->key_ns;
}

static double energy_of(const struct machine *m, const struct ct_work *work)
{
    return 3 * time_of(m, work);
}

static const struct machine fast = {5e6, 1.2e6, 0.8, 300}, slow = {1e8, 4e7, 0.9, 5000};

static int measure(struct ct_pace *pace, const struct machine *m)
{
    struct ct_probe probe;
    int n = 0;
    while (ct_pace_probe(pace, 512, 64, 2048, &probe)) {
        const struct ct_work work = {probe.n_tok, probe.n_logits,
                                     ct_work_keys(probe.depth, probe.n_tok)};
        ct_pace_probed(pace, &probe, time_of(m, &work), energy_of(m, &work));
        assert_true(++n < 20);
    }
    return n;
}

static void expect_near(double x, double expected, double part)
{
    if (!(fabs(x - expected) <= part * expected))
        fail_msg("%g is not within %g%% of %g", x, 100 * part, expected);
}

/* Whatever is in a step. */
static void expect_model(const struct ct_pace *pace, const struct machine *m, double part)
{
    for (int n_decode = 0; n_decode <= 64; n_decode += 8) {
        for (int n_prompt = n_decode == 0; n_prompt <= 512 - n_decode; n_prompt += 73) {
            for (int depth = 0; depth <= 2000; depth += 500) {
                const struct ct_work work = {n_decode + n_prompt, n_decode,
                                             n_decode * (double)depth +
                                                 ct_work_keys(depth, n_prompt)};
                expect_near(ct_pace_ns(pace, &work), time_of(m, &work), part);
                expect_near(ct_pace_pj(pace, &work), energy_of(m, &work), part);
            }
        }
    }
}

static void test_measurement(void **state)
{
    (void)state;
    struct ct_pace pace;
    ct_pace_init(&pace);
    assert_int_equal(measure(&pace, &fast), 9);
    expect_model(&pace, &fast, 0.2); /* lines between knots cut the corner */
    ct_pace_init(&pace);
    assert_in_range(measure(&pace, &slow), 3, 6); /* it is not held up for long */
    const struct ct_work work = {16, 16, 0};
    expect_near(ct_pace_ns(&pace, &work), time_of(&slow, &work), 0.6);
    /* a context or a step that is too small for parts of it */
    struct ct_probe probe;
    ct_pace_init(&pace);
    while (ct_pace_probe(&pace, 4, 2, 16, &probe)) {
        assert_in_range(probe.n_tok, 1, 2);
        assert_true(probe.depth + probe.n_tok <= 16);
        ct_pace_probed(&pace, &probe, 1e6, 1e6);
    }
}

/* The machine becomes four times as slow, or was never measured: steps alone put it right. */
static void test_learning(void **state)
{
    (void)state;
    const uint64_t seed = 8;
    printf("seed %d\n", (int)seed);
    for (int is_measured = 0; is_measured < 2; is_measured++) {
        struct ct_rng rng;
        struct ct_pace pace;
        struct machine m = fast;
        ct_rng_init(&rng, seed);
        ct_pace_init(&pace);
        if (is_measured)
            measure(&pace, &fast);
        m.row_ns *= 4;
        m.weights_ns *= 4;
        m.key_ns *= 4;
        double error = 0;
        for (int i = 0; i < 4000; i++) {
            const int n_decode = (int)ct_rng_below(&rng, 65);
            const int n_prompt = (int)ct_rng_below(&rng, 3) == 0 ? 32 : n_decode == 0;
            const struct ct_work work = {n_decode + n_prompt, n_decode, 200.0 * n_decode};
            const double ns = time_of(&m, &work);
            if (i >= 2000)
                error += fabs(ct_pace_ns(&pace, &work) / ns - 1) / 2000;
            ct_pace_learn(&pace, &work, ns, 3 * ns);
        }
        assert_true(error < 0.15);
    }
}

/* One step that was held up for long is not believed. */
static void test_outliers(void **state)
{
    (void)state;
    struct ct_pace pace;
    ct_pace_init(&pace);
    measure(&pace, &fast);
    const struct ct_work work = {8, 8, 800};
    const double before = ct_pace_ns(&pace, &work);
    ct_pace_learn(&pace, &work, 1000 * before, 1000 * before);
    assert_true(ct_pace_ns(&pace, &work) < 2 * before);
}

static void test_fit(void **state)
{
    (void)state;
    struct ct_pace pace;
    ct_pace_init(&pace);
    measure(&pace, &fast);
    for (int n_decode = 0; n_decode <= 64; n_decode += 4) {
        const struct ct_work work = {n_decode, n_decode, 100.0 * n_decode};
        for (double ns = 4e6; ns < 1e9; ns *= 1.7) {
            const int n = ct_pace_fit(&pace, &work, 50, 300, ns);
            assert_in_range(n, 0, 300);
            for (int more = 0; more < 2; more++) {
                const struct ct_work all = {n_decode + n + more, n_decode,
                                            work.n_keys + ct_work_keys(50, n + more)};
                if (more == 0 && n > 0)
                    assert_true(ct_pace_ns(&pace, &all) <= ns);
                if (more == 1 && n < 300)
                    assert_true(ct_pace_ns(&pace, &all) > ns);
            }
        }
    }
}

/* ---- forecasts ---- */

static const struct ct_outlook_limits limits = {
    .max_sessions = 4, .max_tok = 512, .min_chunk_tok = 32, .token_ns = 5e7, .prompt_ns = 2e8};

static double step_ns(const struct ct_pace *pace, int n_tok, int n_logits, double n_keys)
{
    return ct_pace_ns(pace, &(struct ct_work){n_tok, n_logits, n_keys});
}

static void test_forecast_alone(void **state)
{
    (void)state;
    struct ct_pace pace;
    struct ct_outlook out;
    ct_pace_init(&pace);
    struct ct_outlook_item unknown = {.n_prompt = 100, .n_answer = 50, .is_asked = true};
    ct_forecast(&pace, &limits, &unknown, 0, 1, &out);
    assert_true(out.done_ns == 0);
    measure(&pace, &fast);
    struct ct_outlook_item item = {.n_prompt = 100, .n_answer = 51, .is_asked = true};
    ct_forecast(&pace, &limits, &item, 0, 1, &out);
    assert_true(out.admitted_ns == 0);
    expect_near(out.first_ns, step_ns(&pace, 100, 0, 5000), 0.02);
    expect_near(out.done_ns - out.first_ns, 50 * step_ns(&pace, 1, 1, 125), 0.02);
    expect_near(out.prefill_pj, 3 * out.first_ns, 0.1);
    expect_near(out.decode_pj, 3 * (out.done_ns - out.first_ns), 0.1);
}

/* Two run, two sessions are free for three that wait: the last waits for the first end. */
static void test_forecast_queue(void **state)
{
    (void)state;
    struct ct_pace pace;
    struct ct_outlook out;
    ct_pace_init(&pace);
    measure(&pace, &fast);
    struct ct_outlook_item items[5] = {
        {.n_answer = 20, .n_context = 10},
        {.n_answer = 400, .n_context = 10},
        {.n_prompt = 1, .n_answer = 400},
        {.n_prompt = 1, .n_answer = 400},
        {.n_prompt = 1, .n_answer = 10, .is_asked = true},
    };
    ct_forecast(&pace, &limits, items, 2, 5, &out);
    const double four = step_ns(&pace, 4, 4, 100);
    expect_near(out.first_end_ns, 20 * four, 0.1);
    assert_true(out.admitted_ns == out.first_end_ns);
    expect_near(out.first_ns - out.admitted_ns, four, 0.2);
    expect_near(out.done_ns - out.first_ns, 9 * four, 0.1);
    /* a quarter of those steps' energy is its own */
    expect_near(out.decode_pj, 3 * 9 * four / 4, 0.1);
}

/* Beside three that decode, a long prompt is read in parts of what token_ns leaves. */
static void test_forecast_in_parts(void **state)
{
    (void)state;
    struct ct_pace pace;
    struct ct_outlook out;
    ct_pace_init(&pace);
    measure(&pace, &fast);
    struct ct_outlook_item items[4] = {
        {.n_answer = 4000},
        {.n_answer = 4000},
        {.n_answer = 4000},
        {.n_prompt = 1000, .n_answer = 1, .is_asked = true},
    };
    const struct ct_work decodes = {3, 3, 0};
    const int n = ct_prompt_budget(&pace, &limits, &decodes, 0);
    assert_in_range(n, 33, 60);
    ct_forecast(&pace, &limits, items, 3, 4, &out);
    expect_near(out.first_ns, 1000.0 / n * 5e7, 0.25); /* it gets slower as keys become more */
    assert_true(out.done_ns == out.first_ns);
    assert_true(out.first_ns > 0.95 * 1000 / n * 5e7);
}

static void test_budget(void **state)
{
    (void)state;
    struct ct_pace pace;
    ct_pace_init(&pace);
    const struct ct_work none = {0}, some = {10, 10, 0}, all = {512, 512, 0}, most = {500, 500, 0};
    assert_int_equal(ct_prompt_budget(&pace, &limits, &none, 0), 512);
    assert_int_equal(ct_prompt_budget(&pace, &limits, &some, 0), 128);
    assert_int_equal(ct_prompt_budget(&pace, &limits, &most, 0), 12);
    assert_int_equal(ct_prompt_budget(&pace, &limits, &all, 0), 0);
    measure(&pace, &fast);
    assert_in_range(ct_prompt_budget(&pace, &limits, &none, 0), 150, 210);
    assert_in_range(ct_prompt_budget(&pace, &limits, &some, 0), 33, 60);
    /* these alone take too long: prompts may take as long */
    const struct ct_work many = {64, 64, 64000};
    const int n = ct_prompt_budget(&pace, &limits, &many, 0);
    const double many_ns = ct_pace_ns(&pace, &many);
    assert_true(many_ns > limits.token_ns && n > 32);
    expect_near(step_ns(&pace, 64 + n, 64, 64000), 2 * many_ns, 0.05);
    const struct ct_outlook_limits tight = {4, 512, 32, 1, 1}; /* one: what is least */
    assert_int_equal(ct_prompt_budget(&pace, &tight, &(struct ct_work){1, 1, 0}, 0), 32);
}

/* Whatever is at work, a forecast ends, in order, and is finite. */
static void test_forecast_of_anything(void **state)
{
    (void)state;
    const uint64_t seed = 3;
    printf("seed %d\n", (int)seed);
    enum { MAX = 40 };
    struct ct_rng rng;
    struct ct_pace pace;
    ct_rng_init(&rng, seed);
    ct_pace_init(&pace);
    measure(&pace, &fast);
    for (int round = 0; round < 2000; round++) {
        struct ct_outlook_item items[MAX];
        struct ct_outlook out;
        const int n = 1 + (int)ct_rng_below(&rng, MAX), n_running = (int)ct_rng_below(&rng, 5);
        for (int i = 0; i < n; i++)
            items[i] = (struct ct_outlook_item){
                .n_prompt =
                    i < n_running && ct_rng_below(&rng, 2) ? 0 : 3000 * ct_rng_uniform(&rng),
                .n_answer = 500 * ct_rng_uniform(&rng),
                .n_context = (double)ct_rng_below(&rng, 2000),
                .is_asked = ct_rng_below(&rng, 8) == 0,
            };
        ct_forecast(&pace, &limits, items, n_running < n ? n_running : n, n, &out);
        assert_true(isfinite(out.done_ns) && out.admitted_ns >= 0);
        assert_true(out.done_ns == 0 || out.done_ns >= out.first_ns);
        assert_true(out.first_end_ns >= 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_measurement),
        cmocka_unit_test(test_learning),
        cmocka_unit_test(test_outliers),
        cmocka_unit_test(test_fit),
        cmocka_unit_test(test_forecast_alone),
        cmocka_unit_test(test_forecast_queue),
        cmocka_unit_test(test_forecast_in_parts),
        cmocka_unit_test(test_budget),
        cmocka_unit_test(test_forecast_of_anything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
