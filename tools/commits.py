#!/usr/bin/env python3
"""Which sources made a row: the commit's name, the mark of sources that differ from it, and where rows with the mark must not
go. Scripts of bench/ and tools/ ask here; src/commit/ has the same rule for programs.

    tools/commits.py     prints the name of this checkout's commit
"""
import os
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[1]
DIRTY_MARK = "-dirty"
NO_SOURCES = ("docs", "*.md")  # one measurement after another goes there before any is committed


def source_commit(root=ROOT):
    """TMX_COMMIT, or git's; the mark behind it if sources that git knows differ. Results and documents are none."""
    if told := os.environ.get("TMX_COMMIT"):
        return told
    try:
        named = git(root, "describe", "--always", "--abbrev=9", "--exclude=*")
        differ = git(root, "diff", "--quiet", "HEAD", "--", ".", *(f":(exclude){path}" for path in NO_SOURCES))
    except OSError:
        return "unknown"
    if named.returncode != 0:
        return "unknown"
    return named.stdout.strip() + (DIRTY_MARK if differ.returncode != 0 else "")


def git(root, *words):
    return subprocess.run(["git", "-C", root, *words], capture_output=True, text=True, check=False)


def is_dirty(commit):
    """Whether the name says that sources differed from the commit, so that nobody can make again what they made."""
    return commit.endswith(DIRTY_MARK)


def commit_of(row):
    """The commit that a row names, with the mark where it has one. Rows of old kept that apart, as "dirty"."""
    commit = str(row.get("commit") or "")
    return commit + DIRTY_MARK if row.get("dirty") and not is_dirty(commit) else commit


def is_published(path):
    """Whether documents' tables are made of this file's rows (tools/results_to_md.py)."""
    folder = pathlib.Path(path).resolve().parent
    return (folder.parent.name, folder.name) == ("docs", "results")


def why_not_published(path, commit):
    """"" if rows of that commit's sources may go to the file; else why not, and what to do."""
    if not is_published(path) or not is_dirty(commit):
        return ""
    return (f"{path} keeps published results, and the sources differ from their commit ({commit}), so nobody could make its "
            "rows again. Commit (and rebuild), or write elsewhere: --out /tmp/rows.jsonl")


if __name__ == "__main__":
    print(source_commit())
