/* The tokenizer's readers and tables on small vocabularies: what is honoured, what is refused by
 * name, and that nothing depends on how a file is cut or who encodes at the same time. */
#include "engine/tokenizer/bpe.h"

#include "tests/support/gguf_bytes.h"
#include "tests/support/unit.h"
#include "tests/support/whole_file.h"

#include <pthread.h>
#include <string.h>

/* A tokenizer.json in parts, so that a test can change one. */
struct parts {
    const char *head, *added, *pre, *model, *vocab, *merges;
};

static const struct parts plain = {
    .head = "",
    .added =
        "{\"id\": 7, \"content\": \"<x>\", \"special\": true}, {\"id\": 8, \"content\": \"<x>y\"}",
    .pre = "{\"type\": \"ByteLevel\", \"add_prefix_space\": false}",
    .model = "\"type\": \"BPE\",",
    .vocab = "\"a\": 0, \"b\": 1, \"c\": 2, \"ab\": 3, \"abc\": 4, \"\\u0120\": 5, \"bc\": 6",
    .merges = "\"a b\", \"b c\", \"ab c\"",
};

static enum ct_status open_parts(const struct parts *parts, struct ct_bpe **bpe,
                                 struct ct_error *err)
{
    char text[4096];
    int n =
        snprintf(text, sizeof text,
                 "{%s \"added_tokens\": [%s], \"pre_tokenizer\": %s,\n"
                 "\"decoder\": {\"type\": \"ByteLevel\"},\n"
                 "\"model\": {%s \"vocab\": {%s}, \"merges\": [%s]}}",
                 parts->head, parts->added, parts->pre, parts->model, parts->vocab, parts->merges);
    assert_in_range(n, 1, sizeof text - 1);
    *bpe = NULL;
    return ct_bpe_open_json(text, (size_t)n, bpe, err);
}

static struct ct_bpe *open_good(struct parts parts)
{
    struct ct_bpe *bpe;
    struct ct_error err = {0};
    if (open_parts(&parts, &bpe, &err) != CT_OK)
        fail_msg("%s", err.message);
    return bpe;
}

/* ids as "1 2 3". */
static void check_ids(const struct ct_bpe *bpe, const char *text, bool has_special,
                      const char *want)
{
    int32_t ids[64];
    size_t n_ids;
    char got[512] = "";
    assert_int_equal(ct_bpe_encode(bpe, text, strlen(text), has_special, ids, 64, &n_ids), CT_OK);
    assert_in_range(n_ids, 0, 64);
    for (size_t i = 0; i < n_ids; i++)
        sprintf(got + strlen(got), "%s%d", i > 0 ? " " : "", ids[i]);
    if (strcmp(got, want) != 0)
        fail_msg("\"%s\": %s, expected %s", text, got, want);
}

static void test_merges_by_rank_in_both_forms(void **state)
{
    (void)state;
    struct parts pairs = plain;
    pairs.merges = "[\"a\", \"b\"], [\"b\", \"c\"], [\"ab\", \"c\"]";
    const struct parts both[] = {plain, pairs};
    for (int i = 0; i < 2; i++) {
        struct ct_bpe *bpe = open_good(both[i]);
        check_ids(bpe, "", true, "");
        check_ids(bpe, "abc", true, "4");
        check_ids(bpe, "bca ab", true, "6 0 5 3");
        check_ids(bpe, "aabbcc", true, "0 3 6 2");
        ct_bpe_close(bpe);
    }
}

static void test_the_later_of_two_equal_merges_holds(void **state)
{
    (void)state;
    struct parts parts = plain;
    parts.merges = "\"a b\", \"b c\", \"a b\"";
    struct ct_bpe *bpe = open_good(parts);
    check_ids(bpe, "abc", true, "0 6");
    ct_bpe_close(bpe);
}

