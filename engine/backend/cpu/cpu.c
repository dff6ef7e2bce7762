/* The CPU backend: opening, one run, and what a row costs. The ops are in cpu_ops.c. */
#include "engine/backend/cpu/cpu.h"

#include "engine/backend/cpu/cpu_ops.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(CT_PAGE_TOK == (int)CT_KV_PAGE, "the kernels' page is the backend's");

static const char *cpu_name(const struct ct_backend *backend)
{
    return ((const struct ct_cpu *)backend)->name;
}

/* Few rows through all nodes, each of its own session, so that no row attends to what another one
 * stores. */
static bool is_few(const struct ct_cpu *cpu)
{
    const struct ct_batch *batch = cpu->batch;
    if (batch->n_rows > CT_CPU_FEW_ROWS || cpu->end - cpu->begin < cpu->graph->n_nodes)
        return false;
    for (int i = 0; i < batch->n_rows; i++)
        for (int j = 0; j < i; j++)
            if (batch->pages[i] == batch->pages[j])
                return false;
    return true;
}

/* The rotary angles of this worker's rows. */
static void find_angles(struct ct_cpu *cpu, int worker, int n_workers)
{
    if (cpu->graph->heads.rope_theta <= 0)
        return;
    const int half = cpu->graph->heads.head_dim / 2;
    int64_t begin, end;
    ct_pool_share(cpu->batch->n_rows, 1, worker, n_workers, &begin, &end);
    for (int64_t t = begin; t < end; t++)
        for (int i = 0; i < half; i++) {
            double angle = cpu->batch->positions[t] * cpu->inverse_frequency[i];
            cpu->cos[t * half + i] = (float)cos(angle);
            cpu->sin[t * half + i] = (float)sin(angle);
        }
}

static void run_worker(void *context, int worker, int n_workers)
{
    struct ct_cpu *cpu = context;
    struct ct_cpu_walk walk = {.cpu = cpu,
                               .batch = cpu->batch,
                               .worker = worker,
                               .n_workers = n_workers,
                               .is_few = is_few(cpu)};
    find_angles(cpu, worker, n_workers);
    ct_cpu_look_ahead(&walk, cpu->begin);
    for (int i = cpu->begin; i < cpu->end; i++) {
        const struct ct_node *node = &cpu->graph->nodes[i];
        bool is_logits = cpu->graph->values[node->out].rows == CT_ROWS_LOGITS;
        if ((!is_logits || cpu->batch->n_logits > 0) && !(walk.is_few && cpu->is_fused[i]))
            ct_cpu_run_node(&walk, node);
    }
}

static void cpu_run(struct ct_backend *backend, const struct ct_batch *batch, int begin, int end)
{
    struct ct_cpu *cpu = (struct ct_cpu *)backend;
    cpu->batch = batch;
    cpu->begin = begin;
    cpu->end = end;
    ct_pool_run(cpu->pool, run_worker, cpu);
    cpu->batch = NULL;
}

static float *cpu_value(const struct ct_backend *backend, int value, int64_t *ld)
{
    const struct ct_cpu *cpu = (const struct ct_cpu *)backend;
    *ld = cpu->graph->values[value].ld;
    return cpu->arena + cpu->graph->values[value].offset;
}

/* One row that sees n_keys, with the vocabulary's matrix where its logits are wanted. */
static void add_row(const struct ct_cpu *cpu, int n_keys, bool has_logits, struct ct_cost *cost)
{
    const struct ct_graph *g = cpu->graph;
    for (int i = 0; i < g->n_nodes; i++) {
        const struct ct_node *node = &g->nodes[i];
        const struct ct_value *out = &g->values[node->out];
        if (out->rows == CT_ROWS_LOGITS && !has_logits)
            continue;
        cost->bytes_cache += (uint64_t)out->width * sizeof(float);
        if (node->in >= 0)
            cost->bytes_cache += (uint64_t)g->values[node->in].width * sizeof(float);
        if (node->op == CT_OP_ATTEND) {
            const uint64_t D = (uint64_t)g->heads.head_dim;
            uint64_t key_bytes = cpu->is_kv_i8 ? D + sizeof(uint16_t) : D * sizeof(uint16_t);
            *(ct_cpu_has_integer_attention(cpu) ? &cost->macs_i8 : &cost->macs_f32) +=
                2 * (uint64_t)n_keys * D * (uint64_t)g->heads.n_heads;
            const uint64_t bytes = 2 * (uint64_t)n_keys * key_bytes * (uint64_t)g->heads.n_kv_heads;
            /* An encoder has one layer's at a time: made a moment ago, they are in the cache. */
            *(g->is_encoder ? &cost->bytes_cache : &cost->bytes_dram) += bytes;
        }
        for (int j = 0; node->op == CT_OP_LINEAR && j < node->n_weights; j++) {
            const struct ct_matrix *w = &cpu->matrices[node->weights[j]];
            uint64_t macs = (uint64_t)w->n * (uint64_t)w->k;
            if (ct_cpu_is_int8(cpu, w))
                cost->macs_i8 += macs;
            else
                cost->macs_f32 += macs;
        }
    }
}

