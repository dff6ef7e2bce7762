#!/usr/bin/env python3
"""Writes the reference logits and greedy continuations that the engine is held to.

The reference is Hugging Face transformers in float32 on the CPU, with the weights that the model files
hold: block types are dequantised by the gguf package first.

  fixture_logits.json, .bin   the fixture, from its directory and from its GGUF file, and qwen2.gguf
  smollm2_logits.json         SmolLM2-135M-Instruct Q4_1; with WIKITEXT also perplexity windows
  qwen2_logits.json           the same of Qwen2.5-Coder-0.5B-Instruct Q4_K_M

Logits are given twice: as they are, and with keys and values rounded to f16, which is how the engine
keeps them: the first say how far that moves a model, the second hold everything else tightly.
Continuations are 64 tokens long, of real models also past an end token, of the fixtures up to one.
Where the best token leads the second best by less than TIE, which is what the engine's logits may be off,
either is right: such places are listed under "ties" as [place, second best token, lead].

Needs: torch 2.15.0, transformers 5.23.0, gguf 0.19.0, safetensors 0.8.0, numpy 2.4.6, jinja2 3.1.6.
Run: python3 make_logits.py fixture | python3 make_logits.py smollm2|qwen2 GGUF [WIKITEXT]
"""

import json
import pathlib
import random
import sys

import gguf
import numpy as np
import torch
import transformers
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from make_fixture import ANSWERS, ENDLESS, NAMES, SYSTEM, TEXTS
from make_template import render
from make_tokenizer_qwen2 import qwen2_tokenizer

HERE = pathlib.Path(__file__).resolve().parent
FIXTURE = HERE.parent / "support" / "fixture"
N_GREEDY = 64
TIE = 0.01
N_TOP = 64

OPENINGS = [
    "The capital of France is",
    "Once upon a time there was a small robot who",
    "Water boils at a temperature of",
    "The first ten prime numbers are",
    "def fibonacci(n):\n",
    "The three primary colors are",
    "A good breakfast starts with",
    "In the year 1969, two men",
    "#include <stdio.h>\n\nint main(void)\n{\n",
    "The largest planet of the solar system is",
    "Dear Sir or Madam,\n\n",
    "My favourite season is autumn, because",
    "To make a cup of tea, first",
    "The mitochondria are",
    "SELECT name, age FROM",
    "A triangle has three",
    "Roses are red,",
    "1, 2, 4, 8, 16,",
    "Water is made of",
    "import numpy as np\n",
    "<html>\n<head>\n",
    "The days of the week are Monday,",
]
QUESTIONS = [
    "What is the capital of France?",
    "Who wrote Hamlet?",
    "Name three animals that can fly.",
    "Why is the sky blue?",
    "Write a short poem about rain.",
    "What is 7 times 8?",
    "Translate 'good morning' to Spanish.",
    "Give me a recipe for pancakes.",
    "Explain photosynthesis to a child.",
    "What is a transformer in machine learning?",
    "List the days of the week.",
    "How do I reverse a list in Python?",
    "Tell me a joke.",
    "What does HTTP stand for?",
    "How many legs does a spider have?",
    "Who painted the Mona Lisa?",
    "What is gravity?",
    "What is the chemical symbol for gold?",
    "Who was the first person on the moon?",
    "What is the opposite of hot?",
    "Name a fruit that is yellow.",
    "Which ocean is the largest?",
]


def versions():
    return (
        f"transformers {transformers.__version__}, torch {torch.__version__}, gguf 0.19.0, float32"
    )


FAMILIES = {"llama": (LlamaConfig, LlamaForCausalLM), "qwen2": (Qwen2Config, Qwen2ForCausalLM)}


