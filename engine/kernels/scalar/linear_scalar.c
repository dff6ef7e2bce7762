/* Matrix products over clustered and dense weights: the specification. */
#include "engine/base/f16.h"
#include "engine/base/tile.h"
#include "engine/kernels/kernels.h"

#include <math.h>

/* The index of W[16 * tile + r, j]. */
static int index_at(const struct ct_linear *a, int64_t tile, int r, int64_t j)
{
    int64_t n_tiles_k = (a->k + CT_TILE_COLS - 1) / CT_TILE_COLS;
    const uint8_t *packed = a->index + (tile * n_tiles_k + j / CT_TILE_COLS) * 8 * a->bits;
    return ct_tile_index(packed, a->bits, r * CT_TILE_COLS + (int)(j % CT_TILE_COLS));
}

static float f16_or(const uint16_t *values, int64_t i, float absent)
{
    return values != NULL ? ct_f16_to_f32(values[i]) : absent;
}

static void store(const struct ct_linear *a, int64_t t, int64_t row, float value)
{
    float *y = a->y + t * a->ldy + row;
    if (a->is_added)
        value = *y + value;
    *y = a->bias != NULL ? value + a->bias[row] : value;
}

void ct_linear_i8_scalar(const struct ct_linear *a, int64_t tile_begin, int64_t tile_end)
{
    int64_t n_groups = (a->k + a->group - 1) / a->group;
    for (int64_t row = tile_begin * CT_TILE_ROWS; row < tile_end * CT_TILE_ROWS && row < a->n;
         row++) {
        int64_t tile = row / CT_TILE_ROWS;
        int r = (int)(row % CT_TILE_ROWS);
        const int8_t *codebook = a->codebook_i8 + (a->n_codebooks > 1 ? row << a->bits : 0);
        for (int64_t t = 0; t < a->m; t++) {
            const int8_t *q = a->x_i8.q + t * a->x_i8.ldq;
            const float *x_scale = a->x_i8.scale + t * a->x_i8.n_groups;
            float acc = 0;
            for (int64_t g = 0; g < n_groups; g++) {
                int64_t begin = g * a->group;
                int64_t end = begin + a->group < a->k ? begin + a->group : a->k;
                float part = 0;
                for (int64_t h = begin / CT_X_GROUP; h * CT_X_GROUP < end; h++) {
                    int32_t dot = 0;
                    for (int64_t j = h * CT_X_GROUP; j < (h + 1) * CT_X_GROUP && j < end; j++)
                        dot += codebook[index_at(a, tile, r, j)] * q[j];
                    part = fmaf((float)dot, x_scale[h], part);
                }
                int64_t place = (tile * n_groups + g) * CT_TILE_ROWS + r;
                acc = fmaf(part, f16_or(a->scale, place, 1), acc);
                if (a->offset != NULL)
                    acc = fmaf(ct_rows_i8_sum(&a->x_i8, t, begin / CT_X_GROUP,
                                              (end + CT_X_GROUP - 1) / CT_X_GROUP),
                               f16_or(a->offset, place, 0), acc);
            }
            store(a, t, row, a->token_scale != NULL ? acc * a->token_scale[t] : acc);
        }
    }
}

void ct_linear_f32_scalar(const struct ct_linear *a, int64_t tile_begin, int64_t tile_end)
{
    int64_t n_groups = (a->k + a->group - 1) / a->group;
    for (int64_t row = tile_begin * CT_TILE_ROWS; row < tile_end * CT_TILE_ROWS && row < a->n;
         row++) {
        int64_t tile = row / CT_TILE_ROWS;
        int r = (int)(row % CT_TILE_ROWS);
        const float *codebook = a->codebook_f32 + (a->n_codebooks > 1 ? row << a->bits : 0);
        for (int64_t t = 0; t < a->m; t++) {
            const float *x = a->x_f32 + t * a->ldx;
            double acc = 0;
            for (int64_t g = 0; g < n_groups; g++) {
                int64_t end = (g + 1) * a->group < a->k ? (g + 1) * a->group : a->k;
                double dot = 0, sum = 0;
                for (int64_t j = g * a->group; j < end; j++) {
                    dot += (double)codebook[index_at(a, tile, r, j)] * x[j];
                    sum += x[j];
                }
                int64_t place = (tile * n_groups + g) * CT_TILE_ROWS + r;
                acc += dot * f16_or(a->scale, place, 1) + sum * f16_or(a->offset, place, 0);
            }
            store(a, t, row, (float)acc);
        }
    }
}

static double weight_at(const struct ct_dense *a, int64_t i)
{
    switch (a->type) {
    case CT_DENSE_F16:
        return ct_f16_to_f32(((const uint16_t *)a->w)[i]);
    case CT_DENSE_BF16:
        return ct_bf16_to_f32(((const uint16_t *)a->w)[i]);
    case CT_DENSE_F32:
        break;
    }
    return ((const float *)a->w)[i];
}

void ct_dense_scalar(const struct ct_dense *a, int64_t row_begin, int64_t row_end)
{
    for (int64_t row = row_begin; row < row_end; row++) {
        for (int64_t t = 0; t < a->m; t++) {
            double acc = 0;
            for (int64_t j = 0; j < a->k; j++)
                acc += weight_at(a, row * a->k + j) * a->x[t * a->ldx + j];
            float *y = a->y + t * a->ldy + row;
            *y =
                (a->is_added ? *y + (float)acc : (float)acc) + (a->bias != NULL ? a->bias[row] : 0);
        }
    }
}
