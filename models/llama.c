/* The llama family: pre-norm decoder with rotary positions, grouped-query attention and SwiGLU. */
#include "engine/graph/family.h"

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

const struct ct_family ct_family_llama;
const struct ct_family ct_family_llama = {.name = "llama", .names = names};
