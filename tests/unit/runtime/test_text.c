/* A model whose tokenizer is a WordPiece, in either kind of file: the fixture's weights with a small
 * vocabulary beside them. */
#include "engine/runtime/engine_internal.h"
#include "tests/support/temp_dir.h"
#include "tests/support/unit.h"

static const char lines[] = "[UNK]\n[CLS]\n[SEP]\nun\n##able\na\n";
static const char json[] =
    "{\"added_tokens\": [{\"id\": 1, \"content\": \"[CLS]\", \"special\": true}, {\"id\": 2, "
    "\"content\": \"[SEP]\", \"special\": true}], \"normalizer\": {\"type\": \"BertNormalizer\", "
    "\"clean_text\": true, \"handle_chinese_chars\": true, \"strip_accents\": null, "
    "\"lowercase\": true}, \"pre_tokenizer\": {\"type\": \"BertPreTokenizer\"}, "
    "\"post_processor\": {\"type\": \"BertProcessing\", \"sep\": [\"[SEP]\", 2], \"cls\": "
    "[\"[CLS]\", 1]}, \"model\": {\"type\": \"WordPiece\", \"unk_token\": \"[UNK]\", "
    "\"continuing_subword_prefix\": \"##\", \"max_input_chars_per_word\": 100, \"vocab\": "
    "{\"[UNK]\": 0, \"[CLS]\": 1, \"[SEP]\": 2, \"un\": 3, \"##able\": 4, \"a\": 5}}}";

static void link_fixture(const struct temp_dir *dir, const char *name)
{
    char from[TEMP_PATH], to[TEMP_PATH];
    snprintf(from, sizeof from, "%s/support/fixture/%s", CT_TEST_DIR, name);
    assert_int_equal(symlink(from, temp_path(dir, name, to)), 0);
}

static struct ct_engine *open_model(const char *path)
{
    const struct ct_engine_options options = {.n_threads = 1, .context_tok = 16, .max_sessions = 1};
    struct ct_engine *engine = NULL;
    struct ct_error err = {0};
    if (ct_engine_open(path, &options, &engine, &err) != CT_OK)
        fail_msg("%s", err.message);
    return engine;
}

static void check_model(const struct temp_dir *dir)
{
    static const char text[] = "Unable a, [SEP]";
    static const int32_t alone[] = {3, 4, 5, 0, 0, 0, 0}, around[] = {1, 3, 4, 5, 0, 2, 2};
    static const int32_t pair[] = {1, 5, 2, 3, 2}, pair_types[] = {0, 0, 0, 1, 1};
    struct ct_engine *engine = open_model(dir->path);
    int32_t ids[CT_AROUND_TOK], types[8];
    size_t n_ids, n_bytes;
    assert_int_equal(ct_engine_tokenize(engine, text, strlen(text), false, ids, 8, &n_ids), CT_OK);
    assert_int_equal(n_ids, 7);
    assert_memory_equal(ids, alone, sizeof alone);
    assert_int_equal(ct_engine_tokenize(engine, text, strlen(text), true, ids, 8, &n_ids), CT_OK);
    assert_int_equal(n_ids, 7);
    assert_memory_equal(ids, around, sizeof around);
    assert_int_equal(ct_engine_tokenize(engine, "", 0, true, ids, CT_AROUND_TOK, &n_ids), CT_OK);
    assert_int_equal(n_ids, 2); /* more than of a text for BPE */
    assert_int_equal(ct_text_tokenize_pair(&engine->text, "a", 1, "un", 2, ids, types, 8, &n_ids),
                     CT_OK);
    assert_int_equal(n_ids, 5);
    assert_memory_equal(ids, pair, sizeof pair);
    assert_memory_equal(types, pair_types, sizeof pair_types);
    assert_memory_equal(ct_engine_token_bytes(engine, 4, &n_bytes), "able", 4);
    assert_int_equal(n_bytes, 4);
    ct_engine_token_bytes(engine, 1, &n_bytes);
    assert_int_equal(n_bytes, 0);
    ct_engine_token_bytes(engine, 511, &n_bytes); /* the model has it, the tokenizer does not */
    assert_int_equal(n_bytes, 0);
    ct_engine_close(engine);
}

static void test_either_kind_of_file(void **state)
{
    const struct temp_dir *dir = *state;
    char path[TEMP_PATH];
    link_fixture(dir, "config.json");
    link_fixture(dir, "model.safetensors");
    assert_int_equal(temp_write_text(dir, "tokenizer.json", json), 0);
    check_model(dir);
    assert_int_equal(remove(temp_path(dir, "tokenizer.json", path)), 0);
    assert_int_equal(temp_write_text(dir, "vocab.txt", lines), 0);
    check_model(dir);
    assert_int_equal(temp_write_text(dir, "tokenizer_config.json", "{\"do_lower_case\": true}"), 0);
    check_model(dir);
}

static void test_pairs_need_a_wordpiece(void **state)
{
    (void)state;
    struct ct_engine *engine = open_model(CT_TEST_DIR "/support/fixture");
    int32_t ids[8], types[8];
    size_t n_ids;
    assert_int_equal(ct_text_tokenize_pair(&engine->text, "a", 1, "b", 1, ids, types, 8, &n_ids),
                     CT_UNSUPPORTED);
    ct_engine_close(engine);
}

static void test_neither_kind_of_file(void **state)
{
    const struct temp_dir *dir = *state;
    const struct ct_engine_options options = {.n_threads = 1};
    struct ct_engine *engine = NULL;
    struct ct_error err = {0};
    link_fixture(dir, "config.json");
    link_fixture(dir, "model.safetensors");
    assert_int_equal(ct_engine_open(dir->path, &options, &engine, &err), CT_NOT_FOUND);
    assert_non_null(strstr(err.message, "neither tokenizer.json nor vocab.txt"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_either_kind_of_file, temp_dir_setup,
                                        temp_dir_teardown),
        cmocka_unit_test_setup_teardown(test_neither_kind_of_file, temp_dir_setup,
                                        temp_dir_teardown),
        cmocka_unit_test(test_pairs_need_a_wordpiece),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
