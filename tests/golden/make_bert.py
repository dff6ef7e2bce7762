#!/usr/bin/env python3
"""Writes tests/support/bert, a small BERT with random weights laid out as sentence-transformers does, and
bert_vectors.json: what Hugging Face transformers makes of sequences in float32, as vectors by the mean
of all tokens and by the first one, each also divided by its length.

The positions reach past one page of keys. With MODEL and NAME, the directory of a real sentence encoder, the
vectors of the sentences below are written to NAME_vectors.json instead (minilm, mpnet).

Needs: torch 2.15.0, transformers 5.23.0, tokenizers 0.22.2, safetensors 0.8.0, numpy 2.4.6.
Run: python3 make_bert.py [MODEL NAME]
"""

import json
import pathlib
import random
import sys

import numpy as np
import torch
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import AutoModel, AutoTokenizer, BertConfig, BertModel

HERE = pathlib.Path(__file__).resolve().parent
OUT = HERE.parent / "support" / "bert"
SEED = 20251122
LENGTHS = [1, 2, 5, 17, 63, 64, 65, 80]
CONFIG = dict(
    hidden_size=32,
    intermediate_size=64,
    num_hidden_layers=2,
    num_attention_heads=2,
    vocab_size=128,
    max_position_embeddings=80,
    type_vocab_size=2,
    hidden_act="gelu",
    layer_norm_eps=1e-12,
)
SENTENCES = [
    "The capital of France is Paris.",
    "A man is playing a guitar on the stage.",
    "Der schnelle braune Fuchs springt über den faulen Hund.",
    "def fibonacci(n): return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)",
    "I",
    "Quantisation of weights by clustering keeps accuracy where the codebook follows the weights. " * 6,
]


def vectors(model, ids):
    """By name of the pooling, and with _unit at the end where it is divided by its length."""
    with torch.no_grad():
        rows = model(torch.tensor([ids])).last_hidden_state[0]
    found = {"mean": rows.mean(0), "cls": rows[0]}
    found |= {f"{name}_unit": torch.nn.functional.normalize(x, dim=0) for name, x in found.items()}
    return {name: [float(f"{x:.8g}") for x in vector] for name, vector in found.items()}


def random_weights(model):
    """Large enough that attention is not flat; norms are about 1."""
    rng = np.random.default_rng(SEED)
    weights = {}
    for name, value in model.state_dict().items():
        if name.startswith("pooler") or name.endswith("_ids"):
            continue
        if "LayerNorm.weight" in name:
            values = rng.uniform(0.5, 1.5, value.shape)
        else:
            values = rng.normal(0, 0.3 if value.dim() == 2 else 0.2, value.shape)
        weights[name] = values.astype(np.float32)
    return weights


def write_tokenizer(out, n_vocab, is_mpnet=False):
    bert, mpnet = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], ["<s>", "<pad>", "</s>", "[UNK]", "<mask>"]
    specials = mpnet if is_mpnet else bert
    letters = [chr(c) for c in range(ord("a"), ord("z") + 1)] + list("0123456789.,!?'-")
    words = "the of and to in is it that was for on are as with his they at be this from".split()
    tokens = [*specials, *letters, *("##" + c for c in letters), *words]
    vocabulary = {token: i for i, token in enumerate(tokens[:n_vocab])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens(specials)
    tokenizer.post_processor = (
        processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
        if is_mpnet
        else processors.TemplateProcessing(
            single="[CLS] $A [SEP]",
            pair="[CLS] $A [SEP] $B:1 [SEP]:1",
            special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
        )
    )
    tokenizer.save(str(out / "tokenizer.json"))


def write_json(path, value):
    path.write_text(json.dumps(value) + "\n")


def write_fixture():
    (OUT / "1_Pooling").mkdir(parents=True, exist_ok=True)
    model = BertModel(BertConfig(**CONFIG), add_pooling_layer=False).eval()
    weights = random_weights(model)
    model.load_state_dict({k: torch.from_numpy(v) for k, v in weights.items()}, strict=False)
    save_file(weights, OUT / "model.safetensors")
    write_json(OUT / "config.json", {"model_type": "bert", "architectures": ["BertModel"], **CONFIG})
    pooling = {"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}
    write_json(OUT / "1_Pooling" / "config.json", pooling)
    modules = ["Transformer", "Pooling", "Normalize"]
    write_json(
        OUT / "modules.json",
        [{"idx": i, "type": f"sentence_transformers.models.{name}"} for i, name in enumerate(modules)],
    )
    write_tokenizer(OUT, CONFIG["vocab_size"])
    rng = random.Random(SEED)
    cases = []
    for n in LENGTHS:
        ids = [rng.randrange(CONFIG["vocab_size"]) for _ in range(n)]
        cases.append({"tokens": ids, **vectors(model, ids)})
    write_json(HERE / "bert_vectors.json", cases)


def write_real(path, name):
    tokenizer, model = AutoTokenizer.from_pretrained(path), AutoModel.from_pretrained(path).eval()
    cases = []
    for text in SENTENCES:
        ids = tokenizer(text)["input_ids"]
        cases.append({"text": text, "tokens": ids, "mean_unit": vectors(model, ids)["mean_unit"]})
    write_json(HERE / f"{name}_vectors.json", cases)


if __name__ == "__main__":
    write_real(*sys.argv[1:]) if len(sys.argv) > 1 else write_fixture()
