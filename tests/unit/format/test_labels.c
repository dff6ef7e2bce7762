/* What a model is for by its config.json, and what its classes are called. */
#include "tests/support/unit.h"

#include "engine/format/labels.h"

#include <stdio.h>
#include <string.h>

struct found {
    struct ct_hparams hparams;
    struct ct_arena arena;
    const char **labels;
    struct ct_error err;
};

/* Of an encoder's config.json with these keys. */
static enum ct_status read_with(const char *keys, struct found *found)
{
    char text[1024];
    snprintf(text, sizeof text,
             "{\"model_type\":\"bert\",\"hidden_size\":8,\"intermediate_size\":8,"
             "\"num_attention_heads\":2,\"num_hidden_layers\":1,\"vocab_size\":8,"
             "\"max_position_embeddings\":8%s%s}",
             keys[0] != '\0' ? "," : "", keys);
    *found = (struct found){0};
    ct_arena_init(&found->arena);
    enum ct_status status = ct_hf_config_parse(text, strlen(text), &found->hparams, &found->err);
    json_t *config = json_loads(text, 0, NULL);
    assert_non_null(config);
    if (status == CT_OK)
        status =
            ct_labels_read(config, &found->hparams, &found->arena, &found->labels, &found->err);
    json_decref(config);
    return status;
}

#define CLASSIFIER "\"architectures\":[\"BertForSequenceClassification\"]"

static void architectures_tell_the_task(void **state)
{
    (void)state;
    static const struct {
        const char *keys;
        enum ct_task task;
    } cases[] = {
        {"", CT_TASK_EMBED},
        {"\"architectures\":null", CT_TASK_EMBED},
        {"\"architectures\":[\"BertModel\"]", CT_TASK_EMBED},
        {"\"architectures\":[\"BertForMaskedLM\"],\"id2label\":{\"7\":3}", CT_TASK_EMBED},
        {CLASSIFIER, CT_TASK_CLASSIFY},
        {"\"architectures\":[\"ViTForImageClassification\"]", CT_TASK_CLASSIFY},
        {"\"architectures\":[\"DeiTForImageClassificationWithTeacher\"]", CT_TASK_CLASSIFY},
    };
    struct found found;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(read_with(cases[i].keys, &found), CT_OK);
        assert_int_equal(found.hparams.task, cases[i].task);
        assert_int_equal(found.hparams.n_labels, cases[i].task == CT_TASK_CLASSIFY ? 2 : 0);
        ct_arena_deinit(&found.arena);
    }
    static const char *const others[] = {
        "\"architectures\":[\"BertForTokenClassification\"]",
        "\"architectures\":[\"BertForCausalLM\"]",
        "\"architectures\":[3]",
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        assert_int_equal(read_with(others[i], &found), CT_UNSUPPORTED);
        assert_non_null(strstr(found.err.message, "architectures is ["));
    }
}

static void labels_have_names(void **state)
{
    (void)state;
    struct found found;
    assert_int_equal(read_with(CLASSIFIER ",\"id2label\":{\"1\":\"ent\\u00e9e\",\"0\":\"no\","
                                          "\"2\":\"\"},\"label2id\":{\"x\":9}",
                               &found),
                     CT_OK);
    assert_int_equal(found.hparams.n_labels, 3);
    assert_false(found.hparams.is_multi_label);
    assert_string_equal(found.labels[0], "no");
    assert_string_equal(found.labels[1], "ent\xc3\xa9"
                                         "e");
    assert_string_equal(found.labels[2], "");
    ct_arena_deinit(&found.arena);

    assert_int_equal(read_with(CLASSIFIER ",\"num_labels\":11,"
                                          "\"problem_type\":\"multi_label_classification\"",
                               &found),
                     CT_OK);
    assert_int_equal(found.hparams.n_labels, 11);
    assert_true(found.hparams.is_multi_label);
    assert_string_equal(found.labels[0], "LABEL_0");
    assert_string_equal(found.labels[10], "LABEL_10");
    ct_arena_deinit(&found.arena);
}

static void labels_are_checked(void **state)
{
    (void)state;
    static const char *const wrong[][2] = {
        {"\"id2label\":{\"0\":\"a\",\"2\":\"b\"}", "id2label has 2 entries, but for 1"},
        {"\"id2label\":{\"00\":\"a\"}", "for 0 there is no text"},
        {"\"id2label\":{\"0\":1}", "for 0 there is no text"},
        {"\"id2label\":{}", "id2label: 0 labels"},
        {"\"id2label\":[\"a\"]", "id2label: 0 labels"},
        {"\"num_labels\":0", "num_labels: 0 labels, expected 1.."},
        {"\"num_labels\":2147483647", "num_labels"},
        {"\"num_labels\":\"2\"", "num_labels"},
    };
    struct found found;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char keys[256];
        snprintf(keys, sizeof keys, CLASSIFIER ",%s", wrong[i][0]);
        assert_int_equal(read_with(keys, &found), CT_FORMAT);
        if (strstr(found.err.message, wrong[i][1]) == NULL)
            fail_msg("%s", found.err.message);
        ct_arena_deinit(&found.arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(architectures_tell_the_task),
        cmocka_unit_test(labels_have_names),
        cmocka_unit_test(labels_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
