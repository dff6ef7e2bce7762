/* The ops of the graph on the CPU.
 *
 * Every worker walks all nodes and does its share of each: a share of rows, of (row, head) pairs,
 * or of row tiles of the weights. A worker goes from one node by rows to the next without a
 * barrier, because it reads only rows that it wrote itself; before anything else it waits for the
 * others. How the work is cut never changes a result: each output is made by one kernel call, in
 * the kernel's one order. */
#include "engine/backend/cpu/cpu_ops.h"

#include "engine/base/f16.h"

#include <math.h>
#include <string.h>

static float *row_of(const struct ct_cpu *cpu, int value, int64_t row)
{
    const struct ct_value *v = &cpu->graph->values[value];
    return cpu->arena + v->offset + row * v->ld;
}

static int64_t n_rows_of(const struct ct_cpu_walk *walk, int value)
{
    bool is_logits = walk->cpu->graph->values[value].rows == CT_ROWS_LOGITS;
    return is_logits ? walk->batch->n_logits : walk->batch->n_rows;
}

static void wait_for_others(struct ct_cpu_walk *walk)
{
    ct_pool_barrier(walk->cpu->pool);
    walk->n_ahead = 0;
}

/* This worker's rows of a value, ready to be written: waits unless the node before was by rows too.
 * Two nodes at most go without a barrier, as far as the plan keeps a value's place (plan.c). */
static void begin_rows(struct ct_cpu_walk *walk, int value, int64_t *begin, int64_t *end)
{
    if (walk->n_ahead != 1)
        wait_for_others(walk);
    walk->n_ahead++;
    ct_pool_share(n_rows_of(walk, value), 1, walk->worker, walk->n_workers, begin, end);
}

static void dense_row(const struct ct_matrix *w, int64_t row, float *out)
{
    if (w->dense_type == CT_DTYPE_F32) {
        memcpy(out, (const float *)w->dense + row * w->k, (size_t)w->k * sizeof *out);
        return;
    }
    const uint16_t *in = (const uint16_t *)w->dense + row * w->k;
    for (int64_t j = 0; j < w->k; j++)
        out[j] = w->dense_type == CT_DTYPE_F16 ? ct_f16_to_f32(in[j]) : ct_bf16_to_f32(in[j]);
}

static void embed(struct ct_cpu_walk *walk, const struct ct_node *node)
{
    struct ct_cpu *cpu = walk->cpu;
    const struct ct_matrix *w = &cpu->matrices[node->weights[0]];
    const int half = cpu->graph->heads.head_dim / 2;
    int64_t begin, end;
    begin_rows(walk, node->out, &begin, &end);
    for (int64_t t = begin; t < end; t++) {
        if (w->kind == CT_MATRIX_CLUSTERED)
            ct_clustered_row_f32(&w->clustered, walk->batch->tokens[t], row_of(cpu, node->out, t));
        else
            dense_row(w, walk->batch->tokens[t], row_of(cpu, node->out, t));
        for (int i = 0; i < half; i++) {
            double angle = walk->batch->positions[t] * cpu->inverse_frequency[i];
            cpu->cos[t * half + i] = (float)cos(angle);
            cpu->sin[t * half + i] = (float)sin(angle);
        }
    }
}

static void rmsnorm(struct ct_cpu_walk *walk, const struct ct_node *node)
{
    struct ct_cpu *cpu = walk->cpu;
    const struct ct_matrix *w = &cpu->matrices[node->weights[0]];
    int64_t begin, end;
    begin_rows(walk, node->out, &begin, &end);
    for (int64_t t = begin; t < end; t++)
        cpu->kernels->rmsnorm(row_of(cpu, node->in, t), w->vector, w->k,
                              (float)cpu->graph->norm_eps, row_of(cpu, node->out, t));
}

