#!/usr/bin/env python3
"""Makes tests/golden/ggml_blocks.gguf: rows of every element type, what they dequantise to, and metadata of
every type.

usage: make_ggml_blocks.py OUT.gguf          needs gguf==0.19.0 and numpy==2.4.6

Each tensor T has its values by the reference beside it as the F32 tensor T.expected. Half of the rows
of a quantised type are random blocks (every bit pattern of the quantised values and sub-scales, finite f16
scales), half are quantised from random values where gguf can quantise that type.
"""
import sys

import gguf
import numpy as np
from gguf import GGMLQuantizationType as T
from gguf import GGUFValueType as V

SEED = 20240611
PLAIN = [T.F32, T.F16, T.BF16]
QUANTISED = [T.Q4_0, T.Q4_1, T.Q5_0, T.Q5_1, T.Q8_0, T.Q4_K, T.Q5_K, T.Q6_K]
# Where the f16 scales of a block lie, in bytes.
SCALES = {T.Q4_0: [0], T.Q4_1: [0, 2], T.Q5_0: [0], T.Q5_1: [0, 2], T.Q8_0: [0],
          T.Q4_K: [0, 2], T.Q5_K: [0, 2], T.Q6_K: [208]}


def random_blocks(rng, qtype, n_rows, n_blocks):
    _, block_bytes = gguf.GGML_QUANT_SIZES[qtype]
    blocks = rng.integers(0, 256, (n_rows * n_blocks, block_bytes), dtype=np.uint8)
    for at in SCALES[qtype]:
        scale = (rng.standard_normal(len(blocks)) * 0.05).astype(np.float16)
        blocks[:, at:at + 2] = scale.view(np.uint8).reshape(-1, 2)
    return blocks.reshape(n_rows, n_blocks * block_bytes)


def add(writer, name, data, qtype):
    writer.add_tensor(name, data, raw_dtype=qtype)
    expected = gguf.dequantize(data, qtype).astype(np.float32)
    writer.add_tensor(name + ".expected", expected, raw_dtype=T.F32)


def add_metadata(writer):
    writer.add_key_value("test.u8", 200, V.UINT8)
    writer.add_key_value("test.i8", -100, V.INT8)
    writer.add_key_value("test.u16", 60000, V.UINT16)
    writer.add_key_value("test.i16", -30000, V.INT16)
    writer.add_key_value("test.u32", 4000000000, V.UINT32)
    writer.add_key_value("test.i32", -2000000000, V.INT32)
    writer.add_key_value("test.u64", 2**63 - 1, V.UINT64)
    writer.add_key_value("test.u64_large", 2**63, V.UINT64)
    writer.add_key_value("test.i64", -2**63, V.INT64)
    writer.add_key_value("test.f32", 0.1, V.FLOAT32)
    writer.add_key_value("test.f64", 0.1, V.FLOAT64)
    writer.add_key_value("test.bool", True, V.BOOL)
    writer.add_key_value("test.text", "größer", V.STRING)
    writer.add_array("test.texts", ["a", "", "ccc"])
    writer.add_array("test.ints", [1, -2, 3])
    writer.add_array("test.floats", [0.5, -1.25])


def main():
    rng = np.random.default_rng(SEED)
    writer = gguf.GGUFWriter(sys.argv[1], "test")
    add_metadata(writer)
    values = rng.standard_normal((2, 40)).astype(np.float32)
    for qtype in PLAIN:
        data = values if qtype == T.F32 else gguf.quantize(values, qtype)
        add(writer, qtype.name, data, qtype)
    for qtype in QUANTISED:
        block, _ = gguf.GGML_QUANT_SIZES[qtype]
        add(writer, qtype.name, random_blocks(rng, qtype, 2, 512 // block), qtype)
        try:
            values = rng.standard_normal((2, block * 2)).astype(np.float32)
            add(writer, qtype.name + ".quantised", gguf.quantize(values, qtype), qtype)
        except NotImplementedError:
            pass  # gguf reads the K types but does not write them
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main()
