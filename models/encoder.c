#include "models/encoder.h"

enum ct_status ct_encoder_begin(const struct ct_encoder *e, struct ct_error *err)
{
    const struct ct_hparams *p = e->p;
    if (p->n_heads * p->head_dim != p->d_model || p->n_kv_heads != p->n_heads)
        return ct_error_set(err, CT_UNSUPPORTED,
                            "hidden_size %d is not num_attention_heads %d x %d", p->d_model,
                            p->n_heads, p->head_dim);
    e->g->n_kv_layers = 1;
    e->g->is_encoder = true;
    e->g->norm_eps = p->norm_eps;
    e->g->heads = (struct ct_heads){p->n_heads, p->n_kv_heads, p->head_dim, 0};
    return CT_OK;
}

void ct_encoder_norm(const struct ct_encoder *e, int in, int out, const char *prefix,
                     const char *name)
{
    const int64_t E = e->p->d_model;
    const int weight = ct_graph_slot(e->g, 0, E, "%s%s%s.weight", e->prefix, prefix, name);
    const int bias = ct_graph_slot(e->g, 0, E, "%s%s%s.bias", e->prefix, prefix, name);
    ct_graph_node(e->g, (struct ct_node){.op = CT_OP_LAYERNORM,
                                         .in = in,
                                         .out = out,
                                         .weights = {weight, bias},
                                         .n_weights = 2});
}

void ct_encoder_linear(const struct ct_encoder *e, const struct ct_encoder_linear *l)
{
    struct ct_node node = {.op = CT_OP_LINEAR,
                           .in = l->in,
                           .out = l->out,
                           .n_weights = l->n,
                           .has_bias = !l->has_no_bias,
                           .is_added = l->is_added};
    for (int i = 0; i < l->n; i++) {
        node.weights[i] =
            ct_graph_slot(e->g, l->width, l->k, "%s%s%s.weight", e->prefix, l->prefix, l->names[i]);
        if (node.has_bias)
            node.biases[i] =
                ct_graph_slot(e->g, 0, l->width, "%s%s%s.bias", e->prefix, l->prefix, l->names[i]);
    }
    ct_graph_node(e->g, node);
}

int ct_encoder_activate(const struct ct_encoder *e, int in, int64_t width, enum ct_rows rows,
                        enum ct_activation activation)
{
    const int out = ct_graph_value(e->g, width, rows);
    ct_graph_node(e->g, (struct ct_node){
                            .op = CT_OP_ACTIVATE, .in = in, .out = out, .activation = activation});
    return out;
}

int ct_encoder_pool(const struct ct_encoder *e, enum ct_op op, int in, int row)
{
    const int out = ct_graph_value(e->g, e->p->d_model, CT_ROWS_LOGITS);
    ct_graph_node(e->g, (struct ct_node){.op = op, .in = in, .out = out, .row = row});
    return out;
}

void ct_encoder_end_vectors(const struct ct_encoder *e, int vectors)
{
    if (e->p->pooling.is_unit)
        ct_graph_node(e->g, (struct ct_node){.op = CT_OP_UNIT, .in = vectors, .out = vectors});
}
