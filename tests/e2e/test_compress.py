"""centroid compress and centroid inspect: what comes out, what is refused, and that a kill leaves the
old model or the new one, never half. Needs Python alone."""

import json
import os
import pathlib
import random
import shutil
import signal
import struct
import subprocess
import tempfile
import time
import unittest
import xml.etree.ElementTree

CENTROID = os.environ["CENTROID"]
FIXTURE = pathlib.Path(__file__).resolve().parents[1] / "support" / "fixture"
IS_SANITIZED = b"__asan_init" in pathlib.Path(CENTROID).read_bytes() or b"__tsan_init" in pathlib.Path(
    CENTROID
).read_bytes()


def run(*arguments, **options):
    return subprocess.run(
        [CENTROID, *map(str, arguments)], capture_output=True, text=True, **options
    )


def half(bits):
    return struct.unpack("<e", bits)[0]


def read_safetensors(path):
    """{name: (dtype, shape, bytes)}"""
    data = path.read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    base = 8 + length
    return {
        name: (e["dtype"], e["shape"], data[base + e["data_offsets"][0] : base + e["data_offsets"][1]])
        for name, e in header.items()
    }, base


def floats(dtype, raw, first, n):
    if dtype == "BF16":
        pairs = struct.unpack_from(f"<{n}H", raw, first * 2)
        return struct.unpack(f"<{n}f", struct.pack(f"<{n}I", *(p << 16 for p in pairs)))
    code, size = {"F32": ("f", 4), "F16": ("e", 2)}[dtype]
    return struct.unpack_from(f"<{n}{code}", raw, first * size)


def write_safetensors(path, tensors):
    """tensors: {name: (shape, list of byte blocks)}, all F32."""
    header, at = {}, 0
    for name, (shape, blocks) in tensors.items():
        size = sum(map(len, blocks))
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _, blocks in tensors.values():
            for block in blocks:
                file.write(block)


def random_block(rng, n_floats):
    return struct.pack(f"<{n_floats}f", *(rng.gauss(0, 0.05) for _ in range(n_floats)))