static void test_added_tokens(void **state)
{
    (void)state;
    struct ct_bpe *bpe = open_good(plain);
    size_t n_bytes;
    check_ids(bpe, "a<x>b", true, "0 7 1");
    check_ids(bpe, "a<x>yb", true, "0 8 1");
    check_ids(bpe, "<x><x>y<x", true, "7 8");
    check_ids(bpe, "a<x>b", false, "0 1"); /* '<', 'x' and '>' have no token here */
    check_ids(bpe, "a<x>yb", false, "0 8 1");
    assert_true(ct_bpe_is_special(bpe, 7));
    assert_false(ct_bpe_is_special(bpe, 8));
    assert_false(ct_bpe_is_special(bpe, -1));
    assert_false(ct_bpe_is_special(bpe, 9));
    assert_int_equal(ct_bpe_n_vocab(bpe), 9);
    assert_int_equal(ct_bpe_token_id(bpe, "<x>", 3), 7);
    assert_int_equal(ct_bpe_token_id(bpe, "<x", 2), -1);
    assert_memory_equal(ct_bpe_token_bytes(bpe, 8, &n_bytes), "<x>y", 4);
    assert_int_equal(n_bytes, 4);
    ct_bpe_token_bytes(bpe, 7, &n_bytes);
    assert_int_equal(n_bytes, 0);
    assert_memory_equal(ct_bpe_token_bytes(bpe, 5, &n_bytes), " ", 1);
    assert_int_equal(n_bytes, 1);
    ct_bpe_close(bpe);
}

/* Tokens that are not normalized are cut out first, whatever their length or place. */
static void test_added_tokens_in_two_passes(void **state)
{
    (void)state;
    struct parts parts = plain;
    parts.added = "{\"id\": 7, \"content\": \"aab\", \"normalized\": true},"
                  "{\"id\": 8, \"content\": \"bc\", \"normalized\": false}";
    parts.vocab = "\"a\": 0, \"b\": 1, \"c\": 2, \"bc\": 8";
    parts.merges = "";
    struct ct_bpe *bpe = open_good(parts);
    check_ids(bpe, "aab aabc", true, "7 0 0 8");
    ct_bpe_close(bpe);
}

static void test_bytes_without_a_token(void **state)
{
    (void)state;
    struct parts parts = plain;
    struct ct_bpe *bpe = open_good(parts);
    check_ids(bpe, "axb!", true, "3"); /* left out: the neighbours merge */
    ct_bpe_close(bpe);
    parts.model = "\"unk_token\": \"c\",";
    bpe = open_good(parts);
    check_ids(bpe, "axb!\xC3", true, "0 2 1 2 2 2 2");
    ct_bpe_close(bpe);
}

static void test_words_that_are_tokens_need_no_merges(void **state)
{
    (void)state;
    struct parts parts = plain;
    parts.merges = "";
    parts.model = "\"ignore_merges\": true,";
    struct ct_bpe *bpe = open_good(parts);
    check_ids(bpe, "abc abca", true, "4 5 0 1 2 0");
    ct_bpe_close(bpe);
}

static void test_ids_are_counted_beyond_the_capacity(void **state)
{
    (void)state;
    struct ct_bpe *bpe = open_good(plain);
    int32_t ids[3] = {-1, -1, -1};
    size_t n_ids;
    assert_int_equal(ct_bpe_encode(bpe, "cab<x>a", 7, true, ids, 2, &n_ids), CT_OK);
    assert_int_equal(n_ids, 4);
    assert_int_equal(ids[0], 2);
    assert_int_equal(ids[1], 3);
    assert_int_equal(ids[2], -1);
    assert_int_equal(ct_bpe_encode(bpe, "cab", 3, true, NULL, 0, &n_ids), CT_OK);
    assert_int_equal(n_ids, 2);
    assert_int_equal(ct_bpe_encode(bpe, "", ((size_t)1 << 30) + 1, true, NULL, 0, &n_ids),
                     CT_TOO_LARGE);
    ct_bpe_close(bpe);
}

static void check_refused(struct parts parts, enum ct_status want, const char *message)
{
    struct ct_bpe *bpe;
    struct ct_error err = {0};
    enum ct_status status = open_parts(&parts, &bpe, &err);
    if (status != want || strstr(err.message, message) == NULL ||
        strncmp(err.message, "tokenizer.json: ", 16) != 0)
        fail_msg("%s, \"%s\"; expected %s, \"%s\"", ct_status_name(status), err.message,
                 ct_status_name(want), message);
    ct_bpe_close(bpe);
}

