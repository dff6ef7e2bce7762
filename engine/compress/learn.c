/* Codebooks: of one matrix, of all together, or of a row. */
#include "engine/base/f16.h"
#include "engine/compress/quantizer.h"

#include <math.h>

enum {
    N_REFITS = 2, /* rounds after the first, with the scales that fit the codebook before */
    N_STARTS = 3, /* of K-means, in the first round of a shared codebook */
};

/* The first scales bring a group to -1..1 (times the unit); a fit may clip and so leave it. */
static const double value_range = 1.5;

/* The row's values as K-means sees them, and their weights. */
static void normalise_row(const struct ct_pass *pass, struct ct_worker *worker, const float *row)
{
    const struct ct_quantize *options = &pass->quantizer->options;
    bool is_unscaled = ct_is_unscaled(options);
    for (int64_t q = 0; q < ct_plan_groups(pass->plan); q++) {
        int64_t begin = q * pass->plan->group;
        int n = ct_plan_group_length(pass->plan, q);
        const float *w = row + begin;
        const float *importance = ct_matrix_importance(pass->matrix, begin);
        float scale = 1, offset = 0;
        if (!is_unscaled) {
            struct ct_fit fit =
                pass->coder == NULL
                    ? ct_fit_start(w, n, options->has_offset, ct_quantize_unit(options))
                    : ct_coder_fit(pass->coder, w, importance, n, options->has_offset);
            scale = ct_f16_to_f32(fit.scale);
            offset = ct_f16_to_f32(fit.offset);
        }
        float inverse = scale != 0 ? 1 / scale : 0;
        for (int j = 0; j < n; j++) {
            worker->value[begin + j] = (w[j] - offset) * inverse;
            worker->weight[begin + j] = scale * scale * (importance != NULL ? importance[j] : 1);
        }
    }
}

/* How many centroids K-means looks for. */
static int n_learned(const struct ct_quantize *options)
{
    const int n = options->n_clusters > 0 ? options->n_clusters : 1 << options->bits;
    return ct_is_symmetric(options) ? n / 2 : n;
}

/* The rest of a codebook whose first k centroids are known: the last one again, then the signs. */
static void fill_codebook(const struct ct_quantize *options, int k, struct ct_codebook *codebook)
{
    const int n = 1 << options->bits, half = ct_is_symmetric(options) ? n / 2 : n;
    for (int i = k; i < n; i++) {
        codebook->i8[i] = i < half ? codebook->i8[k - 1] : (int8_t)-codebook->i8[i - half];
        codebook->f32[i] = options->has_float_centroids ? codebook->f32[k - 1] : codebook->i8[i];
    }
}

/* Centroids of either kind; of a symmetric codebook the magnitudes, from points >= 0. start: those of the round before, or NULL. A draft is a round in the
 * middle: among floats the exact method takes long, and what it gains comes from the first round,
 * which leads the scales to a better place, and is kept by the last. */
static enum ct_status solve_codebook(const struct ct_quantize *options,
                                     const struct ct_points *points, bool is_draft, int n_starts,
                                     const float *start, struct ct_codebook *codebook)
{
    int k = n_learned(options);
    double before[CT_MAX_CLUSTERS], found[CT_MAX_CLUSTERS];
    struct ct_kmeans kmeans = {.n_clusters = k,
                               .method = options->method,
                               .n_starts = n_starts,
                               .seed = options->seed,
                               .largest = ct_largest_centroid(options),
                               .has_magnitudes = ct_is_symmetric(options)};
    if (is_draft && options->has_float_centroids)
        kmeans.method = CT_KMEANS_LLOYD;
    if (start != NULL) {
        for (int i = 0; i < k; i++)
            before[i] = start[i];
        kmeans.start = before;
    }
    enum ct_status status = options->has_float_centroids
                                ? ct_kmeans_solve(points, &kmeans, found)
                                : ct_kmeans_solve_i8(points, &kmeans, codebook->i8);
    for (int i = 0; i < k && status == CT_OK; i++)
        codebook->f32[i] = options->has_float_centroids ? (float)found[i] : (float)codebook->i8[i];
    if (status == CT_OK)
        fill_codebook(options, k, codebook);
    return status;
}

