"""centroid calibrate: scales beside a model's copy, and answers in integers with them."""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

from live_server import Server

CENTROID = os.environ["CENTROID"]
SUPPORT = pathlib.Path(__file__).resolve().parent.parent / "support"
TEXT = "is it the\n\nto and to\nthe of it is in the and of to\nin in in in\n"


class Calibrate(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.model = pathlib.Path(self.folder.name) / "model"
        self.text = pathlib.Path(self.folder.name) / "text.txt"
        self.text.write_text(TEXT)

    def tearDown(self):
        self.folder.cleanup()

    def copy(self, name):
        shutil.copytree(SUPPORT / name, self.model)

    def centroid(self, *args, code=0):
        done = subprocess.run([CENTROID, *map(str, args)], capture_output=True, text=True, timeout=120)
        self.assertEqual(done.returncode, code, done.stderr)
        return done.stdout if code == 0 else done.stderr

    def test_a_classifier_answers_in_integers(self):
        self.copy("encoders/bert_classifier")
        classify = ("classify", self.model, "--text", "to and to", "--json", "--activations")
        self.assertIn("centroid calibrate", self.centroid(*classify, "ibert", code=1))
        self.assertIn("4 lines", self.centroid("calibrate", self.model, "--text", self.text))
        scales = json.loads((self.model / "activation_scales.json").read_text())
        self.assertEqual(scales["format"], "centroid activation scales 1")
        weights = scales["weights"]
        for name in ("bert.encoder.layer.0.attention.self.query.weight", "bert.embeddings.LayerNorm.weight", "classifier.weight"):
            self.assertGreater(weights[name]["input"], 0)
            self.assertGreater(weights[name]["output"], 0)
        exact, found = (
            {label["label"]: label["logit"] for label in json.loads(self.centroid(*classify, mode))["labels"]}
            for mode in ("float", "ibert")
        )
        self.assertNotEqual(exact, found)
        for label in exact:
            self.assertAlmostEqual(exact[label], found[label], delta=0.3 * max(map(abs, exact.values())))

    def test_fewer_samples(self):
        self.copy("bert")
        self.assertIn("2 lines", self.centroid("calibrate", self.model, "--text", self.text, "--samples", 2))

    def test_a_server_answers_in_integers(self):
        self.copy("bert")
        self.centroid("calibrate", self.model, "--text", self.text)
        with Server("--activations=ibert", is_fake=False, models={"vectors": self.model}) as server:
            body = {"model": "vectors", "input": ["to and to", "is it the"]}
            status, _, together = server.ask("POST", "/v1/embeddings", body)
            self.assertEqual(status, 200, together)
            rows = [row["embedding"] for row in json.loads(together)["data"]]
            _, _, alone = server.ask("POST", "/v1/embeddings", {**body, "input": "is it the"})
            self.assertEqual(rows[1], json.loads(alone)["data"][0]["embedding"])

    def test_mistakes(self):
        self.copy("bert")
        empty = self.text.with_name("empty.txt")
        empty.write_text("\n\n")
        self.centroid("calibrate", self.model, code=2)
        self.centroid("calibrate", self.model, "--text", self.text, "--images", self.folder.name, code=2)
        self.assertIn("nothing to read", self.centroid("calibrate", self.model, "--text", empty, code=1))
        self.assertIn("give --text", self.centroid("calibrate", self.model, "--images", self.folder.name, code=1))
        (self.model / "activation_scales.json").write_text('{"format": "centroid activation scales 1", "weights": {}}')
        error = self.centroid("bench", self.model, "--activations", "ibert", code=1)
        self.assertIn("weights.embeddings.LayerNorm.weight", error)


if __name__ == "__main__":
    unittest.main()
