/* The vision families: vit, deit (a distillation token beside the class token) and dinov2 (LayerScale).
 * An image is a sequence: learned tokens, then its patches. Every token sees all.
 *
 *   h = [class | distillation | patches Wp + bp] + place    [T, E]
 *   each layer:
 *     h = h + l1 * (attention(norm(h) [Wq | Wk | Wv] + b) Wo + bo)
 *     h = h + l2 * (activation(norm(h) W1 + b1) W2 + b2)    [T, E] -> [T, F] -> [T, E]
 *   out = norm(h[class])                                    [images, E]
 *   or its labels: out Wc + bc, with DeiT's teacher the mean of two heads, one for each token
 *
 * l1 and l2 are dinov2's. A model with norms after attention and MLP (norm_first false) has
 * h = norm(h + ...) in both places and none at the end; others may lack the last one too
 * (use_final_layernorm false). Of the last layer only attention's keys and
 * values are wanted for all tokens: what follows is done for those rows alone that the answer comes
 * from. */
#include "engine/backend/backend.h"
#include "engine/graph/family.h"
#include "engine/graph/graph.h"
#include "models/families.h"

#include <stdio.h>

/* Where the families' names differ. */
struct names {
    const char *norms[2];              /* before attention, before the MLP */
    const char *up, *down;             /* of the MLP */
    const char *scales[2];             /* LayerScale; NULL: none */
    const char *gated_up, *gated_down; /* of a gated MLP */
};

struct vit {
    const struct ct_hparams *p;
    struct ct_graph *g;
    const struct names *names;
    const char *prefix; /* of all names but the heads' */
};

/* The rows that go on together: of all tokens, or those that an answer comes from. */
struct stream {
    int h; /* value that runs through all layers, [rows, E] */
    enum ct_rows rows;
};

static int value(const struct vit *v, const struct stream *s, int64_t width)
{
    return ct_graph_value(v->g, width, s->rows);
}

static int slot(const struct vit *v, int64_t n, int64_t k, const char *prefix, const char *name)
{
    return ct_graph_slot(v->g, n, k, "%s%s%s", v->prefix, prefix, name);
}

static void norm(const struct vit *v, int in, int out, const char *prefix, const char *name)
{
    char both[64];
    snprintf(both, sizeof both, "%s%s", prefix, name);
    const int weight = slot(v, 0, v->p->d_model, both, ".weight");
    const int bias = slot(v, 0, v->p->d_model, both, ".bias");
    ct_graph_node(v->g, (struct ct_node){.op = CT_OP_LAYERNORM,
                                         .in = in,
                                         .out = out,
                                         .weights = {weight, bias},
                                         .n_weights = 2});
}

/* out (+)= in [W1 | ...]^T + [b1 | ...] of n names, each [width, k]. */
static void linear(const struct vit *v, int in, int out, int64_t width, int64_t k,
                   const char *prefix, const char *const *names, int n, bool has_bias,
                   bool is_added)
{
    struct ct_node node = {.op = CT_OP_LINEAR,
                           .in = in,
                           .out = out,
                           .n_weights = n,
                           .has_bias = has_bias,
                           .is_added = is_added};
    for (int i = 0; i < n; i++) {
        char both[80];
        snprintf(both, sizeof both, "%s%s", prefix, names[i]);
        node.weights[i] = slot(v, width, k, both, ".weight");
        if (has_bias)
            node.biases[i] = slot(v, 0, width, both, ".bias");
    }
    ct_graph_node(v->g, node);
}

/* ---- the image ---- */

