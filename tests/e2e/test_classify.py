"""Labels of texts and documents by relevance, from the small classifiers of tests/support/encoders, whose
reference answers are in golden/encoder_answers.json, and from an encoder that makes vectors."""

import json
import math
import os
import pathlib
import subprocess
import unittest

from live_server import Server

TESTS = pathlib.Path(__file__).resolve().parent.parent
ENCODERS = TESTS / "support" / "encoders"
GOLDEN = json.loads((TESTS / "golden" / "encoder_answers.json").read_text())
MODELS = {
    "nli": ENCODERS / "bert_classifier",  # three labels that exclude each other
    "topics": ENCODERS / "distilbert",  # 17 that do not
    "cross": ENCODERS / "mpnet",  # one: a cross-encoder
    "vectors": TESTS / "support" / "bert",
}
# Whole words of the small models' vocabulary.
WORDS = {word: 89 + i for i, word in enumerate("the of and to in is it".split())}
QUERY = "is it the"
DOCUMENTS = ["it is in the", "of", "to and to", "the of it", "in in in in"]
CONTEXT = 150  # of the cross-encoder


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def softmax(row):
    exps = [math.exp(x - max(row)) for x in row]
    return [x / sum(exps) for x in exps]


def ids(text):
    return [WORDS[word] for word in text.split()]


def pair(first, second):
    """As MPNet's tokenizer puts them together."""
    return [0, *ids(first), 2, 2, *ids(second), 2]


