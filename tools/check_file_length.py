#!/usr/bin/env python3
"""Fails on a source file of more than 500 lines: split it by role before it gets there.

Looks at C++, CUDA, CMake, Python and shell files outside build folders; texts and data have no limit.
"""
import argparse
import os
import sys

SUFFIXES = (".h", ".hpp", ".cpp", ".cc", ".c", ".cu", ".cuh", ".inc", ".cmake", ".py", ".sh")
NAMES = ("CMakeLists.txt",)


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
    parser.add_argument("--limit", type=int, default=500, help="most lines a file may have (default: 500)")
    options = parser.parse_args(arguments)
    if not os.path.isdir(os.path.join(options.root, "src")):
        print(f"no src in {os.path.abspath(options.root)}: run this in the repository's root", file=sys.stderr)
        return 2
    n_files = 0
    n_long = 0
    for path in source_files(options.root):
        n_files += 1
        with open(os.path.join(options.root, path), "rb") as file:
            n_lines = sum(1 for _ in file)
        if n_lines > options.limit:
            n_long += 1
            print(f"{path}: {n_lines} lines, at most {options.limit}")
    print(f"{n_files} files, {n_long} too long")
    return 1 if n_long else 0


if __name__ == "__main__":
    sys.exit(main())