static void embed(const struct vit *v, const struct stream *s)
{
    static const char *const tokens[] = {"cls_token", "distillation_token"};
    static const char *const projection[] = {"patch_embeddings.projection"};
    static const char prefix[] = "embeddings.";
    const struct ct_patches *p = &v->g->patches;
    const int64_t E = v->p->d_model, width = (int64_t)p->n_channels * p->size * p->size;
    const int patches = value(v, s, width);
    ct_graph_node(v->g, (struct ct_node){.op = CT_OP_PATCH, .in = -1, .out = patches});
    linear(v, patches, s->h, E, width, prefix, projection, 1, true, false);
    struct ct_node first = {.op = CT_OP_PREFIX, .in = s->h, .out = s->h, .n_weights = p->n_prefix};
    for (int i = 0; i < p->n_prefix; i++)
        first.weights[i] = slot(v, 0, E, prefix, tokens[i]);
    ct_graph_node(v->g, first);
    const int place = slot(v, v->p->context_tok, E, prefix, "position_embeddings");
    v->g->slots[place].is_grid = true;
    ct_graph_node(
        v->g, (struct ct_node){
                  .op = CT_OP_PLACE, .in = s->h, .out = s->h, .weights = {place}, .n_weights = 1});
}

/* ---- a layer ---- */

/* What a half of the layer reads: the stream, or its norm. */
static int normed(const struct vit *v, const struct stream *s, const char *prefix, int half)
{
    if (v->p->vision.is_post_norm)
        return s->h;
    const int out = value(v, s, v->p->d_model);
    norm(v, s->h, out, prefix, v->names->norms[half]);
    return out;
}

/* The stream takes on what a half of the layer gives, in W^T + b. */
static void join(const struct vit *v, const struct stream *s, int in, int64_t k, const char *prefix,
                 const char *name, int half)
{
    const int64_t E = v->p->d_model;
    const bool has_scale = v->names->scales[half] != NULL;
    const int out = has_scale ? value(v, s, E) : s->h;
    linear(v, in, out, E, k, prefix, &name, 1, true, !has_scale);
    if (has_scale) {
        const int scale = slot(v, 0, E, prefix, v->names->scales[half]);
        ct_graph_node(
            v->g,
            (struct ct_node){
                .op = CT_OP_ADDSCALED, .in = out, .out = s->h, .weights = {scale}, .n_weights = 1});
    }
    if (v->p->vision.is_post_norm)
        norm(v, s->h, s->h, prefix, v->names->norms[half]);
}

/* [T, E] -> what the heads found, [T, H D] */
static int attend(const struct vit *v, const struct stream *s, const char *prefix)
{
    static const char *const names[] = {"attention.attention.query", "attention.attention.key",
                                        "attention.attention.value"};
    const int64_t E = v->p->d_model;
    const int in = normed(v, s, prefix, 0);
    const int qkv = value(v, s, 3 * E), attended = value(v, s, E);
    linear(v, in, qkv, E, E, prefix, names, 3, v->p->vision.has_qkv_bias, false);
    ct_graph_node(v->g, (struct ct_node){.op = CT_OP_ATTEND, .in = qkv, .out = attended});
    return attended;
}

static void mlp(const struct vit *v, const struct stream *s, const char *prefix)
{
    const int64_t E = v->p->d_model, F = v->p->d_ff;
    const bool is_gated = v->p->vision.is_gated;
    const char *const *up_name = is_gated ? &v->names->gated_up : &v->names->up;
    const int in = normed(v, s, prefix, 1);
    const int up = value(v, s, is_gated ? 2 * F : F), activated = value(v, s, F);
    linear(v, in, up, is_gated ? 2 * F : F, E, prefix, up_name, 1, true, false);
    ct_graph_node(v->g, (struct ct_node){.op = is_gated ? CT_OP_SWIGLU : CT_OP_ACTIVATE,
                                         .in = up,
                                         .out = activated,
                                         .activation = v->p->activation});
    join(v, s, activated, F, prefix, is_gated ? v->names->gated_down : v->names->down, 1);
}

/* A layer behind its attention. */
static void finish_layer(const struct vit *v, const struct stream *s, int attended,
                         const char *prefix)
{
    join(v, s, attended, v->p->d_model, prefix, "attention.output.dense", 0);
    mlp(v, s, prefix);
}

/* ---- the answer ---- */

static int pick(const struct vit *v, int in, int row)
{
    const int out = ct_graph_value(v->g, v->p->d_model, CT_ROWS_LOGITS);
    ct_graph_node(v->g, (struct ct_node){.op = CT_OP_SELECT, .in = in, .out = out, .row = row});
    return out;
}

