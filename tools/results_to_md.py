#!/usr/bin/env python3
"""Writes the tables of README.md and docs/ from the measurements in docs/results/*.jsonl.

    tools/results_to_md.py           rewrite every table
    tools/results_to_md.py --check   change nothing; exit 1 and name the file if a table is out of date

A table stands between two marker lines in a Markdown file:

    <!-- table: NAME -->
    ...
    <!-- /table -->

docs/results/tables.json says what NAME shows:

    "NAME": {
        "file":    "peers.jsonl",
        "where":   {"case": "prefill"},                rows whose keys have these values (a list: any of them)
        "sort":    ["order"],                          keys; a leading "-" sorts downwards (default: order of the file)
        "columns": [{"title": "TTFT", "key": "ttft_s.median", "format": "{:.2f} s", "missing": "-"}],
        "source":  true                                a line below: date, machine, commit, command of the rows
    }

A dot in a key steps into an object. Each row of a .jsonl file is one measurement and should carry date, commit,
machine and command.
"""

import argparse
import json
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
RESULTS = ROOT / "docs" / "results"
BLOCK = re.compile(r"(?P<open><!-- table: (?P<name>[\w.-]+) -->\n)(?P<body>.*?)(?P<close><!-- /table -->)", re.S)


class Problem(Exception):
    """Something in the inputs that the person who edits them must mend."""


def look_up(row, key):
    for part in key.split("."):
        if not isinstance(row, dict) or part not in row:
            return None
        row = row[part]
    return row


def read_rows(name):
    path = RESULTS / name
    rows = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise Problem(f"{path}: {error.strerror}") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            rows.append(json.loads(line))
        except ValueError as error:
            raise Problem(f"{path}:{number}: not JSON: {error}") from error
    return rows


def keeps(row, where):
    for key, wanted in where.items():
        value = look_up(row, key)
        if value not in (wanted if isinstance(wanted, list) else [wanted]):
            return False
    return True


def cell(row, column):
    value = look_up(row, column["key"])
    if value is None:
        return column.get("missing", "-")
    try:
        text = column.get("format", "{}").format(value)
    except (ValueError, TypeError) as error:
        raise Problem(f"column '{column['title']}': {value!r} does not fit {column['format']!r}: {error}") from error
    return text.replace("|", "\\|")


def source_line(rows):
    parts = []
    for key, text in (("date", "{}"), ("machine", "{}"), ("commit", "commit {}"), ("command", "`{}`")):
        values = sorted({str(row[key]) for row in rows if row.get(key)})
        if key == "date":
            values = sorted({value[:10] for value in values})
        if values:
            parts.append(", ".join(text.format(value) for value in values))
    return "Measured: " + "; ".join(parts) + ". Rows: `docs/results/{}`."


def render(name, spec):
    rows = [row for row in read_rows(spec["file"]) if keeps(row, spec.get("where", {}))]
    if not rows:
        raise Problem(f"table '{name}': no row of {spec['file']} fits {spec.get('where', {})}")
    for key in reversed(spec.get("sort", [])):
        rows.sort(key=lambda row, k=key.lstrip("-"): look_up(row, k), reverse=key.startswith("-"))
    columns = spec["columns"]
    right = [isinstance(look_up(rows[0], column["key"]), (int, float)) for column in columns]
    lines = [
        "| " + " | ".join(column["title"] for column in columns) + " |",
        "| " + " | ".join("---:" if r else "---" for r in right) + " |",
    ]
    lines += ["| " + " | ".join(cell(row, column) for column in columns) + " |" for row in rows]
    if spec.get("source"):
        lines += ["", source_line(rows).format(spec["file"])]
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only say whether the tables are up to date")
    check = parser.parse_args().check

    specs = json.loads((RESULTS / "tables.json").read_text(encoding="utf-8"))
    used, stale = set(), []
    for path in sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]):
        if not path.exists():
            continue
        text = path.read_text(encoding="utf-8")

        def replace(match, path=path):
            name = match["name"]
            if name not in specs:
                raise Problem(f"{path}: table '{name}' is not in docs/results/tables.json")
            used.add(name)
            return match["open"] + render(name, specs[name]) + match["close"]

        updated = BLOCK.sub(replace, text)
        if text.count("<!-- table:") != len(BLOCK.findall(text)):
            raise Problem(f"{path}: a table marker has no <!-- /table --> after it")
        if updated != text:
            stale.append(path.relative_to(ROOT))
            if not check:
                path.write_text(updated, encoding="utf-8")
    for name in sorted(set(specs) - used):
        raise Problem(f"docs/results/tables.json: no document shows table '{name}'")

    if not stale:
        print("all tables are up to date")
        return 0
    print(("out of date: " if check else "rewritten: ") + ", ".join(map(str, stale)))
    if check:
        print("run tools/results_to_md.py and commit what it changes")
    return 1 if check else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Problem as problem:
        print(f"error: {problem}", file=sys.stderr)
        sys.exit(1)
