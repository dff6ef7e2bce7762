#include "engine/base/tensor.h"

#include <stdbool.h>
#include <string.h>

struct dtype_row {
    const char *name;
    int gguf;
    int block_elements;
    int block_bytes;
    const char *safetensors;
};

static const struct dtype_row rows[CT_N_DTYPES] = {
#define CT_DTYPE(name, gguf, block, bytes, safetensors) {#name, gguf, block, bytes, safetensors},
#include "engine/base/dtypes.def"
#undef CT_DTYPE
};

const char *ct_dtype_name(enum ct_dtype dtype)
{
    return rows[dtype].name;
}

const char *ct_dtype_safetensors_name(enum ct_dtype dtype)
{
    return rows[dtype].safetensors;
}

int ct_dtype_block_elements(enum ct_dtype dtype)
{
    return rows[dtype].block_elements;
}

int ct_dtype_block_bytes(enum ct_dtype dtype)
{
    return rows[dtype].block_bytes;
}

enum ct_dtype ct_dtype_from_gguf(uint32_t number)
{
    for (int i = 0; i < CT_N_DTYPES; i++)
        if (rows[i].gguf >= 0 && (uint32_t)rows[i].gguf == number)
            return (enum ct_dtype)i;
    return CT_N_DTYPES;
}

enum ct_dtype ct_dtype_from_safetensors(const char *name, size_t n_bytes)
{
    for (int i = 0; i < CT_N_DTYPES; i++)
        if (rows[i].safetensors != NULL && strlen(rows[i].safetensors) == n_bytes &&
            memcmp(rows[i].safetensors, name, n_bytes) == 0)
            return (enum ct_dtype)i;
    return CT_N_DTYPES;
}

int64_t ct_tensor_n_elements(const struct ct_tensor *tensor)
{
    int64_t n = 1;
    for (int i = 0; i < tensor->n_dims; i++)
        n *= tensor->shape[i];
    return n;
}

void ct_tensor_matrix(const struct ct_tensor *tensor, int64_t *n, int64_t *k)
{
    int first = 0;
    while (first < tensor->n_dims - 1 && tensor->shape[first] == 1)
        first++;
    const bool is_row = first >= tensor->n_dims - 1;
    *n = is_row ? 1 : tensor->shape[first];
    *k = 1;
    for (int i = is_row ? first : first + 1; i < tensor->n_dims; i++)
        *k *= tensor->shape[i];
}
