"""The command line as a person or a script uses it: run, eval and bench on the fixture model, help and
wrong options. CENTROID is the binary."""

import json
import math
import os
import pathlib
import struct
import subprocess
import tempfile
import unittest
import xml.etree.ElementTree
import zlib

CENTROID = os.environ["CENTROID"]
FIXTURE = pathlib.Path(__file__).parent.parent / "support" / "fixture"
ENCODERS = pathlib.Path(__file__).parent.parent / "support" / "encoders"
VISION = pathlib.Path(__file__).parent.parent / "support" / "vision" / "vit"


def centroid(*arguments, text=""):
    return subprocess.run([CENTROID, *map(str, arguments)], input=text, capture_output=True, text=True,
                          timeout=120)


def text_of(ids):
    """What the fixture's tokens say, control tokens left out: byte-level BPE undone by hand."""
    tokenizer = json.loads((FIXTURE / "tokenizer.json").read_text())
    tokens = {number: token for token, number in tokenizer["model"]["vocab"].items()}
    special = {token["id"] for token in tokenizer["added_tokens"]}
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    byte_of = {chr(byte): byte for byte in printable}
    byte_of.update({chr(256 + i): byte for i, byte in enumerate(others)})
    characters = "".join(tokens[i] for i in ids if i not in special)
    return bytes(byte_of[character] for character in characters).decode()


class Help(unittest.TestCase):
    def test_every_command_has_help(self):
        listed = centroid("--help")
        self.assertEqual(listed.returncode, 0)
        commands = [line.split()[0] for line in listed.stdout.split("commands:\n")[1].splitlines()
                    if line.startswith("  ")]
        self.assertIn("run", commands)
        for command in commands:
            result = centroid(command, "--help")
            self.assertEqual(result.returncode, 0, command)
            self.assertTrue(result.stdout.startswith("usage: centroid " + command), command)
            self.assertIn("--help", result.stdout)
            self.assertEqual(result.stderr, "")

    def test_wrong_lines_exit_with_2_and_name_what_is_wrong(self):
        for line, message in (
            ([], "usage: centroid"),
            (["fly"], "unknown command 'fly'"),
            (["run"], "MODEL is missing"),
            (["run", FIXTURE, "--max-tokens", "0"], "--max-tokens: 0 is outside 1.."),
            (["run", FIXTURE, "--temperature", "hot"], "--temperature: 'hot' is not a number"),
            (["run", FIXTURE, "more"], "unexpected argument 'more'"),
            (["eval", "perplexity", FIXTURE], "--text is missing"),
            (["eval", "beauty", FIXTURE, "--text", "x"], 
             "the measure is 'perplexity', 'divergence', 'sts' or 'images'"),
            (["classify", FIXTURE], "give --image or --text, one of them"),
            (["eval", "images", FIXTURE], "--images is missing"),
            (["eval", "sts", FIXTURE, "--text", "x", "--limit", "3"], "--images and --limit are for 'images'"),
            (["eval", "perplexity", FIXTURE, "--text", "x", "--reference", FIXTURE],
             "--reference is for 'divergence'"),
            (["bench", FIXTURE, "--threads", "1,x"], "--threads: '1,x' is not a list"),
            (["bench", FIXTURE, "--bits", "6,"], "--bits: '6,' is not a list of at most 32 numbers from 2 to 8"),
            (["bench"], "MODEL or --kernels is missing"),
            (["bench", "--kernels", "--sets", "best"], "--sets: 'best' is not a list of instruction sets"),
            (["bench", "--kernels", "--columns", "100"], "--columns: 100 is not a multiple of 64"),
        ):
            result = centroid(*line)
            self.assertEqual(result.returncode, 2, line)
            self.assertIn(message, result.stderr)
            self.assertEqual(result.stdout, "")

    def test_a_missing_model_is_one_line_with_its_name(self):
        result = centroid("run", "/nowhere/model", "--prompt", "x")
        self.assertEqual(result.returncode, 1)
        self.assertEqual(len(result.stderr.splitlines()), 1)
        self.assertIn("/nowhere/model", result.stderr)


def png(red, green, blue):
    """A PNG of one pixel."""
    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))
    head = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    pixel = zlib.compress(bytes([0, red, green, blue]))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixel) + chunk(b"IEND", b"")


