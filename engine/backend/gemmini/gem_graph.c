#include "engine/backend/gemmini/gem_graph.h"

/* A product for each weight, and what the host does with them together; or attention's. */
enum { MAX_OPS_OF_NODE = CT_MAX_NODE_WEIGHTS + 1 };
_Static_assert((int)MAX_OPS_OF_NODE >= (int)CT_GEM_ATTENTION_OPS, "attention is a node, too");

size_t ct_gem_max_ops(const struct ct_graph *graph)
{
    return (size_t)graph->n_nodes * MAX_OPS_OF_NODE;
}

static bool is_dynamic(const struct ct_gem_step *step, const struct ct_node *node)
{
    return step->is_dynamic && !node->integer.is_on;
}

static struct ct_gem_op by_row(enum ct_gem_op_kind kind, size_t count, size_t m, size_t n)
{
    return (struct ct_gem_op){.kind = kind, .count = count, .m = m, .n = n};
}

/* The same, of int32. */
static struct ct_gem_op by_full_row(enum ct_gem_op_kind kind, size_t count, size_t m, size_t n)
{
    struct ct_gem_op op = by_row(kind, count, m, n);
    op.is_full_c = true;
    return op;
}

/* Behind products with dynamic scales: of their int32, by the host in floats. */
static struct ct_gem_op behind_products(const struct ct_gem_step *step, const struct ct_node *node,
                                        struct ct_gem_op op)
{
    op.is_full_c = op.is_float = is_dynamic(step, node);
    return op;
}

/* Columns that are multiplied each by its own number: 16 at a time, by diagonal blocks. */
static struct ct_gem_op by_column(size_t m, size_t n)
{
    return (struct ct_gem_op){.kind = CT_GEM_OP_MATMUL,
                              .count = (n + CT_GEM_DIM - 1) / CT_GEM_DIM,
                              .m = m,
                              .n = CT_GEM_DIM,
                              .k = CT_GEM_DIM};
}

static size_t list_gelu(size_t m, size_t n, struct ct_gem_op *ops)
{
    ops[0] = by_column(m, n);
    ops[1] = by_row(CT_GEM_OP_GELU, ops[0].count, m, CT_GEM_DIM);
    return 2;
}

/* Where the stream was normed, the norm's weight and bias come first. */
static size_t list_join(const struct ct_node *node, size_t m, size_t n, struct ct_gem_op *ops)
{
    const size_t n_ops = node->n_weights > 0 ? 2 : 1;
    for (size_t i = 0; i < n_ops; i++) {
        ops[i] = by_column(m, n);
        ops[i].is_full_c = true;
        ops[i].has_addend = i + 1 == n_ops;
        ops[i].has_bias = !ops[i].has_addend;
    }
    return n_ops;
}

/* Columns of a product with dynamic scales that the node after it does not read as int32 itself. */
static size_t columns_left(const struct ct_graph *graph, const struct ct_node *node)
{
    const struct ct_heads *heads = &graph->heads;
    const struct ct_node *next = node + 1;
    const size_t width = (size_t)graph->values[node->out].width;
    if (next == graph->nodes + graph->n_nodes || next->in != node->out)
        return width;
    switch (next->op) {
    case CT_OP_SWIGLU:
    case CT_OP_ADDSCALED:
        return 0;
    case CT_OP_ACTIVATE:
        return next->activation == CT_ACTIVATION_RELU ? width : 0;
    case CT_OP_ROTATE: /* of queries and keys, not of values */
        return width - (size_t)((heads->n_heads + heads->n_kv_heads) * heads->head_dim);
    default:
        return width;
    }
}

static struct ct_gem_op residual(const struct ct_gem_step *step, const struct ct_node *node,
                                 size_t m, size_t n)
{
    return by_row(is_dynamic(step, node) ? CT_GEM_OP_RESIDUAL : CT_GEM_OP_RESADD, 1, m, n);
}

static size_t list_products(const struct ct_graph *graph, const struct ct_gem_step *step,
                            const struct ct_node *node, size_t m, const int *index_bits,
                            struct ct_gem_op *ops)
{
    const size_t width = (size_t)graph->values[node->out].width;
    const bool is_full = is_dynamic(step, node);
    size_t n_ops = 0;
    for (int i = 0; i < node->n_weights; i++) {
        const struct ct_slot *slot = &graph->slots[node->weights[i]];
        ops[n_ops++] = (struct ct_gem_op){
            .kind = CT_GEM_OP_MATMUL,
            .count = 1,
            .m = m,
            .n = (size_t)slot->n,
            .k = (size_t)slot->k,
            .index_bits = index_bits[node->weights[i]],
            .has_bias = (node->has_bias && !is_full) || node->integer.bias[i] != NULL,
            .is_full_c = is_full || (node->integer.is_on && node->integer.scale[i] == 0)};
    }
    if (node->is_added)
        ops[n_ops++] = residual(step, node, m, width);
    else if (is_full && columns_left(graph, node) > 0)
        ops[n_ops++] = by_full_row(CT_GEM_OP_REQUANTISE, 1, m, columns_left(graph, node));
    return n_ops;
}

