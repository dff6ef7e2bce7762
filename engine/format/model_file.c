#include "engine/format/ggml_blocks.h"
#include "engine/format/gguf.h"
#include "engine/format/model_file_internal.h"
#include "engine/format/onnx.h"
#include "engine/format/safetensors.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- filling ---- */

enum ct_status ct_model_file_reserve(struct ct_model_file *file, int n_weights,
                                     struct ct_error *err)
{
    file->weights = calloc(n_weights > 0 ? (size_t)n_weights : 1, sizeof *file->weights);
    if (file->weights == NULL || ct_name_index_init(&file->names, n_weights) != CT_OK)
        return ct_error_set(err, CT_MEMORY, "no memory for %d weights", n_weights);
    return CT_OK;
}

void ct_model_file_add(struct ct_model_file *file, const struct ct_weight *weight)
{
    const char *name = weight->tensor.name;
    file->weights[file->names.n_entries] = *weight;
    ct_name_index_add(&file->names, name, strlen(name));
}

enum ct_status ct_model_file_index(struct ct_model_file *file, struct ct_error *err)
{
    if (file->names.n_entries == 0)
        return ct_error_set(err, CT_FORMAT, "the model has no tensors");
    const struct ct_name_entry *twice = ct_name_index_sort(&file->names);
    if (twice != NULL)
        return ct_error_set(err, CT_FORMAT, "tensor %s appears twice", twice->text);
    return CT_OK;
}

enum ct_status ct_model_file_open(const char *path, const struct ct_foreign_names *families,
                                  struct ct_model_file **out, struct ct_error *err)
{
    struct stat st;
    *out = NULL;
    if (stat(path, &st) != 0)
        return ct_error_set(err, errno == ENOENT || errno == ENOTDIR ? CT_NOT_FOUND : CT_IO,
                            "%s: %s", path, strerror(errno));
    struct ct_model_file *file = calloc(1, sizeof *file);
    if (file == NULL)
        return ct_error_set(err, CT_MEMORY, "%s: no memory", path);
    ct_arena_init(&file->arena);
    file->path = strdup(path);
    enum ct_status status = file->path == NULL ? ct_error_set(err, CT_MEMORY, "%s: no memory", path)
                            : S_ISDIR(st.st_mode) ? ct_model_dir_read(file, families, err)
                                                  : ct_model_gguf_read(file, families, err);
    if (status != CT_OK) {
        ct_model_file_close(file);
        return status;
    }
    *out = file;
    return CT_OK;
}

void ct_model_file_close(struct ct_model_file *file)
{
    if (file == NULL)
        return;
    ct_name_index_deinit(&file->clustered_names);
    free(file->clustered);
    ct_name_index_deinit(&file->names);
    free(file->weights);
    for (int i = 0; i < file->n_shards; i++)
        ct_safetensors_close(file->shards[i]);
    free(file->shards);
    ct_gguf_close(file->gguf);
    ct_onnx_close(file->onnx);
    ct_arena_deinit(&file->arena);
    free(file->path);
    free(file);
}

/* ---- names ---- */

bool ct_name_matches(const char *pattern, const char *name, int *layer)
{
    const char *hole = strstr(pattern, "{}");
    *layer = -1;
    if (hole != NULL) {
        const size_t n_before = (size_t)(hole - pattern);
        if (strncmp(pattern, name, n_before) != 0)
            return false;
        name += n_before;
        const size_t n_digits = strspn(name, "0123456789");
        if (n_digits < 1 || n_digits > 6 || (name[0] == '0' && n_digits > 1))
            return false;
        *layer = atoi(name);
        name += n_digits;
        pattern = hole + 2;
    }
    const size_t n = strlen(pattern);
    if (n == 0 || pattern[n - 1] != '*')
        return strcmp(pattern, name) == 0;
    return strncmp(pattern, name, n - 1) == 0 &&
           (strcmp(name + n - 1, "weight") == 0 || strcmp(name + n - 1, "bias") == 0);
}

const char *ct_name_fill(struct ct_arena *arena, const char *pattern, int layer, const char *name)
{
    char text[CT_MAX_NAME + 1], number[16] = "";
    const char *hole = strstr(pattern, "{}");
    const int n_before = hole == NULL ? 0 : (int)(hole - pattern);
    const char *rest = hole == NULL ? pattern : hole + 2;
    const char *star = strchr(rest, '*');
    const int n_rest = star == NULL ? (int)strlen(rest) : (int)(star - rest);
    if (hole != NULL)
        snprintf(number, sizeof number, "%d", layer);
    const int n = snprintf(text, sizeof text, "%.*s%s%.*s%s", n_before, pattern, number, n_rest,
                           rest, star == NULL ? "" : strrchr(name, '.') + 1);
    return n < 0 || n > CT_MAX_NAME ? NULL : ct_arena_text(arena, text, (size_t)n);
}

