/* An ONNX file as a directory's weights, under Hugging Face's names.
 *
 * An exporter traces a program in which the model is a part: what stands in front of its names
 * ("model.", "backbone.") is taken off, and what is not of the model, nor a head beside it, is left
 * out. Then the family's table has its say: a model of timm or torch.hub has names of its own, and
 * one matrix for what are three; and a folded graph has a tensor in two pieces. */
#include "engine/format/model_file_internal.h"
#include "engine/format/onnx.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { N_PARTS = 3 }; /* of CT_PART_OF_ROWS */

/* The names of a model. */
struct naming {
    const char *wrapper; /* in front of all of them: [n_wrapper] */
    size_t n_wrapper;
    bool has_family; /* they begin with the family's, but for the head's */
    const struct ct_part_map *parts;
};

/* ---- what stands in front ---- */

/* How many bytes of `name` stand before its first part `part`, or -1 when it has no such part. */
static int n_before(const char *name, const char *part)
{
    const size_t n = strlen(part);
    for (const char *at = name; at != NULL;) {
        if (strncmp(at, part, n) == 0 && at[n] == '.')
            return (int)(at - name);
        at = strchr(at, '.');
        at = at == NULL ? NULL : at + 1;
    }
    return -1;
}

/* Up to the embeddings; a model that is wanted with its head keeps the family's name before them.
 */
static void find_wrapper(const struct ct_model_file *file, struct naming *naming)
{
    const char *family = file->hparams.family;
    const int n_family = (int)strlen(family);
    for (int i = 0; i < ct_onnx_n_weights(file->onnx); i++) {
        const char *name = ct_onnx_weight(file->onnx, i)->tensor.name;
        int n = n_before(name, "embeddings");
        n = n < 0 ? n_before(name, "patch_embed") : n; /* timm and torch.hub */
        if (n < 0)
            continue;
        const int start = n - n_family - 1;
        if (naming->has_family && start >= 0 && (start == 0 || name[start - 1] == '.') &&
            strncmp(name + start, family, (size_t)n_family) == 0)
            n = start;
        naming->wrapper = name;
        naming->n_wrapper = (size_t)n;
        return;
    }
}

/* The name within the model, or NULL. */
static const char *inner_name(const struct naming *naming, const char *name)
{
    const bool is_inside = strncmp(name, naming->wrapper, naming->n_wrapper) == 0;
    return is_inside ? name + naming->n_wrapper : NULL;
}

static const char *without_family(const struct ct_model_file *file, const char *name)
{
    const size_t n = strlen(file->hparams.family);
    const bool has_family = strncmp(name, file->hparams.family, n) == 0 && name[n] == '.';
    return has_family ? name + n + 1 : name;
}

/* ---- weights ---- */

/* A view of part `part` of `of` equal parts of the stored tensor's rows. */
static enum ct_status view_rows(const struct ct_onnx_weight *stored, int part, int of,
                                struct ct_weight *weight, struct ct_error *err)
{
    struct ct_tensor *t = &weight->tensor;
    *weight = (struct ct_weight){.tensor = stored->tensor};
    if (stored->is_transposed) {
        t->shape[0] = stored->tensor.shape[1];
        t->shape[1] = stored->tensor.shape[0];
        weight->column_stride = stored->tensor.shape[1];
    }
    if (of == 1)
        return CT_OK;
    if (t->n_dims < 1 || t->shape[0] % of != 0)
        return ct_error_set(err, CT_FORMAT,
                            "tensor %s has %" PRId64 " rows, expected %d equal parts", t->name,
                            t->shape[0], of);
    t->shape[0] /= of;
    t->n_bytes /= (size_t)of;
    const size_t element = (size_t)ct_dtype_block_bytes(t->dtype);
    const size_t n_skipped = stored->is_transposed ? (size_t)t->shape[0] * element : t->n_bytes;
    t->data = (const unsigned char *)t->data + (size_t)part * n_skipped;
    return CT_OK;
}

/* The name of a row's hf, for the model at hand. */
static const char *make_name(struct ct_model_file *file, const struct naming *naming,
                             const struct ct_part_map *row, int layer, const char *name)
{
    char pattern[CT_MAX_NAME];
    const bool has_family = naming->has_family && row->kind != CT_PART_HEAD;
    snprintf(pattern, sizeof pattern, "%s%s%s", has_family ? file->hparams.family : "",
             has_family ? "." : "", row->hf);
    return ct_name_fill(&file->arena, pattern, layer, name);
}

/* The stored tensor as all that the table makes of it; as it is when the table has nothing. */
static enum ct_status add_weight(struct ct_model_file *file, const struct naming *naming,
                                 const struct ct_onnx_weight *stored, struct ct_error *err)
{
    const char *name = inner_name(naming, stored->tensor.name);
    struct ct_weight weight;
    bool is_mapped = false;
    int layer;
    if (name == NULL)
        return CT_OK;
    const char *bare = without_family(file, name);
    for (const struct ct_part_map *row = naming->parts; row != NULL && row->hf != NULL; row++) {
        if (row->kind == CT_PART_IN_ROWS || !ct_name_matches(row->foreign, bare, &layer))
            continue;
        const int of = row->kind == CT_PART_OF_ROWS ? N_PARTS : 1;
        enum ct_status status = view_rows(stored, row->part, of, &weight, err);
        if (status != CT_OK)
            return status;
        weight.tensor.name = make_name(file, naming, row, layer, name);
        if (weight.tensor.name == NULL)
            return ct_error_set(err, CT_MEMORY, "no memory for tensor names");
        ct_model_file_add(file, &weight);
        is_mapped = true;
    }
    if (is_mapped || stored->is_placed || strchr(name, '.') == NULL)
        return CT_OK; /* else a constant of the graph */
    enum ct_status status = view_rows(stored, 0, 1, &weight, err);
    weight.tensor.name = name;
    ct_model_file_add(file, &weight);
    return status;
}