/* Attention of n_layers layers, each as node. */
static size_t list_attention(const struct ct_graph *graph, const struct ct_gem_step *step,
                             const struct ct_node *node, size_t n_layers, struct ct_gem_op *ops)
{
    const size_t H = (size_t)graph->heads.n_heads, D = (size_t)graph->heads.head_dim;
    const bool is_full = is_dynamic(step, node),
               is_result_full = is_full || node->integer.kv_step[0] > 0;
    ops[0] = (struct ct_gem_op){.kind = CT_GEM_OP_MATMUL,
                                .role = CT_GEM_ROLE_QK,
                                .count = n_layers * H,
                                .m = step->n_rows,
                                .n = step->n_keys,
                                .k = D,
                                .b_transpose = true,
                                .is_full_c = is_full};
    ops[1] = behind_products(step, node,
                             by_row(CT_GEM_OP_SOFTMAX, n_layers * H, step->n_rows, step->n_keys));
    ops[2] = (struct ct_gem_op){.kind = CT_GEM_OP_MATMUL,
                                .role = CT_GEM_ROLE_AV,
                                .count = n_layers * H,
                                .m = step->n_rows,
                                .n = D,
                                .k = step->n_keys,
                                .is_full_c = is_result_full};
    ops[3] = by_full_row(CT_GEM_OP_REQUANTISE, n_layers, step->n_rows, H * D);
    return is_result_full ? 4 : 3;
}

size_t ct_gem_list_attention(const struct ct_graph *graph, const struct ct_gem_step *step,
                             struct ct_gem_op *ops)
{
    const struct ct_node *node = NULL;
    size_t n_layers = 0;
    for (int i = 0; i < graph->n_nodes; i++)
        if (graph->nodes[i].op == CT_OP_ATTEND) {
            node = &graph->nodes[i];
            n_layers++;
        }
    return node != NULL ? list_attention(graph, step, node, n_layers, ops) : 0;
}

static size_t list_node(const struct ct_graph *graph, const struct ct_gem_step *step,
                        const struct ct_node *node, const int *index_bits, struct ct_gem_op *ops)
{
    const struct ct_heads *heads = &graph->heads;
    const struct ct_value *out = &graph->values[node->out];
    const size_t m = out->rows == CT_ROWS_LOGITS ? step->n_logits : step->n_rows,
                 n = (size_t)out->width;
    if (m == 0)
        return 0;
    switch (node->op) {
    case CT_OP_LINEAR:
        return list_products(graph, step, node, m, index_bits, ops);
    case CT_OP_ATTEND:
        return step->n_keys > 0 ? list_attention(graph, step, node, 1, ops) : 0;
    case CT_OP_JOIN:
        return list_join(node, m, n, ops);
    case CT_OP_LAYERNORM:
        ops[0] = by_row(CT_GEM_OP_LAYERNORM, 1, m, n);
        ops[0].is_float = is_dynamic(step, node);
        return 1;
    case CT_OP_RMSNORM:
        ops[0] = by_row(CT_GEM_OP_RMSNORM, 1, m, n);
        return 1;
    case CT_OP_ROTATE:
        ops[0] = behind_products(
            step, node,
            by_row(CT_GEM_OP_ROTARY, 1, m,
                   (size_t)((heads->n_heads + heads->n_kv_heads) * heads->head_dim)));
        return 1;
    case CT_OP_SWIGLU:
        ops[0] = behind_products(step, node, by_row(CT_GEM_OP_GATE, 1, m, n));
        return 1;
    case CT_OP_ACTIVATE:
        if (node->integer.is_on)
            return list_gelu(m, n, ops);
        ops[0] = behind_products(step, node, by_row(CT_GEM_OP_GELU, 1, m, n));
        return node->activation == CT_ACTIVATION_RELU ? 0 : 1;
    case CT_OP_ADDSCALED: /* static scales hold the factors */
        ops[0] = residual(step, node, m, n);
        return 1;
    case CT_OP_QUANTIZE:
    case CT_OP_DEQUANTIZE:
        ops[0] = by_row(CT_GEM_OP_REQUANTISE, 1, m, n);
        return 1;
    default:
        return 0;
    }
}

size_t ct_gem_list_ops(const struct ct_graph *graph, const struct ct_gem_step *step,
                       const int *index_bits, struct ct_gem_op *ops)
{
    size_t n = 0;
    for (int i = 0; i < graph->n_nodes; i++)
        n += list_node(graph, step, &graph->nodes[i], index_bits, ops + n);
    return n;
}

size_t ct_gem_merge_ops(struct ct_gem_op *ops, size_t n)
{
    size_t n_left = 0;
    for (size_t i = 0; i < n; i++) {
        size_t same = 0;
        while (same < n_left && !ct_gem_op_is_alike(&ops[same], &ops[i]))
            same++;
        if (same < n_left)
            ops[same].count += ops[i].count;
        else
            ops[n_left++] = ops[i];
    }
    return n_left;
}
