/* Sampling: greedy, the cuts, penalties, bias, and draws that follow the distribution. */
#include "tests/support/unit.h"

#include "engine/runtime/engine_internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { V = 50 };

/* An engine of which sampling uses nothing but the vocabulary's size and the scratch. */
static float scratch[2 * V];
static int32_t scratch_ids[V];
static struct ct_engine engine = {
    .info = {.n_vocab = V}, .sampling = scratch, .sampling_ids = scratch_ids};

static struct ct_sampler *open_sampler(struct ct_sampling sampling)
{
    struct ct_sampler *sampler = NULL;
    struct ct_error err;
    assert_int_equal(ct_sampler_open(&engine, &sampling, &sampler, &err), CT_OK);
    return sampler;
}

static void fill(float *logits)
{
    for (int i = 0; i < V; i++)
        logits[i] = (float)((i * 37) % V) * 0.1f;
}

static void greedy_takes_the_first_of_equals(void **state)
{
    (void)state;
    float logits[V] = {0};
    logits[7] = logits[9] = 2;
    struct ct_sampler *s = open_sampler((struct ct_sampling){.top_p = 1});
    float logprob;
    assert_int_equal(ct_sampler_next(s, logits, &logprob), 7);
    assert_true(fabs(logprob - (2 - log(2 * exp(2) + V - 2))) < 1e-6);
    ct_sampler_close(s);
}

/* The probabilities that the cuts leave, by sorting: what draw_cut is checked against. */
static void reference(const float *logits, struct ct_sampling how, double *p)
{
    int order[V];
    double sum = 0, peak = 0;
    for (int i = 0; i < V; i++) {
        order[i] = i;
        p[i] = exp(logits[i] / how.temperature);
        peak = fmax(peak, p[i]);
    }
    for (int i = 0; i < V; i++) /* selection sort: highest first, lower id first among equals */
        for (int j = i + 1; j < V; j++)
            if (p[order[j]] > p[order[i]] || (p[order[j]] == p[order[i]] && order[j] < order[i])) {
                int t = order[i];
                order[i] = order[j];
                order[j] = t;
            }
    int n = how.top_k > 0 && how.top_k < V ? how.top_k : V;
    for (int i = 0; i < n; i++)
        sum += p[order[i]];
    double kept = 0;
    for (int i = 0; i < V; i++) {
        bool is_in = i < n && kept < how.top_p * sum && p[order[i]] >= how.min_p * peak;
        kept += is_in ? p[order[i]] : 0;
        if (!is_in)
            p[order[i]] = 0;
    }
    for (int i = 0; i < V; i++)
        p[i] /= kept;
}

static void draws_follow_the_distribution(void **state)
{
    (void)state;
    static const struct ct_sampling cases[] = {
        {.temperature = 1, .top_p = 1, .seed = 1},
        {.temperature = 0.7, .top_p = 1, .top_k = 5, .seed = 2},
        {.temperature = 1, .top_p = 0.8, .seed = 3},
        {.temperature = 1.3, .top_p = 0.6, .top_k = 12, .seed = 4},
        {.temperature = 1, .top_p = 1, .min_p = 0.2, .seed = 5},
        {.temperature = 1, .top_p = 0.95, .top_k = 30, .min_p = 0.1, .seed = 6},
        {.temperature = 1, .top_p = 0.0001, .seed = 7},
        {.temperature = 1, .top_p = 1, .top_k = 1, .seed = 8},
    };
    enum { N_DRAWS = 20000 };
    float logits[V];
    fill(logits);
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        double p[V];
        int counts[V] = {0};
        reference(logits, cases[c], p);
        struct ct_sampler *s = open_sampler(cases[c]);
        for (int i = 0; i < N_DRAWS; i++)
            counts[ct_sampler_next(s, logits, NULL)]++;
        ct_sampler_close(s);
        for (int i = 0; i < V; i++) {
            if (p[i] == 0)
                assert_int_equal(counts[i], 0);
            /* Five standard deviations; the seed is fixed, so this passes or fails for good. */
            double bound = 5 * sqrt(N_DRAWS * p[i] * (1 - p[i])) + 1e-6;
            assert_true(fabs(counts[i] - N_DRAWS * p[i]) <= bound);
        }
    }
}

