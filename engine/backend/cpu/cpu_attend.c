/* Rotary positions, new keys and values, and attention.
 *
 * A session's keys are cut into spans of SPAN_TOK positions, always at the same places, and what a query
 * takes from each span is brought together in their order (the split of "Flash-Decoding", Dao et al.,
 * 2023): so a token's result does not depend on how its prompt was cut or on who does what. In a step of
 * few rows the spans of all rows and heads are dealt out to the workers, which keeps them all busy when a
 * session is long; otherwise a worker takes all spans of a (row, head). In an encoder all rows of a
 * sequence see the same keys: there a block of rows goes through a head's keys together.
 *
 *   cpu->spans: for each (row, KV head) of a step of few rows, or each worker:
 *       [spans]{ out [n_rep, D], peak [n_rep], sum [n_rep] }
 *   of an encoder, for each worker: queries and results of a block, [2, CT_MAX_REP, D] */
#include "engine/backend/cpu/cpu_ops.h"

#include "engine/base/f16.h"

#include <math.h>
#include <string.h>

enum {
    SPAN_PAGES = 2,
    SPAN_TOK = SPAN_PAGES * CT_PAGE_TOK,
    BLOCK_ROWS =
        15, /* of an encoder: whole threes, which kernels take at a time, up to CT_MAX_REP */
};

static int n_rep_of(const struct ct_cpu *cpu)
{
    return cpu->graph->heads.n_heads / cpu->graph->heads.n_kv_heads;
}

/* The floats of one span's result, and of all that a (row, KV head) can have. */
static int64_t span_floats(const struct ct_cpu *cpu)
{
    return (int64_t)n_rep_of(cpu) * (cpu->graph->heads.head_dim + 2);
}

static int64_t slot_floats(const struct ct_cpu *cpu)
{
    return (cpu->context_tok + SPAN_TOK - 1) / SPAN_TOK * span_floats(cpu);
}

int64_t ct_cpu_span_floats(const struct ct_cpu *cpu, int n_threads)
{
    if (ct_cpu_has_integer_attention(cpu))
        return ct_cpu_integer_floats(cpu, n_threads);
    if (cpu->graph->is_encoder)
        return (int64_t)n_threads * 2 * CT_MAX_REP * cpu->graph->heads.head_dim;
    const int64_t n_few = (int64_t)CT_CPU_FEW_ROWS * cpu->graph->heads.n_kv_heads;
    return (n_few > n_threads ? n_few : n_threads) * slot_floats(cpu);
}

int64_t ct_cpu_bias_floats(const struct ct_cpu *cpu)
{
    const struct ct_graph *g = cpu->graph;
    for (int i = 0; i < g->n_nodes; i++)
        if (g->nodes[i].op == CT_OP_ATTEND && g->nodes[i].n_weights > 0)
            return 2 * cpu->context_tok * g->heads.n_heads;
    return 0;
}

void ct_cpu_rotate(struct ct_cpu_walk *walk, const struct ct_node *node)
{
    struct ct_cpu *cpu = walk->cpu;
    const struct ct_heads *heads = &cpu->graph->heads;
    const int half = heads->head_dim / 2;
    int64_t begin, end;
    ct_cpu_begin_rows(walk, node->out, &begin, &end);
    for (int64_t t = begin; t < end; t++)
        cpu->kernels->rope(ct_cpu_row(cpu, node->out, t), heads->n_heads + heads->n_kv_heads,
                           heads->head_dim, cpu->cos + t * half, cpu->sin + t * half);
}

/* Elements of a KV head's keys, or values, in a page. */
size_t ct_cpu_part_elements(const struct ct_cpu *cpu)
{
    return ct_page_part_elements(&cpu->graph->heads, cpu->is_kv_i8);
}

