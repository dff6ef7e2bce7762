#!/usr/bin/env python3
"""Writes tests/golden/tokenizer_qwen2.bin: what transformers' Qwen2Tokenizer makes of the texts of
tokenizer.bin.

Needs: transformers 5.23.0, tokenizers 0.23.3, gguf 0.19.0, what make_tokenizer.py needs, and
qwen2.5-coder-0.5b-instruct-q4_k_m.gguf beside the default model (deploy/fetch-model.sh gets both).
Run: python3 make_tokenizer_qwen2.py

The file, little-endian: for each text of tokenizer.bin, in its order, the low 32 bits of the FNV-1a of the ids
(as u32) of
  Qwen2.5-Coder without and with special tokens, tests/support/qwen2.gguf without and with.
"""

import os
import struct

import gguf
from gguf import GGUFReader
from tokenizers import AddedToken
from transformers import Qwen2Tokenizer

from make_tokenizer import HERE, MODEL as SMOLLM2, fnv, make_texts, smollm2

MODEL = "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf"
FIXTURE = HERE.parent / "support" / "qwen2.gguf"


def qwen2_tokenizer(reader):
    """The tokenizer of a GGUF file's vocabulary and merges, without the vocabulary's padding."""
    tokens, merges, types = (
        reader.fields[f"tokenizer.ggml.{key}"].contents() for key in ("tokens", "merges", "token_type")
    )
    assert reader.fields["tokenizer.ggml.pre"].contents() == "qwen2"
    kinds = {gguf.TokenType.CONTROL: True, gguf.TokenType.USER_DEFINED: False}
    tokenizer = Qwen2Tokenizer(
        vocab={t: i for i, (t, kind) in enumerate(zip(tokens, types)) if kind != gguf.TokenType.UNUSED},
        merges=[tuple(merge.split(" ")) for merge in merges],
        unk_token=None,
    ).backend_tokenizer
    tokenizer.add_tokens(
        [
            AddedToken(text, special=kinds[kind], normalized=False)
            for text, kind in zip(tokens, types)
            if kind in kinds
        ]
    )
    return tokenizer


def main():
    cache = os.environ.get("CENTROID_CACHE") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "centroid"
    )
    _, specials = smollm2(os.path.join(cache, SMOLLM2))
    tokenizers = [qwen2_tokenizer(GGUFReader(path)) for path in (os.path.join(cache, MODEL), FIXTURE)]
    out = bytearray()
    for segments in make_texts(specials):
        text = b"".join(data * repeats for data, repeats in segments).decode("utf-8", "replace")
        for tokenizer in tokenizers:
            for has_special in (False, True):
                tokenizer.encode_special_tokens = not has_special
                out += struct.pack(
                    "<I", fnv(tokenizer.encode(text, add_special_tokens=False).ids) & 0xFFFFFFFF
                )
    (HERE / "tokenizer_qwen2.bin").write_bytes(out)


if __name__ == "__main__":
    main()
