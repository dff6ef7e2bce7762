/* Qwen 2's tokenizer as GGUF metadata has it gives the ids of transformers' Qwen2Tokenizer for the
 * 2,000 texts: with the small vocabulary of qwen2.gguf, and with the real one where the cache has
 * it. */
#include "engine/format/gguf.h"
#include "tests/support/bpe_golden.h"
#include "tests/support/cached_model.h"

enum { REAL, FIXTURE, N_TOKENIZERS };

static struct ct_bpe *open_gguf(const char *path)
{
    struct ct_gguf *gguf = NULL;
    struct ct_bpe *bpe = NULL;
    struct ct_error err = {0};
    if (ct_gguf_open(path, &gguf, &err) != CT_OK || ct_bpe_open_gguf(gguf, &bpe, &err) != CT_OK)
        fail_msg("%s: %s", path, err.message);
    ct_gguf_close(gguf);
    return bpe;
}

/* All texts of tokenizer.bin against the hashes of tokenizer_qwen2.bin. */
static void check_ids(const struct ct_bpe *bpe, int which)
{
    struct bpe_golden golden;
    size_t n_bytes;
    uint32_t(*hashes)[N_TOKENIZERS][2] = /* [text][tokenizer][has special tokens] */
        (void *)read_whole_file(CT_TEST_DIR "/golden/tokenizer_qwen2.bin", &n_bytes);
    bpe_golden_open(&golden);
    assert_non_null(hashes);
    assert_int_equal(n_bytes, golden.n_texts * sizeof *hashes);
    for (uint32_t i = 0; i < golden.n_texts; i++) {
        struct bpe_golden_text text;
        bpe_golden_next(&golden, &text);
        size_t capacity = 3 * (text.n_bytes + 1), n_ids;
        int32_t *ids = malloc(capacity * sizeof *ids);
        assert_non_null(ids);
        for (int has_special = 0; has_special < 2; has_special++) {
            assert_int_equal(
                ct_bpe_encode(bpe, text.text, text.n_bytes, has_special, ids, capacity, &n_ids),
                CT_OK);
            if ((uint32_t)bpe_golden_hash(ids, n_ids) != hashes[i][which][has_special])
                fail_msg("text %u (\"%.60s\"), special %d: ids differ from the reference's", i,
                         text.text, has_special);
        }
        free(ids);
        free(text.text);
    }
    free(golden.data);
    free(hashes);
}

/* As it is, and after it was written as tokenizer.json and read again. */
static void check_both_forms(struct ct_bpe *bpe, int which)
{
    struct ct_bpe *again = NULL;
    struct ct_error err = {0};
    check_ids(bpe, which);
    char *json = ct_bpe_format_json(bpe);
    assert_non_null(json);
    if (ct_bpe_open_json(json, strlen(json), &again, &err) != CT_OK)
        fail_msg("%s", err.message);
    check_ids(again, which);
    ct_bpe_close(again);
    free(json);
}

static void test_fixture(void **state)
{
    (void)state;
    struct ct_bpe *bpe = open_gguf(CT_TEST_DIR "/support/qwen2.gguf");
    assert_int_equal(ct_bpe_n_vocab(bpe), 482); /* the other 30 pad the vocabulary */
    check_both_forms(bpe, FIXTURE);
    ct_bpe_close(bpe);
}

static void test_real_vocabulary(void **state)
{
    (void)state;
    char path[512];
    if (!cached_model(CACHED_QWEN2, path)) {
        print_message("no %s; ./test.sh --real fetches it\n", path);
        skip();
    }
    struct ct_bpe *bpe = open_gguf(path);
    assert_int_equal(ct_bpe_n_vocab(bpe), 151665);
    assert_int_equal(ct_bpe_token_id(bpe, "<|im_end|>", 10), 151645);
    check_both_forms(bpe, REAL);
    ct_bpe_close(bpe);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fixture),
        cmocka_unit_test(test_real_vocabulary),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
