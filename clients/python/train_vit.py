#!/usr/bin/env python3
"""Trains a small vision Transformer on a folder of images and writes a directory that Centroid opens.

usage: train_vit.py IMAGES OUT [options]

IMAGES has a folder of JPEG and PNG files for each class, as ImageNet has; or files whose names begin
with their class ("cat_0012.png"). All are brought to one small size and kept in memory. The model is
DeiT's: patches, a class token and with --distillation-token one more (without a teacher: both heads
learn the labels), norms before attention and MLP. So is the recipe, as far as it pays at this size:
AdamW, warm-up and cosine, label smoothing, stochastic depth, mixup, and flipped, turned, shifted,
scaled, recoloured and half-covered images. A part of the images is held out; what the model makes of
them is printed after each epoch and decides nothing. The same seed, images and number of threads give
the same model.

Needs torch, safetensors, numpy and Pillow (clients/python/requirements.txt).
"""

import argparse
import math
import pathlib
import re
import sys
import time
import types

import convert_checkpoint as convert
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

IMAGE_NAMES = (".jpg", ".jpeg", ".png")


# ---- images ----


def class_of(path, root):
    """The folder's name, or what the file's begins with, but for ImageNet's numbers."""
    name = path.relative_to(root).parts[0] if path.parent != root else path.stem
    name = re.sub(r"^n\d{8}_", "", name)
    return name if path.parent != root else re.sub(r"[ _-]*\d+$", "", name)


def read_images(root, size):
    """(images [N, 3, size, size] of bytes, classes [N], the classes' names)"""
    paths = sorted(p for p in root.rglob("*") if p.suffix.lower() in IMAGE_NAMES)
    labels = sorted({class_of(path, root) for path in paths})
    if len(labels) < 2:
        sys.exit(f"{root}: {len(paths)} images of {len(labels)} classes, expected at least 2 classes")
    images = np.empty((len(paths), size, size, 3), np.uint8)
    for i, path in enumerate(paths):
        with Image.open(path) as image:
            images[i] = image.convert("RGB").resize((size, size), Image.Resampling.BICUBIC)
    classes = torch.tensor([labels.index(class_of(path, root)) for path in paths])
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(), classes, labels


def split(classes, fraction, generator):
    """(training, held out): places, a like part of each class in either."""
    order = torch.randperm(len(classes), generator=generator)
    is_held = torch.zeros(len(classes), dtype=torch.bool)
    for label in classes.unique():
        places = order[classes[order] == label]
        is_held[places[: int(len(places) * fraction)]] = True
    return order[~is_held[order]], order[is_held[order]]


def uniform(shape, low, high, generator):
    return torch.rand(shape, generator=generator) * (high - low) + low


def augment(x, flip, generator):
    """x: [B, 3, S, S] in 0..1."""
    n, _, size, _ = x.shape
    angle = uniform(n, -0.25, 0.25, generator)
    scale = uniform(n, 0.75, 1.15, generator)
    mirror = torch.where(torch.rand(n, generator=generator) < 0.5 * flip, -1.0, 1.0)
    matrix = torch.empty(n, 2, 3)
    matrix[:, 0, 0], matrix[:, 0, 1] = scale * angle.cos() * mirror, -scale * angle.sin()
    matrix[:, 1, 0], matrix[:, 1, 1] = scale * angle.sin() * mirror, scale * angle.cos()
    matrix[:, :, 2] = uniform((n, 2), -0.2, 0.2, generator)
    grid = F.affine_grid(matrix, list(x.shape), align_corners=False)
    x = F.grid_sample(x, grid, padding_mode="reflection", align_corners=False)
    grey = x.mean(1, keepdim=True)
    x = grey + (x - grey) * uniform((n, 1, 1, 1), 0.6, 1.4, generator)
    mean = x.mean((1, 2, 3), keepdim=True)
    x = mean + (x - mean) * uniform((n, 1, 1, 1), 0.7, 1.3, generator)
    x = (x + uniform((n, 1, 1, 1), -0.2, 0.2, generator)).clamp(0, 1)
    # A square of a quarter of the edge to half of it goes grey in every second image.
    edge = uniform((n, 1, 1), 0.25, 0.5, generator) * size * (torch.rand(n, 1, 1, generator=generator) < 0.5)
    top, left = uniform((2, n, 1, 1), 0, size, generator) - edge / 2
    line = torch.arange(size).view(1, size, 1)
    is_in = (line >= top) & (line < top + edge) & (line.mT >= left) & (line.mT < left + edge)
    return torch.where(is_in.unsqueeze(1), 0.5, x)


