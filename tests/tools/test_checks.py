#!/usr/bin/env python3
"""The tools of tools/ on small trees, each with one known fault, what the scripts of bench/ keep of their rows, and
when scripts/llama.sh builds again."""
import contextlib
import io
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest
import unittest.mock

sys.dont_write_bytecode = True
ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "bench")]
import check_comment_width  # noqa: E402
import check_file_length  # noqa: E402
import check_includes  # noqa: E402
import commits  # noqa: E402
import results_to_md  # noqa: E402
import rowkit  # noqa: E402

HEADERS = ("status", "geometry", "attention", "selection", "selection_rule", "plan", "backend_control")


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
        **{f"src/{module}/own.h": "" for module in
           ("commit", "cuda_device", "kernels", "select", "plan", "identity",
            "backend", "glue", "runtime", "measure", "prompts", "probe", "profile", "cli")},
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
        self.allow("src/kernels/cuda/a.cpp", '#include "cuda_device/own.h"')
        self.allow("src/backend/cuda/a.cpp", '#include "cuda_device/own.h"')
        self.allow("src/probe/cuda/a.cpp", '#include "cuda_device/own.h"')
        self.allow("tests/kernels/a.h", '#include "cuda_device/own.h"')
        self.allow("bench/a.cpp", '#include "cuda_device/own.h"')
        self.allow("src/plan/a.cpp", '#include "trianglemix/attention.h"')
        self.allow("src/backend/a.cpp", '#include "trianglemix/plan.h"')
        self.allow("src/backend/a.cpp", '#include "trianglemix/attention.h"')
        self.allow("src/glue/a.cpp", '#include "trianglemix/plan.h"')
        self.allow("src/glue/a.cpp", '#include "backend/own.h"')
        self.allow("src/glue/a.cpp", '#include "ggml-backend-impl.h"')
        self.allow("src/plan/a.cpp", '#include "trianglemix/selection_rule.h"')
        self.allow("src/select/cpu/a.cpp", '#include "trianglemix/attention.h"')
        self.allow("src/runtime/a.cpp", "#include <llama.h>")
        self.allow("src/runtime/a.cpp", '#include "trianglemix/backend_control.h"')
        self.allow("src/measure/a.cpp", '#include "runtime/own.h"')
        self.allow("src/prompts/a.cpp", '#include "measure/own.h"')
        self.allow("src/probe/a.cpp", "#include <gguf.h>")
        self.allow("src/probe/a.cpp", '#include "runtime/own.h"')
        self.allow("src/probe/a.cpp", '#include "trianglemix/attention.h"')
        self.allow("src/profile/a.cpp", '#include "runtime/own.h"')
        self.allow("src/profile/a.cpp", '#include "probe/own.h"')
        self.allow("src/profile/a.cpp", '#include "prompts/own.h"')
        self.allow("src/identity/a.cpp", '#include "trianglemix/plan.h"')
        self.allow("src/core/a.cpp", '#include "identity/own.h"')
        self.allow("src/runtime/a.cpp", '#include "identity/own.h"')
        self.allow("src/cli/a.cpp", '#include "runtime/own.h"')
        self.allow("src/cli/a.cpp", '#include "profile/own.h"')
        self.allow("src/cli/a.cpp", '#include "commit/own.h"')
        self.allow("src/glue/a.cpp", '#include "commit/own.h"')
        self.allow("bench/a.cpp", '#include "commit/own.h"')
        self.allow("src/cli/a.cpp", '#include "trianglemix/attention.h"')
        self.allow("bench/a.cpp", '#include "kit.h"')
        self.allow("tests/ggml/a.cpp", '#include "glue/own.h"')
        self.allow("tests/ggml/a.cpp", "#include <ggml-backend.h>")

    def test_every_other_arrow_is_refused(self):
        self.refuse("src/pattern/a.cpp", '#include "trianglemix/attention.h"', "pattern must not include kernels")
        self.refuse("src/kernels/a.cpp", '#include "trianglemix/plan.h"', "kernels must not include plan")
        self.refuse("src/kernels/cpu/a.cpp", '#include "glue/own.h"', "kernels must not include glue")
        self.refuse("src/commit/a.cpp", '#include "trianglemix/plan.h"', "commit must not include plan")
        self.refuse("src/cuda_device/a.cpp", '#include "kernels/own.h"', "cuda_device must not include kernels")
        self.refuse("src/cli/a.cpp", '#include "cuda_device/own.h"', "cli must not include cuda_device")
        self.refuse("src/kernels/a.cpp", '#include "trianglemix/selection.h"', "kernels must not include select")
        self.refuse("src/plan/a.cpp", '#include "trianglemix/selection.h"', "plan must not include select")
        self.refuse("src/select/a.cpp", '#include "trianglemix/plan.h"', "select must not include plan")
        self.refuse("src/select/a.cpp", '#include "kernels/own.h"',
                    "kernels is included through include/trianglemix/ only")
        self.refuse("src/plan/a.cpp", '#include "kernels/own.h"', "plan must not include kernels")
        self.refuse("src/backend/a.cpp", '#include "glue/own.h"', "backend must not include glue")
        self.refuse("src/glue/a.cpp", '#include "cuda_device/own.h"', "glue must not include cuda_device")
        self.refuse("src/plan/a.cpp", '#include "backend/own.h"', "plan must not include backend")
        self.refuse("src/plan/a.cpp", '#include "identity/own.h"', "plan must not include identity")
        self.refuse("src/identity/a.cpp", '#include "runtime/own.h"', "identity must not include runtime")
        self.refuse("src/core/a.cpp", '#include "glue/own.h"', "core must not include glue")
        self.refuse("src/runtime/a.cpp", '#include "trianglemix/plan.h"', "runtime must not include plan")
        self.refuse("src/runtime/a.cpp", '#include "glue/own.h"', "runtime must not include glue")
        self.refuse("src/measure/a.cpp", '#include "prompts/own.h"', "measure must not include prompts")
        self.refuse("src/prompts/a.cpp", '#include "profile/own.h"', "prompts must not include profile")
        self.refuse("src/prompts/a.cpp", '#include "trianglemix/plan.h"', "prompts must not include plan")
        self.refuse("src/probe/a.cpp", '#include "kernels/own.h"', "kernels is included through include/trianglemix/ only")
        self.refuse("src/probe/a.cpp", '#include "glue/own.h"', "probe must not include glue")
        self.refuse("src/probe/a.cpp", '#include "prompts/own.h"', "probe must not include prompts")
        self.refuse("src/probe/a.cpp", '#include "profile/own.h"', "probe must not include profile")
        self.refuse("src/profile/a.cpp", '#include "trianglemix/attention.h"', "profile must not include kernels")
        self.refuse("src/profile/a.cpp", '#include "glue/own.h"', "profile must not include glue")
        self.refuse("src/profile/a.cpp", "#include <llama.h>", "only src/runtime includes headers of llama.cpp")
        self.refuse("src/runtime/a.cpp", '#include "profile/own.h"', "runtime must not include profile")
        self.refuse("src/cli/a.cpp", '#include "kernels/own.h"', "cli must not include kernels")
        self.refuse("src/cli/a.cpp", '#include "probe/own.h"', "cli must not include probe")
        self.refuse("src/cli/a.cpp", '  #  include "glue/own.h"', "cli must not include glue")
        self.refuse("src/cli/a.cpp", '#include "../glue/own.h"', "cli must not include glue")
        self.refuse("include/trianglemix/geometry.h", '#include "trianglemix/attention.h"',
                    "pattern must not include kernels")
        self.refuse("include/trianglemix/plan.h", '#include "plan/own.h"', "public headers include public headers only")

    def test_nothing_includes_cli_bench_or_tests(self):
        self.refuse("src/runtime/a.cpp", '#include "cli/own.h"', "runtime must not include cli")
        self.refuse("src/glue/a.cpp", '#include "../../bench/timer.h"', "glue must not include bench")
        self.refuse("src/kernels/a.cpp", '#include "kit.h"', "kernels must not include support")

    def test_private_headers_stay_private(self):
        self.refuse("src/glue/a.cpp", '#include "plan/own.h"', "through include/trianglemix/ only")

    def test_ggml_and_llama_stay_where_they_are(self):
        self.refuse("src/kernels/a.cpp", '#include "ggml.h"', "only glue, runtime and probe include headers of ggml")
        self.refuse("src/profile/a.cpp", "#include <gguf.h>", "only glue, runtime and probe include headers of ggml")
        self.refuse("src/cli/a.cpp", "#include <ggml-backend.h>", "only glue, runtime and probe include headers of ggml")
        self.refuse("src/runtime/a.cpp", '#include "ggml-backend-impl.h"', "only src/glue includes ggml's internal")
        self.refuse("tests/ggml/a.cpp", '#include "ggml-impl.h"', "only src/glue includes ggml's internal")
        self.refuse("src/glue/a.cpp", "#include <llama.h>", "only src/runtime includes headers of llama.cpp")
        self.refuse("src/backend/a.cpp", '#include "ggml.h"', "only glue, runtime and probe include headers of ggml")
        self.refuse("src/backend/runs/a.cpp", '#include "ggml-impl.h"', "only src/glue includes ggml's internal")
        self.refuse("tests/backend/a.cpp", "#include <ggml.h>", "tests/backend include no header of ggml")
        self.refuse("bench/a.cpp", '#include "llama-cpp.h"', "only src/runtime includes headers of llama.cpp")
        self.refuse("tests/unit/a.cpp", "#include <ggml.h>", "tests/unit include no header of ggml")
        self.refuse("include/trianglemix/plan.h", "#include <ggml.h>", "public headers include no header of ggml")

    def test_cuda_stays_where_it_is(self):
        for path in ("src/cuda_device/a.h", "src/kernels/cuda/sm90/a.cuh", "src/probe/cuda/a.cpp", "src/select/cuda/a.cu",
                     "src/backend/cuda/a.cpp", "bench/a.cpp", "tests/kernels/a.h"):
            self.allow(path, "#include <cuda_runtime_api.h>")
        for path in ("src/kernels/a.cpp", "src/select/cuda_selector.cpp", "src/glue/a.cpp", "src/glue/proxy/cuda_candidates.cpp",
                     "src/runtime/a.cpp", "include/trianglemix/plan.h"):
            self.refuse(path, "#include <cuda_runtime.h>", "include CUDA's headers")
        self.refuse("src/kernels/a.cpp", "#include <cuda_fp16.h>", "include CUDA's headers")

    def test_templates_of_sources_count(self):
        self.allow("src/kernels/cuda/a.cu.in", '#include "kernels/@name@.h"')
        self.refuse("src/kernels/cuda/a.cu.in", '#include "glue/own.h"', "kernels must not include glue")
        self.refuse("src/kernels/cuda/a.inc.in", '#include "glue/@name@.h"', "kernels must not include glue")
        self.refuse("src/kernels/cuda/a.cu.in", '#include "kernels/@space@/gone.h"', "no such file")

    def test_what_is_unknown_is_refused(self):
        self.refuse("src/glue/a.cpp", '#include "trianglemix/new.h"', "no such file")
        self.refuse("src/glue/a.cpp", '#include "plan/gone.h"', "no such file")
        status, output = self.check("src/novel/a.cpp", "#include <vector>")
        self.assertEqual(status, 1)
        self.assertIn("src/novel/a.cpp:1: belongs to no module", output)

    def test_outside_the_repository(self):
        self.assertEqual(run(check_includes, {"a.cpp": ""})[0], 2)


