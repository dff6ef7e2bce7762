/* JSON text must be JSON, whatever bytes go in. */
#include "tests/support/unit.h"

#include "engine/base/rng.h"
#include "server/buffer.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

static void check(const char *bytes, size_t n_bytes, const char *expected)
{
    struct ct_buffer buffer;
    ct_buffer_init(&buffer);
    ct_buffer_json(&buffer, bytes, n_bytes);
    assert_int_equal(buffer.n_bytes, strlen(expected));
    assert_memory_equal(buffer.data, expected, buffer.n_bytes);
    ct_buffer_deinit(&buffer);
}

static void test_json_cases(void **state)
{
    (void)state;
    check("", 0, "\"\"");
    check("a\"b\\c", 5, "\"a\\\"b\\\\c\"");
    check("\n\r\t\x01\x7f\0", 6, "\"\\n\\r\\t\\u0001\\u007f\\u0000\"");
    check("h\xc3\xa9\xf0\x9f\x98\x80", 7, "\"h\xc3\xa9\xf0\x9f\x98\x80\"");
    check("\xc3", 1, "\"\xef\xbf\xbd\"");
    check("\xed\xa0\x80", 3, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""); /* a surrogate */
    check("\xc0\xaf", 2, "\"\xef\xbf\xbd\xef\xbf\xbd\"");                 /* overlong */
}

static void test_any_bytes_parse(void **state)
{
    (void)state;
    const uint64_t seed = 7;
    printf("seed %llu\n", (unsigned long long)seed);
    struct ct_rng rng;
    ct_rng_init(&rng, seed);
    for (int round = 0; round < 5000; round++) {
        char bytes[64];
        size_t n = ct_rng_below(&rng, sizeof bytes);
        for (size_t i = 0; i < n; i++)
            bytes[i] = (char)(1 + ct_rng_below(&rng, 255));
        struct ct_buffer buffer;
        ct_buffer_init(&buffer);
        ct_buffer_json(&buffer, bytes, n);
        json_t *root = json_loadb(buffer.data, buffer.n_bytes, JSON_DECODE_ANY, NULL);
        assert_non_null(root);
        json_decref(root);
        ct_buffer_deinit(&buffer);
    }
}

static void test_grows(void **state)
{
    (void)state;
    struct ct_buffer buffer;
    ct_buffer_init(&buffer);
    for (int i = 0; i < 10000; i++)
        ct_buffer_printf(&buffer, "%d,", i);
    assert_false(buffer.is_short);
    assert_int_equal(buffer.n_bytes, 48890);
    assert_memory_equal(buffer.data + buffer.n_bytes - 5, "9999,", 5);
    assert_null(ct_buffer_reserve(&buffer, SIZE_MAX)); /* memory is short */
    assert_true(buffer.is_short);
    ct_buffer_text(&buffer, "more");
    assert_int_equal(buffer.n_bytes, 48890);
    ct_buffer_deinit(&buffer);
}

static void base64_is_read_to_the_letter(void **state)
{
    (void)state;
    static const struct {
        const char *text, *bytes;
    } good[] = {{"", ""},
                {"QQ==", "A"},
                {"QUI=", "AB"},
                {"QUJD", "ABC"},
                {"+/+/QQ==", "\xfb\xff\xbf"
                             "A"}};
    static const char *const bad[] = {
        "Q",      "QQ",   "QQ=",  "QQ===", "=QQ=", "QQ==QQ==", "Q Q=",
        "QUJD\n", "QU-_", "QR==", "QUJ=",  "====", "Q===",     "\xff\xff\xff\xff"};
    unsigned char out[16];
    size_t n_out = 0;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_true(ct_base64_decode(good[i].text, strlen(good[i].text), out, &n_out));
        assert_int_equal(n_out, strlen(good[i].bytes));
        assert_memory_equal(out, good[i].bytes, n_out);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (ct_base64_decode(bad[i], strlen(bad[i]), out, &n_out))
            fail_msg("%s was read", bad[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(base64_is_read_to_the_letter),
        cmocka_unit_test(test_json_cases),
        cmocka_unit_test(test_any_bytes_parse),
        cmocka_unit_test(test_grows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
