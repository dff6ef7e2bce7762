"""Writes tests/support/fixture/tokenizer.json: a byte-level BPE of 512 tokens with SmolLM2's structure.

Needs: tokenizers 0.23.3. The text below is the project's own. Run: python3 make_fixture_tokenizer.py
"""

import json
import pathlib

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
N_VOCAB = 512
OUT = pathlib.Path(__file__).resolve().parent.parent / "support" / "fixture" / "tokenizer.json"

TEXT = """
The user asks a question and the assistant answers it. The system says: you are a helpful assistant.
user
What is the capital of France? The capital of France is Paris, and it lies on the river Seine.
assistant
Centroid keeps the weights of a model as small indices into a codebook. Each index names one centroid,
and the centroid is the value that stands for all the weights near it. A smaller model needs less memory,
so it reads less from memory for every token, and so it answers sooner and uses less energy.
system
Once upon a time there was a little robot who lived in the workshop of an old clock maker. Every morning
the robot swept the floor, opened the windows and counted the clocks: one, two, three, four, five. When
the clock maker came down the stairs he said, "Good morning, little robot! How many clocks are there?"
"There are as many as there were yesterday," said the robot, "but one of them isn't running, and I don't
know why." They'd look at it together, and we'll never know what they've said, but it's running again.
int main(void)
{
    for (int i = 0; i < n; i++) {
        if (x[i] > 0.5f)
            return sum += weights[i] * inputs[i];
    }
    return 0;
}
def render(messages, role, content):
    return "".join(message["role"] + "\\n" + message["content"] for message in messages)
Größe, façade, naïve, año, crème brûlée; Москва и Санкт-Петербург; 日本語と中国語; 한국어; العربية; ελληνικά.
The quick brown fox jumps over the lazy dog. 0 1 2 3 4 5 6 7 8 9. Which number comes after this number?
"""


def main():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=True, use_regex=True),
    ])
    tokenizer.decoder = decoders.ByteLevel(add_prefix_space=True, trim_offsets=True, use_regex=True)
    trainer = trainers.BpeTrainer(
        vocab_size=N_VOCAB,
        show_progress=False,
        special_tokens=[AddedToken(text, special=True) for text in SPECIAL],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )
    tokenizer.train_from_iterator([TEXT], trainer)
    assert tokenizer.get_vocab_size() == N_VOCAB
    assert [tokenizer.token_to_id(text) for text in SPECIAL] == [0, 1, 2]
    value = json.loads(tokenizer.to_str())
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
