#include "engine/format/tensor_file.h"

#include <stdlib.h>
#include <string.h>

void ct_tensor_file_deinit(struct ct_tensor_file *file)
{
    ct_name_index_deinit(&file->names);
    free(file->tensors);
    ct_arena_deinit(&file->arena);
    ct_mapping_deinit(&file->mapping);
}

enum ct_status ct_tensor_file_open(const char *path, ct_tensor_file_reader *read,
                                   struct ct_tensor_file **out, struct ct_error *err)
{
    struct ct_mapping mapping;
    *out = NULL;
    enum ct_status status = ct_mapping_init(&mapping, path, err);
    if (status == CT_OK)
        status = read(mapping.data, mapping.n_bytes, out, err);
    if (status == CT_OK) {
        (*out)->mapping = mapping;
        return CT_OK;
    }
    ct_mapping_deinit(&mapping);
    ct_error_prefix(err, "%s", path);
    return status;
}

enum ct_status ct_tensor_file_reserve(struct ct_tensor_file *file, size_t n, struct ct_error *err)
{
    file->tensors = calloc(n + 1, sizeof *file->tensors);
    if (file->tensors == NULL || ct_name_index_init(&file->names, (int)n) != CT_OK)
        return ct_error_set(err, CT_MEMORY, "no memory for %zu tensors", n);
    return CT_OK;
}

const struct ct_tensor *ct_tensor_file_find(const struct ct_tensor_file *file, const char *name)
{
    int i = ct_name_index_find(&file->names, name, strlen(name));
    return i < 0 ? NULL : &file->tensors[i];
}