static void swiglu(struct ct_cpu_walk *walk, const struct ct_node *node)
{
    struct ct_cpu *cpu = walk->cpu;
    int64_t F = cpu->graph->values[node->out].width;
    int64_t begin, end;
    begin_rows(walk, node->out, &begin, &end);
    for (int64_t t = begin; t < end; t++) {
        const float *gate = row_of(cpu, node->in, t);
        cpu->kernels->swiglu(gate, gate + F, F, row_of(cpu, node->out, t));
    }
}

static void rotate(struct ct_cpu_walk *walk, const struct ct_node *node)
{
    struct ct_cpu *cpu = walk->cpu;
    const struct ct_heads *heads = &cpu->graph->heads;
    const int half = heads->head_dim / 2;
    int64_t begin, end;
    begin_rows(walk, node->out, &begin, &end);
    for (int64_t t = begin; t < end; t++)
        cpu->kernels->rope(row_of(cpu, node->out, t), heads->n_heads + heads->n_kv_heads,
                           heads->head_dim, cpu->cos + t * half, cpu->sin + t * half);
}

static void select_rows(struct ct_cpu_walk *walk, const struct ct_node *node)
{
    struct ct_cpu *cpu = walk->cpu;
    int64_t begin, end;
    wait_for_others(walk); /* reads rows of other workers */
    walk->n_ahead = 1;
    ct_pool_share(n_rows_of(walk, node->out), 1, walk->worker, walk->n_workers, &begin, &end);
    for (int64_t t = begin; t < end; t++)
        memcpy(row_of(cpu, node->out, t), row_of(cpu, node->in, walk->batch->logit_rows[t]),
               (size_t)cpu->graph->values[node->out].width * sizeof(float));
}

/* ---- attention ---- */

/* The keys and values of one row, from [q | k | v], into its session's page. */
static void store_kv(const struct ct_cpu *cpu, const float *qkv, uint16_t *const *pages,
                     int position, int layer)
{
    const struct ct_heads *heads = &cpu->graph->heads;
    const int D = heads->head_dim;
    const float *k = qkv + heads->n_heads * D;
    const float *v = k + heads->n_kv_heads * D;
    const int place = position % CT_PAGE_TOK;
    uint16_t *page = pages[position / CT_PAGE_TOK] +
                     (size_t)layer * (size_t)heads->n_kv_heads * ct_page_head_elements(heads);
    for (int h = 0; h < heads->n_kv_heads; h++) {
        for (int d = 0; d < D; d++)
            page[d * CT_PAGE_TOK + place] = ct_f16_from_f32(k[d]);
        cpu->kernels->f16_from_f32(v, D, page + (size_t)(CT_PAGE_TOK + place) * (size_t)D);
        page += ct_page_head_elements(heads);
        k += D;
        v += D;
    }
}

/* All query heads that share KV head `kv_head`, for one row. */
static void attend_head(const struct ct_cpu_walk *walk, const struct ct_node *node, int64_t t,
                        int kv_head)
{
    const struct ct_cpu *cpu = walk->cpu;
    const struct ct_heads *heads = &cpu->graph->heads;
    const int D = heads->head_dim, n_rep = heads->n_heads / heads->n_kv_heads;
    const int64_t n_keys = walk->batch->positions[t] + 1;
    const uint16_t **k_pages = cpu->page_lists + (size_t)walk->worker * 2 * (size_t)cpu->max_pages;
    const uint16_t **v_pages = k_pages + cpu->max_pages;
    const size_t head = ((size_t)node->layer * (size_t)heads->n_kv_heads + (size_t)kv_head) *
                        ct_page_head_elements(heads);
    for (int64_t p = 0; p * CT_PAGE_TOK < n_keys; p++) {
        k_pages[p] = walk->batch->pages[t][p] + head;
        v_pages[p] = k_pages[p] + (size_t)D * CT_PAGE_TOK;
    }
    const struct ct_attention job = {
        .q = row_of(cpu, node->in, t) + (int64_t)kv_head * n_rep * D,
        .n_rep = n_rep,
        .head_dim = D,
        .n_keys = n_keys,
        .k_pages = k_pages,
        .v_pages = v_pages,
        .scale = 1.0f / sqrtf((float)D),
        .out = row_of(cpu, node->out, t) + (int64_t)kv_head * n_rep * D,
    };
    cpu->kernels->attention(&job);
}

