#!/usr/bin/env python3
"""Writes engine/tokenizer/bert_classes.def, by asking the reference about every code point, and
tests/golden/bert_normalizer.bin, which holds the engine to the reference for every code point.

Needs: Python 3.11 (Unicode 14), tokenizers 0.23.3. Run: python3 make_bert_classes.py

bert_normalizer.bin, little-endian: for each of RULES and each 4,096 code points, the low 32 bits of the FNV-1a of
what "a" + c + "b" for each c becomes, joined, in UTF-8; then for each 4,096 the same of the classes of
BertPreTokenizer, a byte a code point: 0 in a word, 1 space, 2 punctuation.

Also prints where libunistring 1.0 (Unicode 14, as Python 3.11) and the reference differ in decompositions and in
lowercase: bert_normalizer.c lists these.
"""

import pathlib
import struct
import unicodedata

from tokenizers import normalizers, pre_tokenizers

HERE = pathlib.Path(__file__).resolve().parent
DEF = HERE.parent.parent / "engine" / "tokenizer" / "bert_classes.def"
CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
BLOCK = 4096
RULES = [  # clean_text, handle_chinese_chars, strip_accents, lowercase
    (True, True, True, True),
    (True, True, False, False),
    (False, False, True, False),
    (False, False, False, True),
    (False, True, True, True),
]

# Marks of every canonical combining class, to find that of another: NFD sorts by it.
YPOGEGRAMMENI = 0x345  # 240, the highest


def bert(*rules):
    return normalizers.BertNormalizer(*rules).normalize_str


def between(normalize, c):
    """What c becomes between two letters."""
    text = normalize(f"a{chr(c)}b")
    assert text[0] == "a" and text[-1] == "b"
    return text[1:-1]


def word_class(split, c):
    pieces = [piece for piece, _ in split(f"a{chr(c)}b")]
    return {1: 0, 2: 1, 3: 2}[len(pieces)]


def classes():
    """(flags, combining) of each code point, and its class as a word's part."""
    nfd = normalizers.NFD().normalize_str
    clean, strip = bert(True, False, False, False), bert(False, False, True, False)
    split = pre_tokenizers.BertPreTokenizer().pre_tokenize_str
    for c in CODE_POINTS:
        cleaned = between(clean, c)
        in_word = word_class(split, c)
        flags = ["CONTROL"] if cleaned == "" else []
        assert cleaned in ("", chr(c)) or (cleaned == " " and in_word == 1)
        flags += [[], ["SPACE"], ["PUNCTUATION"]][in_word]
        assert in_word != 1 or cleaned in ("", " ")
        combining = 0
        if nfd(chr(c)) == chr(c):
            is_mark = strip(f"a{chr(c)}b") == "ab"
            flags += ["MARK"] if is_mark else []
            if c == YPOGEGRAMMENI or nfd(chr(YPOGEGRAMMENI) + chr(c))[0] == chr(c):
                combining = 1 if is_mark else unicodedata.combining(chr(c))
                assert combining > 0
        yield c, (" | ".join(flags) or "0", combining), in_word


def print_differences():
    nfd, lower = normalizers.NFD().normalize_str, normalizers.Lowercase().normalize_str
    for c in map(chr, CODE_POINTS):
        if nfd(c) != unicodedata.normalize("NFD", c):
            print(f"NFD {ord(c):X}: {nfd(c).encode('unicode-escape')}")
        if lower(c) != c.lower() or len(lower(c)) > 1:
            print(f"lowercase {ord(c):X}: {lower(c).encode('unicode-escape')}")


def fnv(data):
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value & 0xFFFFFFFF


def write_table(rows):
    runs = []
    for c, value, _ in rows:
        if c < 0x80 or value == ("0", 0):
            continue
        if runs and runs[-1][1] == c - 1 and runs[-1][2] == value:
            runs[-1][1] = c
        else:
            runs.append([c, c, value])
    lines = [
        "/* What the reference knows of the characters beyond ASCII; the others are letters to it. Made by",
        " * tests/golden/make_bert_classes.py.",
        " * CT_BERT_RANGE(first, last, flags, combining) */",
    ]
    entries = [f"CT_BERT_RANGE(0x{a:X}, 0x{b:X}, {flags}, {ccc})" for a, b, (flags, ccc) in runs]
    line = ""
    for entry in entries:
        if line and len(line) + 1 + len(entry) > 100:
            lines.append(line)
            line = ""
        line += (" " if line else "") + entry
    lines.append(line)
    DEF.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(len(runs), "ranges")


def main():
    rows = list(classes())
    write_table(rows)
    in_word = {c: kind for c, _, kind in rows}
    blocks = [
        [c for c in range(begin, begin + BLOCK) if c in in_word] for begin in range(0, 0x110000, BLOCK)
    ]
    out = bytearray()
    for rules in RULES:
        normalize = bert(*rules)
        for block in blocks:
            out += struct.pack("<I", fnv(normalize("".join(f"a{chr(c)}b" for c in block)).encode()))
    for block in blocks:
        out += struct.pack("<I", fnv(bytes(in_word[c] for c in block)))
    (HERE / "bert_normalizer.bin").write_bytes(out)
    print_differences()


if __name__ == "__main__":
    main()
