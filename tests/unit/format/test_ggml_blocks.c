/* Every element type against the reference's own values, and metadata of every type, from the
 * golden file that tests/golden/make_ggml_blocks.py writes. Values are equal to the bit. */
#include "engine/format/ggml_blocks.h"
#include "engine/format/gguf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct ct_gguf *open_golden(void)
{
    struct ct_gguf *gguf = NULL;
    struct ct_error err;
    if (ct_gguf_open(CT_TEST_DIR "/golden/ggml_blocks.gguf", &gguf, &err) != CT_OK)
        fail_msg("%s", err.message);
    return gguf;
}

static void check_tensor(const struct ct_tensor *tensor, const struct ct_tensor *expected)
{
    int64_t rows = tensor->shape[0], k = tensor->shape[1];
    assert_int_equal(expected->dtype, CT_DTYPE_F32);
    assert_int_equal(expected->shape[0], rows);
    assert_int_equal(expected->shape[1], k);
    assert_int_equal(tensor->n_bytes, (size_t)rows * ct_row_n_bytes(tensor->dtype, k));
    float *out = malloc((size_t)k * sizeof *out);
    assert_non_null(out);
    for (int64_t row = 0; row < rows; row++) {
        const char *data =
            (const char *)tensor->data + (size_t)row * ct_row_n_bytes(tensor->dtype, k);
        const float *want = (const float *)expected->data + row * k;
        ct_row_to_f32(tensor->dtype, data, k, out);
        for (int64_t j = 0; j < k; j++)
            if (memcmp(&out[j], &want[j], sizeof out[j]) != 0)
                fail_msg("%s row %d column %d: %.9g, expected %.9g", tensor->name, (int)row, (int)j,
                         (double)out[j], (double)want[j]);
    }
    free(out);
}

static void test_rows_equal_the_reference(void **state)
{
    (void)state;
    struct ct_gguf *gguf = open_golden();
    bool is_seen[CT_N_DTYPES] = {false};
    for (int i = 0; i < ct_gguf_n_tensors(gguf); i++) {
        const struct ct_tensor *tensor = ct_gguf_tensor(gguf, i);
        char name[64];
        snprintf(name, sizeof name, "%s.expected", tensor->name);
        const struct ct_tensor *expected = ct_gguf_find(gguf, name);
        if (expected == NULL)
            continue;
        check_tensor(tensor, expected);
        is_seen[tensor->dtype] = true;
    }
    for (int dtype = 0; dtype < CT_N_DTYPES; dtype++)
        if (ct_dtype_block_elements((enum ct_dtype)dtype) > 1 || dtype <= CT_DTYPE_BF16)
            assert_true(is_seen[dtype]);
    ct_gguf_close(gguf);
}

static void test_plain_numbers_become_floats(void **state)
{
    (void)state;
    float out[2];
    ct_row_to_f32(CT_DTYPE_F64, (double[]){0.1, -2}, 2, out);
    assert_true(out[0] == 0.1f && out[1] == -2.0f);
    ct_row_to_f32(CT_DTYPE_I8, (int8_t[]){-128, 127}, 2, out);
    assert_true(out[0] == -128.0f && out[1] == 127.0f);
    ct_row_to_f32(CT_DTYPE_U8, (uint8_t[]){0, 255}, 2, out);
    assert_true(out[0] == 0.0f && out[1] == 255.0f);
    ct_row_to_f32(CT_DTYPE_I16, (int16_t[]){-32768, 1}, 2, out);
    assert_true(out[0] == -32768.0f && out[1] == 1.0f);
    ct_row_to_f32(CT_DTYPE_I32, (int32_t[]){INT32_MIN, 7}, 2, out);
    assert_true(out[0] == -0x1p31f && out[1] == 7.0f);
    ct_row_to_f32(CT_DTYPE_I64, (int64_t[]){INT64_MIN, -9}, 2, out);
    assert_true(out[0] == -0x1p63f && out[1] == -9.0f);
}

static void check_int(const struct ct_gguf *gguf, const char *key, int64_t expected)
{
    int64_t value = 0;
    assert_int_equal(ct_gguf_int(gguf, key, &value), CT_OK);
    assert_true(value == expected);
}

