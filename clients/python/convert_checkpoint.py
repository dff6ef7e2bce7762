#!/usr/bin/env python3
"""Turns a PyTorch checkpoint of a vision Transformer into a directory that Centroid opens.

usage: convert_checkpoint.py CHECKPOINT OUT --heads N [options]

CHECKPOINT is a state dict as torch.save writes it (.pt, .pth), read with weights_only: no code of the
file runs. OUT gets config.json, preprocessor_config.json and model.safetensors with Hugging Face's
names. Known are the names of timm (ViT, DeiT with its distillation token, DINOv2's LayerScale), of
ViTs made of torch.nn.MultiheadAttention, and of vit-pytorch in its versions. A name that is not known
ends the conversion: leaving a weight out would change the model. The weights do not say the heads, the
pixels' mean and deviation, the labels nor, in vit-pytorch, by what attention is scaled: the options do.

Needs torch and safetensors (clients/python/requirements.txt).
"""

import argparse
import json
import math
import pathlib
import re
import sys
from typing import NamedTuple

LAYER = "encoder.layer.{}."
QKV = [LAYER + "attention.attention." + part for part in ("query", "key", "value")]
PROJECTION = "embeddings.patch_embeddings.projection"
NORM, LINEAR = 1, 2  # dimensions of a module's weight, at most and at least

# Modules with a weight and a bias: the name, what it is there (versions of vit-pytorch put either
# in one place), and the modules of ViTModel that its rows make. ".fn" of wrappers is left out.
MODULES = [
    ("patch_embed.proj", LINEAR, [PROJECTION]),
    ("patch_to_embedding", LINEAR, [PROJECTION]),
    ("to_patch_embedding.1", LINEAR, [PROJECTION]),
    ("blocks.{}.norm1", NORM, [LAYER + "layernorm_before"]),
    ("blocks.{}.attn.qkv", LINEAR, QKV),
    ("blocks.{}.attn.in_proj", LINEAR, QKV),
    ("blocks.{}.attn.proj", LINEAR, [LAYER + "attention.output.dense"]),
    ("blocks.{}.attn.out_proj", LINEAR, [LAYER + "attention.output.dense"]),
    ("blocks.{}.norm2", NORM, [LAYER + "layernorm_after"]),
    ("blocks.{}.mlp.fc1", LINEAR, [LAYER + "intermediate.dense"]),
    ("blocks.{}.mlp.0", LINEAR, [LAYER + "intermediate.dense"]),
    ("blocks.{}.mlp.fc2", LINEAR, [LAYER + "output.dense"]),
    ("blocks.{}.mlp.2", LINEAR, [LAYER + "output.dense"]),
    ("blocks.{}.mlp.3", LINEAR, [LAYER + "output.dense"]),
    ("norm", NORM, ["layernorm"]),
    ("head", LINEAR, ["classifier"]),
    ("head_dist", LINEAR, ["distillation_classifier"]),
    ("transformer.layers.{}.0.norm", NORM, [LAYER + "layernorm_before"]),
    ("transformer.layers.{}.0.to_qkv", LINEAR, QKV),
    ("transformer.layers.{}.0.to_out", LINEAR, [LAYER + "attention.output.dense"]),
    ("transformer.layers.{}.0.to_out.0", LINEAR, [LAYER + "attention.output.dense"]),
    ("transformer.layers.{}.1.norm", NORM, [LAYER + "layernorm_after"]),
    ("transformer.layers.{}.1.net.0", NORM, [LAYER + "layernorm_after"]),
    ("transformer.layers.{}.1.net.0", LINEAR, [LAYER + "intermediate.dense"]),
    ("transformer.layers.{}.1.net.1", LINEAR, [LAYER + "intermediate.dense"]),
    ("transformer.layers.{}.1.net.2", LINEAR, [LAYER + "output.dense"]),
    ("transformer.layers.{}.1.net.3", LINEAR, [LAYER + "output.dense"]),
    ("transformer.layers.{}.1.net.4", LINEAR, [LAYER + "output.dense"]),
    ("transformer.norm", NORM, ["layernorm"]),
    ("mlp_head", LINEAR, ["classifier"]),
    ("mlp_head.0", NORM, ["layernorm"]),
    ("mlp_head.0", LINEAR, ["pre_classifier"]),
    ("mlp_head.1", LINEAR, ["classifier"]),
    ("mlp_head.2", LINEAR, ["classifier"]),
]
TENSORS = {
    "cls_token": "embeddings.cls_token",
    "dist_token": "embeddings.distillation_token",
    "mask_token": "embeddings.mask_token",
    "pos_embed": "embeddings.position_embeddings",
    "pos_embedding": "embeddings.position_embeddings",
    "blocks.{}.ls1.gamma": LAYER + "layer_scale1.lambda1",
    "blocks.{}.ls2.gamma": LAYER + "layer_scale2.lambda1",
}
# Where Dinov2Model has other names than ViTModel.
DINOV2 = {
    "layernorm_before": "norm1",
    "layernorm_after": "norm2",
    "intermediate.dense": "mlp.fc1",
    "layer.{}.output.dense": "layer.{}.mlp.fc2",
}
HEADS = ("classifier", "pre_classifier", "cls_classifier", "distillation_classifier")


