/* The bert family and its relatives: BERT, MiniLM and the sentence encoders and cross-encoders made of
 * them, DistilBERT, and MPNet. Post-norm, learned positions, every token sees all.
 *
 *   h = norm(embed[token] + position[place] (+ type[type of token]))   [T, E]
 *   each layer:
 *     qkv = h [Wq | Wk | Wv] + [bq | bk | bv]                          [T, 3 H D]
 *     h = norm(h + attention(qkv) Wo + bo)                             [T, H D] -> [T, E]
 *     h = norm(h + activation(h W1 + b1) W2 + b2)                      [T, E] -> [T, F] -> [T, E]
 *   out = pool(h), of length 1 where the model says so                 [T, E] -> [sequences, E]
 *   or of a classifier, from the first token: f(h Wd + bd) Wc + bc     -> [sequences, labels]
 *
 * What comes from the first token alone needs the rest of the last layer, behind its attention, for
 * that row only. */
#include "engine/backend/backend.h"
#include "engine/graph/family.h"
#include "engine/graph/graph.h"
#include "models/families.h"

#include <stdio.h>

/* Where the relatives' names differ, and their heads. */
struct names {
    const char *prefix; /* of all weights but the head's, where hparams->is_prefixed */
    const char *layer;
    const char *qkv[3];
    const char *attended;
    const char *norms[2]; /* behind attention and behind the MLP */
    const char *up, *down;
    const char *bias;           /* MPNet's table of distances */
    const char *dense, *labels; /* the head's two matrices */
    enum ct_activation between; /* these two */
    bool is_dense_prefixed;     /* BERT's pooler is part of the model */
};

struct bert {
    const struct ct_hparams *p;
    struct ct_graph *g;
    const struct names *names;
    const char *prefix;
    int bias; /* slot of attention's table of distances, [32, H], which all layers share; -1: none */
};

/* The rows that go on together: of all tokens, or of sequences' first ones. */
struct stream {
    int h; /* value that runs through all layers, [rows, E] */
    enum ct_rows rows;
};

/* h = norm(h), the weights NAME.weight and NAME.bias. */
static void norm(const struct bert *b, int h, const char *prefix, const char *name)
{
    const int64_t E = b->p->d_model;
    const int weight = ct_graph_slot(b->g, 0, E, "%s%s%s.weight", b->prefix, prefix, name);
    const int bias = ct_graph_slot(b->g, 0, E, "%s%s%s.bias", b->prefix, prefix, name);
    ct_graph_node(
        b->g,
        (struct ct_node){
            .op = CT_OP_LAYERNORM, .in = h, .out = h, .weights = {weight, bias}, .n_weights = 2});
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
        node.weights[i] =
            ct_graph_slot(b->g, width, k, "%s%s%s.weight", b->prefix, prefix, names[i]);
        node.biases[i] = ct_graph_slot(b->g, 0, width, "%s%s%s.bias", b->prefix, prefix, names[i]);
    }
    ct_graph_node(b->g, node);
}

static int activate(const struct bert *b, int in, int64_t width, enum ct_rows rows,
                    enum ct_activation activation)
{
    const int out = ct_graph_value(b->g, width, rows);
    ct_graph_node(b->g, (struct ct_node){
                            .op = CT_OP_ACTIVATE, .in = in, .out = out, .activation = activation});
    return out;
}

/* ---- the model ---- */

static void embed(const struct bert *b, int h)
{
    static const char prefix[] = "embeddings.";
    const int64_t E = b->p->d_model, n_places = b->p->context_tok + b->p->first_place;
    const int word =
        ct_graph_slot(b->g, b->p->n_vocab, E, "%s%sword_embeddings.weight", b->prefix, prefix);
    struct ct_node place = {
        .op = CT_OP_PLACE, .in = h, .out = h, .n_weights = 1, .row = b->p->first_place};
    place.weights[0] =
        ct_graph_slot(b->g, n_places, E, "%s%sposition_embeddings.weight", b->prefix, prefix);
    if (b->p->n_types > 0)
        place.weights[place.n_weights++] = ct_graph_slot(
            b->g, b->p->n_types, E, "%s%stoken_type_embeddings.weight", b->prefix, prefix);
    ct_graph_node(
        b->g,
        (struct ct_node){.op = CT_OP_EMBED, .in = -1, .out = h, .weights = {word}, .n_weights = 1});
    ct_graph_node(b->g, place);
    norm(b, h, prefix, "LayerNorm");
}

/* What the heads find, [T, H D]. */
static int attend(const struct bert *b, int h, const char *prefix)
{
    const int64_t E = b->p->d_model;
    const int qkv = ct_graph_value(b->g, 3 * E, CT_ROWS_TOKENS);
    const int attended = ct_graph_value(b->g, E, CT_ROWS_TOKENS);
    linear(b, h, qkv, E, E, prefix, b->names->qkv, 3, false);
    struct ct_node node = {.op = CT_OP_ATTEND, .in = qkv, .out = attended};
    if (b->bias >= 0)
        node.weights[node.n_weights++] = b->bias;
    ct_graph_node(b->g, node);
    return attended;
}

/* A layer behind its attention. */
static void finish_layer(const struct bert *b, struct stream s, int attended, const char *prefix)
{
    const int64_t E = b->p->d_model, F = b->p->d_ff;
    linear(b, attended, s.h, E, E, prefix, &b->names->attended, 1, true);
    norm(b, s.h, prefix, b->names->norms[0]);
    const int up = ct_graph_value(b->g, F, s.rows);
    linear(b, s.h, up, F, E, prefix, &b->names->up, 1, false);
    const int activated = activate(b, up, F, s.rows, b->p->activation);
    linear(b, activated, s.h, E, F, prefix, &b->names->down, 1, true);
    norm(b, s.h, prefix, b->names->norms[1]);
}

