/* A tensor view: a name, a shape and a pointer into memory that somebody else owns (mostly a mapped
 * file). Row-major, last dimension contiguous. Immutable once made; any thread. */
#ifndef CT_BASE_TENSOR_H
#define CT_BASE_TENSOR_H

#include <stddef.h>
#include <stdint.h>

enum ct_dtype {
#define CT_DTYPE(name, gguf, block, bytes, safetensors) CT_DTYPE_##name,
#include "engine/base/dtypes.def"
#undef CT_DTYPE
    CT_N_DTYPES
};

enum { CT_MAX_DIMS = 4 };

struct ct_tensor {
    const char *name; /* NUL-terminated, owned with the data */
    enum ct_dtype dtype;
    int n_dims;                 /* 0..4; 0 is a scalar */
    int64_t shape[CT_MAX_DIMS]; /* outermost first; unused entries are 1 */
    const void *data;
    size_t n_bytes;
};

const char *ct_dtype_name(enum ct_dtype dtype);             /* "Q4_1" */
const char *ct_dtype_safetensors_name(enum ct_dtype dtype); /* "F16", or NULL: not in safetensors */
int ct_dtype_block_elements(enum ct_dtype dtype);
int ct_dtype_block_bytes(enum ct_dtype dtype);

/* CT_N_DTYPES when there is none. */
enum ct_dtype ct_dtype_from_gguf(uint32_t number);
enum ct_dtype ct_dtype_from_safetensors(const char *name, size_t n_bytes);

/* The product of the shape; a view that was checked when it was made never overflows. */
int64_t ct_tensor_n_elements(const struct ct_tensor *tensor);

/* The tensor as a matrix [n, k]: leading dimensions of 1 do not count, a vector is one row, and a
 * convolution [n, channels, height, width] has all that one output reads in a row. */
void ct_tensor_matrix(const struct ct_tensor *tensor, int64_t *n, int64_t *k);

#endif
