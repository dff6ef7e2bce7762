/* The ops of the graph on the CPU; attention is in cpu_attend.c.
 *
 * Every worker walks all nodes and does its share of each: a share of rows, of (row, head) pairs,
 * or of row tiles of the weights. A worker goes from one node by rows to the next without a
 * barrier, because it reads only rows that it wrote itself; before anything else it waits for the
 * others. Of row tiles, one that has none left takes some of another's. How the work is cut never
 * changes a result: each output is made by one kernel call, in the kernel's one order.
 *
 * A step of few rows (generation) is all matrices, and waits would show: there a layer has five
 * barriers, before each LINEAR and before attention (and one more when a session is long). What a
 * LINEAR reads is normalised and quantised by every worker for itself, and rotation, new keys and
 * attention go head by head. */
#include "engine/backend/cpu/cpu_ops.h"
#include "engine/base/f16.h"

#include <math.h>
#include <string.h>

enum {
    /* How much of its next weights a worker that waits brings into its cache. */
    READ_AHEAD_BYTES = 128 << 10,
    /* Weights that a worker takes at least: fewer would not be worth the kernel's start. */
    LEAST_WEIGHTS = 64 << 10,
};

float *ct_cpu_row(const struct ct_cpu *cpu, int value, int64_t row)
{
    const struct ct_value *v = &cpu->graph->values[value];
    return cpu->arena + v->offset + row * v->ld;
}

static int node_index(const struct ct_cpu_walk *walk, const struct ct_node *node)
{
    return (int)(node - walk->cpu->graph->nodes);
}

bool ct_cpu_is_fused_before(const struct ct_cpu_walk *walk, const struct ct_node *node)
{
    const int i = node_index(walk, node);
    return i > 0 && walk->cpu->is_fused[i - 1];
}

int64_t ct_cpu_n_rows(const struct ct_cpu_walk *walk, int value)
{
    bool is_logits = walk->cpu->graph->values[value].rows == CT_ROWS_LOGITS;
    return is_logits ? walk->batch->n_logits : walk->batch->n_rows;
}

void ct_cpu_wait(struct ct_cpu_walk *walk)
{
    ct_pool_barrier(walk->cpu->pool, &walk->weights);
    walk->n_ahead = 0;
}

void ct_cpu_begin_rows(struct ct_cpu_walk *walk, int value, int64_t *begin, int64_t *end)
{
    if (walk->n_ahead != 1)
        ct_cpu_wait(walk);
    walk->n_ahead++;
    ct_pool_share(ct_cpu_n_rows(walk, value), 1, walk->worker, walk->n_workers, begin, end);
}

void ct_cpu_matrix_row(const struct ct_matrix *w, int64_t row, float *out)
{
    if (w->kind == CT_MATRIX_CLUSTERED) {
        ct_clustered_row_f32(&w->clustered, row, out);
        return;
    }
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
    ct_cpu_begin_rows(walk, node->out, &begin, &end);
    for (int64_t t = begin; t < end; t++)
        ct_cpu_matrix_row(w, walk->batch->tokens[t], ct_cpu_row(cpu, node->out, t));
}

/* The pixels of one patch, channel by channel, as a convolution's weights lie. */
static void cut_patch(const struct ct_patches *p, const float *pixels, int patch, float *out)
{
    const int columns = ct_patch_columns(p);
    const float *corner =
        pixels + ((int64_t)(patch / columns) * p->width + patch % columns) * p->size;
    for (int c = 0; c < p->n_channels; c++, corner += (int64_t)p->height * p->width)
        for (int y = 0; y < p->size; y++, out += p->size)
            memcpy(out, corner + (int64_t)y * p->width, (size_t)p->size * sizeof *out);
}

static void patch(struct ct_cpu_walk *walk, const struct ct_node *node)
{
    const struct ct_graph *g = walk->cpu->graph;
    const struct ct_batch *batch = walk->batch;
    int64_t begin, end;
    ct_cpu_begin_rows(walk, node->out, &begin, &end);
    for (int64_t t = begin; t < end; t++) {
        float *out = ct_cpu_row(walk->cpu, node->out, t);
        const int patch = batch->positions[t] - g->patches.n_prefix;
        if (patch >= 0)
            cut_patch(&g->patches, batch->pixels[t], patch, out);
        else
            memset(out, 0, (size_t)g->values[node->out].width * sizeof *out);
    }
}

