"""centroid gemmini model: what a step of the tests' small models costs on the simulated accelerator."""

import json
import os
import pathlib
import subprocess
import unittest

CENTROID = os.environ["CENTROID"]
SUPPORT = pathlib.Path(__file__).resolve().parent.parent / "support"


def macs_of_products(config, tokens):
    """Of a llama: what each token multiplies by, but for attention; the answer is one token's."""
    e, f, d = config["hidden_size"], config["intermediate_size"], config["hidden_size"] // config["num_attention_heads"]
    layer = e * (config["num_attention_heads"] + 2 * config["num_key_value_heads"]) * d + e * e + 3 * e * f
    return tokens * config["num_hidden_layers"] * layer + e * config["vocab_size"]


class Model(unittest.TestCase):
    def run_model(self, name, *args, code=0):
        command = [CENTROID, "gemmini", "model", SUPPORT / name, "--preset", "ibert", *map(str, args)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, code, done.stderr)
        return done.stdout if code == 0 else done.stderr

    def model(self, name, *args):
        return json.loads(self.run_model(name, "--json", *args))

    def test_a_prompt_and_a_token(self):
        config = json.loads((SUPPORT / "fixture" / "config.json").read_text())
        heads, layers, d = config["num_attention_heads"], config["num_hidden_layers"], config["hidden_size"] // config["num_attention_heads"]
        for tokens, depth in ((16, 0), (1, 31)):  # keys in whole blocks: the array works by those
            report = self.model("fixture", "--tokens", tokens, "--depth", depth)
            attention = 2 * tokens * (tokens + depth) * d * heads * layers
            self.assertEqual(report["together"]["macs"], macs_of_products(config, tokens) + attention)
            names = {op["name"]: op for op in report["operators"]}
            self.assertTrue(names["gate"]["on_host"] and names["rotary"]["on_host"])
            self.assertEqual(sum(op["cycles"] for op in report["operators"]), report["together"]["cycles"])

    def test_encoders_and_images(self):
        for name in ("bert", "encoders/mpnet", "vision/vit", "vision/dinov2"):
            report = self.model(name, "--tokens", 20)
            names = {op["name"] for op in report["operators"]}
            self.assertIn("layernorm", names)
            self.assertTrue(any(name.endswith("+softmax") for name in names), names)
            self.assertGreater(report["cycles_with_host_normalisation"], report["cycles"])

    def test_table(self):
        self.assertRegex(self.run_model("bert", "--tokens", 8), r"(?m)^together .*\n\n\d+ cycles, ")

    def test_wrong_use(self):
        self.assertIn("--depth 3", self.run_model("bert", "--depth", 3, code=1))
        self.assertIn("context", self.run_model("fixture", "--tokens", 16000, code=1))
        self.assertIn("no-such-model", self.run_model("no-such-model", code=1))


if __name__ == "__main__":
    unittest.main()
