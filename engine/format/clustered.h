/* The clustered encoding of a matrix W[n, k], and views of it in a file.
 *
 *   w[i,j] = scale[i, j/g] * codebook[index[i,j]] (+ offset[i, j/g])
 *
 * - index: [n/16][k/4] tiles of 16 rows x 4 columns, n and k padded up (padding indices are 0),
 *   each 64 indices in 8 * bits bytes (engine/base/tile.h). Stored as U8
 *   [n_tiles_n, n_tiles_k, 8 * bits].
 * - codebook: centroids in any order, I8 or F32 [n_codebooks, 2^bits]; n_codebooks is 1 (a
 *   tensor's, or the model's) or n padded to 16 (a row's).
 * - scale: F16 [n_tiles_n, n_groups, 16], of row 16 * tile + r and group q of g columns (the last
 *   group may be short). A row's scale is g = k padded: one group. Absent: 1, which only a float
 *   codebook may have.
 * - offset: F16, as scale; absent: 0.
 *
 * In a safetensors file the parts of "X.weight" are "X.weight.index", ".codebook", ".scale",
 * ".offset"; a codebook shared by the whole model is the tensor "centroid.codebook", and
 * "X.weight.codebook" is absent. n, k, bits and g are in config.json: docs/file-format.md. At least
 * CT_CLUSTERED_SLACK readable bytes follow the index (other tensors of the file, or padding), so
 * that kernels load whole vectors.
 *
 * Clustering study, section III; survey, section on non-uniform quantisation. Immutable; any
 * thread. */
#ifndef CT_FORMAT_CLUSTERED_H
#define CT_FORMAT_CLUSTERED_H

#include "engine/base/status.h"
#include "engine/base/tensor.h"
#include "engine/base/tile.h"

struct ct_clustered {
    int64_t n, k; /* the matrix's shape, unpadded */
    int bits;     /* 2..8 */
    int group;    /* g: 32, 64, 128, or k padded to 4 when there is one group a row */
    const uint8_t *index;
    const int8_t *codebook_i8; /* one of these two is NULL */
    const float *codebook_f32;
    int64_t n_codebooks;    /* 1 or n padded to 16 */
    const uint16_t *scale;  /* f16 bits, or NULL */
    const uint16_t *offset; /* f16 bits, or NULL */
};

static inline int64_t ct_clustered_tiles_n(const struct ct_clustered *w)
{
    return (w->n + CT_TILE_ROWS - 1) / CT_TILE_ROWS;
}

static inline int64_t ct_clustered_tiles_k(const struct ct_clustered *w)
{
    return (w->k + CT_TILE_COLS - 1) / CT_TILE_COLS;
}

static inline int64_t ct_clustered_groups(const struct ct_clustered *w)
{
    return (w->k + w->group - 1) / w->group;
}

/* Bytes of each part, and of the whole (index, scale, offset, and the codebook though it may be
 * shared). */
size_t ct_clustered_index_bytes(const struct ct_clustered *w);
size_t ct_clustered_scale_bytes(const struct ct_clustered *w);
size_t ct_clustered_n_bytes(const struct ct_clustered *w);

/* Row `row` as floats, computed in f32 as scale * codebook + offset. out: [k]. */
void ct_clustered_row_f32(const struct ct_clustered *w, int64_t row, float *out);

/* Makes a view of parts found in a file, checking dtypes and shapes against n, k, bits and group.
 * codebook may be the model's. scale and offset may be NULL. CT_FORMAT names the part. */
CT_MUST_CHECK enum ct_status ct_clustered_view(const char *name, int64_t n, int64_t k, int bits,
                                               int group, const struct ct_tensor *index,
                                               const struct ct_tensor *codebook,
                                               const struct ct_tensor *scale,
                                               const struct ct_tensor *offset,
                                               struct ct_clustered *out, struct ct_error *err);

#endif