static void prefix(struct ct_cpu_walk *walk, const struct ct_node *node)
{
    const struct ct_cpu *cpu = walk->cpu;
    const int64_t width = cpu->graph->values[node->out].width;
    int64_t begin, end;
    ct_cpu_begin_rows(walk, node->out, &begin, &end);
    for (int64_t t = begin; t < end; t++) {
        const int32_t place = walk->batch->positions[t];
        if (place < node->n_weights)
            memcpy(ct_cpu_row(cpu, node->out, t), cpu->matrices[node->weights[place]].vector,
                   (size_t)width * sizeof(float));
    }
}

static void place(struct ct_cpu_walk *walk, const struct ct_node *node)
{
    struct ct_cpu *cpu = walk->cpu;
    const int64_t width = cpu->graph->values[node->out].width;
    float *row = cpu->own_row + walk->worker * cpu->max_k;
    int64_t begin, end;
    ct_cpu_begin_rows(walk, node->out, &begin, &end);
    for (int64_t t = begin; t < end; t++) {
        ct_cpu_matrix_row(&cpu->matrices[node->weights[0]], node->row + walk->batch->positions[t],
                          row);
        cpu->kernels->add(row, width, ct_cpu_row(cpu, node->out, t));
    }
    for (int64_t t = begin, last = -1; t < end && node->n_weights > 1; t++) {
        const int64_t type = walk->batch->types != NULL ? walk->batch->types[t] : 0;
        if (type != last)
            ct_cpu_matrix_row(&cpu->matrices[node->weights[1]], type, row);
        last = type;
        cpu->kernels->add(row, width, ct_cpu_row(cpu, node->out, t));
    }
}

static void activate(const struct ct_kernel_table *kernels, enum ct_activation activation,
                     const float *x, int64_t n, float *y)
{
    switch (activation) {
    case CT_ACTIVATION_GELU:
        kernels->gelu(x, n, y);
        break;
    case CT_ACTIVATION_GELU_TANH:
        kernels->gelu_tanh(x, n, y);
        break;
    case CT_ACTIVATION_QUICK_GELU:
        kernels->quick_gelu(x, n, y);
        break;
    case CT_ACTIVATION_RELU:
        kernels->relu(x, n, y);
        break;
    case CT_ACTIVATION_TANH:
        kernels->tanh(x, n, y);
        break;
    }
}

/* Row t of what a norm or an activation makes. */
static void make_row(const struct ct_cpu *cpu, const struct ct_node *node, int64_t t, float *out)
{
    const float *in = ct_cpu_row(cpu, node->in, t), eps = (float)cpu->graph->norm_eps;
    const int64_t n = cpu->graph->values[node->out].width;
    const struct ct_matrix *weights = cpu->matrices;
    const struct ct_integer *integer = &node->integer;
    if (integer->is_on && node->op == CT_OP_LAYERNORM)
        cpu->kernels->layernorm_i8(in, n, integer->scale[0], out);
    else if (integer->is_on)
        cpu->kernels->igelu_i8(in, n, integer->count, integer->unit, integer->scale[0], out);
    else if (node->op == CT_OP_RMSNORM)
        cpu->kernels->rmsnorm(in, weights[node->weights[0]].vector, n, eps, out);
    else if (node->op == CT_OP_LAYERNORM)
        cpu->kernels->layernorm(in, weights[node->weights[0]].vector,
                                weights[node->weights[1]].vector, n, eps, out);
    else if (node->op == CT_OP_ACTIVATE)
        activate(cpu->kernels, node->activation, in, n, out);
    else
        cpu->kernels->swiglu(in, in + n, n, out);
}

static bool is_made_by_rows(enum ct_op op)
{
    return op == CT_OP_RMSNORM || op == CT_OP_LAYERNORM || op == CT_OP_ACTIVATE ||
           op == CT_OP_SWIGLU;
}

static void make_rows(struct ct_cpu_walk *walk, const struct ct_node *node)
{
    int64_t begin, end;
    ct_cpu_begin_rows(walk, node->out, &begin, &end);
    for (int64_t t = begin; t < end; t++)
        make_row(walk->cpu, node, t, ct_cpu_row(walk->cpu, node->out, t));
}

static void add_scaled(struct ct_cpu_walk *walk, const struct ct_node *node)
{
    const struct ct_cpu *cpu = walk->cpu;
    const float *weight = cpu->matrices[node->weights[0]].vector;
    const int64_t width = cpu->graph->values[node->out].width;
    int64_t begin, end;
    ct_cpu_begin_rows(walk, node->out, &begin, &end);
    for (int64_t t = begin; t < end; t++)
        cpu->kernels->add_scaled(ct_cpu_row(cpu, node->in, t), weight, width,
                                 ct_cpu_row(cpu, node->out, t));
}

