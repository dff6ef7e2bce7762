"""HTTP as strangers send it, over plain sockets: each case ends with a live server, and with its
memory and descriptors back. The engine is a fake, so that every phase can be held."""

import json
import os
import resource
import socket
import struct
import subprocess
import tempfile
import unittest

from live_server import (
    PATIENCE,
    SANITIZER_FACTOR,
    Server,
    events,
    is_closed,
    read_response,
    read_to_end,
    request,
)

MAX_BODY = 8 << 20
LONG = "p" * 6000  # a prompt of many steps


class Shared(unittest.TestCase):
    """Cases that leave one server as they found it."""

    @classmethod
    def setUpClass(cls):
        cls.server = Server()

    @classmethod
    def tearDownClass(cls):
        with cls.server:
            pass

    def tearDown(self):
        self.assertEqual(self.server.ask("GET", "/health")[0], 200)

    def refused(self, raw, status=400):
        """Sends raw bytes: the answer has this status, and the connection is closed."""
        with self.server.connect() as connection:
            connection.sendall(raw)
            got, headers, _ = read_response(connection)
            self.assertEqual(got, status, raw[:200])
            self.assertEqual(headers.get("connection", "").lower(), "close")
            self.assertTrue(is_closed(connection))

    # ---- routes ----

    def test_status_routes(self):
        for path, body in [
            ("/health", {"status": "ok"}),
            ("/v2/health/live", {"live": True}),
            ("/v2/health/ready", {"ready": True}),
        ]:
            status, headers, text = self.server.ask("GET", path)
            self.assertEqual((status, json.loads(text)), (200, body))
            self.assertEqual(headers["content-type"], "application/json")

    def test_models(self):
        status, _, text = self.server.ask("GET", "/v1/models")
        listed = json.loads(text)
        self.assertEqual((status, listed["object"], len(listed["data"])), (200, "list", 1))
        self.assertEqual(listed["data"][0]["id"], "tiny")
        self.assertEqual(
            listed["data"][0]["centroid"]["sampling"],
            {"temperature": 1, "top_p": 1, "top_k": 0, "min_p": 0},
        )
        status, _, text = self.server.ask("GET", "/v1/models/tiny")
        self.assertEqual(json.loads(text), listed["data"][0])
        self.assertEqual(self.server.ask("GET", "/v1/models/%74iny")[0], 200)
        answers = {
            self.server.ask("GET", "/v1/models/" + name)[2]
            for name in ["x", "../tiny", "%2e%2e%2fx", "%2fetc%2fpasswd", "a" * 4000, "%zz", "%"]
        }
        self.assertEqual(len(answers - {b""}), 2)  # one text; the long one cannot match any path
        for name in ["x", "%2e%2e%2f", "%zz"]:
            self.assertEqual(self.server.ask("GET", "/v1/models/" + name)[0], 404)

    def test_metrics(self):
        self.server.complete(max_tokens=3)
        status, headers, text = self.server.ask("GET", "/metrics")
        self.assertEqual(status, 200)
        self.assertTrue(headers["content-type"].startswith("text/plain; version=0.0.4"))
        samples = {}
        for line in text.decode().splitlines():
            if not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                self.assertNotIn(name, samples)
                samples[name] = float(value)
        for name in ["queue", "time_to_first_token", "time_per_output_token", "request"]:
            buckets = [v for k, v in samples.items() if k.startswith(f"centroid_{name}_seconds_b")]
            self.assertEqual(buckets, sorted(buckets))
            self.assertEqual(buckets[-1], samples[f'centroid_{name}_seconds_count{{model="tiny"}}'])
        self.assertGreater(samples['centroid_energy_joules_total{model="tiny",phase="decode"}'], 0)

    def test_methods(self):
        status, headers, body = self.server.ask("HEAD", "/health")
        self.assertEqual((status, headers["content-length"], body), (200, "15", b""))
        status, headers, _ = self.server.ask("OPTIONS", "/v1/completions")
        self.assertEqual((status, headers["allow"]), (204, "POST, OPTIONS"))
        self.assertNotIn("access-control-allow-origin", headers)
        self.assertEqual(self.server.ask("OPTIONS", "*")[0], 204)
        for method, path, allow in [
            ("GET", "/v1/chat/completions", "POST, OPTIONS"),
            ("DELETE", "/health", "GET, HEAD, OPTIONS"),
            ("BREW", "/v1/models/tiny", "GET, HEAD, OPTIONS"),
        ]:
            status, headers, text = self.server.ask(method, path)
            self.assertEqual((status, headers["allow"]), (405, allow))
            self.assertEqual(json.loads(text)["error"]["code"], "method_not_allowed")

    def test_unknown_paths(self):
        for path in ["/", "//health", "/./health", "/health/", "/%68ealth", "/v1", "/HEALTH"]:
            status, headers, text = self.server.ask("GET", path)
            self.assertEqual(status, 404, path)
            self.assertEqual(json.loads(text)["error"]["type"], "invalid_request_error")
        self.assertEqual(self.server.ask("GET", "/health?probe=1")[0], 200)

    def test_request_ids(self):
        ask = self.server.ask
        self.assertEqual(
            ask("GET", "/v1/models", None, ["X-Request-Id: my-id.1"])[1]["x-request-id"], "my-id.1"
        )
        for odd in ["a b", "<x>", "y" * 200, ""]:
            got = ask("GET", "/v1/models", None, [f"X-Request-Id: {odd}"])[1]["x-request-id"]
            self.assertRegex(got, "^req_[0-9a-f]{24}$")

    def test_content_types(self):
        body = json.dumps({"model": "tiny", "prompt": "hi"}).encode()
        for kind, status in [
            ("application/json; charset=utf-8", 200),
            ("multipart/form-data; boundary=x", 415),
            ("application/x-www-form-urlencoded", 415),
            ("text/plain", 415),
        ]:
            headers = [f"Content-Type: {kind}"]
            self.assertEqual(self.server.ask("POST", "/v1/completions", body, headers)[0], status)
        self.assertEqual(self.server.ask("POST", "/v1/completions", body)[0], 200)

    # ---- connections ----

    def test_pipelining(self):
        body = {"model": "tiny", "prompt": "echo:one|"}
        with self.server.connect() as connection:
            connection.sendall(
                request("POST", "/v1/completions", body)
                + request("GET", "/health")
                + request("POST", "/v1/completions", body | {"prompt": "echo:two|"})
            )
            buffer = bytearray()
            answers = [read_response(connection, "GET", buffer) for _ in range(3)]
        self.assertEqual([status for status, _, _ in answers], [200, 200, 200])
        self.assertEqual(json.loads(answers[0][2])["choices"][0]["text"], "one")
        self.assertEqual(json.loads(answers[2][2])["choices"][0]["text"], "two")

    def test_http_1_0(self):
        with self.server.connect() as connection:
            connection.sendall(b"GET /health HTTP/1.0\r\n\r\n")
            self.assertEqual(read_response(connection)[0], 200)
            self.assertTrue(is_closed(connection))

    def test_dribbled_request(self):
        raw = request("POST", "/v1/completions", {"model": "tiny", "prompt": "echo:slow|"})
        with self.server.connect() as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for i in range(len(raw)):
                connection.sendall(raw[i : i + 1])
            status, _, body = read_response(connection)
        self.assertEqual((status, json.loads(body)["choices"][0]["text"]), (200, "slow"))

    # ---- smuggling ----

    def test_malformed_heads(self):
        head = b"POST /v1/completions HTTP/1.1\r\n"
        host = b"Host: localhost\r\n"
        for lines in [
            host + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
            host + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
            host + b"Content-Length: 3\r\nContent-Length: 3\r\n",
            host + b"Content-Length: 3\r\nContent-Length: 4\r\n",
            host + b"Content-Length : 3\r\n",
            host + b"Content-Length: +3\r\n",
            host + b"Content-Length: -1\r\n",
            host + b"Content-Length: 3, 3\r\n",
            host + b"X-A: b\r\n c\r\n",
            host + b"Transfer-Encoding:\r\n chunked\r\n",
            host + b"Transfer-Encoding: gzip, chunked\r\n",
            host + b"Transfer-Encoding: identity\r\n",
            host + b"X-A: b\nX-B: c\r\n",
            b"Host: localhost\n",
            host + b"X-A: b\0c\r\n",
            b"",
            host + host,
        ]:
            self.refused(head + lines + b"\r\n")
        self.refused(b"GET /health HTTP/1.1\n" + host + b"\r\n")
        for target in [b"/health%00", b"/a\0b", b"http://localhost/health", b"/a b", b"health"]:
            self.refused(b"GET " + target + b" HTTP/1.1\r\n" + host + b"\r\n")
        self.refused(head + host + b"Content-Length: 99999999999999999999\r\n\r\n", 413)

    def test_strangers(self):
        get = b"GET /health HTTP/1.1\r\n"
        self.refused(get + b"Host: evil.example\r\n\r\n", 403)
        self.refused(get + b"Host: localhost\r\nOrigin: https://evil.example\r\n\r\n", 403)
        for host in ["localhost", "127.0.0.1:8080", "[::1]:1", "LOCALHOST"]:
            with self.server.connect() as connection:
                connection.sendall(get + f"Host: {host}\r\n\r\n".encode())
                self.assertEqual(read_response(connection)[0], 200)

    # ---- sizes ----

    def test_large_heads(self):
        get = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"
        self.refused(get + b"X: " + b"y" * 20000 + b"\r\n\r\n", 431)
        self.refused(get + b"".join(b"X-%d: y\r\n" % i for i in range(1000)) + b"\r\n", 431)
        self.refused(b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 414)
        for raw in [
            get + b"X: " + b"y" * 40000 + b"\r\n\r\n",
            b"GET /" + b"a" * 40000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        ]:  # beyond the daemon's own buffer: it answers and closes while we may still be writing
            with self.server.connect() as connection:
                try:
                    connection.sendall(raw)
                    self.assertIn(read_response(connection)[0], (414, 431))
                except ConnectionError:
                    pass
                self.assertTrue(is_closed(connection))

    def test_body_limits(self):
        filler = b'{"model":"tiny","prompt":"hi","user":"'
        for n_bytes, status in [(MAX_BODY, 200), (MAX_BODY + 1, 413)]:
            body = filler + b"x" * (n_bytes - len(filler) - 2) + b'"}'
            got, _, text = self.server.ask("POST", "/v1/completions", body)
            self.assertEqual(got, status, text[:300])
        self.refused(
            b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n",
            413,
        )

    def test_chunks(self):
        head = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        body = json.dumps({"model": "tiny", "prompt": "hi", "user": "x" * 70000}).encode()
        with self.server.connect() as connection:  # 70,000 chunks of a byte
            connection.sendall(head + b"".join(b"1\r\n%c\r\n" % b for b in body) + b"0\r\n\r\n")
            self.assertEqual(read_response(connection)[0], 200)
        with self.server.connect() as connection:  # longer than allowed, in chunks
            block = b"100000\r\n" + b" " * (1 << 20) + b"\r\n"
            connection.sendall(head + block * 9 + b"0\r\n\r\n")
            self.assertEqual(read_response(connection)[0], 413)
        for size in [b"fffffffffffffffffffff", b"-1", b"0x5", b"g", b"", b" 5"]:
            with self.server.connect() as connection:
                connection.sendall(head + size + b"\r\nhello\r\n0\r\n\r\n")
                try:
                    self.assertIn(read_response(connection)[0], (400, 413), size)
                except ConnectionError:
                    pass
                self.assertTrue(is_closed(connection))

    # ---- bodies ----

    def test_hostile_json(self):
        deep = {n: b'{"user":' + b"[" * n + b"]" * n + b"}" for n in (64, 1000, 100000)}
        for body in [
            deep[64],  # taken for JSON, but no name for a user
            deep[1000],
            deep[100000],
            b'{"model":"tiny","prompt":[' + b"1," * 999999 + b"1]}",
            b'{"model":"tiny","prompt":[' + b'"a",' * 99999 + b'"a"]}',
            b'{"model":"tiny","prompt":"a","prompt":"b"}',
            b'{"model":"tiny","prompt":"\\ud800"}',
            b'{"model":"tiny","prompt":"a\\u0000"}',
            b'{"model":"tiny","prompt":"a","temperature":1e400}',
            b'{"model":"tiny","prompt":"a","temperature":NaN}',
            b'{"model":"tiny","prompt":"a","n":1000000}',
            b"[]",
            b"",
            b"\xff\xfe",
        ]:
            status, headers, text = self.server.ask("POST", "/v1/completions", body)
            self.assertEqual(status, 400, body[:80])
            error = json.loads(text)["error"]
            self.assertEqual(set(error), {"message", "type", "param", "code"})
            self.assertEqual("levels" in error["message"], body in (deep[1000], deep[100000]))

    def test_length_of_prompts(self):
        status, answer = self.server.complete(prompt="p" * 9000)
        self.assertEqual(status, 400)
        self.assertIn("9000", answer["error"]["message"])
        self.assertIn("8192", answer["error"]["message"])
        self.assertEqual(answer["error"]["code"], "context_length_exceeded")

    # ---- answers ----

    def test_whole_answer(self):
        status, headers, text = self.server.ask(
            "POST", "/v1/completions", {"model": "tiny", "prompt": "echo:h\u00e9 \U0001f600|"}
        )
        answer = json.loads(text)
        self.assertEqual(answer["choices"][0]["text"], "h\u00e9 \U0001f600")
        self.assertEqual(answer["choices"][0]["finish_reason"], "stop")
        self.assertEqual(
            answer["usage"],
            {
                "prompt_tokens": 14,
                "completion_tokens": 9,
                "total_tokens": 23,
                "prompt_tokens_details": {"cached_tokens": 0},
            },
        )
        cost = answer["centroid"]
        self.assertEqual(
            set(cost),
            {"queue_ms", "prefill_ms", "decode_ms", "energy_mj", "energy_source", "backend"},
        )
        self.assertAlmostEqual(cost["energy_mj"]["prefill"], 14e-3)  # the fake's 1e6 pJ a token
        self.assertAlmostEqual(cost["energy_mj"]["decode"], 8e-3)
        self.assertAlmostEqual(float(headers["x-energy-mj"]), 22e-3)
        self.assertAlmostEqual(float(headers["x-queue-time"]), cost["queue_ms"])
        self.assertAlmostEqual(
            float(headers["x-inference-time"]), cost["prefill_ms"] + cost["decode_ms"], places=2
        )

    def test_stream_is_the_whole_answer_in_parts(self):
        body = {"model": "tiny", "prompt": "tell me", "seed": 4, "max_tokens": 200}
        _, _, text = self.server.ask("POST", "/v1/completions", body)
        whole = json.loads(text)
        status, headers, text = self.server.ask(
            "POST",
            "/v1/completions",
            body | {"stream": True, "stream_options": {"include_usage": True}},
        )
        self.assertEqual((status, headers["content-type"]), (200, "text/event-stream"))
        self.assertIn("x-queue-time", headers)
        parts = events(text)
        self.assertEqual({part["object"] for part in parts}, {"text_completion"})
        self.assertEqual(len({part["id"] for part in parts}), 1)
        self.assertEqual(
            "".join(part["choices"][0]["text"] for part in parts[:-1]), whole["choices"][0]["text"]
        )
        reasons = [part["choices"][0]["finish_reason"] for part in parts[:-1]]
        self.assertEqual(reasons, [None] * (len(reasons) - 1) + ["length"])
        self.assertTrue(all(part["usage"] is None for part in parts[:-1]))
        cached = parts[-1]["usage"].pop("prompt_tokens_details")["cached_tokens"]
        self.assertEqual(cached, 6)  # all but the last, from the first time
        whole["usage"].pop("prompt_tokens_details")
        self.assertEqual((parts[-1]["choices"], parts[-1]["usage"]), ([], whole["usage"]))
        self.assertEqual(parts[-1]["centroid"]["energy_source"], "estimate:fake")

    def test_chat_stream(self):
        body = {
            "model": "tiny",
            "stream": True,
            "n": 2,
            "logprobs": True,
            "top_logprobs": 1,
            "messages": [{"role": "user", "content": "echo:a\u20acb|"}],
        }
        parts = events(self.server.ask("POST", "/v1/chat/completions", body)[2])
        for index in range(2):
            mine = [p["choices"][0] for p in parts if p["choices"][0]["index"] == index]
            self.assertEqual(mine[0]["delta"]["role"], "assistant")
            self.assertEqual("".join(c["delta"].get("content", "") for c in mine), "a\u20acb")
            self.assertEqual((mine[-1]["delta"], mine[-1]["finish_reason"]), ({}, "stop"))
            tokens = [t for c in mine if c["logprobs"] for t in c["logprobs"]["content"]]
            self.assertEqual(bytes(b for t in tokens for b in t["bytes"]), "a\u20acb".encode())
            self.assertTrue(all(t["logprob"] > -1e-3 for t in tokens))
            self.assertTrue(all(len(t["top_logprobs"]) == 1 for t in tokens))
        self.assertIn("centroid", parts[-1])

    def test_completion_logprobs(self):
        _, answer = self.server.complete(prompt="echo:a\u20acb|", logprobs=2)
        logprobs = answer["choices"][0]["logprobs"]
        self.assertEqual(len(logprobs["tokens"]), 5)
        self.assertEqual(logprobs["text_offset"], [0, 1, 2, 2, 2])
        self.assertTrue(all(len(top) <= 2 for top in logprobs["top_logprobs"]))

    def test_stop_strings_never_show(self):
        _, _, text = self.server.ask(
            "POST",
            "/v1/completions",
            {"model": "tiny", "prompt": "echo:one STOP two|", "stop": "STOP", "stream": True},
        )
        self.assertEqual("".join(p["choices"][0]["text"] for p in events(text)), "one ")


