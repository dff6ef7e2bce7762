#!/usr/bin/env python3
"""Makes tests/golden/clustered/: a model directory with one clustered matrix of each kind, packed here
with numpy and plain loops, independently of the C code, and the float values that they stand for.

usage: make_clustered.py OUT_DIRECTORY          needs numpy==2.4.6
"""
import json
import pathlib
import struct
import sys

import numpy as np

SEED = 7
# name: n, k, bits, group (0: the row), codebook type and scope, has scale, has offset
MATRICES = {
    "b2.weight": (16, 32, 2, 32, "I8", "tensor", True, True),
    "b3.weight": (18, 37, 3, 32, "I8", "tensor", True, False),
    "b4.weight": (17, 66, 4, 64, "I8", "model", True, True),
    "b5.weight": (5, 130, 5, 128, "F32", "tensor", True, False),
    "b6.weight": (19, 70, 6, 64, "I8", "tensor", True, False),
    "b7.weight": (18, 35, 7, 0, "F32", "row", True, False),
    "b8.weight": (18, 35, 8, 0, "F32", "tensor", False, False),
    "f6.weight": (18, 34, 6, 0, "I8", "row", True, False),
}
DTYPES = {"U8": np.uint8, "I8": np.int8, "F16": np.float16, "F32": np.float32}


def pad(n, to):
    return (n + to - 1) // to * to


def random_codebook(rng, dtype, rows, bits):
    size = (rows, 2**bits)
    if dtype == "I8":
        return np.sort(rng.integers(-127, 128, size), axis=1).astype(np.int8)
    return np.sort(rng.standard_normal(size), axis=1).astype(np.float32)


def pack(index, bits):
    """[n, k] indices, both padded, as [n/16, k/4, 8 * bits] bytes: planes of four, two and one bits."""
    n, k = index.shape
    out = np.zeros((n // 16, k // 4, 8 * bits), np.uint8)
    for row in range(n):
        for column in range(k):
            tile = out[row // 16, column // 4]
            t = row % 16 * 4 + column % 4
            below = 0
            for width in (8, 4, 2, 1):
                if bits & width:
                    field = int(index[row, column]) >> below & 2**width - 1
                    tile[8 * below + t % (8 * width)] |= field << t // (8 * width) * width
                    below += width
    return out


def make_matrix(rng, spec, model_codebook):
    n, k, bits, group, dtype, scope, has_scale, has_offset = spec
    rows, columns = pad(n, 16), pad(k, 4)
    group = group or columns
    n_groups = -(-k // group)
    index = np.zeros((rows, columns), np.uint8)
    index[:n, :k] = rng.integers(0, 2**bits, (n, k))
    codebook = model_codebook if scope == "model" else random_codebook(
        rng, dtype, rows if scope == "row" else 1, bits)
    parts = {"index": pack(index, bits)}
    values = np.zeros((n, k), np.float32)
    for i in range(n):
        values[i] = codebook[i if scope == "row" else 0, index[i, :k]]
    for part, is_there in (("scale", has_scale), ("offset", has_offset)):
        if not is_there:
            continue
        data = (rng.standard_normal((rows // 16, n_groups, 16)) * 0.1).astype(np.float16)
        parts[part] = data
        for i in range(n):
            for j in range(k):
                x = np.float32(data[i // 16, j // group, i % 16])
                values[i, j] = values[i, j] * x if part == "scale" else values[i, j] + x
    if scope != "model":
        parts["codebook"] = codebook
    return parts, values, {"n": n, "k": k, "bits": bits, "group": group}


def write_safetensors(path, tensors):
    """In this order; padding tensors keep every one at a multiple of 64 bytes."""
    header, data = {}, b""
    for name, array in tensors.items():
        if len(data) % 64:
            n = 64 - len(data) % 64
            header[f"centroid.pad.{len(header)}"] = {
                "dtype": "U8", "shape": [n], "data_offsets": [len(data), len(data) + n]}
            data += bytes(n)
        dtype = next(key for key, value in DTYPES.items() if array.dtype == value)
        raw = array.tobytes()
        header[name] = {"dtype": dtype, "shape": list(array.shape),
                        "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(len(text) + 8) % 64)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def main():
    out = pathlib.Path(sys.argv[1])
    rng = np.random.default_rng(SEED)
    model_codebook = random_codebook(rng, "I8", 1, 4)
    tensors, expected, entries = {}, {}, {}
    for name, spec in MATRICES.items():
        parts, expected[name], entries[name] = make_matrix(rng, spec, model_codebook)
        tensors.update({f"{name}.{part}": array for part, array in parts.items()})
    tensors["centroid.codebook"] = model_codebook
    tensors["model.norm.weight"] = np.arange(32, dtype=np.float32)
    write_safetensors(out / "model.safetensors", tensors)
    write_safetensors(out / "expected.safetensors", expected)
    config = {
        "model_type": "llama", "num_hidden_layers": 1, "hidden_size": 64, "num_attention_heads": 2,
        "num_key_value_heads": 1, "intermediate_size": 64, "vocab_size": 100,
        "max_position_embeddings": 64, "bos_token_id": 1, "eos_token_id": 2,
        "quantization_config": {"quant_method": "centroid", "version": 1, "bits": 6,
                                "tensors": entries},
    }
    (out / "config.json").write_text(json.dumps(config, indent=1) + "\n")


if __name__ == "__main__":
    main()
