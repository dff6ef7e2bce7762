"""A load trace, replayed at a rate of choice.

trace.csv is 300 consecutive requests of the Azure LLM inference trace 2023 (conversation; Patel et al.,
Splitwise, ISCA 2024; github.com/Azure/AzurePublicDataset, CC BY 4.0): arrival, prompt and output
tokens. Arrivals are stretched to the rate, lengths scaled to what the machine can read; the prompts'
tokens are random.
"""

import asyncio
import csv
import dataclasses
import itertools
import random

import report
import streams

PATH = report.ROOT / "bench/trace.csv"


@dataclasses.dataclass
class Request:
    at: float  # seconds from the start
    ids: list
    n_tokens: int


def add_options(parser, rates):
    parser.add_argument("--rates", default=rates, help="requests a second, rising")
    parser.add_argument("--lengths", type=float, default=0.25, help="of the trace's (0.25)")
    parser.add_argument(
        "--context", type=int, default=2048, help="longest prompt and answer (2048)"
    )
    parser.add_argument("--seconds", type=float, default=30, help="of arrivals at each rate (30)")
    parser.add_argument("--grace", type=float, default=10, help="seconds to end answers in (10)")


def describe(options):
    return (
        f"- lengths: {options.lengths:g} times those of {PATH.name}, {options.context} at most; "
        f"{options.seconds:g} s of arrivals at each rate; {options.threads} threads\n"
    )


def requests(options, rate):
    """The trace's, over and over, until --seconds are full at so many a second on average."""
    rows = list(csv.DictReader(PATH.open(newline="")))
    times = [float(row["seconds"]) for row in rows]
    stretch = len(rows) / times[-1] / rate
    gaps = [times[-1] / len(rows), *(b - a for a, b in zip(times, times[1:]))]
    rng = random.Random(1)
    found, at = [], 0
    for gap, row in itertools.cycle(zip(gaps, rows)):
        at += gap * stretch
        if at >= options.seconds:
            return found
        n_tokens = max(1, round(int(row["output_tokens"]) * options.lengths))
        n_prompt = max(1, round(int(row["prompt_tokens"]) * options.lengths))
        n_prompt = min(n_prompt, options.context - n_tokens - 1)
        found.append(Request(at, streams.prompt(rng, n_prompt), n_tokens))


async def run(found, options, ask):
    """What ask(request) brought for each, or None if by --grace after the last arrival it had not."""
    loop = asyncio.get_running_loop()
    begin = loop.time()

    async def send(request):
        await asyncio.sleep(begin + request.at - loop.time())
        return await ask(request)

    tasks = [asyncio.create_task(send(request)) for request in found]
    return await streams.until(options.seconds + options.grace, tasks)