class FileLength(unittest.TestCase):
    def test_the_limit(self):
        for path, limit in (("src/m/a.cpp", 400), ("tests/a.cpp", 500)):
            self.assertEqual(run(check_file_length, {"src/b.cpp": "", path: "x\n" * limit})[0], 0)
            status, output = run(check_file_length, {"src/b.cpp": "", path: "x\n" * (limit + 1)})
            self.assertEqual(status, 1)
            self.assertIn(f"{path}: {limit + 1} lines, at most {limit}", output)
        self.assertEqual(run(check_file_length, {"src/a.cpp": "x\n" * 10}, "--limit", "9")[0], 1)

    def test_files_of_a_folder(self):
        files = {f"src/m/{i}.cpp": "" for i in range(40)} | {"src/m/sub/a.cpp": "", "src/m/a.md": "", "src/a.cpp": ""}
        self.assertEqual(run(check_file_length, files)[0], 0)
        status, output = run(check_file_length, files | {"src/m/a.h": ""})
        self.assertEqual(status, 1)
        self.assertIn("src/m: 41 files, at most 40", output)

    def test_which_files_count(self):
        long = "x\n" * 600
        for path in ("src/m/CMakeLists.txt", "cmake/a.cmake", "tools/a.py", ".ci/run", "include/trianglemix/a.h"):
            self.assertEqual(run(check_file_length, {"src/a.cpp": "", path: long})[0], 1, path)
        for path in ("docs/a.md", "build/a.cpp", "build-x/a.cpp", ".deps/a.cpp", "plans/a.json"):
            self.assertEqual(run(check_file_length, {"src/a.cpp": "", path: long})[0], 0, path)

    def test_outside_the_repository(self):
        self.assertEqual(run(check_file_length, {"a.cpp": ""})[0], 2)


