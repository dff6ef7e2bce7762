/* UTF-8 pieces and the streaming detokenizer: the same text for every way of cutting the bytes. */
#include "engine/tokenizer/bpe.h"
#include "engine/tokenizer/utf8.h"
#include "tests/support/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define R CT_UTF8_REPLACEMENT

/* bytes.decode("utf-8", errors="replace") of CPython 3.11. */
static const struct {
    const char *bytes, *text;
} rows[] = {
    {"", ""},
    {"plain", "plain"},
    {"\x80", R},
    {"\xBF\xBF", R R},
    {"\xC0\x80", R R},
    {"\xC3\xA9", "\xC3\xA9"},
    {"\xC3", R},
    {"\xC3\xC3\xA9", R "\xC3\xA9"},
    {"\xE0\x80\x80", R R R},
    {"\xE0\xA0", R},
    {"\xE2\x82", R},
    {"\xE2\x82\xAC", "\xE2\x82\xAC"},
    {"\xE2\x28\xA1", R "(" R},
    {"\xE2\x82x", R "x"},
    {"\xED\x9F\xBF", "\xED\x9F\xBF"},
    {"\xED\xA0\x80", R R R},
    {"\xEF\xBF\xBF", "\xEF\xBF\xBF"},
    {"\xF0\x80\x80\x80", R R R R},
    {"\xF0\x9F\x98\x80", "\xF0\x9F\x98\x80"},
    {"\xF0\x9F\x98", R},
    {"\xF0\x9F\x98x", R "x"},
    {"\xF0\x9F\xF0\x9F\x98\x80", R "\xF0\x9F\x98\x80"},
    {"\xF0\x90\x80\xC3\xA9", R "\xC3\xA9"},
    {"\xF4\x8F\xBF\xBF", "\xF4\x8F\xBF\xBF"},
    {"\xF4\x90\x80\x80", R R R R},
    {"\xF5\x80", R R},
    {"\xFF\xFE", R R},
    {"a\xF0\x9F"
     "b\xE2\x82"
     "c\xC3",
     "a" R "b" R "c" R},
};

/* Pushes bytes in pieces that end where cuts has a bit, and checks the whole. */
static void check_cuts(const char *bytes, size_t n_bytes, uint64_t cuts, const char *want,
                       size_t n_want)
{
    struct ct_detokenizer detokenizer = {0};
    char out[512];
    size_t n_out = 0, from = 0;
    for (size_t i = 1; i <= n_bytes; i++) {
        if (i < n_bytes && (cuts >> (i % 64) & 1) == 0)
            continue;
        size_t n = ct_detokenizer_push(&detokenizer, bytes + from, i - from, out + n_out);
        assert_true(n <= 3 * (i - from) + CT_DETOKENIZER_SLACK);
        n_out += n;
        assert_true(ct_utf8_is_valid(out, n_out));
        from = i;
    }
    n_out += ct_detokenizer_finish(&detokenizer, out + n_out);
    assert_int_equal(n_out, n_want);
    assert_memory_equal(out, want, n_want);
    assert_int_equal(ct_detokenizer_finish(&detokenizer, out), 0);
}

static void test_tricky_bytes_cut_in_every_way(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        size_t n_bytes = strlen(rows[i].bytes), n_want = strlen(rows[i].text);
        char out[64];
        assert_int_equal(ct_utf8_repair(rows[i].bytes, n_bytes, out), n_want);
        assert_memory_equal(out, rows[i].text, n_want);
        assert_int_equal(ct_utf8_is_valid(rows[i].bytes, n_bytes),
                         n_bytes == n_want && memcmp(rows[i].bytes, rows[i].text, n_want) == 0);
        for (uint64_t cuts = 0; cuts < UINT64_C(1) << (n_bytes + 1); cuts++)
            check_cuts(rows[i].bytes, n_bytes, cuts, rows[i].text, n_want);
    }
}

static uint64_t next_random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

static void test_random_bytes_cut_at_random(void **state)
{
    (void)state;
    const char *given = getenv("CENTROID_TEST_SEED");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 10) : 20240607;
    /* Bytes that begin, go on with and break characters. */
    static const unsigned char bytes[] = {0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0,
                                          0xBF, 0xC1, 0xC2, 0xDF, 0xE0, 0xE1, 0xED,
                                          0xEF, 0xF0, 0xF1, 0xF4, 0xF5, 0xFF};
    printf("seed %llu\n", (unsigned long long)seed);
    for (int round = 0; round < 200000; round++) {
        char text[32], want[96];
        size_t n_bytes = next_random(&seed) % sizeof text;
        for (size_t i = 0; i < n_bytes; i++)
            text[i] = (char)bytes[next_random(&seed) % sizeof bytes];
        size_t n_want = ct_utf8_repair(text, n_bytes, want);
        check_cuts(text, n_bytes, next_random(&seed), want, n_want);
    }
}

static void test_code_points_both_ways(void **state)
{
    (void)state;
    for (uint32_t c = 0; c < 0x110000; c++) {
        if (c >= 0xD800 && c < 0xE000)
            continue;
        char text[4];
        size_t n = ct_utf8_encode(c, text);
        struct ct_utf8 got = ct_utf8_decode(text, n);
        assert_int_equal(got.kind, CT_UTF8_WHOLE);
        assert_int_equal(got.code_point, c);
        assert_int_equal(got.n_bytes, n);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tricky_bytes_cut_in_every_way),
        cmocka_unit_test(test_random_bytes_cut_at_random),
        cmocka_unit_test(test_code_points_both_ways),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
