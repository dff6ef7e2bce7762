/* The bert family (BERT, MiniLM and the sentence encoders made of them): post-norm, learned positions,
 * every token sees all.
 *
 *   h = norm(embed[token] + position[place] + type[0])      [T, E]
 *   each layer:
 *     qkv = h [Wq | Wk | Wv] + [bq | bk | bv]               [T, 3 H D]
 *     h = norm(h + attention(qkv) Wo + bo)                  [T, H D] -> [T, E]
 *     h = norm(h + activation(h W1 + b1) W2 + b2)                 [T, E] -> [T, F] -> [T, E]
 *   out = pool(h), of length 1 where the model says so      [T, E] -> [sequences, E] */
#include "engine/backend/backend.h"
#include "engine/graph/family.h"
#include "engine/graph/graph.h"
#include "models/families.h"

#include <stdio.h>

struct bert {
    const struct ct_hparams *p;
    struct ct_graph *g;
    int h; /* value that runs through all layers, [T, E] */
};

/* h = norm(h), the weights NAME.weight and NAME.bias. */
static void norm(const struct bert *b, const char *prefix, const char *name)
{
    const int64_t E = b->p->d_model;
    const int weight = ct_graph_slot(b->g, 0, E, "%s%s.weight", prefix, name);
    const int bias = ct_graph_slot(b->g, 0, E, "%s%s.bias", prefix, name);
    ct_graph_node(b->g, (struct ct_node){.op = CT_OP_LAYERNORM,
                                         .in = b->h,
                                         .out = b->h,
                                         .weights = {weight, bias},
                                         .n_weights = 2});
}

/* out (+)= in [W1 | ...]^T + [b1 | ...] of n names, each [width, k]. */
static void linear(const struct bert *b, int in, int out, int64_t width, int64_t k,
                   const char *prefix, const char *const *names, int n, bool is_added)
{
    struct ct_node node = {.op = CT_OP_LINEAR,
                           .in = in,
                           .out = out,
                           .n_weights = n,
                           .has_bias = true,
                           .is_added = is_added};
    for (int i = 0; i < n; i++) {
        node.weights[i] = ct_graph_slot(b->g, width, k, "%s%s.weight", prefix, names[i]);
        node.biases[i] = ct_graph_slot(b->g, 0, width, "%s%s.bias", prefix, names[i]);
    }
    ct_graph_node(b->g, node);
}

static void embed(const struct bert *b)
{
    const int64_t E = b->p->d_model;
    const int word = ct_graph_slot(b->g, b->p->n_vocab, E, "embeddings.word_embeddings.weight");
    const int place =
        ct_graph_slot(b->g, b->p->context_tok, E, "embeddings.position_embeddings.weight");
    const int type =
        ct_graph_slot(b->g, b->p->n_types, E, "embeddings.token_type_embeddings.weight");
    ct_graph_node(b->g,
                  (struct ct_node){
                      .op = CT_OP_EMBED, .in = -1, .out = b->h, .weights = {word}, .n_weights = 1});
    ct_graph_node(
        b->g,
        (struct ct_node){
            .op = CT_OP_PLACE, .in = b->h, .out = b->h, .weights = {place, type}, .n_weights = 2});
    norm(b, "embeddings.", "LayerNorm");
}

static void layer(const struct bert *b, int i)
{
    static const char *const qkv_names[] = {"attention.self.query", "attention.self.key",
                                            "attention.self.value"};
    static const char *const o_name[] = {"attention.output.dense"};
    static const char *const up_name[] = {"intermediate.dense"}, *const down_name[] = {
                                                                     "output.dense"};
    const int64_t E = b->p->d_model, F = b->p->d_ff;
    char prefix[32];
    snprintf(prefix, sizeof prefix, "encoder.layer.%d.", i);
    const int qkv = ct_graph_value(b->g, 3 * E, CT_ROWS_TOKENS);
    const int attended = ct_graph_value(b->g, E, CT_ROWS_TOKENS);
    linear(b, b->h, qkv, E, E, prefix, qkv_names, 3, false);
    ct_graph_node(b->g, (struct ct_node){.op = CT_OP_ATTEND, .in = qkv, .out = attended});
    linear(b, attended, b->h, E, E, prefix, o_name, 1, true);
    norm(b, prefix, "attention.output.LayerNorm");
    const int up = ct_graph_value(b->g, F, CT_ROWS_TOKENS);
    const int activated = ct_graph_value(b->g, F, CT_ROWS_TOKENS);
    linear(b, b->h, up, F, E, prefix, up_name, 1, false);
    ct_graph_node(b->g, (struct ct_node){.op = CT_OP_ACTIVATE,
                                         .in = up,
                                         .out = activated,
                                         .activation = b->p->activation});
    linear(b, activated, b->h, E, F, prefix, down_name, 1, true);
    norm(b, prefix, "output.LayerNorm");
}

static enum ct_status build(const struct ct_hparams *p, struct ct_graph *g, struct ct_error *err)
{
    if (p->n_heads * p->head_dim != p->d_model || p->n_kv_heads != p->n_heads)
        return ct_error_set(err, CT_UNSUPPORTED,
                            "hidden_size %d is not num_attention_heads %d x %d", p->d_model,
                            p->n_heads, p->head_dim);
    if (p->context_tok > CT_ENCODER_TOK)
        return ct_error_set(err, CT_UNSUPPORTED,
                            "max_position_embeddings is %d, expected at most %d", p->context_tok,
                            CT_ENCODER_TOK);
    g->n_kv_layers = 1;
    g->is_encoder = true;
    g->norm_eps = p->norm_eps;
    g->heads = (struct ct_heads){p->n_heads, p->n_kv_heads, p->head_dim, 0};
    const struct bert b = {p, g, ct_graph_value(g, p->d_model, CT_ROWS_TOKENS)};
    embed(&b);
    for (int i = 0; i < p->n_layers; i++)
        layer(&b, i);
    const int out = ct_graph_value(g, p->d_model, CT_ROWS_LOGITS);
    const enum ct_op pool = p->pooling.mode == CT_POOLING_MEAN ? CT_OP_MEAN : CT_OP_SELECT;
    ct_graph_node(g, (struct ct_node){.op = pool, .in = b.h, .out = out});
    if (p->pooling.is_unit)
        ct_graph_node(g, (struct ct_node){.op = CT_OP_UNIT, .in = out, .out = out});
    return ct_graph_check(g, err);
}

const struct ct_family ct_family_bert = {.name = "bert", .build = build};