static void test_what_would_change_ids_is_refused_by_name(void **state)
{
    (void)state;
    struct parts parts = plain;
#define REFUSED(part, value, status, message)                                                      \
    parts = plain;                                                                                 \
    parts.part = value;                                                                            \
    check_refused(parts, status, message)
    REFUSED(head, "\"normalizer\": {\"type\": \"NFKC\"},", CT_UNSUPPORTED, "normalizer");
    REFUSED(head, "\"truncation\": {\"max_length\": 5},", CT_UNSUPPORTED, "truncation");
    REFUSED(head, "\"padding\": {\"pad_id\": 5},", CT_UNSUPPORTED, "padding");
    REFUSED(head, "\"model\": 5,", CT_FORMAT, "");
    REFUSED(model, "\"type\": \"WordPiece\",", CT_UNSUPPORTED, "model.type: \"WordPiece\"");
    REFUSED(model, "\"dropout\": 0.1,", CT_UNSUPPORTED, "model.dropout: 0.1");
    REFUSED(model, "\"byte_fallback\": true,", CT_UNSUPPORTED, "model.byte_fallback");
    REFUSED(model, "\"continuing_subword_prefix\": \"##\",", CT_UNSUPPORTED,
            "continuing_subword_prefix");
    REFUSED(model, "\"end_of_word_suffix\": \"</w>\",", CT_UNSUPPORTED, "end_of_word_suffix");
    REFUSED(model, "\"unk_token\": \"c\", \"fuse_unk\": true,", CT_UNSUPPORTED, "model.fuse_unk");
    REFUSED(model, "\"unk_token\": \"zz\",", CT_FORMAT, "model.unk_token");
    REFUSED(pre, "null", CT_UNSUPPORTED, "ByteLevel");
    REFUSED(pre, "{\"type\": \"Whitespace\"}", CT_UNSUPPORTED, "ByteLevel");
    REFUSED(pre, "{\"type\": \"ByteLevel\", \"add_prefix_space\": true}", CT_UNSUPPORTED,
            "pre_tokenizer");
    REFUSED(pre, "{\"type\": \"Sequence\", \"pretokenizers\": []}", CT_UNSUPPORTED,
            "pre_tokenizer");
    REFUSED(pre,
            "{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Metaspace\"}, "
            "{\"type\": \"ByteLevel\"}]}",
            CT_UNSUPPORTED, "Metaspace");
    REFUSED(pre,
            "{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"ByteLevel\"}, "
            "{\"type\": \"Digits\"}]}",
            CT_UNSUPPORTED, "pre_tokenizer");
    REFUSED(pre,
            "{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Split\", \"pattern\": "
            "{\"Regex\": \"a\"}, \"behavior\": \"Removed\"}, {\"type\": \"ByteLevel\"}]}",
            CT_UNSUPPORTED, "Removed");
    REFUSED(pre,
            "{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Split\", \"pattern\": "
            "{\"Regex\": \"\\\\bx\"}, \"behavior\": \"Isolated\"}, {\"type\": \"ByteLevel\"}]}",
            CT_UNSUPPORTED, "pattern at offset 0");
    REFUSED(added, "{\"id\": 7, \"content\": \"<x>\", \"lstrip\": true}", CT_UNSUPPORTED,
            "added_tokens[0]: lstrip");
    REFUSED(added, "{\"id\": 7, \"content\": \"<x>\", \"rstrip\": true}", CT_UNSUPPORTED, "rstrip");
    REFUSED(added, "{\"id\": 7, \"content\": \"<x>\", \"single_word\": true}", CT_UNSUPPORTED,
            "single_word");
}

