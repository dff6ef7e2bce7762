#include "engine/runtime/w8a8.h"

#include "engine/base/f16.h"
#include "engine/runtime/int8_tensor.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
    MOST_SUM = (1 << 24) / 127, /* of a row's |w|: see w8a8.h */
    LEAST_SCALE = 1,            /* f16 bits: the smallest that is not 0 */
};

struct job {
    const struct ct_matrix *in;
    struct ct_clustered *out;
    uint8_t *index;
    uint16_t *scale;
    float *rows; /* [n_workers, k] */
    atomic_bool is_too_large;
};

/* w / scale as integers in -127..127, as floats; returns the sum of their magnitudes. */
static int64_t round_row(const float *w, int64_t k, uint16_t scale, float *q)
{
    const float inverse = 1 / ct_f16_to_f32(scale);
    int64_t sum = 0;
    for (int64_t j = 0; j < k; j++) {
        q[j] = fminf(fmaxf(rintf(w[j] * inverse), -127), 127);
        sum += (int64_t)fabsf(q[j]);
    }
    return sum;
}

/* The row's scale, and the row as integers in q. 0: there is none in f16. */
static uint16_t quantize_row(const float *w, int64_t k, float *q)
{
    float peak = 0;
    for (int64_t j = 0; j < k; j++)
        peak = fmaxf(peak, fabsf(w[j]));
    for (float wanted = peak / 127;;) {
        uint16_t scale = ct_f16_from_f32(wanted);
        scale = scale < LEAST_SCALE ? LEAST_SCALE : scale;
        if (!isfinite(ct_f16_to_f32(scale)))
            return 0;
        const int64_t sum = round_row(w, k, scale, q);
        if (sum <= MOST_SUM)
            return scale;
        wanted = ct_f16_to_f32(scale) * (1.001f * (float)sum / MOST_SUM);
    }
}

static void quantize_rows(void *context, int worker, int n_workers)
{
    struct job *job = context;
    const int64_t n = job->out->n, k = job->out->k;
    float *w = job->rows + 2 * worker * k, *q = w + k;
    int64_t begin, end;
    ct_pool_share(n, CT_TILE_ROWS, worker, n_workers, &begin, &end);
    for (int64_t row = begin; row < end; row++) {
        ct_binding_row(job->in, row, w);
        const uint16_t scale = quantize_row(w, k, q);
        if (scale == 0)
            atomic_store(&job->is_too_large, true);
        job->scale[row] = scale;
        if (scale != 0)
            ct_int8_put_row(job->out, job->index, row, q);
    }
}

static enum ct_status quantize(struct ct_binding *b, const struct ct_int8_codebook *codebook,
                               struct ct_matrix *m, const char *name, struct ct_pool *pool,
                               struct ct_error *err)
{
    struct ct_clustered out;
    struct job job = {
        .in = m,
        .out = &out,
        .index = ct_int8_clustered_make(m->n, m->k, codebook, b, &out),
        .scale = ct_binding_own(b, ct_clustered_scale_bytes(&out)),
        .rows = malloc((size_t)(2 * ct_pool_n_workers(pool) * m->k) * sizeof *job.rows),
    };
    enum ct_status status = CT_OK;
    if (job.index == NULL || job.scale == NULL || job.rows == NULL) {
        status = ct_error_set(err, CT_MEMORY, "%s: no memory for it in int8", name);
        goto out;
    }
    memset(job.scale, 0, ct_clustered_scale_bytes(&out));
    ct_pool_run(pool, quantize_rows, &job);
    if (atomic_load(&job.is_too_large))
        status =
            ct_error_set(err, CT_UNSUPPORTED, "%s: a row is too large for a scale in f16", name);
    out.scale = job.scale;
    ct_int8_replace(m, &out);
out:
    free(job.rows);
    return status;
}

enum ct_status ct_w8a8_bind(struct ct_binding *b, const struct ct_graph *graph,
                            struct ct_pool *pool, struct ct_error *err)
{
    const struct ct_int8_codebook *codebook = ct_int8_codebook_make(b);
    if (codebook == NULL)
        return ct_error_set(err, CT_MEMORY, "no memory for weights in int8");
    enum ct_status status = CT_OK;
    ct_pool_enter(pool);
    for (int i = 0; i < graph->n_nodes && status == CT_OK; i++) {
        const struct ct_node *node = &graph->nodes[i];
        for (int j = 0; node->op == CT_OP_LINEAR && j < node->n_weights && status == CT_OK; j++) {
            struct ct_matrix *m = &b->matrices[node->weights[j]];
            if (m->clustered.codebook_i8 != codebook->i8) /* a slot may serve twice */
                status = quantize(b, codebook, m, graph->slots[node->weights[j]].name, pool, err);
        }
    }
    ct_pool_leave(pool);
    return status;
}
