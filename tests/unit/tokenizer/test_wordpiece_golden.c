/* The small vocabulary of golden/wordpiece.json under several rules, and all-MiniLM-L6-v2's where
 * the cache has it, give the reference's ids for 2,000 texts, alone and in pairs.
 * tests/golden/make_wordpiece.py describes the file. */
#include "engine/tokenizer/wordpiece.h"

#include "tests/support/cached_model.h"
#include "tests/support/unit.h"
#include "tests/support/whole_file.h"

#include <jansson.h>
#include <string.h>

enum { N_TEXTS = 2000, N_RULES = 5 };

struct text {
    char *bytes;
    size_t n_bytes;
    struct {
        uint32_t ids[N_RULES][2]; /* [rules][has special] */
        uint32_t pair, mini_lm;
    } hashes;
};

static const char fixture[] = CT_TEST_DIR "/golden/wordpiece.json";
static struct text *texts; /* [N_TEXTS] */

static const char *take(const char *at, void *value, size_t n_bytes)
{
    memcpy(value, at, n_bytes);
    return at + n_bytes;
}

static const char *read_text(const char *at, struct text *text)
{
    uint16_t n_segments;
    at = take(at, &n_segments, 2);
    text->bytes = malloc(1 << 20);
    assert_non_null(text->bytes);
    for (int i = 0; i < n_segments; i++) {
        uint32_t n_bytes, n_repeats;
        at = take(at, &n_bytes, 4);
        at = take(at, &n_repeats, 4);
        for (uint32_t r = 0; r < n_repeats; r++, text->n_bytes += n_bytes)
            memcpy(text->bytes + text->n_bytes, at, n_bytes);
        at += n_bytes;
    }
    text->bytes = realloc(text->bytes, text->n_bytes + 1); /* so that a sanitizer sees its end */
    assert_non_null(text->bytes);
    return take(at, &text->hashes, sizeof text->hashes);
}

static int read_texts(void **state)
{
    (void)state;
    size_t n_bytes;
    uint32_t n_texts;
    char *data = read_whole_file(CT_TEST_DIR "/golden/wordpiece.bin", &n_bytes);
    texts = calloc(N_TEXTS, sizeof *texts);
    assert_non_null(data);
    assert_non_null(texts);
    assert_memory_equal(data, "CTWP0001", 8);
    const char *at = take(data + 8, &n_texts, 4);
    assert_int_equal(n_texts, N_TEXTS);
    for (uint32_t i = 0; i < n_texts; i++)
        at = read_text(at, &texts[i]);
    assert_ptr_equal(at, data + n_bytes);
    free(data);
    return 0;
}

static int free_texts(void **state)
{
    (void)state;
    for (int i = 0; i < N_TEXTS; i++)
        free(texts[i].bytes);
    free(texts);
    return 0;
}

static uint64_t hash_ids(uint64_t hash, const int32_t *ids, size_t n_ids)
{
    for (size_t i = 0; i < n_ids; i++)
        for (int shift = 0; shift < 32; shift += 8)
            hash = (hash ^ ((uint32_t)ids[i] >> shift & 0xFF)) * UINT64_C(0x100000001B3);
    return hash;
}

static const uint64_t hash_start = UINT64_C(0xCBF29CE484222325);

/* n_bytes and the tokens around a text bound its ids. */
static void check_ids(const struct ct_wordpiece *wordpiece, int number, bool has_special,
                      uint32_t want)
{
    const struct text *text = &texts[number];
    const size_t capacity =
        text->n_bytes + (has_special ? ct_wordpiece_n_around(wordpiece, false) : 0);
    int32_t *ids = malloc((capacity + 1) * sizeof ids[0]);
    size_t n_ids;
    assert_non_null(ids);
    assert_int_equal(ct_wordpiece_encode(wordpiece, text->bytes, text->n_bytes, has_special, ids,
                                         capacity, &n_ids),
                     CT_OK);
    assert_in_range(n_ids, 0, capacity);
    if ((uint32_t)hash_ids(hash_start, ids, n_ids) != want)
        fail_msg("text %d (\"%.*s\"), special %d: %zu ids differ from the reference's", number,
                 (int)(text->n_bytes < 60 ? text->n_bytes : 60), text->bytes, has_special, n_ids);
    free(ids);
}

