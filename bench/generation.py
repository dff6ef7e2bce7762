#!/usr/bin/env python3
"""Generation and prompt processing beside llama.cpp: rounds in alternation, so that a machine whose
speed drifts slows both. Ratios are taken within a round; medians over the rounds.

usage: bench/generation.py --model DIR --peer DIR [--rounds 5] [--threads 1,2] [--out bench/results]
--peer: what bench/peer.sh made. Writes generation.md, generation.svg and generation.json.
"""

import argparse
import collections
import json
import pathlib
import statistics

import report

TESTS = ("tg128", "pp512")


def centroid(options, threads):
    """{test: row} of one run of `centroid bench`."""
    found = json.loads(
        report.run(
            options.centroid,
            "bench",
            options.model,
            "--prompt-tokens",
            512,
            "--generate-tokens",
            128,
            "--threads",
            threads,
            "--repeat",
            1,
            "--json",
        )
    )
    return {row["test"]: row for row in found}


def peer(options, path, threads):
    """{test: tokens/s} of one run of llama-bench."""
    rows = json.loads(
        report.run(
            pathlib.Path(options.peer, "bin", "llama-bench"),
            "-m",
            path,
            "-p",
            512,
            "-n",
            128,
            "-t",
            threads,
            "-r",
            1,
            "-o",
            "json",
        )
    )
    return {
        f"tg{row['n_gen']}" if row["n_gen"] else f"pp{row['n_prompt']}": row["avg_ts"]
        for row in rows
    }


def measure(options, peers):
    """speeds[threads][test][engine] and bandwidth[threads]: a value a round."""
    speeds = collections.defaultdict(
        lambda: collections.defaultdict(lambda: collections.defaultdict(list))
    )
    bandwidth = collections.defaultdict(list)
    for _ in range(options.rounds):
        for threads in options.threads.split(","):
            ours = centroid(options, threads)
            for test in TESTS:
                speeds[threads][test]["Centroid"].append(ours[test]["tokens_per_s"]["median"])
            row = ours["tg128"]
            bandwidth[threads].append(
                (row["gb_per_s"], row["limit_gb_per_s"], row["bytes_per_token"])
            )
            for name, path in peers.items():
                theirs = peer(options, path, threads)
                for test in TESTS:
                    speeds[threads][test][name].append(theirs[test])
    return speeds, bandwidth


def tables(speeds, bandwidth):
    text = ""
    for threads, tests in speeds.items():
        rows = []
        for name in tests["tg128"]:
            row = [name]
            for test in TESTS:
                pairs = zip(tests[test]["Centroid"], tests[test][name])
                ratio = statistics.median(us / them for us, them in pairs)
                row += [
                    report.spread(tests[test][name]),
                    f"{ratio:.2f}" if name != "Centroid" else "",
                ]
            rows.append(row)
        text += f"\n## {threads} thread{'s' if threads != '1' else ''}\n\n" + report.table(
            [
                "engine",
                "tg128 tokens/s",
                "Centroid is faster by",
                "pp512 tokens/s",
                "Centroid is faster by",
            ],
            rows,
        )
        reached, limit, n_bytes = zip(*bandwidth[threads])
        share = statistics.median(a / b for a, b in zip(reached, limit))
        text += (
            f"\nCentroid reads {n_bytes[0] / 1e6:.1f} MB a token: {report.spread(reached, 1)} GB/s of "
            f"{report.spread(limit, 1)} GB/s that the machine streamed in the same run, "
            f"{100 * share:.0f} %.\n"
        )
    return text


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--centroid", default=report.ROOT / "build/release/centroid")
    parser.add_argument("--model", required=True)
    parser.add_argument("--peer", required=True)
    parser.add_argument("--types", default="Q4_K_M,Q6_K")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--out", default=report.ROOT / "bench/results")
    options = parser.parse_args()
    peers = {
        f"llama.cpp {kind}": pathlib.Path(options.peer, kind + ".gguf")
        for kind in options.types.split(",")
    }
    speeds, bandwidth = measure(options, peers)
    groups = [
        (f"{test}, {threads} thread{'s' if threads != '1' else ''}", list(tests[test].items()))
        for test in TESTS
        for threads, tests in speeds.items()
    ]
    report.write(
        options.out,
        "generation.md",
        report.header("Generation and prompt processing") + tables(speeds, bandwidth),
    )
    report.write(
        options.out, "generation.svg", report.bars("SmolLM2-135M, batch 1", groups, "tokens/s")
    )
    report.write(
        options.out,
        "generation.json",
        json.dumps({"speeds": speeds, "bandwidth": bandwidth}, indent=1) + "\n",
    )


if __name__ == "__main__":
    main()