/* The end of the last layer for token `row` of each image, [images, E]. */
static int finish_row(const struct vit *v, const struct stream *all, int attended, int row,
                      const char *prefix)
{
    const struct stream s = {pick(v, all->h, row), CT_ROWS_LOGITS};
    finish_layer(v, &s, pick(v, attended, row), prefix);
    if (v->p->vision.has_final_norm)
        norm(v, s.h, s.h, "", "layernorm");
    return s.h;
}

/* [images, E] -> labels, added to what is there already. */
static void classify(const struct vit *v, int in, const char *name, int labels, bool is_added)
{
    struct vit head = *v;
    int64_t width = v->p->d_model;
    head.prefix = "";
    if (v->p->vision.n_head_hidden > 0) {
        static const char *const hidden_name[] = {"pre_classifier"};
        const int64_t n = v->p->vision.n_head_hidden;
        const int hidden = ct_graph_value(v->g, n, CT_ROWS_LOGITS);
        const int activated = ct_graph_value(v->g, n, CT_ROWS_LOGITS);
        linear(&head, in, hidden, n, width, "", hidden_name, 1, true, false);
        ct_graph_node(v->g, (struct ct_node){.op = CT_OP_ACTIVATE,
                                             .in = hidden,
                                             .out = activated,
                                             .activation = v->p->activation});
        in = activated;
        width = n;
    }
    linear(&head, in, labels, v->p->n_labels, width, "", &name, 1, true, is_added);
}

static void answer(const struct vit *v, const struct stream *s, int attended, const char *prefix)
{
    if (v->p->task != CT_TASK_CLASSIFY) {
        int out;
        if (v->p->pooling.mode == CT_POOLING_MEAN) {
            finish_layer(v, s, attended, prefix);
            if (v->p->vision.has_final_norm)
                norm(v, s->h, s->h, "", "layernorm");
            out = ct_graph_value(v->g, v->p->d_model, CT_ROWS_LOGITS);
            ct_graph_node(v->g, (struct ct_node){.op = CT_OP_MEAN, .in = s->h, .out = out});
        } else {
            out = finish_row(v, s, attended, 0, prefix);
        }
        if (v->p->pooling.is_unit)
            ct_graph_node(v->g, (struct ct_node){.op = CT_OP_UNIT, .in = out, .out = out});
        return;
    }
    const int labels = ct_graph_value(v->g, v->p->n_labels, CT_ROWS_LOGITS);
    const int first = finish_row(v, s, attended, 0, prefix);
    if (!v->p->vision.has_teacher) {
        classify(v, first, "classifier", labels, false);
        return;
    }
    classify(v, first, "cls_classifier", labels, false);
    classify(v, finish_row(v, s, attended, 1, prefix), "distillation_classifier", labels, true);
    ct_graph_node(v->g,
                  (struct ct_node){.op = CT_OP_SCALE, .in = labels, .out = labels, .factor = 0.5f});
}

/* ---- all of it ---- */