class CommentWidth(unittest.TestCase):
    def check(self, line, path="src/a.cpp"):
        status, output = run(check_comment_width, {"src/b.cpp": "", path: "\n" + line + "\n"})
        self.assertEqual(f"{path}:2: " in output, status == 1, output)
        return status

    def test_the_limit(self):
        self.assertEqual(self.check("// " + "x" * 117), 0)
        self.assertEqual(self.check("// " + "x" * 118), 1)
        self.assertEqual(self.check("    int n = 0;  // " + "x" * 118, "include/trianglemix/a.h"), 1)
        self.assertEqual(self.check(f'say("{"x" * 118}");  // said', "tests/unit/a.cpp"), 1)
        self.assertEqual(run(check_comment_width, {"src/a.cpp": "// 67890\n"}, "--limit", "7")[0], 1)

    def test_code_and_texts_are_the_formatters(self):
        self.assertEqual(self.check("x" * 121), 0)
        self.assertEqual(self.check(f'get("http://{"x" * 118}");'), 0)
        self.assertEqual(self.check(f'get("\\"//{"x" * 118}");'), 0)
        self.assertEqual(self.check("// " + "x" * 118, "docs/a.md"), 0)

    def test_outside_the_repository(self):
        self.assertEqual(run(check_comment_width, {"a.cpp": ""})[0], 2)


