/* Encoding: rows to indices, scales and offsets, tile by tile. */
#include "engine/base/f16.h"
#include "engine/compress/kept.h"
#include "engine/compress/quantizer.h"

#include <stdlib.h>
#include <string.h>

enum { CHUNK_WEIGHTS = 4 << 20 }; /* encoded between two calls of the sink, about */

struct encoding {
    struct ct_pass pass; /* its coder is the shared codebook's, or NULL */
    const struct ct_codebook *codebook;
    struct ct_encoded *out;
    int64_t tile_begin, tile_end; /* of the chunk */
    uint8_t *packed;              /* the chunk's tiles */
    double *tile_square, *tile_error;
};

/* A row's own codebook: learned, stored, and in worker->coder. */
static void learn_row(const struct encoding *e, struct ct_worker *worker, int64_t row,
                      const float *w, double extreme)
{
    const struct ct_plan *plan = e->pass.plan;
    const size_t n_centroids = (size_t)1 << plan->bits, at = (size_t)row * n_centroids;
    struct ct_codebook own = {0};
    enum ct_status status = ct_worker_learn(worker, &e->pass, w, extreme, &own);
    worker->status = status != CT_OK ? status : worker->status;
    if (plan->has_float_centroids)
        memcpy(e->out->codebook_f32 + at, own.f32, n_centroids * sizeof own.f32[0]);
    else
        memcpy(e->out->codebook_i8 + at, own.i8, n_centroids);
}

/* Row `row` of worker->w. shared: as for ct_worker_feed_back. */
static void code_row(const struct encoding *e, struct ct_worker *worker,
                     const struct ct_coder *coder, const struct ct_fit *shared, int row)
{
    const struct ct_plan *plan = e->pass.plan;
    for (int64_t q = 0; q < ct_plan_groups(plan); q++) {
        const int64_t begin = q * plan->group, at = row * worker->stride + begin;
        const int n = ct_plan_group_length(plan, q);
        const float *w = worker->w + at;
        struct ct_fit *fit = &worker->fits[q * CT_TILE_ROWS + row];
        *fit = shared != NULL ? *shared
                              : ct_coder_fit(coder, w, ct_matrix_importance(e->pass.matrix, begin),
                                             n, plan->has_offset);
        ct_coder_assign(coder, w, n, *fit, worker->index + at);
    }
}

/* The n_rows rows of a tile. Rows with codebooks of their own go one by one. */
static void cluster_rows(const struct encoding *e, struct ct_worker *worker, int64_t first_row,
                         int n_rows)
{
    const struct ct_plan *plan = e->pass.plan;
    const bool is_fed_back = e->pass.matrix->hessian != NULL;
    const struct ct_fit scale = {
        plan->has_scale ? e->codebook != NULL ? e->codebook->scale : 0 : ct_f16_from_f32(1), 0};
    const struct ct_fit *shared = ct_is_unscaled(&e->pass.quantizer->options) ? &scale : NULL;
    for (int r = 0; r < n_rows; r++) {
        float *w = worker->w + r * worker->stride;
        const double extreme = ct_worker_read(worker, e->pass.matrix, first_row + r, w);
        if (e->pass.coder == NULL)
            learn_row(e, worker, first_row + r, w, extreme);
        const struct ct_coder *coder = e->pass.coder != NULL ? e->pass.coder : &worker->coder;
        if (!is_fed_back)
            code_row(e, worker, coder, shared, r);
        else if (e->pass.coder == NULL)
            ct_worker_feed_back(worker, &e->pass, coder, shared, r, 1);
    }
    if (is_fed_back && e->pass.coder != NULL)
        ct_worker_feed_back(worker, &e->pass, e->pass.coder, shared, 0, n_rows);
}

static void keep_rows(const struct encoding *e, struct ct_worker *worker, int64_t first_row,
                      int n_rows)
{
    const struct ct_plan *plan = e->pass.plan;
    for (int r = 0; r < n_rows; r++) {
        uint8_t *index = worker->index + r * worker->stride;
        ct_worker_read(worker, e->pass.matrix, first_row + r, worker->w + r * worker->stride);
        ct_kept_row(e->pass.matrix->weight, first_row + r, index, worker->scale, worker->offset);
        for (int64_t j = 0; j < plan->k && plan->bits == 8; j++)
            worker->has_lowest |= index[j] == 0;
        for (int64_t q = 0; q < ct_plan_groups(plan); q++)
            worker->fits[q * CT_TILE_ROWS + r] = (struct ct_fit){
                worker->scale[q], plan->has_offset ? worker->offset[q] : (uint16_t)0};
    }
}

