"""Writes gemmini/*.txt, programs of the simulated Gemmini, and gemmini/*.out, what they print.

The results come from the arithmetic that docs/gemmini.md documents, over whole matrices: no tiles, no
scratchpad, and nothing of Centroid. Needs nothing. Run: python3 make_gemmini.py
"""

import math
import pathlib
import struct

OUT = pathlib.Path(__file__).resolve().parent / "gemmini"
BASE = 0x80000000
MASK = (1 << 64) - 1


def splitmix64(x):
    x = (x + 0x9E3779B97F4A7C15) & MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
    return x ^ (x >> 31)


def f32(x):
    return struct.unpack("f", struct.pack("f", x))[0]


def i32(x):
    return (x + 2**31) % 2**32 - 2**31


def sat8(x):
    return max(-128, min(127, x))


def scale8(value, scale):
    """int32 times a float, in floats, to the nearest int8; Python rounds halves to even."""
    return sat8(round(f32(f32(value) * scale)))


def shift(value, n):
    """value / 2^n, halves to even."""
    whole, rest = value >> n, value & ((1 << n) - 1)
    half = (1 << n) >> 1
    return whole + (n > 0 and (rest > half or (rest == half and whole & 1)))


def igelu(q, qb, qc):
    sign = -1 if q < 0 else 1
    clipped = min(abs(q), -qb)
    return i32(q * (sign * ((clipped + qb) ** 2 + qc) + qc))


def iexp(q, c, masked):
    ln2, inverse, qb, qc = c
    z = i32(-q * inverse) >> 16
    p = i32(i32((q + z * ln2 + qb) ** 2) + qc)
    if masked:
        return p >> (z & 31)
    return p >> z if 0 <= z < 32 else 0


def exp_constants(s):
    ln2 = int(0.693147 / s)
    return ln2, 65536 // ln2, int(1.353 / s), int(0.344 / (0.3585 * s * s))


def layernorm(row, scale, once):
    total = i32(sum(row))
    mean = int(total / len(row))
    variance = int(i32(sum((x - mean) ** 2 for x in row)) / len(row))
    inverse = f32(1 / f32(math.isqrt(variance) if variance > 0 else 1))
    if once:
        return [scale8(x - mean, f32(inverse * scale)) for x in row]
    return [scale8(int(f32(f32(x - mean) * inverse)), scale) for x in row]


def softmax(row, c, once):
    exps = [iexp(x - max(row), c, not once) for x in row]
    inverse = f32(127 / f32(i32(sum(iexp(x - max(row), c, not once) for x in row))))
    return [scale8(e, inverse) for e in exps]


class Program:
    """Lines of a program, with a bump allocator over its memory."""

    def __init__(self, name):
        self.name, self.lines, self.end, self.prints, self.out = name, [], BASE, [], []

    def take(self, n_bytes):
        at = self.end
        self.end = (at + n_bytes + 63) // 64 * 64
        return at

    def fill(self, kind, rows, cols, seed, low, high):
        """A random matrix in memory: its address and its rows."""
        at = self.take(rows * cols * (1 if kind == "i8" else 4))
        self.lines.append(f".fill at={at:#x} type={kind} n={rows * cols} seed={seed} low={low} high={high}")
        values = [low + splitmix64(seed + i) % (high - low + 1) for i in range(rows * cols)]
        return at, [values[r * cols : (r + 1) * cols] for r in range(rows)]

    def add(self, *lines):
        self.lines += lines

    def expect(self, kind, rows):
        """Room for a result; the address."""
        at = self.take(len(rows) * len(rows[0]) * (1 if kind == "i8" else 4))
        self.prints.append(f".print at={at:#x} type={kind} rows={len(rows)} cols={len(rows[0])}")
        self.out.append(f"# {at:#x}, {len(rows)} x {len(rows[0])} {kind}")
        self.out += [" ".join(map(str, row)) for row in rows]
        return at

    def write(self):
        (OUT / f"{self.name}.txt").write_text("\n".join(self.lines + self.prints) + "\n")
        (OUT / f"{self.name}.out").write_text("\n".join(self.out) + "\n")


def matmul(a, b):
    return [[sum(x * y for x, y in zip(row, col)) for col in zip(*b)] for row in a]


def add_rows(a, b):
    return [[x + y for x, y in zip(r, s)] for r, s in zip(a, b)]


