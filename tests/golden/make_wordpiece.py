#!/usr/bin/env python3
"""Writes tests/golden/wordpiece.bin: 2,000 texts and the ids that `tokenizers` gives them; with --fixture, first
makes tests/golden/wordpiece.json, the small vocabulary that most of these ids are from.

Needs: Python 3.11 (Unicode 14), tokenizers 0.23.3, gguf 0.19.0 (for make_tokenizer.py), and tokenizer.json of
sentence-transformers/all-MiniLM-L6-v2 in
${CENTROID_CACHE:-${XDG_CACHE_HOME:-~/.cache}/centroid}/all-MiniLM-L6-v2/. Run: python3 make_wordpiece.py [--fixture]

wordpiece.bin, little-endian, without padding:
  "CTWP0001", u32 number of texts, then each text:
    u16 number of segments; each: u32 bytes, u32 repeats, the bytes
    u32 each, the low 32 bits of the FNV-1a of ids as u32:
      wordpiece.json under each of RULES: ids of the text alone, then with special tokens in and around it
      wordpiece.json: the ids, and then the token types, of this text and the next one (the first after the last)
      all-MiniLM-L6-v2 with special tokens
"""

import json
import os
import random
import struct
import sys
import unicodedata

from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

from make_bert_classes import RULES
from make_tokenizer import (
    HERE,
    bad_texts,
    code_texts,
    digit_texts,
    emoji_texts,
    fnv,
    long_texts,
    new_letters,
    nfc_texts,
    script_texts,
    space_texts,
    word_texts,
)

FIXTURE = HERE / "wordpiece.json"
N_TEXTS = 2000
N_VOCAB = 3000
SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
# Marks that NFD sorts and that stay when accents are stripped, and some that go.
SORTED = [0x302E, 0x302F, 0x1D165, 0x1D166, 0x1D16D, 0x1D16E, 0x1D172, 0x1D15F, 0x1D164, 0x300, 0x345, 0x5B0, 0x903, 0x93E]


def make_fixture():
    """English from the project's own pages, and letters of all scripts, as they are and as uncased models have them."""
    rng = random.Random(7)
    root = HERE.parent.parent
    lines = [line for path in (root / "README.md", *sorted((root / "docs").glob("*.md"))) for line in path.open()]
    lines += [*script_texts(rng, 600), *emoji_texts(rng, 40), *digit_texts(rng, 40), *word_texts(rng, 40)]
    uncased = normalizers.BertNormalizer(True, True, None, True).normalize_str
    lines += [uncased(line) for line in lines] * 2
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(True, True, None, False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.train_from_iterator(
        lines, trainers.WordPieceTrainer(vocab_size=N_VOCAB, limit_alphabet=700, special_tokens=SPECIALS)
    )
    tokenizer.normalizer = normalizers.BertNormalizer(*RULES[0])
    tokenizer.add_special_tokens([AddedToken("[MASK]", lstrip=True, special=True), AddedToken("<Sp>", normalized=True)])
    tokenizer.add_tokens(
        [AddedToken("Ñandú K", normalized=True), AddedToken("ab]", normalized=False), AddedToken("ab] c", normalized=False)]
    )
    ids = {token: tokenizer.token_to_id(token) for token in SPECIALS}
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[(token, ids[token]) for token in ("[CLS]", "[SEP]")],
    )
    value = json.loads(tokenizer.to_str())
    FIXTURE.write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")


def special_texts(rng, n):
    pieces = [*SPECIALS, *SPECIALS, "[mask]", "[MASK", "MASK]", "[[SEP]]", "<sp>", "<Sp>", "<SP>", "ñandú k", "NANDU K", "ab]",
              "ab] c", "AB]", "ab", "]", " ", "  ", "\n", "a", "é", "\u0301", "words", "\u4E2D", "nandu", " k", "\uFFFD"]
    for _ in range(n):
        yield "".join(rng.choices(pieces, k=rng.randint(1, 8)))


def any_texts(rng, n):
    """Code points from anywhere, assigned or not, and from the planes that are in use."""
    for _ in range(n):
        chars = []
        for _ in range(rng.randint(1, 24)):
            c = rng.randrange(*rng.choice([(0, 0x110000), (0, 0x32400), (0, 0x3000), (0, 0x600), (0x1C0, 0x250), (32, 127)]))
            chars.append(chr(c) if not 0xD800 <= c < 0xE000 else " ")
        yield "".join(chars)


