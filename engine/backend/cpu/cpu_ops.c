/* The ops of the graph on the CPU.
 *
 * Every worker walks all nodes and does its share of each: a share of rows, of (row, head) pairs,
 * or of row tiles of the weights. A worker goes from one node by rows to the next without a
 * barrier, because it reads only rows that it wrote itself; before anything else it waits for the
 * others. How the work is cut never changes a result: each output is made by one kernel call, in
 * the kernel's one order.
 *
 * A step of few rows (generation) is all matrices, and waits would show: there a layer has five
 * barriers, before each LINEAR and before attention. What a LINEAR reads is normalised and quantised
 * by every worker for itself, and rotation, new keys and attention go head by head. */
#include "engine/backend/cpu/cpu_ops.h"

#include "engine/base/f16.h"

#include <math.h>
#include <string.h>

/* How much of its next weights a worker that waits brings into its cache. */
enum { READ_AHEAD_BYTES = 128 << 10 };

static float *row_of(const struct ct_cpu *cpu, int value, int64_t row)
{
    const struct ct_value *v = &cpu->graph->values[value];
    return cpu->arena + v->offset + row * v->ld;
}

static int node_index(const struct ct_cpu_walk *walk, const struct ct_node *node)
{
    return (int)(node - walk->cpu->graph->nodes);
}

/* Whether the node before this one is fused with it. */
static bool is_fused_before(const struct ct_cpu_walk *walk, const struct ct_node *node)
{
    const int i = node_index(walk, node);
    return i > 0 && walk->cpu->is_fused[i - 1];
}

static int64_t n_rows_of(const struct ct_cpu_walk *walk, int value)
{
    bool is_logits = walk->cpu->graph->values[value].rows == CT_ROWS_LOGITS;
    return is_logits ? walk->batch->n_logits : walk->batch->n_rows;
}

static void wait_for_others(struct ct_cpu_walk *walk)
{
    ct_pool_barrier(walk->cpu->pool, &walk->weights);
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
    int64_t begin, end;
    begin_rows(walk, node->out, &begin, &end);
    for (int64_t t = begin; t < end; t++) {
        if (w->kind == CT_MATRIX_CLUSTERED)
            ct_clustered_row_f32(&w->clustered, walk->batch->tokens[t], row_of(cpu, node->out, t));
        else
            dense_row(w, walk->batch->tokens[t], row_of(cpu, node->out, t));
    }
}

/* Row t of what an RMSNORM or a SWIGLU makes. */
static void make_row(const struct ct_cpu *cpu, const struct ct_node *node, int64_t t, float *out)
{
    const float *in = row_of(cpu, node->in, t);
    const int64_t n = cpu->graph->values[node->out].width;
    if (node->op == CT_OP_RMSNORM)
        cpu->kernels->rmsnorm(in, cpu->matrices[node->weights[0]].vector, n,
                              (float)cpu->graph->norm_eps, out);
    else
        cpu->kernels->swiglu(in, in + n, n, out);
}

