/* The fixture's tokenizer gives the reference's ids for 2,000 texts, also after a round trip. */
#include "tests/support/bpe_golden.h"

#include <jansson.h>

/* The fixture's vocabulary under Qwen 2's rules: NFC, and its split. */
static void test_ids_of_normalized_text(void **state)
{
    (void)state;
    static const char pre[] =
        "{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Split\", \"pattern\": "
        "{\"Regex\": "
        "\"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}| "
        "?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+\"}, "
        "\"behavior\": \"Isolated\", \"invert\": false}, {\"type\": \"ByteLevel\", "
        "\"add_prefix_space\": false, \"use_regex\": false}]}";
    struct ct_bpe *bpe = NULL;
    struct ct_error err = {0};
    json_t *json = json_load_file(CT_TEST_DIR "/support/fixture/tokenizer.json", 0, NULL);
    json_object_set_new(json, "normalizer", json_pack("{s:s}", "type", "NFC"));
    json_object_set_new(json, "pre_tokenizer", json_loads(pre, 0, NULL));
    char *text = json_dumps(json, 0);
    assert_non_null(text);
    if (ct_bpe_open_json(text, strlen(text), &bpe, &err) != CT_OK)
        fail_msg("%s", err.message);
    bpe_golden_check(bpe, BPE_GOLDEN_QWEN2);
    bpe_golden_check_round_trip(bpe, BPE_GOLDEN_QWEN2);
    ct_bpe_close(bpe);
    free(text);
    json_decref(json);
}

static int open_fixture(void **state)
{
    size_t n_bytes;
    struct ct_bpe *bpe = NULL;
    struct ct_error err = {0};
    char *text = read_whole_file(CT_TEST_DIR "/support/fixture/tokenizer.json", &n_bytes);
    assert_non_null(text);
    if (ct_bpe_open_json(text, n_bytes, &bpe, &err) != CT_OK)
        fail_msg("%s", err.message);
    free(text);
    *state = bpe;
    return 0;
}

static int close_fixture(void **state)
{
    ct_bpe_close(*state);
    return 0;
}

static void test_ids_equal_the_reference(void **state)
{
    bpe_golden_check(*state, BPE_GOLDEN_FIXTURE);
}

static void test_round_trip_keeps_ids(void **state)
{
    bpe_golden_check_round_trip(*state, BPE_GOLDEN_FIXTURE);
}

/* Tokens put together and repaired are the text repaired. */
static void test_decoding_gives_the_text_back(void **state)
{
    const struct ct_bpe *bpe = *state;
    struct bpe_golden golden;
    bpe_golden_open(&golden);
    for (uint32_t i = 0; i < golden.n_texts; i++) {
        struct bpe_golden_text text;
        bpe_golden_next(&golden, &text);
        size_t capacity = 3 * text.n_bytes + CT_DETOKENIZER_SLACK, n_ids, n_out = 0, n_want;
        int32_t *ids = malloc((capacity + 1) * sizeof ids[0]);
        char *out = malloc(2 * capacity);
        char *want = malloc(capacity);
        struct ct_detokenizer whole = {0}, streamed = {0};
        assert_true(ids != NULL && out != NULL && want != NULL);
        n_want = ct_detokenizer_push(&whole, text.text, text.n_bytes, want);
        n_want += ct_detokenizer_finish(&whole, want + n_want);
        assert_int_equal(ct_bpe_encode(bpe, text.text, text.n_bytes, false, ids, capacity, &n_ids),
                         CT_OK);
        for (size_t k = 0; k < n_ids; k++) {
            size_t n_bytes;
            const char *bytes = ct_bpe_token_bytes(bpe, ids[k], &n_bytes);
            n_out += ct_detokenizer_push(&streamed, bytes, n_bytes, out + n_out);
        }
        n_out += ct_detokenizer_finish(&streamed, out + n_out);
        assert_int_equal(n_out, n_want);
        assert_memory_equal(out, want, n_want);
        free(want);
        free(out);
        free(ids);
        free(text.text);
    }
    free(golden.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ids_equal_the_reference),
        cmocka_unit_test(test_round_trip_keeps_ids),
        cmocka_unit_test(test_decoding_gives_the_text_back),
        cmocka_unit_test(test_ids_of_normalized_text),
    };
    return cmocka_run_group_tests(tests, open_fixture, close_fixture);
}
