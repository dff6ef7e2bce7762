#!/usr/bin/env python3
"""Streamed answers under load beside llama-server: so many clients, each asking again as soon as its
answer has ended. Rounds in alternation, one server at a time, started anew for each round.

usage: bench/load.py --model DIR --peer DIR [--clients 1,4,16,64] [--rounds 1] [--out bench/results]
--peer: what bench/peer.sh made. Writes load.md, load.svg and load.json. A round takes --seconds for
each server and number of clients: six minutes.
"""

import argparse
import asyncio
import collections
import json
import math
import os
import random
import statistics
import time

import report
import servers
import streams


async def run_clients(port, server, n_clients, options, seed):
    """All answers of --seconds; the last of each client is cut off."""
    rng = random.Random(seed)
    answers = []

    async def client():
        while True:
            ids = streams.prompt(rng, options.prompt_tokens)
            body = streams.completion(ids, options.tokens, server.fields)
            answers.append(await streams.ask(port, body))
            if answers[-1].is_cut_off:
                return

    await streams.until(options.seconds, [asyncio.create_task(client()) for _ in range(n_clients)])
    return answers


def measure(port, server, n_clients, options, seed):
    """What the clients saw, in tokens/s and milliseconds."""
    cpu, begin = time.process_time(), time.perf_counter()
    answers = asyncio.run(run_clients(port, server, n_clients, options, seed))
    wall = time.perf_counter() - begin
    share = (time.process_time() - cpu) / wall
    broken = {answer.status for answer in answers if not answer.is_complete | answer.is_cut_off}
    if broken:
        raise SystemExit(f"{server.name}: requests ended with status {broken}")
    if any(answer.is_complete and answer.tokens != options.tokens for answer in answers):
        raise SystemExit(f"{server.name}: answers ended early; --eos names what ends them")
    gaps = [1000 * gap for answer in answers for gap in answer.gaps]
    # Of what had not come by the end, how long it was waited for.
    gaps = gaps or [1000 * options.seconds]
    firsts = [1000 * answer.first for answer in answers]
    return {
        "tokens_per_s": sum(answer.tokens for answer in answers) / wall,
        "first_p50": streams.quantile(firsts, 0.5),
        "first_p99": streams.quantile(firsts, 0.99),
        "between_p50": streams.quantile(gaps, 0.5),
        "between_p99": streams.quantile(gaps, 0.99),
        "answers": sum(answer.is_complete for answer in answers),
        "generator_cpu": share,
    }


def run_rounds(options):
    """values[clients][server][figure]: one a round."""
    values = collections.defaultdict(
        lambda: collections.defaultdict(lambda: collections.defaultdict(list))
    )
    context = options.prompt_tokens + options.tokens + 16
    for round_ in range(options.rounds):
        for server in servers.of(options, context):
            with servers.started(server.command) as (_, port, _):
                streams.warm_up(port, server.fields)
                for n in options.clients.split(","):
                    found = measure(port, server, int(n), options, seed=f"{round_} {n}")
                    report.say(f"{n} clients, {server.name}: {found['tokens_per_s']:.0f} tokens/s")
                    for figure, value in found.items():
                        values[n][server.name][figure].append(value)
    return values


def table(values):
    rows = []
    for n, by_server in values.items():
        ours = by_server["Centroid"]["tokens_per_s"]
        for name, figures in by_server.items():
            theirs = figures["tokens_per_s"]
            ratio = statistics.median(
                us / them if them > 0 else math.inf for us, them in zip(ours, theirs)
            )
            rows.append(
                [
                    n,
                    name,
                    report.spread(theirs),
                    "" if name == "Centroid" else f"{ratio:.2f}",
                    report.spread(figures["first_p50"]),
                    report.spread(figures["first_p99"]),
                    report.spread(figures["between_p50"], 1),
                    report.spread(figures["between_p99"], 1),
                    sum(figures["answers"]),
                ]
            )
    return report.table(
        [
            "clients",
            "server",
            "tokens/s",
            "Centroid is faster by",
            "first token p50, ms",
            "p99",
            "between tokens p50, ms",
            "p99",
            "answers",
        ],
        rows,
    )


def plot(values):
    groups = []
    for figure, what, unit in (
        ("tokens_per_s", "tokens a second", "tokens/s"),
        ("first_p50", "first token, median", "ms"),
        ("between_p99", "between tokens, p99", "ms"),
    ):
        for n, by_server in values.items():
            entries = [(name, figures[figure]) for name, figures in by_server.items()]
            groups.append((f"{what}, {n} client{'s' if n != '1' else ''}", entries, unit))
    return report.bars("Streamed answers under load", groups)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    servers.add_options(parser)
    parser.add_argument("--clients", default="1,4,16,64")
    parser.add_argument("--prompt-tokens", type=int, default=48)
    parser.add_argument("--tokens", type=int, default=64, help="of each answer (64)")
    parser.add_argument("--seconds", type=float, default=30, help="of each load (30)")
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    values = run_rounds(options)
    share = max(
        value for n in values.values() for one in n.values() for value in one["generator_cpu"]
    )
    text = report.header("Streamed answers under load") + (
        f"- prompts of {options.prompt_tokens} tokens, answers of {options.tokens}, greedy; "
        f"{options.threads} threads; {options.seconds:g} s each; median (lowest - highest) of rounds: "
        f"{options.rounds}\n"
        f"- the clients took at most {100 * share:.1f} % of one of {os.cpu_count()} processors\n\n"
    )
    report.write(options.out, "load.md", text + table(values))
    report.write(options.out, "load.svg", plot(values))
    report.write(options.out, "load.json", json.dumps(values, indent=1) + "\n")


if __name__ == "__main__":
    main()
