"""What every measuring script writes beside its figures, and the file in which a new measurement takes an old one's place."""
import datetime
import json
import os
import pathlib
import shlex
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]


def now():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def commit():
    """TMX_COMMIT, or git's; "-dirty" behind it if files that git knows differ. Ask before a result file changes."""
    if told := os.environ.get("TMX_COMMIT"):
        return told
    try:
        done = subprocess.run(["git", "-C", ROOT, "describe", "--always", "--dirty", "--exclude=*"], capture_output=True,
                              text=True, check=False)
    except OSError:
        return "unknown"
    return done.stdout.strip() or "unknown"


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


class Refused(Exception):
    """Rows that must not be published; the text says why, and where they can go."""


def is_published(path):
    """Whether documents' tables are made of this file's rows (tools/results_to_md.py)."""
    folder = pathlib.Path(path).resolve().parent
    return (folder.parent.name, folder.name) == ("docs", "results")


class Store:
    """A file of rows, one JSON object a line. Rows of what this run measures replace the old ones, others stay; the file is
    whole at any time. Without a path nothing is kept. Make it before anything is measured: it raises Refused where rows of
    this checkout must not go."""

    def __init__(self, path, key):
        self.path = pathlib.Path(path) if path else None
        self.key = key
        self.rows = []
        self.check(commit())
        if self.path and self.path.exists():
            self.rows = [json.loads(line) for line in self.path.read_text(encoding="utf-8").splitlines()]

    def check(self, made_by):
        """Raises Refused if rows that this commit made must not go into the file."""
        if self.path and is_published(self.path) and made_by.endswith("-dirty"):
            raise Refused(f"{self.path} keeps published results, and the sources differ from their commit ({made_by}), so nobody "
                          "could make its rows again. Commit (and rebuild), or write elsewhere: --out /tmp/rows.jsonl")

    def replace(self, value, rows):
        """`rows` instead of all whose key has this value."""
        for row in rows:
            self.check(row.get("commit", ""))
        self.rows = [row for row in self.rows if row.get(self.key) != value] + rows
        if self.path:
            temporary = self.path.with_suffix(".tmp")
            temporary.write_text("".join(json.dumps(row) + "\n" for row in self.rows), encoding="utf-8")
            temporary.replace(self.path)
