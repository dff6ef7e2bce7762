/* An ONNX file as a directory's weights. An exporter traces a program in which the model is a part:
 * what stands in front of its names ("model.", "backbone.") is taken off, and what is not of the
 * model, nor a head beside it, is left out. */
#include "engine/format/model_file_internal.h"
#include "engine/format/onnx.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

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

/* What stands before all names: up to the embeddings, but for the family's name ("bert."), which a
 * model with a head has in front of its own weights. */
static struct ct_name_entry find_wrapper(const struct ct_model_file *file)
{
    const char *family = file->hparams.family;
    const int n_family = (int)strlen(family);
    for (int i = 0; i < ct_onnx_n_weights(file->onnx); i++) {
        const char *name = ct_onnx_weight(file->onnx, i)->tensor.name;
        int n = n_before(name, "embeddings");
        if (n < 0)
            continue;
        const int start = n - n_family - 1;
        if (start >= 0 && (start == 0 || name[start - 1] == '.') &&
            strncmp(name + start, family, (size_t)n_family) == 0)
            n = start;
        return (struct ct_name_entry){.text = name, .n_bytes = (size_t)n};
    }
    return (struct ct_name_entry){.text = "", .n_bytes = 0};
}

static void add_weight(struct ct_model_file *file, const struct ct_onnx_weight *stored,
                       const struct ct_name_entry *wrapper)
{
    struct ct_weight weight = {.tensor = stored->tensor};
    const char *name = stored->tensor.name;
    if (strncmp(name, wrapper->text, wrapper->n_bytes) != 0)
        return;
    weight.tensor.name = name + wrapper->n_bytes;
    if (stored->is_placed || strchr(weight.tensor.name, '.') == NULL)
        return; /* a constant of the graph */
    if (stored->is_transposed) {
        weight.tensor.shape[0] = stored->tensor.shape[1];
        weight.tensor.shape[1] = stored->tensor.shape[0];
        weight.column_stride = stored->tensor.shape[1];
    }
    ct_model_file_add(file, &weight);
}

enum ct_status ct_model_onnx_read(struct ct_model_file *file, struct ct_error *err)
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
    const int n = ct_onnx_n_weights(file->onnx);
    const struct ct_name_entry wrapper = find_wrapper(file);
    status = ct_model_file_reserve(file, n, err);
    for (int i = 0; i < n && status == CT_OK; i++)
        add_weight(file, ct_onnx_weight(file->onnx, i), &wrapper);
    if (status == CT_OK)
        status = ct_model_file_index(file, err);
    return status == CT_OK ? CT_OK : ct_error_prefix(err, "%s", path);
}