/* ---- the answer ---- */

/* A value of each sequence's own: of its first token, or the mean. */
static int pool(const struct bert *b, int in, enum ct_op op)
{
    const int out = ct_graph_value(b->g, b->p->d_model, CT_ROWS_LOGITS);
    ct_graph_node(b->g, (struct ct_node){.op = op, .in = in, .out = out});
    return out;
}

static void classify(const struct bert *b, int h)
{
    const int64_t E = b->p->d_model;
    struct bert head = *b;
    head.prefix = "";
    const int dense = ct_graph_value(b->g, E, CT_ROWS_LOGITS);
    linear(b->names->is_dense_prefixed ? b : &head, h, dense, E, E, "", &b->names->dense, 1, false);
    const int between = activate(b, dense, E, CT_ROWS_LOGITS, b->names->between);
    const int labels = ct_graph_value(b->g, b->p->n_labels, CT_ROWS_LOGITS);
    linear(&head, between, labels, b->p->n_labels, E, "", &b->names->labels, 1, false);
}

/* The end of the last layer, and what is made of it. */
static void answer(const struct bert *b, struct stream s, int attended, const char *prefix)
{
    const bool is_classifier = b->p->task == CT_TASK_CLASSIFY;
    const bool is_mean = !is_classifier && b->p->pooling.mode == CT_POOLING_MEAN;
    if (!is_mean) {
        s = (struct stream){pool(b, s.h, CT_OP_SELECT), CT_ROWS_LOGITS};
        attended = pool(b, attended, CT_OP_SELECT);
    }
    finish_layer(b, s, attended, prefix);
    if (is_classifier) {
        classify(b, s.h);
        return;
    }
    const int out = is_mean ? pool(b, s.h, CT_OP_MEAN) : s.h;
    if (b->p->pooling.is_unit)
        ct_graph_node(b->g, (struct ct_node){.op = CT_OP_UNIT, .in = out, .out = out});
}

static enum ct_status build(const struct ct_hparams *p, const struct names *names,
                            struct ct_graph *g, struct ct_error *err)
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
    struct bert b = {p, g, names, p->is_prefixed ? names->prefix : "", -1};
    if (names->bias != NULL)
        b.bias = ct_graph_slot(g, CT_BIAS_BUCKETS, p->n_heads, "%s%s", b.prefix, names->bias);
    const struct stream s = {ct_graph_value(g, p->d_model, CT_ROWS_TOKENS), CT_ROWS_TOKENS};
    embed(&b, s.h);
    for (int i = 0; i < p->n_layers; i++) {
        char prefix[48];
        snprintf(prefix, sizeof prefix, "%s.%d.", names->layer, i);
        const int attended = attend(&b, s.h, prefix);
        if (i + 1 < p->n_layers)
            finish_layer(&b, s, attended, prefix);
        else
            answer(&b, s, attended, prefix);
    }
    return ct_graph_check(g, err);
}

static enum ct_status build_bert(const struct ct_hparams *p, struct ct_graph *g,
                                 struct ct_error *err)
{
    static const struct names names = {
        .prefix = "bert.",
        .layer = "encoder.layer",
        .qkv = {"attention.self.query", "attention.self.key", "attention.self.value"},
        .attended = "attention.output.dense",
        .norms = {"attention.output.LayerNorm", "output.LayerNorm"},
        .up = "intermediate.dense",
        .down = "output.dense",
        .dense = "pooler.dense",
        .labels = "classifier",
        .is_dense_prefixed = true,
        .between = CT_ACTIVATION_TANH,
    };
    return build(p, &names, g, err);
}

static enum ct_status build_distilbert(const struct ct_hparams *p, struct ct_graph *g,
                                       struct ct_error *err)
{
    static const struct names names = {
        .prefix = "distilbert.",
        .layer = "transformer.layer",
        .qkv = {"attention.q_lin", "attention.k_lin", "attention.v_lin"},
        .attended = "attention.out_lin",
        .norms = {"sa_layer_norm", "output_layer_norm"},
        .up = "ffn.lin1",
        .down = "ffn.lin2",
        .dense = "pre_classifier",
        .labels = "classifier",
        .between = CT_ACTIVATION_RELU,
    };
    return build(p, &names, g, err);
}

static enum ct_status build_mpnet(const struct ct_hparams *p, struct ct_graph *g,
                                  struct ct_error *err)
{
    static const struct names names = {
        .prefix = "mpnet.",
        .layer = "encoder.layer",
        .qkv = {"attention.attn.q", "attention.attn.k", "attention.attn.v"},
        .attended = "attention.attn.o",
        .norms = {"attention.LayerNorm", "output.LayerNorm"},
        .up = "intermediate.dense",
        .down = "output.dense",
        .dense = "classifier.dense",
        .labels = "classifier.out_proj",
        .between = CT_ACTIVATION_TANH,
        .bias = "encoder.relative_attention_bias.weight",
    };
    return build(p, &names, g, err);
}

const struct ct_family ct_family_bert = {.name = "bert", .build = build_bert};
const struct ct_family ct_family_distilbert = {.name = "distilbert", .build = build_distilbert};
const struct ct_family ct_family_mpnet = {.name = "mpnet", .build = build_mpnet};