def mark_texts(rng, n):
    marks = [c for c in range(0x300, 0x1E950) if unicodedata.combining(chr(c))]
    for _ in range(n):
        parts = []
        for _ in range(rng.randint(1, 4)):
            parts.append(rng.choice(["a", "E", "中", " ", "", "ﬁ", "İ", "\u1100", "."]))
            parts += (chr(rng.choice(rng.choice([SORTED, marks]))) for _ in range(rng.choice([0, 1, 2, 5])))
        yield "".join(parts)


def control_texts(rng, n):
    controls = [*range(0, 32), 127, *range(0x80, 0xA1), 0xAD, 0x200B, 0x200D, 0x200E, 0x2028, 0x2060, 0xFEFF, 0xFFF9, 0xFFFD,
                0xE000, 0xF8FF, 0xE0001, 0xE0061, 0xF0000, 0x10FFFD, 0x110BD]
    for _ in range(n):
        yield "".join(chr(rng.choice(controls)) if rng.random() < 0.4 else rng.choice("ab. é中") for _ in range(rng.randint(1, 12)))


def cjk_texts(rng, n):
    edges = [0x3400, 0x4DBF, 0x4E00, 0x9FFF, 0xF900, 0xFAFF, 0x20000, 0x2A6DF, 0x2A700, 0x2B73F, 0x2B81F, 0x2B820, 0x2B91F, 0x2B920,
             0x2CEAF, 0x2F800, 0x2FA1F, 0x30000, 0xAC00, 0xD7A3, 0x3042, 0x30AB, 0x1100, 0x3002, 0xFF01, 0x41]
    for _ in range(n):
        yield "".join(chr(max(1, rng.choice(edges) + rng.randint(-1, 1))) for _ in range(rng.randint(1, 10)))


def length_texts():
    """Words about as long as the limit of 100 characters, as segments: (text, repeats)."""
    for n in (98, 99, 100, 101, 102, 200, 1023, 1024, 1025):
        for char in ("a", "é", "e\u0301", "中", "İ", "가", "\U0001D165", "."):
            yield [(char.encode(), n)]
            yield [(b"the ", 1), (char.encode(), n - 1), (b"x, ", 1), (char.encode(), 3)]


def make_texts():
    rng = random.Random(20120711)
    plain = [*script_texts(rng, 330), *space_texts(rng, 100), *digit_texts(rng, 80), *code_texts(rng, 120), *emoji_texts(rng, 80),
             *bad_texts(rng, 150), *special_texts(rng, 200), *new_letters(), *nfc_texts(rng, 100), *any_texts(rng, 200),
             *mark_texts(rng, 150), *control_texts(rng, 80), *cjk_texts(rng, 80)]
    texts = [[(t if isinstance(t, bytes) else t.encode(), 1)] for t in plain] + list(long_texts(rng))
    texts += length_texts()
    return texts + [[(t.encode(), 1)] for t in word_texts(rng, N_TEXTS - len(texts))]


def with_rules(rules):
    value = json.loads(FIXTURE.read_text(encoding="utf-8"))
    names = ("clean_text", "handle_chinese_chars", "strip_accents", "lowercase")
    value["normalizer"] = {"type": "BertNormalizer", **dict(zip(names, rules))}
    return Tokenizer.from_str(json.dumps(value))


def mini_lm():
    cache = os.environ.get("CENTROID_CACHE") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "centroid"
    )
    tokenizer = Tokenizer.from_file(os.path.join(cache, "all-MiniLM-L6-v2", "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def main():
    if "--fixture" in sys.argv[1:]:
        make_fixture()
    small, real = [with_rules(rules) for rules in RULES], mini_lm()
    texts = make_texts()
    assert len(texts) == N_TEXTS
    strings = [b"".join(data * n for data, n in segments).decode("utf-8", "replace") for segments in texts]
    out = bytearray(b"CTWP0001" + struct.pack("<I", len(texts)))
    for i, segments in enumerate(texts):
        out += struct.pack("<H", len(segments))
        for data, repeats in segments:
            out += struct.pack("<II", len(data), repeats) + data
        hashes = []
        for tokenizer in small:
            tokenizer.encode_special_tokens = True
            hashes.append(tokenizer.encode(strings[i], add_special_tokens=False).ids)
            tokenizer.encode_special_tokens = False
            hashes.append(tokenizer.encode(strings[i]).ids)
        pair = small[0].encode(strings[i], strings[(i + 1) % N_TEXTS])
        hashes += [pair.ids + pair.type_ids, real.encode(strings[i]).ids]
        out += struct.pack(f"<{len(hashes)}I", *(fnv(ids) & 0xFFFFFFFF for ids in hashes))
    (HERE / "wordpiece.bin").write_bytes(out)


if __name__ == "__main__":
    main()
