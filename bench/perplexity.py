#!/usr/bin/env python3
"""Perplexity beside llama.cpp's, over the same windows of the same text.

usage: bench/perplexity.py --text FILE --model PATH [--model PATH ...] --peer DIR [--chunks 100]
--model: directories or GGUF files, each measured with int8 and with float activations.
Writes perplexity.md.
"""

import argparse
import json
import pathlib
import re
import subprocess

import report


def size_mb(path):
    path = pathlib.Path(path)
    files = path.glob("*.safetensors") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files) / 1e6


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


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--centroid", default=report.ROOT / "build/release/centroid")
    parser.add_argument("--text", required=True)
    parser.add_argument("--model", action="append", required=True)
    parser.add_argument("--activations", default="int8,float")
    parser.add_argument("--peer")
    parser.add_argument("--types", default="Q4_K_M,Q6_K")
    parser.add_argument("--context", type=int, default=512)
    parser.add_argument("--chunks", type=int, default=100)
    parser.add_argument("--out", default=report.ROOT / "bench/results")
    options = parser.parse_args()
    rows = []
    for path in options.model:
        for activations in options.activations.split(","):
            value, error = centroid(options, path, activations)
            rows.append(
                [
                    f"Centroid {pathlib.Path(path).name}, {activations} activations",
                    f"{size_mb(path):.1f}",
                    f"{value:.3f}",
                    f"{error:.3f}",
                ]
            )
    for kind in options.types.split(",") if options.peer else []:
        path = pathlib.Path(options.peer, kind + ".gguf")
        value, error = peer(options, path)
        rows.append([f"llama.cpp {kind}", f"{size_mb(path):.1f}", f"{value:.3f}", f"{error:.3f}"])
    report.write(
        options.out,
        "perplexity.md",
        report.header("Perplexity")
        + "\n"
        + report.table(["model", "MB", "perplexity", "standard error"], rows),
    )


if __name__ == "__main__":
    main()