enum ct_status ct_worker_learn(struct ct_worker *worker, const struct ct_pass *pass, const float *w,
                               double extreme, struct ct_codebook *codebook)
{
    const struct ct_quantize *options = &pass->quantizer->options;
    bool is_unscaled = ct_is_unscaled(options);
    double range = is_unscaled ? extreme + (extreme == 0) : value_range * ct_quantize_unit(options);
    struct ct_pass round = *pass;
    int n_rounds = is_unscaled ? 1 : 1 + N_REFITS;
    for (int i = 0; i < n_rounds; i++) {
        round.coder = i == 0 ? NULL : &worker->coder;
        normalise_row(&round, worker, w);
        ct_points_from_values(&worker->points, worker->value, worker->weight, (int)pass->plan->k,
                              -range, range, worker->keys);
        enum ct_status status = solve_codebook(options, &worker->points, i > 0 && i + 1 < n_rounds,
                                               1, i == 0 ? NULL : codebook->f32, codebook);
        if (status != CT_OK)
            return status;
        ct_coder_init(&worker->coder, codebook->f32, 1 << options->bits, ct_quantize_unit(options));
    }
    return CT_OK;
}

/* ---- one codebook for one or many matrices ---- */

static void run_extremes(void *context, int i, int n_workers)
{
    const struct ct_pass *pass = context;
    struct ct_worker *worker = &pass->quantizer->workers[i];
    int64_t begin, end;
    ct_pool_share(pass->plan->n, 1, i, n_workers, &begin, &end);
    for (int64_t row = begin; row < end; row++)
        worker->extreme =
            fmax(worker->extreme, ct_worker_read(worker, pass->matrix, row, worker->w));
}

static void run_histogram(void *context, int i, int n_workers)
{
    const struct ct_pass *pass = context;
    struct ct_worker *worker = &pass->quantizer->workers[i];
    bool is_symmetric = ct_is_symmetric(&pass->quantizer->options);
    int64_t begin, end;
    ct_pool_share(pass->plan->n, 1, i, n_workers, &begin, &end);
    for (int64_t row = begin; row < end; row++) {
        ct_worker_read(worker, pass->matrix, row, worker->w);
        normalise_row(pass, worker, worker->w);
        for (int64_t j = 0; j < pass->plan->k; j++) {
            float value = is_symmetric ? fabsf(worker->value[j]) : worker->value[j];
            ct_histogram_add(&worker->histogram, value, worker->weight[j]);
        }
    }
}

int ct_quantize_passes(const struct ct_quantize *options)
{
    int n_learning = options->scope == CT_SCOPE_ROW ? 0
                     : ct_is_unscaled(options)      ? 2
                                                    : 2 + N_REFITS;
    return n_learning + 1;
}

static enum ct_status run(struct ct_quantizer *quantizer, const struct ct_source *matrix,
                          const struct ct_coder *coder, ct_pool_fn *fn, struct ct_error *err)
{
    struct ct_plan plan = ct_plan_matrix(&quantizer->options, matrix->weight);
    struct ct_pass pass = {quantizer, &plan, matrix, coder};
    ct_pool_run(quantizer->pool, fn, &pass);
    return ct_quantizer_progress(quantizer, matrix, plan.n * plan.k, err);
}

/* The largest |w| of all matrices, and the largest importance. */
static enum ct_status find_extremes(struct ct_quantizer *quantizer,
                                    const struct ct_source *matrices, int n_matrices,
                                    double *extreme, double *importance, struct ct_error *err)
{
    *extreme = 0;
    *importance = 1;
    for (int m = 0; m < n_matrices; m++) {
        ct_workers_reset(quantizer);
        enum ct_status status = run(quantizer, &matrices[m], NULL, run_extremes, err);
        if (status == CT_OK)
            status = ct_workers_check(quantizer, &matrices[m], err);
        if (status != CT_OK)
            return status;
        for (int i = 0; i < quantizer->n_workers; i++)
            *extreme = fmax(*extreme, quantizer->workers[i].extreme);
        int64_t n, k;
        ct_tensor_matrix(&matrices[m].weight->tensor, &n, &k);
        for (int64_t j = 0; j < k && matrices[m].importance != NULL; j++)
            *importance = fmax(*importance, matrices[m].importance[j]);
    }
    return CT_OK;
}

/* All rows of all matrices into worker 0's points: values, or magnitudes for a symmetric codebook.
 */