def transpose(a):
    return [list(col) for col in zip(*a)]


def moves():
    p = Program("moves")
    at, a = p.fill("i8", 7, 50, 1, -128, 127)
    at32, wide = p.fill("i32", 7, 13, 2, -(2**31), 2**31 - 1)
    scaled = [[scale8(x, 1.5) for x in row] for row in a]
    doubled = [[scale8(x + y, f32(0.3)) for x, y in zip(row, other)] for row, other in zip(a, scaled)]
    zeros = [[0] * 20 for _ in range(3)]
    p.add("config_ld block_stride=16 scale=1.5 stride=50", "config_ld id=1 block_stride=16 scale=1 stride=52")
    p.add("config_ld id=2 shrink=1 block_stride=16 scale=1 stride=50", "config_st stride=50 acc_scale=1")
    p.add(f"mvin dram={at:#x} local=spad+100 rows=7 cols=50")
    p.add(f"mvout dram={p.expect('i8', scaled):#x} local=spad+100 rows=7 cols=50")
    p.add("config_st stride=52 acc_scale=1", f"mvin2 dram={at32:#x} local=acc+3 rows=7 cols=13")
    p.add(f"mvout dram={p.expect('i32', wide):#x} local=acc+3,full rows=7 cols=13")
    p.add(f"mvin3 dram={at:#x} local=acc+64 rows=7 cols=50", "config_ld id=2 shrink=1 block_stride=16 scale=1.5 stride=50")
    p.add(f"mvin3 dram={at:#x} local=acc+64,add rows=7 cols=50", "config_st stride=50 acc_scale=0.3")
    p.add(f"mvout dram={p.expect('i8', doubled):#x} local=acc+64 rows=7 cols=50")
    p.add("mvin dram=0x0 local=spad+100 rows=3 cols=20", "config_st stride=20 acc_scale=1")
    p.add(f"mvout dram={p.expect('i8', zeros):#x} local=spad+100 rows=3 cols=20")
    p.write()


def weight_stationary():
    p = Program("weight_stationary")
    at_a, a = p.fill("i8", 16, 16, 3, -128, 127)
    at_b, b = p.fill("i8", 16, 16, 4, -128, 127)
    at_d, d = p.fill("i8", 16, 16, 5, -128, 127)
    p.add("config_ld block_stride=16 scale=1 stride=16")
    for at, row in ((at_a, 0), (at_b, 4096), (at_d, 8192)):
        p.add(f"mvin dram={at:#x} local=spad+{row} rows=16 cols=16")
    # Kept weights, D, a part of A and of C, sums of two, and every second row of A.
    whole = add_rows(matmul(a, b), d)
    part = matmul([row[:5] for row in a[:9]], [row[:11] for row in b[:5]])
    twice = [[2 * x for x in row] for row in part]
    strided = matmul([a[2 * i] for i in range(4)], b)
    p.add("config_ex ws=1 a_stride=1 c_stride=1", "config_st stride=64 acc_scale=1")
    p.add("preload bd=spad+4096 bd_rows=16 bd_cols=16 c=acc+0 c_rows=16 c_cols=16")
    p.add("compute.preloaded a=spad+0 a_rows=16 a_cols=16 bd=spad+8192 bd_rows=16 bd_cols=16")
    p.add("preload bd=none c=acc+32 c_rows=9 c_cols=11")
    p.add("compute.accumulated a=spad+0 a_rows=9 a_cols=5 bd=none")
    p.add("preload bd=none c=acc+32,add c_rows=9 c_cols=11")
    p.add("compute.accumulated a=spad+0 a_rows=9 a_cols=5 bd=none")
    p.add("config_ex ws=1 a_stride=2 c_stride=3 only_strides=1", "preload bd=none c=acc+64 c_rows=4 c_cols=16")
    p.add("compute.accumulated a=spad+0 a_rows=4 a_cols=16 bd=none")
    p.add(f"mvout dram={p.expect('i32', whole):#x} local=acc+0,full rows=16 cols=16", "config_st stride=44 acc_scale=1")
    p.add(f"mvout dram={p.expect('i32', twice):#x} local=acc+32,full rows=9 cols=11", "config_st stride=64 acc_scale=1")
    at = p.expect("i32", strided)
    p.add(*(f"mvout dram={at + 64 * i:#x} local=acc+{64 + 3 * i},full rows=1 cols=16" for i in range(4)))
    # Transposed operands, and a result that is saturated into the scratchpad, through ReLU.
    b_t, a_t = matmul(a, transpose(b)), matmul(transpose(a), b)
    relu = [[max(0, sat8(x)) for x in row] for row in matmul(a, b)]
    p.add("config_ex ws=1 b_transpose=1 a_stride=1 c_stride=1")
    p.add("preload bd=spad+4096 bd_rows=16 bd_cols=16 c=acc+0 c_rows=16 c_cols=16")
    p.add("compute.preloaded a=spad+0 a_rows=16 a_cols=16 bd=none")
    p.add("config_ex ws=1 a_transpose=1 a_stride=1 c_stride=1")
    p.add("preload bd=spad+4096 bd_rows=16 bd_cols=16 c=acc+16 c_rows=16 c_cols=16")
    p.add("compute.preloaded a=spad+0 a_rows=16 a_cols=16 bd=none")
    p.add("config_ex ws=1 act=1 a_stride=1 c_stride=1")
    p.add("preload bd=spad+4096 bd_rows=16 bd_cols=16 c=spad+512 c_rows=16 c_cols=16")
    p.add("compute.preloaded a=spad+0 a_rows=16 a_cols=16 bd=none")
    p.add(f"mvout dram={p.expect('i32', b_t):#x} local=acc+0,full rows=16 cols=16")
    p.add(f"mvout dram={p.expect('i32', a_t):#x} local=acc+16,full rows=16 cols=16", "config_st stride=16 acc_scale=1")
    p.add(f"mvout dram={p.expect('i8', relu):#x} local=spad+512 rows=16 cols=16", "fence")
    p.write()


