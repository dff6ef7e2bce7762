/* A GGUF file as a model: names translated to Hugging Face's by the family's table. A tensor that
 * the table does not know is refused: leaving it out would silently change the model's
 * arithmetic. */
#include "engine/format/gguf.h"
#include "engine/format/model_file_internal.h"

#include <inttypes.h>
#include <string.h>

static const struct ct_name_map *find_map(const struct ct_name_map *map, const char *name,
                                          int *layer)
{
    for (; map->hf != NULL; map++)
        if (ct_name_matches(map->gguf, name, layer))
            return map;
    return NULL;
}

static enum ct_status add_tensor(struct ct_model_file *file, const struct ct_name_map *map,
                                 const struct ct_tensor *stored, struct ct_error *err)
{
    const struct ct_hparams *h = &file->hparams;
    int layer = -1;
    const struct ct_name_map *row = find_map(map, stored->name, &layer);
    if (row == NULL)
        return ct_error_set(err, CT_UNSUPPORTED, "tensor %s is not one of family %s", stored->name,
                            h->family);
    if (layer >= h->n_layers)
        return ct_error_set(err, CT_FORMAT, "tensor %s is of layer %d, but there are %d layers",
                            stored->name, layer, h->n_layers);
    int heads = row->permuted_heads == 1   ? h->n_heads
                : row->permuted_heads == 2 ? h->n_kv_heads
                                           : 0;
    if (heads > 0 && (stored->n_dims != 2 || stored->shape[0] != (int64_t)heads * h->head_dim))
        return ct_error_set(err, CT_FORMAT,
                            "tensor %s has %" PRId64 " rows, expected %d heads of %d", stored->name,
                            stored->shape[0], heads, h->head_dim);
    struct ct_weight weight = {.tensor = *stored, .n_permuted_heads = heads};
    weight.tensor.name = ct_name_fill(&file->arena, row->hf, layer, stored->name);
    if (weight.tensor.name == NULL)
        return ct_error_set(err, CT_MEMORY, "no memory for tensor names");
    ct_model_file_add(file, &weight);
    return CT_OK;
}

enum ct_status ct_model_gguf_read(struct ct_model_file *file,
                                  const struct ct_foreign_names *families, struct ct_error *err)
{
    struct ct_gguf_text architecture = {"", 0};
    enum ct_status status = ct_gguf_open(file->path, &file->gguf, err);
    if (status != CT_OK)
        return status; /* names the path already */
    if (ct_gguf_text(file->gguf, "general.architecture", &architecture) == CT_OK)
        while (families->family != NULL &&
               (strlen(families->family) != architecture.n_bytes ||
                memcmp(families->family, architecture.data, architecture.n_bytes) != 0))
            families++;
    if (architecture.n_bytes > 0 && (families->family == NULL || families->gguf == NULL))
        status = ct_error_set(err, CT_UNSUPPORTED, "architecture %.*s",
                              (int)(architecture.n_bytes < 32 ? architecture.n_bytes : 32),
                              architecture.data);
    int64_t n_files = 1;
    if (status == CT_OK && ct_gguf_int(file->gguf, "split.count", &n_files) == CT_OK && n_files > 1)
        status =
            ct_error_set(err, CT_UNSUPPORTED, "one of %" PRId64 " files of a split model", n_files);
    if (status == CT_OK)
        status = ct_hf_config_from_gguf(file->gguf, &file->hparams, err);
    int n_tensors = ct_gguf_n_tensors(file->gguf);
    if (status == CT_OK)
        status = ct_model_file_reserve(file, n_tensors, err);
    for (int i = 0; i < n_tensors && status == CT_OK; i++)
        status = add_tensor(file, families->gguf, ct_gguf_tensor(file->gguf, i), err);
    if (status == CT_OK)
        status = ct_model_file_index(file, err);
    if (status != CT_OK)
        ct_error_prefix(err, "%s", file->path);
    return status;
}
