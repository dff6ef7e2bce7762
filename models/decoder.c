#include "models/decoder.h"

static void norm(struct ct_graph *g, int in, int out, int weight)
{
    ct_graph_node(
        g, (struct ct_node){
               .op = CT_OP_RMSNORM, .in = in, .out = out, .weights = {weight}, .n_weights = 1});
}

struct ct_decoder ct_decoder_begin(const struct ct_hparams *p, struct ct_graph *g)
{
    g->n_kv_layers = p->n_layers;
    g->norm_eps = p->norm_eps;
    g->heads = (struct ct_heads){p->n_heads, p->n_kv_heads, p->head_dim, p->rope_theta};
    struct ct_decoder d = {
        .p = p,
        .g = g,
        .embed = ct_graph_slot(g, p->n_vocab, p->d_model, "model.embed_tokens.weight"),
        .h = ct_graph_value(g, p->d_model, CT_ROWS_TOKENS),
    };
    ct_graph_node(
        g, (struct ct_node){
               .op = CT_OP_EMBED, .in = -1, .out = d.h, .weights = {d.embed}, .n_weights = 1});
    return d;
}

int ct_decoder_norm(const struct ct_decoder *d, int layer, const char *name)
{
    const int64_t E = d->p->d_model;
    int out = ct_graph_value(d->g, E, CT_ROWS_TOKENS);
    norm(d->g, d->h, out, ct_graph_slot(d->g, 0, E, "model.layers.%d.%s.weight", layer, name));
    return out;
}

int ct_decoder_qkv(const struct ct_decoder *d, int layer, int x, bool has_bias)
{
    static const char names[3] = {'q', 'k', 'v'};
    const int64_t E = d->p->d_model, D = d->p->head_dim;
    const int64_t widths[3] = {d->p->n_heads * D, d->p->n_kv_heads * D, d->p->n_kv_heads * D};
    int qkv = ct_graph_value(d->g, widths[0] + widths[1] + widths[2], CT_ROWS_TOKENS);
    struct ct_node node = {
        .op = CT_OP_LINEAR, .in = x, .out = qkv, .n_weights = 3, .has_bias = has_bias};
    for (int i = 0; i < 3; i++) {
        node.weights[i] = ct_graph_slot(
            d->g, widths[i], E, "model.layers.%d.self_attn.%c_proj.weight", layer, names[i]);
        if (has_bias)
            node.biases[i] = ct_graph_slot(
                d->g, 0, widths[i], "model.layers.%d.self_attn.%c_proj.bias", layer, names[i]);
    }
    ct_graph_node(d->g, node);
    return qkv;
}

/* h += in W for W [E, k], model.layers.<layer>.<name>.weight. */
static void add_to_h(const struct ct_decoder *d, int layer, const char *name, int64_t k, int in)
{
    int weight = ct_graph_slot(d->g, d->p->d_model, k, "model.layers.%d.%s.weight", layer, name);
    ct_graph_node(d->g, (struct ct_node){.op = CT_OP_LINEAR,
                                         .in = in,
                                         .out = d->h,
                                         .weights = {weight},
                                         .n_weights = 1,
                                         .is_added = true});
}

void ct_decoder_attend(const struct ct_decoder *d, int layer, int qkv)
{
    const int64_t width = (int64_t)d->p->n_heads * d->p->head_dim;
    ct_graph_node(d->g, (struct ct_node){.op = CT_OP_ROTATE, .in = qkv, .out = qkv});
    int attended = ct_graph_value(d->g, width, CT_ROWS_TOKENS);
    ct_graph_node(d->g,
                  (struct ct_node){.op = CT_OP_ATTEND, .in = qkv, .out = attended, .layer = layer});
    add_to_h(d, layer, "self_attn.o_proj", width, attended);
}

void ct_decoder_swiglu(const struct ct_decoder *d, int layer, int x)
{
    const int64_t E = d->p->d_model, F = d->p->d_ff;
    int gate_up = ct_graph_value(d->g, 2 * F, CT_ROWS_TOKENS);
    int gate = ct_graph_slot(d->g, F, E, "model.layers.%d.mlp.gate_proj.weight", layer);
    int up = ct_graph_slot(d->g, F, E, "model.layers.%d.mlp.up_proj.weight", layer);
    ct_graph_node(
        d->g,
        (struct ct_node){
            .op = CT_OP_LINEAR, .in = x, .out = gate_up, .weights = {gate, up}, .n_weights = 2});
    int f = ct_graph_value(d->g, F, CT_ROWS_TOKENS);
    ct_graph_node(d->g, (struct ct_node){.op = CT_OP_SWIGLU, .in = gate_up, .out = f});
    add_to_h(d, layer, "mlp.down_proj", F, f);
}

enum ct_status ct_decoder_end(const struct ct_decoder *d, struct ct_error *err)
{
    const int64_t E = d->p->d_model, V = d->p->n_vocab;
    int last = ct_graph_value(d->g, E, CT_ROWS_LOGITS);
    ct_graph_node(d->g, (struct ct_node){.op = CT_OP_SELECT, .in = d->h, .out = last});
    int normed = ct_graph_value(d->g, E, CT_ROWS_LOGITS);
    norm(d->g, last, normed, ct_graph_slot(d->g, 0, E, "model.norm.weight"));
    int vocab = d->p->has_tied_embeddings ? d->embed : ct_graph_slot(d->g, V, E, "lm_head.weight");
    int logits = ct_graph_value(d->g, V, CT_ROWS_LOGITS);
    ct_graph_node(
        d->g,
        (struct ct_node){
            .op = CT_OP_LINEAR, .in = normed, .out = logits, .weights = {vocab}, .n_weights = 1});
    return ct_graph_check(d->g, err);
}