def output_stationary():
    p = Program("output_stationary")
    at_a, a = p.fill("i8", 16, 32, 6, -128, 127)
    at_b, b = p.fill("i8", 32, 16, 7, -128, 127)
    at_d, d = p.fill("i8", 16, 16, 8, -128, 127)
    p.add("config_ld block_stride=16 scale=1 stride=32", "config_ld id=1 block_stride=16 scale=1 stride=16")
    p.add(f"mvin dram={at_a:#x} local=spad+0 rows=16 cols=32")
    p.add(f"mvin2 dram={at_b:#x} local=spad+64 rows=16 cols=16", f"mvin2 dram={at_b + 256:#x} local=spad+80 rows=16 cols=16")
    p.add(f"mvin2 dram={at_d:#x} local=spad+128 rows=16 cols=16", "config_st stride=16 acc_scale=1")
    sums = add_rows(matmul(a, b), d)
    shifted = [[sat8(shift(x, 9)) for x in row] for row in sums]
    p.add("config_ex shift=9 a_stride=1 c_stride=1", "preload bd=spad+128 bd_rows=16 bd_cols=16 c=none")
    p.add("compute.preloaded a=spad+0 a_rows=16 a_cols=16 bd=spad+64 bd_rows=16 bd_cols=16")
    p.add("preload bd=none c=spad+512 c_rows=16 c_cols=16")
    p.add("compute.accumulated a=spad+16 a_rows=16 a_cols=16 bd=spad+80 bd_rows=16 bd_cols=16")
    p.add(f"mvout dram={p.expect('i8', shifted):#x} local=spad+512 rows=16 cols=16")
    # To the accumulator: shifted, and clipped to the array's 20 bits, not to 8. Both operands transposed.
    low, high = [row[:16] for row in a], [row[:16] for row in b[:16]]
    clipped = [[shift(x, 2) for x in row] for row in matmul(transpose(low), transpose(high))]
    p.add("config_ex shift=2 a_transpose=1 b_transpose=1 a_stride=1 c_stride=1")
    p.add("preload bd=none c=acc+0 c_rows=16 c_cols=16", "config_st stride=64 acc_scale=1")
    p.add("compute.preloaded a=spad+0 a_rows=16 a_cols=16 bd=spad+64 bd_rows=16 bd_cols=16")
    p.add(f"mvout dram={p.expect('i32', clipped):#x} local=acc+0,full rows=16 cols=16", "fence")
    p.write()


