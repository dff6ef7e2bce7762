"""The three descriptions of the API agree with the tables that the server is built from:
proto/openapi.yaml, docs/api.md and `centroid serve --help` with routes.def, openai_fields.def and
options.def."""

import os
import pathlib
import re
import subprocess
import unittest

ROOT = pathlib.Path(__file__).parents[2]


def read(name):
    return (ROOT / name).read_text()


def macros(name, pattern):
    """The arguments of the macros in a .def file whose names match, comments left out."""
    text = re.sub(r"/\*.*?\*/", "", read(name), flags=re.DOTALL)
    return re.findall(rf"^CT_({pattern})\(([^\n]*?(?:\n [^\n]*?)*)\)$", text, re.MULTILINE)


def routes():
    found = [re.fullmatch(r'(\w+), "(.+)", \w+, \w+', args) for _, args in macros("server/routes.def", "ROUTE")]
    return {(match[1].lower(), match[2]) for match in found}


# What the names of sets in openai_fields.def stand for.
TEXTS = ["COMPLETION", "CHAT"]
ROWS = ["EMBEDDING", "CLASSIFY", "RERANK"]
SETS = {"BOTH": TEXTS, "ROWS": ROWS, "ALL": TEXTS + ROWS}


def fields():
    """{"COMPLETION": {name: (macro, arguments)}, "CHAT": ..., "EMBEDDING": ...}"""
    tables = {kind: {} for kind in SETS["ALL"]}
    for macro, args in macros("server/openai_fields.def", r"FIELD_\w+"):
        name, where, *rest = [arg.strip() for arg in args.split(",", 4)]
        for part in where.split(" | "):
            for kind in SETS.get(part, [part]):
                tables[kind][name] = (macro, rest)
    return tables


def indented(text, path):
    """The lines below a path of YAML keys, each two spaces deeper than the last; enough of YAML for a
    file of our own."""
    for depth, key in enumerate(path):
        begin = re.search(rf"^{'  ' * depth}{re.escape(key)}:[^\n]*\n", text, re.MULTILINE)
        assert begin, f"no {key} in openapi.yaml"
        text = text[begin.end() :]
        end = re.search(rf"^ {{0,{2 * depth}}}\S", text, re.MULTILINE)
        text = text[: end.start()] if end else text
    return text


def rows(title):
    """The rows of the table under a heading of docs/api.md, as lists of cells."""
    section = read("docs/api.md").partition(f"## {title}\n")[2].partition("\n## ")[0]
    table = [line for line in section.splitlines() if line.startswith("| ")]
    split = [re.split(r"(?<!\\)\|", line.strip("|")) for line in table[1:]]
    return [[cell.strip().replace("\\|", "|") for cell in row] for row in split if "---" not in row[0]]


class Description(unittest.TestCase):
    def test_routes(self):
        text = indented(read("proto/openapi.yaml"), ["paths"])
        described = set()
        path = None
        for line in text.splitlines():
            if match := re.fullmatch(r"  (/\S*):", line):
                path = match[1]
            elif match := re.fullmatch(r"    (get|post|put|delete|patch):", line):
                described.add((match[1], path))
        self.assertEqual(described, routes())
        documented = {(row[0].lower(), row[1].strip("`")) for row in rows("Routes")}
        self.assertEqual(documented, routes())

    def test_fields(self):
        for kind in SETS["ALL"]:
            schema = kind.capitalize()
            text = indented(
                read("proto/openapi.yaml"), ["components", "schemas", f"{schema}Request", "properties"]
            )
            described = dict(re.findall(r"^        (\w+):(.*)$", text, re.MULTILINE))
            table = fields()[kind]
            self.assertEqual(set(described), set(table))
            for name, (macro, rest) in table.items():
                if macro in ("FIELD_INT", "FIELD_NUMBER"):
                    low, high = rest[0], rest[1].replace("CT_MAX_CHOICES", "8")
                    self.assertIn(f"minimum: {low}", described[name])
                    if high != "0":  # 0: the model's context
                        self.assertIn(f"maximum: {high}", described[name])

    def test_documented_fields(self):
        table = fields()
        documented = {row[0].strip("`"): row[1:] for row in rows("Request fields")}
        self.assertEqual(set(documented), set(table["COMPLETION"]) | set(table["CHAT"]))
        for name, (where, value, _) in documented.items():
            is_in = (name in table["COMPLETION"], name in table["CHAT"])
            self.assertEqual(
                where, {(True, True): "both", (True, False): "completions"}.get(is_in, "chat"), name
            )
            macro, rest = table["CHAT" if is_in[1] else "COMPLETION"][name]
            if macro in ("FIELD_INT", "FIELD_NUMBER") and rest[1] != "0":
                high = rest[1].replace("CT_MAX_CHOICES", "8")
                self.assertRegex(value, rf"{rest[0]}\b.* to {high}\b")
            if macro == "FIELD_NEUTRAL" and name != "parallel_tool_calls":
                values = ",".join(rest).strip()[1:-1].replace('\\"', '"').split("|")
                self.assertEqual(value, "only " + ", ".join(f"`{v}`" for v in values))

    def test_documented_fields_of_rows(self):
        documented = {row[0].strip("`"): row[1:] for row in rows("Fields of embeddings, classify and rerank")}
        tables = fields()
        names = {"EMBEDDING": "embeddings", "CLASSIFY": "classify", "RERANK": "rerank"}
        self.assertEqual(set(documented), set().union(*(tables[kind] for kind in ROWS)))
        for name, (where, value, _) in documented.items():
            kinds = [kind for kind in ROWS if name in tables[kind]]
            self.assertEqual(where, "all" if kinds == ROWS else ", ".join(names[k] for k in kinds), name)
            macro, rest = tables[kinds[0]][name]
            if macro in ("FIELD_INT", "FIELD_NUMBER"):
                self.assertRegex(value, rf"{rest[0]}\b.* to {rest[1]}\b")

    def test_options(self):
        options = {}
        for _, args in macros("server/options.def", r"OPTION_\w+"):
            texts = re.findall(r'"((?:[^"\\]|\\.)*)"', args)
            options[texts[0]] = re.search(r'("(?:[^"]|"\s*")*")$', args)[1]
        help_text = subprocess.run(
            [os.environ["CENTROID"], "serve", "--help"], capture_output=True, check=True, timeout=60
        ).stdout.decode()
        shown = re.findall(r"^  --([\w-]+)", help_text, re.MULTILINE)
        self.assertEqual(shown, list(options))
        documented = {row[0].strip("`-"): row[2] for row in rows("Options of `centroid serve`")}
        self.assertEqual(list(documented), list(options))
        for name, quoted in options.items():
            self.assertEqual(documented[name], re.sub(r'"\s*"', "", quoted)[1:-1])
        words = re.sub(r"\s+", " ", help_text)
        for text in documented.values():
            self.assertIn(text, words)


if __name__ == "__main__":
    unittest.main(verbosity=2)
