#include "engine/compress/quantize.h"

#include "engine/base/f16.h"
#include "engine/compress/kept.h"
#include "engine/compress/quantizer.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK_WEIGHTS = 4 << 20 }; /* encoded between two calls of the sink, about */

static int64_t pad(int64_t n, int64_t unit)
{
    return (n + unit - 1) / unit * unit;
}

/* ---- opening ---- */

static enum ct_status worker_init(struct ct_worker *worker, const struct ct_quantize *options,
                                  int i, int64_t max_k)
{
    size_t k = (size_t)pad(max_k, CT_TILE_COLS);
    bool is_row = options->scope == CT_SCOPE_ROW;
    worker->w = malloc(k * sizeof *worker->w);
    worker->value = malloc(k * sizeof *worker->value);
    worker->weight = malloc(k * sizeof *worker->weight);
    worker->index = malloc(CT_TILE_ROWS * k);
    worker->scale = malloc(k * sizeof *worker->scale);
    worker->offset = malloc(k * sizeof *worker->offset);
    worker->keys = malloc(2 * k * sizeof *worker->keys);
    if (worker->w == NULL || worker->value == NULL || worker->weight == NULL ||
        worker->index == NULL || worker->scale == NULL || worker->offset == NULL ||
        worker->keys == NULL)
        return CT_MEMORY;
    enum ct_status status = ct_points_init(&worker->points, is_row   ? (int)max_k
                                                            : i == 0 ? CT_HISTOGRAM_BINS
                                                                     : 1);
    if (status == CT_OK && !is_row)
        status = ct_histogram_init(&worker->histogram);
    return status;
}

enum ct_status ct_quantizer_open(const struct ct_quantize *options, int64_t max_k,
                                 struct ct_pool *pool, struct ct_quantizer **out)
{
    *out = NULL;
    struct ct_quantizer *quantizer = calloc(1, sizeof *quantizer);
    if (quantizer == NULL)
        return CT_MEMORY;
    quantizer->options = *options;
    quantizer->pool = pool;
    quantizer->n_workers = ct_pool_n_workers(pool);
    quantizer->workers = calloc((size_t)quantizer->n_workers, sizeof *quantizer->workers);
    enum ct_status status = quantizer->workers == NULL ? CT_MEMORY : CT_OK;
    for (int i = 0; i < quantizer->n_workers && status == CT_OK; i++)
        status = worker_init(&quantizer->workers[i], options, i, max_k);
    if (status != CT_OK) {
        ct_quantizer_close(quantizer);
        return status;
    }
    *out = quantizer;
    return CT_OK;
}

void ct_quantizer_close(struct ct_quantizer *quantizer)
{
    if (quantizer == NULL)
        return;
    for (int i = 0; i < quantizer->n_workers && quantizer->workers != NULL; i++) {
        struct ct_worker *worker = &quantizer->workers[i];
        ct_points_deinit(&worker->points);
        ct_histogram_deinit(&worker->histogram);
        free(worker->keys);
        free(worker->offset);
        free(worker->scale);
        free(worker->index);
        free(worker->weight);
        free(worker->value);
        free(worker->w);
    }
    free(quantizer->workers);
    free(quantizer);
}

/* ---- plans ---- */

bool ct_is_unscaled(const struct ct_quantize *options)
{
    return options->group == CT_GROUP_NONE &&
           (options->scope != CT_SCOPE_ROW || options->has_float_centroids);
}

bool ct_is_symmetric(const struct ct_quantize *options)
{
    return options->scope != CT_SCOPE_ROW && !options->has_float_centroids && options->bits >= 5;
}

float ct_quantize_unit(const struct ct_quantize *options)
{
    return options->has_float_centroids ? 1.0f : 127.0f;
}

struct ct_plan ct_plan_matrix(const struct ct_quantize *options, const struct ct_weight *weight)
{
    int64_t n = weight->tensor.shape[0], k = weight->tensor.shape[1];
    return (struct ct_plan){
        .n = n,
        .k = k,
        .bits = options->bits,
        .group = options->group > 0 ? options->group : (int)pad(k, CT_TILE_COLS),
        .n_codebooks = options->scope == CT_SCOPE_ROW     ? pad(n, CT_TILE_ROWS)
                       : options->scope == CT_SCOPE_MODEL ? 0
                                                          : 1,
        .has_scale = options->group != CT_GROUP_NONE || !options->has_float_centroids,
        .has_offset = options->has_offset,
        .has_float_centroids = options->has_float_centroids,
    };
}

