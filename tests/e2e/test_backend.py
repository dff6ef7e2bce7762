"""Models on the simulated accelerator: the same answers as from the CPU, and what they would have cost."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

from live_server import Server

SUPPORT = pathlib.Path(__file__).resolve().parent.parent / "support"
CENTROID = os.environ["CENTROID"]
PHASE = {"cycles", "host_cycles", "ms", "macs", "utilisation", "dram_bytes", "energy_mj"}
PARTS = {"mac", "sram", "norm", "dram", "host"}
MODELS = {"text": SUPPORT / "fixture", "vectors": SUPPORT / "bert"}


def priced(model, *options):
    """What `centroid gemmini model` says of one step: cycles and bytes."""
    command = [CENTROID, "gemmini", "model", MODELS[model], "--dynamic", "--json", *map(str, options)]
    report = json.loads(subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout)
    together = report["together"]
    return report["cycles"], together["dram_read_bytes"] + together["dram_write_bytes"]


class Backend(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server("--backend", "gemmini", is_fake=False, models=MODELS)
        cls.plain = Server("--activations", "w8a8", "--kv", "int8", is_fake=False, models=MODELS)

    @classmethod
    def tearDownClass(cls):
        with cls.server, cls.plain:
            pass

    def post(self, server, path, **body):
        status, _, answer = server.ask("POST", path, body)
        return status, json.loads(answer)

    def complete(self, server, prompt=(5, 6, 7, 8, 9), **body):
        body = {"model": "text", "prompt": list(prompt), "max_tokens": 8, "temperature": 0, "logprobs": 5, **body}
        status, answer = self.post(server, "/v1/completions", **body)
        self.assertEqual(status, 200, answer)
        return answer

    def check_phase(self, phase):
        self.assertEqual(phase.keys(), PHASE)
        energy = phase["energy_mj"]
        self.assertEqual(energy.keys(), PARTS | {"total"})
        self.assertAlmostEqual(sum(energy[part] for part in PARTS), energy["total"], delta=1e-4 * energy["total"])
        self.assertLessEqual(phase["host_cycles"], phase["cycles"])
        self.assertAlmostEqual(phase["ms"], phase["cycles"] * 1e-6, delta=1e-4 * phase["ms"])
        self.assertAlmostEqual(phase["utilisation"], phase["macs"] / phase["cycles"] / 256, delta=1e-5)

    def test_the_same_answer_wherever_it_runs(self):
        there, here, plain = (
            self.complete(self.server, backend="gemmini"),
            self.complete(self.server, backend="cpu"),
            self.complete(self.plain),
        )
        self.assertEqual(there["choices"], here["choices"])
        self.assertEqual(there["choices"], plain["choices"])
        self.assertNotIn("simulated", here["centroid"])
        self.assertNotIn("simulated", plain["centroid"])
        texts = {"model": "vectors", "input": ["a dog", "the cat sat on the mat"]}
        vectors = [self.post(server, "/v1/embeddings", **texts)[1]["data"] for server in (self.server, self.plain)]
        self.assertEqual(vectors[0], vectors[1])

    def test_costs_are_those_of_the_simulation(self):
        simulated = self.complete(self.server, prompt=range(20, 52))["centroid"]["simulated"]
        self.assertEqual((simulated["backend"], simulated["clock_ghz"]), ("gemmini", 1))
        self.check_phase(simulated["prefill"])
        self.check_phase(simulated["decode"])
        cycles, n_bytes = priced("text", "--tokens", 32)
        self.assertEqual(simulated["prefill"]["cycles"], cycles)
        self.assertEqual(simulated["prefill"]["dram_bytes"], n_bytes)
        cycles, n_bytes = priced("text", "--tokens", 1, "--depth", 47)  # 33 to 39 keys: three blocks of 16
        self.assertEqual(simulated["decode"]["cycles"], 7 * cycles)
        self.assertEqual(simulated["decode"]["dram_bytes"], 7 * n_bytes)

    def test_an_encoder_costs_one_step(self):
        status, answer = self.post(self.server, "/v1/embeddings", model="vectors", input=[[2, 7, 8, 9, 3]])
        self.assertEqual(status, 200, answer)
        simulated = answer["centroid"]["simulated"]
        self.check_phase(simulated["prefill"])
        self.assertEqual(simulated["prefill"]["cycles"], priced("vectors", "--tokens", 5)[0])
        self.assertEqual(simulated["decode"]["cycles"], 0)

    def test_streams_tell_it_at_the_end(self):
        body = {"model": "text", "prompt": [5, 6, 7], "max_tokens": 3, "stream": True}
        status, _, answer = self.server.ask("POST", "/v1/completions", body)
        self.assertEqual(status, 200)
        events = [json.loads(line[6:]) for line in answer.decode().splitlines() if line.startswith("data: {")]
        self.check_phase(events[-1]["centroid"]["simulated"]["decode"])

    def test_metrics_sum_it_up(self):
        def cycles():
            _, _, text = self.server.ask("GET", "/metrics")
            lines = dict(line.rsplit(" ", 1) for line in text.decode().splitlines() if not line.startswith("#"))
            return float(lines['centroid_simulated_cycles_total{model="text",phase="decode"}'])

        before = cycles()
        answer = self.complete(self.server)
        self.assertAlmostEqual(
            cycles() - before, answer["centroid"]["simulated"]["decode"]["cycles"], delta=1
        )
        _, _, text = self.plain.ask("GET", "/metrics")
        self.assertNotIn(b"simulated", text)

    def test_models_say_what_they_run_on(self):
        _, _, text = self.server.ask("GET", "/v1/models/text")
        self.assertEqual(json.loads(text)["centroid"]["simulated"], "gemmini")
        _, _, text = self.plain.ask("GET", "/v1/models/text")
        self.assertIsNone(json.loads(text)["centroid"]["simulated"])

    def test_wrong_requests(self):
        for server, value, message in (
            (self.server, "tpu", '"cpu" or "gemmini"'),
            (self.server, 7, '"cpu" or "gemmini"'),
            (self.plain, "gemmini", "serve --backend"),
        ):
            status, answer = self.post(server, "/v1/completions", model="text", prompt="a", backend=value)
            self.assertEqual(status, 400, answer)
            self.assertEqual(answer["error"]["param"], "backend")
            self.assertIn(message, answer["error"]["message"])

    def test_wrong_options(self):
        def refused(*options):
            command = [CENTROID, "serve", "--model", f"m={MODELS['text']}", "--port", "0", *options]
            done = subprocess.run(command, capture_output=True, text=True, timeout=60)
            self.assertNotEqual(done.returncode, 0)
            return done.stderr

        self.assertIn("cpu, gemmini", refused("--backend", "tpu"))
        self.assertIn("no model is called x", refused("--backend", "x=gemmini"))
        self.assertIn("--gemmini-preset", refused("--gemmini-preset", "ibert"))
        self.assertIn("no preset is called 'nope'", refused("--backend", "gemmini", "--gemmini-preset", "nope"))
        self.assertIn("float", refused("--backend", "m=gemmini", "--activations", "float"))
        with tempfile.NamedTemporaryFile("w", suffix=".ini") as file:
            file.write("[mem]\nlatency = fast\n")
            file.flush()
            self.assertIn(f"{file.name}:2", refused("--backend", "gemmini", "--gemmini-config", file.name))

    def test_integers_throughout(self):
        texts = {"model": "vectors", "input": ["a dog", "the cat sat on the mat"]}
        with tempfile.TemporaryDirectory() as folder:
            model = pathlib.Path(folder) / "bert"
            shutil.copytree(MODELS["vectors"], model)
            text = pathlib.Path(folder) / "text.txt"
            text.write_text("the dog and the cat\na mat to sit on\n")
            subprocess.run([CENTROID, "calibrate", model, "--text", text], check=True, timeout=60, capture_output=True)
            models = {"vectors": model, "plain": MODELS["text"]}
            with (
                Server("--backend", "vectors=gemmini:ibert", is_fake=False, models=models) as server,
                Server("--activations", "ibert", is_fake=False, models={"vectors": model}) as plain,
            ):
                there = self.post(server, "/v1/embeddings", **texts)[1]
                here = self.post(server, "/v1/embeddings", backend="cpu", **texts)[1]
                self.assertEqual(there["data"], here["data"])
                self.assertEqual(there["data"], self.post(plain, "/v1/embeddings", **texts)[1]["data"])
                simulated = there["centroid"]["simulated"]
                self.assertEqual(simulated["backend"], "gemmini:ibert")
                self.check_phase(simulated["prefill"])
                self.assertGreater(simulated["prefill"]["energy_mj"]["norm"], 0)
                status, answer = self.post(server, "/v1/embeddings", backend="gemmini", **texts)
                self.assertEqual(status, 400, answer)
                self.assertIn('"gemmini:ibert"', answer["error"]["message"])
                status, answer = self.post(server, "/v1/completions", model="plain", prompt="a", max_tokens=1)
                self.assertNotIn("simulated", answer["centroid"])

    def test_report_of_a_run(self):
        with tempfile.TemporaryDirectory() as folder:
            page = pathlib.Path(folder) / "out.html"
            command = [CENTROID, "run", MODELS["text"], "--raw", "--prompt", "the", "--max-tokens", "20", "--cost"]
            done = subprocess.run(
                [*command, "--backend", "gemmini", "--report", page], capture_output=True, text=True, timeout=60
            )
            self.assertEqual(done.returncode, 0, done.stderr)
            text = page.read_text()
            cycles = [int(n) for n in re.findall(r"\[gemmini, \w+: (\d+) cycles", done.stderr)]
            self.assertEqual(len(cycles), 2)
            for n in cycles:
                self.assertIn(f"{n:,}", text)
            self.assertRegex(text, r"(?i)decode of \d+ tokens, the last at depth \d+")
            done = subprocess.run([*command, "--report", page], capture_output=True, text=True, timeout=60)
            self.assertEqual(done.returncode, 1)
            self.assertIn("--backend", done.stderr)

    def test_run_and_classify(self):
        command = [CENTROID, "run", MODELS["text"], "--raw", "--prompt", "the", "--max-tokens", "4", "--cost"]
        done = subprocess.run([*command, "--backend", "gemmini"], capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stderr, r"\[gemmini, prefill: \d+ cycles, .*\n\[gemmini, decode: \d+ cycles")
        plain = subprocess.run(
            [*command, "--activations", "w8a8", "--kv", "int8"], capture_output=True, text=True, timeout=60
        )
        self.assertEqual(done.stdout, plain.stdout)
        images = sorted((SUPPORT.parent / "golden" / "images").glob("*.png"))
        command = [CENTROID, "classify", SUPPORT / "vision" / "vit", "--image", images[0], "--json"]
        done = subprocess.run([*command, "--backend", "gemmini"], capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertGreater(json.loads(done.stdout)["simulated"]["cycles"], 0)


if __name__ == "__main__":
    unittest.main()
