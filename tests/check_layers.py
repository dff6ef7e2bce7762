#!/usr/bin/env python3
"""Fails when an #include goes the wrong way.

usage: check_layers.py SOURCE_ROOT

Includes go one way, as docs/architecture.md draws it: base at the bottom, then kernels, format,
tokenizer, graph, energy and image (a model file says how its images are read), then the backends, the runtime, the families and the server, and
the command line on top. Also checked: project headers are named from the source root and exist, every
header has a guard of its own, processor intrinsics stay in engine/kernels, sockets stay in the
server, and no two files of the tree have the same name. Prints file:line for each breach.
"""

import collections
import pathlib
import re
import sys

# What a folder's files may include: folders, or single headers. The longest match decides.
CLI_AND_TESTS = ("engine", "models", "server", "proto", "cli", "tests")
BACKEND = ("engine/base", "engine/format", "engine/graph", "engine/energy", "engine/backend")
RUN_TIME = (
    "engine/engine.h",
    "engine/base",
    "engine/kernels",
    "engine/format",
    "engine/tokenizer",
    "engine/graph",
    "engine/energy",
    "engine/image",
    "engine/backend",
    "engine/runtime",
)
ALLOWED = {
    "engine/base": ("engine/base",),
    "engine/kernels": ("engine/base", "engine/kernels"),
    "engine/format": ("engine/base", "engine/image", "engine/format"),
    "engine/tokenizer": ("engine/base", "engine/tokenizer"),
    "engine/graph": ("engine/base", "engine/graph"),
    "engine/energy": ("engine/base", "engine/energy"),
    "engine/image": ("engine/base", "engine/image"),
    "engine/compress": (
        "engine/base",
        "engine/format",
        "engine/tokenizer",
        "engine/kernels",
        "engine/compress",
    ),
    "engine/backend": BACKEND,
    "engine/backend/gemmini": (
        "engine/base",
        "engine/graph",
        "engine/energy",
        "engine/backend/backend.h",
        "engine/backend/gemmini",
    ),
    "engine/backend/cpu": BACKEND + ("engine/kernels",),
    "engine/runtime": RUN_TIME,
    "engine": RUN_TIME,  # engine.h itself
    "models": (*RUN_TIME, "models"),
    "proto": ("proto",),
    "server": ("engine/engine.h", "engine/base", "server", "proto"),
    "cli": CLI_AND_TESTS,
    "tests": CLI_AND_TESTS,
    "bench": CLI_AND_TESTS,
}

# Single files that may do more, each with its reason.
EXCEPTIONS = {
    # A tokenizer is built from GGUF metadata by this one file; the rest knows no file format.
    ("engine/tokenizer/bpe_gguf.c", "engine/format/gguf.h"),
    # A family is found by its names in model files: its public header shows their table.
    ("engine/graph/family.h", "engine/format/model_file.h"),
    ("engine/graph/family.h", "engine/format/hf_config.h"),
}

# System headers that belong to one layer.
SYSTEM = {
    "immintrin.h": ("engine/kernels", "tests", "bench"),
    "arm_neon.h": ("engine/kernels", "tests", "bench"),
    "microhttpd.h": ("server", "tests"),
    "uv.h": ("server", "tests"),
    "jpeglib.h": ("engine/image", "tests"),
    "spng.h": ("engine/image", "tests"),
    "zlib.h": ("cli", "tests"),
    "protobuf-c/protobuf-c.h": ("engine/format",),
    "onnx.pb-c.h": ("engine/format",),  # generated from proto/onnx.proto
}

# Names that a tool or a format prescribes, and folders of data, may repeat.
COMMON_NAMES = {"CMakeLists.txt", "README.md", "__init__.py", "requirements.txt"}
DATA_FOLDERS = (
    "tests/fuzz/corpus",
    "tests/golden",
    "tests/support/fixture",
    "tests/support/bert",
    "tests/support/encoders",
    "tests/support/vision",
)
SKIPPED = {"build", "__pycache__"}

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def is_under(path, folders):
    return any(path == folder or path.startswith(folder + "/") for folder in folders)


def files_of(root):
    for path in sorted(root.rglob("*")):
        parts = path.relative_to(root).parts
        if path.is_file() and not any(p in SKIPPED or p.startswith(".") for p in parts):
            yield "/".join(parts), path


def check_include(root, name, line, quote, target):
    where = f"{name}:{line}"
    if quote == "<":
        homes = SYSTEM.get(target)
        if homes and not is_under(name, homes):
            return f"{where}: <{target}> belongs to {', '.join(homes)}"
        return None
    if not (root / target).is_file():
        return f'{where}: "{target}" is no file of the tree (named from the source root)'
    layer = max((folder for folder in ALLOWED if is_under(name, (folder,))), key=len, default=None)
    if layer is None:
        return f"{where}: {name} belongs to no layer"
    if is_under(target, ALLOWED[layer]) or (name, target) in EXCEPTIONS:
        return None
    return f'{where}: {layer} may not include "{target}", only {", ".join(ALLOWED[layer])}'


def guard_of(text):
    """The guard's name, or None: a header opens with #ifndef X, #define X."""
    match = re.search(r"^#(\w+) (\w+)\n#define (\w+)$", text, re.M)
    return match[2] if match and match[1] == "ifndef" and match[2] == match[3] else None


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: check_layers.py SOURCE_ROOT")
    root = pathlib.Path(sys.argv[1])
    breaches, guards, names = [], {}, collections.defaultdict(list)
    n_files = n_includes = 0
    for name, path in files_of(root):
        if path.name not in COMMON_NAMES and not is_under(name, DATA_FOLDERS):
            names[path.name].append(name)
        if path.suffix not in (".c", ".h", ".def"):
            continue
        n_files += 1
        text = path.read_text(encoding="utf-8")
        for number, line in enumerate(text.splitlines(), 1):
            match = INCLUDE.match(line)
            if match:
                n_includes += 1
                breaches.append(check_include(root, name, number, *match.groups()))
        if path.suffix == ".h":
            guard = guard_of(text)
            ending = path.stem.upper() + "_H"
            if guard is None or not (guard.startswith("CT_") and guard.endswith(ending)):
                breaches.append(f"{name}:1: needs an include guard CT_..._{ending}, found {guard}")
            elif guards.setdefault(guard, name) != name:
                breaches.append(f"{name}:1: guard {guard} is also that of {guards[guard]}")
    breaches += [
        f"{same[0]}:1: the same file name as {', '.join(same[1:])}"
        for same in names.values()
        if same[1:]
    ]
    breaches = [breach for breach in breaches if breach]
    if n_includes == 0:
        breaches.append(f"{root}: no sources found")
    if breaches:
        sys.exit("\n".join(breaches))
    print(f"{n_files} files, {n_includes} includes")


if __name__ == "__main__":
    main()