/* Decodes row `row` of the tile by the formula that readers use, and adds its squares and squared
 * errors. */
static void measure_row(const struct encoding *e, const struct ct_worker *worker, int64_t first_row,
                        int row, double *square, double *error)
{
    const struct ct_plan *plan = e->pass.plan;
    const float *w = worker->w + row * worker->stride;
    const uint8_t *index = worker->index + row * worker->stride;
    size_t own = plan->n_codebooks > 1 ? (size_t)(first_row + row) << plan->bits : 0;
    float *decoded = e->pass.matrix->decoded;
    for (int64_t j = 0; j < plan->k; j++) {
        struct ct_fit fit = worker->fits[j / plan->group * CT_TILE_ROWS + row];
        float code = e->codebook != NULL         ? e->codebook->f32[index[j]]
                     : plan->has_float_centroids ? e->out->codebook_f32[own + index[j]]
                                                 : (float)e->out->codebook_i8[own + index[j]];
        float scale = plan->has_scale ? ct_f16_to_f32(fit.scale) : 1.0f;
        float value = scale * code + ct_f16_to_f32(fit.offset);
        double difference = (double)w[j] - value;
        *square += (double)w[j] * w[j];
        *error += difference * difference;
        if (decoded != NULL)
            decoded[(first_row + row) * plan->k + j] = value;
    }
}

/* The fits of a tile's rows, as stored; rows of padding keep zeros. */
static void store_fits(const struct encoding *e, const struct ct_worker *worker, int64_t tile,
                       int n_rows)
{
    const int64_t n_groups = ct_plan_groups(e->pass.plan);
    for (int64_t q = 0; q < n_groups; q++)
        for (int r = 0; r < n_rows; r++) {
            const struct ct_fit fit = worker->fits[q * CT_TILE_ROWS + r];
            const int64_t at = (tile * n_groups + q) * CT_TILE_ROWS + r;
            if (e->pass.plan->has_scale)
                e->out->scale[at] = fit.scale;
            if (e->pass.plan->has_offset)
                e->out->offset[at] = fit.offset;
        }
}

static void pack_tiles(const struct ct_plan *plan, const uint8_t *index, int64_t stride,
                       uint8_t *packed)
{
    for (int64_t j = 0; j < plan->k; j += CT_TILE_COLS, packed += 8 * plan->bits) {
        uint8_t tile[CT_TILE_INDICES];
        for (int r = 0; r < CT_TILE_ROWS; r++)
            memcpy(tile + r * CT_TILE_COLS, index + r * stride + j, CT_TILE_COLS);
        ct_tile_pack(tile, plan->bits, packed);
    }
}

static void encode_tiles(void *context, int i, int n_workers)
{
    const struct encoding *e = context;
    const struct ct_plan *plan = e->pass.plan;
    struct ct_worker *worker = &e->pass.quantizer->workers[i];
    const struct ct_clustered view = ct_plan_view(plan);
    const int64_t row_bytes = ct_clustered_tiles_k(&view) * 8 * plan->bits;
    int64_t begin, end;
    ct_pool_share(e->tile_end - e->tile_begin, 1, i, n_workers, &begin, &end);
    for (int64_t t = begin; t < end; t++) {
        const int64_t tile = e->tile_begin + t, first_row = tile * CT_TILE_ROWS;
        const int64_t n_left = plan->n - first_row;
        const int n_rows = n_left < CT_TILE_ROWS ? (int)n_left : CT_TILE_ROWS;
        memset(worker->index, 0, (size_t)(CT_TILE_ROWS * worker->stride));
        (plan->is_kept ? keep_rows : cluster_rows)(e, worker, first_row, n_rows);
        for (int r = 0; r < n_rows; r++)
            measure_row(e, worker, first_row, r, &e->tile_square[tile], &e->tile_error[tile]);
        store_fits(e, worker, tile, n_rows);
        pack_tiles(plan, worker->index, worker->stride, e->packed + t * row_bytes);
    }
}

/* Room for the parts besides the index; padding stays zero. */
static enum ct_status encoded_init(struct ct_encoded *out, const struct ct_plan *plan)
{
    struct ct_clustered view = ct_plan_view(plan);
    size_t scale_bytes = ct_clustered_scale_bytes(&view);
    size_t n_centroids = (size_t)plan->n_codebooks << plan->bits;
    *out = (struct ct_encoded){0};
    if (plan->has_scale)
        out->scale = calloc(1, scale_bytes);
    if (plan->has_offset)
        out->offset = calloc(1, scale_bytes);
    if (n_centroids > 0 && plan->has_float_centroids)
        out->codebook_f32 = calloc(n_centroids, sizeof *out->codebook_f32);
    if (n_centroids > 0 && !plan->has_float_centroids)
        out->codebook_i8 = calloc(n_centroids, sizeof *out->codebook_i8);
    bool has_all = (out->scale != NULL || !plan->has_scale) &&
                   (out->offset != NULL || !plan->has_offset) &&
                   (out->codebook_f32 != NULL || out->codebook_i8 != NULL || n_centroids == 0);
    return has_all ? CT_OK : CT_MEMORY;
}