class Alone(unittest.TestCase):
    """Cases with a server of their own."""

    def test_deadlines_are_total(self):
        with Server("--head-seconds", 1, "--body-seconds", 1) as server:
            head = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n"
            with server.connect() as slow_head, server.connect() as slow_body:
                slow_body.sendall(head)
                slow_head.settimeout(0.1)
                slow_body.settimeout(0.1)
                is_open = {slow_head: True, slow_body: True}
                for _ in range(PATIENCE * 10):  # a byte now and then is no excuse
                    for connection, byte in [(slow_head, b"G"), (slow_body, b" ")]:
                        try:
                            if is_open[connection]:
                                connection.sendall(byte)
                                is_open[connection] = connection.recv(1) != b""
                        except socket.timeout:
                            pass
                        except ConnectionError:
                            is_open[connection] = False
                    if not any(is_open.values()):
                        break
                self.assertFalse(any(is_open.values()))
            self.assertEqual(server.ask("GET", "/health")[0], 200)

    def leave(self, server, raw, how, ready):
        """Sends a request, waits until it is where it should be, and goes."""
        connection = server.connect()
        connection.sendall(raw)
        server.wait_for(ready)
        if how == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()

    def test_clients_that_leave(self):
        long = {"model": "tiny", "prompt": "x", "max_tokens": 8000}
        with Server("--sessions", 1, step_us=2000) as server:
            metric = server.metric
            for how in ["close", "reset"]:
                for stream in [False, True]:
                    post = lambda **f: request("POST", "/v1/completions", long | f | {"stream": stream})
                    n = metric("centroid_requests_cancelled_total")
                    steps = metric("centroid_steps_total")
                    self.leave(  # while it decodes
                        server, post(), how, lambda: metric("centroid_steps_total") > steps + 3
                    )
                    server.wait_idle()
                    self.assertEqual(metric("centroid_requests_cancelled_total"), n + 1)
                    self.leave(  # in prefill: twelve steps
                        server,
                        post(prompt=LONG, max_tokens=5),
                        how,
                        lambda: metric("centroid_sequences_running") == 1,
                    )
                    server.wait_idle()
                    self.assertEqual(metric("centroid_requests_cancelled_total"), n + 2)
                    with server.connect() as first:  # while it waits behind another
                        first.sendall(post(max_tokens=1100, prompt="echo:" + "y" * 1000 + "|"))
                        server.wait_for(lambda: metric("centroid_sequences_running") == 1)
                        self.leave(
                            server, post(), how, lambda: metric("centroid_sequences_waiting") == 1
                        )
                        server.wait_for(lambda: metric("centroid_sequences_waiting") == 0)
                        _, _, text = read_response(first)  # which is none the worse for it
                        choices = [p["choices"][0] for p in events(text)] if stream else (
                            json.loads(text)["choices"]
                        )
                        self.assertEqual("".join(c["text"] for c in choices), "y" * 1000)
                    self.leave(  # with more requests behind the one that is at work
                        server,
                        post() + request("GET", "/health"),
                        how,
                        lambda: metric("centroid_sequences_running") == 1,
                    )
                    server.wait_idle()
                    self.assertEqual(metric("centroid_requests_cancelled_total"), n + 4)

    def test_nothing_leaks(self):
        with Server("--sessions", 4) as server:
            raw = {
                stream: request(
                    "POST",
                    "/v1/completions",
                    {"model": "tiny", "prompt": "x", "max_tokens": 8000, "stream": stream},
                )
                for stream in [False, True]
            }

            def round_of(n):
                for i in range(n):
                    with server.connect() as connection:
                        connection.sendall(raw[i % 2 == 1])
                        if i % 4 == 3:
                            connection.recv(1)
                server.wait_idle()
                server.wait_for(lambda: server.metric("centroid_connections") == 1)

            round_of(300)
            n_descriptors, n_bytes = server.n_descriptors(), server.resident_bytes()
            round_of(2000)
            server.wait_for(lambda: server.n_descriptors() <= n_descriptors)
            self.assertLess(server.resident_bytes(), n_bytes + (16 << 20) * SANITIZER_FACTOR)

    def test_slow_readers(self):
        """Who does not read keeps neither the others waiting nor unbounded memory."""
        with Server("--sessions", 4, "--write-seconds", 2) as server:
            connections = []
            body = {"model": "tiny", "prompt": "x", "max_tokens": 8000, "stream": True}
            for _ in range(3):
                connection = socket.socket()
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                connection.connect(("127.0.0.1", server.port))
                connection.sendall(request("POST", "/v1/completions", body))
                connections.append(connection)
            for _ in range(5):
                status, answer = server.complete(prompt="echo:quick|")
                self.assertEqual((status, answer["choices"][0]["text"]), (200, "quick"))
            server.wait_idle()  # in the end the slow ones are let go
            for connection in connections:
                connection.close()

    def test_slow_reader_gets_all(self):
        with Server() as server:
            body = {"model": "tiny", "prompt": "x", "max_tokens": 3000, "stream": True}
            with socket.socket() as connection:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                connection.settimeout(PATIENCE)
                connection.connect(("127.0.0.1", server.port))
                connection.sendall(request("POST", "/v1/completions", body))
                steps = -1
                while steps != (now := server.metric("centroid_steps_total")):
                    steps = now  # until it stands still
                self.assertLess(steps, 3000)
                _, _, text = read_response(connection)
            self.assertEqual(sum(len(p["choices"][0]["text"]) for p in events(text)), 3000)

    def test_crowds(self):
        """A thousand each of idle connections, half-sent requests, and readers that do not read."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard < 4096:
            self.skipTest(f"needs 4096 descriptors, the limit is {hard}")
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 4096), hard))
        with Server("--sessions", 8, "--queue", 2000) as server:
            stream = {"model": "tiny", "prompt": "x", "max_tokens": 8000, "stream": True}
            crowds = {
                "idle": b"",
                "half": request("POST", "/v1/completions", stream)[:-20],
                "slow": request("POST", "/v1/completions", stream),
            }
            before = server.resident_bytes()
            connections = []
            for raw in crowds.values():
                for _ in range(1000):
                    connection = server.connect()
                    connection.sendall(raw)
                    connections.append(connection)
                for _ in range(20):
                    self.assertEqual(server.ask("GET", "/health")[0], 200)
            self.assertLess(server.resident_bytes() - before, (96 << 20) * SANITIZER_FACTOR)
            for connection in connections:
                connection.close()
            server.wait_idle()
            server.wait_for(lambda: server.metric("centroid_connections") == 1)
            self.assertLess(server.resident_bytes() - before, (48 << 20) * SANITIZER_FACTOR)

    def test_body_that_ends_early(self):
        short = request("POST", "/v1/completions", b"{}")[:-1]
        chunked = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{"
        with Server("--body-seconds", 3600, "--write-seconds", 3600) as server:
            for raw in [short, chunked, short[:-1]] * 20:
                with server.connect() as connection:
                    connection.sendall(raw)  # and in the same moment
                    connection.shutdown(socket.SHUT_WR)
                    self.assertTrue(is_closed(connection))

    def test_all_bodies_together_are_bounded(self):
        patience = ("--head-seconds", 3600, "--body-seconds", 3600, "--write-seconds", 3600)
        with Server(*patience) as server:
            before = server.resident_bytes()
            body = b'{"model":"tiny","prompt":"hi","user":"' + b"x" * (MAX_BODY - 64) + b'"}'
            raw = request("POST", "/v1/completions", body)
            connections = [server.connect() for _ in range(24)]
            for connection in connections:
                connection.sendall(raw[:-1])
            self.assertLess(server.resident_bytes() - before, (300 << 20) * SANITIZER_FACTOR)
            statuses = []
            for connection in connections:
                connection.sendall(raw[-1:])
                statuses.append(read_response(connection)[0])
                connection.close()
            self.assertEqual(set(statuses), {200, 503})
            self.assertEqual(server.ask("POST", "/v1/completions", body)[0], 200)

    def test_connections_are_bounded(self):
        with Server("--connections", 8) as server:
            connections = [server.connect() for _ in range(8)]
            server.wait_for(lambda: self.is_refused(server))
            for connection in connections:
                connection.close()
            server.wait_for(lambda: not self.is_refused(server))

    @staticmethod
    def is_refused(server, path="/health"):
        try:
            return server.ask("GET", path)[0] != 200
        except ConnectionError:
            return True

    def test_full_queue(self):
        with Server("--sessions", 1, "--queue", 1, step_us=20000) as server:
            long = request(
                "POST", "/v1/completions", {"model": "tiny", "prompt": "x", "max_tokens": 8000}
            )
            with server.connect() as first, server.connect() as second:
                first.sendall(long)
                second.sendall(long)
                server.wait_for(lambda: server.metric("centroid_sequences_waiting") == 1)
                status, headers, text = server.ask(
                    "POST", "/v1/completions", {"model": "tiny", "prompt": "x"}
                )
                self.assertEqual(status, 429)
                self.assertIn(int(headers["retry-after"]), range(1, 61))
                error = json.loads(text)["error"]
                self.assertEqual((error["type"], error["code"]), ("rate_limit_error", "queue_full"))
                status, answer = server.complete(n=3)  # which can never be taken
                self.assertEqual((status, answer["error"]["param"]), (400, "n"))

    def test_deadline_of_requests(self):
        with Server("--request-seconds", 1, step_us=5000) as server:
            long = {"model": "tiny", "prompt": "x", "max_tokens": 8000}
            self.assertEqual(server.ask("POST", "/v1/completions", long)[0], 504)
            with server.connect() as connection:  # a stream ends with an error event, unfinished
                connection.sendall(request("POST", "/v1/completions", long | {"stream": True}))
                text = read_to_end(connection)
            last = text.rpartition(b"data: ")[2]
            self.assertEqual(json.loads(last.split(b"\n")[0])["error"]["type"], "server_error")
            self.assertNotIn(b"[DONE]", text)
            self.assertFalse(text.endswith(b"0\r\n\r\n"))

    def let_go(self, writer):
        try:
            return writer.write(b"1") == 1
        except BrokenPipeError:  # nobody reads just now
            return False

    def test_while_loading(self):
        with tempfile.TemporaryDirectory() as folder, socket.socket() as probe:
            gate = os.path.join(folder, "gate")
            os.mkfifo(gate)
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
            probe.close()
            models = {"tiny": "fake", "second": "fake"}
            server = Server("--port", port, models=models, load_gate=gate, is_awaited=False)
            try:
                server.port = port
                server.wait_for(lambda: not self.is_refused(server, "/v2/health/live"))
                writer = open(gate, "wb", buffering=0)
                writer.write(b"1")  # one of the two
                for path, answer in [
                    ("/health", {"status": "loading"}),
                    ("/v2/health/ready", {"ready": False}),
                ]:
                    status, _, text = server.ask("GET", path)
                    self.assertEqual((status, json.loads(text)), (503, answer))
                status, _, text = server.ask("GET", "/v1/models")
                self.assertEqual((status, json.loads(text)["data"]), (200, []))
                status, headers, _ = server.ask("POST", "/v1/completions", {"model": "tiny"})
                self.assertEqual((status, headers["retry-after"]), (503, "1"))
                self.assertEqual(server.ask("GET", "/metrics")[0], 200)
                server.wait_for(lambda: self.let_go(writer))  # and the other, once it has come
                server.await_address()
                writer.close()
                self.assertEqual(server.complete()[0], 200)
                self.assertEqual(server.stop(), 0)
            finally:
                server.kill()

    def test_what_cannot_start(self):
        for options, code, word in [
            (["--model", "missing"], 1, b"missing: no such model"),
            (["--model", "fake", "--host", "0.0.0.0"], 2, b"--allow-public"),
            (["--model", "fake", "--queue", "many"], 2, b"--queue"),
            ([], 2, b"--model"),
        ]:
            done = subprocess.run(
                [os.environ["FAKE_SERVER"], "--port", "0", *options],
                capture_output=True,
                timeout=PATIENCE,
            )
            self.assertEqual((done.returncode, done.stdout), (code, b""))
            self.assertIn(word, done.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
