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
#include "models/encoder.h"
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
    struct ct_encoder e;
    const struct names *names;
};

static int value(const struct vit *v, const struct ct_stream *s, int64_t width)
{
    return ct_graph_value(v->e.g, width, s->rows);
}

/* A vector of the width of the model, without .weight or .bias in its name. */
static int vector(const struct vit *v, const char *prefix, const char *name)
{
    return ct_graph_slot(v->e.g, 0, v->e.p->d_model, "%s%s%s", v->e.prefix, prefix, name);
}

/* ---- the image ---- */

static void embed(const struct vit *v, const struct ct_stream *s)
{
    static const char *const tokens[] = {"cls_token", "distillation_token"};
    static const char *const projection[] = {"patch_embeddings.projection"};
    static const char prefix[] = "embeddings.";
    struct ct_graph *g = v->e.g;
    const struct ct_patches *p = &g->patches;
    const int64_t E = v->e.p->d_model, width = (int64_t)p->n_channels * p->size * p->size;
    const int patches = value(v, s, width);
    ct_graph_node(g, (struct ct_node){.op = CT_OP_PATCH, .in = -1, .out = patches});
    const struct ct_encoder_linear linear = {.in = patches,
                                             .out = s->h,
                                             .width = E,
                                             .k = width,
                                             .prefix = prefix,
                                             .names = projection,
                                             .n = 1};
    ct_encoder_linear(&v->e, &linear);
    struct ct_node first = {.op = CT_OP_PREFIX, .in = s->h, .out = s->h, .n_weights = p->n_prefix};
    for (int i = 0; i < p->n_prefix; i++)
        first.weights[i] = vector(v, prefix, tokens[i]);
    ct_graph_node(g, first);
    const int place =
        ct_graph_slot(g, v->e.p->context_tok, E, "%s%sposition_embeddings", v->e.prefix, prefix);
    g->slots[place].is_grid = true;
    ct_graph_node(
        g, (struct ct_node){
               .op = CT_OP_PLACE, .in = s->h, .out = s->h, .weights = {place}, .n_weights = 1});
}

/* ---- a layer ---- */

/* What a half of the layer reads: the stream, or its norm. */
static int normed(const struct vit *v, const struct ct_stream *s, const char *prefix, int half)
{
    if (v->e.p->vision.is_post_norm)
        return s->h;
    const int out = value(v, s, v->e.p->d_model);
    ct_encoder_norm(&v->e, s->h, out, prefix, v->names->norms[half]);
    return out;
}

/* The stream takes on what a half of the layer gives, in W^T + b. */
static void join(const struct vit *v, const struct ct_stream *s, int in, int64_t k,
                 const char *prefix, const char *name, int half)
{
    const int64_t E = v->e.p->d_model;
    const bool has_scale = v->names->scales[half] != NULL;
    const struct ct_encoder_linear linear = {.in = in,
                                             .out = has_scale ? value(v, s, E) : s->h,
                                             .width = E,
                                             .k = k,
                                             .prefix = prefix,
                                             .names = &name,
                                             .n = 1,
                                             .is_added = !has_scale};
    ct_encoder_linear(&v->e, &linear);
    if (has_scale) {
        const int scale = vector(v, prefix, v->names->scales[half]);
        ct_graph_node(v->e.g, (struct ct_node){.op = CT_OP_ADDSCALED,
                                               .in = linear.out,
                                               .out = s->h,
                                               .weights = {scale},
                                               .n_weights = 1});
    }
    if (v->e.p->vision.is_post_norm)
        ct_encoder_norm(&v->e, s->h, s->h, prefix, v->names->norms[half]);
}

/* [T, E] -> what the heads found, [T, H D] */
static int attend(const struct vit *v, const struct ct_stream *s, const char *prefix)
{
    static const char *const names[] = {"attention.attention.query", "attention.attention.key",
                                        "attention.attention.value"};
    const int64_t E = v->e.p->d_model;
    const int in = normed(v, s, prefix, 0);
    const int qkv = value(v, s, 3 * E), attended = value(v, s, E);
    const struct ct_encoder_linear linear = {.in = in,
                                             .out = qkv,
                                             .width = E,
                                             .k = E,
                                             .prefix = prefix,
                                             .names = names,
                                             .n = 3,
                                             .has_no_bias = !v->e.p->vision.has_qkv_bias};
    ct_encoder_linear(&v->e, &linear);
    ct_graph_node(v->e.g, (struct ct_node){.op = CT_OP_ATTEND, .in = qkv, .out = attended});
    return attended;
}

static void mlp(const struct vit *v, const struct ct_stream *s, const char *prefix)
{
    const int64_t E = v->e.p->d_model, F = v->e.p->d_ff;
    const bool is_gated = v->e.p->vision.is_gated;
    const int in = normed(v, s, prefix, 1);
    const int64_t width = is_gated ? 2 * F : F;
    const struct ct_encoder_linear linear = {.in = in,
                                             .out = value(v, s, width),
                                             .width = width,
                                             .k = E,
                                             .prefix = prefix,
                                             .names =
                                                 is_gated ? &v->names->gated_up : &v->names->up,
                                             .n = 1};
    ct_encoder_linear(&v->e, &linear);
    int activated;
    if (is_gated) {
        activated = value(v, s, F);
        ct_graph_node(v->e.g,
                      (struct ct_node){.op = CT_OP_SWIGLU, .in = linear.out, .out = activated});
    } else {
        activated = ct_encoder_activate(&v->e, linear.out, F, s->rows, v->e.p->activation);
    }
    join(v, s, activated, F, prefix, is_gated ? v->names->gated_down : v->names->down, 1);
}