def loop(p, dims, addresses, strides, flags, act):
    """LOOP_WS over M x N x K, and its registers."""
    blocks = [(n + 15) // 16 for n in dims]
    pads = [16 * n - d for n, d in zip(blocks, dims)]
    p.add("loop_bounds " + " ".join(f"{k}={v}" for k, v in zip(("i", "j", "k", "pad_i", "pad_j", "pad_k"), blocks + pads)))
    p.add("loop_addrs_ab a={:#x} b={:#x}".format(*addresses[:2]), "loop_addrs_dc d={:#x} c={:#x}".format(*addresses[2:]))
    p.add("loop_strides_ab a={} b={}".format(*strides[:2]), "loop_strides_dc d={} c={}".format(*strides[2:]))
    p.add(f"loop_ws act={act} {flags}", "fence")


def product(name, m, n, k, act, scale, finish, setup=(), b_transpose=False, full=False, span=128):
    """C = finish(A B + D) by LOOP_WS, with a bias of one row."""
    p = Program(name)
    at_a, a = p.fill("i8", m, k, 11, -span, span - 1)
    rows, cols = (n, k) if b_transpose else (k, n)
    at_b, b = p.fill("i8", rows, cols, 12, -span, span - 1)
    at_d, d = p.fill("i32", 1, n, 13, -2000, 2000)
    sums = add_rows(matmul(a, transpose(b) if b_transpose else b), d * m)
    result = sums if full else [finish(row) for row in sums]
    p.add(f"config_ex ws=1 b_transpose={int(b_transpose)} a_stride=1 c_stride=1")
    p.add(f"config_ld block_stride=16 scale=1 stride={k}", f"config_ld id=1 block_stride=16 scale=1 stride={cols}")
    p.add("config_ld id=2 block_stride=16 scale=1 stride=0")
    p.add(f"config_st act={act & 3} stride={n * (4 if full else 1)} acc_scale={scale}", *setup)
    at_c = p.expect("i32" if full else "i8", result)
    flags = f"accumulate=1 full_c={int(full)} b_transpose={int(b_transpose)}"
    loop(p, (m, n, k), (at_a, at_b, at_d, at_c), (k, cols, 0, n), flags, act)
    p.write()


def norm_setup(s):
    ln2, inverse, qb, qc = exp_constants(s)
    tail = f"qb={qb:#x} qc={qc:#x}"
    return f"config_norm softmax=1 ln2={ln2} {tail}", f"config_norm softmax=1 is_inverse=1 ln2={inverse} {tail}"


def products():
    product("loop_relu", 31, 78, 66, 1, 0.004, lambda row: [max(0, scale8(x, f32(0.004))) for x in row])
    product("loop_full_c", 17, 33, 40, 0, 1, None, b_transpose=True, full=True)
    qb, qc = -265, -69226  # of steps of 0.01
    setup = (f"config_norm qb={qb % 2**32:#x} qc={qc % 2**32:#x}",)
    igelu_scale = f32(3e-7)
    product("loop_igelu", 20, 40, 24, 3, "3e-7", lambda row: [scale8(igelu(x, qb, qc), igelu_scale) for x in row], setup, span=8)
    for once, suffix in ((True, "rtl"), (False, "libgemmini")):
        product(f"loop_layernorm_{suffix}", 19, 70, 33, 2, 30, lambda row, o=once: layernorm(row, 30.0, o), span=16)
        c = exp_constants(0.01)
        product(f"loop_softmax_{suffix}", 19, 70, 33, 4, 1, lambda row, o=once: softmax(row, c, o), norm_setup(0.01), span=8)


def residual_add():
    p = Program("residual_add")
    m, n = 33, 70
    at_a, a = p.fill("i8", m, n, 14, -128, 127)
    at_b, b = p.fill("i8", m, n, 15, -128, 127)
    sums = [[max(0, scale8(scale8(x, 0.5) + y, f32(0.7))) for x, y in zip(r, s)] for r, s in zip(a, b)]
    p.add(f"config_st act=1 stride={n} acc_scale=0.7", "config_ex ws=1 a_stride=1 c_stride=1")
    p.add(f"config_ld shrink=1 block_stride=16 scale=0.5 stride={n}", f"config_ld id=1 shrink=1 block_stride=16 scale=1 stride={n}")
    loop(p, (m, n, 0), (at_a, at_b, 0, p.expect("i8", sums)), (n, n, 0, n), "resadd=1", 1)
    p.write()


def main():
    OUT.mkdir(exist_ok=True)
    moves()
    weight_stationary()
    output_stationary()
    products()
    residual_add()


if __name__ == "__main__":
    main()