static enum ct_status build(const struct ct_hparams *p, const struct names *names,
                            struct ct_graph *g, struct ct_error *err)
{
    const struct ct_vision *vision = &p->vision;
    if (p->n_heads * p->head_dim != p->d_model)
        return ct_error_set(err, CT_UNSUPPORTED,
                            "hidden_size %d is not num_attention_heads %d x %d", p->d_model,
                            p->n_heads, p->head_dim);
    if (p->context_tok > CT_ENCODER_TOK)
        return ct_error_set(err, CT_UNSUPPORTED, "an image has %d patches, expected at most %d",
                            p->context_tok, CT_ENCODER_TOK);
    g->n_kv_layers = 1;
    g->is_encoder = true;
    g->norm_eps = p->norm_eps;
    g->heads = (struct ct_heads){p->n_heads, p->n_kv_heads, p->head_dim, 0};
    g->patches = (struct ct_patches){.n_channels = vision->n_channels,
                                     .height = vision->height,
                                     .width = vision->width,
                                     .size = vision->patch_size,
                                     .n_prefix = vision->n_prefix,
                                     .stored_lines = vision->stored_height / vision->patch_size,
                                     .stored_columns = vision->stored_width / vision->patch_size};
    char front[sizeof p->family + 1] = "";
    if (p->is_prefixed)
        snprintf(front, sizeof front, "%s.", p->family);
    const struct vit v = {p, g, names, front};
    const struct stream s = {ct_graph_value(g, p->d_model, CT_ROWS_TOKENS), CT_ROWS_TOKENS};
    embed(&v, &s);
    for (int i = 0; i < p->n_layers; i++) {
        char prefix[32];
        snprintf(prefix, sizeof prefix, "encoder.layer.%d.", i);
        const int attended = attend(&v, &s, prefix);
        if (i + 1 < p->n_layers)
            finish_layer(&v, &s, attended, prefix);
        else
            answer(&v, &s, attended, prefix);
    }
    return ct_graph_check(g, err);
}

/* Of DeiT too. */
static enum ct_status build_vit(const struct ct_hparams *p, struct ct_graph *g,
                                struct ct_error *err)
{
    static const struct names names = {.norms = {"layernorm_before", "layernorm_after"},
                                       .up = "intermediate.dense",
                                       .down = "output.dense"};
    return build(p, &names, g, err);
}

static enum ct_status build_dinov2(const struct ct_hparams *p, struct ct_graph *g,
                                   struct ct_error *err)
{
    static const struct names names = {.norms = {"norm1", "norm2"},
                                       .up = "mlp.fc1",
                                       .down = "mlp.fc2",
                                       .scales = {"layer_scale1.lambda1", "layer_scale2.lambda1"},
                                       .gated_up = "mlp.weights_in",
                                       .gated_down = "mlp.weights_out"};
    if (p->task == CT_TASK_CLASSIFY)
        return ct_error_set(err, CT_UNSUPPORTED,
                            "architectures: Dinov2ForImageClassification, expected Dinov2Model");
    return build(p, &names, g, err);
}

/* ViT's and DeiT's names in timm, and in transformers 5 while a model is in memory. */
static const struct ct_part_map vit_parts[] = {
    {"embeddings.cls_token", "cls_token", CT_PART_ALL, 0},
    {"embeddings.position_embeddings", "pos_embed", CT_PART_ALL, 0},
    {"embeddings.patch_embeddings.projection.*", "patch_embed.proj.*", CT_PART_ALL, 0},
    {"encoder.layer.{}.layernorm_before.*", "blocks.{}.norm1.*", CT_PART_ALL, 0},
    {"encoder.layer.{}.layernorm_before.*", "layers.{}.layernorm_before.*", CT_PART_ALL, 0},
    {"encoder.layer.{}.attention.attention.query.*", "blocks.{}.attn.qkv.*", CT_PART_OF_ROWS, 0},
    {"encoder.layer.{}.attention.attention.key.*", "blocks.{}.attn.qkv.*", CT_PART_OF_ROWS, 1},
    {"encoder.layer.{}.attention.attention.value.*", "blocks.{}.attn.qkv.*", CT_PART_OF_ROWS, 2},
    {"encoder.layer.{}.attention.attention.query.*", "layers.{}.attention.q_proj.*", CT_PART_ALL,
     0},
    {"encoder.layer.{}.attention.attention.key.*", "layers.{}.attention.k_proj.*", CT_PART_ALL, 0},
    {"encoder.layer.{}.attention.attention.value.*", "layers.{}.attention.v_proj.*", CT_PART_ALL,
     0},
    {"encoder.layer.{}.attention.output.dense.*", "blocks.{}.attn.proj.*", CT_PART_ALL, 0},
    {"encoder.layer.{}.attention.output.dense.*", "layers.{}.attention.o_proj.*", CT_PART_ALL, 0},
    {"encoder.layer.{}.layernorm_after.*", "blocks.{}.norm2.*", CT_PART_ALL, 0},
    {"encoder.layer.{}.layernorm_after.*", "layers.{}.layernorm_after.*", CT_PART_ALL, 0},
    {"encoder.layer.{}.intermediate.dense.*", "blocks.{}.mlp.fc1.*", CT_PART_ALL, 0},
    {"encoder.layer.{}.intermediate.dense.*", "layers.{}.mlp.fc1.*", CT_PART_ALL, 0},
    {"encoder.layer.{}.output.dense.*", "blocks.{}.mlp.fc2.*", CT_PART_ALL, 0},
    {"encoder.layer.{}.output.dense.*", "layers.{}.mlp.fc2.*", CT_PART_ALL, 0},
    {"layernorm.*", "norm.*", CT_PART_ALL, 0},
    {"classifier.*", "head.*", CT_PART_HEAD, 0},
    {NULL, NULL, CT_PART_ALL, 0},
};