static void attend(struct ct_cpu_walk *walk, const struct ct_node *node)
{
    struct ct_cpu *cpu = walk->cpu;
    const int n_kv_heads = cpu->graph->heads.n_kv_heads;
    int64_t begin, end;
    begin_rows(walk, node->in, &begin, &end);
    for (int64_t t = begin; t < end; t++)
        store_kv(cpu, row_of(cpu, node->in, t), walk->batch->pages[t], walk->batch->positions[t],
                 node->layer);
    wait_for_others(walk);
    /* Later rows have more keys: heads are dealt out in turn, not in blocks. */
    for (int64_t i = walk->worker; i < (int64_t)walk->batch->n_rows * n_kv_heads;
         i += walk->n_workers)
        attend_head(walk, node, i / n_kv_heads, (int)(i % n_kv_heads));
}

/* ---- matrices ---- */

bool ct_cpu_is_int8(const struct ct_cpu *cpu, const struct ct_matrix *matrix)
{
    return !cpu->is_float && matrix->kind == CT_MATRIX_CLUSTERED &&
           matrix->clustered.codebook_i8 != NULL;
}

/* Whether one of a node's weights wants its input quantised. */
static bool wants_int8(const struct ct_cpu *cpu, const struct ct_node *node)
{
    for (int i = 0; i < node->n_weights; i++)
        if (ct_cpu_is_int8(cpu, &cpu->matrices[node->weights[i]]))
            return true;
    return false;
}

static struct ct_rows_i8 quantized_input(const struct ct_cpu *cpu, int64_t k)
{
    return (struct ct_rows_i8){cpu->x_q, cpu->x_scale, cpu->x_sum, (k + 63) & ~(int64_t)63,
                               (k + CT_X_GROUP - 1) / CT_X_GROUP};
}

/* Makes this worker's rows of a LINEAR's input ready: quantised by groups, or, for float
 * activations, with zeros up to a multiple of 64. */
static void prepare_rows(struct ct_cpu_walk *walk, const struct ct_node *node)
{
    struct ct_cpu *cpu = walk->cpu;
    const struct ct_value *in = &cpu->graph->values[node->in];
    const bool is_int8 = wants_int8(cpu, node);
    const int64_t k = in->width;
    const struct ct_rows_i8 x = quantized_input(cpu, k);
    if (walk->n_ahead == 0)
        wait_for_others(walk);
    int64_t begin, end;
    ct_pool_share(n_rows_of(walk, node->in), 1, walk->worker, walk->n_workers, &begin, &end);
    for (int64_t t = begin; t < end; t++) {
        float *row = row_of(cpu, node->in, t);
        memset(row + k, 0, (size_t)(in->ld - k) * sizeof *row);
        if (is_int8)
            cpu->kernels->quantize_i8(row, k, cpu->x_q + t * x.ldq, cpu->x_scale + t * x.n_groups,
                                      cpu->x_sum + t * x.n_groups);
    }
}

