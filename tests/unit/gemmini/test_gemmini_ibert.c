/* Integers throughout: every operation of the CPU has the bits that the machine's commands give, on random
 * numbers; and so has every value of whole models, run on the machine node by node. */
#include "engine/backend/cpu/cpu_ops.h"
#include "engine/base/rng.h"
#include "engine/runtime/engine_internal.h"
#include "tests/support/calibrated.h"
#include "tests/support/gem_machine.h"
#include "tests/support/reference.h"

#include <math.h>

static int between(struct ct_rng *rng, int low, int high)
{
    return low + (int)ct_rng_below(rng, (uint64_t)(high - low + 1));
}

static void *allocate(size_t n, size_t size)
{
    void *block = calloc(n + 1, size);
    assert_non_null(block);
    return block;
}

static void fill_i8(struct ct_rng *rng, int8_t *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] = (int8_t)between(rng, -128, 127);
}

static void assert_equal_i8(const char *what, const float *found, const int8_t *machine, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (found[i] != (float)machine[i])
            fail_msg("%s: number %zu is %g, on the machine %d", what, i, (double)found[i],
                     machine[i]);
}

/* ---- single operations ---- */

static const struct {
    size_t rows, cols;
} sizes[] = {{1, 1}, {1, 64}, {3, 17}, {16, 16}, {5, 100}, {33, 48}, {2, 384}, {20, 130}};
enum { N_SIZES = sizeof sizes / sizeof *sizes };

static void stores_are_the_machines(void **state)
{
    (void)state;
    const struct ct_gem_config config = gem_preset("default");
    struct ct_rng rng;
    ct_rng_init(&rng, 11);
    print_message("seed 11\n");
    for (int i = 0; i < 4 * N_SIZES; i++) {
        const size_t m = sizes[i % N_SIZES].rows, n = sizes[i % N_SIZES].cols,
                     k = (size_t)between(&rng, 1, 90);
        int8_t *a = allocate(m * k, 1), *b = allocate(n * k, 1), *c = allocate(m * n, 1);
        int32_t *d = allocate(n, sizeof *d);
        float *sums = allocate(n, sizeof *sums), *bias = allocate(n, sizeof *bias);
        fill_i8(&rng, a, m * k);
        fill_i8(&rng, b, n * k);
        for (size_t j = 0; j < n; j++)
            bias[j] = (float)(d[j] = between(&rng, -200000, 200000));
        const float scale = ldexpf((float)ct_rng_uniform(&rng) - 0.3f, -between(&rng, 4, 14));
        const struct ct_gem_matmul op = {
            .m = m, .n = n, .k = k, .b_transpose = true, .scale = scale, .act_scale = 1};
        gem_multiply(&config, op, a, b, d, false, c);
        for (size_t t = 0; t < m; t++) {
            for (size_t j = 0; j < n; j++) {
                int32_t sum = 0;
                for (size_t l = 0; l < k; l++)
                    sum += a[t * k + l] * b[j * k + l];
                sums[j] = (float)sum;
            }
            ct_kernels()->store_i8(sums, bias, (int64_t)n, scale);
            assert_equal_i8("a store", sums, c + t * n, n);
        }
        free(a);
        free(b);
        free(c);
        free(d);
        free(sums);
        free(bias);
    }
}

static void gelu_is_the_machines(void **state)
{
    (void)state;
    const struct ct_gem_config config = gem_preset("default");
    enum { N = 256 };
    int8_t in[N], gains[N], out[N];
    float x[N];
    for (int i = 0; i < N; i++) {
        in[i] = (int8_t)(i - 128);
        x[i] = (float)in[i];
    }
    for (int count = 1; count <= 127; count += 7)
        for (float unit = 1.1e-4F; unit < 2; unit *= 3.7F) {
            memset(gains, count, sizeof gains);
            const float erf = -0.2888F * unit * unit / 2, scale = unit * erf / 2 / 0.05F;
            const struct ct_gem_matmul op = {
                .m = 1, .n = N, .act = CT_GEM_ACT_IGELU, .scale = scale, .act_scale = unit};
            float y[N];
            gem_multiply_columns(&config, op, in, gains, NULL, false, out);
            ct_kernels()->igelu_i8(x, N, count, unit, scale, y);
            assert_equal_i8("GELU", y, out, N);
        }
}

