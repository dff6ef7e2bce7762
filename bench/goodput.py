#!/usr/bin/env python3
"""Goodput beside llama-server: requests of the lengths and arrivals of a real service, at a rising rate;
what counts is how many of a second are answered within the limits.

usage: bench/goodput.py --model DIR --peer DIR [--rates 0.5,1,2,4] [--lengths 0.25]
                      [--out bench/results]
--peer: what bench/peer.sh made. Writes goodput.md, goodput.svg and goodput.json. At each rate the servers run
in alternation, each started anew; a rate takes --seconds and --grace for each.
"""

import argparse
import asyncio
import json
import statistics

import replay
import report
import servers
import streams

# ---- how it was answered ----


def is_good(answer, options, figure):
    """Within both limits; figure: the mean of an answer's times between tokens, or the longest."""
    if not answer or answer.status != 200 or not answer.is_complete:
        return False
    gaps = answer.gaps or [0]
    return 1000 * answer.first <= options.first_ms and 1000 * figure(gaps) <= options.between_ms


def measure(server, requests, options):
    async def ask(request):
        body = streams.completion(request.ids, request.n_tokens, server.fields)
        return await streams.ask(port, body)

    with servers.started(server.command) as (_, port, _):
        streams.warm_up(port, server.fields)
        answers = asyncio.run(replay.run(requests, options, ask))
    firsts = [1000 * answer.first for answer in answers if answer and answer.times]
    between = [1000 * statistics.fmean(answer.gaps) for answer in answers if answer and answer.gaps]
    return {
        "offered": len(requests) / options.seconds,
        "begun": len(firsts) / options.seconds,
        "goodput": sum(is_good(a, options, statistics.fmean) for a in answers) / options.seconds,
        "strict_goodput": sum(is_good(a, options, max) for a in answers) / options.seconds,
        "first_p50": streams.quantile(firsts, 0.5),
        "first_p99": streams.quantile(firsts, 0.99),
        "between_p50": streams.quantile(between, 0.5),
        "between_p99": streams.quantile(between, 0.99),
    }


def token_ms(options):
    """What Centroid is told to aim at: its steps take as long on average, so some room is left."""
    return max(1, round(0.8 * options.between_ms))


def run_rates(options):
    """values[rate][server]. A server is done once less than half of two rates in a row was good."""
    values, strikes = {}, {}
    for rate in options.rates.split(","):
        requests = replay.requests(options, float(rate))
        if not requests:
            raise SystemExit(f"at {rate} a second none comes within {options.seconds} s")
        for server in servers.of(options, options.context, "--token-ms", token_ms(options)):
            if strikes.get(server.name, 0) >= 2:
                continue
            found = measure(server, requests, options)
            values.setdefault(rate, {})[server.name] = found
            is_lost = found["goodput"] < found["offered"] / 2
            strikes[server.name] = strikes.get(server.name, 0) + 1 if is_lost else 0
            report.say(f"{rate}/s, {server.name}: {found['goodput']:.2f}/s good")
    return values


# ---- tables and plot ----


def tables(values):
    best = {}
    for by_server in values.values():
        for name, found in by_server.items():
            for figure in ("goodput", "strict_goodput"):
                best.setdefault(name, {}).setdefault(figure, []).append(found[figure])
    rows = []
    for name, figures in best.items():
        row = [name]
        for figure in ("goodput", "strict_goodput"):
            ours, theirs = max(best["Centroid"][figure]), max(figures[figure])
            ratio = f"{ours / theirs:.2f}" if theirs > 0 else "-"
            row += [f"{theirs:.2f}", "" if name == "Centroid" else ratio]
        rows.append(row)
    text = report.table(
        ["server", "best goodput, requests/s", "Centroid's is higher by"]
        + ["with the longest time between tokens", "Centroid's is higher by"],
        rows,
    )
    rows = [
        [
            f"{found['offered']:.2f}",
            name,
            f"{found['goodput']:.2f}",
            f"{100 * found['goodput'] / found['offered']:.0f} %",
            *(
                "-" if found[figure] is None else f"{found[figure]:.0f}"
                for figure in ("first_p50", "first_p99", "between_p50", "between_p99")
            ),
        ]
        for by_server in values.values()
        for name, found in by_server.items()
    ]
    return (
        text
        + "\n"
        + report.table(
            ["requests/s", "server", "goodput", "share", "first token p50, ms", "p99"]
            + ["between tokens p50, ms", "p99"],
            rows,
        )
    )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    servers.add_options(parser)
    replay.add_options(parser, "0.5,1,2,4")
    parser.add_argument("--first-ms", type=float, default=1000)
    parser.add_argument("--between-ms", type=float, default=50)
    options = parser.parse_args()
    values = run_rates(options)
    text = report.header("Goodput on a real trace") + (
        f"- good: the first token within {options.first_ms:g} ms and the mean time between tokens "
        f"within {options.between_ms:g} ms; Centroid runs with --token-ms {token_ms(options)}\n"
    )
    text += replay.describe(options) + "\n"
    lines = {}
    for by_server in values.values():
        for name, found in by_server.items():
            lines.setdefault(name, []).append((found["offered"], found["goodput"]))
    report.write(options.out, "goodput.md", text + tables(values))
    report.write(
        options.out,
        "goodput.svg",
        report.lines("Goodput on a real trace", lines, "requests/s sent", "requests/s good"),
    )
    report.write(options.out, "goodput.json", json.dumps(values, indent=1) + "\n")


if __name__ == "__main__":
    main()
