"""Embeddings: the unchanged OpenAI client and plain requests against the real binary and the small
encoder of tests/support/bert, whose reference vectors are in golden/bert_vectors.json."""

import concurrent.futures
import json
import pathlib
import struct
import sys
import unittest

try:
    import openai
except ImportError:
    print("SKIPPED: the package openai is not installed; ./test.sh installs it")
    sys.exit(77)

from live_server import PATIENCE, Server

TESTS = pathlib.Path(__file__).resolve().parent.parent
GOLDEN = json.loads((TESTS / "golden" / "bert_vectors.json").read_text())
WIDTH = len(GOLDEN[0]["mean_unit"])
CONTEXT = 80


def product(a, b):
    return sum(x * y for x, y in zip(a, b))


class Embeddings(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server(is_fake=False, model=TESTS / "support" / "bert")
        cls.client = openai.OpenAI(
            base_url=cls.server.url + "/v1", api_key="none", timeout=PATIENCE, max_retries=0
        )

    @classmethod
    def tearDownClass(cls):
        cls.client.close()
        with cls.server:
            pass

    def embed(self, value, **options):
        return self.client.embeddings.create(model="tiny", input=value, **options)

    def post(self, path, body):
        status, _, answer = self.server.ask("POST", path, body)
        return status, json.loads(answer)

    def refused(self, field, **body):
        status, answer = self.post("/v1/embeddings", {"model": "tiny", **body})
        self.assertEqual(status, 400, answer)
        self.assertEqual(answer["error"]["param"], field)
        return answer["error"]["message"]

    def test_the_model_says_what_it_does(self):
        [model] = self.client.models.list().data
        self.assertEqual(model.centroid["tasks"], ["embeddings", "rerank"])

    def test_vectors_equal_the_reference(self):
        answer = self.embed([case["tokens"] for case in GOLDEN], encoding_format="float")
        self.assertEqual([one.index for one in answer.data], list(range(len(GOLDEN))))
        for one, case in zip(answer.data, GOLDEN):
            self.assertGreater(product(one.embedding, case["mean_unit"]), 0.999999)
        n_tokens = sum(len(case["tokens"]) for case in GOLDEN)
        self.assertEqual(answer.usage.prompt_tokens, n_tokens)
        self.assertEqual(answer.usage.total_tokens, n_tokens)
        self.assertGreater(answer.centroid["energy_mj"]["prefill"], 0)

    def test_base64_holds_the_same_floats(self):
        as_floats = self.embed("the cat is on it", encoding_format="float").data[0].embedding
        as_bytes = self.embed("the cat is on it").data[0].embedding  # the client asks for base64
        self.assertEqual(struct.pack(f"{WIDTH}f", *as_floats), struct.pack(f"{WIDTH}f", *as_bytes))
        self.assertEqual(len(as_bytes), WIDTH)

    def test_dimensions(self):
        whole = self.embed("to be or not", encoding_format="float").data[0].embedding
        cut = self.embed("to be or not", dimensions=8, encoding_format="float").data[0].embedding
        length = product(whole[:8], whole[:8]) ** 0.5
        for a, b in zip(cut, whole):
            self.assertAlmostEqual(a, b / length, places=6)
        self.assertEqual(len(cut), 8)
        self.assertIn(f"1..{WIDTH}", self.refused("dimensions", input="a", dimensions=WIDTH + 1))

    def test_text_gives_the_vector_of_its_tokens(self):
        [text] = self.embed("as is", encoding_format="float").data
        several = self.embed(["as is", "was"], encoding_format="float").data
        self.assertEqual(text.embedding, several[0].embedding)
        self.assertNotEqual(several[0].embedding, several[1].embedding)

    def test_many_at_once_have_the_bits_of_one(self):
        cases = [GOLDEN[i % len(GOLDEN)]["tokens"] for i in range(64)]
        alone = {len(case): self.embed(case, encoding_format="float").data[0].embedding for case in cases}
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(lambda case: self.embed(case, encoding_format="float"), cases))
        for case, answer in zip(cases, answers):
            self.assertEqual(answer.data[0].embedding, alone[len(case)])

    def test_too_long(self):
        self.embed([5] * CONTEXT)
        message = self.refused("input", input=[5] * (CONTEXT + 1))
        self.assertIn(str(CONTEXT + 1), message)
        self.assertIn(f" {CONTEXT} ", message)
        self.assertIn("tokens", self.refused("input", input="the cat " * 100))
        self.assertIn("more than the 320", self.refused("input", input=["a"] * 321))

    def test_truncate(self):
        long = [7] + [5] * (2 * CONTEXT) + [3]
        cut = self.embed(long, extra_body={"truncate": True}, encoding_format="float")
        by_hand = self.embed([7] + [5] * (CONTEXT - 2) + [3], encoding_format="float")
        self.assertEqual(cut.data[0].embedding, by_hand.data[0].embedding)
        self.assertEqual(cut.usage.prompt_tokens, CONTEXT)
        self.assertTrue(cut.data[0].truncated)
        text = self.embed(["the cat " * 100, "the"], extra_body={"truncate": True})
        self.assertTrue(text.data[0].truncated)
        self.assertFalse(hasattr(text.data[1], "truncated"))
        self.refused("truncate", input="a", truncate=1)

    def test_wrong_requests(self):
        self.assertIn("is empty", self.refused("input", input=""))
        self.refused("input", input=[])
        self.refused("input[0]", input=[[]])
        self.refused("input[1]", input=["a", 5])
        self.refused("input[0]", input=[999])
        self.refused("encoding_format", input="a", encoding_format="int8")
        self.refused("temperature", input="a", temperature=0)
        status, answer = self.post("/v1/embeddings", {"model": "other", "input": "a"})
        self.assertEqual((status, answer["error"]["param"]), (404, "model"))

    def test_a_model_does_what_it_is_for(self):
        for path, body in (
            ("/v1/completions", {"prompt": "a"}),
            ("/v1/chat/completions", {"messages": [{"role": "user", "content": "a"}]}),
        ):
            status, answer = self.post(path, {"model": "tiny", **body})
            self.assertEqual((status, answer["error"]["param"]), (400, "model"))
            self.assertIn("makes embeddings", answer["error"]["message"])

    def test_estimate(self):
        status, answer = self.post("/v1/estimate", {"model": "tiny", "input": ["as is", "was"]})
        self.assertEqual(status, 200, answer)
        self.assertGreater(answer["prompt_tokens"], 4)
        self.assertEqual(answer["max_output_tokens"], 0)
        self.assertGreater(answer["centroid"]["prefill_ms"], 0)


if __name__ == "__main__":
    unittest.main()
