#include "engine/runtime/peaks.h"

#include "engine/runtime/engine_internal.h"
#include "engine/runtime/scales.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct ct_peaks {
    struct ct_peak *slots; /* [n_slots] */
    float *before; /* what a product is added to: as many floats as the widest value's rows have */
};

/* A value's rows in this step. */
struct rows {
    const float *x;
    int64_t n, width, ld;
};

static struct rows rows_of(const struct ct_engine *engine, const struct ct_batch *batch, int value)
{
    const struct ct_value *v = &engine->graph.values[value];
    struct rows rows = {.width = v->width,
                        .n = v->rows == CT_ROWS_LOGITS ? batch->n_logits : batch->n_rows};
    rows.x = engine->backend->ops->value(engine->backend, value, &rows.ld);
    return rows;
}

static void raise_peak(float *peak, float size)
{
    *peak = fmaxf(*peak, size); /* of a number and NAN, the number */
}

/* The largest |x - before| of columns [first, first + width); before [n, width] may be NULL. */
static float largest(const struct rows *rows, int64_t first, int64_t width, const float *before)
{
    float peak = 0;
    for (int64_t t = 0; t < rows->n; t++)
        for (int64_t j = first; j < first + width; j++) {
            const float from = before != NULL ? before[t * rows->width + j] : 0;
            peak = fmaxf(peak, fabsf(rows->x[t * rows->ld + j] - from));
        }
    return peak;
}

/* A norm's input: how far rows spread, and how far a value is from its row's mean in such spreads. */
static void observe_norm(const struct rows *rows, struct ct_peak *peak)
{
    for (int64_t t = 0; t < rows->n; t++) {
        const float *x = rows->x + t * rows->ld;
        double mean = 0, square = 0, farthest = 0;
        for (int64_t j = 0; j < rows->width; j++)
            mean += x[j];
        mean /= (double)rows->width;
        for (int64_t j = 0; j < rows->width; j++) {
            const double d = x[j] - mean;
            square += d * d;
            farthest = fmax(farthest, fabs(d));
        }
        const double deviation = sqrt(square / (double)rows->width);
        raise_peak(&peak->input, (float)deviation);
        if (deviation > 0)
            raise_peak(&peak->output, (float)(farthest / deviation));
    }
}

/* Keys behind their rotation count as what their matrix gives. */
static void observe_keys(struct ct_engine *engine, const struct ct_batch *batch,
                         const struct ct_node *node)
{
    const struct ct_heads *heads = &engine->graph.heads;
    const int64_t D = heads->head_dim;
    const struct rows qkv = rows_of(engine, batch, node->in);
    const struct ct_node *linear = node - 1;
    while (linear > engine->graph.nodes && (linear->op != CT_OP_LINEAR || linear->out != node->in))
        linear--;
    if (linear->n_weights == 3)
        raise_peak(&engine->peaks->slots[linear->weights[1]].output,
                   largest(&qkv, heads->n_heads * D, heads->n_kv_heads * D, NULL));
}

static void observe_before(struct ct_engine *engine, const struct ct_batch *batch,
                           const struct ct_node *node)
{
    struct ct_peaks *peaks = engine->peaks;
    if (node->op == CT_OP_LAYERNORM) {
        const struct rows in = rows_of(engine, batch, node->in);
        observe_norm(&in, &peaks->slots[node->weights[0]]);
    }
    if (node->op == CT_OP_ATTEND)
        observe_keys(engine, batch, node);
    if (node->op != CT_OP_LINEAR)
        return;
    const struct rows in = rows_of(engine, batch, node->in);
    const float peak = largest(&in, 0, in.width, NULL);
    for (int i = 0; i < node->n_weights; i++)
        raise_peak(&peaks->slots[node->weights[i]].input, peak);
    const struct rows out = rows_of(engine, batch, node->out);
    for (int64_t t = 0; t < out.n && node->is_added; t++)
        memcpy(peaks->before + t * out.width, out.x + t * out.ld,
               (size_t)out.width * sizeof *out.x);
}

static void observe_after(struct ct_engine *engine, const struct ct_batch *batch,
                          const struct ct_node *node)
{
    const struct ct_graph *graph = &engine->graph;
    struct ct_peaks *peaks = engine->peaks;
    if (node->op == CT_OP_LINEAR) {
        const struct rows out = rows_of(engine, batch, node->out);
        int64_t first = 0;
        for (int i = 0; i < node->n_weights; i++) {
            const int64_t n = graph->slots[node->weights[i]].n;
            raise_peak(&peaks->slots[node->weights[i]].output,
                       largest(&out, first, n, node->is_added ? peaks->before : NULL));
            first += n;
        }
    }
    if (node->op == CT_OP_ADDSCALED) {
        const struct rows in = rows_of(engine, batch, node->in);
        const float *weight = engine->binding.matrices[node->weights[0]].vector;
        for (int64_t j = 0; j < in.width; j++)
            raise_peak(&peaks->slots[node->weights[0]].output,
                       fabsf(weight[j]) * largest(&in, j, 1, NULL));
    }
}

void ct_peaks_run(struct ct_engine *engine, const struct ct_batch *batch)
{
    for (int i = 0; i < engine->graph.n_nodes; i++) {
        const struct ct_node *node = &engine->graph.nodes[i];
        observe_before(engine, batch, node);
        engine->backend->ops->run(engine->backend, batch, i, i + 1);
        observe_after(engine, batch, node);
    }
}

enum ct_status ct_peaks_open(struct ct_engine *engine, struct ct_error *err)
{
    const struct ct_graph *graph = &engine->graph;
    struct ct_peaks *peaks = calloc(1, sizeof *peaks);
    if (peaks == NULL)
        goto out;
    engine->peaks = peaks;
    const int64_t rows = engine->info.max_step_tok > engine->info.max_step_logits
                             ? engine->info.max_step_tok
                             : engine->info.max_step_logits;
    int64_t width = 0;
    for (int i = 0; i < graph->n_nodes; i++)
        if (graph->nodes[i].is_added && graph->values[graph->nodes[i].out].width > width)
            width = graph->values[graph->nodes[i].out].width;
    peaks->slots = malloc(((size_t)graph->n_slots + 1) * sizeof *peaks->slots);
    peaks->before = malloc((size_t)(rows * width + 1) * sizeof *peaks->before);
    if (peaks->slots == NULL || peaks->before == NULL)
        goto out;
    for (int i = 0; i < graph->n_slots; i++)
        peaks->slots[i] = (struct ct_peak){NAN, NAN};
    return CT_OK;
out:
    ct_peaks_close(peaks);
    engine->peaks = NULL;
    return ct_error_set(err, CT_MEMORY, "no memory to observe steps");
}

void ct_peaks_close(struct ct_peaks *peaks)
{
    if (peaks == NULL)
        return;
    free(peaks->slots);
    free(peaks->before);
    free(peaks);
}

enum ct_status ct_peaks_write(const struct ct_engine *engine, const char *dir, struct ct_error *err)
{
    return ct_scales_write(dir, &engine->graph, engine->peaks->slots, err);
}