static void test_what_is_inconsistent_is_refused_by_name(void **state)
{
    (void)state;
    struct parts parts = plain;
    REFUSED(added, "{\"id\": 7}", CT_FORMAT, "added_tokens[0]");
    parts = plain;
    parts.head = "\"normalizer\": {\"type\": \"NFC\"},";
    parts.added = "{\"id\": 7, \"content\": \"e\\u0301\", \"normalized\": true}";
    check_refused(parts, CT_UNSUPPORTED, "added_tokens[0]: content that is not in NFC");
    REFUSED(added, "5", CT_FORMAT, "added_tokens[0]");
    REFUSED(added, "{\"id\": 0, \"content\": \"<x>\"}", CT_FORMAT,
            "id 0 is both \"a\" and \"<x>\"");
    REFUSED(added, "{\"id\": 9, \"content\": \"a\"}", CT_FORMAT, "\"a\" has two ids, 0 and 9");
    REFUSED(added, "{\"id\": 9, \"content\": \"\"}", CT_FORMAT, "empty");
    REFUSED(added, "{\"id\": -1, \"content\": \"<x>\"}", CT_FORMAT, "id -1");
    REFUSED(added, "{\"id\": 4000000000, \"content\": \"<x>\"}", CT_FORMAT, "id 4000000000");
    REFUSED(vocab, "\"a\": 0, \"b\": 0", CT_FORMAT, "id 0 is both \"a\" and \"b\"");
    REFUSED(vocab, "\"a\": 0, \"a\": 1, \"b\": 2, \"c\": 3", CT_FORMAT, "\"a\" has two ids");
    REFUSED(vocab, "\"a\": -1", CT_FORMAT, "model.vocab: token \"a\": id -1");
    REFUSED(vocab, "\"a\": 99999", CT_FORMAT, "id 99999");
    REFUSED(vocab, "\"a\": 9223372036854775808", CT_FORMAT, "an integer");
    REFUSED(vocab, "\"a\": 1.0", CT_FORMAT, "an integer");
    REFUSED(vocab, "\"a\": 01", CT_FORMAT, "an integer");
    REFUSED(vocab, "\"a\": \"b\"", CT_FORMAT, "an integer");
    REFUSED(vocab, "\"a\": 0,", CT_FORMAT, "a string");
    REFUSED(vocab, "\"a\" 0", CT_FORMAT, "a colon");
    REFUSED(vocab, "\"a\": 0 \"b\": 1", CT_FORMAT, "a comma");
    REFUSED(vocab, "\"\": 0", CT_FORMAT, "empty");
    REFUSED(vocab, "\"\xFF\": 0", CT_FORMAT, "not UTF-8");
    REFUSED(vocab, "\"\\ud800\": 0", CT_FORMAT, "an escape");
    REFUSED(vocab, "\"\\udc00\": 0", CT_FORMAT, "an escape");
    REFUSED(vocab, "\"\\x\": 0", CT_FORMAT, "an escape");
    REFUSED(vocab, "\"\\u12\": 0", CT_FORMAT, "an escape");
    REFUSED(vocab, "\"\n\": 0", CT_FORMAT, "control character");
    REFUSED(merges, "\"a z\"", CT_FORMAT, "model.merges: merge 0: \"a\" + \"z\": the second");
    REFUSED(merges, "\"a b\", \"z a\"", CT_FORMAT, "merge 1: \"z\" + \"a\": the first");
    REFUSED(merges, "\"a c\"", CT_FORMAT, "the whole is not a token");
    REFUSED(merges, "\"ab\"", CT_FORMAT, "\"ab\" is not two tokens");
    REFUSED(merges, "\"a b c\"", CT_FORMAT, "is not two tokens");
    REFUSED(merges, "[\"a\"]", CT_FORMAT, "two tokens");
    REFUSED(merges, "[\"a\", \"b\", \"c\"]", CT_FORMAT, "two tokens");
    REFUSED(merges, "5", CT_FORMAT, "a string");
    REFUSED(merges, "\"a b\",", CT_FORMAT, "a string");
    REFUSED(head, "\"added_tokens\": [],", CT_FORMAT, "added_tokens");
#undef REFUSED
}

static void test_deep_nesting_is_refused(void **state)
{
    (void)state;
    char deep[201] = "";
    struct parts parts = plain;
    memset(deep, '[', 100);
    memset(deep + 100, ']', 100);
    parts.added = deep;
    check_refused(parts, CT_TOO_LARGE, "deeper than 64");
}

static void test_a_file_cut_anywhere_is_refused(void **state)
{
    (void)state;
    size_t n_bytes;
    char *text = read_whole_file(CT_TEST_DIR "/support/fixture/tokenizer.json", &n_bytes);
    assert_non_null(text);
    assert_int_equal(text[n_bytes - 1], '\n'); /* the file is whole without it */
    for (size_t n = 0; n + 1 < n_bytes; n += n < 1500 || n > n_bytes - 200 ? 1 : 7) {
        struct ct_bpe *bpe = NULL;
        struct ct_error err = {0};
        char *cut = malloc(n + 1); /* so that a sanitizer sees a read past the end */
        assert_non_null(cut);
        memcpy(cut, text, n);
        if (ct_bpe_open_json(cut, n, &bpe, &err) == CT_OK)
            fail_msg("opens when cut at %zu", n);
        assert_true(err.message[0] != '\0');
        free(cut);
    }
    free(text);
}

