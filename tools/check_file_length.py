#!/usr/bin/env python3
"""Fails on a source file of more than 500 lines, in src/ of more than 400: split it by role before it gets there. And on
a folder of more than 40 source files, those in folders of it not counted.

Looks at C++, CUDA, CMake, Python and shell files outside build folders; texts and data have no limit.
"""
import argparse
import collections
import os
import sys

SUFFIXES = (".h", ".hpp", ".cpp", ".cc", ".c", ".cu", ".cuh", ".inc", ".in", ".cmake", ".py", ".sh")
NAMES = ("CMakeLists.txt",)
MOST_LINES_IN_SRC = 400
MOST_FILES = 40


def source_files(root):
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(f for f in folders if not f.startswith(".") and not f.startswith("build"))
        if folder == root:
            folders.append(".ci")
        for name in sorted(files):
            if name.endswith(SUFFIXES) or name in NAMES or os.path.basename(folder) == ".ci":
                yield os.path.relpath(os.path.join(folder, name), root)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", default=".", help="root of the repository (default: the current folder)")
    parser.add_argument("--limit", type=int, default=500,
                        help=f"most lines a file may have (default: 500); in src/ at most {MOST_LINES_IN_SRC}")
    options = parser.parse_args(arguments)
    if not os.path.isdir(os.path.join(options.root, "src")):
        print(f"no src in {os.path.abspath(options.root)}: run this in the repository's root", file=sys.stderr)
        return 2
    n_long = 0
    n_of_folder = collections.Counter()
    for path in source_files(options.root):
        n_of_folder[os.path.dirname(path)] += 1
        with open(os.path.join(options.root, path), "rb") as file:
            n_lines = sum(1 for _ in file)
        limit = min(options.limit, MOST_LINES_IN_SRC) if path.startswith("src/") else options.limit
        if n_lines > limit:
            n_long += 1
            print(f"{path}: {n_lines} lines, at most {limit}")
    full = {folder: n for folder, n in n_of_folder.items() if n > MOST_FILES}
    for folder, n_files in full.items():
        print(f"{folder}: {n_files} files, at most {MOST_FILES}")
    print(f"{n_of_folder.total()} files, {n_long} too long; {len(full)} folders too full")
    return 1 if n_long or full else 0


if __name__ == "__main__":
    sys.exit(main())
