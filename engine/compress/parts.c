#include "engine/compress/parts.h"

#include "engine/base/tile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT = 64 };

void ct_parts_init(struct ct_parts *parts)
{
    *parts = (struct ct_parts){0};
    ct_arena_init(&parts->arena);
}

void ct_parts_deinit(struct ct_parts *parts)
{
    if (parts->writer != NULL) {
        /* Not finished: its data is short, which the writer says and nobody needs to hear. */
        enum ct_status ignored = ct_safetensors_writer_close(parts->writer, NULL);
        (void)ignored;
    }
    free(parts->tensors);
    ct_arena_deinit(&parts->arena);
    *parts = (struct ct_parts){0};
}

static enum ct_status add(struct ct_parts *parts, const char *name, enum ct_dtype dtype, int n_dims,
                          const int64_t *shape)
{
    if (parts->n == parts->capacity) {
        int capacity = parts->capacity * 2 + 64;
        struct ct_tensor *larger = realloc(parts->tensors, (size_t)capacity * sizeof *larger);
        if (larger == NULL)
            return CT_MEMORY;
        parts->tensors = larger;
        parts->capacity = capacity;
    }
    struct ct_tensor *tensor = &parts->tensors[parts->n];
    *tensor = (struct ct_tensor){.dtype = dtype, .n_dims = n_dims, .shape = {1, 1, 1, 1}};
    memcpy(tensor->shape, shape, (size_t)n_dims * sizeof *shape);
    tensor->name = ct_arena_text(&parts->arena, name, strlen(name));
    tensor->n_bytes = (size_t)ct_tensor_n_elements(tensor) * (size_t)ct_dtype_block_bytes(dtype);
    if (tensor->name == NULL)
        return CT_MEMORY;
    parts->n_bytes += tensor->n_bytes;
    parts->n++;
    return CT_OK;
}

static enum ct_status add_pad(struct ct_parts *parts, size_t n_bytes)
{
    char name[40];
    snprintf(name, sizeof name, "centroid.pad.%d", parts->n_pads++);
    return add(parts, name, CT_DTYPE_U8, 1, (int64_t[]){(int64_t)n_bytes});
}

enum ct_status ct_parts_add(struct ct_parts *parts, const char *name, const char *part,
                            enum ct_dtype dtype, int n_dims, const int64_t *shape)
{
    char full[512];
    snprintf(full, sizeof full, "%s%s%s", name, part != NULL ? "." : "", part != NULL ? part : "");
    size_t rest = parts->n_bytes % ALIGNMENT;
    enum ct_status status = rest > 0 ? add_pad(parts, ALIGNMENT - rest) : CT_OK;
    return status == CT_OK ? add(parts, full, dtype, n_dims, shape) : status;
}

enum ct_status ct_parts_open(struct ct_parts *parts, const char *path, struct ct_error *err)
{
    if (add_pad(parts, CT_CLUSTERED_SLACK) != CT_OK)
        return ct_error_set(err, CT_MEMORY, "%s: no memory for its header", path);
    return ct_safetensors_writer_open(path, parts->tensors, parts->n, &parts->writer, err);
}

/* Zeros, where the next tensors are pads. */
static enum ct_status write_pads(struct ct_parts *parts, struct ct_error *err)
{
    static const char zeros[ALIGNMENT];
    static const char prefix[] = "centroid.pad.";
    for (; parts->next < parts->n; parts->next++) {
        const struct ct_tensor *tensor = &parts->tensors[parts->next];
        if (strncmp(tensor->name, prefix, sizeof prefix - 1) != 0)
            break;
        enum ct_status status = ct_parts_write(parts, zeros, tensor->n_bytes, err);
        if (status != CT_OK)
            return status;
    }
    return CT_OK;
}

enum ct_status ct_parts_begin(struct ct_parts *parts, struct ct_error *err)
{
    enum ct_status status = write_pads(parts, err);
    parts->next++;
    return status;
}

enum ct_status ct_parts_write(struct ct_parts *parts, const void *data, size_t n_bytes,
                              struct ct_error *err)
{
    return ct_safetensors_write(parts->writer, data, n_bytes, err);
}

enum ct_status ct_parts_close(struct ct_parts *parts, struct ct_error *err)
{
    struct ct_safetensors_writer *writer = parts->writer;
    enum ct_status status = write_pads(parts, err);
    if (status != CT_OK)
        return status;
    parts->writer = NULL;
    return ct_safetensors_writer_close(writer, err);
}