def write_model(folder, n_matrices, n, k, seed=1):
    """A directory with n_matrices matrices [n, k]; not a model that runs, but one that compresses."""
    rng = random.Random(seed)
    folder.mkdir()
    blocks = [random_block(rng, k * 16) for _ in range(8)]
    tensors = {
        f"model.layers.{i}.mlp.up_proj.weight": (
            [n, k],
            [blocks[rng.randrange(8)] for _ in range(n // 16)],
        )
        for i in range(n_matrices)
    }
    tensors["model.norm.weight"] = ([k], [random_block(rng, k)])
    write_safetensors(folder / "model.safetensors", tensors)
    config = json.loads((FIXTURE / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config))


def tile_index(tile, bits, t):
    """Index t of a packed tile: its planes of four, two and one bits, the lowest first."""
    index = below = 0
    for width in (8, 4, 2, 1):
        if bits & width:
            field = tile[8 * below + t % (8 * width)] >> t // (8 * width) * width
            index |= (field & 2**width - 1) << below
            below += width
    return index


def decode(tensors, config, name):
    """The rows of a clustered matrix, by the formula of the file format."""
    entry = config["tensors"][name]
    n, k, bits, group = (entry[key] for key in ("n", "k", "bits", "group"))
    index = tensors[f"{name}.index"][2]
    dtype, shape, raw = tensors.get(f"{name}.codebook") or tensors["centroid.codebook"]
    size = 1 if dtype == "I8" else 4
    codebook = struct.unpack(f"<{len(raw) // size}{'b' if size == 1 else 'f'}", raw)
    scale, offset = (tensors.get(f"{name}.{part}", (None, None, None))[2] for part in ("scale", "offset"))
    tiles_k, groups = (k + 3) // 4, (k + group - 1) // group
    rows = []
    for i in range(n):
        base = 0 if shape[0] == 1 else i << bits
        row = []
        for j in range(k):
            tile = (i // 16 * tiles_k + j // 4) * 8 * bits
            value = codebook[base + tile_index(index[tile : tile + 8 * bits], bits, i % 16 * 4 + j % 4)]
            at = ((i // 16 * groups + j // group) * 16 + i % 16) * 2
            if scale:
                value *= half(scale[at : at + 2])
            if offset:
                value += half(offset[at : at + 2])
            row.append(value)
        rows.append(row)
    return rows


class Compress(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        self.out = self.root / "out"

    def compress(self, source, *options, out=None):
        result = run("compress", source, out or self.out, "--json", *options)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(result.stderr, "")  # no bar where stderr is no terminal
        return json.loads(result.stdout)

    def check_decoded(self, report, originals):
        """Every clustered matrix decodes to what the report says of it."""
        tensors, base = read_safetensors(self.out / "model.safetensors")
        config = json.loads((self.out / "config.json").read_text())["quantization_config"]
        self.assertEqual(base % 64, 0)
        self.assertEqual((config["quant_method"], config["version"]), ("centroid", 1))
        for row in report["tensors"]:
            name = row["name"]
            if row["treatment"] == "copied":
                self.assertEqual(tensors[name], originals[name])
                continue
            dtype, shape, raw = originals[name]
            k = shape[1]
            square = error = 0.0
            for i, decoded in enumerate(decode(tensors, config, name)):
                for w, d in zip(floats(dtype, raw, i * k, k), decoded):
                    square += w * w
                    error += (w - d) ** 2
            self.assertAlmostEqual((error / square) ** 0.5, row["relative_rms_error"], delta=1e-5)
            parts = (".index", ".codebook", ".scale", ".offset")
            stored = sum(len(tensors[name + p][2]) for p in parts if name + p in tensors)
            self.assertEqual(stored, row["bytes_after"])

    def test_weights_of_an_onnx_file_give_the_same_model(self):
        golden = FIXTURE.parents[1] / "golden"
        for folder, exported in (("onnx", "torchscript.onnx"), ("onnx_vit", "timm.onnx")):
            made = []
            for source, name in (("model.safetensors", "model.safetensors"), (exported, "model.onnx")):
                model = self.root / f"{folder}-{name}"
                model.mkdir()
                shutil.copy(golden / folder / "config.json", model)
                shutil.copy(golden / folder / source, model / name)
                self.compress(model, out=model / "out")
                made.append(read_safetensors(model / "out" / "model.safetensors")[0])
            self.assertEqual(*made)

    def test_directory(self):
        originals, _ = read_safetensors(FIXTURE / "model.safetensors")
        for options in ([], ["--scope", "model", "--bits", "4"], ["--scope", "row", "--offset"],
                        ["--scale", "none", "--centroids", "float", "--bits", "3"],
                        ["--scale", "none", "--scope", "model"],
                        ["--scale", "row", "--bits", "5", "--kmeans", "exact"]):
            with self.subTest(options=options):
                report = self.compress(FIXTURE, *options)
                self.check_decoded(report, originals)
                for name in ("tokenizer.json", "tokenizer_config.json"):
                    self.assertEqual((self.out / name).read_bytes(), (FIXTURE / name).read_bytes())
                before = json.loads((FIXTURE / "config.json").read_text())
                after = json.loads((self.out / "config.json").read_text())
                after.pop("quantization_config")
                self.assertEqual(after, before)

    def test_gguf(self):
        report = self.compress(FIXTURE / "fixture.gguf")
        self.assertLess(report["matrices"]["relative_rms_error"], 0.03)
        self.assertEqual(
            sorted(p.name for p in self.out.iterdir()),
            ["config.json", "generation_config.json", "model.safetensors", "tokenizer.json",
             "tokenizer_config.json"],
        )
        generation = json.loads((self.out / "generation_config.json").read_text())
        self.assertEqual(generation, {"eos_token_id": [2, 0]})  # the ends of a turn and of a text
        kept = self.compress(FIXTURE / "fixture.gguf", "--keep-blocks", out=self.root / "kept")
        treatments = {row["treatment"]: row for row in kept["tensors"]}
        self.assertIn("kept", treatments)
        for row in kept["tensors"]:
            if row["treatment"] != "clustered":
                self.assertEqual(row["relative_rms_error"], 0, row["name"])

    def test_generation_config(self):
        source = shutil.copytree(FIXTURE, self.root / "source")
        settings = {"eos_token_id": [2, 9], "temperature": 0.7, "top_k": 20, "repetition_penalty": 1.1}
        (source / "generation_config.json").write_text(json.dumps(settings))
        self.compress(source)
        kept = json.loads((self.out / "generation_config.json").read_text())
        self.assertEqual(kept, settings)
        result = run("run", self.out, "--prompt", "The", "--max-tokens", 1)
        self.assertEqual(result.returncode, 0)
        self.assertIn("asks for repetition_penalty 1.1, which is not applied", result.stderr)
        (source / "generation_config.json").write_text('{"temperature": "hot"}')
        result = run("compress", source, self.root / "none")
        self.assertEqual(result.returncode, 1)
        self.assertIn('generation_config.json: temperature is "hot"', result.stderr)

    def test_threads_and_repeats_change_no_byte(self):
        text = self.root / "text"
        text.write_text("The quick brown fox jumps over the lazy dog. " * 40)
        calibrated = ["--calibrate", text]
        seen = set()
        for options in ([], ["--scope", "row"], ["--centroids", "float", "--scope", "model"],
                        calibrated, [*calibrated, "--scope", "row", "--scale", "group:32"],
                        [*calibrated, "--centroids", "float", "--scope", "model", "--offset"]):
            files = set()
            for i, threads in enumerate((1, 2, 5, 1)):
                out = self.root / f"out{i}"
                self.compress(FIXTURE, "--threads", threads, "--seed", 9, *options, out=out)
                files.add((out / "model.safetensors").read_bytes())
            self.assertEqual(len(files), 1, options)
            self.assertFalse(files & seen)
            seen |= files

    def test_kept_blocks_go_with_calibration(self):
        text = self.root / "text"
        text.write_text("A text of a few tokens.")
        self.compress(FIXTURE / "fixture.gguf", "--keep-blocks", "--calibrate", text)
        tensors, _ = read_safetensors(self.out / "model.safetensors")
        self.compress(FIXTURE / "fixture.gguf", "--keep-blocks", out=self.root / "plain")
        plain, _ = read_safetensors(self.root / "plain" / "model.safetensors")
        names = [name for name in plain if "pad" not in name]
        self.assertEqual(set(names), {name for name in tensors if "pad" not in name})
        self.assertTrue(any(name.endswith(".index") and tensors[name] == plain[name] for name in names))

    def test_wrong_lines_exit_2_and_name_the_option(self):
        for options, needle in (
            (["--bits", "1"], "--bits"),
            (["--bits", "9"], "--bits"),
            (["--bits", "six"], "--bits"),
            (["--bits"], "--bits"),
            (["--scope", "layer"], "--scope"),
            (["--scale", "group:63"], "--scale"),
            (["--scale", "group"], "--scale"),
            (["--centroids", "f16"], "--centroids"),
            (["--kmeans", "best"], "--kmeans"),
            (["--threads", "0"], "--threads"),
            (["--seed", "-1"], "--seed"),
            (["--offset", "--scale", "none"], "--offset"),
            (["--loud"], "--loud"),
        ):
            with self.subTest(options=options):
                result = run("compress", FIXTURE, self.out, *options)
                self.assertEqual(result.returncode, 2)
                self.assertIn(needle, result.stderr)
                self.assertEqual(result.stdout, "")
                self.assertFalse(self.out.exists())
        self.assertEqual(run("compress", FIXTURE).returncode, 2)
        self.assertEqual(run("compress", FIXTURE, self.out, "third").returncode, 2)
        self.assertEqual(run("inspect").returncode, 2)
        for command in ("compress", "inspect"):
            result = run(command, "--help")
            self.assertEqual((result.returncode, result.stderr), (0, ""))
            self.assertIn("usage: centroid " + command, result.stdout)

    def check_refused(self, source, out, needle, *options):
        result = run("compress", source, out, *options)
        self.assertEqual(result.returncode, 1, result.stderr)
        self.assertIn(needle, result.stderr)

    def test_what_cannot_be_done_says_why(self):
        self.check_refused(self.root / "missing", self.out, "missing")
        garbage = self.root / "garbage.gguf"
        garbage.write_bytes(b"GGUF" + bytes(100))
        self.check_refused(garbage, self.out, "garbage.gguf")
        self.check_refused(FIXTURE, self.root / "no" / "parent", "/no/")
        documents = self.root / "documents"
        documents.mkdir()
        (documents / "thesis.txt").write_text("years of work")
        self.check_refused(FIXTURE, documents, "documents")
        self.assertEqual((documents / "thesis.txt").read_text(), "years of work")
        self.compress(FIXTURE)
        self.check_refused(self.out, self.root / "again", "clustered already")
        text = self.root / "text"
        text.write_text("")
        again = self.root / "again"
        self.check_refused(FIXTURE, again, "text is empty", "--calibrate", text)
        self.check_refused(FIXTURE, again, "nothing.txt", "--calibrate", self.root / "nothing.txt")
        text.write_text("a text")
        self.check_refused(self.out, again, "clustered already", "--calibrate", text)
        text.unlink()
        self.check_refused(FIXTURE, "/dev/full/x", "/dev/full")
        self.assertEqual(sorted(p.name for p in self.root.iterdir()),
                         ["documents", "garbage.gguf", "out"])

    def test_a_nan_is_named(self):
        source = self.root / "nan"
        write_model(source, 2, 64, 64)
        file = source / "model.safetensors"
        data = bytearray(file.read_bytes())
        (length,) = struct.unpack_from("<Q", data)
        struct.pack_into("<f", data, 8 + length + 4 * (64 * 64 + 37 * 64 + 5), float("nan"))
        file.write_bytes(data)
        self.check_refused(source, self.out, "model.layers.1.mlp.up_proj.weight: row 37")
        self.assertFalse(self.out.exists())

    def test_the_report_is_written(self):
        folder = self.root / "report"
        result = run("compress", FIXTURE, self.out, "--report", folder)
        self.assertEqual(result.returncode, 0, result.stderr)
        # The last line is the time that each run took.
        self.assertEqual(result.stdout, (folder / "report.txt").read_text())
        self.assertIn("all matrices", result.stdout)
        report = json.loads((folder / "report.json").read_text())
        self.assertGreater(len(report["tensors"]), 10)
        for name, words in (("error.svg", ("layer", "mlp.up_proj", "relative RMS error, %")),
                            ("bits.svg", ("bits a weight", "all matrices"))):
            root = xml.etree.ElementTree.parse(folder / name).getroot()
            texts = " ".join(root.itertext())
            for word in words:
                self.assertIn(word, texts)
            for element in root.iter():
                for value in element.attrib.values():
                    self.assertNotIn("nan", value)

    # ---- kills -----------------------------------------------------------------------------------

    def start(self, source, *options):
        return subprocess.Popen(
            [CENTROID, "compress", str(source), str(self.out), "--quiet", *options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )

    def bits_of_output(self):
        """The bits of a whole and readable model."""
        result = run("inspect", self.out, "--json")
        self.assertEqual(result.returncode, 0, result.stderr)
        bits = {t["index_bits"] for t in json.loads(result.stdout)["tensors"] if t["type"] == "clustered"}
        self.assertEqual(len(bits), 1)
        return bits.pop()

    def test_kill_leaves_the_old_or_the_new(self):
        source = self.root / "source"
        n = 128 if IS_SANITIZED else 512
        write_model(source, 6, n, n)
        began = time.monotonic()
        self.compress(source, "--bits", "4")
        took = time.monotonic() - began
        seed = random.randrange(1 << 32)
        rng = random.Random(seed)
        print(f"seed {seed}, a run takes {took:.2f} s")
        bits = 4
        for _ in range(12):
            other = 9 - bits
            process = self.start(source, "--bits", str(other))
            time.sleep(rng.uniform(0, 1.3 * took))
            process.send_signal(signal.SIGKILL)
            process.communicate()
            bits = self.bits_of_output()
            self.assertIn(bits, (4, 5))
            if process.returncode == 0:
                self.assertEqual(bits, other)
        self.compress(source, "--bits", "3")
        self.assertEqual(self.bits_of_output(), 3)
        self.assertEqual(sorted(p.name for p in self.root.iterdir()), ["out", "source"])

    def test_a_signal_ends_it_tidily(self):
        source = self.root / "source"
        write_model(source, 12, 1024, 512)
        self.compress(FIXTURE, "--bits", "4")
        process = self.start(source, "--bits", "7")
        while not any(p.name.startswith(".out.tmp") for p in self.root.iterdir()):
            self.assertIsNone(process.poll())
            time.sleep(0.005)
        process.send_signal(signal.SIGTERM)
        _, message = process.communicate()
        self.assertEqual(process.returncode, 1)
        self.assertIn(b"cancelled", message)
        self.assertEqual(self.bits_of_output(), 4)
        self.assertEqual(sorted(p.name for p in self.root.iterdir()), ["out", "source"])

    # ---- memory ----------------------------------------------------------------------------------

    @unittest.skipIf(IS_SANITIZED, "sanitizers need memory of their own")
    def test_memory_does_not_grow_with_the_model(self):
        source = self.root / "source"
        n_matrices, n, k = 32, 2048, 768
        write_model(source, n_matrices, n, k)
        largest = 4 * n * k
        for options in (["--scope", "tensor"], ["--scope", "model", "--scale", "row"]):
            process = self.start(source, "--bits", "4", *options)
            process.stderr.close()
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            self.assertEqual(process.returncode, 0)
            peak = usage.ru_maxrss * 1024
            print(f"largest tensor {largest >> 20} MiB, model {n_matrices * largest >> 20} MiB, "
                  f"peak {peak >> 20} MiB")
            self.assertLess(peak, 2 * largest + (100 << 20))


class Inspect(unittest.TestCase):
    def test_every_form(self):
        with tempfile.TemporaryDirectory() as folder:
            out = pathlib.Path(folder) / "out"
            self.assertEqual(run("compress", FIXTURE, out, "--bits", "5").returncode, 0)
            weights = set()
            for path in (FIXTURE, FIXTURE / "fixture.gguf", out):
                result = run("inspect", path, "--json")
                self.assertEqual(result.returncode, 0, result.stderr)
                listing = json.loads(result.stdout)
                self.assertEqual(listing["bytes"], sum(t["bytes"] for t in listing["tensors"]))
                weights.add(listing["weights"])
            self.assertEqual(len(weights), 1)
            clustered = [t for t in listing["tensors"] if t["type"] == "clustered"]
            self.assertTrue(clustered)
            for tensor in clustered:
                magnitudes, negated = tensor["codebook"][:16], tensor["codebook"][16:]
                self.assertEqual(magnitudes, sorted(magnitudes))
                self.assertEqual(negated, [-m for m in magnitudes])
                self.assertLess(tensor["bits_per_weight"], 8)

            plain = run("inspect", out, env={"LC_ALL": "C"})
            self.assertEqual(plain.returncode, 0, plain.stderr)
            self.assertTrue(plain.stdout.isascii())
            fancy = run("inspect", out, env={"LC_ALL": "C.UTF-8"}, encoding="utf-8")
            self.assertIn("\u2588", fancy.stdout)
            self.assertIn("bits a weight", fancy.stdout)


if __name__ == "__main__":
    unittest.main(verbosity=2)
