"""Writes tests/golden/tokenizer.bin: 2,000 texts and the ids that `tokenizers` gives them.

Needs: Python 3.11 (Unicode 14), tokenizers 0.23.3, gguf 0.19.0, and the default model in
${CENTROID_CACHE:-${XDG_CACHE_HOME:-~/.cache}/centroid}/SmolLM2-135M-Instruct.Q4_1.gguf.
Run: python3 make_tokenizer.py

The file, little-endian, without padding:
  "CTBPE002", u32 number of texts, then each text:
    u16 number of segments; each: u32 bytes, u32 repeats, the bytes
    six results: SmolLM2 without and with special tokens, the fixture without and with, the fixture's
      vocabulary with Qwen 2's normalizer and split without and with;
      each: u32 number of ids, u64 FNV-1a of them as u32
    u16 number of SmolLM2's ids with special tokens that follow (0 when there are many), u16 each
"""

import json
import os
import pathlib
import random
import struct
import unicodedata

from gguf import GGUFReader
from tokenizers import Tokenizer, normalizers

HERE = pathlib.Path(__file__).resolve().parent
FIXTURE = HERE.parent / "support" / "fixture" / "tokenizer.json"
MODEL = "SmolLM2-135M-Instruct.Q4_1.gguf"
N_TEXTS = 2000
MAX_IDS_IN_FULL = 64
QWEN2_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
    r"\s+(?!\S)|\s+")

SPACES = [chr(c) for c in (
    *range(0x09, 0x0E), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F,
    0x205F, 0x3000)]
NEARLY_SPACES = [chr(c) for c in (0x180E, 0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF, 0x1C, 0x1F, 0x00)]
EMOJI = [
    "😀", "👍🏽", "👩‍👩‍👧‍👦", "🏳️‍🌈", "🇫🇷🇩🇪🇯🇵", "1️⃣#️⃣*️⃣", "🧑🏿‍🚀", "❤️‍🔥", "☎︎☎️",
    "🏴\U000E0067\U000E0062\U000E0073\U000E0063\U000E0074\U000E007F", "👁️‍🗨️", "🫱🏻‍🫲🏿", "\U0001FAE8"]
CODE = [
    "for (int i = 0; i < n; i++) {", "\tif (x[i] != NULL && *p++ == '\\0')", "        return -1;",
    "def f(self, *args, **kwargs) -> dict[str, int]:", "    \"\"\"It's a docstring.\"\"\"",
    "#include <stdio.h>", "SELECT a.id, COUNT(*) FROM t AS a WHERE x >= 1.5e-10 GROUP BY 1;",
    "let x: Vec<&'static str> = vec![];", "const re = /^[a-z]+\\d{2,}$/gi;", "<div class=\"a b\">&nbsp;</div>",
    "{\"k\": [1, 2.50, null, true]}", "git commit -m 'fix: don''t' && make -j8", "}", "\t\t\t\t}",
    "0xDEADBEEF 0b1010 1_000_000", "https://example.org/a?b=c&d=%20#e", "a<<=2;b>>>=3;c??=d?.e", "// ----"]
WORDS = (
    "the quick brown fox don't I'll we've they're he'd I'm it's DON'T I'LL WE'VE it'S 'tis 'twas o'clock "
    "l'été naïve Zürich straße ΣΊΣΥΦΟΣ ﬁne Å Å ñ ñ x² ½ Ⅷ ㊿ don’t tokenization antidisestablishmentarianism "
    "GPT-2 3.14159 1,000,000 $5.00 50% #1 @user foo_bar camelCase HTTPServer e.g. i.e. ... !!! ?! -- — « » "
    "2024-01-31T23:59:59Z +1-800-555-0100").split()
BAD_BYTES = [
    b"\x80", b"\xBF", b"\xC0\x80", b"\xC1\xBF", b"\xC3", b"\xE0\x80\x80", b"\xE2\x82", b"\xE2\x28\xA1",
    b"\xED\xA0\x80", b"\xED\xBF\xBF", b"\xED\xA0\xBD\xED\xB8\x80", b"\xF0\x80\x80\x80", b"\xF0\x9F\x98",
    b"\xF0\x9F", b"\xF4\x90\x80\x80", b"\xF5\x80\x80\x80", b"\xF8\x88\x80\x80\x80", b"\xFE", b"\xFF\xFE",
    b"\xF0\x9F\x98\xF0\x9F\x98\x80", b"\xE2\xE2\x82\xAC"]


def pages():
    """Assigned characters by block of 128, without controls, surrogates and private use."""
    result = {}
    for c in range(0x21, 0x110000):
        if unicodedata.category(chr(c))[0] in "LMNPS":
            result.setdefault(c >> 7, []).append(chr(c))
    return result