struct ct_clustered ct_plan_view(const struct ct_plan *plan)
{
    return (struct ct_clustered){.n = plan->n,
                                 .k = plan->k,
                                 .bits = plan->bits,
                                 .group = plan->group,
                                 .n_codebooks = plan->n_codebooks == 0 ? 1 : plan->n_codebooks};
}

int64_t ct_plan_groups(const struct ct_plan *plan)
{
    return (plan->k + plan->group - 1) / plan->group;
}

int ct_plan_group_length(const struct ct_plan *plan, int64_t group)
{
    int64_t left = plan->k - group * plan->group;
    return (int)(left < plan->group ? left : plan->group);
}

const float *ct_matrix_importance(const struct ct_source *matrix, int64_t column)
{
    return matrix->importance != NULL ? matrix->importance + column : NULL;
}

/* ---- workers ---- */

double ct_worker_read(struct ct_worker *worker, const struct ct_source *matrix, int64_t row)
{
    int64_t k = matrix->weight->tensor.shape[1];
    ct_weight_row_f32(matrix->weight, row, worker->w);
    float extreme = 0;
    bool is_finite = true;
    for (int64_t j = 0; j < k; j++) {
        float a = fabsf(worker->w[j]);
        is_finite &= a < INFINITY;
        extreme = a > extreme ? a : extreme;
    }
    if (is_finite)
        return extreme;
    if (worker->bad_row < 0)
        worker->bad_row = row;
    memset(worker->w, 0, (size_t)k * sizeof *worker->w);
    return 0;
}

enum ct_status ct_quantizer_progress(const struct ct_quantizer *quantizer,
                                     const struct ct_source *matrix, int64_t n_weights,
                                     struct ct_error *err)
{
    const struct ct_quantize *options = &quantizer->options;
    if (options->progress == NULL)
        return CT_OK;
    return options->progress(options->progress_context, matrix, n_weights, err);
}

void ct_workers_reset(struct ct_quantizer *quantizer)
{
    for (int i = 0; i < quantizer->n_workers; i++) {
        struct ct_worker *worker = &quantizer->workers[i];
        worker->bad_row = -1;
        worker->extreme = 0;
        worker->has_lowest = false;
        worker->status = CT_OK;
    }
}

enum ct_status ct_workers_check(const struct ct_quantizer *quantizer,
                                const struct ct_source *matrix, struct ct_error *err)
{
    const char *name = matrix->weight->tensor.name;
    int64_t bad_row = -1;
    for (int i = 0; i < quantizer->n_workers; i++) {
        const struct ct_worker *worker = &quantizer->workers[i];
        if (worker->bad_row >= 0 && (bad_row < 0 || worker->bad_row < bad_row))
            bad_row = worker->bad_row;
        if (worker->status != CT_OK)
            return ct_error_set(err, worker->status, "%s: no memory for K-means", name);
    }
    if (bad_row < 0)
        return CT_OK;
    return ct_error_set(err, CT_FORMAT,
                        "%s: row %" PRId64 " holds a value that is not a finite number", name,
                        bad_row);
}

/* ---- encoding ---- */

struct encoding {
    struct ct_pass pass; /* its coder is the shared codebook's, or NULL */
    const struct ct_codebook *codebook;
    struct ct_encoded *out;
    int64_t tile_begin, tile_end; /* of the chunk */
    uint8_t *packed;              /* the chunk's tiles */
    double *tile_square, *tile_error;
};

static void cluster_row(const struct encoding *e, struct ct_worker *worker, int64_t row,
                        uint8_t *index)
{
    const struct ct_plan *plan = e->pass.plan;
    const struct ct_coder *coder = e->pass.coder;
    double extreme = ct_worker_read(worker, e->pass.matrix, row);
    if (coder == NULL) {
        struct ct_codebook own = {0};
        size_t n_centroids = (size_t)1 << plan->bits;
        enum ct_status status = ct_worker_learn(worker, &e->pass, extreme, &own);
        worker->status = status != CT_OK ? status : worker->status;
        if (plan->has_float_centroids)
            memcpy(e->out->codebook_f32 + (size_t)row * n_centroids, own.f32,
                   n_centroids * sizeof own.f32[0]);
        else
            memcpy(e->out->codebook_i8 + (size_t)row * n_centroids, own.i8, n_centroids);
        coder = &worker->coder;
    }
    const struct ct_quantize *options = &e->pass.quantizer->options;
    struct ct_fit shared = {
        plan->has_scale ? e->codebook != NULL ? e->codebook->scale : 0 : ct_f16_from_f32(1), 0};
    for (int64_t q = 0; q < ct_plan_groups(plan); q++) {
        int64_t begin = q * plan->group;
        int n = ct_plan_group_length(plan, q);
        const float *w = worker->w + begin;
        struct ct_fit fit =
            ct_is_unscaled(options)
                ? shared
                : ct_coder_fit(coder, w, ct_matrix_importance(e->pass.matrix, begin), n,
                               options->has_offset);
        ct_coder_assign(coder, w, n, fit, index + begin);
        worker->scale[q] = fit.scale;
        worker->offset[q] = fit.offset;
    }
}

