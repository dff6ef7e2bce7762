/* BERT's normalization and its classes of characters equal the reference's on all of Unicode.
 * tests/golden/make_bert_classes.py made the hashes. */
#include "engine/tokenizer/bert_normalizer.h"

#include "engine/tokenizer/utf8.h"
#include "tests/support/unit.h"
#include "tests/support/whole_file.h"

#include <string.h>

enum { BLOCK = 4096, N_BLOCKS = 0x110000 / BLOCK };

static const struct ct_bert_rules rules[] = {
    {true, true, true, true},    {true, true, false, false}, {false, false, true, false},
    {false, false, false, true}, {false, true, true, true},
};
enum { N_RULES = sizeof rules / sizeof rules[0] };

static uint64_t hash_bytes(uint64_t hash, const char *bytes, size_t n_bytes)
{
    for (size_t i = 0; i < n_bytes; i++)
        hash = (hash ^ (unsigned char)bytes[i]) * UINT64_C(0x100000001B3);
    return hash;
}

static bool is_surrogate(uint32_t c)
{
    return c >= 0xD800 && c < 0xE000;
}

/* Of "a" + c + "b", normalized, in UTF-8. */
static uint64_t hash_normalized(uint64_t hash, const struct ct_bert_rules *by, uint32_t c)
{
    char text[6] = "a", out[4];
    const size_t n_bytes = ct_utf8_encode(c, text + 1);
    text[1 + n_bytes] = 'b';
    struct ct_bert_cursor cursor = ct_bert_begin(by, text, n_bytes + 2);
    struct ct_bert_char read;
    size_t n_chars = 0;
    for (; ct_bert_next(&cursor, &read); n_chars++)
        hash = hash_bytes(hash, out, ct_utf8_encode(read.code_point, out));
    assert_in_range(n_chars, 2, n_bytes + 2);
    return hash;
}

static void test_all_code_points(void **state)
{
    (void)state;
    size_t n_bytes;
    uint32_t(*golden)[N_BLOCKS] = /* [rules, then classes][block] */
        (void *)read_whole_file(CT_TEST_DIR "/golden/bert_normalizer.bin", &n_bytes);
    assert_non_null(golden);
    assert_int_equal(n_bytes, (N_RULES + 1) * sizeof golden[0]);
    for (size_t i = 0; i <= N_RULES; i++)
        for (uint32_t block = 0; block < N_BLOCKS; block++) {
            uint64_t hash = UINT64_C(0xCBF29CE484222325);
            for (uint32_t c = block * BLOCK; c < (block + 1) * BLOCK; c++) {
                if (is_surrogate(c))
                    continue;
                const char class = (char)ct_bert_class(c);
                hash =
                    i < N_RULES ? hash_normalized(hash, &rules[i], c) : hash_bytes(hash, &class, 1);
            }
            if ((uint32_t)hash != golden[i][block])
                fail_msg("rules %zu, U+%X to U+%X: not the reference's", i, block * BLOCK,
                         (block + 1) * BLOCK - 1);
        }
    free(golden);
}

static void test_bytes_that_are_not_utf8(void **state)
{
    (void)state;
    static const struct ct_bert_rules keep = {0};
    struct ct_bert_cursor cursor = ct_bert_begin(&keep, "a\xF0\x9F\x98", 4);
    struct ct_bert_cursor cleaned = ct_bert_begin(&rules[0], "\xFF\xF0\x9F", 3);
    struct ct_bert_char c;
    assert_true(ct_bert_next(&cursor, &c));
    assert_int_equal(c.code_point, 'a');
    assert_true(ct_bert_next(&cursor, &c));
    assert_int_equal(c.code_point, 0xFFFD);
    assert_false(ct_bert_next(&cursor, &c));
    assert_false(ct_bert_next(&cleaned, &c));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_code_points),
        cmocka_unit_test(test_bytes_that_are_not_utf8),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
