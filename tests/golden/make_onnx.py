#!/usr/bin/env python3
"""Writes tests/golden/onnx: a tiny BERT with random weights as model.safetensors, and what torch's two
ONNX exporters make of the same weights, within a module that wraps it; and tests/golden/onnx_vit: a tiny
ViT, by its modules in transformers and by those of timm.

torchscript.onnx          weights of linear layers are anonymous and transposed
torchscript_unfolded.onnx each weight has its name and a Transpose node
dynamo.onnx               as the first, but nodes have no paths
external.onnx(.data)      the same with its data in another file

transformers.onnx         the modules of transformers 5, whose names are not those that it saves
timm.onnx                 the names of timm, with one matrix for queries, keys and values

What only describes (doc strings, metadata) is left out, which the files are mostly made of else.

Needs: torch 2.15.0, transformers 5.23.0, onnx 1.23.2, onnxscript 0.7.2, safetensors 0.8.0.
Run: python3 make_onnx.py
"""

import pathlib

import onnx
import torch
from safetensors.torch import load_file
from transformers import BertConfig, BertModel, ViTConfig, ViTForImageClassification

OUT = pathlib.Path(__file__).resolve().parent / "onnx"
OUT_VIT = OUT.with_name("onnx_vit")
SEED = 20251122
CONFIG = dict(
    hidden_size=8,
    intermediate_size=12,
    num_hidden_layers=1,
    num_attention_heads=2,
    vocab_size=16,
    max_position_embeddings=16,
)
VIT = dict(
    hidden_size=8,
    intermediate_size=12,
    num_hidden_layers=1,
    num_attention_heads=2,
    image_size=4,
    patch_size=2,
    num_labels=3,
)


class Wrapper(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, ids):
        return self.model(input_ids=ids).last_hidden_state


def strip(path, external=None):
    """Saves the file again without what only describes."""
    model = onnx.load(path)
    model.graph.ClearField("value_info")
    for item in [model, model.graph, *model.graph.node, *model.graph.initializer]:
        item.ClearField("doc_string")
        item.ClearField("metadata_props")
    for value in [*model.graph.input, *model.graph.output]:
        value.ClearField("metadata_props")
    del model.functions[:]
    onnx.save(model, path)
    if external is not None:
        onnx.save(model, external, save_as_external_data=True, location=external.name + ".data",
                  size_threshold=0)


def modules(**parts):
    module = torch.nn.Module()
    for name, part in parts.items():
        setattr(module, name, part)
    return module


class Timm(torch.nn.Module):
    """timm's names for the weights of a Hugging Face ViT of one layer; what it computes is beside the point, as
    long as all of it is computed."""

    def __init__(self, weights):
        super().__init__()
        E, F = VIT["hidden_size"], VIT["intermediate_size"]
        self.cls_token = torch.nn.Parameter(torch.zeros(1, 1, E))
        self.pos_embed = torch.nn.Parameter(torch.zeros(1, 5, E))
        self.patch_embed = modules(proj=torch.nn.Conv2d(3, E, 2, 2))
        block = dict(norm1=torch.nn.LayerNorm(E), norm2=torch.nn.LayerNorm(E))
        block["attn"] = modules(qkv=torch.nn.Linear(E, 3 * E), proj=torch.nn.Linear(E, E))
        block["mlp"] = modules(fc1=torch.nn.Linear(E, F), fc2=torch.nn.Linear(F, E))
        self.blocks = torch.nn.ModuleList([modules(**block)])
        self.norm, self.head = torch.nn.LayerNorm(E), torch.nn.Linear(E, 3)
        layer = "vit.encoder.layer.0."
        qkv = [layer + f"attention.attention.{part}." for part in ("query", "key", "value")]
        state = {"cls_token": weights["vit.embeddings.cls_token"],
                 "pos_embed": weights["vit.embeddings.position_embeddings"]}
        for kind in ("weight", "bias"):
            state["blocks.0.attn.qkv." + kind] = torch.cat([weights[name + kind] for name in qkv])
            for ours, theirs in (("patch_embed.proj.", "vit.embeddings.patch_embeddings.projection."),
                                 ("blocks.0.norm1.", layer + "layernorm_before."),
                                 ("blocks.0.attn.proj.", layer + "attention.output.dense."),
                                 ("blocks.0.norm2.", layer + "layernorm_after."),
                                 ("blocks.0.mlp.fc1.", layer + "intermediate.dense."),
                                 ("blocks.0.mlp.fc2.", layer + "output.dense."),
                                 ("norm.", "vit.layernorm."), ("head.", "classifier.")):
                state[ours + kind] = weights[theirs + kind]
        self.load_state_dict(state)

    def forward(self, pixels):
        h = self.patch_embed.proj(pixels).flatten(2).transpose(1, 2)
        h = torch.cat([self.cls_token.expand(h.shape[0], -1, -1), h], 1) + self.pos_embed
        block = self.blocks[0]
        h = h + block.attn.proj(block.attn.qkv(block.norm1(h))[..., : VIT["hidden_size"]])
        h = h + block.mlp.fc2(block.mlp.fc1(block.norm2(h)))
        return self.head(self.norm(h)[:, 0])


def clear(folder):
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()


def write_vit():
    clear(OUT_VIT)
    model = ViTForImageClassification(ViTConfig(**VIT)).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter)
    model.save_pretrained(OUT_VIT)
    for name, module in (("transformers", model), ("timm", Timm(load_file(OUT_VIT / "model.safetensors")))):
        path = OUT_VIT / f"{name}.onnx"
        torch.onnx.export(module.eval(), (torch.zeros(1, 3, 4, 4),), path, dynamo=False, opset_version=17)
        strip(path)


def main():
    torch.manual_seed(SEED)
    clear(OUT)
    model = BertModel(BertConfig(**CONFIG), add_pooling_layer=False).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter)
    model.save_pretrained(OUT)
    module, ids = Wrapper(model), (torch.ones(1, 5, dtype=torch.long),)
    for name, fold in (("torchscript", True), ("torchscript_unfolded", False)):
        path = OUT / f"{name}.onnx"
        torch.onnx.export(module, ids, path, dynamo=False, opset_version=17, do_constant_folding=fold,
                          input_names=["ids"], dynamic_axes={"ids": {0: "n", 1: "t"}})
        strip(path)
    torch.onnx.export(module, ids, OUT / "dynamo.onnx", dynamo=True, external_data=False,
                      input_names=["ids"], dynamic_shapes={"ids": {0: "n", 1: "t"}})
    strip(OUT / "dynamo.onnx", OUT / "external.onnx")
    write_vit()
    for path in [*OUT.iterdir(), *OUT_VIT.iterdir()]:
        path.chmod(0o644)


if __name__ == "__main__":
    main()
