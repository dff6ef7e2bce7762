#!/usr/bin/env python3
"""A sentence encoder beside ONNX Runtime, float32 and int8 (its dynamic quantisation): sequences of token ids
to pooled vectors, rounds in alternation. Ratios are taken within a round; medians over the rounds. With --sts, a
CSV file of sentence,sentence,score, also Spearman's correlation of the cosines with the scores.

usage: bench/encoders.py --model DIR --peer DIR [--shapes 32x1,32x32,128x8,512x1] [--rounds 5]
                         [--threads 2] [--sts FILE] [--out bench/results]
--model: what `centroid compress` made of --peer, a directory of a bert model as sentence-transformers has it.
Needs torch, transformers, onnx, onnxscript and onnxruntime. Writes encoders.md.
"""

import argparse
import collections
import csv
import json
import pathlib
import statistics
import tempfile
import time

import numpy as np
import onnxruntime
import torch
import transformers
from onnxruntime.quantization import QuantType, quantize_dynamic

import report

SECONDS = 0.5  # of a round, for each shape and engine


class Pooled(torch.nn.Module):
    """The mean over all tokens, divided by its length: all sequences of a batch are equally long."""

    def __init__(self, path):
        super().__init__()
        self.model = transformers.AutoModel.from_pretrained(path).eval()

    def forward(self, ids):
        rows = self.model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
        return torch.nn.functional.normalize(rows.mean(1), dim=1)


def export(path, folder):
    """{name: an ONNX file}"""
    files = {"float32": folder / "float32.onnx", "int8": folder / "int8.onnx"}
    ids = torch.full((2, 16), 1000)
    torch.onnx.export(
        Pooled(path),
        (ids,),
        files["float32"],
        input_names=["ids"],
        dynamic_axes={"ids": {0: "batch", 1: "length"}},
        dynamo=False,
        opset_version=17,
    )
    quantize_dynamic(files["float32"], files["int8"], weight_type=QuantType.QInt8)
    return files


def open_session(file, threads):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])


def repeat(session, inputs, batch):
    """Runs batches for SECONDS; items of them a second."""
    session.run(None, inputs)
    n, begin = 0, time.perf_counter()
    while time.perf_counter() - begin < SECONDS:
        session.run(None, inputs)
        n += batch
    return n / (time.perf_counter() - begin)


def peer(session, length, batch):
    """Sequences a second."""
    ids = np.random.default_rng(1).integers(1000, 20000, (batch, length))
    return repeat(session, {"ids": ids}, batch)


def ranks(values):
    """Equal ones share the mean of their places."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[inverse]


def spearman(session, tokenizer, pairs):
    def vector(text):
        ids = np.array([tokenizer(text, truncation=True)["input_ids"]])
        return session.run(None, {"ids": ids})[0][0]

    cosines = [float(vector(a) @ vector(b)) for a, b, _ in pairs]
    return np.corrcoef(ranks(cosines), ranks([float(score) for *_, score in pairs]))[0, 1]


def score(options, sessions):
    """[name, correlation]"""
    tokenizer = transformers.AutoTokenizer.from_pretrained(options.peer)
    with open(options.sts, newline="", encoding="utf-8") as file:
        pairs = list(csv.reader(file))
    command = [options.centroid, "eval", "sts", options.model, "--text", options.sts, "--json"]
    rows = [["Centroid", f"{json.loads(report.run(*command))['spearman']:.4f}"]]
    for name, session in sessions.items():
        rows.append([f"ONNX Runtime, {name}", f"{spearman(session, tokenizer, pairs):.4f}"])
        report.say(f"{name}: {rows[-1][1]}")
    return rows


def centroid(options, length, batch):
    command = [options.centroid, "bench", options.model, "--json", "--threads", options.threads]
    command += ["--prompt-tokens", length, "--batch", batch, "--repeat", 2]
    [row] = [row for row in json.loads(report.run(*command)) if row["test"].startswith("pp")]
    return row["tokens_per_s"]["median"] / length


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--centroid", default=report.ROOT / "build/release/centroid")
    parser.add_argument("--model", required=True)
    parser.add_argument("--peer", required=True)
    parser.add_argument("--shapes", default="32x1,32x32,128x8,512x1")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--sts")
    parser.add_argument("--out", default=report.ROOT / "bench/results")
    options = parser.parse_args()
    rates = collections.defaultdict(list)
    shapes = [tuple(map(int, shape.split("x"))) for shape in options.shapes.split(",")]
    with tempfile.TemporaryDirectory() as folder:
        files = export(options.peer, pathlib.Path(folder))
        sessions = {name: open_session(file, options.threads) for name, file in files.items()}
        for _ in range(options.rounds):
            for shape in shapes:
                rates[shape, "Centroid"].append(centroid(options, *shape))
                for name, session in sessions.items():
                    rates[shape, name].append(peer(session, *shape))
            report.say(f"{len(rates[shapes[0], 'Centroid'])} of {options.rounds} rounds")
        scores = score(options, sessions) if options.sts else []
    rows = []
    for shape in shapes:
        own = rates[shape, "Centroid"]
        cells = [f"{shape[0]} x {shape[1]}", report.spread(own)]
        for name in files:
            values = rates[shape, name]
            ratio = statistics.median(a / b for a, b in zip(own, values))
            cells += [report.spread(values), f"{ratio:.2f}"]
        rows.append(cells)
    columns = ["tokens x sequences", "Centroid, sequences/s"]
    for name in files:
        columns += [f"ONNX Runtime {onnxruntime.__version__}, {name}", "Centroid is faster by"]
    text = report.header("Sentence encoders") + f"- {options.threads} threads\n\n"
    text += report.table(columns, rows)
    if scores:
        text += "\n" + report.table(["", "Spearman's correlation"], scores)
    report.write(options.out, "encoders.md", text)


if __name__ == "__main__":
    main()