class Images(unittest.TestCase):
    LABELS = ("cat", "dog", "ship", "truck", "lily of the valley")

    def score(self, folder, *options):
        result = centroid("eval", "images", VISION, "--images", folder, "--json", *options)
        self.assertEqual(result.returncode, 0, result.stderr)
        return json.loads(result.stdout)

    def test_one_image_is_right_under_one_class(self):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            for label in self.LABELS:
                (root / label.replace(" ", "_").upper()).mkdir()
                (root / label.replace(" ", "_").upper() / "a.png").write_bytes(png(200, 30, 90))
            (root / "notes.txt").write_text("no image")
            self.assertEqual(self.score(root), {"top1": 0.2, "top5": 1.0, "images": 5})
            self.assertEqual(self.score(root, "--limit", 2)["images"], 2)

    def test_classes_by_file_names_and_by_order(self):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            for i, label in enumerate(self.LABELS):
                (root / f"n0123456{i}_{label.replace(' ', '-')}_7.PNG").write_bytes(png(200, 30, 90))
            self.assertEqual(self.score(root), {"top1": 0.2, "top5": 1.0, "images": 5})
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            for i in range(5):
                (root / f"n0123456{i}").mkdir()
                (root / f"n0123456{i}" / "a.png").write_bytes(png(200, 30, 90))
            self.assertEqual(self.score(root), {"top1": 0.2, "top5": 1.0, "images": 5})

    def test_what_is_wrong_is_named(self):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            def fails(message, model=VISION):
                result = centroid("eval", "images", model, "--images", root)
                self.assertEqual(result.returncode, 1)
                self.assertIn(message, result.stderr)
            fails("no JPEG or PNG files")
            (root / "cat").mkdir()
            (root / "cat" / "a.png").write_bytes(png(1, 2, 3)[:30])
            fails("cat/a.png: ")
            (root / "cattle").mkdir()
            fails("cattle: its class is none of the model's 5 labels")
            fails("is no image classifier", FIXTURE)

    def test_classify_names_labels(self):
        with tempfile.TemporaryDirectory() as folder:
            image = pathlib.Path(folder) / "a.png"
            image.write_bytes(png(200, 30, 90))
            answer = json.loads(centroid("classify", VISION, "--image", image, "--json").stdout)
            labels = answer["labels"]
            self.assertEqual({label["label"] for label in labels}, set(self.LABELS))
            self.assertAlmostEqual(sum(label["probability"] for label in labels), 1, places=6)
            self.assertEqual(labels, sorted(labels, key=lambda label: -label["logit"]))
            text = centroid("classify", VISION, "--image", image, "--top", 2, "--cost")
            self.assertEqual([line.split("  ")[1] for line in text.stdout.splitlines()],
                             [label["label"] for label in labels[:2]])
            self.assertRegex(text.stderr, r"ms, .* mJ")
            for line, message in ((["classify", VISION, "--text", "x"], "classifies images: give --image"),
                                  (["classify", FIXTURE, "--text", "x"], "is no classifier"),
                                  (["classify", VISION, "--image", "/nowhere"], "/nowhere: ")):
                result = centroid(*line)
                self.assertEqual(result.returncode, 1)
                self.assertIn(message, result.stderr)

    def test_bench_tells_images_a_second(self):
        result = centroid("bench", VISION, "--batch", "2", "--repeat", "1", "--threads", "1",
                          "--json")
        [row] = json.loads(result.stdout)
        self.assertEqual(row["test"], "image")
        self.assertGreater(row["images_per_s"]["median"], 0)


