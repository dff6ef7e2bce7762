/* How rows become a vector: sentence-transformers' files, a compressed directory's config.json, and what
 * is wrong with either. */
#include "tests/support/temp_dir.h"
#include "tests/support/unit.h"

#include "engine/format/pooling.h"

#include <sys/stat.h>

static void write_file(const struct temp_dir *dir, const char *name, const char *text)
{
    assert_int_equal(temp_write(dir, name, text, strlen(text)), 0);
}

/* With config.json's keys; "": none. */
static enum ct_status read_with(const struct temp_dir *dir, const char *keys,
                                struct ct_hparams *hparams, struct ct_error *err)
{
    json_t *config = json_loads(keys, 0, NULL);
    assert_non_null(config);
    *hparams = (struct ct_hparams){0};
    enum ct_status status = ct_pooling_read(dir->path, config, hparams, err);
    json_decref(config);
    return status;
}

static void files_are_read(void **state)
{
    const struct temp_dir *dir = *state;
    struct ct_hparams h;
    struct ct_error err;
    char path[TEMP_PATH];
    assert_int_equal(read_with(dir, "{}", &h, &err), CT_OK);
    assert_true(h.pooling.mode == CT_POOLING_MEAN && !h.pooling.is_unit);

    assert_int_equal(mkdir(temp_path(dir, "1_Pooling", path), 0700), 0);
    write_file(dir, "1_Pooling/config.json",
               "{\"word_embedding_dimension\":8,\"pooling_mode_cls_token\":true,"
               "\"pooling_mode_mean_tokens\":false}");
    write_file(dir, "modules.json",
               "[{\"type\":\"sentence_transformers.models.Transformer\"},"
               "{\"type\":\"sentence_transformers.models.Normalize\"}]");
    assert_int_equal(read_with(dir, "{}", &h, &err), CT_OK);
    assert_true(h.pooling.mode == CT_POOLING_CLS && h.pooling.is_unit);

    write_file(dir, "1_Pooling/config.json", "{\"pooling_mode_max_tokens\":true}");
    assert_int_equal(read_with(dir, "{}", &h, &err), CT_UNSUPPORTED);
    assert_non_null(strstr(err.message, "pooling_mode_max_tokens"));
    write_file(dir, "1_Pooling/config.json",
               "{\"pooling_mode_cls_token\":true,\"pooling_mode_mean_tokens\":true}");
    assert_int_equal(read_with(dir, "{}", &h, &err), CT_UNSUPPORTED);
    assert_non_null(strstr(err.message, "2 pooling modes"));
    write_file(dir, "1_Pooling/config.json", "[]");
    assert_int_equal(read_with(dir, "{}", &h, &err), CT_FORMAT);
    assert_non_null(strstr(err.message, "1_Pooling/config.json"));
}

static void config_comes_first(void **state)
{
    const struct temp_dir *dir = *state;
    struct ct_hparams h = {.pooling = {CT_POOLING_CLS, true}};
    struct ct_error err;
    json_t *config = json_object();
    assert_int_equal(ct_pooling_write(&h, config), CT_OK);
    char *keys = json_dumps(config, 0);
    json_decref(config);
    write_file(dir, "modules.json", "not JSON");
    assert_int_equal(read_with(dir, keys, &h, &err), CT_OK);
    assert_true(h.pooling.mode == CT_POOLING_CLS && h.pooling.is_unit);
    free(keys);
    assert_int_equal(read_with(dir, "{}", &h, &err), CT_FORMAT);
    assert_int_equal(read_with(dir, "{\"pooling_mode\":\"max\"}", &h, &err), CT_UNSUPPORTED);
    assert_int_equal(
        read_with(dir, "{\"pooling_mode\":\"cls\",\"normalize_embeddings\":1}", &h, &err),
        CT_FORMAT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(files_are_read, temp_dir_setup, temp_dir_teardown),
        cmocka_unit_test_setup_teardown(config_comes_first, temp_dir_setup, temp_dir_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
