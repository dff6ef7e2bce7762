"""Several models in one server: each has its own name, queue and figures, and what one answers does not
depend on the others."""

import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

from live_server import FIXTURE, PATIENCE, Server, request

BERT = FIXTURE.parent / "bert"
BOTH = {"text": FIXTURE, "vectors": BERT}
PROMPTS = ["to be or not", "the cat is on it", "as is", "was"]


def ask(server, path, **body):
    status, _, answer = server.ask("POST", path, body)
    return status, json.loads(answer)


def work(server, model, i):
    """What request i to a model says, without what it took."""
    prompt = PROMPTS[i % len(PROMPTS)] * (1 + i % 3)
    if model == "text":
        status, answer = ask(
            server, "/v1/completions", model=model, prompt=prompt, max_tokens=24, temperature=1, seed=i, logprobs=5
        )
        return status, answer["choices"]
    status, answer = ask(server, "/v1/embeddings", model=model, input=[prompt, "is"])
    return status, answer["data"]


def run_all(server, models, n):
    """n requests to each of the models at once: {(model, i): what it said}"""
    jobs = [(model, i) for i in range(n) for model in models]
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        return dict(zip(jobs, pool.map(lambda job: work(server, *job), jobs)))


def labelled(server, name):
    """{model: value} of a metric."""
    text = server.ask("GET", "/metrics")[2].decode()
    return {m: float(v) for m, v in re.findall(rf'^{name}{{model="([^"]*)"}} (\S+)$', text, re.MULTILINE)}


class BothKinds(unittest.TestCase):
    """The real engine: one model that makes text and one that makes vectors."""

    def test_answers_have_the_bits_of_a_model_alone(self):
        n = 24
        with Server("--threads", 2, is_fake=False, models=BOTH) as server:
            together = run_all(server, BOTH, n)
            tokens = labelled(server, "centroid_prompt_tokens_total")
            self.assertEqual(labelled(server, "centroid_request_seconds_count"), dict.fromkeys(BOTH, n))
        for model, path in BOTH.items():
            with Server("--threads", 2, is_fake=False, models={model: path}) as server:
                alone = run_all(server, [model], n)
                self.assertEqual(labelled(server, "centroid_prompt_tokens_total"), {model: tokens[model]})
            for job, (status, answer) in alone.items():
                self.assertEqual(status, 200, answer)
                self.assertEqual(together[job], (status, answer), job)

    def test_each_does_what_it_is_for(self):
        with Server(is_fake=False, models=BOTH) as server:
            status, _, text = server.ask("GET", "/v1/models")
            tasks = {m["id"]: m["centroid"]["tasks"] for m in json.loads(text)["data"]}
            self.assertEqual(list(tasks), ["text", "vectors"])
            self.assertIn("completions", tasks["text"])
            self.assertEqual(tasks["vectors"], ["embeddings", "rerank"])
            for name in BOTH:
                status, _, text = server.ask("GET", f"/v1/models/{name}")
                self.assertEqual((status, json.loads(text)["id"]), (200, name))
            status, answer = ask(server, "/v1/completions", model="vectors", prompt="a")
            self.assertEqual((status, answer["error"]["code"]), (400, "unsupported_value"))
            status, answer = ask(server, "/v1/embeddings", model="text", input="a")
            self.assertEqual((status, answer["error"]["code"]), (400, "unsupported_value"))
            for model, body in [("text", {"prompt": "a"}), ("vectors", {"input": "a"})]:
                status, answer = ask(server, "/v1/estimate", model=model, **body)
                self.assertEqual((status, answer["model"]), (200, model))

    def test_drain_waits_for_both(self):
        bodies = {
            "/v1/completions": {"model": "text", "prompt": "was", "max_tokens": 40},
            "/v1/embeddings": {"model": "vectors", "input": ["the cat is on it"] * 40},
        }
        with Server("--threads", 2, is_fake=False, models=BOTH) as server:
            with concurrent.futures.ThreadPoolExecutor(8) as pool:
                paths = list(bodies) * 4
                answers = pool.map(lambda path: server.ask("POST", path, bodies[path]), paths)
                server.wait_for(lambda: all(labelled(server, "centroid_steps_total").values()))
                server.terminate()
                for path, (status, _, _) in zip(paths, answers):
                    self.assertIn(status, (200, 503), path)  # 503: what came after the signal
            self.assertEqual(server.wait(), 0)