def lines_of(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


class Tables(unittest.TestCase):
    spec = {"file": "x.jsonl", "columns": [{"title": "way", "key": "way"}, {"title": "ms", "key": "ms"}]}

    def convert(self, rows, spec, *options):
        """Exit status, output, and the document."""
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            results = root / "docs" / "results"
            results.mkdir(parents=True)
            (root / "README.md").write_text("<!-- table: t -->\n<!-- /table -->\n", encoding="utf-8")
            (results / "tables.json").write_text(json.dumps({"t": spec}), encoding="utf-8")
            if rows:
                (results / "x.jsonl").write_text(lines_of(rows), encoding="utf-8")
            output = io.StringIO()
            with unittest.mock.patch.multiple(results_to_md, ROOT=root, RESULTS=results), \
                 unittest.mock.patch.object(sys, "argv", ["results_to_md.py", *options]), contextlib.redirect_stdout(output):
                try:
                    status = results_to_md.main()
                except results_to_md.Problem as problem:
                    status = str(problem)
            return status, output.getvalue(), (root / "README.md").read_text(encoding="utf-8")

    def test_rows_of_changed_sources_are_refused(self):
        clean = {"way": "exact", "ms": 1, "commit": "abc"}
        self.assertEqual(self.convert([clean, clean | {"dirty": False}], self.spec)[0], 0)
        for dirty in (clean | {"commit": "abc-dirty"}, clean | {"dirty": True}):
            status, _, text = self.convert([clean, dirty], self.spec, "--check")
            self.assertIn("docs/results/x.jsonl (1)", str(status))
            self.assertNotIn("exact", text)

    def test_the_newest_of_equal_rows(self):
        rows = [{"way": "stock", "ms": 5}, {"way": "exact", "ms": 3}, {"way": "stock", "ms": 4}]
        _, _, text = self.convert(rows, self.spec | {"newest": ["way"]})
        self.assertIn("| exact | 3 |\n| stock | 4 |\n<!--", text)
        self.assertNotIn("| 5 |", text)

    def test_a_table_without_rows(self):
        self.assertIn("Not measured yet.", self.convert([], self.spec)[2])
        introduced = self.spec | {"intro": "In one process:"}
        self.assertEqual(self.convert([], introduced)[2], "<!-- table: t -->\n<!-- /table -->\n")
        nothing_fits = introduced | {"where": {"way": "stock"}}
        self.assertEqual(self.convert([{"way": "exact", "ms": 3}], nothing_fits)[2], "<!-- table: t -->\n<!-- /table -->\n")
        self.assertIn("In one process:\n\n| way |", self.convert([{"way": "exact", "ms": 3}], introduced)[2])


class Commits(unittest.TestCase):
    def test_the_mark_of_changed_sources(self):
        self.assertTrue(commits.is_dirty("0c1e57098-dirty"))
        self.assertFalse(commits.is_dirty("0c1e57098"))
        self.assertFalse(commits.is_dirty("unknown"))
        self.assertEqual(commits.commit_of({"commit": "abc"}), "abc")
        self.assertEqual(commits.commit_of({"commit": "abc", "dirty": False}), "abc")
        self.assertEqual(commits.commit_of({"commit": "abc", "dirty": True}), "abc-dirty")
        self.assertEqual(commits.commit_of({"commit": "abc-dirty", "dirty": True}), "abc-dirty")
        self.assertEqual(commits.commit_of({}), "")

    def test_what_may_be_published(self):
        self.assertEqual(commits.why_not_published("docs/results/x.jsonl", "abc"), "")
        self.assertEqual(commits.why_not_published("/tmp/x.jsonl", "abc-dirty"), "")
        self.assertEqual(commits.why_not_published("x.jsonl", "abc-dirty"), "")
        self.assertIn("abc-dirty", commits.why_not_published("docs/results/x.jsonl", "abc-dirty"))
        self.assertNotEqual(commits.why_not_published("/a/docs/../docs/results/x.jsonl", "abc-dirty"), "")

    def test_who_tells_the_commit(self):
        with unittest.mock.patch.dict(os.environ, TMX_COMMIT="told"), tempfile.TemporaryDirectory() as folder:
            self.assertEqual(self.names_of(pathlib.Path(folder)), {"told"})
        with unittest.mock.patch.dict(os.environ, TMX_COMMIT="", PATH="/nowhere"):
            self.assertEqual(commits.source_commit(), "unknown")

    def test_only_sources_make_the_mark(self):
        """Of a repository's files: results and documents may change before the next measurement."""
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            git = ["git", "-C", folder, "-c", "user.name=a", "-c", "user.email=a@b"]
            for path in ("src/a.cpp", "docs/results/x.jsonl", "README.md"):
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).write_text("one\n", encoding="utf-8")
            for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "one"]):
                subprocess.run(git + words, check=True)
            (root / "docs/results/x.jsonl").write_text("two\n", encoding="utf-8")
            (root / "README.md").write_text("two\n", encoding="utf-8")
            with unittest.mock.patch.dict(os.environ, TMX_COMMIT=""):
                clean = self.names_of(root)
                (root / "src/a.cpp").write_text("two\n", encoding="utf-8")
                dirty = self.names_of(root)
        self.assertEqual(len(clean), 1)
        self.assertRegex(*clean, "^[0-9a-f]{9}$")
        self.assertEqual(dirty, {name + "-dirty" for name in clean})

    def names_of(self, root):
        """What scripts and programs call the repository's state."""
        header = root / "commit.h"
        subprocess.run(["cmake", f"-DSOURCE={root}", f"-DOUTPUT={header}", "-P", ROOT / "src/commit/git_commit.cmake"],
                       check=True)
        return {commits.source_commit(root), header.read_text(encoding="utf-8").split('"')[1]}


