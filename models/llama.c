/* The llama family: a decoder with pre-norm, rotary positions, grouped-query attention and SwiGLU
 * (SmolLM2 among others).
 *
 *   h = embed[token]                                        [T, E]
 *   each layer:
 *     qkv = norm(h) [Wq | Wk | Wv]                          [T, (H + 2 Hkv) D]
 *     h += attention(rotate(qkv)) Wo                        [T, H D] -> [T, E]
 *     h += (silu(norm(h) Wgate) * (norm(h) Wup)) Wdown      [T, 2 F] -> [T, F] -> [T, E]
 *   logits = norm(select(h)) Wvocab                         [T', E] -> [T', V] */
#include "engine/graph/graph.h"
#include "models/families.h"

static const struct ct_name_map names[] = {
    {"model.embed_tokens.weight", "token_embd.weight", 0},
    {"model.norm.weight", "output_norm.weight", 0},
    {"lm_head.weight", "output.weight", 0},
    {"model.layers.{}.input_layernorm.weight", "blk.{}.attn_norm.weight", 0},
    {"model.layers.{}.self_attn.q_proj.weight", "blk.{}.attn_q.weight", 1},
    {"model.layers.{}.self_attn.k_proj.weight", "blk.{}.attn_k.weight", 2},
    {"model.layers.{}.self_attn.v_proj.weight", "blk.{}.attn_v.weight", 0},
    {"model.layers.{}.self_attn.o_proj.weight", "blk.{}.attn_output.weight", 0},
    {"model.layers.{}.post_attention_layernorm.weight", "blk.{}.ffn_norm.weight", 0},
    {"model.layers.{}.mlp.gate_proj.weight", "blk.{}.ffn_gate.weight", 0},
    {"model.layers.{}.mlp.up_proj.weight", "blk.{}.ffn_up.weight", 0},
    {"model.layers.{}.mlp.down_proj.weight", "blk.{}.ffn_down.weight", 0},
    {NULL, NULL, 0},
};

static void norm(struct ct_graph *g, int in, int out, int weight)
{
    ct_graph_node(g, (struct ct_node){CT_OP_RMSNORM, in, out, {weight}, 1, 0, false});
}

static void build_layer(const struct ct_hparams *p, struct ct_graph *g, int i, int h)
{
    const int E = p->d_model, F = p->d_ff, H = p->n_heads, Hkv = p->n_kv_heads, D = p->head_dim;

    int a = ct_graph_value(g, E, CT_ROWS_TOKENS);
    norm(g, h, a, ct_graph_slot(g, 0, E, "model.layers.%d.input_layernorm.weight", i));

    int qkv = ct_graph_value(g, (int64_t)(H + 2 * Hkv) * D, CT_ROWS_TOKENS);
    int wq = ct_graph_slot(g, (int64_t)H * D, E, "model.layers.%d.self_attn.q_proj.weight", i);
    int wk = ct_graph_slot(g, (int64_t)Hkv * D, E, "model.layers.%d.self_attn.k_proj.weight", i);
    int wv = ct_graph_slot(g, (int64_t)Hkv * D, E, "model.layers.%d.self_attn.v_proj.weight", i);
    ct_graph_node(g, (struct ct_node){CT_OP_LINEAR, a, qkv, {wq, wk, wv}, 3, i, false});
    ct_graph_node(g, (struct ct_node){CT_OP_ROTATE, qkv, qkv, {0}, 0, i, false});

    int attended = ct_graph_value(g, (int64_t)H * D, CT_ROWS_TOKENS);
    ct_graph_node(g, (struct ct_node){CT_OP_ATTEND, qkv, attended, {0}, 0, i, false});
    int wo = ct_graph_slot(g, E, (int64_t)H * D, "model.layers.%d.self_attn.o_proj.weight", i);
    ct_graph_node(g, (struct ct_node){CT_OP_LINEAR, attended, h, {wo}, 1, i, true});

    int b = ct_graph_value(g, E, CT_ROWS_TOKENS);
    norm(g, h, b, ct_graph_slot(g, 0, E, "model.layers.%d.post_attention_layernorm.weight", i));
    int gate_up = ct_graph_value(g, 2 * (int64_t)F, CT_ROWS_TOKENS);
    int wgate = ct_graph_slot(g, F, E, "model.layers.%d.mlp.gate_proj.weight", i);
    int wup = ct_graph_slot(g, F, E, "model.layers.%d.mlp.up_proj.weight", i);
    ct_graph_node(g, (struct ct_node){CT_OP_LINEAR, b, gate_up, {wgate, wup}, 2, i, false});
    int f = ct_graph_value(g, F, CT_ROWS_TOKENS);
    ct_graph_node(g, (struct ct_node){CT_OP_SWIGLU, gate_up, f, {0}, 0, i, false});
    int wdown = ct_graph_slot(g, E, F, "model.layers.%d.mlp.down_proj.weight", i);
    ct_graph_node(g, (struct ct_node){CT_OP_LINEAR, f, h, {wdown}, 1, i, true});
}

static enum ct_status build(const struct ct_hparams *p, struct ct_graph *g, struct ct_error *err)
{
    g->n_layers = p->n_layers;
    g->norm_eps = p->norm_eps;
    g->heads = (struct ct_heads){p->n_heads, p->n_kv_heads, p->head_dim, p->rope_theta};

    int embed = ct_graph_slot(g, p->n_vocab, p->d_model, "model.embed_tokens.weight");
    int h = ct_graph_value(g, p->d_model, CT_ROWS_TOKENS);
    ct_graph_node(g, (struct ct_node){CT_OP_EMBED, -1, h, {embed}, 1, 0, false});
    for (int i = 0; i < p->n_layers; i++)
        build_layer(p, g, i, h);

    int last = ct_graph_value(g, p->d_model, CT_ROWS_LOGITS);
    ct_graph_node(g, (struct ct_node){CT_OP_SELECT, h, last, {0}, 0, 0, false});
    int normed = ct_graph_value(g, p->d_model, CT_ROWS_LOGITS);
    norm(g, last, normed, ct_graph_slot(g, 0, p->d_model, "model.norm.weight"));
    int vocab =
        p->has_tied_embeddings ? embed : ct_graph_slot(g, p->n_vocab, p->d_model, "lm_head.weight");
    int logits = ct_graph_value(g, p->n_vocab, CT_ROWS_LOGITS);
    ct_graph_node(g, (struct ct_node){CT_OP_LINEAR, normed, logits, {vocab}, 1, 0, false});
    return ct_graph_check(g, err);
}

const struct ct_family ct_family_llama = {.name = "llama", .names = names, .build = build};