/* Weight bytes that a step reads once, whatever its rows. */
static uint64_t step_bytes(const struct ct_cpu *cpu, bool has_logits)
{
    uint64_t n_bytes = 0;
    for (int i = 0; i < cpu->graph->n_nodes; i++) {
        const struct ct_node *node = &cpu->graph->nodes[i];
        bool is_logits = cpu->graph->values[node->out].rows == CT_ROWS_LOGITS;
        const bool is_looked_up = node->op == CT_OP_EMBED || node->op == CT_OP_PLACE;
        if ((is_logits && !has_logits) || is_looked_up)
            continue;
        for (int j = 0; j < node->n_weights; j++) {
            n_bytes += cpu->matrices[node->weights[j]].n_bytes;
            if (node->has_bias)
                n_bytes += cpu->matrices[node->biases[j]].n_bytes;
        }
    }
    return n_bytes;
}

static enum ct_status cpu_cost(struct ct_backend *backend, const struct ct_part *parts, int n,
                               struct ct_cost *costs, struct ct_error *err)
{
    const struct ct_cpu *cpu = (const struct ct_cpu *)backend;
    int64_t n_rows = 0;
    bool has_logits = false;
    (void)err;
    for (int i = 0; i < n; i++) {
        const struct ct_part *part = &parts[i];
        costs[i] = (struct ct_cost){0};
        for (int t = 0; t < part->n_rows; t++)
            add_row(cpu, part->n_before + (cpu->graph->is_encoder ? part->n_rows : t + 1),
                    t >= part->n_rows - part->n_logits, &costs[i]);
        n_rows += part->n_rows;
        has_logits |= part->n_logits > 0;
    }
    const uint64_t bytes = step_bytes(cpu, has_logits);
    for (int i = 0; i < n; i++)
        costs[i].bytes_dram += bytes * (uint64_t)parts[i].n_rows / (uint64_t)n_rows;
    return CT_OK;
}

static void free_input(struct ct_cpu_input *input)
{
    free(input->q);
    free(input->scale);
    free(input->sum);
    free(input->token);
}

static void cpu_close(struct ct_backend *backend)
{
    struct ct_cpu *cpu = (struct ct_cpu *)backend;
    if (cpu == NULL)
        return;
    free(cpu->arena);
    free(cpu->inverse_frequency);
    free(cpu->cos);
    free(cpu->sin);
    free_input(&cpu->input);
    free_input(&cpu->own);
    free(cpu->own_row);
    free(cpu->is_fused);
    free(cpu->bias);
    free(cpu->spans);
    free(cpu);
}

static const struct ct_backend_ops cpu_ops = {
    .name = cpu_name,
    .run = cpu_run,
    .value = cpu_value,
    .cost = cpu_cost,
    .close = cpu_close,
};

/* What this backend asks of a graph. */
static enum ct_status check_supported(const struct ct_cpu *cpu, struct ct_error *err)
{
    const struct ct_graph *g = cpu->graph;
    if (ct_cpu_has_integer_attention(cpu) && cpu->context_tok > CT_INTEGER_TOK)
        return ct_error_set(err, CT_UNSUPPORTED,
                            "a context of %lld tokens: sums of int8 products hold %d",
                            (long long)cpu->context_tok, CT_INTEGER_TOK);
    if (g->heads.n_heads / g->heads.n_kv_heads > CT_MAX_REP)
        return ct_error_set(err, CT_UNSUPPORTED, "%d query heads share a KV head, at most %d can",
                            g->heads.n_heads / g->heads.n_kv_heads, CT_MAX_REP);
    return CT_OK;
}

/* 64-byte aligned and a multiple of 64 bytes; NULL when memory is short. Untouched pages cost
 * nothing. */
static void *allocate(int64_t n, size_t item_bytes)
{
    size_t n_bytes = ((size_t)(n > 0 ? n : 1) * item_bytes + 63) & ~(size_t)63;
    return aligned_alloc(64, n_bytes);
}