# ---- the model, with timm's names ----


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x):
        n, t, width = x.shape
        q, k, v = self.qkv(x).view(n, t, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, t, width))


class MLP(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    def __init__(self, width, heads, hidden, drop):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.attn, self.mlp = Attention(width, heads), MLP(width, hidden)
        self.drop = drop  # how often an image goes past a half of the block

    def kept(self, x):
        if not self.training or self.drop == 0:
            return x
        return x * (torch.rand(len(x), 1, 1) >= self.drop) / (1 - self.drop)

    def forward(self, x):
        x = x + self.kept(self.attn(self.norm1(x)))
        return x + self.kept(self.mlp(self.norm2(x)))


class VisionTransformer(nn.Module):
    def __init__(self, options, n_labels):
        super().__init__()
        width, patches = options.width, (options.size // options.patch) ** 2
        n_tokens = patches + 1 + options.distillation_token
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, width, options.patch, options.patch)})
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.randn(1, n_tokens, width) * 0.02)
        drops = torch.linspace(0, options.drop_path, options.layers).tolist()
        self.blocks = nn.ModuleList(Block(width, options.heads, 4 * width, drop) for drop in drops)
        self.norm, self.head = nn.LayerNorm(width, eps=1e-6), nn.Linear(width, n_labels)
        if options.distillation_token:
            self.dist_token = nn.Parameter(torch.zeros(1, 1, width))
            self.head_dist = nn.Linear(width, n_labels)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def forward(self, x):
        """One tensor of logits a head: [B, labels]."""
        x = self.patch_embed["proj"](x).flatten(2).transpose(1, 2)
        tokens = [self.cls_token] + ([self.dist_token] if hasattr(self, "dist_token") else [])
        x = torch.cat([token.expand(len(x), -1, -1) for token in tokens] + [x], 1) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        x = self.norm(x[:, : len(tokens)])
        heads = [self.head] + ([self.head_dist] if hasattr(self, "head_dist") else [])
        return [head(x[:, i]) for i, head in enumerate(heads)]


# ---- training ----


def groups(model, decay):
    """Matrices decay; biases, norms, tokens and places do not."""
    is_free = [p.dim() == 1 or "token" in name or "pos" in name for name, p in model.named_parameters()]
    of = list(zip(is_free, model.parameters()))
    return [{"params": [p for free, p in of if not free], "weight_decay": decay},
            {"params": [p for free, p in of if free], "weight_decay": 0.0}]


def rate(step, n_steps, n_warm):
    if step < n_warm:
        return (step + 1) / n_warm
    return 0.5 * (1 + math.cos(math.pi * (step - n_warm) / max(1, n_steps - n_warm)))


def smooth(classes, n_labels, smoothing):
    return F.one_hot(classes, n_labels) * (1 - smoothing) + smoothing / n_labels


