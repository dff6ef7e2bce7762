/* Integers throughout: rows do not depend on their batch, what is wrong with activation_scales.json is
 * named, and any scales that it can hold give an answer. That the integers are the machine's is
 * test_gemmini_ibert. */
#include "engine/runtime/peaks.h"
#include "tests/support/calibrated.h"
#include "tests/support/reference.h"

#include <math.h>

static void a_row_does_not_depend_on_its_batch(void **state)
{
    (void)state;
    static const char *const names[] = {"bert", "encoders/mpnet", "vision/vit"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct temp_dir dir;
        calibrated_open(names[i], &dir);
        struct ct_engine *engine = reference_engine(dir.path, CT_ACTIVATIONS_IBERT, CT_KV_F16);
        const int n_outputs = ct_engine_info(engine)->n_outputs;
        struct calibrated_input together, alone;
        calibrated_input_init(engine, &together);
        reference_step(engine, together.slices, CALIBRATED_SEQUENCES);
        float *rows = malloc((size_t)(CALIBRATED_SEQUENCES * n_outputs) * sizeof *rows);
        assert_non_null(rows);
        for (int s = 0; s < CALIBRATED_SEQUENCES; s++)
            memcpy(rows + s * n_outputs, together.slices[s].logits,
                   (size_t)n_outputs * sizeof *rows);
        calibrated_input_deinit(&together);
        calibrated_input_init(engine, &alone);
        for (int s = 0; s < CALIBRATED_SEQUENCES; s++) {
            reference_step(engine, &alone.slices[s], 1);
            assert_memory_equal(rows + s * n_outputs, alone.slices[s].logits,
                                (size_t)n_outputs * sizeof *rows);
        }
        calibrated_input_deinit(&alone);
        free(rows);
        ct_engine_close(engine);
        temp_dir_close(&dir);
    }
}

static enum ct_status open_ibert(const char *path, struct ct_engine **engine, struct ct_error *err)
{
    const struct ct_engine_options options = {.n_threads = 1, .activations = CT_ACTIVATIONS_IBERT};
    return ct_engine_open(path, &options, engine, err);
}

static void what_is_wrong_with_scales_is_named(void **state)
{
    (void)state;
#define SCALES(weights) "{\"format\": \"centroid activation scales 1\", \"weights\": " weights "}"
    static const struct {
        const char *text, *named;
    } cases[] = {
        {"", "the file is empty"},
        {"{", "activation_scales.json"},
        {"[]", "activation_scales.json"},
        {"{\"weights\": {}}", "format"},
        {"{\"format\": \"centroid activation scales 9\", \"weights\": {}}", "format"},
        {"{\"format\": \"centroid activation scales 1\"}", "weights is not an object"},
        {SCALES("3"), "weights is not an object"},
        {SCALES("{\"a.weight\": 3}"), "weights.a.weight is not an object"},
        {SCALES("{\"a.weight\": {\"inward\": 3}}"), "weights.a.weight.inward"},
        {SCALES("{\"a.weight\": {\"input\": \"3\"}}"), "weights.a.weight.input"},
        {SCALES("{\"a.weight\": {\"input\": -3}}"), "weights.a.weight.input"},
        {SCALES("{\"a.weight\": {\"input\": 1e31}}"), "weights.a.weight.input"},
        {SCALES("{\"a.weight\": {\"input\": 1e999}}"), "activation_scales.json"},
        {SCALES("{}"), "weights.embeddings.LayerNorm.weight"},
    };
    struct temp_dir dir;
    struct ct_engine *engine = NULL;
    struct ct_error err = {0};
    assert_int_equal(temp_dir_open(&dir), 0);
    calibrated_link("bert", &dir);
    assert_int_equal(open_ibert(dir.path, &engine, &err), CT_NOT_FOUND);
    assert_non_null(strstr(err.message, "centroid calibrate"));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(temp_write_text(&dir, "activation_scales.json", cases[i].text), 0);
        assert_int_equal(open_ibert(dir.path, &engine, &err), CT_FORMAT);
        assert_null(engine);
        if (strstr(err.message, cases[i].named) == NULL)
            fail_msg("%s: \"%s\" does not name %s", cases[i].text, err.message, cases[i].named);
    }
    temp_dir_close(&dir);
}

/* Numbers that no calibration gives: all become an answer, or an error. */
static void any_scales_are_survived(void **state)
{
    (void)state;
    static const double sizes[] = {0, 1e-6, 1e-3, 1e6, 1e15, 1e30};
    struct temp_dir dir;
    char path[TEMP_PATH];
    calibrated_open("bert", &dir);
    temp_path(&dir, "activation_scales.json", path);
    json_t *scales = json_load_file(path, 0, NULL);
    assert_non_null(scales);
    for (size_t i = 0; i < 36; i++) {
        const char *name;
        json_t *peaks;
        int n = 0;
        json_object_foreach(json_object_get(scales, "weights"), name, peaks)
        {
            const double size = sizes[n++ % 2 == 0 ? i / 6 : i % 6];
            json_object_set_new(peaks, "input", json_real(size));
            json_object_set_new(peaks, "output", json_real(size));
        }
        assert_int_equal(json_dump_file(scales, path, 0), 0);
        struct ct_engine *engine = NULL;
        struct ct_error err = {0};
        if (open_ibert(dir.path, &engine, &err) != CT_OK)
            continue;
        struct calibrated_input input;
        calibrated_input_init(engine, &input);
        reference_step(engine, input.slices, CALIBRATED_SEQUENCES);
        calibrated_input_deinit(&input);
        ct_engine_close(engine);
    }
    json_decref(scales);
    temp_dir_close(&dir);
}

/* A prompt at once, and in parts with another session beside it. */
static void a_prompt_may_be_cut(void **state)
{
    (void)state;
    enum { N = 75 };
    struct temp_dir dir;
    int32_t ids[N];
    calibrated_open("fixture", &dir);
    struct ct_engine *engine = reference_engine(dir.path, CT_ACTIVATIONS_IBERT, CT_KV_F16);
    const size_t n_bytes = (size_t)ct_engine_info(engine)->n_outputs * sizeof(float);
    float *expected = malloc(n_bytes);
    assert_non_null(expected);
    for (int i = 0; i < N; i++)
        ids[i] = 3 + i * 7 % 80;
    struct ct_slice whole = reference_read(engine, ids, N, 0, 1);
    memcpy(expected, whole.logits, n_bytes);
    ct_session_close(whole.session);
    struct ct_slice slices[2] = {{.tokens = ids}, {.tokens = ids + 1, .n_logits = 1}};
    assert_int_equal(ct_session_open(engine, N, &slices[0].session), CT_OK);
    assert_int_equal(ct_session_open(engine, N, &slices[1].session), CT_OK);
    for (int t = 0, n; t < N; t += n) {
        n = t == 0 ? 40 : t < N - 3 ? 13 : 1;
        n = t + n > N ? N - t : n;
        slices[0].tokens = ids + t;
        slices[0].n_tokens = n;
        slices[0].n_logits = t + n == N;
        slices[1].n_tokens = 1;
        reference_step(engine, slices, 2);
    }
    assert_memory_equal(slices[0].logits, expected, n_bytes);
    free(expected);
    ct_session_close(slices[0].session);
    ct_session_close(slices[1].session);
    ct_engine_close(engine);
    temp_dir_close(&dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row_does_not_depend_on_its_batch),
        cmocka_unit_test(what_is_wrong_with_scales_is_named),
        cmocka_unit_test(any_scales_are_survived),
        cmocka_unit_test(a_prompt_may_be_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
