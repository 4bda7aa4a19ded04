#!/usr/bin/env python3
"""tools/check_includes.py and tools/check_file_length.py on small trees, each with one known fault."""
import contextlib
import io
import os
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tools"))
import check_file_length  # noqa: E402
import check_includes  # noqa: E402

HEADERS = ("status", "geometry", "attention", "plan", "backend_control")


def run(tool, files, *options):
    """Exit status and output of a tool in a tree of these files (path -> text)."""
    with tempfile.TemporaryDirectory() as root:
        for path, text in files.items():
            os.makedirs(os.path.join(root, os.path.dirname(path)), exist_ok=True)
            with open(os.path.join(root, path), "w", encoding="utf-8") as file:
                file.write(text)
        output = io.StringIO()
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            status = tool.main(["--root", root, *options])
        return status, output.getvalue()


class Includes(unittest.TestCase):
    tree = {
        **{f"include/trianglemix/{name}.h": "#include <vector>\n" for name in HEADERS},
        **{f"src/{module}/own.h": "" for module in ("kernels", "plan", "ggml", "runtime", "profile", "cli")},
        "tests/support/kit.h": "",
        "bench/timer.h": "",
    }

    def check(self, path, line):
        return run(check_includes, {**self.tree, path: "\n" + line + "\n"})

    def allow(self, path, line):
        status, output = self.check(path, line)
        self.assertEqual(status, 0, f"{path}: {line}\n{output}")

    def refuse(self, path, line, reason):
        status, output = self.check(path, line)
        self.assertEqual(status, 1, f"{path}: {line}\n{output}")
        self.assertIn(f"{path}:2: ", output)
        self.assertIn(reason, output)

    def test_the_picture_is_allowed(self):
        self.allow("src/pattern/a.cpp", '#include "trianglemix/geometry.h"')
        self.allow("src/kernels/a.cpp", '#include "trianglemix/geometry.h"')
        self.allow("src/kernels/cpu/a.cpp", '#include "kernels/own.h"')
        self.allow("src/plan/a.cpp", '#include "trianglemix/attention.h"')
        self.allow("src/ggml/a.cpp", '#include "trianglemix/plan.h"')
        self.allow("src/ggml/a.cpp", '#include "ggml-backend-impl.h"')
        self.allow("src/runtime/a.cpp", "#include <llama.h>")
        self.allow("src/runtime/a.cpp", '#include "trianglemix/backend_control.h"')
        self.allow("src/profile/a.cpp", "#include <gguf.h>")
        self.allow("src/profile/a.cpp", '#include "runtime/own.h"')
        self.allow("src/profile/a.cpp", '#include "trianglemix/attention.h"')
        self.allow("src/cli/a.cpp", '#include "runtime/own.h"')
        self.allow("src/cli/a.cpp", '#include "profile/own.h"')
        self.allow("src/cli/a.cpp", '#include "trianglemix/attention.h"')
        self.allow("bench/a.cpp", '#include "kit.h"')
        self.allow("tests/ggml/a.cpp", '#include "ggml/own.h"')
        self.allow("tests/ggml/a.cpp", "#include <ggml-backend.h>")

    def test_every_other_arrow_is_refused(self):
        self.refuse("src/pattern/a.cpp", '#include "trianglemix/attention.h"', "pattern must not include kernels")
        self.refuse("src/kernels/a.cpp", '#include "trianglemix/plan.h"', "kernels must not include plan")
        self.refuse("src/kernels/cpu/a.cpp", '#include "ggml/own.h"', "kernels must not include ggml")
        self.refuse("src/plan/a.cpp", '#include "kernels/own.h"', "plan must not include kernels")
        self.refuse("src/runtime/a.cpp", '#include "trianglemix/plan.h"', "runtime must not include plan")
        self.refuse("src/runtime/a.cpp", '#include "ggml/own.h"', "runtime must not include ggml")
        self.refuse("src/profile/a.cpp", '#include "kernels/own.h"', "kernels is included through include/trianglemix/ only")
        self.refuse("src/profile/a.cpp", '#include "ggml/own.h"', "profile must not include ggml")
        self.refuse("src/profile/a.cpp", "#include <llama.h>", "only src/runtime includes headers of llama.cpp")
        self.refuse("src/runtime/a.cpp", '#include "profile/own.h"', "runtime must not include profile")
        self.refuse("src/cli/a.cpp", '#include "kernels/own.h"', "cli must not include kernels")
        self.refuse("src/cli/a.cpp", '  #  include "ggml/own.h"', "cli must not include ggml")
        self.refuse("src/cli/a.cpp", '#include "../ggml/own.h"', "cli must not include ggml")
        self.refuse("include/trianglemix/geometry.h", '#include "trianglemix/attention.h"',
                    "pattern must not include kernels")
        self.refuse("include/trianglemix/plan.h", '#include "plan/own.h"', "public headers include public headers only")

    def test_nothing_includes_cli_bench_or_tests(self):
        self.refuse("src/runtime/a.cpp", '#include "cli/own.h"', "runtime must not include cli")
        self.refuse("src/ggml/a.cpp", '#include "../../bench/timer.h"', "ggml must not include bench")
        self.refuse("src/kernels/a.cpp", '#include "kit.h"', "kernels must not include support")

    def test_private_headers_stay_private(self):
        self.refuse("src/ggml/a.cpp", '#include "plan/own.h"', "through include/trianglemix/ only")

    def test_ggml_and_llama_stay_where_they_are(self):
        self.refuse("src/kernels/a.cpp", '#include "ggml.h"', "only ggml, runtime and profile include headers of ggml")
        self.refuse("src/cli/a.cpp", "#include <ggml-backend.h>", "only ggml, runtime and profile include headers of ggml")
        self.refuse("src/runtime/a.cpp", '#include "ggml-backend-impl.h"', "only src/ggml includes ggml's internal")
        self.refuse("tests/ggml/a.cpp", '#include "ggml-impl.h"', "only src/ggml includes ggml's internal")
        self.refuse("src/ggml/a.cpp", "#include <llama.h>", "only src/runtime includes headers of llama.cpp")
        self.refuse("bench/a.cpp", '#include "llama-cpp.h"', "only src/runtime includes headers of llama.cpp")
        self.refuse("tests/unit/a.cpp", "#include <ggml.h>", "tests/unit include no header of ggml")
        self.refuse("include/trianglemix/plan.h", "#include <ggml.h>", "public headers include no header of ggml")

    def test_what_is_unknown_is_refused(self):
        self.refuse("src/ggml/a.cpp", '#include "trianglemix/new.h"', "no such file")
        self.refuse("src/ggml/a.cpp", '#include "plan/gone.h"', "no such file")
        status, output = self.check("src/novel/a.cpp", "#include <vector>")
        self.assertEqual(status, 1)
        self.assertIn("src/novel/a.cpp:1: belongs to no module", output)

    def test_outside_the_repository(self):
        self.assertEqual(run(check_includes, {"a.cpp": ""})[0], 2)


class FileLength(unittest.TestCase):
    def test_the_limit(self):
        self.assertEqual(run(check_file_length, {"src/a.cpp": "x\n" * 500})[0], 0)
        status, output = run(check_file_length, {"src/a.cpp": "x\n" * 501})
        self.assertEqual(status, 1)
        self.assertIn("src/a.cpp: 501 lines, at most 500", output)
        self.assertEqual(run(check_file_length, {"src/a.cpp": "x\n" * 10}, "--limit", "9")[0], 1)

    def test_which_files_count(self):
        long = "x\n" * 600
        for path in ("src/m/CMakeLists.txt", "cmake/a.cmake", "tools/a.py", ".ci/run", "include/trianglemix/a.h"):
            self.assertEqual(run(check_file_length, {"src/a.cpp": "", path: long})[0], 1, path)
        for path in ("docs/a.md", "build/a.cpp", "build-x/a.cpp", ".deps/a.cpp", "plans/a.json"):
            self.assertEqual(run(check_file_length, {"src/a.cpp": "", path: long})[0], 0, path)

    def test_outside_the_repository(self):
        self.assertEqual(run(check_file_length, {"a.cpp": ""})[0], 2)


if __name__ == "__main__":
    unittest.main()
