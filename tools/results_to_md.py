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
machine and command; a row whose sources differed from that commit (tools/commits.py) is an error, whichever table shows
it. A file that is not there yet gives the line "Not measured yet."; a table with an
introduction is left out until there are rows for it.

    "intro":   "In one process:"                     a paragraph above the table
    "newest":  ["mode", "n_tokens"]                  of rows with equal values of these keys only the last in the file

    "group":   ["arm"]                              one line for all rows with equal values of these keys; then a
                                                     column may say "reduce": mean, median, max, min, count, or share
                                                     (sum of its key over the sum of its "over")
    "names":   {"arm": {"none": "dense"}}           what to show in place of a value
"""

import argparse
import datetime
import json
import pathlib
import re
import statistics
import sys

import commits

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


def refuse_dirty_rows():
    """Nobody can make a row again whose sources no commit has."""
    found = []
    for path in sorted(RESULTS.glob("*.jsonl")):
        dirty = sum(commits.is_dirty(commits.commit_of(row)) for row in read_rows(path.name))
        if dirty:
            found.append(f"{path.relative_to(ROOT)} ({dirty})")
    if found:
        raise Problem("rows made by sources that differ from their commit: " + ", ".join(found) +
                      "; measure them again from a clean checkout, or take them out")


def newest(rows, keys):
    """In the order of the file; each at its last place."""
    last = {tuple(str(look_up(row, key)) for key in keys): number for number, row in enumerate(rows)}
    return [rows[number] for number in sorted(last.values())]


def keeps(row, where):
    for key, wanted in where.items():
        value = look_up(row, key)
        if value not in (wanted if isinstance(wanted, list) else [wanted]):
            return False
    return True


REDUCERS = {"mean": statistics.fmean, "median": statistics.median, "max": max, "min": min}


def reduced(rows, column):
    how = column["reduce"]
    if how == "count":
        return len(rows)
    values = [value for value in (look_up(row, column["key"]) for row in rows) if value is not None]
    if not values:
        return None
    if how == "share":
        return sum(values) / sum(look_up(row, column["over"]) for row in rows)
    if how not in REDUCERS:
        raise Problem(f"column '{column['title']}': no reduction '{how}'")
    return REDUCERS[how](values)


def value_of(rows, column):
    """Of one line of the table: a row, or the rows of a group."""
    return reduced(rows, column) if "reduce" in column else look_up(rows[0], column["key"])


def cell(rows, column, names):
    value = value_of(rows, column)
    if value is None:
        return column.get("missing", "-")
    value = names.get(column["key"], {}).get(str(value), value)
    try:
        text = column.get("format", "{}").format(value)
    except (ValueError, TypeError) as error:
        raise Problem(f"column '{column['title']}': {value!r} does not fit {column['format']!r}: {error}") from error
    return text.replace("|", "\\|")


def first_of(row, keys):
    return next((row[key] for key in keys if row.get(key)), None)


def source_line(rows, file):
    dates, machines, sources, commands = set(), set(), set(), set()
    for row in rows:
        date = row.get("date")
        if not date and row.get("unix_time"):
            date = datetime.datetime.fromtimestamp(row["unix_time"], datetime.timezone.utc).isoformat()
        dates.add((date or "")[:10])
        machines.add(first_of(row, ("machine", "cpu", "device")))
        sources.add(commits.commit_of(row))
        commands.add(row.get("command"))
    parts = []
    for values, text in ((dates, "{}"), (machines, "{}"), (sources, "commit {}"), (commands, "`{}`")):
        if known := sorted(str(value) for value in values if value):
            parts.append(", ".join(text.format(value) for value in known))
    return "Measured: " + "; ".join(parts) + f". Rows: `docs/results/{file}`."


def render(name, spec):
    there = (RESULTS / spec["file"]).exists()
    rows = [row for row in read_rows(spec["file"]) if keeps(row, spec.get("where", {}))] if there else []
    if not rows and "intro" in spec:
        return ""
    if not there:
        return "Not measured yet.\n"
    if not rows:
        raise Problem(f"table '{name}': no row of {spec['file']} fits {spec.get('where', {})}")
    if "newest" in spec:
        rows = newest(rows, spec["newest"])
    for key in reversed(spec.get("sort", [])):
        rows.sort(key=lambda row, k=key.lstrip("-"): look_up(row, k), reverse=key.startswith("-"))
    groups = {}
    for number, row in enumerate(rows):
        key = tuple(str(look_up(row, part)) for part in spec["group"]) if "group" in spec else number
        groups.setdefault(key, []).append(row)
    columns, names = spec["columns"], spec.get("names", {})
    right = [isinstance(value_of(rows, column), (int, float)) for column in columns]
    lines = [spec["intro"], ""] if "intro" in spec else []
    lines += [
        "| " + " | ".join(column["title"] for column in columns) + " |",
        "| " + " | ".join("---:" if r else "---" for r in right) + " |",
    ]
    lines += ["| " + " | ".join(cell(group, column, names) for column in columns) + " |" for group in groups.values()]
    if spec.get("source"):
        lines += ["", source_line(rows, spec["file"])]
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only say whether the tables are up to date")
    check = parser.parse_args().check

    refuse_dirty_rows()
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
