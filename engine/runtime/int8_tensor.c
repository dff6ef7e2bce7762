#include "engine/runtime/int8_tensor.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    MOST_SUM = (1 << 24) / 128, /* of a row's |w_q| */
    MOST_BIAS = 1 << 30,
};

struct job {
    const struct ct_int8_tensor *tensor;
    float *rows;   /* [n, k]: the weights with what goes into them */
    double *added; /* [n]: what a shift adds to the bias */
    float *peaks;  /* [n] */
    double *sums;  /* [n]: of |w| */
};

const struct ct_int8_codebook *ct_int8_codebook_make(struct ct_binding *binding)
{
    struct ct_int8_codebook *codebook = ct_binding_own(binding, sizeof *codebook);
    for (int i = 0; i < 256 && codebook != NULL; i++)
        codebook->f32[i] = codebook->i8[i] = (int8_t)(i - 128);
    return codebook;
}

uint8_t *ct_int8_clustered_make(int64_t n, int64_t k, const struct ct_int8_codebook *codebook,
                                struct ct_binding *binding, struct ct_clustered *out)
{
    *out = (struct ct_clustered){.n = n,
                                 .k = k,
                                 .bits = 8,
                                 .codebook_i8 = codebook->i8,
                                 .codebook_f32 = codebook->f32,
                                 .n_codebooks = 1};
    out->group = (int)(ct_clustered_tiles_k(out) * CT_TILE_COLS);
    const size_t n_bytes = ct_clustered_index_bytes(out) + CT_CLUSTERED_SLACK;
    uint8_t *index = ct_binding_own(binding, n_bytes);
    if (index != NULL)
        memset(index, 128, n_bytes);
    out->index = index;
    return index;
}

void ct_int8_put_row(const struct ct_clustered *out, uint8_t *index, int64_t r, const float *q)
{
    uint8_t *tile = index + r / CT_TILE_ROWS * ct_clustered_tiles_k(out) * CT_TILE_INDICES;
    for (int64_t j = 0; j < out->k; j++)
        tile[j / CT_TILE_COLS * CT_TILE_INDICES + r % CT_TILE_ROWS * CT_TILE_COLS +
             j % CT_TILE_COLS] = (uint8_t)((int)q[j] + 128);
}

void ct_int8_replace(struct ct_matrix *matrix, const struct ct_clustered *made)
{
    matrix->kind = CT_MATRIX_CLUSTERED;
    matrix->clustered = *made;
    matrix->n_bytes = ct_clustered_n_bytes(made);
}

static void read_rows(void *context, int worker, int n_workers)
{
    struct job *job = context;
    const struct ct_int8_tensor *t = job->tensor;
    const int64_t k = t->matrix->k;
    int64_t begin, end;
    ct_pool_share(t->matrix->n, 1, worker, n_workers, &begin, &end);
    for (int64_t r = begin; r < end; r++) {
        float *w = job->rows + r * k, peak = 0;
        const float behind = t->behind != NULL ? t->behind[r] : 1;
        double added = 0, sum = 0;
        ct_binding_row(t->matrix, r, w);
        for (int64_t j = 0; j < k; j++) {
            if (t->shift != NULL)
                added += (double)w[j] * t->shift[j];
            w[j] *= t->before != NULL ? behind * t->before[j] : behind;
            peak = fmaxf(peak, fabsf(w[j]));
            sum += fabsf(w[j]);
        }
        job->added[r] = added;
        job->peaks[r] = peak;
        job->sums[r] = sum;
    }
}

/* The tensor's scale: its largest |w| is 127, or less where a row's sum would be too large. */
static float find_scale(const struct job *job)
{
    const int64_t n = job->tensor->matrix->n, k = job->tensor->matrix->k;
    float scale = 0;
    for (int64_t r = 0; r < n; r++) {
        if (!isfinite(job->sums[r]))
            return NAN;
        /* Rounding adds half a unit a weight at most. */
        const double by_sum = job->sums[r] / ((double)MOST_SUM - 0.5 * (double)k);
        scale = fmaxf(scale, fmaxf(job->peaks[r] / 127, (float)by_sum));
    }
    return scale > 0 ? scale : 1;
}

