/* WordPiece's readers and tables on a small vocabulary: what is honoured, what is refused by name,
 * and that both kinds of files give the same tokenizer. */
#include "engine/tokenizer/wordpiece.h"

#include "tests/support/unit.h"

#include <stdio.h>
#include <string.h>

/* A tokenizer.json in parts, so that a test can change one. */
struct parts {
    const char *added, *normalizer, *pre, *post, *model, *vocab;
};

#define SPECIAL(id, text)                                                                          \
    "{\"id\": " #id ", \"content\": \"" text "\", \"normalized\": false, \"special\": true}"

static const struct parts plain = {
    .added = SPECIAL(1, "[UNK]") "," SPECIAL(2, "[CLS]") "," SPECIAL(3, "[SEP]"),
    .normalizer = "{\"type\": \"BertNormalizer\", \"clean_text\": true, "
                  "\"handle_chinese_chars\": true, \"strip_accents\": null, \"lowercase\": true}",
    .pre = "{\"type\": \"BertPreTokenizer\"}",
    .post = "{\"type\": \"BertProcessing\", \"sep\": [\"[SEP]\", 3], \"cls\": [\"[CLS]\", 2]}",
    .model = "\"type\": \"WordPiece\", \"unk_token\": \"[UNK]\", "
             "\"continuing_subword_prefix\": \"##\", \"max_input_chars_per_word\": 10,",
    .vocab = "\"[PAD]\": 0, \"[UNK]\": 1, \"[CLS]\": 2, \"[SEP]\": 3, \"un\": 4, \"##aff\": 5, "
             "\"##able\": 6, \"##a\": 7, \"a\": 8, \",\": 9, \"[\": 10, \"]\": 11, \"se\": 12, "
             "\"##p\": 13, \"\\u4e2d\": 14",
};

static const char lines[] = "[PAD]\n[UNK]\n[CLS]\r\n[SEP]\nun\n##aff\n##able\n##a\na\n,\n[\n]\nse\n"
                            "##p\n\xE4\xB8\xAD";

static enum ct_status open_parts(const struct parts *parts, struct ct_wordpiece **wordpiece,
                                 struct ct_error *err)
{
    char text[4096];
    int n = snprintf(text, sizeof text,
                     "{\"truncation\": {\"max_length\": 128}, \"added_tokens\": [%s], "
                     "\"normalizer\": %s,\n\"pre_tokenizer\": %s, \"post_processor\": %s,\n"
                     "\"model\": {%s \"vocab\": {%s}}}",
                     parts->added, parts->normalizer, parts->pre, parts->post, parts->model,
                     parts->vocab);
    assert_in_range(n, 1, sizeof text - 1);
    *wordpiece = NULL;
    return ct_wordpiece_open_json(text, (size_t)n, wordpiece, err);
}

static struct ct_wordpiece *open_good(struct parts parts)
{
    struct ct_wordpiece *wordpiece;
    struct ct_error err = {0};
    if (open_parts(&parts, &wordpiece, &err) != CT_OK)
        fail_msg("%s", err.message);
    return wordpiece;
}

static struct ct_wordpiece *open_lines(const char *config)
{
    struct ct_wordpiece *wordpiece = NULL;
    struct ct_error err = {0};
    if (ct_wordpiece_open_vocab(lines, sizeof lines - 1, config,
                                config != NULL ? strlen(config) : 0, &wordpiece, &err) != CT_OK)
        fail_msg("%s", err.message);
    return wordpiece;
}

static void print_ids(char *out, const int32_t *ids, size_t n_ids)
{
    *out = '\0';
    for (size_t i = 0; i < n_ids; i++)
        out += sprintf(out, "%s%d", i > 0 ? " " : "", ids[i]);
}

/* ids as "1 2 3". */
static void check_ids(const struct ct_wordpiece *wordpiece, const char *text, bool has_special,
                      const char *want)
{
    int32_t ids[64];
    size_t n_ids;
    char got[512];
    assert_int_equal(
        ct_wordpiece_encode(wordpiece, text, strlen(text), has_special, ids, 64, &n_ids), CT_OK);
    assert_in_range(n_ids, 0, 64);
    print_ids(got, ids, n_ids);
    if (strcmp(got, want) != 0)
        fail_msg("\"%s\": %s, expected %s", text, got, want);
}

