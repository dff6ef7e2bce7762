/* The pre-tokenizer's classes hold exactly the reference's code points, and its patterns cut where
 * they should. tests/golden/make_unicode_classes.py made the ranges. */
#include "engine/tokenizer/pretokenizer.h"

#include "engine/tokenizer/utf8.h"
#include "tests/support/unit.h"
#include "tests/support/whole_file.h"

#include <string.h>

struct words {
    char text[256]; /* "word|word|" */
    size_t n_bytes;
    int n;
};

static enum ct_status take_word(void *context, const char *word, size_t n_bytes)
{
    struct words *words = context;
    assert_true(words->n_bytes + n_bytes + 2 < sizeof words->text);
    memcpy(words->text + words->n_bytes, word, n_bytes);
    words->n_bytes += n_bytes;
    words->text[words->n_bytes++] = '|';
    words->text[words->n_bytes] = '\0';
    words->n++;
    return CT_OK;
}

static struct ct_pretokenizer *open_steps(enum ct_pretokenizer_kind kind, const char *pattern)
{
    struct ct_pretokenizer *pre = NULL;
    struct ct_error err = {0};
    assert_int_equal(ct_pretokenizer_open(&pre), CT_OK);
    if (ct_pretokenizer_add(pre, kind, pattern, strlen(pattern), &err) != CT_OK)
        fail_msg("%s", err.message);
    return pre;
}

static void test_classes_equal_the_reference_on_all_of_unicode(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum ct_pretokenizer_kind kind;
    } classes[] = {
        {"\\p{L}", CT_PRETOKENIZER_SPLIT},
        {"\\p{N}", CT_PRETOKENIZER_SPLIT},
        {"\\s", CT_PRETOKENIZER_SPLIT},
        {"", CT_PRETOKENIZER_DIGITS},
    };
    size_t n_bytes;
    char *golden = read_whole_file(CT_TEST_DIR "/golden/unicode_classes.bin", &n_bytes);
    assert_non_null(golden);
    const char *at = golden;
    for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++) {
        struct ct_pretokenizer *pre = open_steps(classes[i].kind, classes[i].name);
        uint32_t n_ranges, range[2] = {0, 0};
        memcpy(&n_ranges, at, 4);
        at += 4;
        memcpy(range, at, 8);
        for (uint32_t c = 0; c < 0x110000; c++) {
            if (c >= 0xD800 && c < 0xE000)
                continue;
            if (c > range[1] && n_ranges > 1) {
                n_ranges--;
                at += 8;
                memcpy(range, at, 8);
            }
            /* A member is cut off from the '!' after it. */
            char text[8];
            size_t n = ct_utf8_encode(c, text);
            text[n++] = '!';
            struct words words = {0};
            assert_int_equal(ct_pretokenizer_split(pre, text, n, take_word, &words), CT_OK);
            if ((words.n == 2) != (c >= range[0] && c <= range[1]))
                fail_msg("U+%04X in class %zu: %d", c, i, words.n == 2);
        }
        at += 8;
        ct_pretokenizer_close(pre);
    }
    assert_ptr_equal(at, golden + n_bytes);
    free(golden);
}

static void check_named(const char *name, const char *text, const char *want)
{
    struct ct_pretokenizer *pre = NULL;
    struct ct_error err = {0};
    struct words words = {0};
    assert_int_equal(ct_pretokenizer_open(&pre), CT_OK);
    if (ct_pretokenizer_add_named(pre, name, strlen(name), &err) != CT_OK)
        fail_msg("%s", err.message);
    assert_int_equal(ct_pretokenizer_split(pre, text, strlen(text), take_word, &words), CT_OK);
    assert_string_equal(words.text, want);
    ct_pretokenizer_close(pre);
}

static void test_named_patterns(void **state)
{
    (void)state;
    const char *text = "I'LL it's  12345 \n\n  x!\n";
    check_named("smollm", text, "I|'|LL| it|'s|  |1|2|3|4|5| \n\n | x|!|\n|");
    check_named("gpt-2", text, "I|'|LL| it|'s| | 12345| \n\n | x|!|\n|");
    check_named("default", text, "I|'|LL| it|'s| | 12345| \n\n | x|!|\n|");
    check_named("llama-bpe", text, "I|'LL| it|'s| | |123|45| \n\n| | x|!\n|");
    check_named("qwen2", text, "I|'LL| it|'s| | |1|2|3|4|5| \n\n| | x|!\n|");
}

