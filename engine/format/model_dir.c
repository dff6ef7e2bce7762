/* A Hugging Face directory as a model: config.json, and model.safetensors, the shards that
 * model.safetensors.index.json names, or an ONNX file (model_onnx.c). Clustered matrices are found
 * through config.json's quantization_config.tensors and checked here, once. */
#include "engine/format/generation_config.h"
#include "engine/format/json_file.h"
#include "engine/format/labels.h"
#include "engine/format/model_file_internal.h"
#include "engine/format/pooling.h"
#include "engine/format/safetensors.h"
#include "engine/format/vision_config.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_SHARDS = 1024,
    KERNEL_ALIGNMENT = 64, /* of index, scale and offset */
};

/* ---- shards ---- */

static enum ct_status open_shard(struct ct_model_file *file, const char *name, struct ct_error *err)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/%s", file->path, name) >= (int)sizeof path)
        return ct_error_set(err, CT_INVALID, "%s: the path is too long", file->path);
    enum ct_status status = ct_safetensors_open(path, &file->shards[file->n_shards], err);
    if (status == CT_OK)
        file->n_shards++;
    return status;
}

/* The shards' names from weight_map, each once, in order: the position of each is its shard's. */
static enum ct_status list_shards(const json_t *map, struct ct_name_index *names,
                                  struct ct_error *err)
{
    const char *tensor;
    const json_t *shard;
    json_object_foreach((json_t *)map, tensor, shard)
    {
        const char *name = json_string_value(shard);
        if (name == NULL || !ct_name_is_file(name, json_string_length(shard)))
            return ct_error_set(err, CT_FORMAT,
                                "weight_map: the file of tensor %.64s is not a plain file name",
                                tensor);
        ct_name_index_add(names, name, strlen(name));
    }
    ct_name_index_unique(names);
    if (names->n_entries == 0 || names->n_entries > MAX_SHARDS)
        return ct_error_set(err, CT_FORMAT, "weight_map names %d files, expected 1..%d",
                            names->n_entries, MAX_SHARDS);
    return CT_OK;
}

/* Every tensor of the map is in the shard that it names, and the shards hold no others. */
static enum ct_status check_map(const struct ct_model_file *file, const struct ct_name_index *names,
                                const json_t *map, struct ct_error *err)
{
    size_t n_tensors = 0;
    const char *tensor;
    const json_t *shard;
    json_object_foreach((json_t *)map, tensor, shard)
    {
        const char *name = json_string_value(shard);
        int i = ct_name_index_find(names, name, strlen(name));
        if (ct_safetensors_find(file->shards[i], tensor) == NULL)
            return ct_error_set(err, CT_FORMAT,
                                "%s has no tensor %.64s, which weight_map puts there", name,
                                tensor);
    }
    for (int i = 0; i < file->n_shards; i++)
        n_tensors += (size_t)ct_safetensors_n_tensors(file->shards[i]);
    if (n_tensors != json_object_size(map))
        return ct_error_set(err, CT_FORMAT, "the shards hold %zu tensors, weight_map names %zu",
                            n_tensors, json_object_size(map));
    return CT_OK;
}

static enum ct_status open_shards(struct ct_model_file *file, const json_t *index,
                                  struct ct_error *err)
{
    struct ct_name_index names = {0};
    const json_t *map = json_object_get(index, "weight_map");
    if (!json_is_object(map))
        return ct_error_set(err, CT_FORMAT, "weight_map is not an object");
    enum ct_status status = ct_name_index_init(&names, (int)json_object_size(map));
    if (status == CT_OK)
        status = list_shards(map, &names, err);
    else
        ct_error_set(err, CT_MEMORY, "no memory for weight_map");
    if (status == CT_OK) {
        file->shards = calloc((size_t)names.n_entries, sizeof(struct ct_safetensors *));
        if (file->shards == NULL)
            status = ct_error_set(err, CT_MEMORY, "no memory for %d shards", names.n_entries);
    }
    for (int i = 0; i < names.n_entries && status == CT_OK; i++)
        status = open_shard(file, names.entries[i].text, err);
    if (status == CT_OK)
        status = check_map(file, &names, map, err);
    ct_name_index_deinit(&names);
    return status;
}