static void test_odd_texts_survive_the_round_trip(void **state)
{
    (void)state;
    struct parts parts = plain;
    parts.added = "{\"id\": 7, \"content\": \"\\\"\\\\\\n\\t\\u0001 \xF0\x9F\x98\x80\", "
                  "\"special\": true},"
                  "{\"id\": 12, \"content\": \"<x>\\\\u\", \"normalized\": true}";
    parts.model = "\"unk_token\": \"c\", \"ignore_merges\": true,";
    parts.pre =
        "{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Digits\"}, {\"type\": \"Split\","
        "\"pattern\": {\"Regex\": \"\\\\p{L}\\\"?|\\\\s+\"}, \"behavior\": \"Isolated\", "
        "\"invert\": false},"
        "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"use_regex\": false}]}";
    struct ct_bpe *bpe = open_good(parts), *again = NULL;
    struct ct_error err = {0};
    char *json = ct_bpe_format_json(bpe);
    assert_non_null(json);
    if (ct_bpe_open_json(json, strlen(json), &again, &err) != CT_OK)
        fail_msg("%s", err.message);
    static const char text[] = "abc a\"b 12 \"\\\n\t\1 \xF0\x9F\x98\x80 <x>\\u";
    for (int has_special = 0; has_special < 2; has_special++) {
        int32_t ids[2][64];
        size_t n[2];
        assert_int_equal(ct_bpe_encode(bpe, text, sizeof text, has_special, ids[0], 64, &n[0]),
                         CT_OK);
        assert_int_equal(ct_bpe_encode(again, text, sizeof text, has_special, ids[1], 64, &n[1]),
                         CT_OK);
        assert_int_equal(n[0], n[1]);
        assert_memory_equal(ids[0], ids[1], n[0] * sizeof ids[0][0]);
        bool has_control = false;
        for (size_t i = 0; i < n[0]; i++)
            has_control = has_control || ids[0][i] == 7;
        assert_int_equal(has_control, has_special);
    }
    size_t n_bytes;
    assert_int_equal(ct_bpe_n_vocab(again), 13);
    assert_string_equal(ct_bpe_token_text(again, 9, &n_bytes), ""); /* no token has this id */
    assert_string_equal(ct_bpe_token_text(again, 12, &n_bytes), "<x>\\u");
    free(json);
    ct_bpe_close(again);
    ct_bpe_close(bpe);
}

/* A megabyte without a place to cut. */
static void test_a_very_long_word(void **state)
{
    (void)state;
    enum { N = 1000 * 1000 };
    struct parts parts = plain;
    parts.vocab = "\"a\": 0, \"aa\": 1, \"aaaa\": 2, \"aaa\": 3";
    parts.merges = "\"a a\", \"aa aa\", \"aa a\"";
    struct ct_bpe *bpe = open_good(parts);
    char *text = malloc(N);
    int32_t *ids = malloc(N * sizeof ids[0]);
    size_t n_ids;
    assert_true(text != NULL && ids != NULL);
    memset(text, 'a', N);
    assert_int_equal(ct_bpe_encode(bpe, text, N - 1, true, ids, N, &n_ids), CT_OK);
    assert_int_equal(n_ids, N / 4);
    for (size_t i = 0; i + 1 < n_ids; i++)
        assert_int_equal(ids[i], 2);
    assert_int_equal(ids[n_ids - 1], 3);
    free(ids);
    free(text);
    ct_bpe_close(bpe);
}

static void *encode_often(void *context)
{
    const struct ct_bpe *bpe = context;
    static const char text[] = "aabbcc abc <x>y <x> bca\xFF";
    static const int32_t want[] = {0, 3, 6, 2, 5, 4, 5, 8, 5, 7, 5, 6, 0};
    for (int i = 0; i < 2000; i++) {
        int32_t ids[32];
        size_t n_ids;
        if (ct_bpe_encode(bpe, text, sizeof text - 1, true, ids, 32, &n_ids) != CT_OK ||
            n_ids != 13 || memcmp(ids, want, sizeof want) != 0)
            return context;
    }
    return NULL;
}

static void test_threads_share_a_tokenizer(void **state)
{
    (void)state;
    pthread_t threads[4];
    struct ct_bpe *bpe = open_good(plain);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, encode_often, bpe), 0);
    for (int i = 0; i < 4; i++) {
        void *result;
        assert_int_equal(pthread_join(threads[i], &result), 0);
        assert_null(result);
    }
    ct_bpe_close(bpe);
}

