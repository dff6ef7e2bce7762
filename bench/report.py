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
        for name in ("avx2", "avx512f", "avx512_vnni", "avx512_vbmi", "asimddp")
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


def bars(title, groups, unit):
    """An SVG of horizontal bars. groups: [(heading, [(label, values)])]; a bar is the median, its
    whisker runs from the lowest to the highest value."""
    left, width, height = 230, 420, 22
    top = max(max(values) for _, entries in groups for _, values in entries)
    body, y = [f'<text x="10" y="22" class="t">{html.escape(title)}</text>'], 40
    for heading, entries in groups:
        scale = width / (max(max(values) for _, values in entries) or top)
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
                f'<text x="{left + max(values) * scale + 6:.1f}" y="{y + 14}">{middle:.0f} {unit}</text>'
            )
            y += height
    style = (
        "text{font:12px sans-serif;fill:#222}.t{font-size:15px;font-weight:bold}.h{font-weight:bold}"
        ".l{text-anchor:end}.us{fill:#1f77b4}.peer{fill:#b8c4d0}path{stroke:#222;stroke-width:1.5}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 130}" height="{y + 14}">'
        f'<style>{style}</style><rect width="100%" height="100%" fill="#fff"/>'
        + "".join(body)
        + "</svg>\n"
    )


def write(folder, name, text):
    path = pathlib.Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    (path / name).write_text(text, encoding="utf-8")
    print(f"wrote {path / name}", file=sys.stderr)