/* Where a KV head of a layer begins in a page. */
size_t ct_cpu_head_place(const struct ct_cpu *cpu, const struct ct_node *node, int kv_head)
{
    const size_t n_heads = (size_t)cpu->graph->heads.n_kv_heads;
    return ((size_t)node->layer * n_heads + (size_t)kv_head) * 2 * ct_cpu_part_elements(cpu);
}

static float *key_of(const struct ct_cpu_walk *walk, const struct ct_node *node, int64_t t,
                     int kv_head)
{
    const struct ct_heads *heads = &walk->cpu->graph->heads;
    return ct_cpu_row(walk->cpu, node->in, t) + (heads->n_heads + kv_head) * heads->head_dim;
}

/* A key or value x [D] as int8, its elements `stride` apart; returns the scale, in f16. */
static uint16_t quantize_kv(const float *x, int D, int8_t *out, int stride)
{
    float peak = 0;
    for (int d = 0; d < D; d++)
        peak = fmaxf(peak, fabsf(x[d]));
    const uint16_t scale = ct_f16_from_f32(peak / 127);
    const float step = ct_f16_to_f32(scale), inverse = step > 0 ? 1 / step : 0;
    for (int d = 0; d < D; d++)
        out[d * stride] = (int8_t)fmaxf(-127, fminf(127, rintf(x[d] * inverse)));
    return scale;
}

/* The key and value of KV head `kv_head` of row t, from [q | k | v], into its session's page. */
static void store_kv(const struct ct_cpu_walk *walk, const struct ct_node *node, int64_t t,
                     int kv_head)
{
    const struct ct_cpu *cpu = walk->cpu;
    const struct ct_heads *heads = &cpu->graph->heads;
    const int D = heads->head_dim, position = walk->batch->positions[t];
    const float *k = key_of(walk, node, t, kv_head);
    const float *v = k + heads->n_kv_heads * D;
    const int place = position % CT_PAGE_TOK;
    uint16_t *page =
        walk->batch->pages[t][position / CT_PAGE_TOK] + ct_cpu_head_place(cpu, node, kv_head);
    uint16_t *values = page + ct_cpu_part_elements(cpu);
    if (cpu->is_kv_i8) {
        int8_t *k_i8 = (int8_t *)page + place, *v_i8 = (int8_t *)values + place * D;
        uint16_t *scales = page + D / 2 * CT_PAGE_TOK + place;
        if (node->integer.is_on) { /* a scale for all */
            ct_cpu_store_static(&node->integer, k, v, D, k_i8, v_i8);
            return;
        }
        scales[0] = quantize_kv(k, D, k_i8, CT_PAGE_TOK);
        scales[ct_cpu_part_elements(cpu)] = quantize_kv(v, D, v_i8, 1);
        return;
    }
    for (int d = 0; d < D; d++)
        page[d * CT_PAGE_TOK + place] = ct_f16_from_f32(k[d]);
    cpu->kernels->f16_from_f32(v, D, values + place * D);
}

static int64_t count_spans(const struct ct_cpu_walk *walk, int64_t t)
{
    return walk->batch->positions[t] / SPAN_TOK + 1;
}

/* All query heads q [n_rep, D] that share KV head `kv_head`, for row t and one span; out is [n_rep, D],
 * peak and sum go where the span's result has them. The worker's next span of these is `next`. */