class Trainer:
    def __init__(self, options, images, classes, labels):
        self.options, self.images, self.classes = options, images, classes
        self.n_labels = len(labels)
        self.generator = torch.Generator().manual_seed(options.seed)
        self.places, self.held = split(classes, options.holdout, self.generator)
        pixels = images[self.places].float().div(255).transpose(0, 1).flatten(1)
        self.mean, self.std = pixels.mean(1), pixels.std(1)
        self.model = VisionTransformer(options, self.n_labels)
        self.optimizer = torch.optim.AdamW(groups(self.model, options.weight_decay), lr=options.lr)
        self.n_batches = math.ceil(len(self.places) / options.batch)
        n_steps = options.epochs * self.n_batches
        n_warm = min(5 * self.n_batches, n_steps // 10 + 1)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer, lambda step: rate(step, n_steps, n_warm))

    def normalized(self, x):
        return (x - self.mean.view(3, 1, 1)) / self.std.view(3, 1, 1)

    def step(self, places):
        options, generator = self.options, self.generator
        x = augment(self.images[places].float() / 255, not options.no_flip, generator)
        y = smooth(self.classes[places], self.n_labels, options.smoothing)
        if options.mixup > 0:
            part = np.random.default_rng(int(torch.randint(2**31, (), generator=generator)))
            part = float(part.beta(options.mixup, options.mixup))
            other = torch.randperm(len(places), generator=generator)
            x, y = part * x + (1 - part) * x[other], part * y + (1 - part) * y[other]
        outs = self.model(self.normalized(x))
        loss = sum(F.cross_entropy(out, y) for out in outs) / len(outs)
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.schedule.step()
        return loss.item()

    def epoch(self, number, started):
        self.model.train()
        order = self.places[torch.randperm(len(self.places), generator=self.generator)]
        total = 0.0
        for i, places in enumerate(order.split(self.options.batch)):
            total += self.step(places)
            done = (number * self.n_batches + i + 1) / (self.options.epochs * self.n_batches)
            left = (time.monotonic() - started) * (1 - done) / done
            if sys.stderr.isatty():
                print(f"\repoch {number + 1} of {self.options.epochs}, batch {i + 1} of {self.n_batches}, "
                      f"loss {total / (i + 1):.3f}, {left / 60:.1f} minutes left ", end="", file=sys.stderr)
        return total / self.n_batches

    @torch.no_grad()
    def accuracy(self):
        self.model.eval()
        n_right = 0
        for places in self.held.split(256):
            out = sum(self.model(self.normalized(self.images[places].float() / 255)))
            n_right += int((out.argmax(1) == self.classes[places]).sum())
        return n_right / max(1, len(self.held))

    def run(self):
        started = time.monotonic()
        for number in range(self.options.epochs):
            loss = self.epoch(number, started)
            print(f"\repoch {number + 1}: loss {loss:.3f}, held out {100 * self.accuracy():.2f} % of "
                  f"{len(self.held)}, {(time.monotonic() - started) / 60:.1f} minutes" + " " * 20, flush=True)


def parser():
    options = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    options.add_argument("images", type=pathlib.Path)
    options.add_argument("out", type=pathlib.Path)
    for name, kind, default, meaning in (
        ("epochs", int, 40, "times that each image is seen"),
        ("batch", int, 128, "images a step"),
        ("size", int, 32, "edge of the images in pixels"),
        ("patch", int, 4, "edge of a patch"),
        ("width", int, 128, "of the model"),
        ("layers", int, 6, ""),
        ("heads", int, 4, ""),
        ("lr", float, 1e-3, "highest learning rate"),
        ("weight-decay", float, 0.05, ""),
        ("smoothing", float, 0.1, "of labels"),
        ("mixup", float, 0.2, "how much two images are mixed: alpha; 0 not at all"),
        ("drop-path", float, 0.1, "how often the last layer is gone past"),
        ("holdout", float, 0.1, "part of the images that is not trained on"),
        ("seed", int, 1, ""),
        ("threads", int, 2, ""),
    ):
        options.add_argument(f"--{name}", type=kind, default=default,
                             help=f"{meaning} ({default})" if meaning else f"({default})")
    options.add_argument("--no-flip", action="store_true", help="where left and right matter, as in digits")
    options.add_argument("--distillation-token", action="store_true", help="a second token and head, as DeiT has")
    return options


def main():
    options = parser().parse_args()
    if options.size % options.patch or options.width % options.heads:
        sys.exit("--patch must divide --size, and --heads --width")
    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)
    images, classes, labels = read_images(options.images, options.size)
    trainer = Trainer(options, images, classes, labels)
    n_weights = sum(p.numel() for p in trainer.model.parameters())
    print(f"{len(trainer.places)} images of {len(labels)} classes, {n_weights / 1e6:.2f} M weights", flush=True)
    trainer.run()
    written = types.SimpleNamespace(
        heads=options.heads, image_size=None, act="gelu", norm_eps=1e-6, labels=labels,
        attention_scale="head", mean=trainer.mean.tolist(), std=trainer.std.tolist())
    convert.write_model(trainer.model.state_dict(), options.out, written)
    print(f"{options.out}: serve it with 'centroid serve --model {options.out}'")


if __name__ == "__main__":
    main()
