/* A GGUF file as a model: names translated to Hugging Face's by the family's table. A tensor that
 * the table does not know is refused: leaving it out would silently change the model's
 * arithmetic. */
#include "engine/format/gguf.h"
#include "engine/format/model_file_internal.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Whether `name` is `pattern`, "{}" in it standing for a decimal number without leading zeros,
 * which goes to *layer (-1 without one). */
static bool matches(const char *pattern, const char *name, int *layer)
{
    const char *hole = strstr(pattern, "{}");
    *layer = -1;
    if (hole == NULL)
        return strcmp(pattern, name) == 0;
    size_t n_before = (size_t)(hole - pattern);
    if (strncmp(pattern, name, n_before) != 0)
        return false;
    const char *digits = name + n_before;
    size_t n_digits = strspn(digits, "0123456789");
    if (n_digits < 1 || n_digits > 6 || (digits[0] == '0' && n_digits > 1))
        return false;
    int number = 0;
    for (size_t i = 0; i < n_digits; i++)
        number = number * 10 + (digits[i] - '0');
    *layer = number;
    return strcmp(hole + 2, digits + n_digits) == 0;
}

/* The Hugging Face name: `pattern` with the layer's number. */
static const char *fill_name(struct ct_arena *arena, const char *pattern, int layer)
{
    char text[CT_MAX_NAME + 1];
    const char *hole = strstr(pattern, "{}");
    int n = hole == NULL ? snprintf(text, sizeof text, "%s", pattern)
                         : snprintf(text, sizeof text, "%.*s%d%s", (int)(hole - pattern), pattern,
                                    layer, hole + 2);
    return n < 0 || n > CT_MAX_NAME ? NULL : ct_arena_text(arena, text, (size_t)n);
}

static const struct ct_name_map *find_map(const struct ct_name_map *map, const char *name,
                                          int *layer)
{
    for (; map->hf != NULL; map++)
        if (matches(map->gguf, name, layer))
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
    weight.tensor.name = fill_name(&file->arena, row->hf, layer);
    if (weight.tensor.name == NULL)
        return ct_error_set(err, CT_MEMORY, "no memory for tensor names");
    ct_model_file_add(file, &weight);
    return CT_OK;
}

enum ct_status ct_model_gguf_read(struct ct_model_file *file, const struct ct_gguf_names *families,
                                  struct ct_error *err)
{
    struct ct_gguf_text architecture = {"", 0};
    enum ct_status status = ct_gguf_open(file->path, &file->gguf, err);
    if (status != CT_OK)
        return status; /* names the path already */
    if (ct_gguf_text(file->gguf, "general.architecture", &architecture) == CT_OK)
        while (families->architecture != NULL &&
               (strlen(families->architecture) != architecture.n_bytes ||
                memcmp(families->architecture, architecture.data, architecture.n_bytes) != 0))
            families++;
    if (architecture.n_bytes > 0 && families->architecture == NULL)
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
        status = add_tensor(file, families->map, ct_gguf_tensor(file->gguf, i), err);
    if (status == CT_OK)
        status = ct_model_file_index(file, err);
    if (status != CT_OK)
        ct_error_prefix(err, "%s", file->path);
    return status;
}
