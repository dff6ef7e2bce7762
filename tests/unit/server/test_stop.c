/* Stop strings: the released text must not depend on how the text was cut into tokens. */
#include "tests/support/unit.h"

#include "engine/base/rng.h"
#include "server/stop.h"

#include <stdio.h>
#include <string.h>

/* Feeds text in pieces: of one byte, or of random lengths; what was released goes to out. */
static bool feed(struct ct_stop *stop, const char *text, size_t n, struct ct_rng *rng, char *out)
{
    size_t n_out = 0;
    bool is_hit = false;
    for (size_t at = 0; at < n && !is_hit;) {
        size_t n_piece = rng ? 1 + ct_rng_below(rng, 4) : 1;
        n_piece = n_piece < n - at ? n_piece : n - at;
        memcpy(stop->held + stop->n_held, text + at, n_piece);
        at += n_piece;
        size_t n_text = ct_stop_push(stop, n_piece, &is_hit);
        memcpy(out + n_out, stop->held, n_text);
        n_out += n_text;
        ct_stop_release(stop, n_text);
    }
    if (!is_hit) {
        memcpy(out + n_out, stop->held, stop->n_held);
        n_out += stop->n_held;
    }
    out[n_out] = '\0';
    stop->n_held = 0;
    return is_hit;
}

static void check(const char *text, const char *const *words, int n_words, const char *expected,
                  bool is_expected_hit)
{
    struct ct_stop_text texts[4];
    char held[256], out[256];
    for (int i = 0; i < n_words; i++)
        texts[i] = (struct ct_stop_text){words[i], strlen(words[i])};
    struct ct_stop stop = {.texts = texts, .n_texts = n_words, .held = held};
    assert_int_equal(feed(&stop, text, strlen(text), NULL, out), is_expected_hit);
    assert_string_equal(out, expected);
}

static void test_cases(void **state)
{
    (void)state;
    check("hello END more", (const char *const[]){"END"}, 1, "hello ", true);
    check("hello EN", (const char *const[]){"END"}, 1, "hello EN", false);
    check("EENDx", (const char *const[]){"END"}, 1, "E", true);
    check("aaab", (const char *const[]){"aab"}, 1, "a", true);
    check("abcabd", (const char *const[]){"abd", "zz"}, 2, "abc", true);
    check("xaby", (const char *const[]){"abc", "b"}, 2, "xa", true);
    check("text", NULL, 0, "text", false);
    check("\n\nUser:", (const char *const[]){"\nUser"}, 1, "\n", true);
    check("stop", (const char *const[]){"stop"}, 1, "", true);
}

/* Nothing that is part of a stop string goes out: the push that completes it must still hold it
 * all. */
static void test_no_part_is_shown(void **state)
{
    (void)state;
    char held[64];
    bool is_hit = false;
    struct ct_stop_text text = {"<|end|>", 7};
    struct ct_stop stop = {.texts = &text, .n_texts = 1, .held = held};
    size_t n_shown = 0;
    for (const char *p = "ok<|end|"; *p != '\0'; p++) {
        held[stop.n_held] = *p;
        size_t n = ct_stop_push(&stop, 1, &is_hit);
        n_shown += n;
        ct_stop_release(&stop, n);
        assert_false(is_hit);
    }
    assert_int_equal(n_shown, 2);
    held[stop.n_held] = '>';
    assert_int_equal(ct_stop_push(&stop, 1, &is_hit), 0);
    assert_true(is_hit);
}

/* The earliest place of any stop string in the text, by search on the whole. */
static size_t earliest(const char *text, const struct ct_stop_text *texts, int n_texts)
{
    size_t best = strlen(text);
    for (int i = 0; i < n_texts; i++) {
        const char *at = strstr(text, texts[i].bytes);
        if (at != NULL && (size_t)(at - text) < best)
            best = (size_t)(at - text);
    }
    return best;
}

/* Small alphabets make overlaps likely. Of several stop strings, the one that is complete first
 * ends the text, even where another had begun before it. */
static void test_random_cuts(void **state)
{
    (void)state;
    const uint64_t seed = 20;
    printf("seed %llu\n", (unsigned long long)seed);
    struct ct_rng rng;
    ct_rng_init(&rng, seed);
    for (int round = 0; round < 20000; round++) {
        char words[3][8], text[64], held[128], out[128], again[128];
        struct ct_stop_text texts[3];
        int n_texts = 1 + (int)ct_rng_below(&rng, 3);
        for (int i = 0; i < n_texts; i++) {
            size_t n = 1 + ct_rng_below(&rng, 6);
            for (size_t k = 0; k < n; k++)
                words[i][k] = (char)('a' + ct_rng_below(&rng, 2));
            words[i][n] = '\0';
            texts[i] = (struct ct_stop_text){words[i], n};
        }
        size_t n_text = ct_rng_below(&rng, sizeof text);
        for (size_t k = 0; k < n_text; k++)
            text[k] = (char)('a' + ct_rng_below(&rng, 2));
        text[n_text] = '\0';
        struct ct_stop stop = {.texts = texts, .n_texts = n_texts, .held = held};
        bool is_hit = feed(&stop, text, n_text, NULL, out);
        size_t n_out = strlen(out), n_first = earliest(text, texts, n_texts);
        assert_memory_equal(out, text, n_out);
        assert_int_equal(is_hit, n_first < n_text);
        assert_int_equal(earliest(out, texts, n_texts), n_out); /* none of them was shown */
        if (n_texts == 1) { /* the cuts must not matter at all */
            assert_int_equal(feed(&stop, text, n_text, &rng, again), is_hit);
            assert_string_equal(again, out);
            assert_int_equal(n_out, n_first);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_no_part_is_shown),
        cmocka_unit_test(test_random_cuts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
