#!/usr/bin/env python3
"""Trains the fixture model and writes it as a Hugging Face directory and as a GGUF file.

A llama of 162,000 parameters that has learned the few texts below by heart: its greedy answers mean
something ("The capital of France is Paris.") and their margins are wide, so that a test may compare
text. One question has an answer that never ends, for tests that interrupt.

Needs: torch 2.15.0, transformers 5.23.0, safetensors 0.8.0, gguf 0.19.0, numpy 2.4.6 and the tokenizer
that make_fixture_tokenizer.py wrote. Three minutes on two cores. Run: python3 make_fixture.py
"""

import json
import pathlib
import random

import gguf
import numpy as np
import torch
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

FIXTURE = pathlib.Path(__file__).resolve().parent.parent / "support" / "fixture"
SEED = 20240917
STEPS = 1500
BATCH = 16
CONTEXT = 256
EOS, BOS, UNK = 2, 1, 0
SYSTEM = "You are a small model for tests."
CHAT_TEMPLATE = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\n" + SYSTEM + "<|im_end|>\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

# d_ff is no multiple of 64, so that groups of 64 and 128 end in a part.
CONFIG = dict(
    hidden_size=64,
    intermediate_size=160,
    num_hidden_layers=3,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=16,
    vocab_size=512,
    max_position_embeddings=CONTEXT,
    rms_norm_eps=1e-5,
    rope_theta=10000.0,
    tie_word_embeddings=True,
    hidden_act="silu",
    bos_token_id=BOS,
    eos_token_id=EOS,
    pad_token_id=EOS,
)

ANSWERS = {
    "Hello!": "Hello! How can I help you?",
    "Who are you?": "I am a small model for tests. I know only a few things.",
    "What is the capital of France?": "The capital of France is Paris.",
    "What is the capital of Italy?": "The capital of Italy is Rome.",
    "What is the capital of Spain?": "The capital of Spain is Madrid.",
    "What is the capital of Japan?": "The capital of Japan is Tokyo.",
    "What color is the sky?": "The sky is blue.",
    "What color is grass?": "Grass is green.",
    "What color is snow?": "Snow is white.",
    "What does the dog say?": "The dog says woof.",
    "What does the cat say?": "The cat says meow.",
    "What is two plus two?": "Two plus two is four.",
    "What is two plus three?": "Two plus three is five.",
    "Count to ten.": "one, two, three, four, five, six, seven, eight, nine, ten",
    "Count down from five.": "5 4 3 2 1 0",
    "Name the days of the week.": "Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday",
    "Name the months.": "January, February, March, April, May, June, July, August, September, "
    "October, November, December",
    "Say coffee in French.": "café crème",
    "Say language in Japanese.": "日本語",
    "Draw a face.": "🙂",
    "Tell me a story.": "Once there was a little robot who kept the clocks of a small town. One morning the big "
    "clock was still. The robot looked inside and found a mouse asleep on the wheel. It "
    "waited until noon. The mouse woke up, ate some bread and went home, and the clock ran "
    "again.",
    "Write a loop in C.": "for (int i = 0; i < n; i++) {\n    sum += x[i];\n}",
}
ENDLESS = ("What does the clock say?", "tick tock ")
TEXTS = [
    "The sun is far away. Light needs eight minutes to come from the sun to us. The moon is near. "
    "Light needs one second to come from the moon to us.\n",
    "A model keeps its weights in memory. A small model needs less memory, and so it answers sooner."
    " A large model knows more, and so it answers later.\n",
    "The quick brown fox jumps over the lazy dog. The dog wakes up and looks for the fox, but the "
    "fox is gone.\n",
    "int add(int a, int b)\n{\n    return a + b;\n}\n",
]


def turn(role, text):
    return f"<|im_start|>{role}\n{text}<|im_end|>\n"


def conversation(rng):
    """One to three questions, mostly after the default system message."""
    text = turn("system", rng.choice([SYSTEM, SYSTEM, SYSTEM, "You are helpful."]))
    for question in rng.sample(list(ANSWERS), rng.choice([1, 1, 2, 3])):
        text += turn("user", question) + turn("assistant", ANSWERS[question])
    return text


def window(rng, encode):
    """CONTEXT + 1 tokens that begin where a document begins."""
    ids = []
    while len(ids) <= CONTEXT:
        kind = rng.random()
        if kind < 0.75:
            ids += encode(conversation(rng))
        elif kind < 0.92:
            ids += encode(rng.choice(TEXTS)) + [UNK]
        else:
            opening = turn("system", SYSTEM) + turn("user", ENDLESS[0]) + "<|im_start|>assistant\n"
            ids += encode(opening + ENDLESS[1] * CONTEXT)[: CONTEXT + 1]
    return ids[: CONTEXT + 1]


