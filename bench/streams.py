"""Streaming clients: one process and one thread read many answers over loopback, and parse little, so
that on a small machine they take little from the server that they measure."""

import asyncio
import json
import math
import random
import re
import time

TOKEN = re.compile(rb'"text":"[^"]')  # in each event but the last ones
USAGE = re.compile(rb'"completion_tokens":(\d+)')
CHUNK = re.compile(rb"\r\n[0-9a-f]+\r\n")  # what HTTP puts between parts of a body
TAIL = 8  # a beginning of TOKEN that may stand at the end of what has come


class Answer(asyncio.Protocol):
    """One request and its answer, until the server closes. Times are of time.perf_counter."""

    def __init__(self, request):
        self.request = request
        self.data = bytearray()
        self.scanned = 0
        self.times = []  # when each event with text came
        self.status = 0
        self.is_complete = self.is_cut_off = False
        self.sent = self.end = None
        self.closed = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport
        self.sent = time.perf_counter()
        transport.write(self.request)

    def data_received(self, data):
        now = time.perf_counter()
        self.data += data
        end = self.scanned
        for found in TOKEN.finditer(self.data, self.scanned):
            self.times.append(now)
            end = found.end()
        self.scanned = max(end, len(self.data) - TAIL)
        if b"data: [DONE]" in self.data[-64:]:
            self.is_complete = True
            self.transport.close()

    def connection_lost(self, _):
        self.end = time.perf_counter()
        self.status = int(self.data[9:12] or b"0")
        usage = USAGE.findall(self.data)
        self.tokens = int(usage[-1]) if usage else len(self.times)
        if not self.closed.done():
            self.closed.set_result(self)

    @property
    def first(self):
        """Seconds to the first token, or as long as it was waited for."""
        return (self.times[0] if self.times else self.end) - self.sent

    @property
    def gaps(self):
        """Seconds between tokens."""
        return [b - a for a, b in zip(self.times, self.times[1:])]

    @property
    def costs(self):
        """The member "centroid" of a whole answer."""
        text = CHUNK.sub(b"", self.data).decode()
        name = '"centroid":'
        return json.JSONDecoder().raw_decode(text, text.rindex(name) + len(name))[0]


def prompt(rng, n):
    """Token ids, no two prompts alike; ids in this range are ordinary tokens in every vocabulary."""
    return [rng.randrange(1000, 40000) for _ in range(n)]


def completion(ids, n_tokens, fields):
    """The body that asks for so many tokens; fields: beside those that both servers understand."""
    return {
        "model": "model",
        "prompt": ids,
        "max_tokens": n_tokens,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
        **fields,
    }


async def ask(port, body, path="/v1/completions"):
    """An Answer that has ended; cancelled, it closes its connection and is what had come."""
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(text)}\r\nConnection: close\r\n\r\n"
    )
    loop = asyncio.get_running_loop()
    transport, answer = await loop.create_connection(
        lambda: Answer(head.encode() + text), "127.0.0.1", port
    )
    try:
        await asyncio.shield(answer.closed)
    except asyncio.CancelledError:
        answer.is_cut_off = True
        transport.abort()
        await answer.closed
    return answer


async def until(seconds, tasks):
    """The tasks' results, None for those that brought none; what has not ended by then is cancelled."""
    await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
    for task in tasks:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result
    return [None if isinstance(one, asyncio.CancelledError) else one for one in results]


def quantile(values, share):
    """The nearest value at or above that share of all; None where there are none."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None


def warm_up(port, fields):
    """One short answer, so that nothing that is measured is the first. Centroid measures its pace when
    it is idle: it is given the time."""
    asyncio.run(ask(port, completion(prompt(random.Random(0), 16), 8, fields)))
    time.sleep(1)