/* The rows become whole numbers, which go into out. */
static void round_rows(const struct job *job, const struct ct_clustered *out, uint8_t *index)
{
    for (int64_t r = 0; r < out->n; r++) {
        float *row = job->rows + r * out->k;
        for (int64_t j = 0; j < out->k; j++)
            row[j] = fminf(fmaxf(rintf(row[j] / job->tensor->w_scale), -127), 127);
        ct_int8_put_row(out, index, r, row);
    }
}

static enum ct_status round_bias(const struct job *job, float *bias, struct ct_error *err)
{
    const struct ct_int8_tensor *t = job->tensor;
    const double unit = (double)t->w_scale * t->x_scale;
    for (int64_t r = 0; r < t->matrix->n; r++) {
        const double behind = t->behind != NULL ? t->behind[r] : 1;
        const double own = t->bias != NULL ? t->bias[r] : 0;
        bias[r] = (float)rint(behind * (own + job->added[r]) / unit);
        if (!(fabsf(bias[r]) <= MOST_BIAS))
            return ct_error_set(err, CT_UNSUPPORTED, "%s: bias %lld is %g in units of its products",
                                t->name, (long long)r, (double)bias[r]);
    }
    return CT_OK;
}

/* Puts the rounded weights and bias into memory of the binding. */
static enum ct_status bind(const struct job *job, struct ct_int8_tensor *t,
                           const struct ct_int8_codebook *codebook, struct ct_binding *binding,
                           struct ct_error *err)
{
    const bool has_bias = t->bias != NULL || t->shift != NULL;
    struct ct_matrix *m = t->matrix;
    struct ct_clustered out;
    uint8_t *index = ct_int8_clustered_make(m->n, m->k, codebook, binding, &out);
    float *bias = has_bias ? ct_binding_own(binding, (size_t)m->n * sizeof *bias) : NULL;
    if (index == NULL || (bias == NULL && has_bias))
        return ct_error_set(err, CT_MEMORY, "%s: no memory for it in int8", t->name);
    round_rows(job, &out, index);
    enum ct_status status = bias != NULL ? round_bias(job, bias, err) : CT_OK;
    if (status != CT_OK)
        return status;
    ct_int8_replace(m, &out);
    t->bias_q = bias;
    return CT_OK;
}

enum ct_status ct_int8_tensor_make(struct ct_int8_tensor *t,
                                   const struct ct_int8_codebook *codebook,
                                   struct ct_binding *binding, struct ct_pool *pool,
                                   struct ct_error *err)
{
    const size_t n = (size_t)t->matrix->n, k = (size_t)t->matrix->k;
    struct job job = {
        .tensor = t,
        .rows = malloc(n * k * sizeof *job.rows),
        .added = malloc(n * sizeof *job.added),
        .peaks = malloc(n * sizeof *job.peaks),
        .sums = malloc(n * sizeof *job.sums),
    };
    enum ct_status status = CT_OK;
    if (job.rows == NULL || job.added == NULL || job.peaks == NULL || job.sums == NULL) {
        status = ct_error_set(err, CT_MEMORY, "%s: no memory to make it int8", t->name);
        goto out;
    }
    ct_pool_run(pool, read_rows, &job);
    t->w_scale = find_scale(&job);
    if (isfinite(t->w_scale))
        status = bind(&job, t, codebook, binding, err);
    else
        status = ct_error_set(err, CT_UNSUPPORTED, "%s: not all weights are numbers", t->name);
out:
    free(job.rows);
    free(job.added);
    free(job.peaks);
    free(job.sums);
    return status;
}
