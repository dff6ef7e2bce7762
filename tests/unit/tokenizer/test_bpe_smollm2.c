/* SmolLM2's tokenizer, read from the real model's GGUF metadata, gives the reference's ids for
 * 2,000 texts. Skipped where the cache has no model. */
#include "engine/format/gguf.h"
#include "tests/support/bpe_golden.h"
#include "tests/support/cached_model.h"

static struct ct_gguf *gguf;
static struct ct_bpe *bpe;

static void test_ids_equal_the_reference(void **state)
{
    (void)state;
    assert_int_equal(ct_bpe_n_vocab(bpe), 49152);
    bpe_golden_check(bpe, BPE_GOLDEN_SMOLLM2);
}

static void test_round_trip_through_json_keeps_ids(void **state)
{
    (void)state;
    bpe_golden_check_round_trip(bpe, BPE_GOLDEN_SMOLLM2);
}

static void test_control_tokens(void **state)
{
    (void)state;
    size_t n_bytes;
    assert_int_equal(ct_bpe_token_id(bpe, "<|im_end|>", 10), 2);
    assert_true(ct_bpe_is_special(bpe, 2));
    assert_false(ct_bpe_is_special(bpe, 17));
    ct_bpe_token_bytes(bpe, 2, &n_bytes);
    assert_int_equal(n_bytes, 0);
}

int main(void)
{
    char path[512];
    struct ct_error err = {0};
    if (!cached_model(CACHED_SMOLLM2, path)) {
        printf("SKIPPED: no %s; ./test.sh --real fetches it\n", path);
        return 77;
    }
    if (ct_gguf_open(path, &gguf, &err) != CT_OK || ct_bpe_open_gguf(gguf, &bpe, &err) != CT_OK) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ids_equal_the_reference),
        cmocka_unit_test(test_round_trip_through_json_keeps_ids),
        cmocka_unit_test(test_control_tokens),
    };
    int n_failed = cmocka_run_group_tests(tests, NULL, NULL);
    ct_bpe_close(bpe);
    ct_gguf_close(gguf);
    return n_failed;
}