/* GGUF metadata of a small tokenizer; types NULL leaves token_type out. */
static enum ct_status open_gguf(const char *model, const char *pre, const uint32_t *types,
                                int n_types, const char *merge, struct ct_bpe **bpe,
                                struct ct_error *err)
{
    static const char *const tokens[] = {"a", "b", "ab", "<x>", "<y>"};
    static struct gguf_bytes bytes;
    put_header(&bytes, 0, types != NULL ? 5 : 4);
    put_text_entry(&bytes, "tokenizer.ggml.model", model);
    put_text_entry(&bytes, "tokenizer.ggml.pre", pre);
    put_key(&bytes, "tokenizer.ggml.tokens", CT_GGUF_ARRAY);
    put_u32(&bytes, CT_GGUF_STRING);
    put_u64(&bytes, 5);
    for (int i = 0; i < 5; i++)
        put_text(&bytes, tokens[i]);
    put_key(&bytes, "tokenizer.ggml.merges", CT_GGUF_ARRAY);
    put_u32(&bytes, CT_GGUF_STRING);
    put_u64(&bytes, 1);
    put_text(&bytes, merge);
    if (types != NULL) {
        put_key(&bytes, "tokenizer.ggml.token_type", CT_GGUF_ARRAY);
        put_u32(&bytes, CT_GGUF_U32);
        put_u64(&bytes, (uint64_t)n_types);
        for (int i = 0; i < n_types; i++)
            put_u32(&bytes, types[i]);
    }
    struct ct_gguf *gguf = NULL;
    if (ct_gguf_open_memory(bytes.data, bytes.n, &gguf, err) != CT_OK)
        fail_msg("%s", err->message);
    *bpe = NULL;
    enum ct_status status = ct_bpe_open_gguf(gguf, bpe, err);
    ct_gguf_close(gguf);
    return status;
}

static void test_gguf_metadata(void **state)
{
    (void)state;
    static const uint32_t types[] = {1, 1, 1, 3, 4, 1};
    struct ct_bpe *bpe;
    struct ct_error err = {0};
    if (open_gguf("gpt2", "smollm", types, 5, "a b", &bpe, &err) != CT_OK)
        fail_msg("%s", err.message);
    check_ids(bpe, "ab<x>a<y>", true, "2 3 0 4");
    check_ids(bpe, "ab<x>a<y>", false, "2 0 4");
    assert_true(ct_bpe_is_special(bpe, 3));
    assert_false(ct_bpe_is_special(bpe, 4));
    ct_bpe_close(bpe);

    static const uint32_t padded[] = {1, 1, 1, 3, 5};
    if (open_gguf("gpt2", "smollm", padded, 5, "a b", &bpe, &err) != CT_OK)
        fail_msg("%s", err.message);
    assert_int_equal(ct_bpe_n_vocab(bpe), 4);
    assert_int_equal(ct_bpe_token_id(bpe, "<y>", 3), -1);
    ct_bpe_close(bpe);

    assert_int_equal(open_gguf("llama", "smollm", types, 5, "a b", &bpe, &err), CT_UNSUPPORTED);
    assert_string_equal(err.message, "tokenizer.ggml.model \"llama\"");
    assert_int_equal(open_gguf("gpt2", "other", types, 5, "a b", &bpe, &err), CT_UNSUPPORTED);
    assert_string_equal(err.message, "tokenizer.ggml.pre: pre-tokenizer \"other\"");
    assert_int_equal(open_gguf("gpt2", "smollm", types, 6, "a b", &bpe, &err), CT_FORMAT);
    assert_string_equal(err.message, "tokenizer.ggml.token_type: 6 values for 5 tokens");
    assert_int_equal(open_gguf("gpt2", "smollm", NULL, 0, "a b", &bpe, &err), CT_FORMAT);
    assert_string_equal(err.message, "tokenizer.ggml.token_type: missing");
    assert_int_equal(open_gguf("gpt2", "smollm", types, 5, "a c", &bpe, &err), CT_FORMAT);
    assert_non_null(strstr(err.message, "merge 0"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_merges_by_rank_in_both_forms),
        cmocka_unit_test(test_the_later_of_two_equal_merges_holds),
        cmocka_unit_test(test_added_tokens),
        cmocka_unit_test(test_added_tokens_in_two_passes),
        cmocka_unit_test(test_bytes_without_a_token),
        cmocka_unit_test(test_words_that_are_tokens_need_no_merges),
        cmocka_unit_test(test_ids_are_counted_beyond_the_capacity),
        cmocka_unit_test(test_what_would_change_ids_is_refused_by_name),
        cmocka_unit_test(test_what_is_inconsistent_is_refused_by_name),
        cmocka_unit_test(test_deep_nesting_is_refused),
        cmocka_unit_test(test_a_file_cut_anywhere_is_refused),
        cmocka_unit_test(test_odd_texts_survive_the_round_trip),
        cmocka_unit_test(test_a_very_long_word),
        cmocka_unit_test(test_threads_share_a_tokenizer),
        cmocka_unit_test(test_gguf_metadata),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
