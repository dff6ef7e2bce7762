"""centroid gemmini layer: a layer of BERT-base, against figures measured on the RTL in Verilator at a memory latency of 40."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

CENTROID = os.environ["CENTROID"]


class Layer(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.TemporaryDirectory()
        self.addCleanup(self.dir.cleanup)

    def run_layer(self, *args, config="", code=0):
        path = pathlib.Path(self.dir.name, "config.ini")
        path.write_text(config)
        done = subprocess.run(
            [CENTROID, "gemmini", "layer", "--config", path, *map(str, args)],
            capture_output=True,
            text=True,
            timeout=60,
        )
        self.assertEqual(done.returncode, code, done.stderr)
        return done

    def layer(self, *args, config="", preset="ibert"):
        return json.loads(self.run_layer("--json", "--preset", preset, *args, config=config).stdout)

    def cycles(self, tokens, config):
        """Of each operator, once."""
        layer = self.layer("--tokens", tokens, config=config)
        return {op["name"]: op["cycles"] / op["count"] for op in layer["operators"]}

    def near(self, value, reference, tolerance):
        self.assertLess(abs(value / reference - 1), tolerance, f"{value} is not near {reference}")

    def test_fusion_pairs(self):
        """Fused and apart, each within 10 % of the RTL; fusing helps attention alone."""
        apart = "[sw]\nfuse_qk_softmax = 0\n"
        fused = "[sw]\nfuse_wout_ln = 1\nfuse_w2_ln = 1\n"
        for tokens, qk, qk_softmax, wout_ln in ((128, 13147, 21481, 1.39), (512, 109666, 251441, 1.41)):
            a, f = self.cycles(tokens, apart), self.cycles(tokens, fused)
            self.near(f["qk+softmax"], qk, 0.1)
            self.near(a["qk"] + a["softmax"], qk_softmax, 0.1)
            self.near(f["wout+layernorm"] / (a["wout"] + a["layernorm"]), wout_ln, 0.1)
            self.assertGreater(f["w2+layernorm"], a["w2"] + a["layernorm"])
            if tokens == 128:
                self.near(f["wout+layernorm"], 510050, 0.1)
                self.near(a["wout"], 309509, 0.1)
                self.near(f["w2+layernorm"] / (a["w2"] + a["layernorm"]), 1.90, 0.1)

    def test_normalisation_units_against_host_code(self):
        """The survey says 39.6 times; which code the host runs spans 22 to 48."""
        ratios = {}
        for table in ("fp32", "fp32_tanh", "fp32_igelu", "ibert"):
            layer = self.layer(config=f"[host]\ntable = {table}\n")
            ratios[table] = layer["cycles_with_host_normalisation"] / layer["cycles"]
        for table, reference in (("fp32", 45), ("fp32_tanh", 48), ("fp32_igelu", 28), ("ibert", 22)):
            self.near(ratios[table], reference, 0.05)
        self.assertEqual(layer["host_code"], {"softmax": "softmax_ibert", "layernorm": "layernorm_ibert", "gelu": "igelu"})
        off = self.layer(config="[norm]\nenabled = 0\n[host]\ntable = ibert\n")
        self.assertEqual(off["cycles"], layer["cycles_with_host_normalisation"])
        self.assertEqual(
            [op["name"] for op in off["operators"] if op["on_host"]], ["softmax", "layernorm", "gelu", "layernorm"]
        )

    def test_parts_add_up(self):
        layer = self.layer("--tokens", 64, "--bits", 6, config="[sw]\nmvin_lut = 1\n")
        together = layer["together"]
        for key in ("cycles", "host_cycles", "dram_read_bytes", "dram_write_bytes", "macs"):
            self.assertEqual(sum(op[key] for op in layer["operators"]), together[key])
        self.near(sum(together["energy_joules_by_part"].values()), together["energy_joules"], 1e-6)
        self.near(sum(op["energy_joules"] for op in layer["operators"]), together["energy_joules"], 1e-6)
        self.assertEqual(together["macs"], 64 * 768 * (4 * 768 + 2 * 3072) + 2 * 12 * 64 * 64 * 64)
        self.assertGreaterEqual(together["cycles"], together["macs"] / 256)

    def test_clustered_weights(self):
        """Traffic of one token is nearly all weights."""
        lut = "[sw]\nmvin_lut = 1\n"
        plain = self.layer("--tokens", 1, preset="lpddr4")
        clustered = {b: self.layer("--tokens", 1, "--bits", b, preset="lpddr4", config=lut) for b in (4, 6)}
        bytes_of = lambda layer: layer["together"]["dram_read_bytes"]  # noqa: E731
        self.near(bytes_of(clustered[6]) / bytes_of(plain), (6 + 16 / 64) / 8, 0.05)
        self.near(bytes_of(clustered[4]) / bytes_of(plain), (4 + 16 / 64) / 8, 0.10)
        self.assertLess(clustered[4]["together"]["energy_joules"], 0.65 * plain["together"]["energy_joules"])
        self.assertLess(clustered[4]["cycles"], clustered[6]["cycles"])
        self.assertLess(clustered[6]["cycles"], plain["cycles"])

    def test_mapping(self):
        """W1 by a mapping of one's own; the other operators cost what they did."""
        mapping = pathlib.Path(self.dir.name, "mapping.ini")
        mapping.write_text("[product]\nn = 3072\ntile = 8x2x48\norder = ijk\n")
        plain, mapped = (self.layer(*args, preset="lpddr4") for args in ((), ("--mapping", mapping)))
        for a, b in zip(plain["operators"], mapped["operators"]):
            self.assertEqual(a["macs"], b["macs"])
            self.assertEqual(a != b, a["name"] == "w1+gelu")
            if a != b:
                self.assertEqual(b["dram_read_bytes"], 512 * 768 + 4 * 768 * 3072 + 32 * 4 * 3072)
                self.assertLess(b["cycles"], a["cycles"])
        mapping.write_text("[product]\nrole = qk\ntile = 8x2x64\n")
        self.assertIn(
            "mapping.ini: [product] of line 1: a tile of 8x2x64 blocks takes 640 blocks of the scratchpad, and has 512",
            self.run_layer("--mapping", mapping, code=1).stderr,
        )

    def test_table(self):
        out = self.run_layer("--tokens", 16).stdout
        self.assertIn("qk+softmax", out)
        self.assertIn("(softmax_fp32, layernorm_fp32, gelu_erf_fp32)", out)

    def test_errors(self):
        self.assertIn("--heads 7 does not divide --d-model 768", self.run_layer("--heads", 7, code=1).stderr)
        self.assertIn("not 1", self.run_layer("FILE", code=2).stderr)


if __name__ == "__main__":
    sys.exit(unittest.main())