/* ---- reading ---- */

const struct ct_hparams *ct_model_file_hparams(const struct ct_model_file *file)
{
    return &file->hparams;
}

const char *ct_model_file_label(const struct ct_model_file *file, int i)
{
    return file->labels[i];
}

int ct_model_file_n_weights(const struct ct_model_file *file)
{
    return file->names.n_entries;
}

const struct ct_weight *ct_model_file_weight(const struct ct_model_file *file, int i)
{
    return &file->weights[i];
}

const struct ct_weight *ct_model_file_find(const struct ct_model_file *file, const char *name)
{
    int i = ct_name_index_find(&file->names, name, strlen(name));
    return i < 0 ? NULL : &file->weights[i];
}

const struct ct_gguf *ct_model_file_gguf(const struct ct_model_file *file)
{
    return file->gguf;
}

const char *ct_model_file_path(const struct ct_model_file *file)
{
    return file->path;
}

size_t ct_model_file_n_bytes(const struct ct_model_file *file)
{
    size_t n_bytes = 0;
    for (int i = 0; i < file->names.n_entries; i++)
        n_bytes += file->weights[i].tensor.n_bytes;
    return n_bytes;
}

void ct_model_file_prefetch(const struct ct_model_file *file)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    for (int i = 0; i < file->names.n_entries; i++) {
        const struct ct_tensor *tensor = &file->weights[i].tensor;
        uintptr_t begin = (uintptr_t)tensor->data & ~(page - 1);
        madvise((void *)begin, (uintptr_t)tensor->data + tensor->n_bytes - begin, MADV_WILLNEED);
    }
}

void ct_model_file_forget(const struct ct_model_file *file, const struct ct_weight *weight)
{
    (void)file;
    if (weight->is_owned)
        return; /* all else is mapped from a file, whichever the form: the pages lose nothing */
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t begin = ((uintptr_t)weight->tensor.data + page - 1) & ~(page - 1);
    uintptr_t end = ((uintptr_t)weight->tensor.data + weight->tensor.n_bytes) & ~(page - 1);
    if (begin < end)
        madvise((void *)begin, end - begin, MADV_DONTNEED);
}

int ct_model_file_n_clustered(const struct ct_model_file *file)
{
    return file->clustered_names.n_entries;
}

const char *ct_model_file_clustered_name(const struct ct_model_file *file, int i)
{
    return file->clustered[i].name;
}

enum ct_status ct_model_file_clustered(const struct ct_model_file *file, const char *name,
                                       struct ct_clustered *out, struct ct_error *err)
{
    int i = ct_name_index_find(&file->clustered_names, name, strlen(name));
    if (i < 0)
        return ct_error_set(err, CT_NOT_FOUND, "%s: %s is not a clustered matrix", file->path,
                            name);
    *out = file->clustered[i].view;
    return CT_OK;
}

bool ct_weight_is_plain(const struct ct_weight *weight)
{
    return weight->n_permuted_heads == 0 && weight->column_stride == 0;
}

/* llama.cpp's converter stores, for head h of D rows, reshape(H, 2, D/2, k).swapaxes(1, 2): the row
 * (h, half, j) of the Hugging Face matrix lies at (h, j, half). */
int64_t ct_weight_row(const struct ct_weight *weight, int64_t row)
{
    if (weight->n_permuted_heads == 0)
        return row;
    int64_t head_dim = weight->tensor.shape[0] / weight->n_permuted_heads;
    int64_t head = row / head_dim, in_head = row % head_dim;
    int64_t half = in_head / (head_dim / 2), j = in_head % (head_dim / 2);
    return head * head_dim + j * 2 + half;
}

void ct_weight_row_f32(const struct ct_weight *weight, int64_t row, float *out)
{
    const struct ct_tensor *tensor = &weight->tensor;
    int64_t n, k;
    ct_tensor_matrix(tensor, &n, &k);
    const unsigned char *data = tensor->data;
    if (weight->column_stride > 0) {
        const int64_t element = ct_dtype_block_bytes(tensor->dtype);
        data += row * element;
        for (int64_t j = 0; j < k; j++, data += weight->column_stride * element)
            ct_row_to_f32(tensor->dtype, data, 1, &out[j]);
        return;
    }
    size_t n_bytes = ct_row_n_bytes(tensor->dtype, k);
    ct_row_to_f32(tensor->dtype, data + (size_t)ct_weight_row(weight, row) * n_bytes, k, out);
}
