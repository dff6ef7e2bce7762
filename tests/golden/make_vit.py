#!/usr/bin/env python3
"""Writes tests/support/vision, small vision models with random weights, and vit_outputs.json: what Hugging
Face transformers, or for norms behind attention torch's own encoder, makes of one image in float32.

Weights are stored in float16 and read back before anything is computed. The pixels are pixel(i) below.

Needs: torch 2.15.0, transformers 5.23.0, safetensors 0.8.0, numpy 2.4.6.
Run: python3 make_vit.py
"""

import json
import pathlib

import numpy as np
import torch
from safetensors.torch import save_file
from transformers import (
    DeiTConfig,
    DeiTForImageClassificationWithTeacher,
    Dinov2Config,
    Dinov2Model,
    ViTConfig,
    ViTForImageClassification,
    ViTModel,
)

HERE = pathlib.Path(__file__).resolve().parent
OUT = HERE.parent / "support" / "vision"
SEED = 20251122
SHAPE = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=48)
LABELS = ["cat", "dog", "ship", "truck", "lily of the valley"]


def pixel(i):
    """A value within -1..1 for place i of planes [C, height, width]."""
    return ((i + 1) * 2654435761 % 2**32 >> 8) / 2**23 - 1


def random_weights(model):
    """Large enough that attention is not flat; norms are about 1."""
    rng = np.random.default_rng(SEED)
    weights = {}
    for name, value in model.state_dict().items():
        if name.startswith("pooler") or "mask_token" in name:
            continue
        if "norm" in name and name.endswith("weight"):
            values = rng.uniform(0.5, 1.5, value.shape)
        else:
            values = rng.normal(0, 0.3 if value.dim() == 2 else 0.2, value.shape)
        weights[name] = torch.from_numpy(values.astype(np.float16))
    model.load_state_dict({k: v.float() for k, v in weights.items()}, strict=False)
    return weights


def planes(channels, height, width):
    values = [pixel(i) for i in range(channels * height * width)]
    return torch.tensor(values).reshape(1, channels, height, width)


def write(name, config, size, weights, output):
    """weights: a transformers model, or a dictionary; size: (height, width) of the input, where it is not
    the configuration's."""
    folder = OUT / name
    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(weights, dict):
        save_file(weights, folder / "model.safetensors")
    else:
        weights.half().save_pretrained(folder)
    (folder / "config.json").write_text(json.dumps(config) + "\n")
    if size is not None:
        preprocessor = {"size": {"height": size[0], "width": size[1]}, "do_center_crop": False}
        (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor) + "\n")
    return [float(f"{x:.8g}") for x in output.detach()[0]]


def labels():
    return {"id2label": {str(i): name for i, name in enumerate(LABELS)}}


def vit():
    config = dict(**SHAPE, image_size=16, patch_size=4)
    model = ViTForImageClassification(ViTConfig(**config, **labels())).eval()
    random_weights(model)
    output = model(planes(3, 16, 16)).logits
    config |= {"model_type": "vit", "architectures": ["ViTForImageClassification"], **labels()}
    return write("vit", config, None, model, output)


def gray():
    """One channel, no biases in attention, and another size than the table of places is for."""
    config = dict(**SHAPE, image_size=12, patch_size=4, num_channels=1, qkv_bias=False)
    model = ViTModel(ViTConfig(**config), add_pooling_layer=False).eval()
    random_weights(model)
    rows = model(planes(1, 20, 13), interpolate_pos_encoding=True).last_hidden_state
    config |= {"model_type": "vit", "architectures": ["ViTModel"], "hidden_act": "gelu"}
    return write("gray", config, (20, 13), model, rows[:, 0])


def deit():
    config = dict(**SHAPE, image_size=16, patch_size=4)
    model = DeiTForImageClassificationWithTeacher(DeiTConfig(**config, **labels())).eval()
    random_weights(model)
    output = model(planes(3, 16, 16)).logits
    architectures = ["DeiTForImageClassificationWithTeacher"]
    config |= {"model_type": "deit", "architectures": architectures, **labels()}
    return write("deit", config, (16, 16), model, output)


def dinov2(name, is_gated):
    shape = {k: v for k, v in SHAPE.items() if k != "intermediate_size"}
    config = dict(**shape, image_size=28, patch_size=7, mlp_ratio=2, use_swiglu_ffn=is_gated)
    model = Dinov2Model(Dinov2Config(**config)).eval()
    random_weights(model)
    output = model(planes(3, 35, 42)).last_hidden_state[:, 0]
    config |= {"model_type": "dinov2", "architectures": ["Dinov2Model"]}
    return write(name, config, (35, 42), model, output)


def post_norm():
    """torch.nn.TransformerEncoder behind patches, class token and places of the same kind as ViT's."""
    E, F, patch, edge = SHAPE["hidden_size"], SHAPE["intermediate_size"], 4, 8
    n = (edge // patch) ** 2 + 1

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.cls_token = torch.nn.Parameter(torch.zeros(1, 1, E))
            self.position_embeddings = torch.nn.Parameter(torch.zeros(1, n, E))
            self.projection = torch.nn.Conv2d(3, E, patch, patch)
            layer = torch.nn.TransformerEncoderLayer(E, 2, F, 0.0, "gelu", batch_first=True)
            self.encoder = torch.nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

        def forward(self, x):
            rows = self.projection(x).flatten(2).transpose(1, 2)
            return self.encoder(torch.cat([self.cls_token, rows], 1) + self.position_embeddings)

    model = Model().eval()
    weights = random_weights(model)
    output = model(planes(3, edge, edge))[:, 0]
    renamed = {
        "embeddings.cls_token": weights["cls_token"],
        "embeddings.position_embeddings": weights["position_embeddings"],
    }
    for kind in ("weight", "bias"):
        renamed[f"embeddings.patch_embeddings.projection.{kind}"] = weights[f"projection.{kind}"]
        for i in range(SHAPE["num_hidden_layers"]):
            old, new = f"encoder.layers.{i}.", f"encoder.layer.{i}."
            qkv = weights[f"{old}self_attn.in_proj_{kind}"].chunk(3)
            for name, part in zip(("query", "key", "value"), qkv):
                renamed[f"{new}attention.attention.{name}.{kind}"] = part.contiguous()
            for a, b in {
                "self_attn.out_proj": "attention.output.dense",
                "linear1": "intermediate.dense",
                "linear2": "output.dense",
                "norm1": "layernorm_before",
                "norm2": "layernorm_after",
            }.items():
                renamed[f"{new}{b}.{kind}"] = weights[f"{old}{a}.{kind}"]
    config = dict(**SHAPE, image_size=edge, patch_size=patch, norm_first=False, layer_norm_eps=1e-5)
    config |= {"model_type": "vit", "architectures": ["ViTModel"]}
    return write("post_norm", config, None, renamed, output)


if __name__ == "__main__":
    outputs = {
        "vit": vit(),
        "gray": gray(),
        "deit": deit(),
        "dinov2": dinov2("dinov2", False),
        "gated": dinov2("gated", True),
        "post_norm": post_norm(),
    }
    (HERE / "vit_outputs.json").write_text(json.dumps(outputs) + "\n")