/* SELECT, or MEAN of as many rows as the sequence has. */
static void select_rows(struct ct_cpu_walk *walk, const struct ct_node *node)
{
    struct ct_cpu *cpu = walk->cpu;
    const int64_t width = cpu->graph->values[node->out].width;
    int64_t begin, end;
    ct_cpu_wait(walk); /* reads rows of other workers */
    walk->n_ahead = 1;
    ct_pool_share(ct_cpu_n_rows(walk, node->out), 1, walk->worker, walk->n_workers, &begin, &end);
    for (int64_t t = begin; t < end; t++) {
        float *out = ct_cpu_row(cpu, node->out, t);
        const int64_t first = walk->batch->logit_rows[t] + node->row;
        const int64_t n = node->op == CT_OP_MEAN ? walk->batch->lengths[first] : 1;
        memcpy(out, ct_cpu_row(cpu, node->in, first), (size_t)width * sizeof *out);
        for (int64_t i = 1; i < n; i++)
            cpu->kernels->add(ct_cpu_row(cpu, node->in, first + i), width, out);
        for (int64_t j = 0; j < width && n > 1; j++)
            out[j] /= (float)n;
    }
}

static void scale(struct ct_cpu_walk *walk, const struct ct_node *node)
{
    const int64_t width = walk->cpu->graph->values[node->out].width;
    int64_t begin, end;
    ct_cpu_begin_rows(walk, node->out, &begin, &end);
    for (int64_t t = begin; t < end; t++)
        for (int64_t j = 0; j < width; j++)
            ct_cpu_row(walk->cpu, node->out, t)[j] *= node->factor;
}

