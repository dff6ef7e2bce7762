"""centroid gemmini: programs run, are listed, and are checked against golden files."""

import gzip
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

CENTROID = os.environ["CENTROID"]
GOLDEN = pathlib.Path(__file__).resolve().parents[1] / "golden" / "gemmini"


def gemmini(*args, code=0):
    done = subprocess.run([CENTROID, "gemmini", *map(str, args)], capture_output=True, text=True, timeout=120)
    if done.returncode != code:
        raise AssertionError(f"exit code {done.returncode}: {done.stderr}")
    return done


def fnv(data):
    value = 1469598103934665603
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & (1 << 64) - 1
    return f"{value:016x}"


def golden_case(name, expected):
    """Four bytes of 7 through the scratchpad."""
    return {
        "name": name,
        "mem": [{"addr": "0x80000000", "type": "i8", "count": 4, "fill": "splitmix", "seed": 3, "lo": 7, "hi": 7}],
        "cmds": [
            [0, "0x3f80000000100001", "0x4"],
            [0, "0x2", "0x3f80000000000004"],
            [2, "0x80000000", "0x1000400000000"],
            [3, "0x80000040", "0x1000400000000"],
            ["fence"],
        ],
        "expect": [
            {
                "addr": "0x80000040",
                "rows": 1,
                "cols": 4,
                "elem_bytes": 1,
                "row_stride_bytes": 4,
                "fnv1a64": fnv(expected),
            }
        ],
    }


