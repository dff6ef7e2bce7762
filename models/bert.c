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
#include "models/encoder.h"
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
    struct ct_encoder e;
    const struct names *names;
    int bias; /* slot of attention's table of distances, [32, H], which all layers share; -1: none */
};

/* ---- the model ---- */

static void embed(const struct bert *b, int h)
{
    static const char prefix[] = "embeddings.";
    const struct ct_hparams *p = b->e.p;
    const char *front = b->e.prefix;
    const int64_t E = p->d_model, n_places = p->context_tok + p->first_place;
    const int word =
        ct_graph_slot(b->e.g, p->n_vocab, E, "%s%sword_embeddings.weight", front, prefix);
    struct ct_node place = {
        .op = CT_OP_PLACE, .in = h, .out = h, .n_weights = 1, .row = p->first_place};
    place.weights[0] =
        ct_graph_slot(b->e.g, n_places, E, "%s%sposition_embeddings.weight", front, prefix);
    if (p->n_types > 0)
        place.weights[place.n_weights++] =
            ct_graph_slot(b->e.g, p->n_types, E, "%s%stoken_type_embeddings.weight", front, prefix);
    ct_graph_node(
        b->e.g,
        (struct ct_node){.op = CT_OP_EMBED, .in = -1, .out = h, .weights = {word}, .n_weights = 1});
    ct_graph_node(b->e.g, place);
    ct_encoder_norm(&b->e, h, h, prefix, "LayerNorm");
}

/* What the heads find, [T, H D]. */
static int attend(const struct bert *b, int h, const char *prefix)
{
    const int64_t E = b->e.p->d_model;
    const int qkv = ct_graph_value(b->e.g, 3 * E, CT_ROWS_TOKENS);
    const int attended = ct_graph_value(b->e.g, E, CT_ROWS_TOKENS);
    const struct ct_encoder_linear linear = {
        .in = h, .out = qkv, .width = E, .k = E, .prefix = prefix, .names = b->names->qkv, .n = 3};
    ct_encoder_linear(&b->e, &linear);
    struct ct_node node = {.op = CT_OP_ATTEND, .in = qkv, .out = attended};
    if (b->bias >= 0)
        node.weights[node.n_weights++] = b->bias;
    ct_graph_node(b->e.g, node);
    return attended;
}

/* h = norm(h + in W^T + b), one of the two halves of a layer. */
static void join(const struct bert *b, int h, int in, int64_t k, const char *prefix,
                 const char *name, int half)
{
    const struct ct_encoder_linear linear = {.in = in,
                                             .out = h,
                                             .width = b->e.p->d_model,
                                             .k = k,
                                             .prefix = prefix,
                                             .names = &name,
                                             .n = 1,
                                             .is_added = true};
    ct_encoder_linear(&b->e, &linear);
    ct_encoder_norm(&b->e, h, h, prefix, b->names->norms[half]);
}

/* A layer behind its attention. */
static void finish_layer(const struct bert *b, struct ct_stream s, int attended, const char *prefix)
{
    const int64_t E = b->e.p->d_model, F = b->e.p->d_ff;
    join(b, s.h, attended, E, prefix, b->names->attended, 0);
    const int up = ct_graph_value(b->e.g, F, s.rows);
    const struct ct_encoder_linear linear = {
        .in = s.h, .out = up, .width = F, .k = E, .prefix = prefix, .names = &b->names->up, .n = 1};
    ct_encoder_linear(&b->e, &linear);
    const int activated = ct_encoder_activate(&b->e, up, F, s.rows, b->e.p->activation);
    join(b, s.h, activated, F, prefix, b->names->down, 1);
}

/* ---- the answer ---- */

static void classify(const struct bert *b, int h)
{
    const int64_t E = b->e.p->d_model;
    struct ct_encoder head = b->e;
    head.prefix = "";
    struct ct_encoder_linear linear = {.in = h,
                                       .out = ct_graph_value(b->e.g, E, CT_ROWS_LOGITS),
                                       .width = E,
                                       .k = E,
                                       .prefix = "",
                                       .names = &b->names->dense,
                                       .n = 1};
    ct_encoder_linear(b->names->is_dense_prefixed ? &b->e : &head, &linear);
    linear.in = ct_encoder_activate(&head, linear.out, E, CT_ROWS_LOGITS, b->names->between);
    linear.out = ct_graph_value(b->e.g, b->e.p->n_labels, CT_ROWS_LOGITS);
    linear.width = b->e.p->n_labels;
    linear.names = &b->names->labels;
    ct_encoder_linear(&head, &linear);
}

/* The end of the last layer, and what is made of it. */
static void answer(const struct bert *b, struct ct_stream s, int attended, const char *prefix)
{
    const bool is_classifier = b->e.p->task == CT_TASK_CLASSIFY;
    const bool is_mean = !is_classifier && b->e.p->pooling.mode == CT_POOLING_MEAN;
    if (!is_mean) {
        s = (struct ct_stream){ct_encoder_pool(&b->e, CT_OP_SELECT, s.h, 0), CT_ROWS_LOGITS};
        attended = ct_encoder_pool(&b->e, CT_OP_SELECT, attended, 0);
    }
    finish_layer(b, s, attended, prefix);
    if (is_classifier)
        classify(b, s.h);
    else
        ct_encoder_end_vectors(&b->e, is_mean ? ct_encoder_pool(&b->e, CT_OP_MEAN, s.h, 0) : s.h);
}

static enum ct_status build(const struct ct_hparams *p, const struct names *names,
                            struct ct_graph *g, struct ct_error *err)
{
    struct bert b = {{p, g, p->is_prefixed ? names->prefix : ""}, names, -1};
    enum ct_status status = ct_encoder_begin(&b.e, err);
    if (status != CT_OK)
        return status;
    if (p->context_tok > CT_ENCODER_TOK)
        return ct_error_set(err, CT_UNSUPPORTED,
                            "max_position_embeddings is %d, expected at most %d", p->context_tok,
                            CT_ENCODER_TOK);
    if (names->bias != NULL)
        b.bias = ct_graph_slot(g, CT_BIAS_BUCKETS, p->n_heads, "%s%s", b.e.prefix, names->bias);
    const struct ct_stream s = {ct_graph_value(g, p->d_model, CT_ROWS_TOKENS), CT_ROWS_TOKENS};
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
