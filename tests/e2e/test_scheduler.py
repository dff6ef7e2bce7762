"""What the scheduler promises, against the real binary: the same bits whatever else goes on, keys and
values shared and given up. And over the fake engine: who goes first, deadlines, and what is said
before work is done."""

import contextlib
import json
import os
import pathlib
import random
import subprocess
import tempfile
import threading
import unittest

from live_server import FIXTURE, PATIENCE, Server, events, read_response, request

SYSTEM = "You are a helpful assistant who answers in one short sentence. "
WORDS = ["sea", "once", "a", "story", "of", "7"]
N_CROWD, N_LONG = 64, 8


def ask_all(server, bodies):
    """The decoded answers of all at once, after the first has begun."""
    answers = [None] * len(bodies)

    def ask(i):
        answers[i] = server.complete(**bodies[i])

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(len(bodies))]
    threads[0].start()
    server.wait_for(
        lambda: server.metric("centroid_sequences_running") > 0 or not threads[0].is_alive()
    )
    for thread in threads[1:]:
        thread.start()
    for thread in threads:
        thread.join(5 * PATIENCE)
    for status, answer in answers:
        assert status == 200, answer
    return [answer for _, answer in answers]


class BatchInvariance(unittest.TestCase):
    """A request's text and log probabilities are the same bits alone, in a crowd, with what others
    left or without, with any number of threads, any cut of its prompt, and after it has given its
    memory up."""

    seed = 20261122

    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory()
        cls.models = [FIXTURE, pathlib.Path(cls.directory.name) / "clustered"]
        command = [os.environ["CENTROID"], "compress", "--quiet", FIXTURE, cls.models[1]]
        subprocess.run(command, check=True, timeout=PATIENCE, stdout=subprocess.DEVNULL)
        print(f"seed {cls.seed}")
        chance = random.Random(cls.seed)

        def prompt(i):
            words = chance.choices(WORDS, k=chance.randrange(1, 12))
            return (SYSTEM if i % 2 else "") + " ".join(words)

        cls.bodies = [
            {
                "prompt": prompt(i),
                "max_tokens": chance.randrange(1, 60),
                "seed": chance.randrange(1 << 40),
                "temperature": chance.choice([0, 0.7, 1.5]),
                "logprobs": 5,
            }
            for i in range(N_CROWD - N_LONG)
        ]
        # These come together and never end by themselves: they fill all sessions there are.
        long = {"max_tokens": 120, "seed": 7, "logprobs": 5, "logit_bias": {"2": -100}}
        cls.long_bodies = [long | {"prompt": prompt(i)} for i in range(N_LONG)]
        cls.crowd = [long | {"prompt": [body["prompt"] for body in cls.long_bodies]}, *cls.bodies]

    @classmethod
    def tearDownClass(cls):
        cls.directory.cleanup()

    def test_batch_invariance(self):
        ways = [
            ("--threads", 1, "--prefix-cache", "off"),
            ("--threads", 2, "--prefix-cache", "on", "--token-ms", 1),
            # memory for one context and a half: most sequences give theirs up, again and again
            ("--threads", 3, "--prefix-cache", "on", "--memory", 150000),
            ("--threads", 2, "--prefix-cache", "off", "--memory", 150000, "--token-ms", 1),
        ]
        for model in self.models:
            with Server(*ways[0], is_fake=False, model=model) as server:
                alone = [
                    server.complete(**body)[1]["choices"][0]
                    for body in self.long_bodies + self.bodies
                ]
            for options in ways:
                with (
                    self.subTest(model=model.name, options=options),
                    Server(*options, is_fake=False, model=model) as server,
                ):
                    answers = ask_all(server, self.crowd)
                    together = [choice for answer in answers for choice in answer["choices"]]
                    for choice in together:
                        choice["index"] = 0
                    self.assertEqual(together, alone)
                    is_short = "--memory" in options
                    self.assertEqual(server.metric("centroid_preemptions_total") > 0, is_short)
                    self.assertEqual(
                        server.metric("centroid_prefix_cache_hit_tokens_total") > 0, "on" in options
                    )


