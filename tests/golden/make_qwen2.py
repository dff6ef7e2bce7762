#!/usr/bin/env python3
"""Writes tests/support/qwen2.gguf: a small qwen2 model with random weights, as llama.cpp stores one.

Seven query heads share each of the two KV heads, as in Qwen2.5-0.5B; the biases are as large as what they
are added to; the output matrix is its own; the vocabulary is padded, and the tokenizer is the fixture's with
Qwen 2's pre-tokenizer. Logits of it are in fixture_logits.json (make_logits.py).

Needs: torch 2.15.0, transformers 5.23.0, gguf 0.19.0, numpy 2.4.6. Run: python3 make_qwen2.py
"""

import json

import gguf
import numpy as np
from transformers import Qwen2Config, Qwen2ForCausalLM

from make_fixture import FIXTURE, NAMES
from make_template import TEMPLATES

OUT = FIXTURE.parent / "qwen2.gguf"
SEED = 20250118
CONTEXT = 256
N_TOKENS = 480  # of the fixture's tokenizer; then two added ones, then padding
ADDED = ["<tool_call>", "</tool_call>"]
EOT, END = 0, 2
Q = gguf.GGMLQuantizationType

CONFIG = dict(
    hidden_size=32,
    intermediate_size=96,
    num_hidden_layers=2,
    num_attention_heads=14,
    num_key_value_heads=2,
    head_dim=4,
    vocab_size=512,
    max_position_embeddings=CONTEXT,
    rms_norm_eps=1e-6,
    rope_theta=1e6,
    tie_word_embeddings=False,
)
# By the end of the name: the standard deviation of the weights, and their type where it is a matrix.
KINDS = {
    "embed_tokens.weight": (1.0, Q.Q5_0),
    "lm_head.weight": (0.5, Q.Q8_0),
    "q_proj.weight": (0.15, Q.Q5_0),
    "k_proj.weight": (0.15, Q.Q5_0),
    "v_proj.weight": (0.3, Q.Q8_0),
    "o_proj.weight": (0.3, Q.F16),  # 56 columns: no blocks of 32
    "gate_proj.weight": (0.3, Q.Q5_0),
    "up_proj.weight": (0.3, Q.Q5_0),
    "down_proj.weight": (0.3, Q.Q8_0),
    "q_proj.bias": (0.7, Q.F32),
    "k_proj.bias": (1.5, Q.F32),
    "v_proj.bias": (1.0, Q.F32),
}


def random_weights():
    """{Hugging Face name: (values, type)}; norms are about 1."""
    rng = np.random.default_rng(SEED)
    weights = {}
    for name, value in Qwen2ForCausalLM(Qwen2Config(**CONFIG)).state_dict().items():
        kind = next((KINDS[end] for end in KINDS if name.endswith(end)), None)
        if kind is None:
            assert name.endswith("norm.weight"), name
            values, kind = rng.uniform(0.5, 1.5, value.shape), (None, Q.F32)
        else:
            values = rng.normal(0, kind[0], value.shape)
        weights[name] = (values.astype(np.float32), kind[1])
    return weights


def write_metadata(writer):
    tokenizer = json.loads((FIXTURE / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary = sorted(tokenizer["model"]["vocab"].items(), key=lambda item: item[1])
    special = {token["id"] for token in tokenizer["added_tokens"]}
    tokens = [text for text, _ in vocabulary[:N_TOKENS]]
    merges = [m if isinstance(m, list) else m.split(" ") for m in tokenizer["model"]["merges"]]
    merges = [" ".join(m) for m in merges if "".join(m) in tokens]
    types = [gguf.TokenType.CONTROL if i in special else gguf.TokenType.NORMAL for i in range(N_TOKENS)]
    n_padding = CONFIG["vocab_size"] - N_TOKENS - len(ADDED)
    tokens += ADDED + [f"[PAD{N_TOKENS + len(ADDED) + i}]" for i in range(n_padding)]
    types += [gguf.TokenType.USER_DEFINED] * len(ADDED) + [gguf.TokenType.UNUSED] * n_padding
    writer.add_name("Centroid test fixture, qwen2")
    writer.add_block_count(CONFIG["num_hidden_layers"])
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(CONFIG["hidden_size"])
    writer.add_feed_forward_length(CONFIG["intermediate_size"])
    writer.add_head_count(CONFIG["num_attention_heads"])
    writer.add_head_count_kv(CONFIG["num_key_value_heads"])
    writer.add_key_length(CONFIG["head_dim"])
    writer.add_value_length(CONFIG["head_dim"])
    writer.add_rope_freq_base(CONFIG["rope_theta"])
    writer.add_layer_norm_rms_eps(CONFIG["rms_norm_eps"])
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q5_0)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(merges)
    writer.add_eos_token_id(END)
    writer.add_pad_token_id(EOT)
    writer.add_bos_token_id(EOT)
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATES["qwen2.5"])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)


def gguf_name(name):
    """The inverse of the table in models/qwen2.c."""
    whole = {
        "model.embed_tokens.weight": "token_embd.weight",
        "model.norm.weight": "output_norm.weight",
        "lm_head.weight": "output.weight",
    }
    if name in whole:
        return whole[name]
    layer, _, part = name.removeprefix("model.layers.").partition(".")
    stem, _, kind = part.rpartition(".")
    return f"blk.{layer}.{NAMES[stem]}.{kind}"


def main():
    writer = gguf.GGUFWriter(OUT, "qwen2")
    write_metadata(writer)
    for name, (values, kind) in random_weights().items():
        writer.add_tensor(gguf_name(name), gguf.quants.quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main()