static void layernorm_is_the_machines(void **state)
{
    (void)state;
    const struct ct_gem_config config = gem_preset("default");
    struct ct_rng rng;
    ct_rng_init(&rng, 12);
    print_message("seed 12\n");
    for (int i = 0; i < 12 * N_SIZES; i++) {
        const size_t m = sizes[i % N_SIZES].rows, n = sizes[i % N_SIZES].cols;
        /* The largest ones pass int32 in their squares. */
        const int size = 1 << 2 * (i / N_SIZES);
        int32_t *in = allocate(m * n, sizeof *in);
        int8_t *out = allocate(m * n, 1);
        float *x = allocate(n, sizeof *x);
        for (size_t j = 0; j < m * n; j++)
            in[j] = i % 5 == 4 ? size : between(&rng, -size, 2 * size);
        const float scale = 1 + 60 * (float)ct_rng_uniform(&rng);
        gem_normalise(
            &config,
            (struct ct_gem_normalise){
                .rows = m, .cols = n, .act = CT_GEM_ACT_LAYERNORM, .scale = scale, .act_scale = 1},
            in, out);
        for (size_t t = 0; t < m; t++) {
            for (size_t j = 0; j < n; j++)
                x[j] = (float)in[t * n + j];
            ct_kernels()->layernorm_i8(x, (int64_t)n, scale, x);
            assert_equal_i8("LayerNorm", x, out + t * n, n);
        }
        free(in);
        free(out);
        free(x);
    }
}

static void softmax_is_the_machines(void **state)
{
    (void)state;
    const struct ct_gem_config config = gem_preset("default");
    struct ct_rng rng;
    ct_rng_init(&rng, 13);
    print_message("seed 13\n");
    for (int i = 0; i < 8 * N_SIZES; i++) {
        const size_t m = sizes[i % N_SIZES].rows, n = sizes[i % N_SIZES].cols;
        const float unit = ldexpf(0.5f + (float)ct_rng_uniform(&rng), -between(&rng, 1, 12));
        const int size = 1 << between(&rng, 1, 20);
        int32_t *in = allocate(m * n, sizeof *in);
        int8_t *out = allocate(m * n, 1), *found = allocate(n, 1);
        for (size_t j = 0; j < m * n; j++)
            in[j] = between(&rng, -size, size);
        gem_normalise(
            &config,
            (struct ct_gem_normalise){
                .rows = m, .cols = n, .act = CT_GEM_ACT_SOFTMAX, .scale = 1, .act_scale = unit},
            in, out);
        for (size_t t = 0; t < m; t++) {
            ct_kernels()->softmax_i8(in + t * n, (int64_t)n, unit, found);
            assert_memory_equal(found, out + t * n, n);
        }
        free(in);
        free(out);
        free(found);
    }
}

/* ---- whole models ---- */

/* What the machine has of each value of the graph: [rows, width]. */
struct machine {
    struct ct_gem_config config;
    const struct ct_engine *engine;
    struct ct_batch batch;
    int32_t **values; /* [n_values]; NULL: not yet */
    int n_checked;
};

static size_t rows_of(const struct machine *m, int value)
{
    return (size_t)(m->engine->graph.values[value].rows == CT_ROWS_LOGITS ? m->batch.n_logits
                                                                          : m->batch.n_rows);
}

static size_t width_of(const struct machine *m, int value)
{
    return (size_t)m->engine->graph.values[value].width;
}

static const float *engine_row(const struct machine *m, int value, size_t t)
{
    int64_t ld;
    const float *x = m->engine->backend->ops->value(m->engine->backend, value, &ld);
    return x + (int64_t)t * ld;
}

static int32_t *value_of(struct machine *m, int value)
{
    if (m->values[value] == NULL)
        m->values[value] = allocate(rows_of(m, value) * width_of(m, value), sizeof(int32_t));
    return m->values[value];
}