/* DINOv2's names in torch.hub and timm, and in transformers 5; and its places, which an export for
 * one size of images folds in two. */
static const struct ct_part_map dinov2_parts[] = {
    {"embeddings.cls_token", "cls_token", CT_PART_ALL, 0},
    {"embeddings.position_embeddings", "pos_embed", CT_PART_ALL, 0},
    {"embeddings.patch_embeddings.projection.*", "patch_embed.proj.*", CT_PART_ALL, 0},
    {"embeddings.position_embeddings", "embeddings.Concat", CT_PART_IN_ROWS, 0},
    {"embeddings.position_embeddings", "embeddings.Reshape", CT_PART_IN_ROWS, 1},
    {"encoder.layer.{}.norm1.*", "blocks.{}.norm1.*", CT_PART_ALL, 0},
    {"encoder.layer.{}.attention.attention.query.*", "blocks.{}.attn.qkv.*", CT_PART_OF_ROWS, 0},
    {"encoder.layer.{}.attention.attention.key.*", "blocks.{}.attn.qkv.*", CT_PART_OF_ROWS, 1},
    {"encoder.layer.{}.attention.attention.value.*", "blocks.{}.attn.qkv.*", CT_PART_OF_ROWS, 2},
    {"encoder.layer.{}.attention.attention.query.*", "encoder.layer.{}.attention.q_proj.*",
     CT_PART_ALL, 0},
    {"encoder.layer.{}.attention.attention.key.*", "encoder.layer.{}.attention.k_proj.*",
     CT_PART_ALL, 0},
    {"encoder.layer.{}.attention.attention.value.*", "encoder.layer.{}.attention.v_proj.*",
     CT_PART_ALL, 0},
    {"encoder.layer.{}.attention.output.dense.*", "blocks.{}.attn.proj.*", CT_PART_ALL, 0},
    {"encoder.layer.{}.attention.output.dense.*", "encoder.layer.{}.attention.o_proj.*",
     CT_PART_ALL, 0},
    {"encoder.layer.{}.layer_scale1.lambda1", "blocks.{}.ls1.gamma", CT_PART_ALL, 0},
    {"encoder.layer.{}.norm2.*", "blocks.{}.norm2.*", CT_PART_ALL, 0},
    {"encoder.layer.{}.mlp.fc1.*", "blocks.{}.mlp.fc1.*", CT_PART_ALL, 0},
    {"encoder.layer.{}.mlp.fc2.*", "blocks.{}.mlp.fc2.*", CT_PART_ALL, 0},
    {"encoder.layer.{}.layer_scale2.lambda1", "blocks.{}.ls2.gamma", CT_PART_ALL, 0},
    {"layernorm.*", "norm.*", CT_PART_ALL, 0},
    {NULL, NULL, CT_PART_ALL, 0},
};

const struct ct_family ct_family_vit = {.name = "vit", .parts = vit_parts, .build = build_vit};
const struct ct_family ct_family_deit = {.name = "deit", .parts = vit_parts, .build = build_vit};
const struct ct_family ct_family_dinov2 = {
    .name = "dinov2", .parts = dinov2_parts, .build = build_dinov2};