static void divide_by_length(struct ct_cpu_walk *walk, const struct ct_node *node)
{
    const int64_t width = walk->cpu->graph->values[node->out].width;
    int64_t begin, end;
    ct_cpu_begin_rows(walk, node->out, &begin, &end);
    for (int64_t t = begin; t < end; t++) {
        float *row = ct_cpu_row(walk->cpu, node->out, t);
        double square = 0;
        for (int64_t j = 0; j < width; j++)
            square += (double)row[j] * row[j];
        /* As torch's normalize has it, which divides by no less. */
        const float length = (float)fmax(sqrt(square), 1e-12);
        for (int64_t j = 0; j < width; j++)
            row[j] /= length;
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
        return next->op == CT_OP_ATTEND && !ct_cpu_has_integer_attention(cpu);
    if (!is_made_by_rows(node->op) || node->in == node->out || next->op != CT_OP_LINEAR ||
        !is_all_int8(cpu, next))
        return false;
    for (int j = i + 2; j < g->n_nodes; j++)
        if (g->nodes[j].in == node->out)
            return false;
    return true;
}

static struct ct_rows_i8 rows_of_input(const struct ct_cpu_input *input, int64_t k)
{
    return (struct ct_rows_i8){input->q,
                               input->scale,
                               input->sum,
                               (k + 63) & ~(int64_t)63,
                               (k + CT_X_GROUP - 1) / CT_X_GROUP,
                               false};
}

/* Row t of a LINEAR's input. */
static void quantize_row(const struct ct_cpu *cpu, const struct ct_node *node,
                         const struct ct_cpu_input *input, const float *row, int64_t k, int64_t t)
{
    const struct ct_rows_i8 x = rows_of_input(input, k);
    int8_t *q = input->q + t * x.ldq;
    if (!cpu->is_token_i8) {
        cpu->kernels->quantize_i8(row, k, q, input->scale + t * x.n_groups,
                                  input->sum + t * x.n_groups);
        return;
    }
    if (node->integer.is_on) {
        for (int64_t j = 0; j < x.ldq; j++)
            q[j] = j < k ? (int8_t)row[j] : 0;
        input->token[t] = 1;
    } else {
        cpu->kernels->quantize_row_i8(row, k, q, &input->token[t]);
    }
    for (int64_t g = 0; g < x.n_groups; g++) {
        int32_t sum = 0;
        for (int64_t j = 0; j < CT_X_GROUP; j++)
            sum += q[g * CT_X_GROUP + j];
        input->sum[t * x.n_groups + g] = sum;
    }
}

/* Makes this worker's rows of a LINEAR's input ready: quantised by groups, or, for float
 * activations, with zeros up to a multiple of 64. */
static void prepare_rows(struct ct_cpu_walk *walk, const struct ct_node *node)
{
    struct ct_cpu *cpu = walk->cpu;
    const struct ct_value *in = &cpu->graph->values[node->in];
    const bool is_int8 = wants_int8(cpu, node);
    if (walk->n_ahead == 0)
        ct_cpu_wait(walk);
    int64_t begin, end;
    ct_pool_share(ct_cpu_n_rows(walk, node->in), 1, walk->worker, walk->n_workers, &begin, &end);
    for (int64_t t = begin; t < end; t++) {
        float *row = ct_cpu_row(cpu, node->in, t);
        memset(row + in->width, 0, (size_t)(in->ld - in->width) * sizeof *row);
        if (is_int8)
            quantize_row(cpu, node, &cpu->input, row, in->width, t);
    }
    ct_cpu_wait(walk);
}

static struct ct_cpu_input own_input(const struct ct_cpu_walk *walk)
{
    const struct ct_cpu *cpu = walk->cpu;
    const int64_t first = walk->worker * CT_CPU_FEW_ROWS * cpu->max_k;
    return (struct ct_cpu_input){cpu->own.q + first, cpu->own.scale + first / CT_X_GROUP,
                                 cpu->own.sum + first / CT_X_GROUP,
                                 cpu->own.token + walk->worker * CT_CPU_FEW_ROWS};
}

/* All rows of a LINEAR's input for this worker alone, with the operation before it where that is
 * fused. */
static void prepare_own(struct ct_cpu_walk *walk, const struct ct_node *node)
{
    struct ct_cpu *cpu = walk->cpu;
    const bool is_made = ct_cpu_is_fused_before(walk, node);
    const int64_t k = cpu->graph->values[node->in].width;
    const struct ct_cpu_input input = own_input(walk);
    float *row = cpu->own_row + walk->worker * cpu->max_k;
    ct_cpu_wait(walk);
    for (int64_t t = 0; t < ct_cpu_n_rows(walk, node->in); t++) {
        if (is_made)
            make_row(cpu, node - 1, t, row);
        quantize_row(cpu, node, &input, is_made ? row : ct_cpu_row(cpu, node->in, t), k, t);
    }
}

enum { DENSE_TOKENS = 64 };

/* Row tiles [begin, end) of one weight, with its bias [n] or NULL. */
static void multiply(struct ct_cpu_walk *walk, const struct ct_node *node,
                     const struct ct_matrix *w, const float *bias, const struct ct_cpu_input *input,
                     float *y, int64_t begin, int64_t end)
{
    const struct ct_cpu *cpu = walk->cpu;
    const float *x = ct_cpu_row(cpu, node->in, 0);
    const int64_t ldx = cpu->graph->values[node->in].ld, ldy = cpu->graph->values[node->out].ld;
    const int64_t m = ct_cpu_n_rows(walk, node->out);
    if (w->kind == CT_MATRIX_DENSE) {
        const enum ct_dense_type type = w->dense_type == CT_DTYPE_F32   ? CT_DENSE_F32
                                        : w->dense_type == CT_DTYPE_F16 ? CT_DENSE_F16
                                                                        : CT_DENSE_BF16;
        const int64_t last = end * CT_TILE_ROWS < w->n ? end * CT_TILE_ROWS : w->n;
        /* A few tokens at a time, which stay in the cache while the weights pass by. */
        for (int64_t t = 0; t < m; t += DENSE_TOKENS) {
            const int64_t n_tokens = m - t < DENSE_TOKENS ? m - t : DENSE_TOKENS;
            const struct ct_dense job = {.n = w->n,
                                         .k = w->k,
                                         .type = type,
                                         .w = w->dense,
                                         .m = n_tokens,
                                         .x = x + t * ldx,
                                         .ldx = ldx,
                                         .y = y + t * ldy,
                                         .ldy = ldy,
                                         .is_added = node->is_added,
                                         .bias = bias};
            cpu->kernels->dense(&job, begin * CT_TILE_ROWS, last);
        }
        return;
    }
    const struct ct_clustered *c = &w->clustered;
    struct ct_rows_i8 x_i8 = rows_of_input(input, c->k);
    x_i8.has_lowest = node->integer.is_on;
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
        .x_i8 = x_i8,
        .token_scale = cpu->is_token_i8 ? input->token : NULL,
        .x_f32 = x,
        .ldx = ldx,
        .y = y,
        .ldy = ldy,
        .is_added = node->is_added,
        .bias = bias,
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

/* A LINEAR's tiles, those of all its weights counted together. */
static int64_t all_tiles_of(const struct ct_cpu *cpu, const struct ct_node *node)
{
    int64_t n_tiles = 0;
    for (int i = 0; i < node->n_weights; i++)
        n_tiles += tiles_of(&cpu->matrices[node->weights[i]]);
    return n_tiles;
}

/* What becomes of the sums of row tiles [begin, end) of weight i, which are at y. */
static void store_tiles(struct ct_cpu_walk *walk, const struct ct_node *node, int i, float *y,
                        int64_t begin, int64_t end)
{
    const struct ct_cpu *cpu = walk->cpu;
    const int64_t first = begin * CT_TILE_ROWS, n = cpu->matrices[node->weights[i]].n;
    const int64_t last = end * CT_TILE_ROWS < n ? end * CT_TILE_ROWS : n;
    const float *bias = node->integer.bias[i];
    for (int64_t t = 0; t < ct_cpu_n_rows(walk, node->out); t++)
        cpu->kernels->store_i8(y + t * cpu->graph->values[node->out].ld + first,
                               bias != NULL ? bias + first : NULL, last - first,
                               node->integer.scale[i]);
}

/* Tiles [begin, end) of a LINEAR, for all rows. */
static void multiply_tiles(struct ct_cpu_walk *walk, const struct ct_node *node,
                           const struct ct_cpu_input *input, int64_t begin, int64_t end)
{
    const struct ct_cpu *cpu = walk->cpu;
    float *y = ct_cpu_row(cpu, node->out, 0);
    for (int i = 0; i < node->n_weights; i++) {
        const struct ct_matrix *w = &cpu->matrices[node->weights[i]];
        const int64_t n = tiles_of(w);
        const int64_t first = begin > 0 ? begin : 0, last = end < n ? end : n;
        const bool is_integer = node->integer.is_on;
        if (first < last)
            multiply(walk, node, w,
                     node->has_bias && !is_integer ? cpu->matrices[node->biases[i]].vector : NULL,
                     input, y, first, last);
        if (first < last && is_integer)
            store_tiles(walk, node, i, y, first, last);
        begin -= n;
        end -= n;
        y += w->n;
    }
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
    ct_pool_share(all_tiles_of(cpu, &g->nodes[i]), 1, walk->worker, walk->n_workers, &begin, &end);
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
    const int64_t tile_weights = CT_TILE_ROWS * cpu->graph->values[node->in].ld;
    ct_pool_deal(cpu->pool, walk->worker, all_tiles_of(cpu, node),
                 (LEAST_WEIGHTS + tile_weights - 1) / tile_weights);
    if (is_own)
        prepare_own(walk, node);
    else
        prepare_rows(walk, node);
    const struct ct_cpu_input input = is_own ? own_input(walk) : cpu->input;

    int64_t begin, end;
    while (ct_pool_take(cpu->pool, walk->worker, &begin, &end))
        multiply_tiles(walk, node, &input, begin, end);
    ct_cpu_look_ahead(walk, node_index(walk, node) + 1);
}

void ct_cpu_run_node(struct ct_cpu_walk *walk, const struct ct_node *node)
{
    switch (node->op) {
    case CT_OP_EMBED:
        embed(walk, node);
        break;
    case CT_OP_PATCH:
        patch(walk, node);
        break;
    case CT_OP_PREFIX:
        prefix(walk, node);
        break;
    case CT_OP_PLACE:
        place(walk, node);
        break;
    case CT_OP_LAYERNORM:
    case CT_OP_RMSNORM:
    case CT_OP_SWIGLU:
    case CT_OP_ACTIVATE:
        make_rows(walk, node);
        break;
    case CT_OP_LINEAR:
        linear(walk, node);
        break;
    case CT_OP_ROTATE:
        ct_cpu_rotate(walk, node);
        break;
    case CT_OP_ATTEND:
        ct_cpu_attend(walk, node);
        break;
    case CT_OP_ADDSCALED:
        add_scaled(walk, node);
        break;
    case CT_OP_SELECT:
    case CT_OP_MEAN:
        select_rows(walk, node);
        break;
    case CT_OP_SCALE:
        scale(walk, node);
        break;
    case CT_OP_UNIT:
        divide_by_length(walk, node);
        break;
    case CT_OP_QUANTIZE:
        ct_cpu_quantize(walk, node);
        break;
    case CT_OP_DEQUANTIZE:
        ct_cpu_dequantize(walk, node);
        break;
    case CT_OP_JOIN:
        ct_cpu_join(walk, node);
        break;
    case CT_N_OPS:
        break;
    }
}
