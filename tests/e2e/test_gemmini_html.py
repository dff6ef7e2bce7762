"""centroid gemmini model|layer --report: the page of HTML says what --json says, whole and well-formed, or is not there."""

import html.parser
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest
import xml.etree.ElementTree

CENTROID = os.environ["CENTROID"]
SUPPORT = pathlib.Path(__file__).resolve().parent.parent / "support"
SVG = "{http://www.w3.org/2000/svg}"
VOID = {"meta"}


class Page(html.parser.HTMLParser):
    """Elements must be closed in order. Notes figures, headings, and what loads something from elsewhere."""

    def __init__(self, text):
        super().__init__()
        self.open, self.figures, self.texts, self.heads, self.links = [], {}, {}, [], []
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag not in VOID:
            self.open.append(tag)
        if tag == "data":
            self.figures.setdefault(attributes["class"], []).append(float(attributes["value"]))
        if tag == "th":
            self.heads.append(attributes.get("scope"))
        self.links += [value for name, value in attributes.items() if name in ("src", "href", "action") or name.startswith("on")]

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, (tag, self.open)
        self.open.pop()

    def handle_data(self, data):
        for tag in self.open[-1:]:
            self.texts.setdefault(tag, []).append(data)


class Report(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.TemporaryDirectory()
        self.addCleanup(self.dir.cleanup)
        self.path = pathlib.Path(self.dir.name, "out.html")

    def run_gemmini(self, *args, page=None, code=0):
        command = [CENTROID, "gemmini", *args, "--report", page or self.path, "--json"]
        done = subprocess.run(command, capture_output=True, timeout=120)
        self.assertEqual(done.returncode, code, done.stderr)
        return json.loads(done.stdout) if code == 0 else done.stderr.decode()

    def read(self):
        text = self.path.read_text(encoding="utf-8")
        self.assertEqual([p.name for p in pathlib.Path(self.dir.name).iterdir() if ".tmp-" in p.name], [])
        self.assertLess(len(text), 1_000_000)
        self.assertNotRegex(text, r"\bnan\b|\binf\b|@import|url\(")
        page = Page(text)
        self.assertEqual(page.links, [])
        self.assertTrue(page.heads and set(page.heads) <= {"row", "col", "colgroup"}, page.heads)
        self.svgs = [xml.etree.ElementTree.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", text, re.S)]
        for svg in self.svgs:
            self.assertTrue(svg.find(SVG + "title").text and svg.find(SVG + "desc").text)
        return page

    def check_totals(self, page, report, phases=1):
        figures, together = page.figures, report["together"]
        self.assertEqual({len(values) for values in figures.values()}, {phases})
        for name, value in (
            ("cycles", report["cycles"]),
            ("seconds", report["seconds"]),
            ("energy_joules", together["energy_joules"]),
            ("utilisation", together["utilisation"]),
            ("dram_bytes", together["dram_read_bytes"] + together["dram_write_bytes"]),
        ):
            self.assertAlmostEqual(figures[name][0], value, delta=1e-6 * value, msg=name)
        self.assertAlmostEqual(figures["waiting"][0], 1 - together["cycles"] / report["cycles"], delta=1e-6)

    def words(self):
        return "\n".join(node.text or "" for svg in self.svgs for node in svg.iter(SVG + "text"))

    def test_a_prompt_and_the_token_after_it(self):
        report = self.run_gemmini("model", SUPPORT / "fixture", "--tokens", "16")
        page = self.read()
        self.check_totals(page, report, phases=2)
        self.assertEqual(page.texts["h1"], ["fixture"])
        self.assertIn("prefill of 16 tokens", page.texts["h3"])
        self.assertIn("decode of a token at depth 16", page.texts["h3"])
        next_token = self.run_gemmini("model", SUPPORT / "fixture", "--tokens", "1", "--depth", "16")
        self.assertEqual(page.figures["cycles"][1], next_token["cycles"])
        names = page.texts["th"]
        for op in report["operators"]:
            self.assertIn(op["name"], names)
        layers = json.loads((SUPPORT / "fixture" / "config.json").read_text())["num_hidden_layers"]
        self.assertIn(f"{layers} times the same operators", self.words())
        self.assertIn("array: 256 GMAC/s", self.words())

    def test_encoders_and_images(self):
        for name, unit in (("bert", "token"), ("vision/vit", "image")):
            report = self.run_gemmini("model", SUPPORT / name, "--tokens", "20", "--preset", "lpddr4")
            page = self.read()
            self.check_totals(page, report)
            self.assertTrue(any(f"{unit}s/s" in text for text in page.texts["small"]), page.texts["small"])
            self.assertIn("memory: 8 GB/s", self.words())

    def test_layers_of_other_machines(self):
        config = pathlib.Path(self.dir.name, "config.ini")
        for text in (
            "",
            "[norm]\nenabled = 0\n",
            "[sw]\nmvin_lut = 1\n",
            "[sw]\nhost_decode = 1\n[host]\nghz = 0.5\n",
            "[mem]\nbytes_per_cycle = 1024\nlatency = 1000\n",
        ):
            config.write_text(text)
            report = self.run_gemmini("layer", "--tokens", "24", "--bits", "6", "--config", config)
            with self.subTest(text):
                self.assertGreater(report["together"]["macs"], 0)
                page = self.read()
                self.check_totals(page, report)

    def test_products_tiled_by_a_file(self):
        mapping = pathlib.Path(self.dir.name, "mapping.ini")
        mapping.write_text("[product]\nk = 8192\ndataflow = os\n")
        report = self.run_gemmini("layer", "--tokens", "64", "--d-model", "64", "--heads", "1", "--d-ff", "8192", "--mapping", mapping)
        self.check_totals(self.read(), report)
        self.assertRegex(self.words(), r"w2, tiles 1 to \d+ of \d+")

    def test_a_name_is_only_a_name(self):
        for name in (b"a<script>alert(1)<b>&amp;\"'c", b"\xff\xfe<x>\x01", "模型 <é>".encode()):
            model = os.path.join(os.fsencode(self.dir.name), name)
            shutil.copytree(os.fsencode(SUPPORT / "bert"), model)
            self.run_gemmini("model", model, "--tokens", "8")
            page = self.read()
            shown = name.replace(b"\x01", b"?").decode(errors="replace")
            self.assertEqual("".join(page.texts["h1"]), shown)
            self.assertEqual("".join(page.texts["title"][:1]), shown + " on Gemmini")
            self.assertEqual(len(page.texts["script"]), 1)

    def test_a_place_that_cannot_be_written(self):
        for place, why in ((pathlib.Path(self.dir.name, "none", "out.html"), "No such file"), (self.dir.name, "Is a directory"), ("/dev/full", "No space left")):
            message = self.run_gemmini("layer", "--tokens", "8", page=place, code=1)
            self.assertIn(str(place), message)
            self.assertIn(why, message)
        self.assertEqual(os.listdir(self.dir.name), [])

    def test_what_is_there_is_replaced_when_all_is_written(self):
        self.path.write_text("before")
        self.run_gemmini("model", SUPPORT / "no-such-model", code=1)
        self.assertEqual(self.path.read_text(), "before")
        link = pathlib.Path(self.dir.name, "link.html")
        link.symlink_to(self.path)
        self.run_gemmini("layer", "--tokens", "8", page=link)
        self.assertTrue(link.is_symlink())
        self.read()


if __name__ == "__main__":
    unittest.main()