static void test_metadata_of_every_type(void **state)
{
    (void)state;
    struct ct_gguf *gguf = open_golden();
    check_int(gguf, "test.u8", 200);
    check_int(gguf, "test.i8", -100);
    check_int(gguf, "test.u16", 60000);
    check_int(gguf, "test.i16", -30000);
    check_int(gguf, "test.u32", 4000000000);
    check_int(gguf, "test.i32", -2000000000);
    check_int(gguf, "test.u64", INT64_MAX);
    check_int(gguf, "test.i64", INT64_MIN);
    int64_t i64;
    double f64;
    bool is_true = false;
    struct ct_gguf_text text;
    assert_int_equal(ct_gguf_int(gguf, "test.u64_large", &i64), CT_FORMAT);
    assert_int_equal(ct_gguf_int(gguf, "test.f32", &i64), CT_FORMAT);
    assert_int_equal(ct_gguf_int(gguf, "test.absent", &i64), CT_NOT_FOUND);
    assert_int_equal(ct_gguf_float(gguf, "test.f32", &f64), CT_OK);
    assert_true(f64 == (double)0.1f);
    assert_int_equal(ct_gguf_float(gguf, "test.f64", &f64), CT_OK);
    assert_true(f64 == 0.1);
    assert_int_equal(ct_gguf_float(gguf, "test.i8", &f64), CT_OK);
    assert_true(f64 == -100.0);
    assert_int_equal(ct_gguf_float(gguf, "test.text", &f64), CT_FORMAT);
    assert_int_equal(ct_gguf_bool(gguf, "test.bool", &is_true), CT_OK);
    assert_true(is_true);
    assert_int_equal(ct_gguf_bool(gguf, "test.u8", &is_true), CT_FORMAT);
    assert_int_equal(ct_gguf_text(gguf, "test.text", &text), CT_OK);
    assert_int_equal(text.n_bytes, 8);
    assert_memory_equal(text.data,
                        "gr\xc3\xb6\xc3\x9f"
                        "er",
                        8);
    assert_int_equal(ct_gguf_text(gguf, "test.texts", &text), CT_FORMAT);
    ct_gguf_close(gguf);
}

static void test_arrays_by_cursor(void **state)
{
    (void)state;
    struct ct_gguf *gguf = open_golden();
    struct ct_gguf_array_cursor cursor;
    struct ct_gguf_text text;
    enum ct_gguf_type type;
    size_t n;
    int64_t i64;
    double f64;
    assert_int_equal(ct_gguf_array(gguf, "test.texts", &type, &n), CT_OK);
    assert_int_equal(type, CT_GGUF_STRING);
    assert_int_equal(n, 3);
    assert_int_equal(ct_gguf_array_begin(gguf, "test.texts", &cursor), CT_OK);
    static const char *const texts[] = {"a", "", "ccc"};
    for (int i = 0; i < 3; i++) {
        assert_true(ct_gguf_array_next_text(&cursor, &text));
        assert_int_equal(text.n_bytes, strlen(texts[i]));
        assert_memory_equal(text.data, texts[i], text.n_bytes);
    }
    assert_false(ct_gguf_array_next_text(&cursor, &text));
    assert_int_equal(ct_gguf_array_begin(gguf, "test.ints", &cursor), CT_OK);
    assert_false(ct_gguf_array_next_text(&cursor, &text));
    static const int64_t ints[] = {1, -2, 3};
    for (int i = 0; i < 3; i++) {
        assert_true(ct_gguf_array_next_int(&cursor, &i64));
        assert_true(i64 == ints[i]);
    }
    assert_false(ct_gguf_array_next_int(&cursor, &i64));
    assert_int_equal(ct_gguf_array_begin(gguf, "test.floats", &cursor), CT_OK);
    assert_false(ct_gguf_array_next_int(&cursor, &i64));
    assert_true(ct_gguf_array_next_float(&cursor, &f64) && f64 == 0.5);
    assert_true(ct_gguf_array_next_float(&cursor, &f64) && f64 == -1.25);
    assert_false(ct_gguf_array_next_float(&cursor, &f64));
    assert_int_equal(ct_gguf_array_begin(gguf, "test.u8", &cursor), CT_FORMAT);
    assert_int_equal(ct_gguf_array_begin(gguf, "test.absent", &cursor), CT_NOT_FOUND);
    ct_gguf_close(gguf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_equal_the_reference),
        cmocka_unit_test(test_plain_numbers_become_floats),
        cmocka_unit_test(test_metadata_of_every_type),
        cmocka_unit_test(test_arrays_by_cursor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
