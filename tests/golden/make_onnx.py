#!/usr/bin/env python3
"""Writes tests/golden/onnx: a tiny BERT with random weights as model.safetensors, and what torch's two
ONNX exporters make of the same weights, within a module that wraps it.

torchscript.onnx          weights of linear layers are anonymous and transposed
torchscript_unfolded.onnx each weight has its name and a Transpose node
dynamo.onnx               as the first, but nodes have no paths
external.onnx(.data)      the same with its data in another file

What only describes (doc strings, metadata) is left out, which the files are mostly made of else.

Needs: torch 2.15.0, transformers 5.23.0, onnx 1.23.2, onnxscript 0.7.2, safetensors 0.8.0.
Run: python3 make_onnx.py
"""

import pathlib

import onnx
import torch
from transformers import BertConfig, BertModel

OUT = pathlib.Path(__file__).resolve().parent / "onnx"
SEED = 20251122
CONFIG = dict(
    hidden_size=8,
    intermediate_size=12,
    num_hidden_layers=1,
    num_attention_heads=2,
    vocab_size=16,
    max_position_embeddings=16,
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


def main():
    torch.manual_seed(SEED)
    OUT.mkdir(exist_ok=True)
    for old in OUT.iterdir():
        old.unlink()
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
    for path in OUT.iterdir():
        path.chmod(0o644)


if __name__ == "__main__":
    main()
