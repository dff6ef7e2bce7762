/* Attention in W8A8 with keys and values in int8: both of its products are sums of integers, which an
 * array of int8 has to the bit.
 *
 *   dot[s]   = sum over d of q[d] k[s][d]                     q: int8 with one scale a (row, head)
 *   p[s]     = softmax of dot[s] * q's scale * k's scale of s / sqrt(D) (+ bias)
 *   w[s]     = p[s] * v's scale of s, as int8 with one scale for all s
 *   out[d]   = sum over s of w[s] v[s][d], times w's scale
 *
 * A worker takes all keys of a (row, head), so that how rows are cut or shared changes nothing. */
#include "engine/backend/cpu/cpu_ops.h"

#include "engine/base/f16.h"

#include <math.h>
#include <string.h>

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

/* A product of two of -127..127 fits int16, in which compilers multiply eight at a time. */
static int16_t product(int8_t a, int8_t b)
{
    return (int16_t)(a * b);
}

/* score[s] of the 64 keys k [D, 64]. */
static void score_page(const int8_t *q, const int8_t *k, const uint16_t *scales, int D,
                       float factor, float *score)
{
    int32_t dot[CT_PAGE_TOK] = {0};
    for (int d = 0; d < D; d++)
        for (int s = 0; s < CT_PAGE_TOK; s++)
            dot[s] += product(q[d], k[d * CT_PAGE_TOK + s]);
    for (int s = 0; s < CT_PAGE_TOK; s++)
        score[s] = (float)dot[s] * (factor * ct_f16_to_f32(scales[s]));
}

/* Query head `head` of row t. */
static void attend(const struct ct_cpu_walk *walk, const struct ct_node *node, int64_t t, int head)
{
    const struct ct_cpu *cpu = walk->cpu;
    const struct ct_heads *heads = &cpu->graph->heads;
    const struct ct_batch *batch = walk->batch;
    const struct workspace w = workspace_of(walk);
    const int D = heads->head_dim, kv_head = head / (heads->n_heads / heads->n_kv_heads);
    const int64_t n_keys = cpu->graph->is_encoder ? batch->lengths[t] : batch->positions[t] + 1;
    const size_t place = ct_cpu_head_place(cpu, node, kv_head);
    float q_scale, w_scale, *out = ct_cpu_row(cpu, node->out, t) + head * D;
    ct_cpu_quantize_token(ct_cpu_row(cpu, node->in, t) + head * D, D, w.q, &q_scale);
    for (int64_t s = 0; s < n_keys; s += CT_PAGE_TOK) {
        const uint16_t *page = batch->pages[t][s / CT_PAGE_TOK] + place;
        score_page(w.q, (const int8_t *)page, ct_kv_scales(page, D), D, q_scale / sqrtf((float)D),
                   w.score + s);
    }
    if (node->n_weights > 0)
        cpu->kernels->add(cpu->bias + (2 * head + 1) * cpu->context_tok - batch->positions[t],
                          n_keys, w.score);
    cpu->kernels->softmax(w.score, n_keys);
    for (int64_t s = 0; s < n_keys; s++) {
        const uint16_t *values =
            batch->pages[t][s / CT_PAGE_TOK] + place + ct_cpu_part_elements(cpu);
        w.score[s] *= ct_f16_to_f32(ct_kv_scales(values, D)[s % CT_PAGE_TOK]);
    }
    ct_cpu_quantize_token(w.score, n_keys, w.weight, &w_scale);
    memset(w.sum, 0, (size_t)D * sizeof *w.sum);
    for (int64_t s = 0; s < n_keys; s++) {
        const int8_t *v =
            (const int8_t *)(batch->pages[t][s / CT_PAGE_TOK] + place + ct_cpu_part_elements(cpu)) +
            s % CT_PAGE_TOK * D;
        for (int d = 0; d < D; d++)
            w.sum[d] += product(w.weight[s], v[d]);
    }
    for (int d = 0; d < D; d++)
        out[d] = (float)w.sum[d] * w_scale;
}

void ct_cpu_attend_integers(struct ct_cpu_walk *walk, const struct ct_node *node)
{
    const int n_heads = walk->cpu->graph->heads.n_heads;
    for (int64_t i = walk->worker; i < (int64_t)walk->batch->n_rows * n_heads; i += walk->n_workers)
        attend(walk, node, i / n_heads, (int)(i % n_heads));
}