/* Row tiles [begin, end) of one weight. */
static void multiply(struct ct_cpu_walk *walk, const struct ct_node *node,
                     const struct ct_matrix *w, float *y, int64_t begin, int64_t end)
{
    const struct ct_cpu *cpu = walk->cpu;
    const float *x = row_of(cpu, node->in, 0);
    const int64_t ldx = cpu->graph->values[node->in].ld, ldy = cpu->graph->values[node->out].ld;
    const int64_t m = n_rows_of(walk, node->out);
    if (w->kind == CT_MATRIX_DENSE) {
        const enum ct_dense_type type = w->dense_type == CT_DTYPE_F32   ? CT_DENSE_F32
                                        : w->dense_type == CT_DTYPE_F16 ? CT_DENSE_F16
                                                                        : CT_DENSE_BF16;
        const struct ct_dense job = {w->n, w->k, type, w->dense, m, x, ldx, y, ldy, node->is_added};
        const int64_t last = end * CT_TILE_ROWS < w->n ? end * CT_TILE_ROWS : w->n;
        cpu->kernels->dense(&job, begin * CT_TILE_ROWS, last);
        return;
    }
    const struct ct_clustered *c = &w->clustered;
    const struct ct_linear job = {
        .n = c->n,
        .k = c->k,
        .bits = c->bits,
        .group = c->group,
        .index = c->index,
        .codebook_i8 = c->codebook_i8,
        .codebook_f32 = c->codebook_f32,
        .n_codebooks = c->n_codebooks,
        .scale = c->scale,
        .offset = c->offset,
        .m = m,
        .x_i8 = quantized_input(cpu, c->k),
        .x_f32 = x,
        .ldx = ldx,
        .y = y,
        .ldy = ldy,
        .is_added = node->is_added,
    };
    if (ct_cpu_is_int8(cpu, w))
        cpu->kernels->linear_i8(&job, begin, end);
    else
        cpu->kernels->linear_f32(&job, begin, end);
}

static int64_t tiles_of(const struct ct_matrix *w)
{
    return (w->n + CT_TILE_ROWS - 1) / CT_TILE_ROWS;
}

/* Adds the rows' squares to the node's sums: each worker has its own features, rows go in order, so
 * that the sums are the same for any number of threads. */
static void observe(struct ct_cpu_walk *walk, const struct ct_node *node)
{
    struct ct_cpu *cpu = walk->cpu;
    const int64_t i = node - cpu->graph->nodes, n_rows = n_rows_of(walk, node->in);
    int64_t begin, end;
    ct_pool_share(cpu->graph->values[node->in].width, 1, walk->worker, walk->n_workers, &begin,
                  &end);
    for (int64_t t = 0; t < n_rows; t++) {
        const float *x = row_of(cpu, node->in, t);
        for (int64_t j = begin; j < end; j++)
            cpu->squares[i][j] += (double)x[j] * x[j];
    }
    if (walk->worker == 0)
        cpu->n_observed[i] += n_rows;
}

static void linear(struct ct_cpu_walk *walk, const struct ct_node *node)
{
    const struct ct_cpu *cpu = walk->cpu;
    prepare_rows(walk, node);
    wait_for_others(walk);
    if (cpu->squares != NULL)
        observe(walk, node);

    /* One share of the tiles of all weights together: what falls on each weight is done in turn. */
    int64_t n_tiles = 0;
    for (int i = 0; i < node->n_weights; i++)
        n_tiles += tiles_of(&cpu->matrices[node->weights[i]]);
    int64_t begin, end;
    ct_pool_share(n_tiles, 1, walk->worker, walk->n_workers, &begin, &end);
    float *y = row_of(cpu, node->out, 0);
    for (int i = 0; i < node->n_weights; i++) {
        const struct ct_matrix *w = &cpu->matrices[node->weights[i]];
        const int64_t n = tiles_of(w);
        const int64_t first = begin > 0 ? begin : 0, last = end < n ? end : n;
        if (first < last)
            multiply(walk, node, w, y, first, last);
        begin -= n;
        end -= n;
        y += w->n;
    }
}

void ct_cpu_run_node(struct ct_cpu_walk *walk, const struct ct_node *node)
{
    switch (node->op) {
    case CT_OP_EMBED:
        embed(walk, node);
        break;
    case CT_OP_RMSNORM:
        rmsnorm(walk, node);
        break;
    case CT_OP_LINEAR:
        linear(walk, node);
        break;
    case CT_OP_ROTATE:
        rotate(walk, node);
        break;
    case CT_OP_ATTEND:
        attend(walk, node);
        break;
    case CT_OP_SWIGLU:
        swiglu(walk, node);
        break;
    case CT_OP_SELECT:
        select_rows(walk, node);
        break;
    case CT_N_OPS:
        break;
    }
}
