/* The backends `gemmini` and `gemmini:ibert`: the bits of the CPU for every family, and costs that add up. */
#include "engine/engine.h"
#include "tests/support/allocations.h"
#include "tests/support/calibrated.h"
#include "tests/support/unit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_TOKENS = 300 };

/* backend: NULL for what brings the same values on the CPU. */
static struct ct_engine *open_path(const char *path, const char *backend,
                                   enum ct_activations activations)
{
    struct ct_engine_options options = {
        .n_threads = 2, .activations = activations, .kv = CT_KV_INT8};
    struct ct_engine *engine = NULL;
    struct ct_error err = {0};
    if (backend != NULL) { /* it brings the rest */
        options = (struct ct_engine_options){.n_threads = 2};
        options.backend = ct_backend_find(backend, &err);
    }
    if (ct_engine_open(path, &options, &engine, &err) != CT_OK)
        fail_msg("%s: %s", path, err.message);
    return engine;
}

static struct ct_engine *open_fixture(void)
{
    return open_path(CT_TEST_DIR "/support/fixture", "gemmini", CT_ACTIVATIONS_W8A8);
}

/* The input that all slices read from. */
static const int32_t *tokens(void)
{
    static int32_t all[MAX_TOKENS];
    for (int i = 0; i < MAX_TOKENS; i++)
        all[i] = 5 + i * 7 % 40;
    return all;
}

static const float *pixels(const struct ct_engine *engine)
{
    static float all[3 * 64 * 64];
    const size_t n = ct_image_floats(&ct_engine_info(engine)->image);
    assert_true(n <= sizeof all / sizeof all[0]);
    for (size_t i = 0; i < n; i++)
        all[i] = sinf((float)i);
    return all;
}

static struct ct_slice open_slice(struct ct_engine *engine, int n_tokens)
{
    const struct ct_engine_info *info = ct_engine_info(engine);
    struct ct_slice slice = {.n_tokens = n_tokens, .n_logits = 1, .is_simulated = true};
    if (info->image.n_channels > 0) {
        slice.n_tokens = info->context_tok;
        slice.pixels = pixels(engine);
    } else {
        slice.tokens = tokens();
    }
    assert_int_equal(
        ct_session_open(engine, info->is_encoder ? slice.n_tokens : 250, &slice.session), CT_OK);
    return slice;
}

static void step(struct ct_engine *engine, struct ct_slice *slices, int n)
{
    struct ct_error err = {0};
    if (ct_engine_step(engine, slices, n, &err) != CT_OK)
        fail_msg("%s", err.message);
}

static void check_model(const char *path, const char *backend, enum ct_activations activations)
{
    struct ct_engine *there = open_path(path, backend, activations),
                     *here = open_path(path, NULL, activations);
    const struct ct_engine_info *info = ct_engine_info(there);
    const bool has_units = activations == CT_ACTIVATIONS_IBERT;
    struct ct_slice a = open_slice(there, 37), b = open_slice(here, 37);
    assert_string_equal(info->simulated, backend);
    assert_string_equal(info->backend, ct_engine_info(here)->backend);
    assert_null(ct_engine_info(here)->simulated);
    for (int n = 0; n < (info->is_encoder ? 1 : 3); n++) { /* a prompt, and tokens after it */
        const struct ct_simulated *simulated = &a.cost.simulated;
        step(there, &a, 1);
        step(here, &b, 1);
        assert_memory_equal(a.logits, b.logits, (size_t)info->n_outputs * sizeof *a.logits);
        assert_true(simulated->cycles > simulated->host_cycles && simulated->host_cycles > 0);
        assert_true(simulated->macs > 0 && simulated->macs < simulated->full_macs);
        assert_true((simulated->pj[CT_SIMULATED_NORM] > 0) == has_units);
        assert_true(b.cost.simulated.cycles == 0 && ct_simulated_pj(&b.cost.simulated) == 0);
        assert_true(a.cost.macs_i8 == b.cost.macs_i8);
        a.n_tokens = b.n_tokens = info->is_encoder ? a.n_tokens : 1;
    }
    ct_session_close(a.session);
    ct_session_close(b.session);
    ct_engine_close(there);
    ct_engine_close(here);
}

static void every_family_has_the_bits_of_the_cpu(void **state)
{
    (void)state;
    static const char *const models[] = {
        "fixture",    "bert",        "encoders/mpnet", "encoders/distilbert",
        "vision/vit", "vision/deit", "vision/dinov2"};
    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++) {
        struct temp_dir dir;
        calibrated_open(models[i], &dir);
        check_model(dir.path, "gemmini", CT_ACTIVATIONS_W8A8);
        check_model(dir.path, "gemmini:ibert", CT_ACTIVATIONS_IBERT);
        temp_dir_close(&dir);
    }
    check_model(CT_TEST_DIR "/support/qwen2.gguf", "gemmini", CT_ACTIVATIONS_W8A8);
}