static void attend_span(const struct ct_cpu_walk *walk, const struct ct_node *node, int64_t t,
                        int kv_head, int64_t span, int64_t next, const float *q, float *result,
                        float *out)
{
    const struct ct_cpu *cpu = walk->cpu;
    const int D = cpu->graph->heads.head_dim, n_rep = n_rep_of(cpu);
    const int64_t n_left = walk->batch->positions[t] + 1 - span * SPAN_TOK;
    const size_t head = ct_cpu_head_place(cpu, node, kv_head);
    const void *k_pages[SPAN_PAGES], *v_pages[SPAN_PAGES];
    for (int p = 0; p < SPAN_PAGES && p * CT_PAGE_TOK < n_left; p++) {
        const uint16_t *keys = walk->batch->pages[t][span * SPAN_PAGES + p] + head;
        k_pages[p] = keys;
        v_pages[p] = keys + ct_cpu_part_elements(cpu);
    }
    const struct ct_attention job = {
        .q = q,
        .n_rep = n_rep,
        .head_dim = D,
        .n_keys = n_left < SPAN_TOK ? n_left : SPAN_TOK,
        .is_i8 = cpu->is_kv_i8,
        .k_pages = k_pages,
        .v_pages = v_pages,
        .scale = 1.0f / sqrtf((float)D),
        .out = out,
        .peak = result + n_rep * D,
        .sum = result + n_rep * (D + 1),
        .ahead =
            next < count_spans(walk, t) ? walk->batch->pages[t][next * SPAN_PAGES] + head : NULL,
    };
    cpu->kernels->attention(&job);
}

/* Brings the results of n spans together, in their order: each weighs as much as all its keys. */
static void merge_spans(const struct ct_cpu *cpu, const float *results, int64_t n, float *out)
{
    const int D = cpu->graph->heads.head_dim, n_rep = n_rep_of(cpu);
    const int64_t stride = span_floats(cpu);
    memset(out, 0, (size_t)(n_rep * D) * sizeof *out);
    for (int h = 0; h < n_rep; h++) {
        const float *peak = results + n_rep * D + h, *sum = peak + n_rep;
        float top = -INFINITY, total = 0;
        for (int64_t i = 0; i < n; i++)
            top = fmaxf(top, peak[i * stride]);
        for (int64_t i = 0; i < n; i++)
            total += sum[i * stride] * expf(peak[i * stride] - top);
        for (int64_t i = 0; i < n; i++) {
            const float *from = results + i * stride + h * D;
            const float weight = sum[i * stride] * expf(peak[i * stride] - top) / total;
            for (int d = 0; d < D; d++)
                out[h * D + d] += weight * from[d];
        }
    }
}

/* The query heads that share KV head `kv_head`, of row t of a value: [n_rep, D]. */
static float *heads_of(const struct ct_cpu *cpu, int value, int64_t t, int kv_head)
{
    return ct_cpu_row(cpu, value, t) +
           (int64_t)kv_head * n_rep_of(cpu) * cpu->graph->heads.head_dim;
}

/* Every worker stores its rows' keys and values. */
static void store_rows(struct ct_cpu_walk *walk, const struct ct_node *node)
{
    int64_t begin, end;
    ct_cpu_begin_rows(walk, node->in, &begin, &end);
    for (int64_t t = begin; t < end; t++)
        for (int h = 0; h < walk->cpu->graph->heads.n_kv_heads; h++)
            store_kv(walk, node, t, h);
    ct_cpu_wait(walk);
}

/* Any rows: the workers take (row, head) pairs in turn, as later rows have more keys. */
static void attend_by_heads(struct ct_cpu_walk *walk, const struct ct_node *node)
{
    const struct ct_cpu *cpu = walk->cpu;
    const int n_kv_heads = cpu->graph->heads.n_kv_heads;
    float *results = cpu->spans + walk->worker * slot_floats(cpu);
    for (int64_t i = walk->worker; i < (int64_t)walk->batch->n_rows * n_kv_heads;
         i += walk->n_workers) {
        const int64_t t = i / n_kv_heads, n_spans = count_spans(walk, t);
        const int h = (int)(i % n_kv_heads);
        const float *q = heads_of(cpu, node->in, t, h);
        float *out = heads_of(cpu, node->out, t, h);
        for (int64_t span = 0; span < n_spans; span++) {
            float *result = results + span * span_floats(cpu);
            attend_span(walk, node, t, h, span, span + 1, q, result, n_spans == 1 ? out : result);
        }
        if (n_spans > 1)
            merge_spans(cpu, results, n_spans, out);
    }
}

/* Few rows, each of its own session: the spans of all (row, head) pairs are dealt out. Whoever has a
 * row's last span rotates and stores the row's key; queries are rotated by each for itself. */