static void a_seed_repeats(void **state)
{
    (void)state;
    float logits[V];
    fill(logits);
    struct ct_sampler *a =
        open_sampler((struct ct_sampling){.temperature = 1, .top_p = 0.9, .seed = 42});
    struct ct_sampler *b =
        open_sampler((struct ct_sampling){.temperature = 1, .top_p = 0.9, .seed = 42});
    struct ct_sampler *c =
        open_sampler((struct ct_sampling){.temperature = 1, .top_p = 0.9, .seed = 43});
    int n_other = 0;
    for (int i = 0; i < 200; i++) {
        int id = ct_sampler_next(a, logits, NULL);
        assert_int_equal(id, ct_sampler_next(b, logits, NULL));
        n_other += id != ct_sampler_next(c, logits, NULL);
    }
    assert_true(n_other > 50);
    ct_sampler_close(a);
    ct_sampler_close(b);
    ct_sampler_close(c);
}

static void penalties_and_bias_change_the_choice(void **state)
{
    (void)state;
    float logits[V] = {0};
    logits[3] = 2;
    logits[4] = 1.5f;
    logits[5] = 0.9f;
    struct ct_sampler *s = open_sampler((struct ct_sampling){.top_p = 1, .presence_penalty = 1});
    assert_int_equal(ct_sampler_next(s, logits, NULL), 3);
    assert_int_equal(ct_sampler_next(s, logits, NULL), 4);
    assert_int_equal(ct_sampler_next(s, logits, NULL), 3); /* 2 - 1 is above 0.9 */
    ct_sampler_close(s);
    s = open_sampler((struct ct_sampling){.top_p = 1, .frequency_penalty = 0.6});
    static const int expected[] = {3, 4, 3, 4, 5};
    for (int i = 0; i < 5; i++)
        assert_int_equal(ct_sampler_next(s, logits, NULL), expected[i]);
    ct_sampler_close(s);
    const int32_t ids[] = {3, 8};
    const float bias[] = {-100, 10};
    s = open_sampler((struct ct_sampling){.top_p = 1, .n_bias = 2, .bias_ids = ids, .bias = bias});
    assert_int_equal(ct_sampler_next(s, logits, NULL), 8);
    ct_sampler_close(s);
    assert_float_equal(logits[3], 2, 0); /* the caller's logits are untouched */
}

static void wrong_settings_name_their_field(void **state)
{
    (void)state;
    const int32_t id = V;
    const float bias = 1;
    const struct {
        struct ct_sampling how;
        const char *message;
    } cases[] = {
        {{.temperature = -1, .top_p = 1}, "temperature: -1 is outside 0..100"},
        {{.temperature = NAN, .top_p = 1}, "temperature: nan is outside 0..100"},
        {{.top_p = 1.5}, "top_p: 1.5 is outside 0..1"},
        {{.top_p = 1, .top_k = -1}, "top_k: -1 is outside 0..2.14748e+09"},
        {{.top_p = 1, .presence_penalty = 3}, "presence_penalty: 3 is outside -2..2"},
        {{.top_p = 1, .n_bias = 1, .bias_ids = &id, .bias = &bias},
         "logit_bias: token 50 is outside 0..49"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct ct_sampler *s = NULL;
        struct ct_error err;
        assert_int_equal(ct_sampler_open(&engine, &cases[i].how, &s, &err), CT_INVALID);
        assert_null(s);
        assert_string_equal(err.message, cases[i].message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(greedy_takes_the_first_of_equals),
        cmocka_unit_test(draws_follow_the_distribution),
        cmocka_unit_test(a_seed_repeats),
        cmocka_unit_test(penalties_and_bias_change_the_choice),
        cmocka_unit_test(wrong_settings_name_their_field),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
