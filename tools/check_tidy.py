#!/usr/bin/env python3
"""Runs clang-tidy over src/, with the checks of .clang-tidy.

Nine tenths of its work is on headers that many files include. So files with the same compiler flags are put together, as
one that includes them. Those that do not compile beside the others (two may give the same name to their own functions) are
taken out and checked apart, which is said: it costs time that another name would save. One check only looks at the file
that is compiled, not at what that includes: files that it could have something to say about are given to it by themselves,
too.
"""
import argparse
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
IDLE = re.compile(r"-D\w+_EXPORTS$|-O\d?$|-fPI[CE]$|-g")  # flags that change nothing here
INCLUDED = re.compile(r"In file included from (.*?):\d+[:,]")
ERROR = re.compile(r"(.*?):\d+:\d+: error: ")
COMPILER = " [clang-diagnostic-"  # what the compiler said, not a check
# A group has one file of each kind at most, at its begin: they define how a header is included, or what others define too.
KINDS = [re.compile(words, re.M)
         for words in (r'#include "hwy/foreach_target.h"', r"^int main\(", r'^extern "C" int ggml_backend_score')]
MOST = 60  # files of a group: more save little, and all cores should have work to the end


def parts(files):
    """Groups of neighbours, which share headers."""
    kinds = {}
    for path in files:
        with open(path, encoding="utf-8") as file:
            text = file.read()
        kinds[path] = next((i for i, kind in enumerate(KINDS) if kind.search(text)), None)
    apart = [[path for path in files if kinds[path] == i] for i in range(len(KINDS))]
    others = [path for path in files if kinds[path] is None]
    n = max(-(-len(files) // MOST), *map(len, apart))
    return [[kind[i] for kind in apart if i < len(kind)] + others[len(others) * i // n : len(others) * (i + 1) // n]
            for i in range(n)]


def include_folders(words):
    """Those among a compiler's options, as options, and the other options."""
    folders, others, words = [], [], iter(words)
    for word in words:
        if word in ("-I", "-isystem"):
            folders.append((word, next(words)))
        elif word.startswith("-I"):
            folders.append(("-I", word[2:]))
        else:
            others.append(word)
    return folders, others


def flag_groups(build):
    """Flags (without compiler launcher, input and output) of the files of src/, and the files that have them.

    A file that several targets compile is checked once, with the flags of the one that has most. Flags that do not matter
    to the checks do not make a difference. And files whose flags do not contradict each other get all of them: a macro
    that a file does not know changes nothing in it, nor does a folder that it includes nothing from."""
    flags_of = {}
    with open(os.path.join(build, "compile_commands.json"), encoding="utf-8") as file:
        for entry in json.load(file):
            path = os.path.normpath(os.path.join(entry["directory"], entry["file"]))
            if not path.startswith(os.path.join(ROOT, "src") + os.sep) or not path.endswith(".cpp"):
                continue
            words = shlex.split(entry["command"])
            first = next(i for i, word in enumerate(words) if word.startswith("-"))
            at = words.index("-o")
            folders, others = include_folders(words[first:at] + words[at + 2 :])
            others = {word for word in others if word not in ("-c", entry["file"]) and not IDLE.match(word)}
            if len(others) > len(flags_of.get(path, ((), ()))[1]):
                flags_of[path] = (folders, others)

    groups = []  # (definitions by name, other flags, folders, files)
    for path, (folders, others) in sorted(flags_of.items(), key=lambda each: (-len(each[1][1]), each[0])):
        macros = {word.partition("=")[0]: word for word in others if word.startswith("-D")}
        others = {word for word in others if not word.startswith("-D")}
        for known, known_others, known_folders, files in groups:
            if all(known.get(name, word) == word for name, word in macros.items()):
                known.update(macros)
                known_others |= others
                known_folders.update(dict.fromkeys(folders))
                files.append(path)
                break
        else:
            groups.append((macros, others, dict.fromkeys(folders), [path]))
    return {(*sorted(others), *sorted(macros.values()), *itertools.chain(*folders)): sorted(files)
            for macros, others, folders, files in groups}


class Checker:
    def __init__(self, build):
        self.folder = os.path.join(build, "tidy")
        os.makedirs(self.folder, exist_ok=True)
        self.numbers = itertools.count()
        self.lock = threading.Lock()

    def run(self, *command):
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, errors="replace", check=False)

    def union(self, files):
        """The file that includes these."""
        if len(files) == 1:
            return files[0]
        with self.lock:
            name = os.path.join(self.folder, f"group_{next(self.numbers)}.cpp")
        with open(name, "w", encoding="utf-8") as file:
            for path in files:
                file.write(f'#include "{path}"  // NOLINT(bugprone-suspicious-include)\n')
        return name

    def clashing(self, flags, name, files):
        """Those that do not compile beside the ones before them."""
        done = self.run("clang++-14", *flags, "-fsyntax-only", "-ferror-limit=0", name)
        apart, inside = set(), None  # an error in a header is that of the file that includes it
        for line in done.stderr.splitlines():
            if (included := INCLUDED.match(line)) and included[1] in files:
                inside = included[1]
            elif error := ERROR.match(line):
                apart.add(error[1] if error[1] in files else inside)
                inside = None
        return [path for path in files[1:] if path in apart] or files[1:]

    def check(self, flags, files):
        """What clang-tidy says of the files, empty if it is content."""
        name = self.union(files)
        said = self.tidy(flags, name)
        if len(files) == 1:
            return said
        if any(COMPILER in line for line in said):
            apart = self.clashing(flags, name, files)
            print("beside others these do not compile:", *(os.path.relpath(path, ROOT) for path in apart), file=sys.stderr)
            return self.check(flags, [path for path in files if path not in apart]) + self.check(flags, apart)
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
    parser.add_argument("-p", "--build", default="build-tidy", help="build folder, configured as .ci/run does it (default: build-tidy)")
    parser.add_argument("-j", "--jobs", type=int, default=os.cpu_count(), help="how many at a time (default: all cores)")
    options = parser.parse_args()
    with open(os.path.join(options.build, "CMakeCache.txt"), encoding="utf-8") as cache:
        if re.search(r"^CMAKE_UNITY_BUILD:\w+=ON$", cache.read(), re.M):
            print(f"{options.build} compiles files together: configure it with -D CMAKE_UNITY_BUILD=OFF", file=sys.stderr)
            return 2
    files_of = flag_groups(options.build)
    if not files_of:
        print(f"no file of src/ in {options.build}/compile_commands.json", file=sys.stderr)
        return 2
    checker = Checker(os.path.abspath(options.build))
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        work = [(flags, group) for flags, files in files_of.items() for group in parts(files)]
        work.sort(key=lambda group: -len(group[1]))
        said = list(pool.map(lambda group: checker.check(*group), work))
    for line in sorted({line for lines in said for line in lines}):
        print(line)
    n_files = sum(len(files) for _, files in work)
    print(f"{n_files} files in {len(work)} groups: {'fine' if not any(said) else 'NOT fine'}")
    return 1 if any(said) else 0


if __name__ == "__main__":
    sys.exit(main())
