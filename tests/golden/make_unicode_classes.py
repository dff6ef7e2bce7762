"""Writes tests/golden/unicode_classes.bin: the code points that the reference's patterns match.

Needs: tokenizers 0.23.3 (Oniguruma's Unicode 16, Rust's Unicode 17). Run: python3 make_unicode_classes.py

For each of \\p{L}, \\p{N}, \\s and Digits: u32 number of ranges, then u32 first and u32 last of each.
"""

import pathlib
import struct

from tokenizers import Regex, pre_tokenizers

OUT = pathlib.Path(__file__).resolve().parent / "unicode_classes.bin"
CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]


def matched(pattern):
    """What a Split that removes its matches does not leave over."""
    left_over = set()
    split = pre_tokenizers.Split(Regex(pattern), "removed")
    for piece, _ in split.pre_tokenize_str("".join(map(chr, CODE_POINTS))):
        left_over.update(piece)
    return [c for c in CODE_POINTS if chr(c) not in left_over]


def digits():
    text = "".join("a" + chr(c) for c in CODE_POINTS)
    pieces = pre_tokenizers.Digits(individual_digits=True).pre_tokenize_str(text)
    return sorted(ord(piece) for piece, _ in pieces if len(piece) == 1 and piece != "a")


def ranges(code_points):
    result = []
    for c in code_points:
        if result and result[-1][1] == c - 1:
            result[-1][1] = c
        else:
            result.append([c, c])
    return result


def main():
    out = b""
    for code_points in (matched(r"\p{L}"), matched(r"\p{N}"), matched(r"\s"), digits()):
        found = ranges(code_points)
        out += struct.pack("<I", len(found)) + b"".join(struct.pack("<II", *r) for r in found)
    OUT.write_bytes(out)


if __name__ == "__main__":
    main()
