#!/usr/bin/env python3
"""Perplexity of models and of ways to compress one, beside llama.cpp's on the same windows of the same text.

usage: bench/perplexity.py --text FILE [--model PATH ...] [--source MODEL --compress=OPTIONS ...]
                           [--peer DIR] [--chunks 100]
--model: directories or GGUF files, each measured with int8 and with float activations.
--compress: options of centroid compress, in one word, with which --source is compressed; the result
is measured like a model and deleted.
Writes perplexity.md.
"""

import argparse
import json
import pathlib
import re
import shlex
import subprocess
import tempfile

import report


def size(options, path):
    """Megabytes and bits a weight."""
    model = json.loads(report.run(options.centroid, "inspect", path, "--json"))
    return [f"{model['bytes'] / 1e6:.1f}", f"{model['bits_per_weight']:.2f}"]


def centroid(options, path, activations):
    result = json.loads(
        report.run(
            options.centroid,
            "eval",
            "perplexity",
            path,
            "--text",
            options.text,
            "--context",
            options.context,
            "--chunks",
            options.chunks,
            "--activations",
            activations,
            "--json",
        )
    )
    return result["perplexity"], result["standard_error"]


def peer(options, path):
    command = [
        pathlib.Path(options.peer, "bin", "llama-perplexity"),
        "-m",
        path,
        "-f",
        options.text,
        "-c",
        options.context,
        "--chunks",
        options.chunks,
    ]
    done = subprocess.run(
        list(map(str, command)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    )
    found = re.search(r"Final estimate: PPL = ([0-9.]+) \+/- ([0-9.]+)", done.stdout)
    return float(found[1]), float(found[2])


def measure(options, path, name):
    """Rows of the table."""
    for activations in options.activations.split(","):
        value, error = centroid(options, path, activations)
        yield [
            f"Centroid {name}, {activations} activations",
            *size(options, path),
            f"{value:.3f}",
            f"{error:.3f}",
        ]


def compressed(options, settings):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "model")
        report.run(options.centroid, "compress", options.source, path, *shlex.split(settings))
        yield from measure(options, path, f"`{settings}`" if settings else "compressed by default")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--centroid", default=report.ROOT / "build/release/centroid")
    parser.add_argument("--text", required=True)
    parser.add_argument("--model", action="append", default=[])
    parser.add_argument("--source")
    parser.add_argument("--compress", action="append", default=[])
    parser.add_argument("--activations", default="int8,float")
    parser.add_argument("--peer")
    parser.add_argument("--types", default="Q4_K_M,Q6_K")
    parser.add_argument("--context", type=int, default=512)
    parser.add_argument("--chunks", type=int, default=100)
    parser.add_argument("--out", default=report.ROOT / "bench/results")
    options = parser.parse_args()
    if options.compress and not options.source:
        parser.error("--compress needs --source")
    rows = []
    for path in options.model:
        rows += measure(options, path, pathlib.Path(path).name)
    for settings in options.compress:
        rows += compressed(options, settings)
    for kind in options.types.split(",") if options.peer else []:
        path = pathlib.Path(options.peer, kind + ".gguf")
        value, error = peer(options, path)
        rows.append(
            [
                f"llama.cpp {kind}",
                f"{path.stat().st_size / 1e6:.1f}",
                "",
                f"{value:.3f}",
                f"{error:.3f}",
            ]
        )
    report.write(
        options.out,
        "perplexity.md",
        report.header("Perplexity")
        + "\n"
        + report.table(["model", "MB", "bits a weight", "perplexity", "standard error"], rows),
    )


if __name__ == "__main__":
    main()