static void check_pair(const struct ct_wordpiece *wordpiece, const char *first, const char *second,
                       const char *want_ids, const char *want_types)
{
    int32_t ids[64], types[64];
    size_t n_ids;
    char got[512];
    assert_int_equal(ct_wordpiece_encode_pair(wordpiece, first, strlen(first), second,
                                              strlen(second), ids, types, 64, &n_ids),
                     CT_OK);
    assert_in_range(n_ids, 0, 64);
    print_ids(got, ids, n_ids);
    assert_string_equal(got, want_ids);
    print_ids(got, types, n_ids);
    assert_string_equal(got, want_types);
}

static void test_longest_pieces_or_unknown(void **state)
{
    (void)state;
    struct ct_wordpiece *all[] = {open_good(plain), open_lines(NULL)};
    for (int i = 0; i < 2; i++) {
        check_ids(all[i], "", false, "");
        check_ids(all[i], "", true, "2 3");
        check_ids(all[i], "Unaffable, a", true, "2 4 5 6 9 8 3");
        check_ids(all[i], "unaffa unaffx x", false, "4 5 7 1 1");
        check_ids(all[i],
                  "\xC3\x81\xE4\xB8\xAD"
                  "a\x01\xFF",
                  false, "8 14 8");
        ct_wordpiece_close(all[i]);
    }
}

static void test_words_that_are_too_long_are_unknown(void **state)
{
    (void)state;
    struct ct_wordpiece *wordpiece = open_good(plain);
    check_ids(wordpiece, "aaaaaaaaaa aaaaaaaaaaa", false, "8 7 7 7 7 7 7 7 7 7 1");
    ct_wordpiece_close(wordpiece);
}

static void test_special_tokens_in_the_text(void **state)
{
    (void)state;
    struct ct_wordpiece *wordpiece = open_good(plain);
    check_ids(wordpiece, "a[SEP]a", true, "2 8 3 8 3");
    check_ids(wordpiece, "a[SEP]a", false, "8 10 12 13 11 8");
    check_ids(wordpiece, "a[sep]a", true, "2 8 10 12 13 11 8 3");
    assert_true(ct_wordpiece_is_special(wordpiece, 3));
    assert_false(ct_wordpiece_is_special(wordpiece, 4));
    assert_false(ct_wordpiece_is_special(wordpiece, -1));
    assert_false(ct_wordpiece_is_special(wordpiece, 15));
    ct_wordpiece_close(wordpiece);
}

static void test_added_tokens_in_normalized_text(void **state)
{
    (void)state;
    struct parts parts = plain;
    parts.added = SPECIAL(3, "[SEP]") ", {\"id\": 15, \"content\": \"\xC3\x81 a\", \"special\": "
                                      "false, \"normalized\": true}, {\"id\": 16, \"content\": "
                                      "\"A A,\", \"special\": true, \"normalized\": true}";
    struct ct_wordpiece *wordpiece = open_good(parts);
    assert_int_equal(ct_wordpiece_n_vocab(wordpiece), 17);
    assert_int_equal(ct_wordpiece_token_id(wordpiece, "A A,", 4), 16);
    check_ids(wordpiece, "una Auna\xCC\x81 \xC3\xA1,", false, "4 15 4 7 8 9");
    check_ids(wordpiece, "una a,a a", true, "2 4 16 15 3");
    check_ids(wordpiece, "a a,a a", false, "8 8 9 15"); /* a special token only as text */
    ct_wordpiece_close(wordpiece);
}