static bool allocate_input(struct ct_cpu_input *input, int64_t n_rows, int64_t max_k)
{
    input->q = allocate(n_rows * max_k, sizeof *input->q);
    input->scale = allocate(n_rows * max_k / CT_X_GROUP, sizeof *input->scale);
    input->sum = allocate(n_rows * max_k / CT_X_GROUP, sizeof *input->sum);
    input->token = allocate(n_rows, sizeof *input->token);
    return input->q != NULL && input->scale != NULL && input->sum != NULL && input->token != NULL;
}

/* With a scale for each token. */
static void fill_scales(struct ct_cpu_input *input, int64_t n_rows, int64_t max_k)
{
    for (int64_t i = 0; i < n_rows * max_k / CT_X_GROUP; i++)
        input->scale[i] = 1;
}

static bool allocate_workspace(struct ct_cpu *cpu, const struct ct_cpu_options *options)
{
    const struct ct_graph *g = cpu->graph;
    const int64_t n_threads = ct_pool_n_workers(cpu->pool), half = g->heads.head_dim / 2;
    int64_t max_rows =
        options->max_tokens > options->max_logits ? options->max_tokens : options->max_logits;
    int64_t max_k = 0;
    for (int i = 0; i < g->n_slots; i++)
        max_k = g->slots[i].k > max_k ? g->slots[i].k : max_k;
    cpu->max_k = (max_k + 63) & ~(int64_t)63;
    cpu->arena = allocate(g->arena_floats, sizeof *cpu->arena);
    cpu->inverse_frequency = allocate(half, sizeof *cpu->inverse_frequency);
    cpu->cos = allocate(options->max_tokens * half, sizeof *cpu->cos);
    cpu->sin = allocate(options->max_tokens * half, sizeof *cpu->sin);
    cpu->own_row = allocate(n_threads * cpu->max_k, sizeof *cpu->own_row);
    cpu->is_fused = calloc((size_t)g->n_nodes, sizeof *cpu->is_fused);
    cpu->bias = allocate(ct_cpu_bias_floats(cpu), sizeof *cpu->bias);
    cpu->spans = allocate(ct_cpu_span_floats(cpu, (int)n_threads), sizeof *cpu->spans);
    if (!allocate_input(&cpu->input, max_rows, cpu->max_k) ||
        !allocate_input(&cpu->own, n_threads * CT_CPU_FEW_ROWS, cpu->max_k) || cpu->arena == NULL ||
        cpu->inverse_frequency == NULL || cpu->cos == NULL || cpu->sin == NULL ||
        cpu->own_row == NULL || cpu->is_fused == NULL || cpu->bias == NULL || cpu->spans == NULL)
        return false;
    if (cpu->is_token_i8) {
        fill_scales(&cpu->input, max_rows, cpu->max_k);
        fill_scales(&cpu->own, n_threads * CT_CPU_FEW_ROWS, cpu->max_k);
    }
    for (int i = 0; i < g->n_nodes; i++)
        cpu->is_fused[i] = ct_cpu_can_fuse(cpu, i);
    for (int64_t i = 0; i < half && g->heads.rope_theta > 0; i++)
        cpu->inverse_frequency[i] =
            (float)(1 / pow(g->heads.rope_theta, 2.0 * (double)i / g->heads.head_dim));
    return true;
}

enum ct_status ct_cpu_open(const struct ct_graph *graph, const struct ct_matrix *matrices,
                           const struct ct_cpu_options *options, struct ct_backend **out,
                           struct ct_error *err)
{
    *out = NULL;
    struct ct_cpu *cpu = calloc(1, sizeof *cpu);
    if (cpu == NULL)
        return ct_error_set(err, CT_MEMORY, "no memory for the CPU backend");
    cpu->base.ops = &cpu_ops;
    cpu->graph = graph;
    cpu->matrices = matrices;
    cpu->pool = options->pool;
    cpu->kernels = ct_kernels();
    cpu->is_float = options->is_float;
    cpu->is_token_i8 = options->is_token_i8;
    cpu->is_kv_i8 = options->is_kv_i8;
    cpu->context_tok = options->context_tok;
    snprintf(cpu->name, sizeof cpu->name, "cpu-%s", ct_isa_name(ct_isa_current()));
    enum ct_status status = check_supported(cpu, err);
    if (status == CT_OK && !allocate_workspace(cpu, options))
        status = ct_error_set(err, CT_MEMORY, "no memory for the CPU backend's workspace");
    if (status != CT_OK) {
        cpu_close(&cpu->base);
        return status;
    }
    *out = &cpu->base;
    return CT_OK;
}
