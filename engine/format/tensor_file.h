/* What a GGUF and a safetensors file have in common: the mapped file, and its tensors by name. The
 * owner reads the file into it and is immutable from then on; any thread. */
#ifndef CT_FORMAT_TENSOR_FILE_H
#define CT_FORMAT_TENSOR_FILE_H

#include "engine/base/arena.h"
#include "engine/base/tensor.h"
#include "engine/format/mapping.h"
#include "engine/format/name_index.h"

/* The first member of its owner. Zeroed is empty. */
struct ct_tensor_file {
    struct ct_mapping mapping;  /* empty when opened over the caller's memory */
    struct ct_arena arena;      /* tensor names */
    struct ct_tensor *tensors;  /* [names.n_entries], in file order */
    struct ct_name_index names; /* of tensors */
};

void ct_tensor_file_deinit(struct ct_tensor_file *file);

/* Maps path and has `read` make an owner of its bytes, who then keeps the mapping. read's statuses,
 * CT_NOT_FOUND, CT_IO, CT_FORMAT; the message names the path. */
typedef enum ct_status ct_tensor_file_reader(const void *data, size_t n_bytes,
                                             struct ct_tensor_file **out, struct ct_error *err);
CT_MUST_CHECK enum ct_status ct_tensor_file_open(const char *path, ct_tensor_file_reader *read,
                                                 struct ct_tensor_file **out, struct ct_error *err);

/* Room for n tensors, zeroed. CT_MEMORY. */
CT_MUST_CHECK enum ct_status ct_tensor_file_reserve(struct ct_tensor_file *file, size_t n,
                                                    struct ct_error *err);

const struct ct_tensor *ct_tensor_file_find(const struct ct_tensor_file *file, const char *name);

#endif