static void test_pairs(void **state)
{
    (void)state;
    struct parts parts = plain;
    struct ct_wordpiece *wordpiece = open_good(parts);
    assert_int_equal(ct_wordpiece_n_around(wordpiece, true), 3);
    check_pair(wordpiece, "una", "[SEP] a", "2 4 7 3 3 8 3", "0 0 0 0 1 1 1");
    ct_wordpiece_close(wordpiece);
    parts.post = "{\"type\": \"RobertaProcessing\", \"sep\": [\"[SEP]\", 3], \"cls\": "
                 "[\"[CLS]\", 2], \"trim_offsets\": true, \"add_prefix_space\": false}";
    wordpiece = open_good(parts);
    check_pair(wordpiece, "a", "", "2 8 3 3 3", "0 0 0 0 0");
    ct_wordpiece_close(wordpiece);
    parts.post = "null";
    wordpiece = open_good(parts);
    check_ids(wordpiece, "a", true, "8");
    check_pair(wordpiece, "a", "un", "8 4", "0 1");
    ct_wordpiece_close(wordpiece);
    parts.post =
        "{\"type\": \"TemplateProcessing\", \"single\": [{\"Sequence\": {\"id\": \"A\", "
        "\"type_id\": 1}}, {\"SpecialToken\": {\"id\": \"x\", \"type_id\": 0}}], \"pair\": "
        "[{\"Sequence\": {\"id\": \"A\", \"type_id\": 1}}, {\"Sequence\": {\"id\": \"B\", "
        "\"type_id\": 0}}], \"special_tokens\": {\"x\": {\"id\": \"x\", \"ids\": [3, 2]}}}";
    wordpiece = open_good(parts);
    check_ids(wordpiece, "a", true, "8 3 2");
    check_pair(wordpiece, "a", "un", "8 4", "1 0");
    ct_wordpiece_close(wordpiece);
}

static void test_config_of_a_vocabulary_of_lines(void **state)
{
    (void)state;
    struct ct_wordpiece *wordpiece =
        open_lines("{\"do_lower_case\": false, \"tokenize_chinese_chars\": false, \"cls_token\": "
                   "{\"content\": \"[CLS]\"}, \"model_max_length\": 512}");
    check_ids(wordpiece, "Una una \xC3\xA1 a\xE4\xB8\xAD [PAD]", true, "2 1 4 7 1 1 0 3");
    ct_wordpiece_close(wordpiece);
    wordpiece = open_lines("{\"do_lower_case\": false, \"strip_accents\": true}");
    check_ids(wordpiece, "Una \xC3\xA1", false, "1 8");
    ct_wordpiece_close(wordpiece);
}

static void test_text_of_tokens(void **state)
{
    (void)state;
    struct ct_wordpiece *wordpiece = open_good(plain);
    size_t n_bytes;
    assert_memory_equal(ct_wordpiece_token_text(wordpiece, 6, &n_bytes), "##able", 6);
    assert_int_equal(n_bytes, 6);
    assert_memory_equal(ct_wordpiece_token_bytes(wordpiece, 6, &n_bytes), "able", 4);
    assert_int_equal(n_bytes, 4);
    assert_memory_equal(ct_wordpiece_token_bytes(wordpiece, 4, &n_bytes), "un", 2);
    assert_int_equal(n_bytes, 2);
    ct_wordpiece_token_bytes(wordpiece, 3, &n_bytes);
    assert_int_equal(n_bytes, 0);
    assert_int_equal(ct_wordpiece_token_id(wordpiece, "##able", 6), 6);
    assert_int_equal(ct_wordpiece_token_id(wordpiece, "able", 4), -1);
    ct_wordpiece_close(wordpiece);
}

static void test_capacity(void **state)
{
    (void)state;
    struct ct_wordpiece *wordpiece = open_good(plain);
    int32_t ids[3] = {-1, -1, -1};
    size_t n_ids;
    assert_int_equal(ct_wordpiece_encode(wordpiece, "a unx a", 7, true, ids, 2, &n_ids), CT_OK);
    assert_int_equal(n_ids, 5);
    assert_int_equal(ids[1], 8);
    assert_int_equal(ids[2], -1);
    assert_int_equal(ct_wordpiece_encode(wordpiece, "a un a", 6, true, NULL, 0, &n_ids), CT_OK);
    assert_int_equal(n_ids, 5);
    assert_int_equal(
        ct_wordpiece_encode(wordpiece, "a", ((size_t)1 << 30) + 1, true, ids, 3, &n_ids),
        CT_TOO_LARGE);
    ct_wordpiece_close(wordpiece);
}