static void keep_row(const struct encoding *e, struct ct_worker *worker, int64_t row,
                     uint8_t *index)
{
    const struct ct_weight *weight = e->pass.matrix->weight;
    ct_worker_read(worker, e->pass.matrix, row);
    ct_kept_row(weight, row, index, worker->scale, worker->offset);
    for (int64_t j = 0; j < e->pass.plan->k && e->pass.plan->bits == 8; j++)
        worker->has_lowest |= index[j] == 0;
}

/* Adds the row's squares and squared errors, by the formula that readers use. */
static void measure_row(const struct encoding *e, const struct ct_worker *worker, int64_t row,
                        const uint8_t *index, double *square, double *error)
{
    const struct ct_plan *plan = e->pass.plan;
    size_t own = plan->n_codebooks > 1 ? (size_t)row << plan->bits : 0;
    for (int64_t j = 0; j < plan->k; j++) {
        int64_t q = j / plan->group;
        float code = e->codebook != NULL         ? e->codebook->f32[index[j]]
                     : plan->has_float_centroids ? e->out->codebook_f32[own + index[j]]
                                                 : (float)e->out->codebook_i8[own + index[j]];
        float scale = plan->has_scale ? ct_f16_to_f32(worker->scale[q]) : 1.0f;
        float offset = plan->has_offset ? ct_f16_to_f32(worker->offset[q]) : 0.0f;
        double difference = (double)worker->w[j] - (scale * code + offset);
        *square += (double)worker->w[j] * worker->w[j];
        *error += difference * difference;
    }
}

static void pack_tiles(const struct ct_plan *plan, const uint8_t *index, size_t row_bytes,
                       uint8_t *packed)
{
    for (int64_t j = 0; j < plan->k; j += CT_TILE_COLS, packed += 8 * plan->bits) {
        uint8_t tile[CT_TILE_INDICES];
        for (int r = 0; r < CT_TILE_ROWS; r++)
            memcpy(tile + r * CT_TILE_COLS, index + (size_t)r * row_bytes + j, CT_TILE_COLS);
        ct_tile_pack(tile, plan->bits, packed);
    }
}

static void encode_tiles(void *context, int i, int n_workers)
{
    const struct encoding *e = context;
    const struct ct_plan *plan = e->pass.plan;
    struct ct_worker *worker = &e->pass.quantizer->workers[i];
    int64_t n_groups = ct_plan_groups(plan), begin, end;
    size_t row_bytes = (size_t)pad(plan->k, CT_TILE_COLS);
    ct_pool_share(e->tile_end - e->tile_begin, 1, i, n_workers, &begin, &end);
    for (int64_t t = begin; t < end; t++) {
        int64_t tile = e->tile_begin + t;
        memset(worker->index, 0, CT_TILE_ROWS * row_bytes);
        for (int64_t r = 0; r < CT_TILE_ROWS && tile * CT_TILE_ROWS + r < plan->n; r++) {
            int64_t row = tile * CT_TILE_ROWS + r;
            uint8_t *index = worker->index + (size_t)r * row_bytes;
            (plan->is_kept ? keep_row : cluster_row)(e, worker, row, index);
            measure_row(e, worker, row, index, &e->tile_square[tile], &e->tile_error[tile]);
            for (int64_t q = 0; q < n_groups; q++) {
                int64_t at = (tile * n_groups + q) * CT_TILE_ROWS + r;
                if (plan->has_scale)
                    e->out->scale[at] = worker->scale[q];
                if (plan->has_offset)
                    e->out->offset[at] = worker->offset[q];
            }
        }
        pack_tiles(plan, worker->index, row_bytes,
                   e->packed + (size_t)t * row_bytes / CT_TILE_COLS * 8 * (size_t)plan->bits);
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
