#!/usr/bin/env python3
"""What it takes on this machine to answer as the simulated accelerator would: the same requests to one server
that has a model on the CPU in int8, on `gemmini`, and, where it is calibrated, on `gemmini:ibert`. Rounds in
alternation; ratios are taken within a round; medians over the rounds. The first answers, which price every shape,
are told apart.

usage: bench/backends.py --model DIR [--image FILE] [--prompt 128] [--tokens 64] [--rounds 7] [--threads 2]
                         [--out bench/results]
--image: of a vision model. Needs nothing but Python. Writes backends-MODEL.md.
"""

import argparse
import base64
import json
import pathlib
import re
import subprocess
import time
import urllib.request

import report

CENTROID = pathlib.Path(__file__).resolve().parents[1] / "build" / "release" / "centroid"


def ask(url, path, body):
    request = urllib.request.Request(
        url + path, json.dumps(body).encode(), {"content-type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=600) as answer:
        return json.load(answer)


def requests_of(args, task):
    """{what: (path, body)}"""
    if args.image:
        data = base64.b64encode(args.image.read_bytes()).decode()
        kind = "png" if args.image.suffix == ".png" else "jpeg"
        return {"8 images": ("/v1/classify", {"images": [f"data:image/{kind};base64,{data}"] * 8})}
    ids = [1000 + 7 * i % 5000 for i in range(args.prompt)]
    if task == "embeddings":
        return {f"8 texts of {args.prompt} tokens": ("/v1/embeddings", {"input": [ids] * 8})}
    prompt = {"prompt": ids, "temperature": 0}
    return {
        f"a prompt of {args.prompt} tokens": ("/v1/completions", {**prompt, "max_tokens": 1}),
        f"{args.tokens} tokens after it": ("/v1/completions", {**prompt, "max_tokens": args.tokens}),
    }


def milliseconds(answer, what):
    cost = answer["centroid"]
    return cost["decode_ms"] if "after" in what else cost["prefill_ms"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=pathlib.Path, required=True)
    parser.add_argument("--image", type=pathlib.Path)
    parser.add_argument("--prompt", type=int, default=128)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("bench/results"))
    args = parser.parse_args()
    names = {"int8": "cpu", "gemmini": "gemmini"}
    if (args.model / "activation_scales.json").exists():
        names["ibert"] = "gemmini:ibert"
    command = [CENTROID, "serve", "--port", "0", "--threads", str(args.threads), "--prefix-cache", "off"]
    for name, backend in names.items():
        command += ["--model", f"{name}={args.model}", "--backend", f"{name}={backend}"]
    server = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    rows = []
    try:
        url = re.search(r"http://\S+", server.stdout.readline())[0]
        with urllib.request.urlopen(url + "/v1/models") as models:
            task = json.load(models)["data"][0]["centroid"]["tasks"][0]
        for what, (path, body) in requests_of(args, task).items():
            first, taken = {}, {name: [] for name in names}
            for round_ in range(args.rounds + 1):
                for name in names:
                    begin = time.monotonic()
                    answer = ask(url, path, {"model": name, **body})
                    if round_ == 0:
                        first[name] = 1e3 * (time.monotonic() - begin)
                    else:
                        taken[name].append(milliseconds(answer, what))
            for name, backend in names.items():
                ratios = [mine / cpu for mine, cpu in zip(taken[name], taken["int8"], strict=True)]
                ms, ratio = report.spread(taken[name], 1), report.spread(ratios, 2)
                rows.append([what, backend, ms, ratio, f"{first[name]:.0f}"])
    finally:
        server.terminate()
        server.wait()
    columns = ["work", "backend", "ms", "times the CPU's", "first answer, whole, ms"]
    text = report.header(f"Backends: {args.model.name}") + "\n" + report.table(columns, rows)
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / f"backends-{args.model.name}.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