static enum ct_status gather_points(struct ct_quantizer *quantizer,
                                    const struct ct_source *matrices, int n_matrices,
                                    const struct ct_coder *coder, double range, double max_weight,
                                    struct ct_error *err)
{
    struct ct_worker *workers = quantizer->workers;
    double low = ct_is_symmetric(&quantizer->options) ? 0 : -range;
    enum ct_status status = CT_OK;
    for (int i = 0; i < quantizer->n_workers; i++)
        ct_histogram_reset(&workers[i].histogram, low, range, max_weight);
    for (int m = 0; m < n_matrices && status == CT_OK; m++)
        status = run(quantizer, &matrices[m], coder, run_histogram, err);
    for (int i = 1; i < quantizer->n_workers; i++)
        ct_histogram_merge(&workers[0].histogram, &workers[i].histogram);
    ct_points_from_histogram(&workers[0].points, &workers[0].histogram);
    return status;
}

/* int8 centroids without group scales: one scale for all, tried from the coarse one that reaches
 * the farthest weights to finer ones that serve the bulk better. */
static enum ct_status solve_shared_scale(const struct ct_quantize *options,
                                         struct ct_points *points, struct ct_codebook *codebook)
{
    int k = n_learned(options);
    double extreme = points->n > 0 ? fmax(-points->x[0], points->x[points->n - 1]) : 0;
    double best_cost = INFINITY, unit = 1;
    for (double factor = 1; factor > 0.1; factor *= 0.85) {
        struct ct_codebook candidate = {0};
        float scale = ct_f16_to_f32(
            ct_f16_from_f32((float)(extreme * factor / ct_largest_centroid(options))));
        if (!(scale > 0 && isfinite(scale)))
            scale = 1;
        candidate.scale = ct_f16_from_f32(scale);
        ct_points_scale(points, unit / scale);
        unit = scale;
        enum ct_status status = solve_codebook(options, points, false, 1, NULL, &candidate);
        if (status != CT_OK)
            return status;
        double centroids[CT_MAX_CLUSTERS];
        for (int i = 0; i < k; i++)
            centroids[i] = candidate.f32[i];
        double cost = ct_kmeans_cost(points, centroids, k) * unit * unit;
        if (cost < best_cost) {
            best_cost = cost;
            *codebook = candidate;
        }
    }
    return CT_OK;
}

static enum ct_status learn_scaled(struct ct_quantizer *quantizer, const struct ct_source *matrices,
                                   int n_matrices, double extreme, double importance,
                                   struct ct_codebook *codebook, struct ct_error *err)
{
    const struct ct_quantize *options = &quantizer->options;
    float unit = ct_quantize_unit(options);
    double largest_scale = value_range * extreme / unit;
    double max_weight = largest_scale * largest_scale * importance;
    for (int i = 0; i <= N_REFITS; i++) {
        enum ct_status status =
            gather_points(quantizer, matrices, n_matrices, i == 0 ? NULL : &quantizer->coder,
                          value_range * unit, max_weight, err);
        if (status != CT_OK)
            return status;
        status = solve_codebook(options, &quantizer->workers[0].points, i > 0 && i < N_REFITS,
                                i == 0 ? N_STARTS : 1, i == 0 ? NULL : codebook->f32, codebook);
        if (status != CT_OK)
            return ct_error_set(err, status, "no memory for K-means");
        ct_coder_init(&quantizer->coder, codebook->f32, 1 << options->bits, unit);
    }
    return CT_OK;
}

static enum ct_status learn_unscaled(struct ct_quantizer *quantizer,
                                     const struct ct_source *matrices, int n_matrices,
                                     double extreme, double importance,
                                     struct ct_codebook *codebook, struct ct_error *err)
{
    const struct ct_quantize *options = &quantizer->options;
    struct ct_points *points = &quantizer->workers[0].points;
    enum ct_status status = gather_points(quantizer, matrices, n_matrices, NULL,
                                          extreme + (extreme == 0), importance, err);
    if (status != CT_OK)
        return status;
    status = options->has_float_centroids
                 ? solve_codebook(options, points, false, N_STARTS, NULL, codebook)
                 : solve_shared_scale(options, points, codebook);
    return status == CT_OK ? CT_OK : ct_error_set(err, status, "no memory for K-means");
}

enum ct_status ct_quantizer_learn(struct ct_quantizer *quantizer, const struct ct_source *matrices,
                                  int n_matrices, struct ct_codebook *codebook,
                                  struct ct_error *err)
{
    double extreme, importance;
    *codebook = (struct ct_codebook){0};
    enum ct_status status =
        find_extremes(quantizer, matrices, n_matrices, &extreme, &importance, err);
    if (status != CT_OK)
        return status;
    return (ct_is_unscaled(&quantizer->options) ? learn_unscaled : learn_scaled)(
        quantizer, matrices, n_matrices, extreme, importance, codebook, err);
}
