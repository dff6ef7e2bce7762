#!/usr/bin/env python3
"""Generation and prompt processing beside llama.cpp: rounds in alternation, so that a machine whose
speed drifts slows both. Ratios are taken within a round; medians over the rounds.

usage: bench/generation.py --model DIR --peer DIR [--types Q4_K_M,Q6_K] [--prompts 512,4096]
                           [--rounds 5] [--threads 1,2] [--name generation] [--out bench/results]
--peer: what bench/peer.sh made. Writes NAME.md, NAME.svg and NAME.json.
A model of about 6 bits stands beside --types Q4_K_M,Q6_K, one of about 4.5 beside IQ4_NL,Q4_0_pure.
"""

import argparse
import collections
import json
import pathlib
import statistics

import report


def centroid(options, threads):
    """{test: row} of one run of `centroid bench`."""
    found = json.loads(
        report.run(
            options.centroid,
            "bench",
            options.model,
            "--prompt-tokens",
            options.prompts,
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
            options.prompts,
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


def measure(options, tests, peers):
    """speeds[threads][test][engine]: tokens/s, and limits[threads][test]: rows of `centroid bench`; of
    each one a round."""
    speeds = collections.defaultdict(
        lambda: collections.defaultdict(lambda: collections.defaultdict(list))
    )
    limits = collections.defaultdict(lambda: collections.defaultdict(list))
    for _ in range(options.rounds):
        for threads in options.threads.split(","):
            ours = centroid(options, threads)
            for test in tests:
                speeds[threads][test]["Centroid"].append(ours[test]["tokens_per_s"]["median"])
                limits[threads][test].append(ours[test])
            for name, path in peers.items():
                theirs = peer(options, path, threads)
                for test in tests:
                    speeds[threads][test][name].append(theirs[test])
    return speeds, limits


def tables(speeds, limits):
    text = ""
    for threads, by_test in speeds.items():
        columns, rows = ["engine"], []
        for test in by_test:
            columns += [f"{test} tokens/s", "Centroid is faster by"]
        for name in by_test["tg128"]:
            row = [name]
            for by_name in by_test.values():
                pairs = zip(by_name["Centroid"], by_name[name])
                ratio = statistics.median(us / them for us, them in pairs)
                row += [report.spread(by_name[name]), f"{ratio:.2f}" if name != "Centroid" else ""]
            rows.append(row)
        text += f"\n## {plural(threads)}\n\n" + report.table(columns, rows)
        text += "\n" + "".join(share(test, rows) for test, rows in limits[threads].items())
    return text


def share(test, rows):
    """What Centroid reached of the machine's limit, which was measured in the same runs."""
    what, unit = ("gb_per_s", "GB/s") if test.startswith("tg") else ("gops", "GOPS")
    reached = [row[what] for row in rows]
    limit = [row["limit_" + what] for row in rows]
    part = statistics.median(a / b for a, b in zip(reached, limit))
    return (
        f"- {test}: {rows[0]['bytes_per_token'] / 1e6:.1f} MB and "
        f"{rows[0]['ops_per_token'] / 1e6:.0f} million operations a token; "
        f"{report.spread(reached, 1)} {unit} of this machine's {report.spread(limit, 1)}, "
        f"{100 * part:.0f} %\n"
    )


def plural(threads):
    return f"{threads} thread{'s' if threads != '1' else ''}"


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--centroid", default=report.ROOT / "build/release/centroid")
    parser.add_argument("--model", required=True)
    parser.add_argument("--peer", required=True)
    parser.add_argument("--types", default="Q4_K_M,Q6_K")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--prompts", default="512,4096")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--name", default="generation")
    parser.add_argument("--out", default=report.ROOT / "bench/results")
    options = parser.parse_args()
    peers = {
        f"llama.cpp {kind}": pathlib.Path(options.peer, kind + ".gguf")
        for kind in options.types.split(",")
    }
    tests = ["tg128", *(f"pp{n}" for n in options.prompts.split(","))]
    speeds, limits = measure(options, tests, peers)
    groups = [
        (f"{test}, {plural(threads)}", list(by_test[test].items()), "tokens/s")
        for test in tests
        for threads, by_test in speeds.items()
    ]
    title = f"{pathlib.Path(options.model).name}, batch 1"
    report.write(
        options.out,
        f"{options.name}.md",
        report.header("Generation and prompt processing") + tables(speeds, limits),
    )
    report.write(options.out, f"{options.name}.svg", report.bars(title, groups))
    report.write(
        options.out,
        f"{options.name}.json",
        json.dumps({"speeds": speeds, "limits": limits}, indent=1) + "\n",
    )


if __name__ == "__main__":
    main()