static void test_files_that_are_refused(void **state)
{
    (void)state;
    static const struct {
        struct parts change; /* NULL: as plain has it */
        enum ct_status status;
        const char *message; /* part of it */
    } rows[] = {
        {{.model = "\"type\": \"BPE\","}, CT_UNSUPPORTED, "model.type: \"BPE\""},
        {{.model = "\"type\": \"WordPiece\", \"x\": 3,"}, CT_UNSUPPORTED, "model.x: 3"},
        {{.model = "\"type\": \"WordPiece\","}, CT_FORMAT, "model: expected"},
        {{.model = "\"type\": \"WordPiece\", \"unk_token\": \"[UNK]\", "
                   "\"continuing_subword_prefix\": \"##\", \"max_input_chars_per_word\": 5000,"},
         CT_UNSUPPORTED,
         "max_input_chars_per_word: 5000, limit 1024"},
        {{.model = "\"type\": \"WordPiece\", \"unk_token\": \"<unk>\", "
                   "\"continuing_subword_prefix\": \"##\", \"max_input_chars_per_word\": 50,"},
         CT_FORMAT,
         "\"<unk>\" is not in the vocabulary"},
        {{.vocab = "\"a\": 0, \"b\": 0"}, CT_FORMAT, "id 0 is both"},
        {{.vocab = "\"a\": -1"}, CT_FORMAT, "id -1, limit"},
        {{.vocab = "\"a\": 100000"}, CT_FORMAT, "id 100000, limit"},
        {{.vocab = "\"a\": \"b\""}, CT_FORMAT, "expected an id"},
        {{.normalizer = "null"}, CT_UNSUPPORTED, "normalizer: null"},
        {{.normalizer = "{\"type\": \"NFC\"}"}, CT_UNSUPPORTED, "normalizer: {\"type\": \"NFC\"}"},
        {{.normalizer = "{\"type\": \"BertNormalizer\", \"lowercase\": 1}"},
         CT_UNSUPPORTED,
         "normalizer.clean_text: missing"},
        {{.normalizer = "{\"type\": \"BertNormalizer\", \"trim\": true}"},
         CT_UNSUPPORTED,
         "normalizer.trim: true"},
        {{.pre = "{\"type\": \"Whitespace\"}"}, CT_UNSUPPORTED, "pre_tokenizer: {"},
        {{.post = "{\"type\": \"ByteLevel\"}"}, CT_UNSUPPORTED, "post_processor: {"},
        {{.post = "{\"type\": \"BertProcessing\", \"sep\": [\"[SEP]\", 99], \"cls\": [\"\", 2]}"},
         CT_FORMAT,
         "post_processor: token id 99, limit 15"},
        {{.post = "{\"type\": \"TemplateProcessing\", \"single\": [], \"pair\": [], "
                  "\"special_tokens\": {}}"},
         CT_UNSUPPORTED,
         "post_processor.single: 0 texts, expected 1"},
        {{.post = "{\"type\": \"TemplateProcessing\", \"single\": [{\"Sequence\": {\"id\": "
                  "\"B\", \"type_id\": 0}}], \"pair\": []}"},
         CT_UNSUPPORTED,
         "post_processor.single: item: {\"Sequence\""},
        {{.added = "{\"id\": 15, \"content\": \"b\", \"single_word\": true}"},
         CT_UNSUPPORTED,
         "added_tokens[0]: single_word: true"},
        {{.added = "{\"id\": 5, \"content\": \"un\"}"}, CT_FORMAT, "\"un\" has two ids, 4 and 5"},
        {{.added = "{\"id\": 5, \"content\": \"b\"}"}, CT_FORMAT, "id 5 is both"},
        {{.added = "{\"id\": 15, \"content\": \"\\u0301\", \"normalized\": true}"},
         CT_UNSUPPORTED,
         "nothing when normalized"},
        {{.added = "{\"id\": 15, \"content\": \"B\", \"normalized\": true}, {\"id\": 16, "
                   "\"content\": \"b\", \"normalized\": true}"},
         CT_UNSUPPORTED,
         "15 and 16 read the same"},
        {{.added = "{\"id\": 15}"}, CT_FORMAT, "expected \"content\""},
        {{.added = "7"}, CT_FORMAT, "expected \"content\""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct parts parts = plain;
        const char **to = (const char **)&parts, *const *from =
                                                     (const char *const *)&rows[i].change;
        for (size_t k = 0; k < sizeof parts / sizeof *to; k++)
            to[k] = from[k] != NULL ? from[k] : to[k];
        struct ct_wordpiece *wordpiece;
        struct ct_error err = {0};
        if (open_parts(&parts, &wordpiece, &err) != rows[i].status ||
            strstr(err.message, rows[i].message) == NULL ||
            strncmp(err.message, "tokenizer.json: ", 16) != 0)
            fail_msg("%s: %s, expected %s", ct_status_name(err.status), err.message,
                     rows[i].message);
        assert_null(wordpiece);
    }
}

static void test_vocabularies_of_lines_that_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *lines, *config;
        enum ct_status status;
        const char *message;
    } rows[] = {
        {"[UNK]\n[CLS]\na", NULL, CT_FORMAT, "vocab.txt: [SEP] is missing"},
        {"", NULL, CT_FORMAT, "vocab.txt: [UNK] is missing"},
        {"\xFF", NULL, CT_FORMAT, "vocab.txt: token 0: text of 1 bytes is not UTF-8"},
        {lines, "{\"sep_token\": \"</s>\"}", CT_UNSUPPORTED, "sep_token: \"</s>\""},
        {lines, "{\"do_basic_tokenize\": false}", CT_UNSUPPORTED, "do_basic_tokenize: false"},
        {lines, "{\"never_split\": [\"a\"]}", CT_UNSUPPORTED, "never_split: [\"a\"]"},
        {lines, "{\"do_lower_case\": 1}", CT_UNSUPPORTED, "do_lower_case: 1"},
        {lines, "[", CT_FORMAT, "tokenizer_config.json: "},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct ct_wordpiece *wordpiece = NULL;
        struct ct_error err = {0};
        const char *config = rows[i].config;
        enum ct_status status =
            ct_wordpiece_open_vocab(rows[i].lines, strlen(rows[i].lines), config,
                                    config != NULL ? strlen(config) : 0, &wordpiece, &err);
        if (status != rows[i].status || strstr(err.message, rows[i].message) == NULL)
            fail_msg("%s: %s, expected %s", ct_status_name(status), err.message, rows[i].message);
        assert_null(wordpiece);
    }
}

