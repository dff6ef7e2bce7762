#include "engine/graph/graph.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *ct_op_name(enum ct_op op)
{
    static const char *const names[CT_N_OPS] = {
#define CT_OP(name, text) #name,
#include "engine/graph/ops.def"
#undef CT_OP
    };
    return names[op];
}

void ct_graph_init(struct ct_graph *graph)
{
    *graph = (struct ct_graph){0};
}

void ct_graph_deinit(struct ct_graph *graph)
{
    free(graph->values);
    free(graph->slots);
    free(graph->nodes);
    ct_graph_init(graph);
}

/* Makes room for one more of n items; capacities are powers of two. */
static void *grow(struct ct_graph *graph, void *items, int n, size_t item_bytes)
{
    if (n > 0 && (n & (n - 1)) != 0)
        return items;
    void *larger = realloc(items, (n > 0 ? 2 * (size_t)n : 1) * item_bytes);
    if (larger == NULL)
        graph->is_out_of_memory = true;
    return larger;
}

int ct_graph_value(struct ct_graph *graph, int64_t width, enum ct_rows rows)
{
    struct ct_value *values = grow(graph, graph->values, graph->n_values, sizeof *values);
    if (values == NULL)
        return 0;
    graph->values = values;
    values[graph->n_values] = (struct ct_value){.width = width, .rows = rows};
    return graph->n_values++;
}

int ct_graph_slot(struct ct_graph *graph, int64_t n, int64_t k, const char *fmt, ...)
{
    struct ct_slot slot = {.n = n, .k = k};
    va_list args;
    va_start(args, fmt);
    vsnprintf(slot.name, sizeof slot.name, fmt, args);
    va_end(args);
    for (int i = 0; i < graph->n_slots; i++)
        if (strcmp(graph->slots[i].name, slot.name) == 0)
            return i;
    struct ct_slot *slots = grow(graph, graph->slots, graph->n_slots, sizeof *slots);
    if (slots == NULL)
        return 0;
    graph->slots = slots;
    slots[graph->n_slots] = slot;
    return graph->n_slots++;
}

void ct_graph_node(struct ct_graph *graph, struct ct_node node)
{
    struct ct_node *nodes = grow(graph, graph->nodes, graph->n_nodes, sizeof *nodes);
    if (nodes == NULL)
        return;
    graph->nodes = nodes;
    nodes[graph->n_nodes++] = node;
}

static bool weights_fit(const struct ct_graph *graph, const struct ct_node *node, int64_t width)
{
    for (int i = 0; i < node->n_weights; i++) {
        const struct ct_slot *weight = &graph->slots[node->weights[i]];
        const struct ct_slot *bias = &graph->slots[node->biases[i]];
        if (weight->k != width || (node->has_bias && (bias->n != 0 || bias->k != weight->n)))
            return false;
    }
    return node->n_weights > 0;
}

static bool fits(const struct ct_graph *graph, const struct ct_node *node)
{
    const struct ct_heads *heads = &graph->heads;
    int64_t qkv = (int64_t)(heads->n_heads + 2 * heads->n_kv_heads) * heads->head_dim;
    const struct ct_value *out = &graph->values[node->out];
    const struct ct_value *in = node->in >= 0 ? &graph->values[node->in] : NULL;
    int64_t n_out = 0;
    for (int i = 0; i < node->n_weights; i++)
        n_out += graph->slots[node->weights[i]].n;
    switch (node->op) {
    case CT_OP_EMBED:
        return in == NULL && graph->slots[node->weights[0]].k == out->width;
    case CT_OP_PATCH:
        return in == NULL && out->width == (int64_t)graph->patches.n_channels *
                                               graph->patches.size * graph->patches.size;
    case CT_OP_PREFIX:
        return node->in == node->out && node->n_weights == graph->patches.n_prefix &&
               weights_fit(graph, node, in->width);
    case CT_OP_PLACE:
        return node->in == node->out && node->n_weights <= 2 && weights_fit(graph, node, in->width);
    case CT_OP_LAYERNORM:
        return in->width == out->width && node->n_weights == 2 &&
               weights_fit(graph, node, in->width);
    case CT_OP_QUANTIZE:
        return in->width == out->width;
    case CT_OP_DEQUANTIZE:
    case CT_OP_JOIN:
        return in->width == out->width &&
               (node->n_weights == 0 ||
                (node->n_weights == 2 && weights_fit(graph, node, in->width)));
    case CT_OP_RMSNORM:
        return in->width == out->width && graph->slots[node->weights[0]].k == in->width;
    case CT_OP_LINEAR:
        return weights_fit(graph, node, in->width) && n_out == out->width;
    case CT_OP_ROTATE:
        return node->in == node->out && in->width == qkv;
    case CT_OP_ATTEND:
        return in->width == qkv && out->width == (int64_t)heads->n_heads * heads->head_dim &&
               node->layer < graph->n_kv_layers &&
               (node->n_weights == 0 ||
                (graph->is_encoder && weights_fit(graph, node, heads->n_heads) &&
                 n_out == CT_BIAS_BUCKETS));
    case CT_OP_SWIGLU:
        return in->width == 2 * out->width;
    case CT_OP_ACTIVATE:
        return in->width == out->width;
    case CT_OP_ADDSCALED:
        return in->width == out->width && weights_fit(graph, node, in->width);
    case CT_OP_SCALE:
    case CT_OP_UNIT:
        return node->in == node->out;
    case CT_OP_MEAN:
    case CT_OP_SELECT:
        return in->width == out->width && in->rows == CT_ROWS_TOKENS && out->rows == CT_ROWS_LOGITS;
    case CT_N_OPS:
        break;
    }
    return false;
}

enum ct_status ct_graph_check(const struct ct_graph *graph, struct ct_error *err)
{
    if (graph->is_out_of_memory)
        return ct_error_set(err, CT_MEMORY, "no memory for the graph");
    for (int i = 0; i < graph->n_nodes; i++)
        if (!fits(graph, &graph->nodes[i]))
            return ct_error_set(err, CT_INTERNAL, "graph node %d (%s): sizes do not fit", i,
                                ct_op_name(graph->nodes[i].op));
    return CT_OK;
}
