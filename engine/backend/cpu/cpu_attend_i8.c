/* Attention in W8A8 with keys and values in int8, or with keys and values of static scales (struct
 * ct_integer): both of its products are sums of integers, which an array of int8 has to the bit.
 *
 * In W8A8 the softmax is of floats:
 *
 *   dot[s]   = sum over d of q[d] k[s][d]                     q: int8 with one scale a (row, head)
 *   p[s]     = softmax of dot[s] * q's scale * k's scale of s / sqrt(D) (+ bias)
 *   w[s]     = p[s] * v's scale of s, as int8 with one scale for all s
 *   out[d]   = sum over s of w[s] v[s][d], times w's scale
 *
 * With static scales it is one of integers too (softmax_i8), as all keys share a scale:
 *
 *   w[s]     = softmax of dot[s] (+ bias), in int8
 *   out[d]   = sum over s of w[s] v[s][d], stored as int8; or, of a generator, times v's scale / sum of w
 *
 * A worker takes all keys of a (row, head), so that how rows are cut or shared changes nothing. */
#include "engine/backend/cpu/cpu_ops.h"

#include <math.h>
#include <string.h>

static const float most_bias = 1 << 24; /* in steps of a score */

/* A worker's place: [n_keys] weights as floats and as int8, then sums and the query [D]. */
struct workspace {
    float *score;
    int32_t *sum;
    int8_t *weight, *q;
};

static int64_t padded(int64_t n)
{
    return (n + CT_PAGE_TOK - 1) / CT_PAGE_TOK * CT_PAGE_TOK;
}

static int64_t worker_floats(const struct ct_cpu *cpu)
{
    const int64_t n_keys = padded(cpu->context_tok), D = padded(cpu->graph->heads.head_dim);
    return n_keys + n_keys / 4 + D + D / 4;
}

bool ct_cpu_has_integer_attention(const struct ct_cpu *cpu)
{
    return cpu->is_token_i8 && cpu->is_kv_i8;
}

int64_t ct_cpu_integer_floats(const struct ct_cpu *cpu, int n_threads)
{
    return n_threads * worker_floats(cpu);
}

static struct workspace workspace_of(const struct ct_cpu_walk *walk)
{
    const struct ct_cpu *cpu = walk->cpu;
    const int64_t n_keys = padded(cpu->context_tok), D = padded(cpu->graph->heads.head_dim);
    float *place = cpu->spans + walk->worker * worker_floats(cpu);
    return (struct workspace){.score = place,
                              .sum = (int32_t *)(place + n_keys),
                              .weight = (int8_t *)(place + n_keys + D),
                              .q = (int8_t *)(place + n_keys + D) + n_keys};
}

/* A query of row t, and what it sees. */
struct query {
    int64_t t, n_keys;
    int head;
    size_t place;      /* of its KV head in a page */
    const float *bias; /* [n_keys], or NULL */
};

static struct query query_of(const struct ct_cpu_walk *walk, const struct ct_node *node, int64_t t,
                             int head)
{
    const struct ct_cpu *cpu = walk->cpu;
    const struct ct_heads *heads = &cpu->graph->heads;
    const struct ct_batch *batch = walk->batch;
    return (struct query){
        .t = t,
        .n_keys = cpu->graph->is_encoder ? batch->lengths[t] : batch->positions[t] + 1,
        .head = head,
        .place = ct_cpu_head_place(cpu, node, head / (heads->n_heads / heads->n_kv_heads)),
        .bias = node->n_weights > 0
                    ? cpu->bias + (2 * head + 1) * cpu->context_tok - batch->positions[t]
                    : NULL,
    };
}

/* Page s / CT_PAGE_TOK of the query's keys; values are ct_cpu_part_elements behind. */
static const uint16_t *page_of(const struct ct_cpu_walk *walk, const struct query *q, int64_t s)
{
    return walk->batch->pages[q->t][s / CT_PAGE_TOK] + q->place;
}

/* w->sum = the sum of the values, each times its weight. */
static void add_values(const struct ct_cpu_walk *walk, const struct query *q,
                       const struct workspace *w)
{
    const int D = walk->cpu->graph->heads.head_dim;
    memset(w->sum, 0, (size_t)D * sizeof *w->sum);
    for (int64_t s = 0; s < q->n_keys; s += CT_PAGE_TOK) {
        const uint16_t *values = page_of(walk, q, s) + ct_cpu_part_elements(walk->cpu);
        const int64_t n_left = q->n_keys - s;
        walk->cpu->kernels->add_rows_i8(w->weight + s, (const int8_t *)values,
                                        n_left < CT_PAGE_TOK ? n_left : CT_PAGE_TOK, D, w->sum);
    }
}

