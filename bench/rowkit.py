"""What every measuring script writes beside its figures, and the file in which a new measurement takes an old one's place."""
import datetime
import json
import os
import pathlib
import shlex
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import commits  # noqa: E402  (found by the path above)


def now():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def command():
    """The script's own command line. Files of the repository as seen from there, others by name alone: where they lie
    differs from machine to machine."""
    def shown(word):
        path = pathlib.Path(word)
        if not path.is_absolute():
            return word
        path = pathlib.Path(os.path.normpath(path))
        return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else path.name
    return shlex.join([shown(os.path.abspath(sys.argv[0])), *map(shown, sys.argv[1:])])


def cpu():
    lines = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(("model name", "CPU part"))), "unknown")


def origin():
    """What says of a row who made it, of which sources, where and when."""
    return {"machine": cpu(), "date": now(), "commit": commits.source_commit(), "command": command()}


class Refused(Exception):
    """Rows that must not be published; the text says why, and where they can go."""


class Store:
    """A file of rows, one JSON object a line. Rows of what this run measures replace the old ones, others stay; the file is
    whole at any time. Without a path nothing is kept. Make it before anything is measured: it raises Refused where rows of
    this checkout must not go. Rows with equal values of `keys` are about the same."""

    def __init__(self, path, *keys):
        self.path = pathlib.Path(path) if path else None
        self.keys = keys
        self.rows = []
        self.check(commits.source_commit())
        if self.path and self.path.exists():
            self.rows = [json.loads(line) for line in self.path.read_text(encoding="utf-8").splitlines()]

    def check(self, made_by):
        """Raises Refused if rows that this commit made must not go into the file."""
        if why := self.path and commits.why_not_published(self.path, made_by):
            raise Refused(why)

    def replace(self, values, rows):
        """`rows` instead of all whose keys have these values (one key: the value alone)."""
        values = values if isinstance(values, tuple) else (values,)
        for row in rows:
            self.check(commits.commit_of(row))
        self.rows = [row for row in self.rows if tuple(row.get(key) for key in self.keys) != values] + rows
        if self.path:
            temporary = self.path.with_suffix(".tmp")
            temporary.write_text("".join(json.dumps(row) + "\n" for row in self.rows), encoding="utf-8")
            temporary.replace(self.path)
