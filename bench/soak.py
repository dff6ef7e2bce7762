#!/usr/bin/env python3
"""A soak: clients who ask all kinds of things, rightly and wrongly, and who often hang up, for so many
minutes. Memory must be flat after the first third, and at the end nobody and nothing may be left in the
server: no connection, no answer, no page of keys and values, which --memory keeps scarce.

usage: bench/soak.py --model DIR [--minutes 10] [--clients 24] [--seed N] [--out bench/results]
With a build that is instrumented: --centroid build/tsan/centroid, a small model with its --ids and --eos,
and --growth-mb for its books. Writes soak.md. Exits with 1, and says why, where a promise is broken.
"""

import argparse
import asyncio
import collections
import http.client
import random
import re
import time

import report
import servers
import streams

EXPECTED = {200, 400, 404, 413, 429, 504}


def right_body(rng, vocabulary):
    """Every third prompt begins as others do."""
    n = int(rng.paretovariate(0.9) * 8) % 600 + 1
    shared = list(vocabulary[:100]) if rng.randrange(3) == 0 else []
    ids = shared + [rng.choice(vocabulary) for _ in range(n)]
    body = {
        "model": "model",
        "prompt": [ids, ids[: n // 2 + 1]] if rng.randrange(8) == 0 else ids,
        "max_tokens": rng.choice([1, 4, 16, 64]),
        "temperature": rng.choice([0, 0.8]),
        "seed": rng.randrange(1000),
        "stream": rng.randrange(3) > 0,
        "priority": rng.choice([0, 0, 0, -1, 1]),
    }
    extras = [{"n": 3}, {"stop": [" the", "e"]}, {"logprobs": 5}, {"timeout": rng.uniform(0.01, 3)}]
    if rng.randrange(3) == 0:
        body |= rng.choice(extras)
    return body


def chat_body(rng):
    words = rng.choices(
        ["sea", "story", "why", "7", "\u00e9t\u00e9", "\U0001f30a"], k=rng.randrange(1, 40)
    )
    messages = [{"role": "user", "content": " ".join(words)}]
    return {"model": "model", "messages": messages, "max_tokens": 16, "stream": True}


def wrong_body(rng, vocabulary):
    body = right_body(rng, vocabulary)
    return rng.choice(
        [
            b"",
            b'{"model": "model", "prompt": "cut o',
            rng.randbytes(200),
            {**body, "model": "another"},
            {**body, "max_tokens": -1},
            {**body, "prompt": [1 << 40]},
            {**body, "prompt": [5] * 9000},
            {**body, "what": "is this"},
        ]
    )


def request(rng, vocabulary):
    """(path, body)"""
    kind = rng.randrange(10)
    if kind == 0:
        return "/v1/completions", wrong_body(rng, vocabulary)
    if kind == 1:
        return "/v1/chat/completions", chat_body(rng)
    if kind == 2:
        return "/v1/estimate", right_body(rng, vocabulary) | {"stream": False}
    return "/v1/completions", right_body(rng, vocabulary)


async def client(port, rng, vocabulary, end, statuses):
    """Asks until `end` and hangs up then; now and then it has not even that much patience."""
    while (patience := end - time.perf_counter()) > 0:
        path, body = request(rng, vocabulary)
        if rng.randrange(3) == 0:
            patience = min(patience, rng.expovariate(1))
        task = asyncio.create_task(streams.ask(port, body, path))
        [answer] = await streams.until(patience, [task])
        hung_up = answer is None or answer.is_cut_off
        statuses[path.removeprefix("/v1/"), "hung up" if hung_up else str(answer.status)] += 1
        if not hung_up and answer.status not in EXPECTED:
            raise SystemExit(f"{path}: {answer.status} {bytes(answer.data[-500:])}")
        await asyncio.sleep(rng.expovariate(20))


def metrics(port):
    """By name and labels, without the label of the one model."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    text = re.sub(r'\{model="[^"]*",?', "{", text).replace("{}", "")
    return {name: float(value) for name, value in re.findall(r"^(centroid_\S+) (\S+)$", text, re.M)}


async def watch(process, port, begin, options):
    """A row of --rows at even times: minutes, anonymous memory, and what was done so far."""
    rows = []
    for i in range(options.rows):
        at = begin + 60 * options.minutes * (i + 1) / options.rows
        await asyncio.sleep(at - time.perf_counter())
        if process.poll() is not None:
            raise SystemExit(f"the server ended with {process.returncode}")
        found = await asyncio.to_thread(metrics, port)
        rows.append(
            {
                "minutes": (time.perf_counter() - begin) / 60,
                "memory": servers.memory_mb(process.pid)[0],
                "cancelled": found["centroid_requests_cancelled_total"],
                "tokens": found["centroid_generated_tokens_total"],
                "preemptions": found["centroid_preemptions_total"],
                "hits": found["centroid_prefix_cache_hit_tokens_total"],
                "held": found['centroid_kv_pages{state="held"}'],
            }
        )
    return rows


async def run(process, port, options):
    """(rows, statuses)"""
    statuses = collections.Counter()
    begin = time.perf_counter()
    rngs = [random.Random(f"{options.seed} {i}") for i in range(options.clients)]
    end = begin + 60 * options.minutes
    vocabulary = range(*map(int, options.ids.split(",")))
    clients = [client(port, rng, vocabulary, end, statuses) for rng in rngs]
    rows, *_ = await asyncio.gather(watch(process, port, begin, options), *clients)
    return rows, statuses


def left_over(port):
    """What should be none, once the clients are gone; the server is given half a minute to see it."""
    for _ in range(60):
        found = metrics(port)
        left = {
            "connections": found["centroid_connections"] - 1,  # this one
            "running": found["centroid_sequences_running"],
            "waiting": found["centroid_sequences_waiting"],
            "pages": found['centroid_kv_pages{state="held"}'],
        }
        if not any(left.values()):
            break
        time.sleep(0.5)
    return left


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    servers.add_options(parser)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--clients", type=int, default=24)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--memory", default="48M", help="of keys and values, so that it is scarce")
    parser.add_argument("--ids", default="1000,40000", help="the prompts' tokens (1000,40000)")
    parser.add_argument("--growth-mb", type=float, default=4, help="that counts as flat (4)")
    parser.add_argument("--rows", type=int, default=20)
    options = parser.parse_args()
    more = ("--memory", options.memory, "--context", 1024, "--sessions", 16, "--queue", 64)
    with servers.started(servers.centroid(options, *more).command) as (process, port, _):
        rows, statuses = asyncio.run(run(process, port, options))
        left = left_over(port)
    settled = [row["memory"] for row in rows[len(rows) // 3 :]]
    growth = max(settled) - settled[0]
    text = report.header("Soak") + (
        f"- seed {options.seed}; left in the server after the last client had gone: "
        + ", ".join(f"{value:.0f} {name}" for name, value in left.items())
        + f"\n- exit code of the server after SIGTERM: {process.returncode}"
        + f"\n- answers: {sum(statuses.values())}; "
        + ", ".join(f"{name} {what}: {n}" for (name, what), n in sorted(statuses.items()))
        + "\n\n"
    )
    columns = [
        "minutes",
        "anonymous MB",
        "cancelled",
        "tokens generated",
        "given up and read again",
    ]
    columns += ["prompt tokens reused", "pages held"]
    formats = (".1f", ".2f", ".0f", ".0f", ".0f", ".0f", ".0f")
    cells = [[format(value, how) for value, how in zip(row.values(), formats)] for row in rows]
    report.write(options.out, "soak.md", text + report.table(columns, cells))
    if any(left.values()) or growth > options.growth_mb or process.returncode != 0:
        raise SystemExit(f"left {left}, grew by {growth:.2f} MB, exit code {process.returncode}")


if __name__ == "__main__":
    main()