class Names(unittest.TestCase):
    def test_unknown_and_missing(self):
        with Server(models={"one": "fake", "two": "fake"}) as server:
            status, answer = ask(server, "/v1/completions", model="three", prompt="a")
            self.assertEqual((status, answer["error"]["code"]), (404, "model_not_found"))
            for name in ("three", "one", "two"):
                self.assertIn(f'"{name}"', answer["error"]["message"])
            status, answer = ask(server, "/v1/completions", prompt="a")
            self.assertEqual((status, answer["error"]["code"]), (400, "missing_field"))
            self.assertEqual(answer["error"]["param"], "model")
            self.assertEqual(server.ask("GET", "/v1/models/three")[0], 404)

    def test_more_names_than_a_message_holds(self):
        names = [f"{i}-{'x' * 100}" for i in range(8)]
        with Server(models=dict.fromkeys(names, "fake")) as server:
            status, answer = ask(server, "/v1/completions", model="y", prompt="a")
            self.assertEqual(status, 404)
            self.assertIn(names[0], answer["error"]["message"])
            self.assertTrue(answer["error"]["message"].endswith(", ..."))

    def test_wrong_command_lines(self):
        for options, words in [
            (["--model", "a=x", "--model", "a=y"], ["--model a=y", "x"]),
            (["--model", "x/a", "--model", "y/a.gguf"], ["--model y/a.gguf", "x/a"]),
            (["--models", str(BERT)], ["--models", str(BERT), "a model itself"]),
            (["--models", "missing"], ["--models missing", "No such file"]),
            ([], ["--model", "--models"]),
        ]:
            result = subprocess.run(
                [os.environ["CENTROID"], "serve", *options], capture_output=True, timeout=PATIENCE
            )
            self.assertEqual(result.returncode, 2, options)
            for word in words:
                self.assertIn(word, result.stderr.decode())

    def test_a_model_that_cannot_be_loaded(self):
        result = subprocess.run(
            [os.environ["CENTROID"], "serve", "--port=0", f"--model=good={BERT}", "--model=bad=nowhere"],
            capture_output=True,
            timeout=PATIENCE,
        )
        self.assertEqual((result.returncode, result.stdout), (1, b""))
        self.assertIn("bad: nowhere", result.stderr.decode())

    def test_a_folder(self):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            shutil.copytree(BERT, root / "bert")
            shutil.copy(FIXTURE / "fixture.gguf", root / "tiny.gguf")
            (root / "notes").mkdir()
            server = Server(f"--models={folder}", is_fake=False, models={"first": FIXTURE}, is_awaited=False)
            with server:
                server.models = {"first": FIXTURE, "bert": BERT, "tiny": FIXTURE}
                server.await_address()
                for model in ("first", "tiny"):
                    self.assertEqual(ask(server, "/v1/completions", model=model, prompt="a")[0], 200)
                self.assertEqual(ask(server, "/v1/embeddings", model="bert", input="a")[0], 200)


class Limits(unittest.TestCase):
    def test_each_has_its_own_queue(self):
        with Server("--sessions=1", "--queue=1", models={"one": "fake", "two": "fake"}, step_us=20000) as server:
            long = {"prompt": "x", "max_tokens": 8000}
            held = [server.connect() for _ in range(2)]
            for connection in held:
                connection.sendall(request("POST", "/v1/completions", {"model": "one", **long}))
            server.wait_for(lambda: labelled(server, "centroid_sequences_waiting") == {"one": 1, "two": 0})
            status, answer = ask(server, "/v1/completions", model="one", **long)
            self.assertEqual((status, answer["error"]["code"]), (429, "queue_full"))
            status, answer = ask(server, "/v1/completions", model="two", prompt="echo:free|")
            self.assertEqual((status, answer["choices"][0]["text"]), (200, "free"))
            for connection in held:
                connection.close()
            server.wait_idle()

    def test_they_share_the_memory(self):
        with Server("--memory=100", models={"one": "fake", "two": "fake"}) as server:
            for model in ("one", "two"):
                status, answer = ask(server, "/v1/completions", model=model, prompt="x" * 20, max_tokens=31)
                self.assertEqual(status, 413)
                self.assertIn(" 50 ", answer["error"]["message"])

    def test_drain_waits_for_all(self):
        with Server(models={"one": "fake", "two": "fake"}, step_us=20000) as server:
            with concurrent.futures.ThreadPoolExecutor(2) as pool:
                prompt = "echo:" + "d" * 60 + "|"
                answers = {
                    model: pool.submit(ask, server, "/v1/completions", model=model, prompt=prompt, max_tokens=80)
                    for model in ("one", "two")
                }
                running = {"one": 1, "two": 1}
                server.wait_for(lambda: labelled(server, "centroid_sequences_running") == running)
                server.terminate()
                for answer in answers.values():
                    status, body = answer.result()
                    self.assertEqual((status, body["choices"][0]["text"]), (200, "d" * 60))
            self.assertEqual(server.wait(), 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