static void attend_by_spans(struct ct_cpu_walk *walk, const struct ct_node *node)
{
    const struct ct_cpu *cpu = walk->cpu;
    const int D = cpu->graph->heads.head_dim, n_rep = n_rep_of(cpu);
    const int n_kv_heads = cpu->graph->heads.n_kv_heads;
    float *q = cpu->own_row + walk->worker * cpu->max_k;
    int64_t item = 0;
    bool is_split = false;
    ct_cpu_wait(walk);
    for (int64_t t = 0; t < walk->batch->n_rows; t++) {
        const float *cos = cpu->cos + t * D / 2, *sin = cpu->sin + t * D / 2;
        const int64_t n_spans = count_spans(walk, t);
        is_split |= n_spans > 1;
        for (int h = 0; h < n_kv_heads; h++) {
            float *results = cpu->spans + (t * n_kv_heads + h) * slot_floats(cpu);
            bool has_q = false;
            for (int64_t span = 0; span < n_spans; span++, item++) {
                if (item % walk->n_workers != walk->worker)
                    continue;
                if (span == n_spans - 1) {
                    cpu->kernels->rope(key_of(walk, node, t, h), 1, D, cos, sin);
                    store_kv(walk, node, t, h);
                }
                if (!has_q) {
                    memcpy(q, heads_of(cpu, node->in, t, h), (size_t)(n_rep * D) * sizeof *q);
                    cpu->kernels->rope(q, n_rep, D, cos, sin);
                    has_q = true;
                }
                float *result = results + span * span_floats(cpu);
                attend_span(walk, node, t, h, span, span + walk->n_workers, q, result,
                            n_spans == 1 ? heads_of(cpu, node->out, t, h) : result);
            }
        }
    }
    if (!is_split)
        return;
    ct_cpu_wait(walk);
    for (int64_t i = walk->worker; i < (int64_t)walk->batch->n_rows * n_kv_heads;
         i += walk->n_workers) {
        const int64_t t = i / n_kv_heads, n_spans = count_spans(walk, t);
        if (n_spans > 1)
            merge_spans(cpu, cpu->spans + i * slot_floats(cpu), n_spans,
                        heads_of(cpu, node->out, t, (int)(i % n_kv_heads)));
    }
}

/* Which of the table's rows a key at this distance from its query has, the buckets of T5 (Raffel et al.
 * 2020) as MPNet takes them: one for each distance below 8, then ever wider ones up to 128, for keys
 * in front and then for those behind. In floats, as torch counts them. */
static int bucket_of(int64_t distance)
{
    enum { HALF = CT_BIAS_BUCKETS / 2, EXACT = HALF / 2, FARTHEST = 128 };
    const int64_t n = distance < 0 ? -distance : distance;
    const float log_ratio = logf((float)FARTHEST / EXACT);
    int bucket = (int)n;
    if (n >= EXACT)
        bucket = EXACT + (int)(logf((float)n / EXACT) / log_ratio * (HALF - EXACT));
    return (bucket < HALF ? bucket : HALF - 1) + (distance > 0 ? HALF : 0);
}

/* This worker's share of cpu->bias, for sequences up to the longest: of each head, distance 0 is in the
 * middle. */
static void spread_bias(const struct ct_cpu_walk *walk, const struct ct_node *node)
{
    const struct ct_cpu *cpu = walk->cpu;
    const int n_heads = cpu->graph->heads.n_heads;
    float *row = cpu->own_row + walk->worker * cpu->max_k;
    int64_t n_longest = 0, begin, end;
    for (int64_t t = 0; t < walk->batch->n_rows; t++)
        if (walk->batch->lengths[t] > n_longest)
            n_longest = walk->batch->lengths[t];
    ct_pool_share(2 * n_longest - 1, 1, walk->worker, walk->n_workers, &begin, &end);
    int last = -1;
    for (int64_t i = begin; i < end; i++) {
        const int64_t distance = i - (n_longest - 1);
        const int bucket = bucket_of(distance);
        if (bucket != last)
            ct_cpu_matrix_row(&cpu->matrices[node->weights[0]], bucket, row);
        last = bucket;
        for (int h = 0; h < n_heads; h++)
            cpu->bias[(2 * h + 1) * cpu->context_tok + distance] = row[h];
    }
}

