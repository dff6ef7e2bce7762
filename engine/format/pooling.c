#include "engine/format/pooling.h"

#include "engine/format/config_value.h"
#include "engine/format/json_file.h"

#include <string.h>

static const char *const modes[] = {[CT_POOLING_MEAN] = "mean", [CT_POOLING_CLS] = "cls"};

/* A JSON file of the directory; *out stays NULL where there is none. */
static enum ct_status read_file(const char *dir, const char *name, ct_json_read_fn *read,
                                json_t **out, struct ct_error *err)
{
    enum ct_status status = ct_json_file_read(dir, name, read, out, err);
    return status == CT_NOT_FOUND ? CT_OK : status;
}

/* pooling_mode_mean_tokens and its like: exactly one is true. */
static enum ct_status read_mode(const json_t *config, struct ct_hparams *h, struct ct_error *err)
{
    static const char prefix[] = "pooling_mode_";
    const char *key;
    const json_t *value;
    int n_modes = 0;
    json_object_foreach((json_t *)config, key, value)
    {
        if (strncmp(key, prefix, sizeof prefix - 1) != 0 || !json_is_true(value))
            continue;
        if (strcmp(key, "pooling_mode_mean_tokens") == 0)
            h->pooling.mode = CT_POOLING_MEAN;
        else if (strcmp(key, "pooling_mode_cls_token") == 0)
            h->pooling.mode = CT_POOLING_CLS;
        else
            return ct_config_unexpected(key, value, "false", CT_UNSUPPORTED, err);
        n_modes++;
    }
    if (n_modes != 1)
        return ct_error_set(err, CT_UNSUPPORTED, "%d pooling modes are true, expected 1", n_modes);
    return CT_OK;
}

/* A list of {"type": "sentence_transformers.models.Normalize", ...}. */
static bool has_normalize(const json_t *modules)
{
    static const char name[] = ".Normalize";
    size_t i;
    const json_t *module;
    json_array_foreach(modules, i, module)
    {
        const char *type = json_string_value(json_object_get(module, "type"));
        const size_t n = type != NULL ? strlen(type) : 0;
        if (n >= strlen(name) && strcmp(type + n - strlen(name), name) == 0)
            return true;
    }
    return false;
}

static enum ct_status read_config(const json_t *config, struct ct_hparams *h, struct ct_error *err)
{
    const json_t *mode = ct_config_key(config, "pooling_mode");
    enum ct_status status =
        ct_config_bool(config, "normalize_embeddings", &h->pooling.is_unit, err);
    if (status != CT_OK)
        return status;
    for (size_t i = 0; i < sizeof modes / sizeof *modes && json_is_string(mode); i++)
        if (strcmp(json_string_value(mode), modes[i]) == 0) {
            h->pooling.mode = (enum ct_pooling_mode)i;
            return CT_OK;
        }
    return ct_config_unexpected("pooling_mode", mode, "\"mean\" or \"cls\"", CT_UNSUPPORTED, err);
}

enum ct_status ct_pooling_read(const char *dir, const json_t *config, struct ct_hparams *h,
                               struct ct_error *err)
{
    json_t *pooling = NULL, *modules = NULL;
    if (ct_config_key(config, "pooling_mode") != NULL)
        return read_config(config, h, err);
    enum ct_status status = read_file(dir, "1_Pooling/config.json", ct_json_read, &pooling, err);
    if (status == CT_OK && pooling != NULL) {
        status = read_mode(pooling, h, err);
        if (status != CT_OK)
            ct_error_prefix(err, "%s/1_Pooling/config.json", dir);
    }
    if (status == CT_OK)
        status = read_file(dir, "modules.json", ct_json_read_list, &modules, err);
    h->pooling.is_unit = has_normalize(modules);
    json_decref(pooling);
    json_decref(modules);
    return status;
}

enum ct_status ct_pooling_write(const struct ct_hparams *h, json_t *config)
{
    json_t *is_unit = json_boolean(h->pooling.is_unit);
    if (json_object_set_new(config, "pooling_mode", json_string(modes[h->pooling.mode])) != 0 ||
        json_object_set_new(config, "normalize_embeddings", is_unit) != 0)
        return CT_MEMORY;
    return CT_OK;
}