static void attend(const struct ct_cpu_walk *walk, const struct ct_node *node,
                   const struct query *q)
{
    const struct ct_cpu *cpu = walk->cpu;
    const struct workspace w = workspace_of(walk);
    const int D = cpu->graph->heads.head_dim;
    float q_scale, w_scale, *out = ct_cpu_row(cpu, node->out, q->t) + q->head * D;
    cpu->kernels->quantize_row_i8(ct_cpu_row(cpu, node->in, q->t) + q->head * D, D, w.q, &q_scale);
    const float factor = q_scale / sqrtf((float)D);
    for (int64_t s = 0; s < q->n_keys; s += CT_PAGE_TOK) {
        const uint16_t *page = page_of(walk, q, s);
        int32_t dot[CT_PAGE_TOK];
        float scales[CT_PAGE_TOK];
        cpu->kernels->f32_from_f16(ct_kv_scales(page, D), CT_PAGE_TOK, scales);
        cpu->kernels->dot_page_i8(w.q, (const int8_t *)page, D, dot);
        for (int i = 0; i < CT_PAGE_TOK; i++)
            w.score[s + i] = (float)dot[i] * (factor * scales[i]);
    }
    if (q->bias != NULL)
        cpu->kernels->add(q->bias, q->n_keys, w.score);
    cpu->kernels->softmax(w.score, q->n_keys);
    for (int64_t s = 0; s < q->n_keys; s += CT_PAGE_TOK) {
        const uint16_t *values = page_of(walk, q, s) + ct_cpu_part_elements(cpu);
        float scales[CT_PAGE_TOK]; /* behind n_keys any: scores have room for a whole page */
        cpu->kernels->f32_from_f16(ct_kv_scales(values, D), CT_PAGE_TOK, scales);
        for (int i = 0; i < CT_PAGE_TOK; i++)
            w.score[s + i] *= scales[i];
    }
    cpu->kernels->quantize_row_i8(w.score, q->n_keys, w.weight, &w_scale);
    add_values(walk, q, &w);
    for (int d = 0; d < D; d++)
        out[d] = (float)w.sum[d] * w_scale;
}

void ct_cpu_store_static(const struct ct_integer *integer, const float *k, const float *v, int D,
                         int8_t *k_i8, int8_t *v_i8)
{
    const float k_step = integer->kv_step[0], v_step = integer->kv_step[1];
    for (int d = 0; d < D; d++) {
        k_i8[d * CT_PAGE_TOK] = (int8_t)(k_step > 0 ? ct_cpu_whole_i8(k[d] / k_step) : k[d]);
        v_i8[d] = (int8_t)(v_step > 0 ? ct_cpu_whole_i8(v[d] / v_step) : v[d]);
    }
}

/* The query as int8; returns what 1 of its products with keys stands for. Of a query of floats that is at
 * least so much that n_keys exponentials stay within int32. */
static float read_query(const struct ct_integer *integer, const float *in, int D, int64_t n_keys,
                        int8_t *q)
{
    if (integer->kv_step[0] == 0) {
        for (int d = 0; d < D; d++)
            q[d] = (int8_t)in[d];
        return integer->unit;
    }
    const float per_step = integer->kv_step[0] / sqrtf((float)D);
    float step = ct_softmax_least_unit(n_keys) / per_step;
    for (int d = 0; d < D; d++)
        step = fmaxf(step, fabsf(in[d]) / 127);
    for (int d = 0; d < D; d++)
        q[d] = (int8_t)ct_cpu_whole_i8(in[d] / step);
    return step * per_step;
}

static void attend_static(const struct ct_cpu_walk *walk, const struct ct_node *node,
                          const struct query *q)
{
    const struct ct_cpu *cpu = walk->cpu;
    const struct workspace w = workspace_of(walk);
    const struct ct_integer *integer = &node->integer;
    const int D = cpu->graph->heads.head_dim;
    const float *in = ct_cpu_row(cpu, node->in, q->t) + q->head * D;
    float *out = ct_cpu_row(cpu, node->out, q->t) + q->head * D;
    int32_t *score = (int32_t *)w.score;
    const float unit = read_query(integer, in, D, q->n_keys, w.q);
    for (int64_t s = 0; s < q->n_keys; s += CT_PAGE_TOK)
        cpu->kernels->dot_page_i8(w.q, (const int8_t *)page_of(walk, q, s), D, score + s);
    for (int64_t s = 0; s < q->n_keys && q->bias != NULL; s++)
        score[s] += (int32_t)fminf(fmaxf(rintf(q->bias[s] / integer->unit), -most_bias), most_bias);
    cpu->kernels->softmax_i8(score, q->n_keys, unit, w.weight);
    add_values(walk, q, &w);
    if (integer->kv_step[1] == 0) {
        for (int d = 0; d < D; d++)
            out[d] = (float)w.sum[d];
        cpu->kernels->store_i8(out, NULL, D, integer->scale[0]);
        return;
    }
    int32_t sum = 0; /* not quite 127, as each weight is rounded */
    for (int64_t s = 0; s < q->n_keys; s++)
        sum += w.weight[s];
    const float step = sum > 0 ? integer->kv_step[1] / (float)sum : 0;
    for (int d = 0; d < D; d++)
        out[d] = (float)w.sum[d] * step;
}

void ct_cpu_attend_integers(struct ct_cpu_walk *walk, const struct ct_node *node)
{
    const int n_heads = walk->cpu->graph->heads.n_heads;
    for (int64_t i = walk->worker; i < (int64_t)walk->batch->n_rows * n_heads;
         i += walk->n_workers) {
        const struct query q = query_of(walk, node, i / n_heads, (int)(i % n_heads));
        if (node->integer.is_on)
            attend_static(walk, node, &q);
        else
            attend(walk, node, &q);
    }
}