class Source(NamedTuple):
    """Where a Hugging Face tensor comes from: part `part` of `of` equal parts of a tensor's rows."""

    name: str
    part: int
    of: int


def find_layer(name):
    """`name` with the layer's number as {}, and that number ("" without one)."""
    match = re.match(r"(blocks|transformer\.layers)\.(\d+)\.", name)
    if match is None:
        return name, ""
    return f"{match[1]}.{{}}." + name[match.end() :], match[2]


def plain(name):
    while ".fn." in name:
        name = name.replace(".fn.", ".")
    return name.removeprefix("module.")


def targets_of(name, shapes):
    """ViTModel's names of a checkpoint's tensor, with {} for the layer, or None."""
    pattern, _ = find_layer(plain(name))
    if pattern in TENSORS:
        return [TENSORS[pattern]]
    match = re.fullmatch(r"(.*)[._](weight|bias)", pattern)
    if match is None:
        return None
    n_dims = len(shapes.get(name.removesuffix("bias") + "weight", shapes[name]))
    for module, kind, targets in MODULES:
        if module == match[1] and (n_dims == 1) == (kind == NORM):
            return [f"{target}.{match[2]}" for target in targets]
    return None


def find_family(shapes):
    names = {plain(name) for name in shapes}
    if "dist_token" in names:
        return "deit"
    return "dinov2" if "blocks.0.ls1.gamma" in names else "vit"


def hugging_face_name(target, layer, family, has_head):
    if target.rsplit(".", 1)[0] in HEADS:
        is_cls = family == "deit" and target.startswith("classifier")
        return "cls_" + target if is_cls else target
    if family == "dinov2":
        for vit, dinov2 in DINOV2.items():
            target = target.replace(vit, dinov2)
    prefix = f"{family}." if has_head else ""
    return prefix + target.replace("{}", layer)


def plan(shapes):
    """What to make of a checkpoint whose tensors have these shapes: the family, and
    {Hugging Face name: Source}. ValueError says which names are not known."""
    family = find_family(shapes)
    all_targets = {name: targets_of(name, shapes) for name in shapes}
    unknown = [name for name, targets in all_targets.items() if targets is None]
    if unknown:
        raise ValueError(f"{len(unknown)} names are not known: {', '.join(sorted(unknown)[:8])}")
    has_head = ["classifier.weight"] in all_targets.values()
    if has_head and family == "dinov2":
        raise ValueError("a DINOv2 checkpoint with a head: only the backbone is known")
    sources = {}
    for name, targets in all_targets.items():
        for part, target in enumerate(targets):
            goal = hugging_face_name(target, find_layer(plain(name))[1], family, has_head)
            if goal in sources:
                raise ValueError(f"{name} and {sources[goal].name} are both {goal}")
            sources[goal] = Source(name, part, len(targets))
    return family, sources


