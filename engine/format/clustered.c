#include "engine/format/clustered.h"

#include "engine/base/f16.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>

static int64_t n_centroids(const struct ct_clustered *w)
{
    return (int64_t)1 << w->bits;
}

size_t ct_clustered_index_bytes(const struct ct_clustered *w)
{
    return (size_t)ct_clustered_tiles_n(w) * (size_t)ct_clustered_tiles_k(w) * 8 * (size_t)w->bits;
}

size_t ct_clustered_scale_bytes(const struct ct_clustered *w)
{
    return (size_t)ct_clustered_tiles_n(w) * (size_t)ct_clustered_groups(w) * CT_TILE_ROWS *
           sizeof *w->scale;
}

size_t ct_clustered_n_bytes(const struct ct_clustered *w)
{
    size_t centroid = w->codebook_i8 != NULL ? sizeof *w->codebook_i8 : sizeof *w->codebook_f32;
    size_t scales = (w->scale != NULL) + (size_t)(w->offset != NULL);
    return ct_clustered_index_bytes(w) + scales * ct_clustered_scale_bytes(w) +
           (size_t)w->n_codebooks * (size_t)n_centroids(w) * centroid;
}

void ct_clustered_row_f32(const struct ct_clustered *w, int64_t row, float *out)
{
    int64_t tiles_k = ct_clustered_tiles_k(w), groups = ct_clustered_groups(w);
    int64_t tile = row / CT_TILE_ROWS, r = row % CT_TILE_ROWS;
    int64_t codebook = (w->n_codebooks == 1 ? 0 : row) * n_centroids(w);
    const uint8_t *tiles = w->index + tile * tiles_k * 8 * w->bits;
    for (int64_t j = 0; j < w->k; j++) {
        int t = (int)(r * CT_TILE_COLS + j % CT_TILE_COLS);
        int index = ct_tile_index(tiles + j / CT_TILE_COLS * 8 * w->bits, w->bits, t);
        int64_t at = (tile * groups + j / w->group) * CT_TILE_ROWS + r;
        float c = w->codebook_i8 != NULL ? (float)w->codebook_i8[codebook + index]
                                         : w->codebook_f32[codebook + index];
        float scale = w->scale != NULL ? ct_f16_to_f32(w->scale[at]) : 1.0f;
        float offset = w->offset != NULL ? ct_f16_to_f32(w->offset[at]) : 0.0f;
        out[j] = scale * c + offset;
    }
}

/* ---- views ---- */

enum { SHAPE_TEXT = 96 };

static const char *shape_text(int n_dims, const int64_t *shape, char text[SHAPE_TEXT])
{
    int n = snprintf(text, SHAPE_TEXT, "[");
    for (int i = 0; i < n_dims; i++)
        n += snprintf(text + n, (size_t)(SHAPE_TEXT - n), "%s%" PRId64, i ? ", " : "", shape[i]);
    snprintf(text + n, (size_t)(SHAPE_TEXT - n), "]");
    return text;
}

/* Whether a part has the dtype and the shape that the matrix asks for. */
static enum ct_status check_part(const char *name, const char *part, const struct ct_tensor *tensor,
                                 enum ct_dtype dtype, int n_dims, const int64_t *shape,
                                 struct ct_error *err)
{
    char found[SHAPE_TEXT], expected[SHAPE_TEXT];
    bool is_equal = tensor->dtype == dtype && tensor->n_dims == n_dims;
    for (int i = 0; i < n_dims && is_equal; i++)
        is_equal = tensor->shape[i] == shape[i];
    if (is_equal)
        return CT_OK;
    return ct_error_set(err, CT_FORMAT, "%s.%s is %s %s, expected %s %s", name, part,
                        ct_dtype_name(tensor->dtype),
                        shape_text(tensor->n_dims, tensor->shape, found), ct_dtype_name(dtype),
                        shape_text(n_dims, shape, expected));
}

static enum ct_status check_numbers(const char *name, const struct ct_clustered *w,
                                    struct ct_error *err)
{
    /* The limits keep every product below, and every offset of a kernel, far from overflow. */
    const int64_t limit = (int64_t)1 << 28;
    if (w->n < 1 || w->n > limit || w->k < 1 || w->k > limit)
        return ct_error_set(err, CT_FORMAT,
                            "%s: n %" PRId64 " and k %" PRId64 ", each within 1..%" PRId64
                            " expected",
                            name, w->n, w->k, limit);
    if (w->bits < 2 || w->bits > 8)
        return ct_error_set(err, CT_FORMAT, "%s: bits %d, expected 2..8", name, w->bits);
    int64_t whole_row = ct_clustered_tiles_k(w) * CT_TILE_COLS;
    if (w->group != 32 && w->group != 64 && w->group != 128 && w->group != whole_row)
        return ct_error_set(err, CT_FORMAT,
                            "%s: group %d, expected 32, 64, 128 or the row's %" PRId64, name,
                            w->group, whole_row);
    return CT_OK;
}

static enum ct_status view_codebook(const char *name, const struct ct_tensor *codebook,
                                    struct ct_clustered *w, struct ct_error *err)
{
    bool is_float = codebook->dtype == CT_DTYPE_F32;
    bool is_per_row = codebook->n_dims > 0 && codebook->shape[0] != 1;
    w->n_codebooks = is_per_row ? ct_clustered_tiles_n(w) * CT_TILE_ROWS : 1;
    enum ct_status status =
        check_part(name, "codebook", codebook, is_float ? CT_DTYPE_F32 : CT_DTYPE_I8, 2,
                   (int64_t[]){w->n_codebooks, n_centroids(w)}, err);
    if (status != CT_OK)
        return status;
    w->codebook_f32 = is_float ? codebook->data : NULL;
    w->codebook_i8 = is_float ? NULL : codebook->data;
    return CT_OK;
}

enum ct_status ct_clustered_view(const char *name, int64_t n, int64_t k, int bits, int group,
                                 const struct ct_tensor *index, const struct ct_tensor *codebook,
                                 const struct ct_tensor *scale, const struct ct_tensor *offset,
                                 struct ct_clustered *out, struct ct_error *err)
{
    struct ct_clustered w = {.n = n, .k = k, .bits = bits, .group = group};
    enum ct_status status = check_numbers(name, &w, err);
    if (status == CT_OK)
        status = check_part(
            name, "index", index, CT_DTYPE_U8, 3,
            (int64_t[]){ct_clustered_tiles_n(&w), ct_clustered_tiles_k(&w), 8 * bits}, err);
    if (status == CT_OK)
        status = view_codebook(name, codebook, &w, err);
    if (status != CT_OK)
        return status;
    const int64_t scales[] = {ct_clustered_tiles_n(&w), ct_clustered_groups(&w), CT_TILE_ROWS};
    if (scale != NULL)
        status = check_part(name, "scale", scale, CT_DTYPE_F16, 3, scales, err);
    if (status == CT_OK && offset != NULL)
        status = check_part(name, "offset", offset, CT_DTYPE_F16, 3, scales, err);
    if (status == CT_OK && scale == NULL && w.codebook_i8 != NULL)
        status = ct_error_set(err, CT_FORMAT, "%s.scale is missing; an I8 codebook needs it", name);
    if (status != CT_OK)
        return status;
    w.index = index->data;
    w.scale = scale != NULL ? scale->data : NULL;
    w.offset = offset != NULL ? offset->data : NULL;
    *out = w;
    return CT_OK;
}
