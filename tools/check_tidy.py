#!/usr/bin/env python3
"""Runs clang-tidy over src/, with the checks of .clang-tidy.

Nine tenths of its work is on headers that many files include. So the files of one set of compiler flags are put together,
as one that includes them; those that cannot be compiled together (two of them may give the same name to their own
functions) are checked in groups of their own. One check only looks at the file that is compiled, not at
what that includes: files that it could have something to say about are given to it by themselves, too.
"""
import argparse
import collections
import concurrent.futures
import itertools
import json
import os
import re
import shlex
import subprocess
import sys
import threading

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
OF_MAIN_FILES = "misc-unused-using-decls"
USING = re.compile(r"^\s*using [\w:]+::\w+;", re.M)
MOST = 12  # files of a group: more save little, and all cores should have work to the end


def flag_groups(build):
    """Flags (without compiler launcher, input and output) of the files of src/, and the files that have them."""
    groups = collections.defaultdict(list)
    with open(os.path.join(build, "compile_commands.json"), encoding="utf-8") as file:
        for entry in json.load(file):
            path = os.path.normpath(os.path.join(entry["directory"], entry["file"]))
            if not path.startswith(os.path.join(ROOT, "src") + os.sep) or not path.endswith(".cpp"):
                continue
            words = shlex.split(entry["command"])
            first = next(i for i, word in enumerate(words) if word.startswith("-"))
            at = words.index("-o")
            flags = words[first:at] + words[at + 2 :]
            flags = tuple(flag for flag in flags if flag not in ("-c", entry["file"]))
            if path not in groups[flags]:
                groups[flags].append(path)
    return groups


class Checker:
    def __init__(self, build):
        self.folder = os.path.join(build, "tidy")
        os.makedirs(self.folder, exist_ok=True)
        self.numbers = itertools.count()
        self.lock = threading.Lock()

    def run(self, *command):
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, errors="replace", check=False)

    def together(self, flags, files):
        """The file to check for these, and those that do not compile beside the ones before them."""
        if len(files) == 1:
            return files[0], []
        with self.lock:
            name = os.path.join(self.folder, f"group_{next(self.numbers)}.cpp")
        with open(name, "w", encoding="utf-8") as file:
            for path in files:
                file.write(f'#include "{path}"  // NOLINT(bugprone-suspicious-include)\n')
        done = self.run("clang++-14", *flags, "-fsyntax-only", "-ferror-limit=0", name)
        if done.returncode == 0:
            return name, []
        apart = [path for path in files[1:] if f"{path}:" in "".join(re.findall(r"^.*: error: ", done.stderr, re.M))]
        return None, apart or files[1:]

    def check(self, flags, files):
        """What clang-tidy says of the files, empty if it is content."""
        name, apart = self.together(flags, files)
        if name is None:
            return self.check(flags, [path for path in files if path not in apart]) + self.check(flags, apart)
        said = self.tidy(flags, name)
        if len(files) > 1:
            for path in files:
                with open(path, encoding="utf-8") as file:
                    if USING.search(file.read()):
                        said += self.tidy(flags, path, f"--checks=-*,{OF_MAIN_FILES}")
        return said

    def tidy(self, flags, name, *options):
        done = self.run("clang-tidy-14", "-quiet", *options, name, "--", *flags)
        if done.returncode == 0:
            return []
        lines = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout).splitlines()
        return [line for line in lines if re.search(r" (error|warning): ", line)] or [done.stdout + done.stderr]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-p", "--build", default="build", help="configured build folder (default: build)")
    parser.add_argument("-j", "--jobs", type=int, default=os.cpu_count(), help="how many at a time (default: all cores)")
    options = parser.parse_args()
    work = []
    for flags, files in flag_groups(options.build).items():
        n_parts = -(-len(files) // MOST)
        work += [(flags, files[i::n_parts]) for i in range(n_parts)]
    if not work:
        print(f"no file of src/ in {options.build}/compile_commands.json", file=sys.stderr)
        return 2
    work.sort(key=lambda part: -len(part[1]))
    checker = Checker(os.path.abspath(options.build))
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        said = list(pool.map(lambda part: checker.check(*part), work))
    for line in sorted({line for lines in said for line in lines}):
        print(line)
    n_files = sum(len(files) for _, files in work)
    print(f"{n_files} files in {len(work)} groups: {'fine' if not any(said) else 'NOT fine'}")
    return 1 if any(said) else 0


if __name__ == "__main__":
    sys.exit(main())
