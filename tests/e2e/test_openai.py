"""The unchanged OpenAI client against the real binary and the fixture model."""

import sys
import threading
import unittest

try:
    import openai
except ImportError:
    print("SKIPPED: the package openai is not installed; ./test.sh installs it")
    sys.exit(77)

from live_server import PATIENCE, Server

MESSAGES = [{"role": "user", "content": "Tell me a story."}]


class OpenAI(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server(is_fake=False)
        cls.client = cls.make_client(cls.server)

    @classmethod
    def tearDownClass(cls):
        cls.client.close()
        with cls.server:
            pass

    @staticmethod
    def make_client(server, **options):
        return openai.OpenAI(
            base_url=server.url + "/v1", api_key="none", timeout=PATIENCE, max_retries=0, **options
        )

    def test_models(self):
        models = self.client.models.list().data
        self.assertEqual([model.id for model in models], ["tiny"])
        self.assertEqual(models[0].centroid["tasks"], ["completions", "chat.completions"])
        self.assertEqual(self.client.models.retrieve("tiny"), models[0])
        with self.assertRaises(openai.NotFoundError):
            self.client.models.retrieve("other")

    def test_completion(self):
        answer = self.client.completions.create(
            model="tiny", prompt="Once upon a time", max_tokens=12, temperature=0
        )
        self.assertEqual(answer.object, "text_completion")
        self.assertGreater(len(answer.choices[0].text), 0)
        self.assertIn(answer.choices[0].finish_reason, ("stop", "length"))
        self.assertLessEqual(answer.usage.completion_tokens, 12)
        self.assertEqual(
            answer.usage.total_tokens, answer.usage.prompt_tokens + answer.usage.completion_tokens
        )
        self.assertGreater(answer.centroid["energy_mj"]["prefill"], 0)

    def test_streamed_completion(self):
        options = dict(model="tiny", prompt="Once upon a time", max_tokens=30, temperature=0)
        whole = self.client.completions.create(**options)
        parts = list(
            self.client.completions.create(
                **options, stream=True, stream_options={"include_usage": True}
            )
        )
        text = "".join(part.choices[0].text for part in parts[:-1])
        self.assertEqual(text, whole.choices[0].text)
        self.assertEqual(parts[-2].choices[0].finish_reason, whole.choices[0].finish_reason)
        self.assertEqual(parts[-1].usage.total_tokens, whole.usage.total_tokens)
        self.assertGreater(parts[-1].centroid["energy_mj"]["decode"], 0)

    def test_chat(self):
        answer = self.client.chat.completions.create(
            model="tiny", messages=MESSAGES, max_completion_tokens=10, temperature=0
        )
        self.assertEqual(answer.choices[0].message.role, "assistant")
        self.assertIsInstance(answer.choices[0].message.content, str)
        parts = list(
            self.client.chat.completions.create(
                model="tiny",
                messages=MESSAGES,
                max_completion_tokens=10,
                temperature=0,
                stream=True,
            )
        )
        self.assertEqual(
            "".join(part.choices[0].delta.content or "" for part in parts),
            answer.choices[0].message.content,
        )
        self.assertEqual(parts[-1].choices[0].finish_reason, answer.choices[0].finish_reason)

    def test_batch_does_not_matter(self):
        """The same request among others gives the same text."""
        options = dict(model="tiny", prompt="The", max_tokens=40, temperature=2, seed=7)
        alone = self.client.completions.create(**options).choices[0].text
        texts = [None] * 8

        def ask(i):
            texts[i] = self.client.completions.create(**options | {"seed": 7 + i % 2}).choices[0].text

        threads = [threading.Thread(target=ask, args=(i,)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(texts[0::2], [alone] * 4)
        self.assertEqual(len(set(texts[1::2])), 1)
        self.assertNotEqual(texts[1], alone)

    def test_stop(self):
        options = dict(model="tiny", prompt="Once upon a time", max_tokens=40, temperature=0)
        text = self.client.completions.create(**options).choices[0].text
        stop = text[5:9]  # somewhere, whatever the tokens are
        answer = self.client.completions.create(**options, stop=[stop, "never ever"])
        self.assertEqual(answer.choices[0].text, text[: text.index(stop)])
        self.assertEqual(answer.choices[0].finish_reason, "stop")
        parts = self.client.completions.create(**options, stop=stop, stream=True)
        self.assertEqual("".join(p.choices[0].text for p in parts), text[: text.index(stop)])

    def test_choices_and_logprobs(self):
        answer = self.client.completions.create(
            model="tiny", prompt=["One", "Two"], n=2, max_tokens=5, seed=1, logprobs=3
        )
        self.assertEqual([choice.index for choice in answer.choices], [0, 1, 2, 3])
        for choice in answer.choices:
            logprobs = choice.logprobs
            self.assertTrue(all(p <= 0 for p in logprobs.token_logprobs))
            self.assertTrue(all(len(top) <= 3 for top in logprobs.top_logprobs))
        chat = self.client.chat.completions.create(
            model="tiny", messages=MESSAGES, max_tokens=4, temperature=0, logprobs=True, top_logprobs=2
        )
        for token in chat.choices[0].logprobs.content:
            self.assertAlmostEqual(token.logprob, token.top_logprobs[0].logprob, places=4)

    def test_logit_bias(self):
        token = 70  # whatever it is: it must be all that comes
        answer = self.client.completions.create(
            model="tiny",
            prompt="One",
            max_tokens=4,
            temperature=0,
            logit_bias={str(token): 100},
            logprobs=0,
        )
        self.assertEqual(len(set(answer.choices[0].logprobs.tokens)), 1)

    def test_errors(self):
        create = self.client.completions.create
        with self.assertRaises(openai.NotFoundError) as caught:
            create(model="gpt-9", prompt="x")
        self.assertEqual(caught.exception.code, "model_not_found")
        with self.assertRaises(openai.BadRequestError) as caught:
            create(model="tiny", prompt="x", temperature=3)
        self.assertEqual(caught.exception.param, "temperature")
        with self.assertRaises(openai.BadRequestError) as caught:
            create(model="tiny", prompt="word " * 2000)
        self.assertEqual(caught.exception.code, "context_length_exceeded")
        with self.assertRaises(openai.BadRequestError) as caught:
            create(model="tiny", prompt="x", extra_body={"no_such_field": 1})
        self.assertEqual(caught.exception.param, "no_such_field")
        with self.assertRaises(openai.BadRequestError) as caught:
            self.client.chat.completions.create(
                model="tiny",
                messages=MESSAGES,
                tools=[{"type": "function", "function": {"name": "f"}}],
            )
        self.assertEqual(caught.exception.param, "tools")

    def test_client_goes_while_streaming(self):
        with self.client.completions.create(
            model="tiny", prompt="One", max_tokens=200, stream=True
        ) as stream:
            next(iter(stream))
        self.server.wait_idle()


class Retry(unittest.TestCase):
    def test_retry_after_429(self):
        """The client comes again by itself when it was turned away, and is served in the end."""
        with Server("--sessions", 1, "--queue", 0, step_us=5000) as server:
            busy = OpenAI.make_client(server)
            patient = OpenAI.make_client(server).with_options(max_retries=10)
            stream = busy.completions.create(
                model="tiny", prompt="x", max_tokens=8000, stream=True
            )
            next(iter(stream))
            with self.assertRaises(openai.RateLimitError) as caught:
                busy.completions.create(model="tiny", prompt="x")
            self.assertEqual(caught.exception.code, "queue_full")
            n = turned_away(server)
            answers = []
            thread = threading.Thread(
                target=lambda: answers.append(
                    patient.completions.create(model="tiny", prompt="echo:at last|")
                )
            )
            thread.start()
            server.wait_for(lambda: turned_away(server) > n)
            stream.close()
            thread.join(3 * PATIENCE)  # Retry-After may say a minute where the machine is slow
            self.assertEqual(answers[0].choices[0].text, "at last")
            busy.close()
            patient.close()

    def test_error_in_a_stream(self):
        with Server("--request-seconds", 1, step_us=5000) as server:
            client = OpenAI.make_client(server)
            with self.assertRaises(openai.APIError) as caught:
                for _ in client.completions.create(
                    model="tiny", prompt="x", max_tokens=8000, stream=True
                ):
                    pass
            self.assertIn("deadline", str(caught.exception))
            client.close()


def turned_away(server):
    text = server.ask("GET", "/metrics")[2].decode()
    name = 'centroid_http_requests_total{route="/v1/completions",code="429"} '
    return next((int(line[len(name) :]) for line in text.splitlines() if line.startswith(name)), 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