/* Columns [first, first + n) of rows [t, t + n_rows) as int8. */
static int8_t *cut(struct machine *m, int value, size_t t, size_t n_rows, size_t first, size_t n)
{
    const size_t width = width_of(m, value);
    const int32_t *in = value_of(m, value);
    int8_t *out = allocate(n_rows * n, 1);
    for (size_t i = 0; i < n_rows; i++)
        for (size_t j = 0; j < n; j++) {
            const int32_t x = in[(t + i) * width + first + j];
            assert_in_range(x + 128, 0, 255);
            out[i * n + j] = (int8_t)x;
        }
    return out;
}

static void paste(struct machine *m, int value, size_t t, size_t n_rows, size_t first, size_t n,
                  const int8_t *x)
{
    for (size_t i = 0; i < n_rows; i++)
        for (size_t j = 0; j < n; j++)
            value_of(m, value)[(t + i) * width_of(m, value) + first + j] = x[i * n + j];
}

static void run_linear(struct machine *m, const struct ct_node *node)
{
    const size_t rows = rows_of(m, node->in), k = width_of(m, node->in);
    size_t first = 0;
    int8_t *a = cut(m, node->in, 0, rows, 0, k);
    for (int i = 0; i < node->n_weights; i++) {
        const struct ct_matrix *w = &m->engine->binding.matrices[node->weights[i]];
        const size_t n = (size_t)w->n;
        int8_t *b = allocate(n * k, 1);
        int32_t *d = allocate(n, sizeof *d), *c = allocate(rows * n, sizeof *c);
        float *row = allocate(k, sizeof *row);
        for (size_t r = 0; r < n; r++) {
            ct_binding_row(w, (int64_t)r, row);
            for (size_t j = 0; j < k; j++)
                b[r * k + j] = (int8_t)row[j];
            if (node->integer.bias[i] != NULL)
                d[r] = (int32_t)node->integer.bias[i][r];
        }
        const float scale = node->integer.scale[i];
        const struct ct_gem_matmul op = {.m = rows,
                                         .n = n,
                                         .k = k,
                                         .b_transpose = true,
                                         .is_full_c = scale == 0,
                                         .scale = scale == 0 ? 1 : scale,
                                         .act_scale = 1};
        gem_multiply(&m->config, op, a, b, node->integer.bias[i] != NULL ? d : NULL, false, c);
        if (scale != 0)
            paste(m, node->out, 0, rows, first, n, (const int8_t *)c);
        for (size_t t = 0; t < rows && scale == 0; t++)
            memcpy(value_of(m, node->out) + t * width_of(m, node->out) + first, c + t * n,
                   n * sizeof *c);
        first += n;
        free(b);
        free(d);
        free(c);
        free(row);
    }
    free(a);
}

/* One head of one sequence, whose rows begin at t. */
static void run_head(struct machine *m, const struct ct_node *node, size_t t, size_t T, size_t head)
{
    const struct ct_cpu *cpu = (const struct ct_cpu *)m->engine->backend;
    const struct ct_heads *heads = &m->engine->graph.heads;
    const size_t D = (size_t)heads->head_dim, H = (size_t)heads->n_heads;
    int8_t *q = cut(m, node->in, t, T, head * D, D), *k = cut(m, node->in, t, T, (H + head) * D, D),
           *v = cut(m, node->in, t, T, (2 * H + head) * D, D), *p = allocate(T * T, 1),
           *out = allocate(T * D, 1);
    int32_t *bias = allocate(T * T, sizeof *bias);
    for (size_t i = 0; i < T && node->n_weights > 0; i++)
        for (size_t s = 0; s < T; s++)
            bias[i * T + s] = (int32_t)rintf(
                cpu->bias[(2 * (int64_t)head + 1) * cpu->context_tok + (int64_t)s - (int64_t)i] /
                node->integer.unit);
    const struct ct_gem_matmul scores = {.m = T,
                                         .n = T,
                                         .k = D,
                                         .b_transpose = true,
                                         .act = CT_GEM_ACT_SOFTMAX,
                                         .scale = 1,
                                         .act_scale = node->integer.unit};
    gem_multiply(&m->config, scores, q, k, node->n_weights > 0 ? bias : NULL, true, p);
    const struct ct_gem_matmul sums = {
        .m = T, .n = D, .k = T, .scale = node->integer.scale[0], .act_scale = 1};
    gem_multiply(&m->config, sums, p, v, NULL, false, out);
    paste(m, node->out, t, T, head * D, D, out);
    free(q);
    free(k);
    free(v);
    free(p);
    free(out);
    free(bias);
}