/* ---- pieces ---- */

/* The stored tensor of a name within the model, or NULL; one of several, or of an odd shape, is
 * none. */
static const struct ct_tensor *find_piece(const struct ct_model_file *file,
                                          const struct naming *naming, const char *name)
{
    const struct ct_tensor *found = NULL;
    for (int i = 0; i < ct_onnx_n_weights(file->onnx); i++) {
        const struct ct_tensor *t = &ct_onnx_weight(file->onnx, i)->tensor;
        const char *inner = inner_name(naming, t->name);
        if (inner == NULL || strcmp(inner, name) != 0)
            continue;
        if (found != NULL || t->n_dims != 3 || t->shape[0] != 1)
            return NULL;
        found = t;
    }
    return found;
}

/* [1, a, E] and [1, b, E] as [1, a + b, E]: the one weight that two rows of the table make. */
static enum ct_status join(struct ct_model_file *file, const struct naming *naming,
                           const struct ct_part_map *row, struct ct_error *err)
{
    const struct ct_tensor *first = find_piece(file, naming, row[0].foreign);
    const struct ct_tensor *second = find_piece(file, naming, row[1].foreign);
    struct ct_weight weight;
    if (first == NULL || second == NULL || first->dtype != second->dtype ||
        first->shape[2] != second->shape[2])
        return CT_OK;
    weight = (struct ct_weight){.tensor = *first, .is_owned = true};
    unsigned char *data = ct_arena_alloc(&file->arena, first->n_bytes + second->n_bytes);
    weight.tensor.name = make_name(file, naming, row, -1, row->foreign);
    if (data == NULL || weight.tensor.name == NULL)
        return ct_error_set(err, CT_MEMORY, "no memory for %s", row->hf);
    memcpy(data, first->data, first->n_bytes);
    memcpy(data + first->n_bytes, second->data, second->n_bytes);
    weight.tensor.shape[1] += second->shape[1];
    weight.tensor.n_bytes += second->n_bytes;
    weight.tensor.data = data;
    ct_model_file_add(file, &weight);
    return CT_OK;
}

/* ---- the model ---- */

static const struct ct_part_map *find_parts(const struct ct_foreign_names *families,
                                            const char *family)
{
    for (; families->family != NULL; families++)
        if (strcmp(families->family, family) == 0)
            return families->parts;
    return NULL;
}

static enum ct_status add_weights(struct ct_model_file *file,
                                  const struct ct_foreign_names *families, struct ct_error *err)
{
    const int n = ct_onnx_n_weights(file->onnx);
    struct naming naming = {.wrapper = "",
                            .has_family = file->hparams.task == CT_TASK_CLASSIFY,
                            .parts = find_parts(families, file->hparams.family)};
    int n_joined = 0;
    enum ct_status status = CT_OK;
    find_wrapper(file, &naming);
    for (const struct ct_part_map *row = naming.parts; row != NULL && row->hf != NULL; row++)
        n_joined += row->kind == CT_PART_IN_ROWS;
    status = ct_model_file_reserve(file, N_PARTS * n + n_joined, err);
    for (int i = 0; i < n && status == CT_OK; i++)
        status = add_weight(file, &naming, ct_onnx_weight(file->onnx, i), err);
    for (const struct ct_part_map *row = naming.parts;
         row != NULL && row->hf != NULL && status == CT_OK; row++)
        if (row->kind == CT_PART_IN_ROWS && row->part == 0)
            status = join(file, &naming, row, err);
    return status == CT_OK ? ct_model_file_index(file, err) : status;
}

enum ct_status ct_model_onnx_read(struct ct_model_file *file,
                                  const struct ct_foreign_names *families, struct ct_error *err)
{
    static const char *const names[] = {"model.onnx", "onnx/model.onnx"};
    char path[PATH_MAX] = "";
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (snprintf(path, sizeof path, "%s/%s", file->path, names[i]) >= (int)sizeof path)
            return ct_error_set(err, CT_INVALID, "%s: the path is too long", file->path);
        if (access(path, F_OK) == 0)
            break;
        path[0] = '\0';
    }
    if (path[0] == '\0')
        return ct_error_set(err, CT_NOT_FOUND, "%s: neither model.safetensors nor model.onnx",
                            file->path);
    enum ct_status status = ct_onnx_open(path, &file->onnx, err);
    if (status != CT_OK)
        return status; /* names the path already */
    status = add_weights(file, families, err);
    return status == CT_OK ? CT_OK : ct_error_prefix(err, "%s", path);
}
