#include "engine/runtime/profile.h"

#include "engine/base/clock.h"

_Static_assert((int)CT_N_OPS <= (int)CT_MAX_OP_COSTS, "ct_engine_profile has room for every op");

static int64_t count_parameters(const struct ct_graph *graph, const int *slots, int n)
{
    int64_t sum = 0;
    for (int i = 0; i < n; i++) {
        const struct ct_slot *slot = &graph->slots[slots[i]];
        sum += slot->k * (slot->n > 0 ? slot->n : 1);
    }
    return sum;
}

static int64_t count_scores(const struct ct_graph *graph, const struct ct_batch *batch)
{
    int64_t n_keys = 0;
    for (int t = 0; t < batch->n_rows; t++)
        n_keys += graph->is_encoder ? batch->lengths[t] : batch->positions[t] + 1;
    return n_keys * graph->heads.n_heads;
}

void ct_profile_run(struct ct_engine *engine, const struct ct_batch *batch,
                    struct ct_op_cost ops[CT_N_OPS])
{
    const struct ct_graph *graph = &engine->graph;
    for (int i = 0; i < graph->n_nodes; i++) {
        const struct ct_node *node = &graph->nodes[i];
        const struct ct_value *out = &graph->values[node->out];
        struct ct_op_cost *op = &ops[node->op];
        const uint64_t start_ns = ct_clock_ns();
        engine->backend->ops->run(engine->backend, batch, i, i + 1);
        op->ns += ct_clock_ns() - start_ns;
        op->name = ct_op_name(node->op);
        op->n_weights += count_parameters(graph, node->weights, node->n_weights);
        if (node->has_bias)
            op->n_weights += count_parameters(graph, node->biases, node->n_weights);
        op->n_values +=
            out->width * (out->rows == CT_ROWS_LOGITS ? batch->n_logits : batch->n_rows);
        if (node->op == CT_OP_ATTEND)
            op->n_scores += count_scores(graph, batch);
    }
}