/* A layer behind its attention. */
static void finish_layer(const struct vit *v, const struct ct_stream *s, int attended,
                         const char *prefix)
{
    join(v, s, attended, v->e.p->d_model, prefix, "attention.output.dense", 0);
    mlp(v, s, prefix);
}

/* ---- the answer ---- */

/* The end of the last layer, with the norm behind it. */
static void finish(const struct vit *v, const struct ct_stream *s, int attended, const char *prefix)
{
    finish_layer(v, s, attended, prefix);
    if (v->e.p->vision.has_final_norm)
        ct_encoder_norm(&v->e, s->h, s->h, "", "layernorm");
}

/* The same for token `row` of each image alone, [images, E]. */
static int finish_row(const struct vit *v, const struct ct_stream *all, int attended, int row,
                      const char *prefix)
{
    const struct ct_stream s = {ct_encoder_pool(&v->e, CT_OP_SELECT, all->h, row), CT_ROWS_LOGITS};
    finish(v, &s, ct_encoder_pool(&v->e, CT_OP_SELECT, attended, row), prefix);
    return s.h;
}

/* [images, E] -> labels, added to what is there already. */
static void classify(const struct vit *v, int in, const char *name, int labels, bool is_added)
{
    static const char *const hidden_name[] = {"pre_classifier"};
    const struct ct_encoder head = {v->e.p, v->e.g, ""};
    const int n_hidden = v->e.p->vision.n_head_hidden;
    struct ct_encoder_linear linear = {.in = in, .k = v->e.p->d_model, .prefix = "", .n = 1};
    if (n_hidden > 0) {
        linear.out = ct_graph_value(v->e.g, n_hidden, CT_ROWS_LOGITS);
        linear.width = n_hidden;
        linear.names = hidden_name;
        ct_encoder_linear(&head, &linear);
        linear.in =
            ct_encoder_activate(&head, linear.out, n_hidden, CT_ROWS_LOGITS, v->e.p->activation);
        linear.k = n_hidden;
    }
    linear.out = labels;
    linear.width = v->e.p->n_labels;
    linear.names = &name;
    linear.is_added = is_added;
    ct_encoder_linear(&head, &linear);
}

static void answer_labels(const struct vit *v, const struct ct_stream *s, int attended,
                          const char *prefix)
{
    const bool has_teacher = v->e.p->vision.has_teacher;
    const int labels = ct_graph_value(v->e.g, v->e.p->n_labels, CT_ROWS_LOGITS);
    classify(v, finish_row(v, s, attended, 0, prefix),
             has_teacher ? "cls_classifier" : "classifier", labels, false);
    if (!has_teacher)
        return;
    classify(v, finish_row(v, s, attended, 1, prefix), "distillation_classifier", labels, true);
    ct_graph_node(v->e.g,
                  (struct ct_node){.op = CT_OP_SCALE, .in = labels, .out = labels, .factor = 0.5f});
}

static void answer(const struct vit *v, const struct ct_stream *s, int attended, const char *prefix)
{
    if (v->e.p->task == CT_TASK_CLASSIFY) {
        answer_labels(v, s, attended, prefix);
    } else if (v->e.p->pooling.mode == CT_POOLING_MEAN) {
        finish(v, s, attended, prefix);
        ct_encoder_end_vectors(&v->e, ct_encoder_pool(&v->e, CT_OP_MEAN, s->h, 0));
    } else {
        ct_encoder_end_vectors(&v->e, finish_row(v, s, attended, 0, prefix));
    }
}

/* ---- all of it ---- */

static enum ct_status build(const struct ct_hparams *p, const struct names *names,
                            struct ct_graph *g, struct ct_error *err)
{
    const struct ct_vision *vision = &p->vision;
    char front[sizeof p->family + 1] = "";
    if (p->is_prefixed)
        snprintf(front, sizeof front, "%s.", p->family);
    const struct vit v = {{p, g, front}, names};
    enum ct_status status = ct_encoder_begin(&v.e, err);
    if (status != CT_OK)
        return status;
    if (p->context_tok > CT_ENCODER_TOK)
        return ct_error_set(err, CT_UNSUPPORTED, "an image has %d patches, expected at most %d",
                            p->context_tok, CT_ENCODER_TOK);
    g->patches = (struct ct_patches){.n_channels = vision->n_channels,
                                     .height = vision->height,
                                     .width = vision->width,
                                     .size = vision->patch_size,
                                     .n_prefix = vision->n_prefix,
                                     .stored_lines = vision->stored_height / vision->patch_size,
                                     .stored_columns = vision->stored_width / vision->patch_size};
    const struct ct_stream s = {ct_graph_value(g, p->d_model, CT_ROWS_TOKENS), CT_ROWS_TOKENS};
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