class Rows(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server("--activations=float", is_fake=False, models=MODELS)

    @classmethod
    def tearDownClass(cls):
        with cls.server:
            pass

    def post(self, path, **body):
        status, headers, answer = self.server.ask("POST", path, body)
        return status, json.loads(answer), headers

    def ok(self, path, **body):
        status, answer, headers = self.post(path, **body)
        self.assertEqual(status, 200, answer)
        self.assertEqual((answer["object"], answer["model"]), ("list", body["model"]))
        self.assertGreater(answer["centroid"]["energy_mj"]["prefill"], 0)
        self.assertIn("x-energy-mj", headers)
        return answer

    def refused(self, path, field, **body):
        status, answer, _ = self.post(path, **body)
        self.assertEqual((status, answer["error"]["param"]), (400, field), answer)
        return answer["error"]["message"]


class Classify(Rows):
    def check(self, model, probabilities):
        cases = [case for case in GOLDEN[MODELS[model].name] if not case["types"]]
        answer = self.ok("/v1/classify", model=model, input=[case["tokens"] for case in cases], top_k=100)
        self.assertEqual(answer["usage"]["prompt_tokens"], sum(len(case["tokens"]) for case in cases))
        for i, (one, case) in enumerate(zip(answer["data"], cases, strict=True)):
            self.assertEqual((one["object"], one["index"]), ("classification", i))
            found = {label["id"]: label["probability"] for label in one["labels"]}
            for k, expected in enumerate(probabilities(case["logits"])):
                self.assertAlmostEqual(found[k], expected, delta=2e-3)
            ranked = [label["probability"] for label in one["labels"]]
            self.assertEqual(ranked, sorted(ranked, reverse=True))

    def test_labels_that_exclude_each_other(self):
        self.check("nli", softmax)

    def test_labels_that_do_not(self):
        self.check("topics", lambda row: [sigmoid(x) for x in row])

    def test_one_label(self):
        self.check("cross", lambda row: [sigmoid(x) for x in row])

    def test_the_likeliest(self):
        [one] = self.ok("/v1/classify", model="topics", input="the of")["data"]
        self.assertEqual(len(one["labels"]), 5)
        [two] = self.ok("/v1/classify", model="topics", input="the of", top_k=2)["data"]
        self.assertEqual(two["labels"], one["labels"][:2])
        self.assertRegex(one["labels"][0]["label"], r"^topic \d+$")
        names = {label["label"] for label in self.ok("/v1/classify", model="nli", input="it")["data"][0]["labels"]}
        self.assertEqual(names, {"contradiction", "entailment", "neutral"})

    def test_many_at_once_have_the_bits_of_one(self):
        texts = [f"{'the of ' * (i % 7)}it" for i in range(100)]
        answer = self.ok("/v1/classify", model="topics", input=texts)
        for i in (0, 3, 99):
            [alone] = self.ok("/v1/classify", model="topics", input=texts[i])["data"]
            self.assertEqual(answer["data"][i]["labels"], alone["labels"])

    def test_truncate(self):
        message = self.refused("/v1/classify", "input", model="cross", input="to " * 200)
        self.assertIn("202 tokens", message)
        self.assertIn(f" {CONTEXT} ", message)
        [cut] = self.ok("/v1/classify", model="cross", input="to " * 200, truncate=True)["data"]
        [by_hand] = self.ok("/v1/classify", model="cross", input=[0, *ids("to " * (CONTEXT - 2)), 2])["data"]
        self.assertTrue(cut["truncated"])
        self.assertNotIn("truncated", by_hand)
        self.assertEqual(cut["labels"], by_hand["labels"])

    def test_pairs(self):
        pairs = [{"text": QUERY, "text_pair": document} for document in DOCUMENTS]
        by_hand = self.ok("/v1/classify", model="cross", input=[pair(QUERY, document) for document in DOCUMENTS])
        self.assertEqual(self.ok("/v1/classify", model="cross", input=pairs)["data"], by_hand["data"])
        [one] = self.ok("/v1/classify", model="cross", input=pairs[2])["data"]
        self.assertEqual(one["labels"], by_hand["data"][2]["labels"])
        # A model of BERT's family also tells the two apart by the types of tokens.
        [typed] = self.ok("/v1/classify", model="nli", input=pairs[0])["data"]
        command = [os.environ["CENTROID"], "classify", MODELS["nli"], "--text", QUERY, "--second", DOCUMENTS[0]]
        printed = json.loads(subprocess.check_output([*command, "--activations", "float", "--json"]))
        for label, expected in zip(typed["labels"], printed["labels"], strict=True):
            self.assertEqual(label["label"], expected["label"])
            self.assertAlmostEqual(label["probability"], expected["probability"], delta=1e-6)

    def test_a_long_pair(self):
        long = {"text": QUERY, "text_pair": "to " * 200}
        self.assertIn(f" {CONTEXT} ", self.refused("/v1/classify", "input", model="cross", input=long))
        [cut] = self.ok("/v1/classify", model="cross", input=long, truncate=True)["data"]
        kept = pair(QUERY, "to " * 200)[: CONTEXT - 1] + [2]
        [by_hand] = self.ok("/v1/classify", model="cross", input=kept)["data"]
        self.assertTrue(cut["truncated"])
        self.assertEqual(cut["labels"], by_hand["labels"])
        front = {"text": "to " * 147, "text_pair": "it"}
        message = self.refused("/v1/classify", "input[0].text", model="cross", input=[front], truncate=True)
        self.assertIn("leave no room", message)

    def test_wrong_pairs(self):
        good = {"text": "is", "text_pair": "it"}
        for wrong in ({"text": "is"}, {**good, "more": 1}, {"text": 1, "text_pair": "it"}, {}):
            self.refused("/v1/classify", "input", model="nli", input=wrong)
            self.refused("/v1/classify", "input[1]", model="nli", input=[good, wrong])
        self.refused("/v1/classify", "input[1]", model="nli", input=[good, "it"])
        self.refused("/v1/classify", "input.text", model="nli", input={**good, "text": ""})
        self.refused("/v1/embeddings", "input", model="vectors", input=good)

    def test_wrong_requests(self):
        self.refused("/v1/classify", "input", model="nli")
        self.refused("/v1/classify", "top_k", model="nli", input="a", top_k=0)
        self.refused("/v1/classify", "dimensions", model="nli", input="a", dimensions=1)
        self.assertIn("embeddings", self.refused("/v1/classify", "model", model="vectors", input="a"))
        self.assertIn("labels", self.refused("/v1/embeddings", "model", model="nli", input="a"))
        self.assertIn("more than the 320", self.refused("/v1/classify", "input", model="nli", input=["a"] * 321))

    def test_estimate(self):
        for body in ({"input": "the of"}, {"query": "is", "documents": ["it", "to"]}):
            answer = self.post("/v1/estimate", model="cross", **body)[1]
            self.assertEqual((answer["object"], answer["max_output_tokens"]), ("estimate", 0))

    def test_tasks(self):
        _, _, text = self.server.ask("GET", "/v1/models")
        models = {m["id"]: m["centroid"] for m in json.loads(text)["data"]}
        self.assertEqual({name: m["n_labels"] for name, m in models.items()}, {"nli": 3, "topics": 17, "cross": 1, "vectors": 0})
        self.assertEqual(models["nli"]["tasks"], ["classify"])
        self.assertEqual(models["cross"]["tasks"], ["classify", "rerank"])
        self.assertEqual(models["vectors"]["tasks"], ["embeddings", "rerank"])


class Rerank(Rows):
    def rank(self, model, **body):
        return self.ok("/v1/rerank", model=model, query=QUERY, documents=DOCUMENTS, **body)

    def check_order(self, results):
        self.assertEqual(sorted(one["index"] for one in results), list(range(len(DOCUMENTS))))
        scores = [one["relevance_score"] for one in results]
        self.assertEqual(scores, sorted(scores, reverse=True))

    def test_by_pairs(self):
        answer = self.rank("cross")
        self.check_order(answer["results"])
        pairs = [pair(QUERY, document) for document in DOCUMENTS]
        expected = self.ok("/v1/classify", model="cross", input=pairs)["data"]
        for one in answer["results"]:
            self.assertEqual(one["relevance_score"], expected[one["index"]]["labels"][0]["probability"])
        self.assertEqual(answer["usage"]["total_tokens"], sum(map(len, pairs)))

    def test_by_vectors(self):
        answer = self.rank("vectors")
        self.check_order(answer["results"])
        vectors = [one["embedding"] for one in self.ok("/v1/embeddings", model="vectors", input=[QUERY, *DOCUMENTS])["data"]]
        for one in answer["results"]:
            cosine = sum(a * b for a, b in zip(vectors[0], vectors[1 + one["index"]]))
            self.assertAlmostEqual(one["relevance_score"], cosine, places=6)

    def test_documents(self):
        whole = self.rank("cross")["results"]
        few = self.rank("cross", top_n=2, return_documents=True)["results"]
        for one, same in zip(few, whole[:2], strict=True):
            self.assertEqual(one.pop("document"), {"text": DOCUMENTS[one["index"]]})
            self.assertEqual(one, same)
        as_objects = [{"text": document} for document in DOCUMENTS]
        self.assertEqual(
            self.ok("/v1/rerank", model="cross", query=QUERY, documents=as_objects)["results"], whole
        )

    def test_length(self):
        long = "to " * 300
        for model, field in (("cross", "documents[1]"), ("vectors", "documents[1]")):
            message = self.refused("/v1/rerank", field, model=model, query=QUERY, documents=["it", long])
            self.assertRegex(message, r"\d+ tokens are more than the context of \d+ tokens")
            answer = self.ok("/v1/rerank", model=model, query=QUERY, documents=["it", long], truncate=True)
            self.assertEqual({one["index"]: one.get("truncated") for one in answer["results"]}, {0: None, 1: True})
            for query in (long, "to " * (CONTEXT - 2)):  # the second fits, but without any document
                if model == "cross" or query == long:
                    message = self.refused("/v1/rerank", "query", model=model, query=query, documents=["it"], truncate=True)
                    self.assertIn("context of", message)
        cut = self.ok("/v1/rerank", model="cross", query=QUERY, documents=[long], truncate=True)["results"][0]
        tokens = pair(QUERY, long)[: CONTEXT - 1] + [2]
        [by_hand] = self.ok("/v1/classify", model="cross", input=[tokens])["data"]
        self.assertEqual(cut["relevance_score"], by_hand["labels"][0]["probability"])

    def test_wrong_requests(self):
        for field, body in [
            ("query", {"documents": ["a"]}),
            ("query", {"query": "", "documents": ["a"]}),
            ("query", {"query": 1, "documents": ["a"]}),
            ("query", {"query": " " * 65537, "documents": ["a"], "truncate": True}),
            ("documents", {"query": "a"}),
            ("documents", {"query": "a", "documents": []}),
            ("documents", {"query": "a", "documents": "a"}),
            ("documents[1]", {"query": "a", "documents": ["a", 1]}),
            ("documents[0]", {"query": "a", "documents": [{"text": "a", "title": "b"}]}),
            ("documents[0]", {"query": "a", "documents": [""]}),
            ("top_n", {"query": "a", "documents": ["a"], "top_n": 0}),
            ("input", {"query": "a", "documents": ["a"], "input": "a"}),
        ]:
            self.refused("/v1/rerank", field, model="cross", **body)
        message = self.refused("/v1/rerank", "model", model="nli", query="a", documents=["a"])
        self.assertIn("labels, not a relevance", message)


if __name__ == "__main__":
    unittest.main(verbosity=2)