static void run_attention(struct machine *m, const struct ct_node *node)
{
    size_t T;
    for (size_t t = 0; t < rows_of(m, node->in); t += T) {
        T = (size_t)m->batch.lengths[t];
        for (int head = 0; head < m->engine->graph.heads.n_heads; head++)
            run_head(m, node, t, T, (size_t)head);
    }
}

static void run_norm(struct machine *m, const struct ct_node *node)
{
    const size_t rows = rows_of(m, node->in), n = width_of(m, node->in);
    int8_t *out = allocate(rows * n, 1);
    gem_normalise(&m->config,
                  (struct ct_gem_normalise){.rows = rows,
                                            .cols = n,
                                            .act = CT_GEM_ACT_LAYERNORM,
                                            .scale = node->integer.scale[0],
                                            .act_scale = 1},
                  value_of(m, node->in), out);
    paste(m, node->out, 0, rows, 0, n, out);
    free(out);
}

static void run_gelu(struct machine *m, const struct ct_node *node)
{
    const size_t rows = rows_of(m, node->in), n = width_of(m, node->in);
    int8_t *in = cut(m, node->in, 0, rows, 0, n), *gains = allocate(n, 1),
           *out = allocate(rows * n, 1);
    memset(gains, node->integer.count, n);
    const struct ct_gem_matmul op = {.m = rows,
                                     .n = n,
                                     .act = CT_GEM_ACT_IGELU,
                                     .scale = node->integer.scale[0],
                                     .act_scale = node->integer.unit};
    gem_multiply_columns(&m->config, op, in, gains, NULL, false, out);
    paste(m, node->out, 0, rows, 0, n, out);
    free(in);
    free(gains);
    free(out);
}

static void run_join(struct machine *m, const struct ct_node *node)
{
    const size_t rows = rows_of(m, node->in), n = width_of(m, node->in);
    const struct ct_integer *integer = &node->integer;
    const struct ct_gem_matmul op = {
        .m = rows, .n = n, .is_full_c = true, .scale = 1, .act_scale = 1};
    int8_t *gains = allocate(n, 1);
    int32_t *stream = value_of(m, node->out);
    if (node->n_weights > 0) {
        const struct ct_matrix *matrices = m->engine->binding.matrices;
        int8_t *normed = cut(m, node->out, 0, rows, 0, n);
        int32_t *bias = allocate(n, sizeof *bias);
        for (size_t j = 0; j < n; j++) {
            const float gain = rintf(matrices[node->weights[0]].vector[j] * integer->gain);
            assert_true(fabsf(gain) <= 127);
            gains[j] = (int8_t)gain;
            bias[j] = (int32_t)rintf(matrices[node->weights[1]].vector[j] / integer->unit);
        }
        gem_multiply_columns(&m->config, op, normed, gains, bias, false, stream);
        free(normed);
        free(bias);
    }
    int8_t *in = cut(m, node->in, 0, rows, 0, n);
    memset(gains, integer->count, n);
    gem_multiply_columns(&m->config, op, in, gains, stream, true, stream);
    free(in);
    free(gains);
}

/* SELECT moves rows. */
static void run_select(struct machine *m, const struct ct_node *node)
{
    const size_t n = width_of(m, node->in);
    if (m->values[node->in] == NULL)
        return;
    for (int i = 0; i < m->batch.n_logits; i++)
        memcpy(value_of(m, node->out) + (size_t)i * n,
               value_of(m, node->in) + (size_t)(m->batch.logit_rows[i] + node->row) * n,
               n * sizeof(int32_t));
}

/* What the host made is taken from the engine. */
static void take(struct machine *m, int value)
{
    for (size_t t = 0; t < rows_of(m, value); t++)
        for (size_t j = 0; j < width_of(m, value); j++)
            value_of(m, value)[t * width_of(m, value) + j] = (int32_t)engine_row(m, value, t)[j];
}

