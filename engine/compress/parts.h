/* The safetensors file of a clustered model: declared part by part, then written in the same order.
 *
 *   X.weight.index | .codebook | .scale | .offset | Y.weight.index | ... | plain tensors | end
 *
 * Every part starts at a multiple of 64 bytes, as kernels want it; where the part before ends
 * elsewhere, a tensor "centroid.pad.N" fills the gap, and one at the end gives the last index its
 * slack. (safetensors allows no holes.) One thread. */
#ifndef CT_COMPRESS_PARTS_H
#define CT_COMPRESS_PARTS_H

#include "engine/base/arena.h"
#include "engine/base/status.h"
#include "engine/base/tensor.h"
#include "engine/format/safetensors.h"

#include <stdint.h>

struct ct_parts {
    struct ct_arena arena; /* names */
    struct ct_tensor *tensors;
    int n, capacity;
    int n_pads;
    size_t n_bytes; /* of all data, pads among it */
    struct ct_safetensors_writer *writer;
    int next; /* to be written */
};

void ct_parts_init(struct ct_parts *parts);
void ct_parts_deinit(struct ct_parts *parts); /* an unfinished file is the caller's to delete */

/* Declares the tensor `name` (with ".part" after it, unless part is NULL). CT_MEMORY. */
CT_MUST_CHECK enum ct_status ct_parts_add(struct ct_parts *parts, const char *name,
                                          const char *part, enum ct_dtype dtype, int n_dims,
                                          const int64_t *shape);

/* After the last add: the slack at the end, and the file with its header. CT_MEMORY, CT_IO. */
CT_MUST_CHECK enum ct_status ct_parts_open(struct ct_parts *parts, const char *path,
                                           struct ct_error *err);

/* The next declared part begins, whose bytes then come in any number of writes. */
CT_MUST_CHECK enum ct_status ct_parts_begin(struct ct_parts *parts, struct ct_error *err);
CT_MUST_CHECK enum ct_status ct_parts_write(struct ct_parts *parts, const void *data,
                                            size_t n_bytes, struct ct_error *err);

/* Writes the slack and closes the file. CT_IO. */
CT_MUST_CHECK enum ct_status ct_parts_close(struct ct_parts *parts, struct ct_error *err);

#endif
