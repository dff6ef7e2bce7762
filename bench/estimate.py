#!/usr/bin/env python3
"""How far off /v1/estimate is: a load trace is replayed, and each request asks for its estimate first.
What it foretold stands beside what the client saw; energy, beside what the answer says.

usage: bench/estimate.py --model DIR [--rates 0.5,1,2] [--lengths 0.25] [--out bench/results]
Writes estimate.md.
"""

import argparse
import asyncio
import statistics

import replay
import report
import servers
import streams


def energy(costs):
    return sum(costs["energy_mj"].values())


# (estimate's costs, answer) -> (foretold, real)
FIGURES = {
    "first token, ms": lambda costs, answer: (
        costs["queue_ms"] + costs["prefill_ms"],
        1000 * answer.first,
    ),
    "whole answer, ms": lambda costs, answer: (
        costs["queue_ms"] + costs["prefill_ms"] + costs["decode_ms"],
        1000 * (answer.end - answer.sent),
    ),
    "energy, mJ": lambda costs, answer: (energy(costs), energy(answer.costs)),
}


def measure(server, options, rate):
    """[(estimate's costs, answer)] of the answers that ended."""

    async def ask(request):
        body = streams.completion(request.ids, request.n_tokens, server.fields)
        estimate = await streams.ask(port, body, "/v1/estimate")
        return estimate, await streams.ask(port, body)

    with servers.started(server.command) as (_, port, _):
        streams.warm_up(port, server.fields)
        found = asyncio.run(replay.run(replay.requests(options, rate), options, ask))
    return [(pair[0].costs, pair[1]) for pair in found if pair and pair[1].is_complete]


def rows_of(rate, pairs):
    for name, figure in FIGURES.items():
        values = [figure(*pair) for pair in pairs]
        sizes = [abs(foretold / real - 1) for foretold, real in values]
        yield [
            rate,
            name,
            len(values),
            f"{statistics.median(real for _, real in values):.0f}",
            f"{statistics.median(foretold / real for foretold, real in values):.2f}",
            f"{100 * statistics.median(sizes):.0f} %",
            f"{100 * streams.quantile(sizes, 0.9):.0f} %",
        ]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    servers.add_options(parser)
    replay.add_options(parser, "0.5,1,2")
    options = parser.parse_args()
    rows = []
    for rate in options.rates.split(","):
        pairs = measure(servers.centroid(options), options, float(rate))
        if not pairs:
            raise SystemExit(f"at {rate} a second no answer ended: more --grace or a lower rate")
        rows += rows_of(rate, pairs)
    columns = ["requests/s", "figure", "answers", "median", "foretold / real, median"]
    columns += ["error, median", "nine in ten within"]
    text = report.header("Estimates beside what answers took") + replay.describe(options)
    report.write(options.out, "estimate.md", text + "\n" + report.table(columns, rows))


if __name__ == "__main__":
    main()