def split_patch(width):
    """(channels, edge) of a patch flattened to `width` values."""
    for channels in (3, 1):
        edge = math.isqrt(width // channels)
        if edge * edge * channels == width:
            return channels, edge
    raise ValueError(f"a patch of {width} values is no square of 1 or 3 channels")


def describe(shapes, options):
    """config.json of a checkpoint whose tensors have these shapes."""
    family, sources = plan(shapes)
    of = {re.sub(r"^(vit|deit)\.", "", goal): source for goal, source in sources.items()}

    def shape(goal):
        source = of[goal]
        first, *rest = shapes[source.name]
        return [first // source.of, *rest]

    projection = shape(PROJECTION + ".weight")
    hidden = projection[0]
    if hidden % options.heads:
        raise ValueError(f"--heads {options.heads} does not divide the width {hidden}")
    channels, patch = projection[1:3] if len(projection) == 4 else split_patch(projection[1])
    n_prefix = 2 if family == "deit" else 1
    n_patches = shape("embeddings.position_embeddings")[1] - n_prefix
    size = options.image_size or [math.isqrt(n_patches) * patch] * 2
    if (size[0] // patch) * (size[1] // patch) != n_patches:
        raise ValueError(f"an image of {size[0]} x {size[1]} has not {n_patches} patches: --image-size")
    has_head = any(goal in of for goal in ("classifier.weight", "cls_classifier.weight"))
    names = {
        "vit": ("ViTModel", "ViTForImageClassification"),
        "deit": ("DeiTModel", "DeiTForImageClassificationWithTeacher"),
        "dinov2": ("Dinov2Model",) * 2,
    }[family]
    layers = {find_layer(plain(name))[1] for name in shapes} - {""}
    fc1 = f"encoder.layer.0.{'mlp.fc1' if family == 'dinov2' else 'intermediate.dense'}.weight"
    config = {
        "architectures": [names[has_head]],
        "model_type": family,
        "hidden_size": hidden,
        "num_hidden_layers": len(layers),
        "num_attention_heads": options.heads,
        "intermediate_size": shape(fc1)[0],
        "hidden_act": options.act,
        "layer_norm_eps": options.norm_eps,
        "image_size": size[0] if size[0] == size[1] else size,
        "patch_size": patch,
        "num_channels": channels,
        "qkv_bias": "encoder.layer.0.attention.attention.query.bias" in of,
    }
    if family == "dinov2":
        config["mlp_ratio"] = config.pop("intermediate_size") / hidden
    if "layernorm.weight" not in of:
        config["use_final_layernorm"] = False
    if "pre_classifier.weight" in of:
        config["classifier_hidden_size"] = shape("pre_classifier.weight")[0]
    if has_head:
        head = "cls_classifier" if family == "deit" else "classifier"
        n_labels = shape(head + ".weight")[0]
        labels = options.labels or [f"LABEL_{i}" for i in range(n_labels)]
        if len(labels) != n_labels:
            raise ValueError(f"{len(labels)} labels, expected {n_labels}")
        config["id2label"] = {str(i): label for i, label in enumerate(labels)}
        config["label2id"] = {label: i for i, label in enumerate(labels)}
    return config


def preprocessor(config, options):
    size = config["image_size"]
    height, width = size if isinstance(size, list) else (size, size)
    n = config["num_channels"]
    return {
        "image_processor_type": "ViTImageProcessor",
        "do_resize": True,
        "size": {"height": height, "width": width},
        "resample": 3,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": options.mean if len(options.mean) == n else options.mean[:1] * n,
        "image_std": options.std if len(options.std) == n else options.std[:1] * n,
    }


def take(tensors, source, goal, config, scale):
    """One Hugging Face tensor, float32."""
    tensor = tensors[source.name].float()
    if source.of > 1:
        tensor = tensor.chunk(source.of)[source.part]
    if "attention.query." in goal:
        tensor = tensor * scale
    if goal.endswith(PROJECTION + ".weight") and tensor.dim() == 2:
        # vit-pytorch flattens a patch to (row, column, channel)
        c, p = config["num_channels"], config["patch_size"]
        tensor = tensor.view(-1, p, p, c).permute(0, 3, 1, 2)
    return tensor.contiguous().clone()


def write_model(tensors, out, options):
    """Writes the directory of a state dict."""
    from safetensors.torch import save_file

    shapes = {name: list(tensor.shape) for name, tensor in tensors.items()}
    config = describe(shapes, options)
    # Centroid scales attention by head_dim^-0.5; another scale goes into the queries.
    dim = config["hidden_size"]
    scale = (dim / options.heads / dim) ** 0.5 if options.attention_scale == "dim" else 1.0
    _, sources = plan(shapes)
    weights = {goal: take(tensors, source, goal, config, scale) for goal, source in sources.items()}
    out.mkdir(parents=True, exist_ok=True)
    save_file(weights, out / "model.safetensors", metadata={"format": "pt"})
    for name, content in (
        ("config.json", config),
        ("preprocessor_config.json", preprocessor(config, options)),
    ):
        (out / name).write_text(json.dumps(content, indent=2) + "\n")
    return config


def read_checkpoint(path):
    """The state dict of a file, also where it lies under a key beside the optimiser's."""
    import torch

    content = torch.load(path, map_location="cpu", weights_only=True)
    for key in ("model", "state_dict", "model_state_dict"):
        if key in content and isinstance(content[key], dict):
            content = content[key]
    return content


def numbers(text):
    return [float(part) for part in text.split(",")]


def parser():
    options = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    options.add_argument("checkpoint", type=pathlib.Path)
    options.add_argument("out", type=pathlib.Path)
    options.add_argument("--heads", type=int, required=True, help="attention heads")
    options.add_argument("--image-size", type=int, nargs=2, metavar=("HEIGHT", "WIDTH"),
                         help="where the image is not square")
    options.add_argument("--mean", type=numbers, default=[0.5], metavar="R,G,B",
                         help="of pixels in 0..1 (default 0.5)")
    options.add_argument("--std", type=numbers, default=[0.5], metavar="R,G,B",
                         help="their deviation (default 0.5)")
    options.add_argument("--labels", type=lambda text: text.split(","), metavar="A,B,...",
                         help="the classes' names in order")
    options.add_argument("--attention-scale", choices=("head", "dim"), default="head",
                         help="scores are multiplied by the head's or the model's width ^ -0.5 "
                              "(vit-pytorch before 0.7: dim)")
    options.add_argument("--norm-eps", type=float, default=1e-6, help="of LayerNorm (default 1e-6)")
    options.add_argument("--act", default="gelu", help="the MLP's activation (default gelu)")
    return options


def main():
    options = parser().parse_args()
    try:
        config = write_model(read_checkpoint(options.checkpoint), options.out, options)
    except (OSError, ValueError) as error:
        sys.exit(f"{options.checkpoint}: {error}")
    print(f"{options.out}: {config['architectures'][0]}, {config['num_hidden_layers']} layers of "
          f"{config['hidden_size']}")


if __name__ == "__main__":
    main()