/* The shards; without any, the weights of an ONNX file. */
static enum ct_status open_weights(struct ct_model_file *file,
                                   const struct ct_foreign_names *families, struct ct_error *err)
{
    json_t *index = NULL;
    static const char index_name[] = "model.safetensors.index.json";
    enum ct_status status = ct_json_file_read(file->path, index_name, ct_json_read, &index, err);
    if (status == CT_OK) {
        status = open_shards(file, index, err);
        if (status != CT_OK)
            ct_error_prefix(err, "%s/%s", file->path, index_name);
        json_decref(index);
        return status;
    }
    if (status != CT_NOT_FOUND)
        return status;
    file->shards = calloc(1, sizeof(struct ct_safetensors *));
    if (file->shards == NULL)
        return ct_error_set(err, CT_MEMORY, "%s: no memory", file->path);
    status = open_shard(file, "model.safetensors", err);
    return status == CT_NOT_FOUND ? ct_model_onnx_read(file, families, err) : status;
}

/* Tensors of this name keep their neighbours aligned and are no weights. */
static bool is_padding(const char *name)
{
    static const char prefix[] = "centroid.pad.";
    return strncmp(name, prefix, sizeof prefix - 1) == 0;
}

static enum ct_status add_weights(struct ct_model_file *file, struct ct_error *err)
{
    int64_t n_tensors = 0;
    for (int s = 0; s < file->n_shards; s++)
        n_tensors += ct_safetensors_n_tensors(file->shards[s]);
    if (n_tensors > CT_JSON_VALUES)
        return ct_error_set(err, CT_TOO_LARGE, "more than %d tensors", CT_JSON_VALUES);
    enum ct_status status = ct_model_file_reserve(file, (int)n_tensors, err);
    for (int s = 0; s < file->n_shards && status == CT_OK; s++)
        for (int i = 0; i < ct_safetensors_n_tensors(file->shards[s]); i++) {
            const struct ct_weight weight = {.tensor = *ct_safetensors_tensor(file->shards[s], i)};
            if (!is_padding(weight.tensor.name))
                ct_model_file_add(file, &weight);
        }
    return status == CT_OK ? ct_model_file_index(file, err) : status;
}

/* ---- clustered matrices ---- */

/* Bytes that may be read after a tensor's last. */
static size_t n_slack(const struct ct_model_file *file, const struct ct_tensor *tensor)
{
    for (int s = 0; s < file->n_shards; s++)
        if (ct_safetensors_find(file->shards[s], tensor->name) != NULL)
            return ct_safetensors_n_bytes_after(file->shards[s], tensor);
    return 0;
}

/* The part "X.weight.index" and so on, or NULL. */
static const struct ct_tensor *find_part(const struct ct_model_file *file, const char *name,
                                         const char *part)
{
    char text[2 * CT_MAX_NAME];
    snprintf(text, sizeof text, "%s.%s", name, part);
    const struct ct_weight *weight = ct_model_file_find(file, text);
    return weight == NULL ? NULL : &weight->tensor;
}

static enum ct_status check_alignment(const struct ct_tensor *tensor, struct ct_error *err)
{
    size_t rest = tensor == NULL ? 0 : (uintptr_t)tensor->data % KERNEL_ALIGNMENT;
    if (rest == 0)
        return CT_OK;
    return ct_error_set(err, CT_FORMAT, "%s starts %zu bytes after a multiple of %d in its file",
                        tensor->name, rest, KERNEL_ALIGNMENT);
}

/* One entry of quantization_config.tensors. */
static enum ct_status view_matrix(struct ct_model_file *file, const char *name, const json_t *entry,
                                  struct ct_clustered *out, struct ct_error *err)
{
    static const char *const keys[] = {"n", "k", "bits", "group"};
    int64_t values[4];
    for (int i = 0; i < 4; i++) {
        const json_t *value = json_object_get(entry, keys[i]);
        values[i] = json_integer_value(value);
        if (!json_is_integer(value) || values[i] < 1 || values[i] > INT32_MAX)
            return ct_error_set(err, CT_FORMAT, "%s of %s is not a whole number from 1 up", keys[i],
                                name);
    }
    const struct ct_tensor *index = find_part(file, name, "index");
    const struct ct_tensor *codebook = find_part(file, name, "codebook");
    const struct ct_tensor *scale = find_part(file, name, "scale");
    const struct ct_tensor *offset = find_part(file, name, "offset");
    if (codebook == NULL)
        codebook = find_part(file, "centroid", "codebook");
    if (index == NULL || codebook == NULL)
        return ct_error_set(err, CT_FORMAT, "%s.%s is missing", name,
                            index == NULL ? "index" : "codebook");
    if (ct_model_file_find(file, name) != NULL)
        return ct_error_set(err, CT_FORMAT, "%s is there both clustered and plain", name);
    enum ct_status status =
        ct_clustered_view(name, values[0], values[1], (int)values[2], (int)values[3], index,
                          codebook, scale, offset, out, err);
    if (status == CT_OK)
        status = check_alignment(index, err);
    if (status == CT_OK)
        status = check_alignment(scale, err);
    if (status == CT_OK)
        status = check_alignment(offset, err);
    if (status == CT_OK && n_slack(file, index) < CT_CLUSTERED_SLACK)
        status =
            ct_error_set(err, CT_FORMAT, "%s: %zu bytes of data follow it, at least %d expected",
                         index->name, n_slack(file, index), CT_CLUSTERED_SLACK);
    return status;
}

