#include "engine/compress/quantize.h"

#include "engine/compress/quantizer.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static int64_t pad(int64_t n, int64_t unit)
{
    return (n + unit - 1) / unit * unit;
}

/* ---- opening ---- */

static enum ct_status worker_init(struct ct_worker *worker, const struct ct_quantize *options,
                                  int i, int64_t max_k)
{
    const size_t k = (size_t)pad(max_k, CT_HESSIAN_BLOCK), n = CT_TILE_ROWS * k;
    bool is_row = options->scope == CT_SCOPE_ROW;
    worker->stride = (int64_t)k;
    worker->w = malloc(n * sizeof *worker->w);
    worker->value = malloc(k * sizeof *worker->value);
    worker->weight = malloc(k * sizeof *worker->weight);
    worker->target = malloc(n * sizeof *worker->target);
    worker->error = malloc(n * sizeof *worker->error);
    worker->index = malloc(n);
    worker->fits = malloc(n * sizeof *worker->fits);
    worker->scale = malloc(k * sizeof *worker->scale);
    worker->offset = malloc(k * sizeof *worker->offset);
    worker->keys = malloc(2 * k * sizeof *worker->keys);
    if (worker->w == NULL || worker->value == NULL || worker->weight == NULL ||
        worker->target == NULL || worker->error == NULL || worker->index == NULL ||
        worker->fits == NULL || worker->scale == NULL || worker->offset == NULL ||
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
        free(worker->fits);
        free(worker->index);
        free(worker->error);
        free(worker->target);
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

int ct_largest_centroid(const struct ct_quantize *options)
{
    const int n = options->n_clusters > 0 ? options->n_clusters : 1 << options->bits;
    return n <= 64 && options->scope != CT_SCOPE_ROW && !ct_is_unscaled(options) ? 63 : 127;
}

float ct_quantize_unit(const struct ct_quantize *options)
{
    return options->has_float_centroids ? 1.0f : (float)ct_largest_centroid(options);
}

struct ct_plan ct_plan_matrix(const struct ct_quantize *options, const struct ct_weight *weight)
{
    int64_t n, k;
    ct_tensor_matrix(&weight->tensor, &n, &k);
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

double ct_worker_read(struct ct_worker *worker, const struct ct_source *matrix, int64_t row,
                      float *w)
{
    int64_t n, k;
    ct_tensor_matrix(&matrix->weight->tensor, &n, &k);
    ct_weight_row_f32(matrix->weight, row, w);
    float extreme = 0;
    bool is_finite = true;
    for (int64_t j = 0; j < k; j++) {
        float a = fabsf(w[j]);
        is_finite &= a < INFINITY;
        extreme = a > extreme ? a : extreme;
    }
    if (is_finite)
        return extreme;
    if (worker->bad_row < 0)
        worker->bad_row = row;
    memset(w, 0, (size_t)k * sizeof *w);
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
