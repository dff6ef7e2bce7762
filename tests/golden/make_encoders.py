#!/usr/bin/env python3
"""Writes tests/support/encoders: bert_classifier, distilbert and mpnet, small classifiers of sequences with random
weights, kept in f16; and encoder_answers.json: what Hugging Face transformers makes of sequences in
float32, alone and in pairs, as logits, and as the vectors that the model without its head gives.

The positions reach past one page of keys and past the farthest distance that MPNet tells apart.

Needs: torch 2.15.0, transformers 5.23.0, tokenizers 0.22.2, safetensors 0.8.0, numpy 2.4.6.
Run: python3 make_encoders.py
"""

import json
import random

import make_bert
import numpy as np
import torch
from safetensors.numpy import save_file
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    MPNetConfig,
    MPNetForSequenceClassification,
)

OUT = make_bert.OUT.parent / "encoders"
SEED = 20251123
LENGTHS = [1, 2, 17, 64, 65, 150]
SIZES = dict(
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=2,
    vocab_size=96,
    max_position_embeddings=152,
)
MODELS = {
    "bert_classifier": (
        BertForSequenceClassification,
        BertConfig(
            **SIZES,
            hidden_act="gelu_new",
            id2label={0: "contradiction", 1: "entailment", 2: "neutral"},
        ),
    ),
    "distilbert": (
        DistilBertForSequenceClassification,
        DistilBertConfig(
            dim=32,
            hidden_dim=48,
            n_layers=2,
            n_heads=2,
            vocab_size=96,
            max_position_embeddings=152,
            activation="relu",
            problem_type="multi_label_classification",
            id2label={i: f"topic {i}" for i in range(17)},
        ),
    ),
    "mpnet": (MPNetForSequenceClassification, MPNetConfig(**SIZES, num_labels=1)),
}


def set_weights(model):
    """Large enough that attention is not flat; norms are about 1. Rounded to f16, as they are kept."""
    rng = np.random.default_rng(SEED)
    weights = {}
    for name, value in model.state_dict().items():
        is_norm = "LayerNorm.weight" in name or "layer_norm.weight" in name
        size = 1 if "relative" in name else 0.3 if value.dim() == 2 else 0.2
        values = rng.uniform(0.5, 1.5, value.shape) if is_norm else rng.normal(0, size, value.shape)
        weights[name] = values.astype(np.float16)
    model.load_state_dict({k: torch.from_numpy(v).float() for k, v in weights.items()})
    return weights


def answers(model, ids, types):
    inputs = {"input_ids": torch.tensor([ids])}
    if types is not None:
        inputs["token_type_ids"] = torch.tensor([types])
    with torch.no_grad():
        logits = model(**inputs).logits[0]
        rows = model.base_model(**inputs).last_hidden_state[0]
    unit = torch.nn.functional.normalize(rows.mean(0), dim=0)
    found = {"logits": logits, "mean_unit": unit, "cls": rows[0]}
    return {name: [float(f"{x:.6g}") for x in vector] for name, vector in found.items()}


def write_model(name, rng):
    make, config = MODELS[name]
    out = OUT / name
    out.mkdir(parents=True, exist_ok=True)
    model = make(config).eval()
    save_file(set_weights(model), out / "model.safetensors")
    config.architectures = [make.__name__]
    written = config.to_dict()
    make_bert.write_json(out / "config.json", {key: written[key] for key in sorted(written)})
    make_bert.write_tokenizer(out, SIZES["vocab_size"], name == "mpnet")
    cases = []
    for n in LENGTHS:
        ids = [rng.randrange(5, SIZES["vocab_size"]) for _ in range(n)]
        types = [int(i >= n // 2) for i in range(n)] if name == "bert_classifier" and n > 2 else None
        cases.append({"tokens": ids, "types": types, **answers(model, ids, types)})
    return cases


if __name__ == "__main__":
    rng = random.Random(SEED)
    cases = {name: write_model(name, rng) for name in MODELS}
    (make_bert.HERE / "encoder_answers.json").write_text(json.dumps(cases) + "\n")