static void run_node(struct machine *m, int i)
{
    const struct ct_node *node = &m->engine->graph.nodes[i];
    m->engine->backend->ops->run(m->engine->backend, &m->batch, i, i + 1);
    if (node->op == CT_OP_QUANTIZE)
        take(m, node->out);
    else if (node->op == CT_OP_SELECT)
        run_select(m, node);
    if (!node->integer.is_on)
        return;
    if (node->op == CT_OP_LINEAR)
        run_linear(m, node);
    else if (node->op == CT_OP_ATTEND)
        run_attention(m, node);
    else if (node->op == CT_OP_LAYERNORM)
        run_norm(m, node);
    else if (node->op == CT_OP_ACTIVATE)
        run_gelu(m, node);
    else
        run_join(m, node);
    m->n_checked++;
    for (size_t t = 0; t < rows_of(m, node->out); t++)
        for (size_t j = 0; j < width_of(m, node->out); j++) {
            const int32_t machine = value_of(m, node->out)[t * width_of(m, node->out) + j];
            if (engine_row(m, node->out, t)[j] != (float)machine)
                fail_msg("node %d (%s), row %zu, column %zu: %g, on the machine %d", i,
                         ct_op_name(node->op), t, j, (double)engine_row(m, node->out, t)[j],
                         machine);
        }
}

/* ---- generators ---- */

/* Numbers as int8 in steps, at most 127 away from 0. */
static void round_i8(const float *x, size_t n, float step, int8_t *q)
{
    for (size_t i = 0; i < n; i++)
        q[i] = (int8_t)fminf(fmaxf(rintf(x[i] / step), -127), 127);
}

/* Query head `head` of row t, which sees the rows of its sequence up to itself: softmax and both products
 * on the machine, the last with a column of ones behind the values. */
static void check_query(struct machine *m, const struct ct_node *node, const float *qkv, size_t t,
                        size_t head)
{
    const struct ct_heads *heads = &m->engine->graph.heads;
    const size_t D = (size_t)heads->head_dim, H = (size_t)heads->n_heads,
                 HKV = (size_t)heads->n_kv_heads, width = (H + 2 * HKV) * D,
                 n_keys = (size_t)m->batch.positions[t] + 1, first = t + 1 - n_keys;
    const float *kv_step = node->integer.kv_step, *q = qkv + t * width + head * D;
    const float per_step = kv_step[0] / sqrtf((float)D);
    int8_t *q_i8 = allocate(D, 1), *k = allocate(n_keys * D, 1), *v = allocate(n_keys * (D + 1), 1),
           *p = allocate(n_keys, 1);
    int32_t *sums = allocate(D + 1, sizeof *sums);
    float step = ct_softmax_least_unit((int64_t)n_keys) / per_step;
    for (size_t d = 0; d < D; d++)
        step = fmaxf(step, fabsf(q[d]) / 127);
    round_i8(q, D, step, q_i8);
    for (size_t s = 0; s < n_keys; s++) {
        const float *row = qkv + (first + s) * width + (H + head / (H / HKV)) * D;
        round_i8(row, D, kv_step[0], k + s * D);
        round_i8(row + HKV * D, D, kv_step[1], v + s * (D + 1));
        v[s * (D + 1) + D] = 1;
    }
    const struct ct_gem_matmul scores = {.m = 1,
                                         .n = n_keys,
                                         .k = D,
                                         .b_transpose = true,
                                         .act = CT_GEM_ACT_SOFTMAX,
                                         .scale = 1,
                                         .act_scale = step * per_step};
    gem_multiply(&m->config, scores, q_i8, k, NULL, false, p);
    const struct ct_gem_matmul values = {
        .m = 1, .n = D + 1, .k = n_keys, .is_full_c = true, .scale = 1, .act_scale = 1};
    gem_multiply(&m->config, values, p, v, NULL, false, sums);
    const float scale = sums[D] > 0 ? kv_step[1] / (float)sums[D] : 0;
    for (size_t d = 0; d < D; d++)
        if (engine_row(m, node->out, t)[head * D + d] != (float)sums[d] * scale)
            fail_msg("layer %d, row %zu, head %zu: %g, on the machine %g", node->layer, t, head,
                     (double)engine_row(m, node->out, t)[head * D + d],
                     (double)((float)sums[d] * scale));
    free(q_i8);
    free(k);
    free(v);
    free(p);
    free(sums);
}

