"""Images over HTTP with curl: as a body, in forms and as data URIs; the answers are those of the command line."""

import base64
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

from live_server import FIXTURE, PATIENCE, Server

if shutil.which("curl") is None:
    print("SKIPPED: curl is not installed")
    sys.exit(77)

TESTS = pathlib.Path(__file__).resolve().parent.parent
VISION = TESTS / "support" / "vision"
IMAGES = TESTS / "golden" / "images"
PHOTO, PICTURE = IMAGES / "photo.jpg", IMAGES / "photo.png"
MODELS = {"vit": VISION / "vit", "dino": VISION / "dinov2", "text": TESTS / "support" / "bert", "tiny": FIXTURE}


def data_uri(path):
    kind = "jpeg" if path.suffix == ".jpg" else "png"
    return f"data:image/{kind};base64," + base64.b64encode(path.read_bytes()).decode()


class Images(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server(is_fake=False, models=MODELS)
        result = subprocess.run(
            [os.environ["CENTROID"], "classify", VISION / "vit", "--image", PHOTO, "--json"],
            capture_output=True,
            check=True,
            timeout=PATIENCE,
        )
        cls.expected = [(label["label"], label["probability"]) for label in json.loads(result.stdout)["labels"]]

    @classmethod
    def tearDownClass(cls):
        with cls.server:
            pass

    def curl(self, path, *options, stdin=None):
        result = subprocess.run(
            ["curl", "-sS", "-w", "\n%{http_code}", *options, self.server.url + path],
            capture_output=True,
            check=True,
            input=stdin,
            timeout=PATIENCE,
        )
        body, _, status = result.stdout.rpartition(b"\n")
        return int(status), json.loads(body)

    def json(self, path, **body):
        status, _, answer = self.server.ask("POST", path, body)
        return status, json.loads(answer)

    def check_labels(self, status, answer):
        self.assertEqual(status, 200, answer)
        [one] = answer["data"]
        self.assertEqual([label["label"] for label in one["labels"]], [label for label, _ in self.expected])
        for label, (_, probability) in zip(one["labels"], self.expected, strict=True):
            self.assertAlmostEqual(label["probability"], probability, places=6)
        self.assertEqual(answer["usage"]["prompt_tokens"], 17)  # patches of 4 x 4 in 16 x 16, and one
        self.assertGreater(answer["centroid"]["energy_mj"]["prefill"], 0)

    def test_a_body(self):
        for kind in ("image/jpeg", "application/octet-stream", "image/png"):  # the bytes tell the format
            self.check_labels(
                *self.curl("/v1/classify?model=vit", "-H", f"Content-Type: {kind}", "--data-binary", f"@{PHOTO}")
            )

    def test_a_form(self):
        for name in ("image", "file"):
            self.check_labels(
                *self.curl("/v1/classify", "-F", "model=vit", "-F", "top_k=9", "-F", f"{name}=@{PHOTO}")
            )
        self.check_labels(*self.curl("/v1/classify?model=vit", "-F", f"image=@{PHOTO};type=image/jpeg"))
        status, answer = self.curl("/v1/classify", "-F", "model=vit", "-F", f"file=@{PHOTO}", "-F", f"file=@{PICTURE}")
        self.assertEqual((status, len(answer["data"])), (200, 2))

    def test_data_uris(self):
        self.check_labels(*self.json("/v1/classify", model="vit", image=data_uri(PHOTO)))
        status, answer = self.json("/v1/classify", model="vit", images=[data_uri(PICTURE), data_uri(PHOTO)], top_k=1)
        self.assertEqual((status, len(answer["data"])), (200, 2))
        [label] = answer["data"][1]["labels"]
        self.assertEqual(label["label"], self.expected[0][0])

    def test_vectors(self):
        status, answer = self.json("/v1/embeddings", model="dino", images=[data_uri(PHOTO), data_uri(PICTURE)])
        self.assertEqual(status, 200, answer)
        vectors = [one["embedding"] for one in answer["data"]]
        self.assertNotEqual(vectors[0], vectors[1])
        query = "/v1/embeddings?model=dino&encoding_format=float&dimensions=8"
        status, answer = self.curl(query, "-H", "Content-Type: image/png", "--data-binary", f"@{PICTURE}")
        self.assertEqual(status, 200, answer)
        cut = answer["data"][0]["embedding"]
        length = sum(x * x for x in vectors[1][:8]) ** 0.5
        self.assertEqual(len(cut), 8)
        for a, b in zip(cut, vectors[1]):
            self.assertAlmostEqual(a, b / length, places=5)

    def test_beside_other_models(self):
        status, _, text = self.server.ask("GET", "/v1/models")
        models = {m["id"]: m["centroid"] for m in json.loads(text)["data"]}
        self.assertEqual({name: m["input"] for name, m in models.items()}, {"vit": "image", "dino": "image", "text": "text", "tiny": "text"})
        self.assertEqual((models["vit"]["tasks"], models["dino"]["tasks"]), (["classify"], ["embeddings"]))
        self.assertEqual(self.json("/v1/embeddings", model="text", input="was")[0], 200)
        status, answer = self.json("/v1/estimate", model="vit", image=data_uri(PHOTO))
        self.assertEqual((status, answer["prompt_tokens"]), (200, 17))

    def refused(self, status, field, result):
        found, answer = result
        self.assertEqual((found, answer["error"]["param"]), (status, field), answer)
        return answer["error"]["message"]

    def test_wrong_images(self):
        raw = ["-H", "Content-Type: image/jpeg", "--data-binary"]
        half = PHOTO.read_bytes()[: PHOTO.stat().st_size // 2]
        self.refused(400, "image", self.curl("/v1/classify?model=vit", *raw, "@-", stdin=half))
        self.refused(415, "image", self.curl("/v1/classify?model=vit", *raw, "@-", stdin=b"GIF89a" + bytes(50)))
        self.refused(400, "image", self.curl("/v1/classify?model=vit", *raw, "", stdin=b""))
        self.refused(413, None, self.curl("/v1/classify?model=vit", "-H", "Expect:", *raw, "@-", stdin=bytes(9 << 20)))
        message = self.refused(415, None, self.curl("/v1/classify", "-H", "Content-Type: text/html", "-d", "x"))
        self.assertIn("multipart/form-data", message)
        self.refused(415, None, self.curl("/v1/completions?model=tiny", *raw, f"@{PHOTO}"))
        for value in ("data:image/png,abc", "data:text/plain;base64,QQ==", "https://example.org/a.png", "QQ==", 1, "data:image/png;base64"):
            self.assertIn("data URI", self.refused(400, "image", self.json("/v1/classify", model="vit", image=value)))
        for text in ("QQ", "Q Q=", "QR==", "QUJD\n"):
            message = self.refused(400, "images[0]", self.json("/v1/classify", model="vit", images=["data:image/png;base64," + text]))
            self.assertIn("base64", message)
        self.refused(415, "image", self.json("/v1/classify", model="vit", image="data:image/png;base64,QUJD"))
        self.refused(400, "image", self.json("/v1/classify", model="vit", image="data:image/png;base64,"))

    def test_wrong_requests(self):
        uri = data_uri(IMAGES / "1x1.png")
        self.refused(400, "image", self.json("/v1/classify", model="vit"))
        self.assertIn("images, not text", self.refused(400, "input", self.json("/v1/classify", model="vit", input="a")))
        self.assertIn("text, not images", self.refused(400, "image", self.json("/v1/embeddings", model="text", image=uri)))
        self.refused(400, "images", self.json("/v1/classify", model="vit", image=uri, images=[uri]))
        self.refused(400, "images", self.json("/v1/classify", model="vit", images=[]))
        self.assertIn("33 images are more than the 32", self.refused(400, "images", self.json("/v1/classify", model="vit", images=[uri] * 33)))
        self.refused(400, "model", self.json("/v1/rerank", model="dino", query="a", documents=["b"]))
        self.refused(400, "model", self.json("/v1/embeddings", model="vit", image=uri))
        photo = ["-F", f"image=@{PHOTO}"]
        self.refused(400, "model", self.curl("/v1/classify", *photo))
        self.refused(404, "model", self.curl("/v1/classify?model=x", *photo))
        self.refused(400, "top_k", self.curl("/v1/classify?model=vit&top_k=many", *photo))
        self.refused(400, "top_k", self.curl("/v1/classify?model=vit&top_k=0", *photo))
        self.refused(400, "colour", self.curl("/v1/classify?model=vit&colour=1", *photo))
        self.refused(400, "model", self.curl("/v1/classify?model=vit", "-F", "model=vit", *photo))
        self.refused(400, None, self.curl("/v1/classify?model=vit&x=%4", *photo))
        self.refused(400, None, self.curl("/v1/classify?model=vit", "-H", "Content-Type: multipart/form-data", "-d", "x"))
        self.refused(400, "image", self.curl("/v1/classify", "-F", "model=vit"))

    def test_a_photo_that_would_be_huge(self):
        """Its header declares more pixels than are decoded: refused before memory is taken."""
        import struct
        import zlib

        def chunk(kind, data):
            return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

        head = struct.pack(">IIBBBBB", 16000, 16000, 8, 2, 0, 0, 0)
        png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
        with tempfile.NamedTemporaryFile(suffix=".png") as file:
            file.write(png)
            file.flush()
            message = self.refused(400, "image", self.curl("/v1/classify?model=vit", "-F", f"image=@{file.name}"))
        self.assertIn("16000", message)


if __name__ == "__main__":
    unittest.main(verbosity=2)