/* What every number of struct ct_simulated is within. */
static void assert_near(const struct ct_simulated *a, const struct ct_simulated *b)
{
    assert_true(fabs(a->cycles - b->cycles) <= 1e-9 * b->cycles);
    assert_true(fabs(a->macs - b->macs) <= 1e-9 * b->macs);
    assert_true(fabs(a->dram_bytes - b->dram_bytes) <= 1e-9 * b->dram_bytes);
    assert_true(fabs(ct_simulated_pj(a) - ct_simulated_pj(b)) <= 1e-9 * ct_simulated_pj(b));
}

/* Three in a step, one of which did not ask: the two others pay for a machine that runs them alone, and less
 * than by themselves, as weights are read once. */
static void a_step_is_shared_out(void **state)
{
    (void)state;
    struct ct_engine *engine = open_fixture();
    struct ct_slice three[3], two[2], one[2];
    struct ct_simulated sum_three = {0}, sum_two = {0}, sum_one = {0};
    for (int i = 0; i < 3; i++) {
        three[i] = open_slice(engine, 10 + 5 * i);
        three[i].is_simulated = i != 2;
    }
    step(engine, three, 3);
    assert_true(three[2].cost.simulated.cycles == 0 && three[2].cost.macs_i8 > 0);
    for (int i = 0; i < 2; i++) {
        two[i] = open_slice(engine, 10 + 5 * i);
        one[i] = open_slice(engine, 10 + 5 * i);
    }
    step(engine, two, 2);
    for (int i = 0; i < 2; i++) {
        step(engine, &one[i], 1);
        ct_simulated_add(&sum_three, &three[i].cost.simulated);
        ct_simulated_add(&sum_two, &two[i].cost.simulated);
        ct_simulated_add(&sum_one, &one[i].cost.simulated);
        assert_near(&two[i].cost.simulated, &three[i].cost.simulated);
    }
    assert_near(&sum_two, &sum_three);
    assert_true(sum_two.cycles < sum_one.cycles && sum_two.dram_bytes < sum_one.dram_bytes);
    assert_true(fabs(sum_two.macs - sum_one.macs) <= 0.1 * sum_one.macs);
    for (int i = 0; i < 3; i++)
        ct_session_close(three[i].session);
    for (int i = 0; i < 2; i++) {
        ct_session_close(two[i].session);
        ct_session_close(one[i].session);
    }
    ct_engine_close(engine);
}

/* Shapes that were priced before cost no memory. */
static void a_warm_step_allocates_nothing(void **state)
{
    (void)state;
    struct ct_engine *engine = open_fixture();
    struct ct_simulated first = {0};
    for (int round = 0; round < 2; round++) {
        struct ct_slice slice = open_slice(engine, 20);
        const int n_before = ct_n_allocations();
        struct ct_simulated sum = {0};
        for (int n = 0; n < 40; n++) {
            step(engine, &slice, 1);
            ct_simulated_add(&sum, &slice.cost.simulated);
            slice.n_tokens = 1;
        }
        if (round == 1) {
            assert_int_equal(ct_n_allocations(), n_before);
            assert_near(&sum, &first);
        }
        first = sum;
        ct_session_close(slice.session);
    }
    ct_engine_close(engine);
}

static void wrong_machines_are_refused(void **state)
{
    (void)state;
    struct ct_engine *engine = NULL;
    struct ct_error err = {0};
    struct ct_engine_options options = {.backend = ct_backend_find("gemmini", &err)};
    const char *const path = CT_TEST_DIR "/support/fixture";
    options.machine_preset = "nope";
    assert_int_equal(ct_engine_open(path, &options, &engine, &err), CT_NOT_FOUND);
    options.machine_preset = NULL;
    options.machine_file = "/no/such/machine.ini";
    assert_int_equal(ct_engine_open(path, &options, &engine, &err), CT_IO);
    assert_non_null(strstr(err.message, "/no/such/machine.ini"));
    options.machine_file = NULL;
    options.activations = CT_ACTIVATIONS_FLOAT;
    assert_int_equal(ct_engine_open(path, &options, &engine, &err), CT_INVALID);
    assert_non_null(strstr(err.message, "float"));
    options.activations = CT_ACTIVATIONS_INT8;
    options.backend = ct_backend_find("gemmini:ibert", &err);
    assert_int_equal(ct_engine_open(path, &options, &engine, &err), CT_NOT_FOUND);
    assert_non_null(strstr(err.message, "centroid calibrate"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_family_has_the_bits_of_the_cpu),
        cmocka_unit_test(a_step_is_shared_out),
        cmocka_unit_test(a_warm_step_allocates_nothing),
        cmocka_unit_test(wrong_machines_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