/* Rows [t, t + n_rows) of one sequence through all keys of a head. */
static void attend_block(const struct ct_cpu_walk *walk, const struct ct_node *node, int64_t t,
                         int n_rows, int head)
{
    const struct ct_cpu *cpu = walk->cpu;
    const int D = cpu->graph->heads.head_dim;
    const int64_t n_keys = walk->batch->lengths[t];
    const void *k_pages[CT_ENCODER_TOK / CT_PAGE_TOK], *v_pages[CT_ENCODER_TOK / CT_PAGE_TOK];
    float peak[CT_MAX_REP], sum[CT_MAX_REP];
    float *q = cpu->spans + walk->worker * 2 * CT_MAX_REP * D, *out = q + CT_MAX_REP * D;
    const int kv_head = head / n_rep_of(cpu);
    for (int p = 0; p * CT_PAGE_TOK < n_keys; p++) {
        const uint16_t *keys = walk->batch->pages[t][p] + ct_cpu_head_place(cpu, node, kv_head);
        k_pages[p] = keys;
        v_pages[p] = keys + ct_cpu_part_elements(cpu);
    }
    for (int i = 0; i < n_rows; i++)
        memcpy(q + i * D, ct_cpu_row(cpu, node->in, t + i) + head * D, (size_t)D * sizeof *q);
    const struct ct_attention job = {
        .q = q,
        .n_rep = n_rows,
        .head_dim = D,
        .n_keys = n_keys,
        .is_i8 = cpu->is_kv_i8,
        .k_pages = k_pages,
        .v_pages = v_pages,
        .scale = 1.0f / sqrtf((float)D),
        .bias = node->n_weights > 0
                    ? cpu->bias + (2 * head + 1) * cpu->context_tok - walk->batch->positions[t]
                    : NULL,
        .out = out,
        .peak = peak,
        .sum = sum,
    };
    cpu->kernels->attention(&job);
    for (int i = 0; i < n_rows; i++)
        memcpy(ct_cpu_row(cpu, node->out, t + i) + head * D, out + i * D, (size_t)D * sizeof *out);
}

/* An encoder: (block of rows, head) pairs are dealt out. */
static void attend_by_blocks(struct ct_cpu_walk *walk, const struct ct_node *node)
{
    const struct ct_cpu *cpu = walk->cpu;
    const struct ct_batch *batch = walk->batch;
    const int n_heads = cpu->graph->heads.n_heads;
    int64_t item = 0, n_rows;
    for (int64_t t = 0; t < batch->n_rows; t += n_rows) {
        n_rows = batch->lengths[t] - batch->positions[t];
        n_rows = n_rows < BLOCK_ROWS ? n_rows : BLOCK_ROWS;
        for (int h = 0; h < n_heads; h++, item++)
            if (item % walk->n_workers == walk->worker)
                attend_block(walk, node, t, (int)n_rows, h);
    }
}

void ct_cpu_attend(struct ct_cpu_walk *walk, const struct ct_node *node)
{
    if (walk->is_few && ct_cpu_is_fused_before(walk, node)) {
        attend_by_spans(walk, node);
        return;
    }
    if (node->n_weights > 0)
        spread_bias(walk, node);
    store_rows(walk, node);
    if (ct_cpu_has_integer_attention(walk->cpu))
        ct_cpu_attend_integers(walk, node);
    else if (walk->cpu->graph->is_encoder)
        attend_by_blocks(walk, node);
    else
        attend_by_heads(walk, node);
}