static void make_rows(struct ct_cpu_walk *walk, const struct ct_node *node)
{
    int64_t begin, end;
    begin_rows(walk, node->out, &begin, &end);
    for (int64_t t = begin; t < end; t++)
        make_row(walk->cpu, node, t, row_of(walk->cpu, node->out, t));
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

/* Where a KV head of a layer begins in a page. */
static size_t head_place(const struct ct_cpu *cpu, const struct ct_node *node, int kv_head)
{
    const struct ct_heads *heads = &cpu->graph->heads;
    return ((size_t)node->layer * (size_t)heads->n_kv_heads + (size_t)kv_head) *
           ct_page_head_elements(heads);
}

/* The key and value of KV head `kv_head` of row t, from [q | k | v], into its session's page. */
static void store_kv(const struct ct_cpu_walk *walk, const struct ct_node *node, int64_t t,
                     int kv_head)
{
    const struct ct_cpu *cpu = walk->cpu;
    const struct ct_heads *heads = &cpu->graph->heads;
    const int D = heads->head_dim, position = walk->batch->positions[t];
    const float *k = row_of(cpu, node->in, t) + (heads->n_heads + kv_head) * D;
    const float *v = k + heads->n_kv_heads * D;
    const int place = position % CT_PAGE_TOK;
    uint16_t *page = walk->batch->pages[t][position / CT_PAGE_TOK] + head_place(cpu, node, kv_head);
    for (int d = 0; d < D; d++)
        page[d * CT_PAGE_TOK + place] = ct_f16_from_f32(k[d]);
    cpu->kernels->f16_from_f32(v, D, page + (size_t)(CT_PAGE_TOK + place) * (size_t)D);
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
    const size_t head = head_place(cpu, node, kv_head);
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

/* Rotates what KV head `kv_head` of row t attends with: its key, and the query heads that share it. */
static void rotate_head(const struct ct_cpu_walk *walk, const struct ct_node *node, int64_t t,
                        int kv_head)
{
    const struct ct_cpu *cpu = walk->cpu;
    const struct ct_heads *heads = &cpu->graph->heads;
    const int D = heads->head_dim, n_rep = heads->n_heads / heads->n_kv_heads;
    const float *cos = cpu->cos + t * D / 2, *sin = cpu->sin + t * D / 2;
    float *qkv = row_of(cpu, node->in, t);
    cpu->kernels->rope(qkv + kv_head * n_rep * D, n_rep, D, cos, sin);
    cpu->kernels->rope(qkv + (heads->n_heads + kv_head) * D, 1, D, cos, sin);
}

static void attend(struct ct_cpu_walk *walk, const struct ct_node *node)
{
    const int n_kv_heads = walk->cpu->graph->heads.n_kv_heads;
    const bool has_rotation = walk->is_few && is_fused_before(walk, node);
    if (!has_rotation) {
        int64_t begin, end;
        begin_rows(walk, node->in, &begin, &end);
        for (int64_t t = begin; t < end; t++)
            for (int h = 0; h < n_kv_heads; h++)
                store_kv(walk, node, t, h);
    }
    wait_for_others(walk);
    /* Later rows have more keys: heads are dealt out in turn, not in blocks. */
    for (int64_t i = walk->worker; i < (int64_t)walk->batch->n_rows * n_kv_heads;
         i += walk->n_workers) {
        const int64_t t = i / n_kv_heads;
        const int kv_head = (int)(i % n_kv_heads);
        if (has_rotation) {
            rotate_head(walk, node, t, kv_head);
            store_kv(walk, node, t, kv_head);
        }
        attend_head(walk, node, t, kv_head);
    }
}

/* ---- matrices ---- */

bool ct_cpu_is_int8(const struct ct_cpu *cpu, const struct ct_matrix *matrix)
{
    return !cpu->is_float && matrix->kind == CT_MATRIX_CLUSTERED &&
           matrix->clustered.codebook_i8 != NULL;
}

/* Whether one of a LINEAR's weights wants its input quantised; and whether all do. */
static bool wants_int8(const struct ct_cpu *cpu, const struct ct_node *node)
{
    for (int i = 0; i < node->n_weights; i++)
        if (ct_cpu_is_int8(cpu, &cpu->matrices[node->weights[i]]))
            return true;
    return false;
}

static bool is_all_int8(const struct ct_cpu *cpu, const struct ct_node *node)
{
    for (int i = 0; i < node->n_weights; i++)
        if (!ct_cpu_is_int8(cpu, &cpu->matrices[node->weights[i]]))
            return false;
    return true;
}

bool ct_cpu_can_fuse(const struct ct_cpu *cpu, int i)
{
    const struct ct_graph *g = cpu->graph;
    if (i + 1 == g->n_nodes)
        return false;
    const struct ct_node *node = &g->nodes[i], *next = &g->nodes[i + 1];
    if (next->in != node->out)
        return false;
    if (node->op == CT_OP_ROTATE)
        return next->op == CT_OP_ATTEND;
    if ((node->op != CT_OP_RMSNORM && node->op != CT_OP_SWIGLU) || next->op != CT_OP_LINEAR ||
        !is_all_int8(cpu, next))
        return false;
    for (int j = i + 2; j < g->n_nodes; j++)
        if (g->nodes[j].in == node->out)
            return false;
    return true;
}

static struct ct_rows_i8 rows_of_input(const struct ct_cpu_input *input, int64_t k)
{
    return (struct ct_rows_i8){input->q, input->scale, input->sum, (k + 63) & ~(int64_t)63,
                               (k + CT_X_GROUP - 1) / CT_X_GROUP};
}

static void quantize_row(const struct ct_cpu *cpu, const struct ct_cpu_input *input,
                         const float *row, int64_t k, int64_t t)
{
    const struct ct_rows_i8 x = rows_of_input(input, k);
    cpu->kernels->quantize_i8(row, k, input->q + t * x.ldq, input->scale + t * x.n_groups,
                              input->sum + t * x.n_groups);
}

/* Makes this worker's rows of a LINEAR's input ready: quantised by groups, or, for float
 * activations, with zeros up to a multiple of 64. */
static void prepare_rows(struct ct_cpu_walk *walk, const struct ct_node *node)
{
    struct ct_cpu *cpu = walk->cpu;
    const struct ct_value *in = &cpu->graph->values[node->in];
    const bool is_int8 = wants_int8(cpu, node);
    if (walk->n_ahead == 0)
        wait_for_others(walk);
    int64_t begin, end;
    ct_pool_share(n_rows_of(walk, node->in), 1, walk->worker, walk->n_workers, &begin, &end);
    for (int64_t t = begin; t < end; t++) {
        float *row = row_of(cpu, node->in, t);
        memset(row + in->width, 0, (size_t)(in->ld - in->width) * sizeof *row);
        if (is_int8)
            quantize_row(cpu, &cpu->input, row, in->width, t);
    }
    wait_for_others(walk);
}

static struct ct_cpu_input own_input(const struct ct_cpu_walk *walk)
{
    const struct ct_cpu *cpu = walk->cpu;
    const int64_t first = walk->worker * CT_CPU_FEW_ROWS * cpu->max_k;
    return (struct ct_cpu_input){cpu->own.q + first, cpu->own.scale + first / CT_X_GROUP,
                                 cpu->own.sum + first / CT_X_GROUP};
}

/* All rows of a LINEAR's input for this worker alone, with the operation before it where that is
 * fused. */
static void prepare_own(struct ct_cpu_walk *walk, const struct ct_node *node)
{
    struct ct_cpu *cpu = walk->cpu;
    const bool is_made = is_fused_before(walk, node);
    const int64_t k = cpu->graph->values[node->in].width;
    const struct ct_cpu_input input = own_input(walk);
    float *row = cpu->own_row + walk->worker * cpu->max_k;
    wait_for_others(walk);
    for (int64_t t = 0; t < n_rows_of(walk, node->in); t++) {
        if (is_made)
            make_row(cpu, node - 1, t, row);
        quantize_row(cpu, &input, is_made ? row : row_of(cpu, node->in, t), k, t);
    }
}

enum { DENSE_TOKENS = 64 };

/* Row tiles [begin, end) of one weight. */
static void multiply(struct ct_cpu_walk *walk, const struct ct_node *node,
                     const struct ct_matrix *w, const struct ct_cpu_input *input, float *y,
                     int64_t begin, int64_t end)
{
    const struct ct_cpu *cpu = walk->cpu;
    const float *x = row_of(cpu, node->in, 0);
    const int64_t ldx = cpu->graph->values[node->in].ld, ldy = cpu->graph->values[node->out].ld;
    const int64_t m = n_rows_of(walk, node->out);
    if (w->kind == CT_MATRIX_DENSE) {
        const enum ct_dense_type type = w->dense_type == CT_DTYPE_F32   ? CT_DENSE_F32
                                        : w->dense_type == CT_DTYPE_F16 ? CT_DENSE_F16
                                                                        : CT_DENSE_BF16;
        const int64_t last = end * CT_TILE_ROWS < w->n ? end * CT_TILE_ROWS : w->n;
        /* A few tokens at a time, which stay in the cache while the weights pass by. */
        for (int64_t t = 0; t < m; t += DENSE_TOKENS) {
            const int64_t n_tokens = m - t < DENSE_TOKENS ? m - t : DENSE_TOKENS;
            const struct ct_dense job = {w->n,        w->k, type,        w->dense, n_tokens,
                                         x + t * ldx, ldx,  y + t * ldy, ldy,      node->is_added};
            cpu->kernels->dense(&job, begin * CT_TILE_ROWS, last);
        }
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
        .x_i8 = rows_of_input(input, c->k),
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

/* y[t, r] += bias[r] in the rows of tiles [begin, end) of a weight. */
static void add_bias(const struct ct_cpu_walk *walk, const struct ct_node *node,
                     const struct ct_matrix *bias, float *y, int64_t begin, int64_t end)
{
    const int64_t ldy = walk->cpu->graph->values[node->out].ld;
    const int64_t last = end * CT_TILE_ROWS < bias->k ? end * CT_TILE_ROWS : bias->k;
    for (int64_t t = 0; t < n_rows_of(walk, node->out); t++)
        for (int64_t r = begin * CT_TILE_ROWS; r < last; r++)
            y[t * ldy + r] += bias->vector[r];
}

static int64_t tiles_of(const struct ct_matrix *w)
{
    return (w->n + CT_TILE_ROWS - 1) / CT_TILE_ROWS;
}

/* This worker's share of a LINEAR's tiles, those of all its weights counted together. */
static void share_tiles(const struct ct_cpu_walk *walk, const struct ct_node *node, int64_t *begin,
                        int64_t *end)
{
    int64_t n_tiles = 0;
    for (int i = 0; i < node->n_weights; i++)
        n_tiles += tiles_of(&walk->cpu->matrices[node->weights[i]]);
    ct_pool_share(n_tiles, 1, walk->worker, walk->n_workers, begin, end);
}

void ct_cpu_look_ahead(struct ct_cpu_walk *walk, int i)
{
    const struct ct_cpu *cpu = walk->cpu;
    const struct ct_graph *g = cpu->graph;
    walk->weights = (struct ct_read_ahead){NULL, NULL};
    while (i < g->n_nodes && g->nodes[i].op != CT_OP_LINEAR)
        i++;
    if (i == g->n_nodes)
        return;
    int64_t begin, end;
    share_tiles(walk, &g->nodes[i], &begin, &end);
    for (int j = 0; j < g->nodes[i].n_weights; j++) {
        const struct ct_matrix *w = &cpu->matrices[g->nodes[i].weights[j]];
        const int64_t n = tiles_of(w);
        if (begin < n && w->kind == CT_MATRIX_CLUSTERED) {
            const int64_t tile_bytes =
                8 * w->clustered.bits * ((w->k + CT_TILE_COLS - 1) / CT_TILE_COLS);
            const char *index = (const char *)w->clustered.index;
            const int64_t n_bytes = ((end < n ? end : n) - begin) * tile_bytes;
            walk->weights.at = index + begin * tile_bytes;
            walk->weights.end =
                walk->weights.at + (n_bytes < READ_AHEAD_BYTES ? n_bytes : READ_AHEAD_BYTES);
            return;
        }
        begin -= n;
        end -= n;
    }
}

static void linear(struct ct_cpu_walk *walk, const struct ct_node *node)
{
    const struct ct_cpu *cpu = walk->cpu;
    const bool is_own = walk->is_few && is_all_int8(cpu, node);
    if (is_own)
        prepare_own(walk, node);
    else
        prepare_rows(walk, node);
    const struct ct_cpu_input input = is_own ? own_input(walk) : cpu->input;

    int64_t begin, end;
    share_tiles(walk, node, &begin, &end);
    float *y = row_of(cpu, node->out, 0);
    for (int i = 0; i < node->n_weights; i++) {
        const struct ct_matrix *w = &cpu->matrices[node->weights[i]];
        const int64_t n = tiles_of(w);
        const int64_t first = begin > 0 ? begin : 0, last = end < n ? end : n;
        if (first < last)
            multiply(walk, node, w, &input, y, first, last);
        if (first < last && node->has_bias)
            add_bias(walk, node, &cpu->matrices[node->biases[i]], y, first, last);
        begin -= n;
        end -= n;
        y += w->n;
    }
    ct_cpu_look_ahead(walk, node_index(walk, node) + 1);
}

void ct_cpu_run_node(struct ct_cpu_walk *walk, const struct ct_node *node)
{
    switch (node->op) {
    case CT_OP_EMBED:
        embed(walk, node);
        break;
    case CT_OP_RMSNORM:
    case CT_OP_SWIGLU:
        make_rows(walk, node);
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
    case CT_OP_SELECT:
        select_rows(walk, node);
        break;
    case CT_N_OPS:
        break;
    }
}
