"""SIGTERM in each phase of requests: what was accepted is finished, what is new is turned away, and the
process ends with 0; a second SIGTERM ends it at once."""

import json
import unittest

from live_server import Server, events, is_closed, read_response, read_to_end, request

LONG = "p" * 6000  # a prompt of twelve steps


def post(**fields):
    return request("POST", "/v1/completions", {"model": "tiny", "prompt": "x", **fields})


def text_of(answer):
    return json.loads(answer)["choices"][0]["text"]


class Drain(unittest.TestCase):
    def test_idle(self):
        with Server() as server:
            with server.connect() as idle:
                idle.sendall(request("GET", "/health"))
                read_response(idle)
                self.assertEqual(server.stop(), 0)  # an idle connection does not hold it up
                self.assertTrue(is_closed(idle))

    def test_each_phase_is_finished(self):
        """One decodes, one is in prefill, one waits for its session, one is a stream."""
        with Server("--sessions", 3, step_us=20000) as server:
            requests = {
                "decode": post(prompt="echo:" + "d" * 200 + "|", max_tokens=300),
                "stream": post(prompt="echo:" + "s" * 200 + "|", max_tokens=300, stream=True),
                "prefill": post(prompt=LONG + "echo:after all|"),
                "queued": post(prompt="echo:at last|"),
            }
            connections = {}
            for name, raw in requests.items():
                steps = server.metric("centroid_steps_total")
                connections[name] = server.connect()
                connections[name].sendall(raw)
                if name != "queued":  # until each has begun
                    server.wait_for(lambda: server.metric("centroid_steps_total") > steps + 1)
            server.wait_for(lambda: server.metric("centroid_sequences_waiting") == 1)
            server.terminate()
            status, headers, body = self.ask_while_draining(server, post())
            self.assertEqual((status, headers["connection"]), (503, "close"))
            self.assertEqual(json.loads(body)["error"]["code"], "shutting_down")
            answers = {name: read_response(c) for name, c in connections.items()}
            for name, expected in [
                ("decode", "d" * 200),
                ("prefill", "after all"),
                ("queued", "at last"),
            ]:
                self.assertEqual((answers[name][0], text_of(answers[name][2])), (200, expected))
            parts = events(answers["stream"][2])
            self.assertEqual("".join(p["choices"][0]["text"] for p in parts), "s" * 200)
            self.assertEqual(server.wait(), 0)
            for connection in connections.values():
                connection.close()

    def ask_while_draining(self, server, raw):
        """The answer to raw once the server knows that it is to end, which it says itself."""

        def is_draining():
            status, headers, body = server.ask("GET", "/health")
            return status == 503 and json.loads(body) == {"status": "draining"}

        server.wait_for(is_draining)
        self.assertEqual(server.ask("GET", "/v2/health/ready")[0], 503)
        self.assertEqual(server.ask("GET", "/v2/health/live")[0], 200)
        with server.connect() as connection:
            connection.sendall(raw)
            answer = read_response(connection)
            self.assertTrue(is_closed(connection))
            return answer

    def test_a_body_on_its_way(self):
        with Server(step_us=20000) as server:
            with server.connect() as busy, server.connect() as half:
                busy.sendall(post(prompt="echo:" + "b" * 60 + "|", max_tokens=100))
                raw = post()
                half.sendall(raw[:-5])
                server.wait_for(lambda: server.metric("centroid_sequences_running") == 1)
                server.terminate()
                server.wait_for(lambda: server.ask("GET", "/health")[0] == 503)
                half.sendall(raw[-5:])
                self.assertEqual(read_response(half)[0], 503)  # it was not accepted yet
                self.assertEqual(read_response(busy)[0], 200)
            self.assertEqual(server.wait(), 0)

    def test_time_is_over(self):
        """What is not finished in time is cut off, with words where they can still be said."""
        with Server("--drain-seconds", 1, "--sessions", 2, step_us=20000) as server:
            with server.connect() as whole, server.connect() as stream, server.connect() as queued:
                whole.sendall(post(max_tokens=8000))
                stream.sendall(post(max_tokens=8000, stream=True))
                self.assertIn(b" 200 ", stream.recv(64))
                queued.sendall(post(max_tokens=8000))
                server.wait_for(lambda: server.metric("centroid_sequences_waiting") == 1)
                server.terminate()
                self.assertEqual(server.wait(), 0)
                self.assertEqual(read_response(whole)[0], 503)
                self.assertEqual(read_response(queued)[0], 503)
                self.assertIn(b'"type":"server_error"', read_to_end(stream))

    def test_second_signal(self):
        with Server(step_us=20000) as server:
            with server.connect() as connection:
                connection.sendall(post(max_tokens=8000))
                server.wait_for(lambda: server.metric("centroid_sequences_running") == 1)
                server.terminate()
                server.wait_for(lambda: server.ask("GET", "/health")[0] == 503)
                server.terminate()
                self.assertNotEqual(server.wait(), 0)

    def test_client_that_leaves_meanwhile(self):
        with Server(step_us=20000) as server:
            with server.connect() as connection:
                connection.sendall(post(max_tokens=8000))
                server.wait_for(lambda: server.metric("centroid_sequences_running") == 1)
                server.terminate()
            self.assertEqual(server.wait(), 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
