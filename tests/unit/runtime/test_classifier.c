/* The relatives of BERT against Hugging Face transformers in float32, as classifiers and without their
 * heads: the fixtures of tests/support/encoders. In float mode the engine differs by the order of its
 * sums and by keys and values kept in f16. */
#include "tests/support/reference.h"
#include "tests/support/temp_dir.h"
#include "tests/support/whole_file.h"

#include <math.h>
#include <sys/stat.h>

#define FIXTURES CT_TEST_DIR "/support/encoders/"

static const char *const names[] = {"bert_classifier", "distilbert", "mpnet"};
enum { N_NAMES = sizeof names / sizeof names[0], MAX_WIDTH = 64 };

static json_t *golden;

static int setup(void **state)
{
    (void)state;
    golden = reference_load("encoder_answers.json");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    json_decref(golden);
    return 0;
}

static struct ct_engine *open_at(const char *front, const char *name, const char *back,
                                 enum ct_activations activations)
{
    char path[TEMP_PATH];
    snprintf(path, sizeof path, "%s%s%s", front, name, back);
    return reference_engine(path, activations, CT_KV_F16);
}

/* A session for the case, and its slice; ids and types [REFERENCE_MAX_TOK] are the caller's. */
static struct ct_slice slice_of(struct ct_engine *engine, const json_t *one, int32_t *ids,
                                int32_t *types)
{
    const json_t *list = json_object_get(one, "types");
    struct ct_slice slice = {.tokens = ids, .n_logits = 1};
    slice.n_tokens = reference_ids(json_object_get(one, "tokens"), ids);
    if (json_is_array(list)) {
        assert_int_equal(reference_ids(list, types), slice.n_tokens);
        slice.types = types;
    }
    assert_int_equal(ct_session_open(engine, slice.n_tokens, &slice.session), CT_OK);
    return slice;
}

static double length_of(const json_t *vector)
{
    double square = 0;
    for (size_t i = 0; i < json_array_size(vector); i++)
        square += pow(json_number_value(json_array_get(vector, i)), 2);
    return sqrt(square);
}

/* The length of the longest answer. */
static double size_of(const json_t *cases, const char *key)
{
    double longest = 0;
    size_t i;
    const json_t *one;
    json_array_foreach(cases, i, one)
    {
        longest = fmax(longest, length_of(json_object_get(one, key)));
    }
    return longest;
}

static double distance(const float *row, const json_t *expected)
{
    double square = 0;
    for (size_t i = 0; i < json_array_size(expected); i++)
        square += pow(row[i] - json_number_value(json_array_get(expected, i)), 2);
    return sqrt(square);
}

/* Each case alone, then all in one step, which changes no bit. `most`: how far an answer may be, as a
 * part of the longest one's length. */
static void check_answers(struct ct_engine *engine, const char *name, const char *key, double most)
{
    enum { N = 6 };
    static int32_t ids[N][REFERENCE_MAX_TOK], types[N][REFERENCE_MAX_TOK];
    float alone[N][MAX_WIDTH];
    const json_t *cases = json_object_get(golden, name);
    const size_t width = (size_t)ct_engine_info(engine)->n_outputs;
    struct ct_slice slices[N];
    const double size = size_of(cases, key);
    double farthest = 0;
    assert_int_equal(json_array_size(cases), N);
    assert_true(width <= MAX_WIDTH);
    for (int i = 0; i < N; i++) {
        const json_t *one = json_array_get(cases, (size_t)i), *expected = json_object_get(one, key);
        assert_int_equal(json_array_size(expected), width);
        slices[i] = slice_of(engine, one, ids[i], types[i]);
        reference_step(engine, &slices[i], 1);
        memcpy(alone[i], slices[i].logits, width * sizeof(float));
        const double found = distance(alone[i], expected) / size;
        if (!(found <= most))
            fail_msg("%s, %s of %d tokens: %g off, expected at most %g", name, key,
                     slices[i].n_tokens, found, most);
        farthest = fmax(farthest, found);
        ct_session_close(slices[i].session);
    }
    for (int i = 0; i < N; i++)
        assert_int_equal(ct_session_open(engine, slices[i].n_tokens, &slices[i].session), CT_OK);
    reference_step(engine, slices, N);
    for (int i = 0; i < N; i++) {
        assert_memory_equal(slices[i].logits, alone[i], width * sizeof(float));
        ct_session_close(slices[i].session);
    }
    print_message("%s, %s: %g off at most\n", name, key, farthest);
    ct_engine_close(engine);
}

static void logits_equal_the_reference(void **state)
{
    (void)state;
    for (int i = 0; i < N_NAMES; i++) {
        struct ct_engine *engine = open_at(FIXTURES, names[i], "", CT_ACTIVATIONS_FLOAT);
        assert_int_equal(ct_engine_info(engine)->task, CT_TASK_CLASSIFY);
        check_answers(engine, names[i], "logits", 3e-3);
    }
}

