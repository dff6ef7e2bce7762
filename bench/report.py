"""What the benchmarks share: the machine's description, statistics, a Markdown table, a plot of bars."""

import datetime
import html
import pathlib
import platform
import shlex
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent

# Okabe and Ito's, which colour-blind readers can tell apart.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f")


def run(*command):
    """The standard output of a command that must succeed."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{shlex.join(map(str, command))}: exit {done.returncode}\n{done.stderr[-2000:]}")
    return done.stdout


def header(title):
    """Machine, date and command: without them a figure says nothing."""
    fields = dict(line.split(":", 1) for line in run("lscpu").splitlines() if ":" in line)
    fields = {name.strip(): value.strip() for name, value in fields.items()}
    flags = set(fields.get("Flags", "").split())
    sets = [
        name
        for name in ("avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_vbmi", "asimddp", "i8mm")
        if name in flags
    ]
    command = shlex.join([pathlib.Path(sys.argv[0]).name, *sys.argv[1:]])
    revision = run("git", "-C", ROOT, "describe", "--always", "--dirty").strip()
    return (
        f"# {title}\n\n"
        f"- machine: {fields.get('Model name')} (family {fields.get('CPU family')}, model "
        f"{fields.get('Model')}), {fields.get('CPU(s)')} processors, {' '.join(sets)}; "
        f"{platform.system()} {platform.release()}\n"
        f"- date: {datetime.date.today()}; centroid at {revision}\n"
        f"- command: `bench/{command}`\n"
    )


def spread(values, digits=0):
    """Median (lowest - highest)."""
    middle, low, high = statistics.median(values), min(values), max(values)
    return f"{middle:.{digits}f} ({low:.{digits}f} - {high:.{digits}f})"


def table(columns, rows):
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join("| " + " | ".join(map(str, line)) + " |\n" for line in lines)


def bars(title, groups):
    """An SVG of horizontal bars. groups: [(heading, [(label, values)], unit)], each with a scale of its
    own; a bar is the median, its whisker runs from the lowest to the highest value."""
    left, width, height = 230, 420, 22
    body, y = [f'<text x="10" y="22" class="t">{html.escape(title)}</text>'], 40
    for heading, entries, unit in groups:
        scale = width / (max(max(values) for _, values in entries) or 1)
        y += 20
        body.append(f'<text x="10" y="{y}" class="h">{html.escape(heading)}</text>')
        y += 8
        for label, values in entries:
            middle = statistics.median(values)
            line = y + height / 2 - 2
            css = "us" if label.startswith("Centroid") else "peer"
            body.append(
                f'<text x="{left - 8}" y="{y + 14}" class="l">{html.escape(label)}</text>'
                f'<rect x="{left}" y="{y}" width="{middle * scale:.1f}" height="{height - 4}" class="{css}"/>'
                f'<path d="M{left + min(values) * scale:.1f} {line}H{left + max(values) * scale:.1f}"/>'
                f'<text x="{left + max(values) * scale + 6:.1f}" y="{y + 14}">{middle:.{1 if middle < 10 else 0}f} {unit}</text>'
            )
            y += height
    style = (
        "text{font:12px sans-serif;fill:#222}.t{font-size:15px;font-weight:bold}.h{font-weight:bold}"
        ".l{text-anchor:end}.us{fill:#1f77b4}.peer{fill:#b8c4d0}path{stroke:#222;stroke-width:1.5}"
    )
    return svg(left + width + 130, y + 14, style, body)


def lines(title, series, across, up):
    """An SVG of lines. series: {label: [(x, y)]}, both from 0 on."""
    left, top, width, height = 60, 40, 480, 300
    high_x = max(x for points in series.values() for x, _ in points)
    high_y = max(max(y for points in series.values() for _, y in points), 1e-9)
    body = [f'<text x="10" y="22" class="t">{html.escape(title)}</text>']
    for i in range(5):
        x, y = left + width * i / 4, top + height - height * i / 4
        body.append(
            f'<path d="M{x} {top}V{top + height}M{left} {y}H{left + width}" class="g"/>'
            f'<text x="{x}" y="{top + height + 16}" class="m">{high_x * i / 4:.3g}</text>'
            f'<text x="{left - 6}" y="{y + 4}" class="l">{high_y * i / 4:.3g}</text>'
        )
    for i, (label, points) in enumerate(series.items()):
        colour = COLOURS[i % len(COLOURS)]
        at = [(left + width * x / high_x, top + height - height * y / high_y) for x, y in points]
        body.append(
            f'<polyline points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in at)}" stroke="{colour}"/>'
            + "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in at)
            + f'<circle cx="{left + width + 20}" cy="{top + 14 + 20 * i}" r="5" fill="{colour}"/>'
            f'<text x="{left + width + 32}" y="{top + 18 + 20 * i}">{html.escape(label)}</text>'
        )
    body.append(
        f'<text x="{left + width / 2}" y="{top + height + 36}" class="m">{html.escape(across)}</text>'
        f'<text x="14" y="{top + height / 2}" class="m" '
        f'transform="rotate(-90 14 {top + height / 2})">{html.escape(up)}</text>'
    )
    style = (
        "text{font:12px sans-serif;fill:#222}.t{font-size:15px;font-weight:bold}.l{text-anchor:end}"
        ".m{text-anchor:middle}.g{stroke:#ddd}polyline{fill:none;stroke-width:1.8}"
    )
    return svg(left + width + 220, top + height + 50, style, body)


def svg(width, height, style, body):
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}">'
        f'<style>{style}</style><rect width="100%" height="100%" fill="#fff"/>'
        + "".join(body)
        + "</svg>\n"
    )


def say(text):
    """What goes on, beside the results."""
    print(text, file=sys.stderr, flush=True)


def write(folder, name, text):
    path = pathlib.Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    (path / name).write_text(text, encoding="utf-8")
    say(f"wrote {path / name}")
