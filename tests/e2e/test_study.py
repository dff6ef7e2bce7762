"""centroid study clustering on the small encoder: its tables, that their published columns are those of
docs/study.md, and that a run goes on where it was. Needs Python alone."""

import csv
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest
import xml.etree.ElementTree

CENTROID = os.environ["CENTROID"]
TESTS = pathlib.Path(__file__).resolve().parent.parent
ENCODER = TESTS / "support" / "bert"
VISION = TESTS / "support" / "vision" / "vit"
PAGE = TESTS.parent / "docs" / "study.md"
PAIRS = """sentence1,sentence2,score
A man is eating food.,A man is eating a meal.,4.2
A plane is taking off.,An air plane is taking off.,5.0
"A woman, who sings, walks.",A dog runs.,0.5
A cat sits.,The sky is blue today.,0.0
"""


def study(*arguments):
    return subprocess.run([CENTROID, "study", *map(str, arguments)], capture_output=True, text=True,
                          timeout=500)


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def table_of_page():
    """{id: (relation, published, unit, section, verdict, implied)} of the page's table."""
    found = {}
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        name = re.fullmatch(r"`(\w+)`", cells[0])
        if name:
            found[name[1]] = tuple(cells[1:7])
    return found


class Study(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        self.out = self.root / "out"
        self.pairs = self.root / "pairs.csv"
        self.pairs.write_text(PAIRS)

    def run_study(self, *options, model=ENCODER):
        result = study("clustering", model, "--out", self.out, "--rounds", 1, "--tokens", 8, *options)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(result.stderr, "")
        return result

    def test_tables_and_figures(self):
        self.run_study("--task", f"sts:{self.pairs}", "--clusters", "16,64,256")
        points = rows(self.out / "sweep.csv")
        self.assertEqual(len(points), 1 + 5 * 3)
        by_key = {(p["scope"], p["centroids"], p["scale"], int(p["clusters"])): p for p in points}
        base = points[0]
        self.assertEqual((base["scope"], base["loss"]), ("-", "0"))
        for key, point in by_key.items():
            scope, centroids, scale, clusters = key
            self.assertAlmostEqual(float(point["loss"]),
                                   100 * (float(base["score"]) - float(point["score"])), 4)
            self.assertGreater(float(point["latency_ms"]), 0)
            self.assertRegex(point["energy_source"], "^(rapl|estimate:.+)$")
            if clusters == 0:
                continue
            # the published method has indices of 8 bits, whatever the clusters
            bits = 8 if centroids == "float" else {16: 4, 64: 6, 256: 8}[clusters]
            self.assertEqual(int(point["index_bits"]), bits)
            self.assertLess(float(point["request_bytes"]), float(base["request_bytes"]))
            if scope == "tensor" and scale == "none":
                shared = by_key["model", centroids, scale, clusters]
                self.assertLessEqual(float(point["mse"]), float(shared["mse"]))
            if clusters > 16:
                fewer = by_key[scope, centroids, scale, clusters // 4]
                self.assertLess(float(point["mse"]), float(fewer["mse"]))
            losses = {16: ("", ""), 64: ("0.1", "0.3"), 256: ("0", "0")}[clusters]
            self.assertEqual((point["published_deit"], point["published_vit"]), losses)
        for name in ("score", "error", "breakdown", "platforms"):
            root = xml.etree.ElementTree.parse(self.out / f"{name}.svg").getroot()
            self.assertTrue(root.tag.endswith("svg"))
            self.assertNotIn("nan", (self.out / f"{name}.svg").read_text())
        self.assertFalse((self.out / "point").exists())

    def test_images(self):
        photos = self.root / "photos"
        photos.mkdir()
        for i, label in enumerate(("cat", "dog", "ship", "truck", "lily of the valley")):
            shutil.copy(TESTS / "golden" / "images" / "420.jpg", photos / f"{label}_{i}.jpg")
        self.run_study("--task", f"images:{photos}", "--clusters", "64", model=VISION)
        for point in rows(self.out / "sweep.csv"):
            self.assertEqual((float(point["score"]), float(point["score_top5"])), (0.2, 1))
            self.assertEqual((float(point["loss"]), float(point["loss_top5"])), (0, 0))
        top5 = [f["ours"] for f in rows(self.out / "figures.csv") if f["id"].endswith("top5")]
        self.assertEqual(top5, ["0", "0"])
        # an image is a class token and 4 x 4 patches
        self.assertIn("tokens 17\n", (self.out / "settings.txt").read_text())

    def test_published_columns_are_those_of_the_page(self):
        self.run_study("--clusters", "64")
        figures = rows(self.out / "figures.csv")
        ours = {f["id"]: tuple(f[column] for column in ("relation", "published", "unit", "section",
                                                        "verdict", "implied_memory_share"))
                for f in figures}
        self.assertEqual(ours, table_of_page())
        values = {f["id"]: f["ours"] for f in figures}
        self.assertEqual((values["table_64"], values["table_256"], values["speedup_ideal"]),
                         ("256", "1", "4"))
        self.assertEqual(values["deit_parameters"], "86.5677")
        for platform in rows(self.out / "platforms.csv"):
            published = ours["energy_" + platform["platform"]][1]
            self.assertEqual(platform["published_saving_percent"], published)

    def test_shares_add_up(self):
        self.run_study("--clusters", "64")
        functions = rows(self.out / "breakdown.csv")
        for column in ("float_share", "clustered_share", "memory_share"):
            self.assertAlmostEqual(sum(float(f[column]) for f in functions), 1, 2)
        # what the operations read is the whole model, and nothing twice
        config_bytes = sum(float(f["parameter_bytes"]) for f in functions)
        stored = (ENCODER / "model.safetensors").stat().st_size
        self.assertLess(config_bytes, stored)
        self.assertGreater(config_bytes, 0.9 * (stored - 8192))

    def test_a_run_that_was_ended_goes_on(self):
        options = ("--task", f"sts:{self.pairs}", "--clusters")
        self.run_study(*options, "64")
        path = self.out / "sweep.csv"
        whole = path.read_text()
        path.write_text(whole[:-20])  # killed while the last line was written
        self.run_study(*options, "64")
        self.assertEqual(path.read_text().splitlines()[:-1], whole.splitlines()[:-1])
        self.assertEqual(len(rows(path)), 6)
        self.run_study(*options, "16,64")  # more clusters: what is there stays
        self.assertEqual(path.read_text().splitlines()[:6], whole.splitlines()[:6])
        self.assertEqual(len(rows(path)), 11)
        self.run_study("--clusters", "64")  # another task: nothing does
        self.assertEqual({row["score"] for row in rows(path)}, {""})

    def test_wrong_lines_name_what_is_wrong(self):
        for line, message in (
            (["clustering"], "clustering or MODEL is missing"),
            (["pruning", ENCODER], "the study is 'clustering'"),
            (["clustering", ENCODER, "--task", "beauty:x"], "--task: 'beauty:x' is not sts:FILE or images:DIR"),
            (["clustering", ENCODER, "--clusters", "64,65"], "65 is odd"),
            (["clustering", ENCODER, "--clusters", "512"], "--clusters: '512' is not a list"),
        ):
            result = study(*line)
            self.assertEqual(result.returncode, 2, line)
            self.assertIn(message, result.stderr)
        result = study("clustering", ENCODER, "--out", self.out, "--tokens", "60000")
        self.assertEqual(result.returncode, 1)
        self.assertIn("a request of 60000 tokens", result.stderr)


if __name__ == "__main__":
    unittest.main()
