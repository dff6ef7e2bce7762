/* The engine in float mode against Hugging Face transformers in float32, on the fixture models:
 * logits within BOUND, and greedy answers equal (of qwen2.gguf, whose weights are random and its
 * answers' margins small, logits alone). The engine differs from the reference by the order
 * of its sums and by keys and values kept in f16 (11 bits), which a bound of 2^-6 on logits of up
 * to 30 covers; in int8 they have 16 times the error. */
#include "tests/support/reference.h"

#include <math.h>

static const float BOUND = 0x1p-6f, BOUND_KV_F16 = 0x1p-9f, BOUND_KV_INT8 = 0x1p-2f;

static json_t *golden;
static float *rows; /* fixture_logits.bin: [n_rows, n_vocab] */
static size_t n_values;

static int setup(void **state)
{
    (void)state;
    golden = reference_load("fixture_logits.json");
    FILE *file = fopen(CT_TEST_DIR "/golden/fixture_logits.bin", "rb");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    n_values = (size_t)ftell(file) / sizeof *rows;
    rewind(file);
    rows = malloc(n_values * sizeof *rows);
    assert_non_null(rows);
    assert_int_equal(fread(rows, sizeof *rows, n_values, file), n_values);
    return fclose(file);
}

static int teardown(void **state)
{
    (void)state;
    free(rows);
    json_decref(golden);
    return 0;
}

static const json_t *golden_model(size_t i)
{
    return json_array_get(json_object_get(golden, "models"), i);
}

static struct ct_engine *open_model(const json_t *model, enum ct_kv_type kv)
{
    char path[512];
    snprintf(path, sizeof path, "%s/support/%s", CT_TEST_DIR,
             json_string_value(json_object_get(model, "path")));
    return reference_engine(path, CT_ACTIVATIONS_FLOAT, kv);
}

/* The largest distance of the rows from those of the golden file, which must be within the bound.
 */
static float compare(const struct ct_slice *slice, size_t n_vocab, const json_t *first_row,
                     float bound)
{
    size_t first = (size_t)json_integer_value(first_row) * n_vocab,
           n = (size_t)slice->n_logits * n_vocab;
    float worst = 0;
    assert_true(json_is_integer(first_row) && first + n <= n_values);
    for (size_t i = 0; i < n; i++) {
        float expected = rows[first + i], distance = fabsf(slice->logits[i] - expected);
        if (!(distance <= bound))
            fail_msg("%d tokens, row %zu, token %zu: %g, the reference says %g", slice->n_tokens,
                     i / n_vocab, i % n_vocab, slice->logits[i], expected);
        worst = fmaxf(worst, distance);
    }
    return worst;
}

static void check_logits(const json_t *model)
{
    static int32_t ids[REFERENCE_MAX_TOK];
    struct ct_engine *engine = open_model(model, CT_KV_F16);
    struct ct_engine *engine_kv_int8 = open_model(model, CT_KV_INT8);
    size_t n_vocab = (size_t)ct_engine_info(engine)->n_vocab, i;
    const json_t *logits;
    float worst = 0, worst_kv_f16 = 0, worst_kv_int8 = 0;
    json_array_foreach(json_object_get(model, "logits"), i, logits)
    {
        int n_ids = reference_ids(json_object_get(logits, "tokens"), ids);
        int n_rows = (int)json_integer_value(json_object_get(logits, "n_rows"));
        struct ct_slice slice = reference_read(engine, ids, n_ids, 0, n_rows);
        worst = fmaxf(worst, compare(&slice, n_vocab, json_object_get(logits, "first_row"), BOUND));
        worst_kv_f16 =
            fmaxf(worst_kv_f16, compare(&slice, n_vocab,
                                        json_object_get(logits, "first_row_kv_f16"), BOUND_KV_F16));
        ct_session_close(slice.session);
        slice = reference_read(engine_kv_int8, ids, n_ids, 0, n_rows);
        worst_kv_int8 =
            fmaxf(worst_kv_int8,
                  compare(&slice, n_vocab, json_object_get(logits, "first_row"), BOUND_KV_INT8));
        ct_session_close(slice.session);
    }
    print_message("largest distance %g, from keys and values in f16 %g; of int8 ones %g\n", worst,
                  worst_kv_f16, worst_kv_int8);
    ct_engine_close(engine);
    ct_engine_close(engine_kv_int8);
}

static void check_greedy(const json_t *model)
{
    struct ct_engine *engine = open_model(model, CT_KV_F16);
    reference_check_greedy(engine, json_object_get(model, "greedy"), 20);
    ct_engine_close(engine);
}

static void directory_logits(void **state)
{
    (void)state;
    check_logits(golden_model(0));
}

static void directory_greedy(void **state)
{
    (void)state;
    check_greedy(golden_model(0));
}

static void gguf_logits(void **state)
{
    (void)state;
    check_logits(golden_model(1));
}

static void gguf_greedy(void **state)
{
    (void)state;
    check_greedy(golden_model(1));
}

static void qwen2_logits(void **state)
{
    (void)state;
    check_logits(golden_model(2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(directory_logits), cmocka_unit_test(directory_greedy),
        cmocka_unit_test(gguf_logits),      cmocka_unit_test(gguf_greedy),
        cmocka_unit_test(qwen2_logits),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