static void clustered_logits_are_near(void **state)
{
    (void)state;
    for (int i = 0; i < N_NAMES; i++)
        check_answers(open_at(CT_CLUSTERED_DIR "/", names[i], "-6bit", CT_ACTIVATIONS_INT8),
                      names[i], "logits", 0.3);
}

/* The same weights, whose names begin with the family's, as a model that makes vectors. */
static void models_go_without_their_heads(void **state)
{
    (void)state;
    static const char head[] = "ForSequenceClassification";
    for (int i = 0; i < N_NAMES; i++)
        for (int is_cls = 0; is_cls < 2; is_cls++) {
            struct temp_dir dir;
            char path[TEMP_PATH], source[TEMP_PATH], config[2048];
            size_t n_config;
            assert_int_equal(temp_dir_open(&dir), 0);
            snprintf(source, sizeof source, FIXTURES "%s/config.json", names[i]);
            char *text = read_whole_file(source, &n_config);
            assert_non_null(text);
            const char *at = strstr(text, head);
            assert_non_null(at);
            snprintf(config, sizeof config,
                     "{\"pooling_mode\": \"%s\", \"normalize_embeddings\": %s, %.*sModel%s",
                     is_cls ? "cls" : "mean", is_cls ? "false" : "true", (int)(at - text - 1),
                     text + 1, at + strlen(head));
            free(text);
            assert_int_equal(temp_write(&dir, "config.json", config, strlen(config)), 0);
            for (int file = 0; file < 2; file++) {
                const char *name = file == 0 ? "model.safetensors" : "tokenizer.json";
                snprintf(source, sizeof source, FIXTURES "%s/%s", names[i], name);
                assert_int_equal(symlink(source, temp_path(&dir, name, path)), 0);
            }
            struct ct_engine *engine = open_at(dir.path, "", "", CT_ACTIVATIONS_FLOAT);
            assert_int_equal(ct_engine_info(engine)->task, CT_TASK_EMBED);
            check_answers(engine, names[i], is_cls ? "cls" : "mean_unit", 3e-3);
            temp_dir_close(&dir);
        }
}

static void labels_and_pairs(void **state)
{
    (void)state;
    struct ct_engine *engine = open_at(FIXTURES, "bert_classifier", "", CT_ACTIVATIONS_FLOAT);
    assert_int_equal(ct_engine_info(engine)->n_labels, 3);
    assert_int_equal(ct_engine_info(engine)->n_outputs, 3);
    assert_false(ct_engine_info(engine)->is_multi_label);
    assert_string_equal(ct_engine_label(engine, 1), "entailment");
    int32_t ids[16], types[16] = {0};
    size_t n_ids = 0;
    assert_int_equal(ct_engine_tokenize_pair(engine, "ab", 2, "c d", 3, ids, types, 16, &n_ids),
                     CT_OK);
    assert_int_equal(n_ids, 7); /* [CLS] a ##b [SEP] c d [SEP] */
    for (int i = 0; i < 7; i++)
        assert_int_equal(types[i], i >= 4);

    struct ct_slice slice = {.tokens = ids, .types = types, .n_tokens = 7, .n_logits = 1};
    struct ct_error err = {0};
    float with_types[3];
    assert_int_equal(ct_session_open(engine, 7, &slice.session), CT_OK);
    types[6] = 2;
    assert_int_equal(ct_engine_step(engine, &slice, 1, &err), CT_INVALID);
    assert_non_null(strstr(err.message, "token type 2 is outside 0..1"));
    types[6] = 1;
    reference_step(engine, &slice, 1);
    memcpy(with_types, slice.logits, sizeof with_types);
    ct_session_close(slice.session);
    struct ct_slice plain = reference_read(engine, ids, 7, 0, 1);
    assert_memory_not_equal(plain.logits, with_types, sizeof with_types);
    ct_session_close(plain.session);
    ct_engine_close(engine);

    engine = open_at(FIXTURES, "distilbert", "", CT_ACTIVATIONS_FLOAT);
    assert_true(ct_engine_info(engine)->is_multi_label);
    assert_string_equal(ct_engine_label(engine, 16), "topic 16");
    types[6] = 7; /* it knows no types */
    assert_int_equal(ct_session_open(engine, 7, &slice.session), CT_OK);
    reference_step(engine, &slice, 1);
    ct_session_close(slice.session);
    ct_engine_close(engine);

    engine = open_at(FIXTURES, "mpnet", "", CT_ACTIVATIONS_FLOAT);
    assert_int_equal(ct_engine_info(engine)->context_tok, 150);
    assert_true(ct_engine_info(engine)->is_multi_label); /* as there is only one */
    assert_string_equal(ct_engine_label(engine, 0), "LABEL_0");
    ct_engine_close(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logits_equal_the_reference),
        cmocka_unit_test(clustered_logits_are_near),
        cmocka_unit_test(models_go_without_their_heads),
        cmocka_unit_test(labels_and_pairs),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