class Memory(unittest.TestCase):
    def test_prefix_cache(self):
        with Server("--prefix-cache", "on", is_fake=False) as server:
            _, first = server.complete(prompt=SYSTEM + "Why?", max_tokens=8, seed=1)
            _, second = server.complete(prompt=SYSTEM + "Why?", max_tokens=8, seed=1)
            self.assertEqual(first["usage"]["prompt_tokens_details"]["cached_tokens"], 0)
            n_prompt = second["usage"]["prompt_tokens"]
            n_cached = second["usage"]["prompt_tokens_details"]["cached_tokens"]
            self.assertEqual(n_cached, n_prompt - 1)
            self.assertEqual(first["choices"], second["choices"])
            # what follows an answer begins as the answer did
            text = SYSTEM + "Why?" + first["choices"][0]["text"]
            _, third = server.complete(prompt=text + " And then?", max_tokens=8)
            self.assertGreaterEqual(
                third["usage"]["prompt_tokens_details"]["cached_tokens"], n_prompt - 1
            )
            # all choices of a prompt read it once
            _, choices = server.complete(prompt="Once upon a time " * 3, n=4, max_tokens=1, seed=2)
            n_prompt_all = server.metric("centroid_prefix_cache_queried_tokens_total")
            self.assertEqual(choices["usage"]["prompt_tokens_details"]["cached_tokens"], 0)
            n_hit = server.metric("centroid_prefix_cache_hit_tokens_total")
            self.assertGreaterEqual(n_hit, 3 * (choices["usage"]["prompt_tokens"] - 1))
            self.assertLess(n_hit, n_prompt_all)

    def test_prefix_cache_off(self):
        with Server("--prefix-cache", "off", is_fake=False) as server:
            for _ in range(2):
                _, answer = server.complete(prompt=SYSTEM, max_tokens=2)
                self.assertEqual(answer["usage"]["prompt_tokens_details"]["cached_tokens"], 0)
            self.assertEqual(pages(server)["kept"], 0)

    def test_memory_stays_below_its_ceiling(self):
        for kv, page_bytes in (("f16", 24576), ("int8", 13824)):
            with self.subTest(kv=kv), Server(
                "--memory", 150000, "--kv", kv, is_fake=False
            ) as server:
                for i in range(20):
                    server.complete(prompt=f"{i} is a number", max_tokens=80)
                    counts = pages(server)
                    self.assertEqual(sum(counts.values()), 150000 // page_bytes)
                self.assertEqual(counts["held"], 0)
                self.assertGreater(counts["kept"], 0)

    def test_what_can_never_fit(self):
        with Server("--memory", 50) as server:
            status, answer = server.complete(prompt="x" * 20, max_tokens=31)
            self.assertEqual(status, 413)
            for number in ("20", "31", "50"):
                self.assertIn(number, answer["error"]["message"])
            self.assertEqual(server.complete(prompt="x" * 20, max_tokens=30)[0], 200)


def pages(server):
    text = server.ask("GET", "/metrics")[2].decode()
    mark = 'centroid_kv_pages{model="tiny",state="'
    lines = [line[len(mark) :].split('"} ') for line in text.splitlines() if line.startswith(mark)]
    return {state: int(n) for state, n in lines}


class Order(unittest.TestCase):
    """One session; a stream holds it while others line up."""

    def finish_order(self, *lined_up):
        """The names of requests in the order in which they ended: (name, fields, headers)."""
        order = []
        lock = threading.Lock()

        def ask(server, name, fields, headers):
            body = {"model": "tiny", "prompt": "x", "max_tokens": 3} | fields
            status, _, _ = server.ask("POST", "/v1/completions", body, headers)
            with lock:
                order.append(name if status == 200 else (name, status))

        with Server("--sessions", 1, step_us=5000) as server:
            with self.holding(server):
                threads = []
                for n, (name, fields, headers) in enumerate(lined_up):
                    args = (server, name, fields, headers)
                    threads.append(threading.Thread(target=ask, args=args))
                    threads[-1].start()
                    server.wait_for(lambda: server.metric("centroid_sequences_waiting") == n + 1)
            for thread in threads:
                thread.join(PATIENCE)
        return order

    @staticmethod
    @contextlib.contextmanager
    def holding(server):
        body = {"model": "tiny", "prompt": "x", "max_tokens": 8000, "priority": -100}
        with server.connect() as connection:
            connection.sendall(request("POST", "/v1/completions", body))
            server.wait_for(lambda: server.metric("centroid_sequences_running") == 1)
            yield

    def test_priority(self):
        names = self.finish_order(
            ("low", {"priority": 9}, ()), ("plain", {}, ()), ("high", {"priority": -9}, ())
        )
        self.assertEqual(names, ["high", "plain", "low"])

    def test_clients_take_turns(self):
        many, few = ("Authorization: Bearer many",), ("Authorization: Bearer few",)
        names = self.finish_order(
            *[("many", {"max_tokens": 40}, many)] * 4, *[("few", {"max_tokens": 40}, few)] * 2
        )
        self.assertLess(max(i for i, name in enumerate(names) if name == "few"), 4, names)

    def test_higher_priority_takes_the_session(self):
        """The running one is continued afterwards, with the text that it would have had."""
        long = {"model": "tiny", "prompt": "tell", "seed": 3, "max_tokens": 200}
        long |= {"priority": 5, "stream": True}
        with Server("--sessions", 1, step_us=2000) as server:
            _, _, text = server.ask("POST", "/v1/completions", long)
            alone = "".join(part["choices"][0]["text"] for part in events(text))
            with server.connect() as connection:
                connection.sendall(request("POST", "/v1/completions", long))
                server.wait_for(lambda: server.metric("centroid_sequences_running") == 1)
                status, answer = server.complete(prompt="echo:quick|")
                self.assertEqual((status, answer["choices"][0]["text"]), (200, "quick"))
                self.assertEqual(server.metric("centroid_preemptions_total"), 1)
                _, _, text = read_response(connection)
            self.assertEqual("".join(part["choices"][0]["text"] for part in events(text)), alone)


class Deadlines(unittest.TestCase):
    """A token takes the fake engine a millisecond, as it says."""

    def test_what_cannot_be_met_is_refused_at_once(self):
        with Server() as server:
            status, answer = server.complete(prompt="x" * 3000, max_tokens=10, timeout=1)
            self.assertEqual(status, 504)
            self.assertIn("cannot be met", answer["error"]["message"])
            self.assertEqual(server.metric("centroid_steps_total"), 0)
            self.assertEqual(server.complete(prompt="x" * 300, max_tokens=10, timeout=50)[0], 200)

    def test_what_is_not_met_ends(self):
        with Server(step_us=20000) as server:
            status, answer = server.complete(prompt="x", max_tokens=8000, timeout=0.2)
            self.assertEqual((status, answer["error"]["message"]), (504, "deadline exceeded"))
            self.assertGreater(server.metric("centroid_steps_total"), 0)

    def test_fields(self):
        with Server() as server:
            for fields in ({"timeout": 0}, {"timeout": "1"}, {"priority": 1.5}, {"priority": 101}):
                status, answer = server.complete(**fields)
                self.assertEqual((status, answer["error"]["param"]), (400, *fields))


class Estimates(unittest.TestCase):
    def estimate(self, server, **fields):
        status, _, text = server.ask("POST", "/v1/estimate", {"model": "tiny"} | fields)
        return status, json.loads(text)

    def test_of_what_is_known(self):
        """The fake engine takes a millisecond and a microjoule for each token, always."""
        with Server() as server:
            status, answer = self.estimate(server, prompt="x" * 200, max_tokens=101)
            self.assertEqual((status, answer["object"]), (200, "estimate"))
            self.assertEqual(
                [answer[name] for name in ("prompt_tokens", "cached_tokens", "max_output_tokens")],
                [200, 0, 101],
            )
            cost = answer["centroid"]
            self.assertEqual(cost["queue_ms"], 0)
            self.assertAlmostEqual(cost["prefill_ms"], 200, delta=4)
            self.assertAlmostEqual(cost["decode_ms"], 100, delta=2)
            self.assertAlmostEqual(cost["energy_mj"]["prefill"], 0.2, delta=0.004)
            self.assertAlmostEqual(cost["energy_mj"]["decode"], 0.1, delta=0.002)
            self.assertEqual(server.metric("centroid_steps_total"), 0)
            # what is known to the engine is not read again
            server.complete(prompt="x" * 150, max_tokens=1)
            _, answer = self.estimate(server, prompt="x" * 200, max_tokens=1)
            self.assertEqual(answer["cached_tokens"], 150)
            self.assertAlmostEqual(answer["centroid"]["prefill_ms"], 50, delta=2)
            messages = [{"role": "user", "content": "hi"}]
            status, answer = self.estimate(server, messages=messages, n=2)
            self.assertEqual((status, answer["max_output_tokens"]), (200, 2 * (8192 - 7)))

    def test_behind_others(self):
        with Server("--sessions", 1, step_us=1000) as server, Order.holding(server):
            _, answer = self.estimate(server, prompt="x", max_tokens=1)
            self.assertGreater(answer["centroid"]["queue_ms"], 100)
            _, first = self.estimate(server, prompt="x", max_tokens=1, priority=-100)
            self.assertGreater(first["centroid"]["queue_ms"], 100)

    def test_of_what_is_not_offered(self):
        with Server() as server:
            for fields, param in (
                ({"input": "text"}, "model"),
                ({}, "prompt"),
                ({"prompt": "x", "temperature": 9}, "temperature"),
                ({"prompt": "x", "messages": []}, "prompt"),
            ):
                status, answer = self.estimate(server, **fields)
                self.assertEqual((status, answer["error"]["param"]), (400, param))

    def test_while_full(self):
        """An estimate needs no place in the queue, which is when it is wanted most."""
        with Server("--sessions", 1, "--queue", 0, step_us=1000) as server, Order.holding(server):
            status, headers, _ = server.ask(
                "POST", "/v1/completions", {"model": "tiny", "prompt": "x"}
            )
            self.assertEqual(status, 429)
            self.assertIn(int(headers["retry-after"]), range(1, 61))
            self.assertEqual(self.estimate(server, prompt="x")[0], 200)


if __name__ == "__main__":
    unittest.main(verbosity=2)