static struct ct_wordpiece *open_text(const char *json)
{
    struct ct_wordpiece *wordpiece = NULL;
    struct ct_error err = {0};
    if (ct_wordpiece_open_json(json, strlen(json), &wordpiece, &err) != CT_OK)
        fail_msg("%s", err.message);
    return wordpiece;
}

static struct ct_wordpiece *open_file(const char *path)
{
    size_t n_bytes;
    char *json = read_whole_file(path, &n_bytes);
    assert_non_null(json);
    assert_true(ct_wordpiece_is_json(json, n_bytes));
    struct ct_wordpiece *wordpiece = open_text(json);
    free(json);
    return wordpiece;
}

static void test_ids_under_each_rule(void **state)
{
    (void)state;
    static const bool rules[N_RULES][4] = {{true, true, true, true},
                                           {true, true, false, false},
                                           {false, false, true, false},
                                           {false, false, false, true},
                                           {false, true, true, true}};
    for (int i = 0; i < N_RULES; i++) {
        json_t *json = json_load_file(fixture, 0, NULL);
        json_object_set_new(json, "normalizer",
                            json_pack("{s:s, s:b, s:b, s:b, s:b}", "type", "BertNormalizer",
                                      "clean_text", rules[i][0], "handle_chinese_chars",
                                      rules[i][1], "strip_accents", rules[i][2], "lowercase",
                                      rules[i][3]));
        char *text = json_dumps(json, 0);
        assert_non_null(text);
        struct ct_wordpiece *wordpiece = open_text(text);
        for (int number = 0; number < N_TEXTS; number++)
            for (int has_special = 0; has_special < 2; has_special++)
                check_ids(wordpiece, number, has_special, texts[number].hashes.ids[i][has_special]);
        ct_wordpiece_close(wordpiece);
        free(text);
        json_decref(json);
    }
}

static void test_pairs(void **state)
{
    (void)state;
    struct ct_wordpiece *wordpiece = open_file(fixture);
    for (int number = 0; number < N_TEXTS; number++) {
        const struct text *a = &texts[number], *b = &texts[(number + 1) % N_TEXTS];
        const size_t capacity = a->n_bytes + b->n_bytes + ct_wordpiece_n_around(wordpiece, true);
        int32_t *ids = malloc(2 * capacity * sizeof ids[0]), *types = ids + capacity;
        size_t n_ids;
        assert_non_null(ids);
        assert_int_equal(ct_wordpiece_encode_pair(wordpiece, a->bytes, a->n_bytes, b->bytes,
                                                  b->n_bytes, ids, types, capacity, &n_ids),
                         CT_OK);
        assert_in_range(n_ids, 3, capacity);
        if ((uint32_t)hash_ids(hash_ids(hash_start, ids, n_ids), types, n_ids) != a->hashes.pair)
            fail_msg("text %d and the next: %zu ids differ from the reference's", number, n_ids);
        free(ids);
    }
    ct_wordpiece_close(wordpiece);
}

static void test_mini_lm(void **state)
{
    (void)state;
    char path[512];
    if (!cached_model(CACHED_MINI_LM "/tokenizer.json", path)) {
        print_message("no %s\n", path);
        skip();
    }
    struct ct_wordpiece *wordpiece = open_file(path);
    assert_int_equal(ct_wordpiece_n_vocab(wordpiece), 30522);
    assert_int_equal(ct_wordpiece_token_id(wordpiece, "[CLS]", 5), 101);
    for (int number = 0; number < N_TEXTS; number++)
        check_ids(wordpiece, number, true, texts[number].hashes.mini_lm);
    ct_wordpiece_close(wordpiece);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ids_under_each_rule),
        cmocka_unit_test(test_pairs),
        cmocka_unit_test(test_mini_lm),
    };
    return cmocka_run_group_tests(tests, read_texts, free_texts);
}