def gguf_model(path):
    """The transformers model of a GGUF file's family, with its weights, dequantised; and the reader."""
    reader = gguf.GGUFReader(path)
    family = reader.fields["general.architecture"].contents()

    def value(key):
        return reader.fields[f"{family}.{key}"].contents()

    n_heads, n_kv_heads = value("attention.head_count"), value("attention.head_count_kv")
    head_dim = value("embedding_length") // n_heads
    if f"{family}.attention.key_length" in reader.fields:
        head_dim = value("attention.key_length")
    make_config, make_model = FAMILIES[family]
    model = make_model(
        make_config(
            hidden_size=value("embedding_length"),
            num_attention_heads=n_heads,
            num_key_value_heads=n_kv_heads,
            head_dim=head_dim,
            num_hidden_layers=value("block_count"),
            intermediate_size=value("feed_forward_length"),
            tie_word_embeddings=all(tensor.name != "output.weight" for tensor in reader.tensors),
            vocab_size=len(reader.fields["tokenizer.ggml.tokens"].contents()),
            max_position_embeddings=value("context_length"),
            rms_norm_eps=value("attention.layer_norm_rms_epsilon"),
            rope_theta=value("rope.freq_base"),
            attn_implementation="eager",
        )
    )
    names = {
        "token_embd.weight": "model.embed_tokens.weight",
        "output_norm.weight": "model.norm.weight",
        "output.weight": "lm_head.weight",
    }
    for layer in range(value("block_count")):
        for theirs, ours in NAMES.items():
            for kind in ("weight", "bias"):
                names[f"blk.{layer}.{ours}.{kind}"] = f"model.layers.{layer}.{theirs}.{kind}"
    state = {}
    for tensor in reader.tensors:
        weight = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        heads = {"attn_q": n_heads, "attn_k": n_kv_heads}.get(tensor.name.split(".")[-2])
        if heads and family == "llama":  # undoes make_fixture.permute
            n, k = weight.shape
            weight = weight.reshape(heads, n // heads // 2, 2, k).swapaxes(1, 2).reshape(n, k)
        state[names[tensor.name]] = torch.from_numpy(np.ascontiguousarray(weight))
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected, unexpected
    assert set(missing) == ({"lm_head.weight"} if model.config.tie_word_embeddings else set()), missing
    model.tie_weights()
    assert model.config.rope_parameters["rope_theta"] == value("rope.freq_base")
    return model.eval(), reader


class HalfCache(transformers.DynamicCache):
    """Keys and values rounded to f16, as the engine keeps them."""

    def update(self, key_states, value_states, *args, **kwargs):
        return super().update(
            key_states.half().float(), value_states.half().float(), *args, **kwargs
        )


@torch.no_grad()
def logits_of(model, ids, cache=None):
    return model(torch.tensor([ids]), past_key_values=cache, use_cache=cache is not None).logits[0]


@torch.no_grad()
def greedy(model, ids, eos):
    """The continuation, and its ties."""
    answer, ties, cache, step = [], [], None, ids
    while len(answer) < N_GREEDY and (not answer or answer[-1] != eos):
        out = model(torch.tensor([step]), past_key_values=cache, use_cache=True)
        cache = out.past_key_values
        best = out.logits[0, -1].topk(2)
        lead = (best.values[0] - best.values[1]).item()
        if lead < TIE:
            ties.append([len(answer), best.indices[1].item(), round(lead, 5)])
        answer.append(best.indices[0].item())
        step = answer[-1:]
    return answer, ties


def greedy_cases(model, prompts, n_cases, eos=None):
    """The first prompts' continuations, whatever they are."""
    cases = []
    for prompt, ids in prompts[:n_cases]:
        answer, ties = greedy(model, ids, eos)
        print(len(answer), ties, repr(prompt[-40:]), flush=True)
        cases.append({"prompt": prompt, "tokens": ids, "answer": answer, "ties": ties})
    return cases


def write_json(name, value):
    """One key or list entry a line, token lists in one line."""
    text = json.dumps(value, ensure_ascii=False, indent=None, separators=(", ", ": "))
    text = text.replace('}, {"', '},\n{"').replace("[{", "[\n{").replace(']], "', ']],\n "')
    json.loads(text)
    (HERE / name).write_text(text + "\n", encoding="utf-8")


def chat(user, system):
    return (
        f"<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n{user}<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def make_fixture():
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(FIXTURE / "tokenizer.json"))

    def encode(text):
        return tokenizer.encode(text, add_special_tokens=False)

    rng = random.Random(1)
    text = encode("".join(TEXTS) + " ".join(ANSWERS.values()))
    sequences = [[7], text[:7], text[:64], [rng.randrange(512) for _ in range(65)], text[:200]]
    questions = [ENDLESS[0], *reversed(ANSWERS)]  # the long answers first
    prompts = ["The sun is", "The quick", *(chat(question, SYSTEM) for question in questions)]
    prompts = [(prompt, encode(prompt)) for prompt in prompts]
    models = [  # a path from tests/support, the model, and how many greedy answers
        (
            "fixture",
            LlamaForCausalLM.from_pretrained(
                FIXTURE, dtype=torch.float32, attn_implementation="eager"
            ).eval(),
            20,
        ),
        ("fixture/fixture.gguf", gguf_model(FIXTURE / "fixture.gguf")[0], 20),
        ("qwen2.gguf", gguf_model(FIXTURE.parent / "qwen2.gguf")[0], 0),
    ]
    rows, manifest = [], {"made_by": versions(), "models": []}
    for path, model, n_greedy in models:
        entry = {"path": path, "logits": [], "greedy": greedy_cases(model, prompts, n_greedy, eos=2)}
        for ids in sequences:
            n_rows = len(ids) if len(ids) == 7 else 1
            case = {"tokens": ids, "n_rows": n_rows, "first_row": len(rows)}
            rows += list(logits_of(model, ids)[-n_rows:].numpy())
            case["first_row_kv_f16"] = len(rows)
            rows += list(logits_of(model, ids, HalfCache())[-n_rows:].numpy())
            entry["logits"].append(case)
            print("f16 keys and values move logits by", np.abs(rows[-1] - rows[-1 - n_rows]).max())
        manifest["models"].append(entry)
    np.stack(rows).astype("<f4").tofile(HERE / "fixture_logits.bin")
    write_json("fixture_logits.json", manifest)


def fnv1a(ids):
    """A checksum of token ids, so that a test can tell whether it was given the same text."""
    value = 0xCBF29CE484222325
    for byte in np.array(ids, "<i4").tobytes():
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return f"{value:016x}"


def rounded(tensor):
    return np.round(tensor.double().numpy(), 5).tolist()


def perplexity_windows(model, ids, n_windows, context=512):
    """As llama.cpp's llama-perplexity with this model: no BOS (add_bos_token is false), windows side
    by side, and in each the tokens from context / 2 + 1 on are scored."""
    windows = []
    for start in range(0, n_windows * context, context):
        window = ids[start : start + context]
        first = context // 2
        loss = torch.nn.functional.cross_entropy(
            logits_of(model, window)[first:-1], torch.tensor(window[first + 1 :]), reduction="mean"
        )
        windows.append(round(loss.item(), 6))
    return windows


def smollm2_tokenizer(reader):
    """The tokenizer of the GGUF metadata, put together with the tokenizers package."""
    tokens = reader.fields["tokenizer.ggml.tokens"].contents()
    merges = reader.fields["tokenizer.ggml.merges"].contents()
    tokenizer = Tokenizer(
        models.BPE(
            {text: i for i, text in enumerate(tokens)},
            [tuple(merge.split(" ")) for merge in merges],
        )
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    kinds = reader.fields["tokenizer.ggml.token_type"].contents()
    tokenizer.add_special_tokens(
        [
            AddedToken(text, special=True)
            for text, kind in zip(tokens, kinds)
            if kind == gguf.TokenType.CONTROL
        ]
    )
    return tokenizer


# Their tokenizers, and how many greedy answers.
REAL = {"smollm2": (smollm2_tokenizer, 20), "qwen2": (qwen2_tokenizer, 8)}


def make_real(name, path, wikitext):
    model, reader = gguf_model(path)
    make_tokenizer, n_greedy = REAL[name]
    tokenizer = make_tokenizer(reader)

    def encode(text):
        return tokenizer.encode(text).ids

    template = reader.fields["tokenizer.chat_template"].contents()
    chats = [render(template, [{"role": "user", "content": text}], True) for text in QUESTIONS]
    prompts = [(prompt, encode(prompt)) for pair in zip(OPENINGS, chats) for prompt in pair]
    greedy = greedy_cases(model, prompts, n_greedy)
    manifest = {"made_by": versions(), "greedy": greedy, "logits": []}
    for prompt, ids in prompts[:5]:
        logits, logits_kv_f16 = logits_of(model, ids)[-1], logits_of(model, ids, HalfCache())[-1]
        print("f16 keys and values move logits by", (logits - logits_kv_f16).abs().max().item())
        top = logits.topk(N_TOP)
        manifest["logits"].append(
            {
                "prompt": prompt,
                "tokens": ids,
                "top_ids": top.indices.tolist(),
                "top_logits": rounded(top.values),
                "log_sum_exp": rounded(logits.logsumexp(0)),
                "top_logits_kv_f16": rounded(logits_kv_f16[top.indices]),
                "log_sum_exp_kv_f16": rounded(logits_kv_f16.logsumexp(0)),
            }
        )
    if wikitext:
        ids = encode(pathlib.Path(wikitext).read_text(encoding="utf-8")[:60000])
        windows = perplexity_windows(model, ids, 4)
        manifest["perplexity"] = {
            "text": "WikiText-2 test with <unk>, from its first token",
            "context": 512,
            "tokens_fnv1a": fnv1a(ids[: 4 * 512]),
            "nll": windows,
        }
    write_json(f"{name}_logits.json", manifest)


if __name__ == "__main__":
    if sys.argv[1:] == ["fixture"]:
        make_fixture()
    elif len(sys.argv) in (3, 4) and sys.argv[1] in REAL:
        make_real(*sys.argv[1:3], sys.argv[3] if len(sys.argv) == 4 else None)
    else:
        sys.exit(__doc__)
