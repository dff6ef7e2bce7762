#!/usr/bin/env python3
"""Vectors over HTTP: wrk posts sequences of token ids, one a request, on many connections; in alternation
ONNX Runtime computes the same model in a bare loop, one sequence at a time. Ratios are taken within a round.

usage: bench/embeddings.py --model DIR --peer DIR [--length 32] [--connections 64] [--rounds 5] [--threads 2]
                           [--out bench/results]
--model: what `centroid compress` made of --peer, a directory of a bert model as sentence-transformers has it.
Needs wrk, torch, transformers, onnx, onnxscript and onnxruntime. Writes embeddings.md.
"""

import argparse
import pathlib
import re
import statistics
import tempfile

import encoders
import report
import servers

SECONDS = 3
# Each thread of wrk has its own ids, and each request others.
SCRIPT = """
local n = 0
function setup(thread) n = n + 1; thread:set("seed", n) end
function init() math.randomseed(seed) end
function request()
  local ids = {{}}
  for i = 1, {length} do ids[i] = math.random(1000, 20000) end
  local body = '{{"model":"model","encoding_format":"base64","input":[' .. table.concat(ids, ",") .. "]}}"
  return wrk.format("POST", "/v1/embeddings", {{["Content-Type"] = "application/json"}}, body)
end
"""


def wrk(port, script, connections):
    """Requests a second, and the latency's 50th and 99th percentile in ms."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{SECONDS}s", "--latency", "-s", script]
    text = report.run(*command, f"http://127.0.0.1:{port}/")
    if "Non-2xx" in text:
        raise SystemExit(text)

    def milliseconds(share):
        value, unit = re.search(rf"{share}%\s+([\d.]+)(us|ms|s)", text).groups()
        return float(value) * {"us": 1e-3, "ms": 1, "s": 1e3}[unit]

    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", text).group(1))
    return rate, milliseconds(50), milliseconds(99)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--centroid", default=report.ROOT / "build/release/centroid")
    parser.add_argument("--model", required=True)
    parser.add_argument("--peer", required=True)
    parser.add_argument("--length", type=int, default=32)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", default=report.ROOT / "bench/results")
    options = parser.parse_args()
    command = [options.centroid, "serve", "--model", f"model={options.model}"]
    command += ["--threads", options.threads]
    own, peers = [], {"float32": [], "int8": []}
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        script = folder / "embeddings.lua"
        script.write_text(SCRIPT.format(length=options.length))
        files = encoders.export(options.peer, folder)
        sessions = {
            name: encoders.open_session(file, options.threads) for name, file in files.items()
        }
        with servers.started(command) as (_, port, _):
            for i in range(options.rounds):
                own.append(wrk(port, script, options.connections))
                for name, session in sessions.items():
                    peers[name].append(encoders.peer(session, options.length, 1))
                report.say(f"{i + 1} of {options.rounds} rounds")
    rates, p50, p99 = zip(*own)
    tail = statistics.median(b / a for a, b in zip(p50, p99))
    rows = [["Centroid, requests/s", report.spread(rates), ""]]
    for name, values in peers.items():
        ratio = statistics.median(a / b for a, b in zip(rates, values))
        rows.append([f"ONNX Runtime, {name}, sequences/s", report.spread(values), f"{ratio:.2f}"])
    rows += [
        ["latency p50, ms", report.spread(p50), ""],
        ["latency p99, ms", report.spread(p99), f"{tail:.2f} of p50"],
    ]
    table = report.table(["", "median (range)", "Centroid is faster by"], rows)
    text = report.header("Vectors over HTTP")
    text += f"- {options.threads} threads, {options.connections} connections, {options.length} tokens\n\n"
    report.write(options.out, "embeddings.md", text + table)


if __name__ == "__main__":
    main()
