#!/usr/bin/env python3
"""The server beside llama-server: start, memory and CPU at idle, and /health under wrk.

usage: bench/serving.py --model DIR [--peer DIR] [--rounds 5] [--seconds 5] [--out bench/results]
Needs wrk. Writes serving.md.
"""

import argparse
import re
import time

import report
import servers

CONNECTIONS = (1, 16, 64)


def wrk(port, connections, seconds):
    """Requests a second, and the 99th percentile of latency as wrk prints it."""
    text = report.run(
        "wrk",
        "-t1",
        f"-c{connections}",
        f"-d{seconds}s",
        "--latency",
        f"http://127.0.0.1:{port}/health",
    )
    return (
        float(re.search(r"Requests/sec:\s+([0-9.]+)", text)[1]),
        re.search(r"^\s+99%\s+(\S+)$", text, re.MULTILINE)[1],
    )


def measure(command, options):
    starts = []
    for _ in range(options.rounds):
        with servers.started(command) as (_, _, ms):
            starts.append(ms)
    with servers.started(command) as (process, port, _):
        time.sleep(1)
        anonymous, resident = servers.memory_mb(process.pid)
        before = servers.cpu_seconds(process.pid)
        time.sleep(options.seconds)
        idle = 100 * (servers.cpu_seconds(process.pid) - before) / options.seconds
        health = [wrk(port, n, options.seconds) for n in CONNECTIONS]
    return [
        report.spread(starts),
        f"{anonymous:.1f}",
        f"{resident:.1f}",
        f"{idle:.1f}",
        *(f"{rate:,.0f} ({p99})" for rate, p99 in health),
    ]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--centroid", default=report.ROOT / "build/release/centroid")
    parser.add_argument("--model", required=True)
    parser.add_argument("--peer")
    parser.add_argument("--type", default="Q4_K_M")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--out", default=report.ROOT / "bench/results")
    options = parser.parse_args()
    rows = [["Centroid", *measure([options.centroid, "serve", "--model", options.model], options)]]
    if options.peer:
        peer = measure(servers.peer_command(options), options)
        rows.append([f"llama-server {options.type}", *peer])
    columns = [
        "server",
        "start to healthy, ms",
        "anonymous MB",
        "MB beyond mapped weights",
        "idle CPU %",
    ]
    columns += [f"/health per s, {n} connections (p99)" for n in CONNECTIONS]
    report.write(
        options.out, "serving.md", report.header("The server") + "\n" + report.table(columns, rows)
    )


if __name__ == "__main__":
    main()