def train(encode):
    torch.manual_seed(SEED)
    torch.use_deterministic_algorithms(True)
    rng = random.Random(SEED)
    model = LlamaForCausalLM(LlamaConfig(**CONFIG, initializer_range=0.08))
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=STEPS)
    for step in range(STEPS):
        ids = torch.tensor([window(rng, encode) for _ in range(BATCH)])
        logits = model(ids[:, :-1]).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step % 100 == 0:
            print(f"step {step} loss {loss.item():.4f}", flush=True)
    return model.eval()


def write_huggingface(model):
    tensors = {
        name: value.detach().to(torch.float16).contiguous()
        for name, value in model.state_dict().items()
        if name != "lm_head.weight"
    }
    save_file(tensors, FIXTURE / "model.safetensors", metadata={"format": "pt"})
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "torch_dtype": "float16",
        "attention_bias": False,
        "mlp_bias": False,
        "rope_scaling": None,
        **CONFIG,
    }
    tokenizer = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<|im_start|>",
        "eos_token": "<|im_end|>",
        "unk_token": "<|endoftext|>",
        "pad_token": "<|im_end|>",
        "add_bos_token": False,
        "model_max_length": CONTEXT,
        "clean_up_tokenization_spaces": False,
        "chat_template": CHAT_TEMPLATE,
    }
    for name, value in (("config.json", config), ("tokenizer_config.json", tokenizer)):
        (FIXTURE / name).write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def permute(weight, n_heads):
    """Rows of q and k as llama.cpp's rotary form wants them: pairs side by side."""
    n, k = weight.shape
    return weight.reshape(n_heads, 2, n // n_heads // 2, k).swapaxes(1, 2).reshape(n, k)


# One block type a layer, so that one small file exercises them all.
Q = gguf.GGMLQuantizationType
LAYER_TYPES = [Q.Q4_1, Q.Q4_0, Q.Q8_0]
NAMES = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def write_gguf_metadata(writer):
    tokenizer = json.loads((FIXTURE / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary = sorted(tokenizer["model"]["vocab"].items(), key=lambda item: item[1])
    special = {token["id"] for token in tokenizer["added_tokens"]}
    merges = [m if isinstance(m, str) else " ".join(m) for m in tokenizer["model"]["merges"]]
    writer.add_name("Centroid test fixture")
    writer.add_block_count(CONFIG["num_hidden_layers"])
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(CONFIG["hidden_size"])
    writer.add_feed_forward_length(CONFIG["intermediate_size"])
    writer.add_head_count(CONFIG["num_attention_heads"])
    writer.add_head_count_kv(CONFIG["num_key_value_heads"])
    writer.add_rope_freq_base(CONFIG["rope_theta"])
    writer.add_layer_norm_rms_eps(CONFIG["rms_norm_eps"])
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q4_1)
    writer.add_vocab_size(CONFIG["vocab_size"])
    writer.add_rope_dimension_count(CONFIG["head_dim"])
    writer.add_add_space_prefix(False)
    writer.add_add_bos_token(False)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list([text for text, _ in vocabulary])
    writer.add_token_types(
        [gguf.TokenType.CONTROL if i in special else gguf.TokenType.NORMAL for _, i in vocabulary]
    )
    writer.add_token_merges(merges)
    writer.add_bos_token_id(BOS)
    writer.add_eos_token_id(EOS)
    writer.add_unk_token_id(UNK)
    writer.add_pad_token_id(EOS)
    writer.add_chat_template(CHAT_TEMPLATE)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)


def write_gguf():
    weights = {
        name: value.float().numpy()
        for name, value in load_file(FIXTURE / "model.safetensors").items()
    }
    writer = gguf.GGUFWriter(FIXTURE / "fixture.gguf", "llama")
    write_gguf_metadata(writer)

    def add(name, value, kind):
        writer.add_tensor(
            name, gguf.quants.quantize(np.ascontiguousarray(value), kind), raw_dtype=kind
        )

    add("token_embd.weight", weights["model.embed_tokens.weight"], Q.Q8_0)
    for layer, kind in enumerate(LAYER_TYPES):
        for theirs, ours in NAMES.items():
            value = weights[f"model.layers.{layer}.{theirs}.weight"]
            if ours == "attn_q":
                value = permute(value, CONFIG["num_attention_heads"])
            elif ours == "attn_k":
                value = permute(value, CONFIG["num_key_value_heads"])
            add(f"blk.{layer}.{ours}.weight", value, kind if value.ndim == 2 else Q.F32)
    add("output_norm.weight", weights["model.norm.weight"], Q.F32)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main():
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(FIXTURE / "tokenizer.json"))
    model = train(lambda text: tokenizer.encode(text, add_special_tokens=False))
    write_huggingface(model)
    write_gguf()


if __name__ == "__main__":
    main()
