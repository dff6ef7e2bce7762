#!/usr/bin/env python3
"""Waits until a server answers, asks it one question, and prints how to reach it and what that cost.

usage: greet.py PID [OPTION...]     the server's process and the options it was started with
"""

import argparse
import http.client
import json
import os
import sys
import time

QUESTION = "What is the capital of France?"
WAIT_SECONDS = 60


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def wait_until_healthy(pid, host, port):
    end = time.monotonic() + WAIT_SECONDS
    while is_alive(pid) and time.monotonic() < end:
        try:
            connection = http.client.HTTPConnection(host, port, timeout=WAIT_SECONDS)
            connection.request("GET", "/health")
            if connection.getresponse().status == 200:
                return True
        except OSError:
            time.sleep(0.02)
    return False


def ask(host, port):
    body = {
        "model": "smollm2",
        "messages": [{"role": "user", "content": QUESTION}],
        "max_tokens": 48,
        "temperature": 0,
    }
    connection = http.client.HTTPConnection(host, port, timeout=WAIT_SECONDS)
    connection.request(
        "POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"}
    )
    response = connection.getresponse()
    answer = json.load(response)
    if response.status != 200:
        sys.exit(f"centroid: the first request failed: {answer['error']['message']}")
    return answer


def main():
    options = argparse.ArgumentParser(allow_abbrev=False)
    options.add_argument("--host", default="127.0.0.1")
    options.add_argument("--port", type=int, default=8080)
    host, port = vars(options.parse_known_args(sys.argv[2:])[0]).values()
    if host in ("0.0.0.0", "::"):
        host = "127.0.0.1"
    if not wait_until_healthy(int(sys.argv[1]), host, port):
        return
    answer = ask(host, port)
    usage, cost = answer["usage"], answer["centroid"]
    energy = cost["energy_mj"]
    print(
        f"""
Centroid serves smollm2 on http://{host}:{port}. Ask it:

  curl http://{host}:{port}/v1/chat/completions -H 'Content-Type: application/json' \\
    -d '{{"model": "smollm2", "messages": [{{"role": "user", "content": "{QUESTION}"}}]}}'

A first answer: {answer["choices"][0]["message"]["content"]}
It cost: {usage["prompt_tokens"]} + {usage["completion_tokens"]} tokens, \
queue {cost["queue_ms"]:.1f} ms, prefill {cost["prefill_ms"]:.1f} ms, \
decode {cost["decode_ms"]:.1f} ms, \
energy {energy["prefill"]:.2f} + {energy["decode"]:.2f} mJ ({cost["energy_source"]}), {cost["backend"]}

Ctrl-C stops it.""",
        flush=True,
    )


if __name__ == "__main__":
    main()