def script_texts(rng, n):
    by_page = pages()
    is_big = {p for p in by_page if 0x3400 <= p << 7 < 0xA000 or 0xAC00 <= p << 7 < 0xD800 or p << 7 >= 0x17000}
    chosen = sorted(set(by_page) - is_big) + rng.sample(sorted(is_big), 80)
    chosen = (chosen * 3)[:n]
    for page in chosen:
        words = ("".join(rng.choices(by_page[page], k=rng.randint(1, 8))) for _ in range(rng.randint(1, 4)))
        yield rng.choice([" ", " ", "", ", ", "\n"]).join(words)


def space_texts(rng, n):
    for _ in range(n):
        parts = []
        for _ in range(rng.randint(1, 4)):
            kind = rng.choice([SPACES, [" "], [" ", "\n"], SPACES + NEARLY_SPACES])
            parts.append("".join(rng.choices(kind, k=rng.choice([1, 2, 3, 4, 7, 9, 16]))))
            parts.append(rng.choice(["", "a", "Wort", "7", "!", "é", "'s"]))
        yield "".join(parts)


def digit_texts(rng, n):
    numeric = [chr(c) for c in range(0x110000) if unicodedata.category(chr(c)) in ("Nd", "Nl", "No")]
    # Digits that came after Python's Unicode 14: the tables of pretokenizer.c.
    numeric += [chr(c) for c in (0x11F50, 0x1E4F5, 0x10D42, 0x116D5, 0x1CCF9, 0x11DE3, 0x16FF5)] * 8
    for _ in range(n):
        parts = ("".join(rng.choices(rng.choice([numeric, "0123456789"]), k=rng.randint(1, 6)))
                 for _ in range(rng.randint(1, 4)))
        yield rng.choice(["", " ", "a", ".", "  ", "-"]).join(parts)


def code_texts(rng, n):
    for _ in range(n):
        yield rng.choice(["\n", "\r\n", "\n    "]).join(rng.choices(CODE, k=rng.randint(1, 3)))


def emoji_texts(rng, n):
    for _ in range(n):
        yield rng.choice(["", " ", "a"]).join(rng.choices(EMOJI, k=rng.randint(1, 4)))


def word_texts(rng, n):
    for _ in range(n):
        yield rng.choice([" ", " ", "  ", "\n"]).join(rng.choices(WORDS, k=rng.randint(1, 10)))


def bad_texts(rng, n):
    for i in range(n):
        if i % 3 == 0:
            yield rng.randbytes(rng.randint(1, 24))
        else:
            good = [b"", b"a", " é".encode(), "😀".encode(), b"12", b"<|im_end|>", b"\xE2\x82"]
            yield b"".join(rng.choice(rng.choice([BAD_BYTES, good])) for _ in range(rng.randint(2, 8)))


def special_texts(rng, n, specials):
    pieces = specials[:3] * 4 + specials + ["<|im_start", "|im_end|>", "<|", "|>", "<", " ", "  ", "\n", "system",
                                             "a", "<|im_<|im_end|>end|>", "<|IM_END|>", "é", "<|im_start|>user\nHi"]
    for _ in range(n):
        yield "".join(rng.choices(pieces, k=rng.randint(1, 7)))


def nfc_texts(rng, n):
    """Letters in pieces, marks in any order, and characters that NFC does not keep."""
    letters = [c for c in range(0xC0, 0x30000) if unicodedata.decomposition(chr(c))[:1] not in ("", "<")]
    syllables = range(0xAC00, 0xD7A4)
    marks = [c for c in range(0x300, 0x3100) if unicodedata.combining(chr(c))]
    for _ in range(n):
        parts = []
        for _ in range(rng.randint(1, 6)):
            form = rng.choice(["NFD", "NFD", "NFC"])
            letter = chr(rng.choice(rng.choice([letters, letters, syllables, range(0x61, 0x7B)])))
            parts.append(unicodedata.normalize(form, letter) if rng.random() < 0.8 else letter)
            parts += (chr(rng.choice(marks)) for _ in range(rng.choice([0, 0, 1, 2, 4])))
            parts.append(rng.choice(["", "", " ", "<|im_end|>", "1"]))
        yield "".join(parts)


def is_settled(text):
    """Whether the reference's normalizer and Unicode 14 agree: it knows no marks newer than Unicode 9."""
    text = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return normalizers.NFC().normalize_str(text) == unicodedata.normalize("NFC", text)