static void test_which_files_are_wordpieces(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool is_wordpiece;
    } rows[] = {
        {"{\"model\": {\"vocab\": {\"type\": [\"BPE\"]}, \"type\": \"WordPiece\"}}", true},
        {"{\"a\": {\"type\": \"BPE\"}, \"model\": {\"type\": \"WordPiece\"}}", true},
        {"{\"model\": {\"type\": \"BPE\"}}", false},
        {"{\"model\": {}}", false},
        {"{\"type\": \"WordPiece\"}", false},
        {"{\"model\": \"WordPiece\"}", false},
        {"{\"model\": {\"type\"", false},
        {"", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(ct_wordpiece_is_json(rows[i].text, strlen(rows[i].text)),
                         rows[i].is_wordpiece);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_longest_pieces_or_unknown),
        cmocka_unit_test(test_words_that_are_too_long_are_unknown),
        cmocka_unit_test(test_special_tokens_in_the_text),
        cmocka_unit_test(test_added_tokens_in_normalized_text),
        cmocka_unit_test(test_pairs),
        cmocka_unit_test(test_config_of_a_vocabulary_of_lines),
        cmocka_unit_test(test_text_of_tokens),
        cmocka_unit_test(test_capacity),
        cmocka_unit_test(test_files_that_are_refused),
        cmocka_unit_test(test_vocabularies_of_lines_that_are_refused),
        cmocka_unit_test(test_which_files_are_wordpieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
