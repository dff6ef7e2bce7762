"""Starts a server for a test, and talks to it over plain sockets."""

import json
import os
import pathlib
import re
import select
import signal
import socket
import subprocess
import time

FIXTURE = pathlib.Path(__file__).parents[1] / "support" / "fixture"
PATIENCE = 60  # seconds until a test gives up; never a measure of anything
# What a sanitizer adds to the memory of a process.
SANITIZER_FACTOR = {"address,undefined": 3, "thread": 16}.get(os.environ.get("SANITIZE"), 1)


class Server:
    """`centroid serve`, or with is_fake the same over an engine without a model. Use with `with`."""

    def __init__(
        self,
        *options,
        is_fake=True,
        model=FIXTURE,
        models=None,
        step_us=0,
        load_gate=None,
        is_awaited=True,
    ):
        """models: {name: path} instead of one, "tiny". load_gate: a FIFO; a model is there once
        somebody has written a byte into it, or has closed it."""
        program = [os.environ["FAKE_SERVER"]] if is_fake else [os.environ["CENTROID"], "serve"]
        self.models = models or {"tiny": "fake" if is_fake else model}
        named = [f"--model={name}={path}" for name, path in self.models.items()]
        environment = dict(os.environ)
        # the sanitizer's memory of what was freed would count as the server's
        environment["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=4"
        if step_us:
            environment["CENTROID_FAKE_STEP_US"] = str(step_us)
        if load_gate:
            environment["CENTROID_FAKE_LOAD_GATE"] = load_gate
        self.process = subprocess.Popen(
            [*program, *named, "--port", "0", *map(str, options)],
            stdout=subprocess.PIPE,
            env=environment,
        )
        self.port = None
        if is_awaited:
            self.await_address()

    def await_address(self):
        try:
            line = self.read_line()
            names = re.escape(", ".join(self.models))
            match = re.fullmatch(rf"centroid: serving {names} at (http://\S+:(\d+))\n", line)
            assert match, f"the server said {line!r}"
        except BaseException:
            self.kill()
            raise
        self.url, self.port = match[1], int(match[2])

    def read_line(self):
        ready, _, _ = select.select([self.process.stdout], [], [], PATIENCE)
        assert ready, "the server said nothing"
        return self.process.stdout.readline().decode()

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if kind is None and self.process.poll() is None:
            assert self.stop() == 0
        else:
            self.kill()

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def wait(self):
        """The exit code."""
        code = self.process.wait(PATIENCE)
        self.process.stdout.close()
        return code

    def stop(self):
        self.terminate()
        return self.wait()

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), PATIENCE)

    def ask(self, method, path, body=None, headers=()):
        """One request on its own connection: (status, headers, body)."""
        with self.connect() as connection:
            connection.sendall(request(method, path, body, headers))
            return read_response(connection, method)

    def complete(self, **fields):
        """POST /v1/completions: (status, the decoded body)."""
        body = {"model": "tiny", "prompt": "hi", **fields}
        status, _, answer = self.ask("POST", "/v1/completions", body)
        return status, json.loads(answer)

    def metric(self, name):
        """The value of a metric without labels but the model's: the sum over all models."""
        _, _, text = self.ask("GET", "/metrics")
        values = re.findall(rf'^{name}(?:{{model="[^"]*"}})? (\S+)$', text.decode(), re.MULTILINE)
        assert values, f"no metric {name}"
        return sum(map(float, values))

    def wait_for(self, condition):
        """Until condition() holds."""
        end = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < end, "it did not come to pass"
            time.sleep(0.01)

    def wait_idle(self):
        """Until nothing runs or waits: what was abandoned has been dropped."""
        self.wait_for(
            lambda: self.metric("centroid_sequences_running") == 0
            and self.metric("centroid_sequences_waiting") == 0
        )

    def resident_bytes(self):
        text = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", text)[1]) * 1024

    def n_descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))


def request(method, path, body=None, headers=()):
    """The bytes of a request; body: bytes, or what becomes JSON."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *headers]
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
        lines.append("Content-Type: application/json")
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + (body or b"")


def read_response(connection, method="GET", buffer=None):
    """(status, headers, body) of the next response. buffer: a bytearray with what is left over from
    the last one on this connection."""
    buffer = bytearray() if buffer is None else buffer

    def more():
        data = connection.recv(65536)
        if not data:
            raise ConnectionError(f"closed after {bytes(buffer)!r}")
        buffer.extend(data)

    while b"\r\n\r\n" not in buffer:
        more()
    head, _, rest = bytes(buffer).partition(b"\r\n\r\n")
    buffer[:] = rest
    lines = head.decode("latin-1").split("\r\n")
    status = int(lines[0].split()[1])
    headers = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    if method == "HEAD" or status == 204:
        return status, headers, b""
    body = b""
    if headers.get("transfer-encoding") == "chunked":
        while True:
            while b"\r\n" not in buffer:
                more()
            size = int(bytes(buffer).partition(b"\r\n")[0], 16)
            start = buffer.index(b"\r\n") + 2
            while len(buffer) < start + size + 2:
                more()
            body += bytes(buffer[start : start + size])
            del buffer[: start + size + 2]
            if size == 0:
                return status, headers, body
    n_bytes = int(headers.get("content-length", 0))
    while len(buffer) < n_bytes:
        more()
    body = bytes(buffer[:n_bytes])
    del buffer[:n_bytes]
    return status, headers, body


def read_to_end(connection):
    """All bytes until the server closes."""
    text = b""
    while data := connection.recv(65536):
        text += data
    return text


def is_closed(connection):
    """Whether the server closes, after all that it still has to say."""
    connection.settimeout(PATIENCE)
    try:
        while connection.recv(65536):
            pass
    except ConnectionResetError:
        pass
    except socket.timeout:
        return False
    return True


def events(body):
    """The data of server-sent events, decoded; the last must be [DONE], which is left out."""
    parts = body.decode().split("\n\n")
    assert parts.pop() == "" and all(part.startswith("data: ") for part in parts), parts
    assert parts.pop() == "data: [DONE]"
    return [json.loads(part[6:]) for part in parts]