def new_letters():
    """Letters and marks of Unicode 15 and 16, which PCRE2 10.42 does not know."""
    for c in (0x1C89, 0xA7CB, 0xA7DC, 0x105C0, 0x10D4A, 0x11380, 0x11F04, 0x13460, 0x16100, 0x16D40, 0x1E030,
              0x1E4D0, 0x1E5D0, 0x2EBF0, 0x31350, 0x323AF, 0x11F34, 0x180E):
        yield f"a{chr(c)}b {chr(c)}{chr(c)} '{chr(c)} {chr(c)}s"


def long_texts(rng):
    """As segments: (text, repeats)."""
    word = "".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=997))
    for text, n in (("a", 10000), ("ab", 7000), (" ", 5000), ("\n", 3000), ("\t ", 999), ("7", 3000), ("é", 4000),
                    ("語", 3000), ("😀", 2000), (word, 9), ("-", 2048), ("=", 1), ("the", 2000), (" the", 2000),
                    ("\u00A0", 1500), ("\uFFFD", 500), ("'s", 1000), ("ааа", 1000), ("\x00", 700), ("<|", 1000),
                    ("<|im_end|>", 300), ("<|im_start", 300)):
        yield [(text.encode(), n)]
        yield [(b"x ", 1), (text.encode(), n), (b" y", 1)]
    yield [(b"\xFF", 1000)]
    yield [(b"\xF0\x9F\x98", 1000), (b"\x80", 1)]
    yield [(b"", 0)]


def make_texts(specials):
    rng = random.Random(20240229)
    plain = [*script_texts(rng, 560), *space_texts(rng, 230), *digit_texts(rng, 170), *code_texts(rng, 170),
             *emoji_texts(rng, 130), *bad_texts(rng, 260), *special_texts(rng, 180, specials), *new_letters(), *nfc_texts(rng, 150)]
    plain = [text for text in plain if is_settled(text)]
    texts = [[(t if isinstance(t, bytes) else t.encode(), 1)] for t in plain] + list(long_texts(rng))
    texts += [[(t.encode(), 1)] for t in word_texts(rng, N_TEXTS - len(texts))]
    return texts


def smollm2(path):
    """The tokenizer.json that GGUF metadata stands for, in SmolLM2's structure (the fixture's)."""
    fields = GGUFReader(path).fields
    tokens, merges, types = (
        fields[f"tokenizer.ggml.{key}"].contents() for key in ("tokens", "merges", "token_type"))
    assert fields["tokenizer.ggml.pre"].contents() == "smollm"
    value = json.loads(FIXTURE.read_text(encoding="utf-8"))
    added = value["added_tokens"][0]
    value["added_tokens"] = [dict(added, id=i, content=tokens[i]) for i, kind in enumerate(types) if kind == 3]
    value["model"]["vocab"] = {token: i for i, token in enumerate(tokens)}
    value["model"]["merges"] = [merge.split(" ") for merge in merges]
    return Tokenizer.from_str(json.dumps(value)), [token["content"] for token in value["added_tokens"]]


def with_qwen2_rules(path):
    value = json.loads(path.read_text(encoding="utf-8"))
    value["normalizer"] = {"type": "NFC"}
    value["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": QWEN2_PATTERN}, "behavior": "Isolated", "invert": False},
        {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}]}
    return Tokenizer.from_str(json.dumps(value))


def fnv(ids):
    value = 0xCBF29CE484222325
    for byte in struct.pack(f"<{len(ids)}I", *ids):
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value


def main():
    cache = os.environ.get("CENTROID_CACHE") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "centroid")
    real, specials = smollm2(os.path.join(cache, MODEL))
    fixture = Tokenizer.from_file(str(FIXTURE))
    qwen2 = with_qwen2_rules(FIXTURE)
    texts = make_texts(specials)
    assert len(texts) == N_TEXTS
    out = bytearray(b"CTBPE002" + struct.pack("<I", len(texts)))
    for segments in texts:
        out += struct.pack("<H", len(segments))
        for data, repeats in segments:
            out += struct.pack("<II", len(data), repeats) + data
        text = b"".join(data * repeats for data, repeats in segments).decode("utf-8", "replace")
        for tokenizer in (real, fixture, qwen2):
            for has_special in (False, True):
                tokenizer.encode_special_tokens = not has_special
                ids = tokenizer.encode(text, add_special_tokens=False).ids
                out += struct.pack("<IQ", len(ids), fnv(ids))
                if tokenizer is real and has_special:
                    in_full = ids if len(ids) <= MAX_IDS_IN_FULL else []
        out += struct.pack(f"<H{len(in_full)}H", len(in_full), *in_full)
    (HERE / "tokenizer.bin").write_bytes(out)


if __name__ == "__main__":
    main()