static void test_what_is_not_known_is_refused_by_name(void **state)
{
    (void)state;
    static const char *const patterns[] = {
        "\\p{Lu}", "\\w+",   "\\bx",     "^a",    "a$",      ".",      "[a[b]]", "[a&&b]",
        "(?<=a)b", "(?s:a)", "(?P<n>a)", "x*",    "(a",      "a|",     "[",      "[a",
        "[^",      "\\",     "a{1,2}+b", "[\\S]", "\\x{41}", "(?#c)a",
    };
    struct ct_error err;
    for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++) {
        struct ct_pretokenizer *pre = NULL;
        assert_int_equal(ct_pretokenizer_open(&pre), CT_OK);
        int status =
            ct_pretokenizer_add(pre, CT_PRETOKENIZER_SPLIT, patterns[i], strlen(patterns[i]), &err);
        if (status != CT_UNSUPPORTED)
            fail_msg("%s: %d", patterns[i], status);
        assert_non_null(strstr(err.message, "pattern"));
        ct_pretokenizer_close(pre);
    }
    struct ct_pretokenizer *pre = NULL;
    assert_int_equal(ct_pretokenizer_open(&pre), CT_OK);
    assert_int_equal(ct_pretokenizer_add_named(pre, "gpt-9", 5, &err), CT_UNSUPPORTED);
    assert_non_null(strstr(err.message, "gpt-9"));
    for (int i = 0; i < CT_PRETOKENIZER_STEPS; i++)
        assert_int_equal(ct_pretokenizer_add(pre, CT_PRETOKENIZER_DIGIT_RUNS, "", 0, &err), CT_OK);
    assert_int_equal(ct_pretokenizer_add(pre, CT_PRETOKENIZER_DIGITS, "", 0, &err), CT_UNSUPPORTED);
    ct_pretokenizer_close(pre);
}

static void test_a_pattern_that_explodes_ends(void **state)
{
    (void)state;
    struct ct_pretokenizer *pre = open_steps(CT_PRETOKENIZER_SPLIT, "(a|aa|aaa)+[bc]");
    char text[200];
    struct words words = {0};
    memset(text, 'a', sizeof text);
    assert_int_equal(ct_pretokenizer_split(pre, text, sizeof text, take_word, &words),
                     CT_TOO_LARGE);
    ct_pretokenizer_close(pre);
}

static enum ct_status count_bytes(void *context, const char *word, size_t n_bytes)
{
    (void)word;
    *(size_t *)context += n_bytes;
    return CT_OK;
}

static void test_long_runs_are_within_the_limits(void **state)
{
    (void)state;
    static const char *const names[] = {"smollm", "gpt-2", "llama-bpe", "qwen2"};
    size_t n_bytes = 1 << 20;
    char *text = malloc(n_bytes);
    assert_non_null(text);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        for (const char *c = " a1!\n"; *c != '\0'; c++) {
            struct ct_pretokenizer *pre = NULL;
            size_t n_seen = 0;
            memset(text, *c, n_bytes);
            assert_int_equal(ct_pretokenizer_open(&pre), CT_OK);
            assert_int_equal(ct_pretokenizer_add_named(pre, names[i], strlen(names[i]), NULL),
                             CT_OK);
            assert_int_equal(ct_pretokenizer_split(pre, text, n_bytes, count_bytes, &n_seen),
                             CT_OK);
            assert_int_equal(n_seen, n_bytes);
            ct_pretokenizer_close(pre);
        }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_classes_equal_the_reference_on_all_of_unicode),
        cmocka_unit_test(test_named_patterns),
        cmocka_unit_test(test_what_is_not_known_is_refused_by_name),
        cmocka_unit_test(test_a_pattern_that_explodes_ends),
        cmocka_unit_test(test_long_runs_are_within_the_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