class Texts(unittest.TestCase):
    """Classifiers of texts, and a cross-encoder: one label, two texts."""

    def classify(self, model, *arguments):
        result = centroid("classify", ENCODERS / model, "--json", *arguments)
        self.assertEqual(result.returncode, 0, result.stderr)
        return {label["label"]: label for label in json.loads(result.stdout)["labels"]}

    def test_the_second_text_counts(self):
        alone = self.classify("bert_classifier", "--text", "the of and")
        pair = self.classify("bert_classifier", "--text", "the of", "--second", "and")
        self.assertEqual(set(alone), {"contradiction", "entailment", "neutral"})
        self.assertNotEqual(alone["neutral"]["logit"], pair["neutral"]["logit"])
        self.assertAlmostEqual(sum(label["probability"] for label in pair.values()), 1, places=6)

    def test_labels_that_exclude_no_other_have_a_sigmoid_each(self):
        for model in ("distilbert", "mpnet"):
            for label in self.classify(model, "--text", "the of", "--top", 20).values():
                self.assertAlmostEqual(label["probability"], 1 / (1 + math.exp(-label["logit"])), places=6)

    def test_sts_scores_pairs(self):
        pairs = [("the of", "and to"), ("in is", "it that"), ("for on", "as with"), ("his", "they at be")]
        scores = [self.classify("mpnet", "--text", a, "--second", b)["LABEL_0"]["logit"] for a, b in pairs]
        with tempfile.NamedTemporaryFile("w", suffix=".csv") as file:
            file.writelines(f"{a},{b},{score}\n" for (a, b), score in zip(pairs, scores))
            file.flush()
            result = centroid("eval", "sts", ENCODERS / "mpnet", "--text", file.name)
            self.assertEqual(result.stdout, "Spearman 1.0000 over 4 pairs\n", result.stderr)
            result = centroid("eval", "sts", ENCODERS / "distilbert", "--text", file.name)
            self.assertIn("tells classes apart", result.stderr)


class Run(unittest.TestCase):
    def test_raw_prompt_continues_as_the_reference_does(self):
        golden = json.loads((FIXTURE.parent.parent / "golden" / "fixture_logits.json").read_text())
        for entry, model in zip(golden["models"], (FIXTURE, FIXTURE / "fixture.gguf")):
            case = entry["greedy"][0]
            result = centroid("run", model, "--raw", "--prompt", case["prompt"], "--max-tokens",
                              len(case["answer"]), "--activations", "float")
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertEqual(result.stdout, text_of(case["answer"]) + "\n")
            self.assertEqual(result.stderr, "")

    def test_seed_repeats_and_cost_is_told(self):
        line = ["run", FIXTURE, "--prompt", "Where is the cat?", "--temperature", "1.5", "--max-tokens",
                "24", "--seed"]
        first, again, other = (centroid(*line, seed, "--cost") for seed in (7, 7, 8))
        self.assertEqual(first.stdout, again.stdout)
        self.assertNotEqual(first.stdout, other.stdout)
        self.assertRegex(first.stderr, r"prefill \d+ tokens .* mJ \| decode \d+ tokens .* tokens/s")

    def test_threads_do_not_change_the_text(self):
        outputs = {centroid("run", FIXTURE, "--prompt", "Tell me a story.", "--threads", n).stdout
                   for n in (1, 2, 3)}
        self.assertEqual(len(outputs), 1)

    def test_chat_reads_messages_from_stdin(self):
        result = centroid("run", FIXTURE, "--max-tokens", "12", "--cost", text="Hello.\nAnd then?\n")
        self.assertEqual(result.returncode, 0, result.stderr)
        costs = [line for line in result.stderr.splitlines() if line.startswith("[prefill")]
        self.assertEqual(len(costs), 2)

    def test_a_prompt_longer_than_the_context_tells_both_numbers(self):
        result = centroid("run", FIXTURE, "--raw", "--prompt", "cat " * 400, "--context", "64")
        self.assertEqual(result.returncode, 1)
        self.assertRegex(result.stderr, r"the prompt has \d+ tokens, the context 64")

    def test_broken_bytes_may_be_three_tokens_each(self):
        result = centroid("run", FIXTURE, "--raw", "--prompt", "\udcff" * 100, "--max-tokens", 1)
        self.assertEqual((result.returncode, result.stderr[:200]), (1, "centroid run: the prompt has "
                         "300 tokens, the context 256\n"))
        result = centroid("run", FIXTURE, "--raw", "--prompt", "\udcff" * 40, "--max-tokens", 1)
        self.assertEqual(result.returncode, 0, result.stderr)


