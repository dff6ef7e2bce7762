/* The llama family: a decoder with pre-norm, rotary positions, grouped-query attention and SwiGLU
 * (SmolLM2 among others).
 *
 *   h = embed[token]                                        [T, E]
 *   each layer:
 *     qkv = norm(h) [Wq | Wk | Wv]                          [T, (H + 2 Hkv) D]
 *     h += attention(rotate(qkv)) Wo                        [T, H D] -> [T, E]
 *     h += (silu(norm(h) Wgate) * (norm(h) Wup)) Wdown      [T, 2 F] -> [T, F] -> [T, E]
 *   logits = norm(select(h)) Wvocab                         [T', E] -> [T', V] */
#include "models/decoder.h"
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

static enum ct_status build(const struct ct_hparams *p, struct ct_graph *g, struct ct_error *err)
{
    struct ct_decoder d = ct_decoder_begin(p, g);
    for (int i = 0; i < p->n_layers; i++) {
        int a = ct_decoder_norm(&d, i, "input_layernorm");
        ct_decoder_attend(&d, i, ct_decoder_qkv(&d, i, a, false));
        int b = ct_decoder_norm(&d, i, "post_attention_layernorm");
        ct_decoder_swiglu(&d, i, b);
    }
    return ct_decoder_end(&d, err);
}

const struct ct_family ct_family_llama = {.name = "llama", .names = names, .build = build};