void ct_encoded_deinit(struct ct_encoded *encoded)
{
    free(encoded->codebook_f32);
    free(encoded->codebook_i8);
    free(encoded->offset);
    free(encoded->scale);
    *encoded = (struct ct_encoded){0};
}

/* The tensor's own codebook goes into the parts before the rows are encoded. */
static void store_codebook(const struct ct_plan *plan, const struct ct_weight *weight,
                           const struct ct_codebook *codebook, struct ct_encoded *out)
{
    size_t n_centroids = (size_t)1 << plan->bits;
    if (plan->is_kept)
        ct_kept_codebook(weight->tensor.dtype, true, out->codebook_i8);
    else if (plan->n_codebooks == 1 && plan->has_float_centroids)
        memcpy(out->codebook_f32, codebook->f32, n_centroids * sizeof *out->codebook_f32);
    else if (plan->n_codebooks == 1)
        memcpy(out->codebook_i8, codebook->i8, n_centroids);
}

enum ct_status ct_quantizer_encode(struct ct_quantizer *quantizer, const struct ct_plan *plan,
                                   const struct ct_source *matrix,
                                   const struct ct_codebook *codebook, struct ct_encoded *out,
                                   ct_index_sink *sink, void *context, struct ct_error *err)
{
    const char *name = matrix->weight->tensor.name;
    struct ct_clustered view = ct_plan_view(plan);
    int64_t n_tiles = ct_clustered_tiles_n(&view);
    size_t tile_row_bytes = (size_t)ct_clustered_tiles_k(&view) * 8 * (size_t)plan->bits;
    int64_t chunk = CHUNK_WEIGHTS / (CT_TILE_ROWS * plan->k) + quantizer->n_workers;
    struct encoding e = {.pass = {quantizer, plan, matrix, NULL}, .codebook = codebook, .out = out};
    enum ct_status status = encoded_init(out, plan);
    e.packed = malloc((size_t)chunk * tile_row_bytes);
    e.tile_square = calloc((size_t)n_tiles, sizeof *e.tile_square);
    e.tile_error = calloc((size_t)n_tiles, sizeof *e.tile_error);
    if (status != CT_OK || e.packed == NULL || e.tile_square == NULL || e.tile_error == NULL) {
        status = ct_error_set(err, CT_MEMORY, "%s: no memory to encode it", name);
        goto out;
    }
    ct_workers_reset(quantizer);
    store_codebook(plan, matrix->weight, codebook, out);
    if (codebook != NULL) {
        ct_coder_init(&quantizer->coder, codebook->f32, 1 << plan->bits,
                      ct_quantize_unit(&quantizer->options));
        e.pass.coder = &quantizer->coder;
    }
    for (int64_t tile = 0; tile < n_tiles && status == CT_OK; tile += chunk) {
        e.tile_begin = tile;
        e.tile_end = tile + chunk < n_tiles ? tile + chunk : n_tiles;
        ct_pool_run(quantizer->pool, encode_tiles, &e);
        status = ct_workers_check(quantizer, matrix, err);
        if (status == CT_OK)
            status = sink(context, e.packed, (size_t)(e.tile_end - tile) * tile_row_bytes, err);
        int64_t first_row = tile * CT_TILE_ROWS, end_row = e.tile_end * CT_TILE_ROWS;
        int64_t n_rows = (end_row < plan->n ? end_row : plan->n) - first_row;
        if (status == CT_OK)
            status = ct_quantizer_progress(quantizer, matrix, n_rows * plan->k, err);
    }
    bool has_lowest = false;
    for (int i = 0; i < quantizer->n_workers; i++)
        has_lowest |= quantizer->workers[i].has_lowest;
    if (plan->is_kept)
        ct_kept_codebook(matrix->weight->tensor.dtype, has_lowest, out->codebook_i8);
    for (int64_t tile = 0; tile < n_tiles; tile++) {
        out->sum_square += e.tile_square[tile];
        out->sum_error += e.tile_error[tile];
    }
out:
    free(e.tile_error);
    free(e.tile_square);
    free(e.packed);
    return status;
}