class Rows(unittest.TestCase):
    def test_rows_of_changed_sources_are_not_published(self):
        with tempfile.TemporaryDirectory() as folder:
            published = pathlib.Path(folder) / "docs" / "results" / "x.jsonl"
            published.parent.mkdir(parents=True)
            with unittest.mock.patch.dict(os.environ, TMX_COMMIT="abc-dirty"):
                with self.assertRaisesRegex(rowkit.Refused, "abc-dirty.*--out"):
                    rowkit.Store(published, "case")
                elsewhere = rowkit.Store(published.parent.parent / "x.jsonl", "case")
                elsewhere.replace("a", [{"case": "a", "commit": "abc-dirty"}])
                self.assertEqual(len(elsewhere.path.read_text(encoding="utf-8").splitlines()), 1)
            with unittest.mock.patch.dict(os.environ, TMX_COMMIT="abc"):
                store = rowkit.Store(published, "case")
                with self.assertRaises(rowkit.Refused):  # of a program that was built before
                    store.replace("a", [{"case": "a", "commit": "abd-dirty"}])
                self.assertFalse(published.exists())
                store.replace("a", [{"case": "a", "commit": "abd"}])
                self.assertTrue(published.exists())


class Stamps(unittest.TestCase):
    def test_what_llama_cmake_adds_is_part_of_the_stamp(self):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            shutil.copytree(ROOT / "scripts", root / "scripts")
            (root / "tools").mkdir()
            for name, text in (("cmake", ""), ("ninja", 'mkdir -p "$2/bin"; touch "$2/bin/program"; chmod +x "$2/bin/program"')):
                (root / "tools" / name).write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
                (root / "tools" / name).chmod(0o755)
            self.assertIn("building", self.build(root))
            self.assertNotIn("building", self.build(root))
            with open(root / "scripts/llama.cmake", "a", encoding="utf-8") as file:
                file.write("# changed\n")
            self.assertIn("building", self.build(root))
            self.assertNotIn("building", self.build(root))

    def build(self, root):
        deps = root / ".deps"
        script = f"""set -eu; source {root}/scripts/common.sh; source {root}/scripts/llama.sh
                     mkdir -p {deps}/stamps {deps}/logs; scratch={deps}
                     build_llama name /source sha256 {deps}/build -DFLAG=ON -- program"""
        return subprocess.run(["bash", "-c", script], env=os.environ | {"PATH": f"{root}/tools:{os.environ['PATH']}",
                              "TMX_DEPS_DIR": str(deps)}, text=True, capture_output=True, check=True).stdout  # fmt: skip


if __name__ == "__main__":
    unittest.main()
