#!/usr/bin/env python3
"""Fails on a C++ line whose comment reaches beyond column 120.

clang-format leaves comments as they are written (ReflowComments: false): a break in the middle of a line, with a word or two
left over on the next, reads badly in tables and lists. So whoever writes a comment wraps it, and this check says where.
"""
import argparse
import os
import re
import sys

SUFFIXES = (".h", ".hpp", ".cpp", ".cc", ".c", ".cu", ".cuh", ".inc", ".in")
FOLDERS = ("include", "src", "bench", "tests")
# A comment's two slashes: behind nothing but code and whole string literals.
COMMENT = re.compile(r'^(?:[^"/]|"(?:[^"\\]|\\.)*"|/(?!/))*//')


def source_files(root):
    for top in FOLDERS:
        for folder, folders, files in os.walk(os.path.join(root, top)):
            folders.sort()
            for name in sorted(files):
                if name.endswith(SUFFIXES):
                    yield os.path.relpath(os.path.join(folder, name), root)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", default=".", help="root of the repository (default: the current folder)")
    parser.add_argument("--limit", type=int, default=120, help="last column that a comment may reach (default: 120)")
    options = parser.parse_args(arguments)
    if not os.path.isdir(os.path.join(options.root, "src")):
        print(f"no src in {os.path.abspath(options.root)}: run this in the repository's root", file=sys.stderr)
        return 2
    n_files = 0
    n_wide = 0
    for path in source_files(options.root):
        n_files += 1
        with open(os.path.join(options.root, path), encoding="utf-8", errors="replace") as file:
            for number, line in enumerate(file.read().splitlines(), 1):
                if len(line) > options.limit and COMMENT.match(line):
                    n_wide += 1
                    print(f"{path}:{number}: a comment reaches column {len(line)}, at most {options.limit}")
    print(f"{n_files} files, {n_wide} comments too wide")
    return 1 if n_wide else 0


if __name__ == "__main__":
    sys.exit(main())
