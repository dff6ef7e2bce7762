#!/usr/bin/env python3
"""Vision Transformers beside ONNX Runtime, float32 and int8 (its dynamic quantisation): pixels to labels, rounds
in alternation. Ratios are taken within a round; medians over the rounds. Weights are random, as the
shapes are what counts; each model's logits are held to those of transformers first.

usage: bench/vision.py [--models vit-b16,deit-s,deit-ti] [--batches 1,8] [--rounds 5] [--threads 2]
                       [--out bench/results]
Needs torch, transformers, onnx, onnxscript, onnxruntime and Pillow. Writes vision.md.
"""

import argparse
import collections
import json
import pathlib
import statistics
import tempfile

import numpy as np
import torch
import transformers
from PIL import Image

import encoders
import report

SHAPES = {
    "vit-b16": (transformers.ViTForImageClassification, transformers.ViTConfig, 768, 12),
    "deit-b": (transformers.DeiTForImageClassificationWithTeacher, transformers.DeiTConfig, 768, 12),
    "deit-s": (transformers.DeiTForImageClassificationWithTeacher, transformers.DeiTConfig, 384, 6),
    "deit-ti": (transformers.DeiTForImageClassificationWithTeacher, transformers.DeiTConfig, 192, 3),
}
LABELS = 1000
PROCESSOR = {
    "image_processor_type": "ViTImageProcessor",
    "size": {"height": 224, "width": 224},
    "image_mean": [0.5] * 3,
    "image_std": [0.5] * 3,
}


class Logits(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, pixels):
        return self.model(pixel_values=pixels).logits


def make_model(name, folder):
    """A model with random weights, saved to folder; attention is not flat."""
    model_class, config_class, width, heads = SHAPES[name]
    torch.manual_seed(1)
    config = config_class(
        hidden_size=width,
        num_attention_heads=heads,
        intermediate_size=4 * width,
        id2label={i: f"class {i}" for i in range(LABELS)},
    )
    model = model_class(config).eval()
    with torch.no_grad():
        for key, value in model.named_parameters():
            if value.dim() == 2:
                value.normal_(0, 1.5 / value.shape[1] ** 0.5)
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
    return model


def export(model, folder):
    """{name: an ONNX file}"""
    files = {"float32": folder / "float32.onnx", "int8": folder / "int8.onnx"}
    torch.onnx.export(
        Logits(model),
        (torch.zeros(2, 3, 224, 224),),
        files["float32"],
        input_names=["pixels"],
        dynamic_axes={"pixels": {0: "batch"}},
        dynamo=False,
        opset_version=17,
    )
    encoders.quantize_dynamic(
        files["float32"],
        files["int8"],
        weight_type=encoders.QuantType.QInt8,
        op_types_to_quantize=["MatMul", "Gemm"],
    )
    return files


def logits(options, path, image, activations):
    command = [options.centroid, "classify", path, "--image", image, "--json", "--top", LABELS]
    answer = json.loads(report.run(*command, "--activations", activations))
    found = {int(row["label"].split()[1]): row["logit"] for row in answer["labels"]}
    return np.array([found[i] for i in range(LABELS)])


def compare(options, model, folder):
    """[float, clustered]: the largest difference of a logit as a share of the largest, and the cosine."""
    pixels = np.random.default_rng(1).integers(0, 256, (224, 224, 3), dtype=np.uint8)
    image = folder / "noise.png"
    Image.fromarray(pixels).save(image)
    planes = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 127.5 - 1
    with torch.no_grad():
        expected = model(pixel_values=planes).logits[0].double().numpy()
    found = []
    for path, activations in (("float", "float"), ("6bit", "int8")):
        own = logits(options, folder / path, image, activations)
        largest = np.abs(own - expected).max() / np.abs(expected).max()
        cosine = own @ expected / np.linalg.norm(own) / np.linalg.norm(expected)
        found.append((largest, cosine))
    return found


def peer(session, batch):
    """Images a second."""
    shape = (batch, 3, 224, 224)
    pixels = np.random.default_rng(1).uniform(-1, 1, shape).astype(np.float32)
    return encoders.repeat(session, {"pixels": pixels}, batch)


def centroid(options, path, batch):
    command = [options.centroid, "bench", path, "--json", "--threads", options.threads]
    [row] = json.loads(report.run(*command, "--batch", batch, "--repeat", 2))
    return row["images_per_s"]["median"], row["gops"] / row["limit_gops"]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--centroid", default=report.ROOT / "build/release/centroid")
    parser.add_argument("--models", default="vit-b16,deit-s,deit-ti")
    parser.add_argument("--batches", default="1,8")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", default=report.ROOT / "bench/results")
    options = parser.parse_args()
    names, batches = options.models.split(","), list(map(int, options.batches.split(",")))
    rates, shares, values = collections.defaultdict(list), collections.defaultdict(list), []
    with tempfile.TemporaryDirectory() as temporary:
        sessions = {}
        for name in names:
            folder = pathlib.Path(temporary) / name
            (folder / "float").mkdir(parents=True)
            model = make_model(name, folder / "float")
            report.run(options.centroid, "compress", "--quiet", folder / "float", folder / "6bit")
            exact, clustered = compare(options, model, folder)
            values.append([name, f"{exact[0]:.1e}", f"{clustered[0]:.3f}", f"{clustered[1]:.5f}"])
            report.say(f"{name}: logits off by {exact[0]:.1e} in float")
            files = export(model, folder)
            sessions[name] = {
                kind: encoders.open_session(file, options.threads) for kind, file in files.items()
            }
        for i in range(options.rounds):
            for name in names:
                for batch in batches:
                    path = pathlib.Path(temporary) / name / "6bit"
                    rate, share = centroid(options, path, batch)
                    rates[name, batch, "Centroid"].append(rate)
                    shares[name, batch].append(share)
                    for kind, session in sessions[name].items():
                        rates[name, batch, kind].append(peer(session, batch))
            report.say(f"{i + 1} of {options.rounds} rounds")
    rows = []
    for name in names:
        for batch in batches:
            own = rates[name, batch, "Centroid"]
            share = statistics.median(shares[name, batch])
            cells = [f"{name} x {batch}", report.spread(own, 1), f"{100 * share:.0f} %"]
            for kind in ("float32", "int8"):
                other = rates[name, batch, kind]
                ratio = statistics.median(a / b for a, b in zip(own, other))
                cells += [report.spread(other, 1), f"{ratio:.2f}"]
            rows.append(cells)
    columns = ["model x images", "Centroid, images/s", "of the dot-product limit"]
    for kind in ("float32", "int8"):
        version = encoders.onnxruntime.__version__
        columns += [f"ONNX Runtime {version}, {kind}", "Centroid is faster by"]
    speed = report.table(columns, rows)
    columns = ["logits against transformers", "float: off by, of the largest", "6 bits: off by", "cosine"]
    equal = report.table(columns, values)
    text = report.header("Vision Transformers") + f"- {options.threads} threads\n\n"
    report.write(options.out, "vision.md", text + speed + "\n" + equal)


if __name__ == "__main__":
    main()
