"""Starts the servers that are measured, Centroid and llama-server, and reads what they use."""

import contextlib
import dataclasses
import http.client
import os
import pathlib
import re
import socket
import subprocess
import time

import report


@dataclasses.dataclass
class Server:
    name: str
    command: list
    fields: dict  # of a request, beside those that both understand


def centroid(options, *more):
    """Answers of full length: llama-server can be told to ignore the tokens that end an answer,
    Centroid is given a bias against them."""
    bias = {token: -100 for token in options.eos.split(",")}
    command = [options.centroid, "serve", "--model", f"model={options.model}"]
    return Server("Centroid", [*command, "--threads", options.threads, *more], {"logit_bias": bias})


def peer_command(options):
    path = pathlib.Path(options.peer)
    return [path / "bin/llama-server", "-m", path / f"{options.type}.gguf"]


def peer(options, slots, context):
    """Every slot has a context of its own. No prompt comes twice here: keeping them is off."""
    limits = ["-t", options.threads, "-np", slots, "-c", slots * context, "--cache-ram", 0]
    command = [*peer_command(options), *limits]
    return Server(f"llama-server, {slots} slots", command, {"ignore_eos": True})


def add_options(parser):
    parser.add_argument("--centroid", default=report.ROOT / "build/release/centroid")
    parser.add_argument("--model", required=True, help="what Centroid serves")
    parser.add_argument("--peer", help="what bench/peer.sh made")
    parser.add_argument("--type", default="Q4_K_M", help="the peer's model (Q4_K_M)")
    parser.add_argument("--slots", default="8,32", help="the peer's slots, each a server (8,32)")
    parser.add_argument("--threads", default="2")
    parser.add_argument("--eos", default="0,2", help="tokens that end an answer (0,2: SmolLM2's)")
    parser.add_argument("--out", default=report.ROOT / "bench/results")


def of(options, context, *more):
    """Those that the options ask for; context: tokens of the longest prompt and its answer; more: of
    Centroid's own options."""
    slots = [int(n) for n in options.slots.split(",")] if options.peer else []
    return [centroid(options, *more), *(peer(options, n, context) for n in slots)]


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def is_healthy(port):
    with contextlib.suppress(OSError, http.client.HTTPException):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    return False


@contextlib.contextmanager
def started(command):
    """(process, port, milliseconds to the first healthy answer); stopped by SIGTERM at the end."""
    port = free_port()
    begin = time.perf_counter()
    process = subprocess.Popen(
        [*map(str, command), "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while not is_healthy(port):
            if process.poll() is not None:
                raise SystemExit(f"{command[0]}: exit {process.returncode} before it was healthy")
            time.sleep(0.001)
        yield process, port, 1000 * (time.perf_counter() - begin)
    finally:
        process.terminate()
        process.wait(60)


def memory_mb(pid):
    """Anonymous memory, and all resident memory but that of mapped model files."""
    anonymous = resident = 0
    is_model = False
    for line in pathlib.Path(f"/proc/{pid}/smaps").read_text().splitlines():
        name, _, value = line.partition(":")
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            is_model = line.endswith((".safetensors", ".gguf"))
        elif name == "Anonymous":
            anonymous += int(value.split()[0])
        elif name == "Rss" and not is_model:
            resident += int(value.split()[0])
    return anonymous / 1024, resident / 1024


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