class Measure(unittest.TestCase):
    def test_perplexity_json(self):
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as text:
            text.write("The cat sat on the mat. The dog ran to the hill.\n" * 60)
            text.flush()
            line = ["eval", "perplexity", FIXTURE, "--text", text.name, "--context", "64", "--json"]
            result = centroid(*line)
            self.assertEqual(result.returncode, 0, result.stderr)
            row = json.loads(result.stdout)
            self.assertEqual(row["tokens"], row["windows"] * 31)
            self.assertGreater(row["perplexity"], 1)
            self.assertGreater(row["standard_error"], 0)
            two = json.loads(centroid(*line, "--chunks", "2").stdout)
            self.assertEqual(two["tokens"], 62)
            short = centroid(*line[:-3], "--context", "4096")
            self.assertEqual(short.returncode, 1)
            self.assertIn("4096", short.stderr)

    def test_divergence_of_a_model_from_itself_is_next_to_nothing(self):
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as text:
            text.write("The cat sat on the mat. The dog ran to the hill.\n" * 30)
            text.flush()
            line = ["eval", "divergence", FIXTURE, "--text", text.name, "--context", "64", "--json"]
            same = json.loads(centroid(*line, "--activations", "float").stdout)
            self.assertEqual((same["mean_kl"], same["top1_agreement"]), (0, 1))
            self.assertEqual(same["perplexity"], same["reference_perplexity"])
            kept = json.loads(centroid(*line, "--activations", "float", "--kv", "int8").stdout)
            self.assertGreater(kept["mean_kl"], 0)
            self.assertLess(kept["mean_kl"], 0.01)
            other = json.loads(centroid(*line, "--reference", FIXTURE / "fixture.gguf").stdout)
            self.assertGreater(other["mean_kl"], 0)
            self.assertLess(other["mean_kl"], 1)

    def check_limits(self, row):
        for value, unit in (("gb_per_s", "bytes"), ("gops", "ops")):
            self.assertGreater(row[value], 0)
            self.assertGreater(row["limit_" + value], 0)
            if "tokens_per_s" in row:
                self.assertAlmostEqual(row[value],
                                       row["tokens_per_s"]["median"] * row[unit + "_per_token"] / 1e9,
                                       delta=0.01 + 0.01 * row[value])

    def test_bench_json(self):
        result = centroid("bench", FIXTURE, "--prompt-tokens", "32", "--generate-tokens", "16", "--threads",
                          "1,2", "--repeat", "3", "--depth", "0,48", "--json")
        self.assertEqual(result.returncode, 0, result.stderr)
        found = json.loads(result.stdout)
        names = ("pp32", "tg16", "pp32@48", "tg16@48")
        self.assertEqual([(row["test"], row["threads"]) for row in found],
                         [(name, threads) for threads in (1, 2) for name in names])
        for row in found:
            rate = row["tokens_per_s"]
            self.assertTrue(0 < rate["min"] <= rate["median"] <= rate["max"])
            self.check_limits(row)
        plain, deep = found[1], found[3]
        self.assertGreater(deep["bytes_per_token"], plain["bytes_per_token"]) # keys and values

    def test_bench_kernels_and_plot(self):
        with tempfile.TemporaryDirectory() as folder:
            plot = pathlib.Path(folder, "roofline.svg")
            line = ["bench", "--kernels", "--threads", "2", "--bits", "3,6", "--rows", "1,5", "--plot", plot]
            found = json.loads(centroid(*line, "--json").stdout)
            self.assertEqual([(row["bits"], row["rows"]) for row in found
                              if row["kernel"] == "linear_i8"], [(3, 1), (3, 5), (6, 1), (6, 5)])
            self.assertIn("attention", [row["kernel"] for row in found])
            for row in found:
                self.check_limits(row)
            root = xml.etree.ElementTree.parse(plot).getroot()
            texts = ["".join(node.itertext()) for node in root.iter("{http://www.w3.org/2000/svg}text")]
            for text in ("linear_i8, 3 bits", "linear_i8, 6 bits", "attention", "GOPS"):
                self.assertIn(text, texts)
            self.assertTrue(any(text.startswith("2 threads: ") for text in texts))
            table = centroid(*line).stdout
            self.assertIn("limits of 2 threads: memory ", table)
            self.assertEqual(table.count("linear_i8"), 4)


if __name__ == "__main__":
    unittest.main(verbosity=2)