class Gemmini(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.TemporaryDirectory()
        self.addCleanup(self.dir.cleanup)
        self.path = pathlib.Path(self.dir.name)

    def write(self, name, text):
        path = self.path / name
        path.write_text(text)
        return path

    def test_run_prints_the_results(self):
        done = gemmini("run", GOLDEN / "loop_relu.txt")
        self.assertEqual(done.stdout, (GOLDEN / "loop_relu.out").read_text())
        self.assertIn("163680 multiply-accumulates", done.stderr)

    def test_a_configuration_changes_the_machine(self):
        config = self.write("machine.ini", "[norm]\nrounding = libgemmini\n")
        done = gemmini("run", GOLDEN / "loop_layernorm_libgemmini.txt", "--preset", "ibert", "--config", config)
        self.assertEqual(done.stdout, (GOLDEN / "loop_layernorm_libgemmini.out").read_text())
        small = self.write("small.ini", "[spad]\nkb = 8\n")
        done = gemmini("run", GOLDEN / "loop_relu.txt", "--config", small, code=1)
        self.assertIn("rows of the scratchpad", done.stderr)
        wrong = self.write("wrong.ini", "[mem]\nlatency = 0\n")
        done = gemmini("run", GOLDEN / "loop_relu.txt", "--config", wrong, code=1)
        self.assertIn("wrong.ini:2: mem.latency is from 1 to 10000, not 0", done.stderr)
        done = gemmini("run", GOLDEN / "loop_relu.txt", "--preset", "tpu", code=1)
        self.assertIn("no preset is called 'tpu'", done.stderr)

    def test_disasm_gives_a_program_that_runs(self):
        cases = self.write("cases.json", json.dumps([golden_case("seven_1", bytes([7] * 4))]))
        listing = gemmini("disasm", cases).stdout
        self.assertIn("# seven_1\n", listing)
        self.assertIn("mvin dram=0x80000000 local=spad+0 cols=4 rows=1\n", listing)
        program = self.write("seven.txt", listing)
        self.assertEqual(gemmini("run", program).stdout, "# 0x80000040, 1 x 4 i8\n7 7 7 7\n")
        self.assertEqual(gemmini("disasm", program).stdout, listing.replace("# seven_1\n", ""))

    def test_check_counts_families(self):
        cases = [golden_case(f"seven_{i}x{i}", bytes([7] * 4)) for i in range(3)]
        cases += [golden_case("wrong_1", bytes([8] * 4))]
        path = self.path / "cases.json.gz"
        path.write_bytes(gzip.compress(json.dumps(cases).encode()))
        scalars = {"acc_scale": [[3, "40000000", 6], [127, "40000000", 127], [3, "40000000", 7]]}
        scalars = self.write("scalars.json", json.dumps(scalars))
        done = gemmini("check", path, scalars, "--json", code=1)
        families = json.loads(done.stdout)["families"]
        self.assertEqual((families["seven"]["cases"], families["seven"]["exact"]), (3, 3))
        self.assertEqual((families["wrong"]["cases"], families["wrong"]["exact"]), (1, 0))
        self.assertEqual((families["acc_scale"]["cases"], families["acc_scale"]["exact"]), (3, 2))
        self.assertIn("wrong_1: result 0 differs", done.stderr)
        self.assertIn("1 of 1 cases of wrong differ, 1 of 3 cases of acc_scale differ", done.stderr)
        self.assertIn("seven ", gemmini("check", path, code=1).stdout)
        cases[-1]["rtl_verified"] = False
        done = gemmini("check", self.write("cases.json", json.dumps(cases)))
        self.assertIn("wrong_1: result 0 differs", done.stderr)

    def test_time_says_what_a_program_costs(self):
        report = json.loads(gemmini("time", GOLDEN / "loop_relu.txt", "--json").stdout)
        self.assertEqual(report["macs"], 163680)
        self.assertGreater(report["cycles"], report["macs"] / 256)
        self.assertAlmostEqual(report["total_pj"], sum(report["pj"].values()), delta=1e-6 * report["total_pj"])
        self.assertIn(f"{report['cycles']} cycles, ", gemmini("time", GOLDEN / "loop_relu.txt").stdout)
        slow = self.write("slow.ini", "[mem]\nlatency = 200\n")
        slower = json.loads(gemmini("time", GOLDEN / "loop_relu.txt", "--config", slow, "--json").stdout)
        self.assertGreater(slower["cycles"], report["cycles"])

    def test_check_compares_cycles(self):
        cases = self.write("cases.json", json.dumps([golden_case("seven_1", bytes([7] * 4))]))
        row = {"config": "default", "name": "seven_1", "mem_latency": 40, "bytes_per_cycle": 16, "host_interval": 1}
        other = {**row, "name": "unknown"}
        cycles = self.write("cycles.json", json.dumps({"rows": [{**row, "cycles": 100}, {**other, "cycles": 5}]}))
        families = json.loads(gemmini("check", cases, "--cycles", cycles, "--json").stdout)["families"]
        self.assertEqual(list(families), ["seven"])
        self.assertEqual(families["seven"]["cycle_cases"], 1)
        self.assertLess(families["seven"]["worst_error"], 0.5)
        self.assertEqual(families["seven"]["worst_error"], families["seven"]["mean_error"])

    def test_errors(self):
        program = self.write("bad.txt", "fence\nmvin dram=0x10 local=spad+0 rows=1 cols=1\n")
        self.assertIn("command 1 (mvin)", gemmini("run", program, code=1).stderr)
        program = self.write("bad.txt", "mvin dram=0x10 rows\n")
        self.assertIn("bad.txt:1: mvin has no field 'rows'", gemmini("run", program, code=1).stderr)
        self.assertIn("nothing.json", gemmini("check", self.path / "nothing.json", code=1).stderr)
        self.assertIn("'walk' is not run, time, disasm, check, layer, model or config", gemmini("walk", program, code=2).stderr)
        self.assertIn("run takes one file, not 0", gemmini("run", code=2).stderr)
        self.assertIn("run takes one file, not 2", gemmini("run", program, program, code=2).stderr)

    def test_config_prints_what_config_reads(self):
        text = gemmini("config", "--preset", "survey_nas").stdout
        self.assertIn("\n[acc]\n# Accumulator, in KiB; a row has 64 bytes. (8 to 16384)\nkb = 256\n", text)
        self.assertEqual(gemmini("config", "--config", self.write("all.ini", text)).stdout, text)
        documented = (GOLDEN.parents[2] / "docs" / "gemmini.md").read_text()
        section = ""
        for line in text.splitlines():
            section = line[1:-1] if line.startswith("[") else section
            if " = " in line and not line.startswith("#"):
                self.assertIn(f"| `{section}.{line.split(' = ')[0]}` |", documented)


if __name__ == "__main__":
    sys.exit(unittest.main())
