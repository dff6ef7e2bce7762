/* The clustering study's closed forms and platform models, against figures worked out by hand. */
#include "cli/study.h"
#include "cli/study_forms.h"
#include "tests/support/unit.h"

#include <string.h>

static void assert_near(double value, double expected, double tolerance)
{
    if (!(fabs(value - expected) <= tolerance))
        fail_msg("%.9g, expected %.9g +- %g", value, expected, tolerance);
}

static void indices_of_8_bits_take_a_quarter(void **state)
{
    (void)state;
    /* 86 M parameters and one table of 64: 4 N / (N + 256 B). */
    assert_near(ct_study_compression(86000000, 8, 64, 1), 3.99999, 5e-6);
    assert_near(ct_study_compression(86000000, 8, 256, 1), 3.99995, 5e-6);
    assert_near(ct_study_compression(86000000, 8, 64, 74), 3.99912, 1e-5);
    /* "More than 4 times" needs narrower indices. */
    assert_near(ct_study_compression(86000000, 6, 64, 1), 5.3333, 1e-4);
    assert_near(ct_study_compression(86000000, 5, 32, 1), 6.4, 1e-4);
    assert_int_equal(ct_study_table_bytes(64), 256);
    assert_int_equal(ct_study_table_bytes(256), 1024);
}

static void amdahl_gives_the_published_shares(void **state)
{
    (void)state;
    assert_near(1 / ct_study_rest(1, 4), 4, 1e-12);
    assert_near(1 / ct_study_rest(0, 4), 1, 1e-12);
    assert_near(ct_study_share(1 / 1.05, 4), 0.0635, 5e-5);
    assert_near(ct_study_share(1 / 1.22, 4), 0.2404, 5e-5);
    assert_near(ct_study_share(1 / 1.38, 4), 0.3671, 5e-5);
    assert_near(ct_study_share(1 - 0.39, 4), 0.52, 1e-12);
    assert_near(ct_study_share(1 - 0.22, 4), 0.2933, 5e-5);
    for (double share = 0; share <= 1; share += 0.125)
        assert_near(ct_study_share(ct_study_rest(share, 4), 4), share, 1e-12);
}

/* The reference implementation's count of ViT-B/16's and DeiT-Tiny's parameters. */
static void vision_transformers_have_their_parameters(void **state)
{
    (void)state;
    assert_int_equal(ct_study_vit_parameters(12, 768, 3072, 16, 196, 1000), 86567656);
    assert_int_equal(ct_study_vit_parameters(12, 192, 768, 16, 196, 1000), 5717416);
}

static const struct ct_study_platform *platform(const char *id)
{
    for (int i = 0; i < CT_STUDY_N_PLATFORMS; i++)
        if (strcmp(ct_study_platforms[i].id, id) == 0)
            return &ct_study_platforms[i];
    fail_msg("no platform %s", id);
    return NULL;
}

/* ViT-B/16: 17.5 G multiply-accumulates, 85.6 M weights of matrix products. */
static void platforms_stream_a_quarter(void **state)
{
    (void)state;
    const struct ct_study_request request = {.macs = 17.5e9, .n_weights = 85.6e6};
    const struct ct_study_estimate e = ct_study_estimate(platform("tx2"), &request, 1);
    assert_near(e.weight_ms, 4 * 85.6e6 / 59.7e6, 1e-6);
    assert_near(e.compute_ms, 2 * 17.5e9 / 666e6, 1e-6);
    const double share = e.weight_ms / (e.weight_ms + e.compute_ms);
    assert_near(e.speedup, 100 * (1 / (1 - share * 0.75) - 1), 1e-9);
    /* Three of four bytes less, and a look-up of 1 pJ a weight. */
    const double memory = 4 * 85.6e6 * 64;
    assert_near(e.saving_45, 100 * (0.75 * memory - 85.6e6) / (memory + 17.5e9 * 4.6), 1e-9);
    assert_true(e.saving_7 > e.saving_45);
    assert_near(e.look_up, 100 / 192.0, 1e-9);
    double before = 0;
    for (int i = 0; i < CT_STUDY_N_BANDWIDTHS; i++) { /* the less is left, the more it helps */
        const double speedup =
            ct_study_estimate(platform("tx2"), &request, ct_study_bandwidths[i]).speedup;
        assert_true(speedup > before && speedup < 300);
        before = speedup;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(indices_of_8_bits_take_a_quarter),
        cmocka_unit_test(amdahl_gives_the_published_shares),
        cmocka_unit_test(vision_transformers_have_their_parameters),
        cmocka_unit_test(platforms_stream_a_quarter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
