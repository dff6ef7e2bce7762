"""Writes kmeans.txt: optimal one-dimensional clusters by another implementation, for test_kmeans.c.

Needs: kmeans1d 0.5.0. Integer weights are given to it by repeating a value. Run: python3 make_kmeans.py
Each case is "k n", n lines "value weight", then k lines of centroids.
"""

import pathlib
import random

import kmeans1d

OUT = pathlib.Path(__file__).resolve().parent / "kmeans.txt"
rng = random.Random(20240611)
CASES = [
    (4, [rng.gauss(0, 1) for _ in range(60)], None),
    (16, [rng.gauss(0, 1) for _ in range(400)], None),
    (8, [rng.choice((-1, 1)) * rng.expovariate(1) for _ in range(300)], 5),
    (5, [rng.uniform(-3, 3) ** 3 for _ in range(50)], 9),
    (64, [rng.gauss(0, 1) * rng.choice((1, 1, 8)) for _ in range(600)], None),
]


def main():
    lines = []
    for k, values, most in CASES:
        values = sorted(round(v, 6) for v in values)
        weights = [rng.randint(1, most) if most else 1 for _ in values]
        repeated = [v for v, w in zip(values, weights) for _ in range(w)]
        centroids = kmeans1d.cluster(repeated, k).centroids
        lines.append(f"{k} {len(values)}")
        lines += [f"{v} {w}" for v, w in zip(values, weights)]
        lines += [f"{c!r}" for c in sorted(centroids)]
    OUT.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