/* A node of a generator; what attention reads is kept, as its result may take that place. */
static void run_attend(struct machine *m, int i)
{
    const struct ct_node *node = &m->engine->graph.nodes[i];
    const size_t rows = rows_of(m, node->in), width = width_of(m, node->in);
    float *qkv = allocate(rows * width, sizeof *qkv);
    for (size_t t = 0; t < rows; t++)
        memcpy(qkv + t * width, engine_row(m, node->in, t), width * sizeof *qkv);
    m->engine->backend->ops->run(m->engine->backend, &m->batch, i, i + 1);
    for (size_t t = 0; t < rows; t++)
        for (int head = 0; head < m->engine->graph.heads.n_heads; head++)
            check_query(m, node, qkv, t, (size_t)head);
    m->n_checked++;
    free(qkv);
}

/* The engine's step once more, node by node, with the machine beside it; its books still hold the step's
 * rows. */
static int replay(struct ct_engine *engine, const struct calibrated_input *input)
{
    int n_rows = 0;
    for (int s = 0; s < CALIBRATED_SEQUENCES; s++)
        n_rows += input->slices[s].n_tokens;
    struct machine m = {.config = gem_preset("ibert"),
                        .engine = engine,
                        .batch = {.n_rows = n_rows,
                                  .tokens = engine->tokens,
                                  .types = engine->types,
                                  .pixels = engine->row_pixels,
                                  .positions = engine->positions,
                                  .lengths = engine->lengths,
                                  .pages = engine->row_pages,
                                  .n_logits = CALIBRATED_SEQUENCES,
                                  .logit_rows = engine->logit_rows},
                        .values = allocate((size_t)engine->graph.n_values, sizeof *m.values)};
    ct_pool_enter(engine->pool);
    for (int i = 0; i < engine->graph.n_nodes; i++)
        if (engine->graph.nodes[i].integer.kv_step[0] > 0)
            run_attend(&m, i);
        else
            run_node(&m, i);
    ct_pool_leave(engine->pool);
    for (int i = 0; i < engine->graph.n_values; i++)
        free(m.values[i]);
    free(m.values);
    return m.n_checked;
}

static void models_are_the_machines(void **state)
{
    (void)state;
    static const char *const names[] = {"bert",
                                        "fixture",
                                        "encoders/bert_classifier",
                                        "encoders/distilbert",
                                        "encoders/mpnet",
                                        "vision/vit",
                                        "vision/deit",
                                        "vision/gray",
                                        "vision/dinov2",
                                        "vision/gated",
                                        "vision/post_norm"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct temp_dir dir;
        calibrated_open(names[i], &dir);
        struct ct_engine *exact = reference_engine(dir.path, CT_ACTIVATIONS_FLOAT, CT_KV_F16),
                         *engine = reference_engine(dir.path, CT_ACTIVATIONS_IBERT, CT_KV_F16);
        struct calibrated_input expected, input;
        calibrated_input_init(exact, &expected);
        calibrated_input_init(engine, &input);
        reference_step(exact, expected.slices, CALIBRATED_SEQUENCES);
        reference_step(engine, input.slices, CALIBRATED_SEQUENCES);
        double error = 0, size = 0;
        for (int s = 0; s < CALIBRATED_SEQUENCES; s++)
            for (int j = 0; j < ct_engine_info(engine)->n_outputs; j++) {
                const double x = expected.slices[s].logits[j], y = input.slices[s].logits[j];
                error += (y - x) * (y - x);
                size += x * x;
            }
        const int n_nodes = replay(engine, &input);
        print_message("%s: %d nodes equal, the answer off by %.4f\n", names[i], n_nodes,
                      sqrt(error / size));
        /* Of a generator attention, else all of a layer. */
        assert_true(n_nodes >= (ct_engine_info(engine)->is_encoder ? 2 * 7 : 2));
        assert_true(sqrt(error / size) < 0.35);
        calibrated_input_deinit(&expected);
        calibrated_input_deinit(&input);
        ct_engine_close(exact);
        ct_engine_close(engine);
        temp_dir_close(&dir);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stores_are_the_machines),   cmocka_unit_test(gelu_is_the_machines),
        cmocka_unit_test(layernorm_is_the_machines), cmocka_unit_test(softmax_is_the_machines),
        cmocka_unit_test(models_are_the_machines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