static enum ct_status view_clustered(struct ct_model_file *file, const json_t *config,
                                     struct ct_error *err)
{
    const json_t *tensors =
        json_object_get(json_object_get(config, "quantization_config"), "tensors");
    if (!json_is_object(tensors))
        return ct_error_set(err, CT_FORMAT, "quantization_config.tensors is not an object");
    size_t n = json_object_size(tensors);
    file->clustered = calloc(n + 1, sizeof *file->clustered);
    if (file->clustered == NULL || ct_name_index_init(&file->clustered_names, (int)n) != CT_OK)
        return ct_error_set(err, CT_MEMORY, "no memory for %zu clustered matrices", n);
    const char *name;
    const json_t *entry;
    json_object_foreach((json_t *)tensors, name, entry)
    {
        struct ct_clustered_matrix *matrix = &file->clustered[file->clustered_names.n_entries];
        if (!ct_name_is_plain(name, strlen(name)))
            return ct_error_set(err, CT_FORMAT, "quantization_config.tensors has an unfit name");
        matrix->name = ct_arena_text(&file->arena, name, strlen(name));
        if (matrix->name == NULL)
            return ct_error_set(err, CT_MEMORY, "no memory for names");
        enum ct_status status = view_matrix(file, matrix->name, entry, &matrix->view, err);
        if (status != CT_OK)
            return status;
        ct_name_index_add(&file->clustered_names, matrix->name, strlen(name));
    }
    ct_name_index_sort(&file->clustered_names);
    return CT_OK;
}

/* A model that was made together with a head has its family's name in front of its weights'. */
static bool is_prefixed(const struct ct_model_file *file)
{
    const char *family = file->hparams.family;
    const size_t n = strlen(family);
    for (int i = 0; i < file->names.n_entries; i++) {
        const char *name = file->weights[i].tensor.name;
        if (strncmp(name, family, n) == 0 && name[n] == '.')
            return true;
    }
    return false;
}

/* generation_config.json, where it is there. */
static enum ct_status read_generation(struct ct_model_file *file, struct ct_error *err)
{
    static const char name[] = "generation_config.json";
    json_t *config = NULL;
    enum ct_status status = ct_json_file_read(file->path, name, ct_json_read, &config, err);
    if (status != CT_OK)
        return status == CT_NOT_FOUND ? CT_OK : status;
    status = ct_generation_from_json(config, &file->hparams, err);
    if (status != CT_OK)
        ct_error_prefix(err, "%s/%s", file->path, name);
    json_decref(config);
    return status;
}

enum ct_status ct_model_dir_read(struct ct_model_file *file,
                                 const struct ct_foreign_names *families, struct ct_error *err)
{
    json_t *config = NULL;
    enum ct_status status =
        ct_json_file_read(file->path, "config.json", ct_json_read, &config, err);
    if (status != CT_OK)
        return status; /* names the path already */
    status = ct_hf_config_read(config, &file->hparams, err);
    if (status == CT_OK)
        status = ct_labels_read(config, &file->hparams, &file->arena, &file->labels, err);
    if (status != CT_OK) {
        ct_error_prefix(err, "%s/config.json", file->path);
        goto out;
    }
    if (file->hparams.vision.n_channels > 0)
        status = ct_vision_read_preprocessor(file->path, &file->hparams, err);
    if (status == CT_OK && file->hparams.task == CT_TASK_EMBED)
        status = ct_pooling_read(file->path, config, &file->hparams, err);
    if (status == CT_OK)
        status = read_generation(file, err);
    if (status == CT_OK)
        status = open_weights(file, families, err);
    if (status != CT_OK)
        goto out;
    if (file->onnx == NULL)
        status = add_weights(file, err);
    file->hparams.is_prefixed = is_prefixed(file);
    if (status == CT_OK && file->hparams.clustered.bits > 0)
        status = view_clustered(file, config, err);
    if (status != CT_OK)
        ct_error_prefix(err, "%s", file->path);
out:
    json_decref(config);
    return status;
}
