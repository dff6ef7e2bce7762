/* The qwen2 family (Qwen2, Qwen2.5 and Qwen2.5-Coder): llama with a bias on queries, keys and
 * values.
 *
 *   h = embed[token]                                        [T, E]
 *   each layer:
 *     qkv = norm(h) [Wq | Wk | Wv] + [bq | bk | bv]         [T, (H + 2 Hkv) D]
 *     h += attention(rotate(qkv)) Wo                        [T, H D] -> [T, E]
 *     h += (silu(norm(h) Wgate) * (norm(h) Wup)) Wdown      [T, 2 F] -> [T, F] -> [T, E]
 *   logits = norm(select(h)) Wvocab                         [T', E] -> [T', V]
 *
 * llama.cpp rotates this family as Hugging Face does, and leaves the rows of q and k as they are. */
#include "models/decoder.h"
#include "models/families.h"

static const struct ct_name_map names[] = {
    {"model.embed_tokens.weight", "token_embd.weight", 0},
    {"model.norm.weight", "output_norm.weight", 0},
    {"lm_head.weight", "output.weight", 0},
    {"model.layers.{}.input_layernorm.weight", "blk.{}.attn_norm.weight", 0},
    {"model.layers.{}.self_attn.q_proj.weight", "blk.{}.attn_q.weight", 0},
    {"model.layers.{}.self_attn.q_proj.bias", "blk.{}.attn_q.bias", 0},
    {"model.layers.{}.self_attn.k_proj.weight", "blk.{}.attn_k.weight", 0},
    {"model.layers.{}.self_attn.k_proj.bias", "blk.{}.attn_k.bias", 0},
    {"model.layers.{}.self_attn.v_proj.weight", "blk.{}.attn_v.weight", 0},
    {"model.layers.{}.self_attn.v_proj.bias", "blk.{}.attn_v.bias", 0},
    {"model.layers.{}.self_attn.o_proj.weight", "blk.{}.attn_output.weight", 0},
    {"model.layers.{}.post_attention_layernorm.weight", "blk.{}.ffn_norm.weight", 0},
    {"model.layers.{}.mlp.gate_proj.weight", "blk.{}.ffn_gate.weight", 0},
    {"model.layers.{}.mlp.up_proj.weight", "blk.{}.ffn_up.weight", 0},
    {"model.layers.{}.mlp.down_proj.weight", "blk.{}.ffn_down.weight", 0},
    {NULL, NULL, 0},
};

static enum ct_status build(const struct ct_hparams *p, struct ct_graph *g, struct ct_error *err)
{
    struct ct_decoder d = ct_decoder_begin(p, g);
    for (int i = 0; i < p->n_layers; i++) {
        int a = ct_decoder_norm(&d, i, "input_layernorm");
        ct_decoder_attend(&d, i, ct_decoder_qkv(&d, i, a, true));
        int b = ct_decoder_norm(&d, i, "post_attention_layernorm");
        ct_decoder_swiglu(&d, i, b);
    }
    return ct_decoder_end(&d, err);
}

const struct ct_family ct_family_qwen2 = {.name = "qwen2", .names = names, .build = build};
