"""Every architecture that llama.cpp's own test has a small model of: exact answers, and what a plan reaches.

    test_archs.py            checks, and that docs/architectures.md shows what was found
    test_archs.py --write    writes its table anew
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

from hostkit import process, settings

PAGE = settings.REPOSITORY / "docs/architectures.md"
BEGIN, END = "<!-- architectures -->\n", "<!-- /architectures -->\n"
PARTS = 2
NMSE_BOUND = 1e-4  # llama.cpp's own, of a device against its CPU

WHY = {
    "cell_range": "layers that take an earlier layer's keys again",
    "dims": "a head dimension beyond 256 (latent attention)",
    "mask_values": "ALiBi",
    "no_flash": "no flash attention in llama.cpp",
    "no_inputs": "sparse layers with a mask of their own",
    "no_layer": "keys that are not one layer's cache",
    "visible_count": "windowed layers, from where the window drops a key",
}
ALL_ROWS = "every row's logits are computed, so every row keeps its keys"


def run_models():
    """What arch_models says of each model, in its order."""
    program = settings.need(settings.LIBRARY_DIR / "tmx_arch_models", "build the target tmx_arch_models")
    running = []
    for part in range(PARTS):
        log = tempfile.TemporaryFile("w+")
        running.append((log, subprocess.Popen([program, settings.backend(), str(part), str(PARTS)], text=True, stderr=log,
                                              stdout=subprocess.PIPE, env=settings.environment())))
    results = []
    for log, each in running:
        lines, _ = each.communicate(timeout=600)
        log.seek(0)
        if each.returncode != 0:
            raise process.ProgramFailed(f"exit status {each.returncode}\n{process.tail(log.read())}")
        results.append([json.loads(line) for line in lines.splitlines()])
    return [part[i] for i in range(len(results[0])) for part in results if i < len(part)]


def name(result):
    return result["arch"] + (", experts" if result["moe"] else "")


def reasons(result):
    """Why a plan does not reach some of the attention."""
    planned = result["planned"]
    return sorted(set(planned["fallbacks"]) | set(planned["declined"]) - {"rows"})


def attention_layers(result):
    return [layer for layer in result["planned"]["layers"] if layer["layer"] >= 0]


def reached_layers(result):
    return [layer for layer in attention_layers(result) if layer["nodes"]["triangle"] > 0 and layer["nodes"]["masked"] == 0]


def row(result):
    reached, of = len(reached_layers(result)), len(attention_layers(result))
    why = ", ".join(f"`{reason}`: {WHY.get(reason, 'see backend.md')}" for reason in reasons(result))
    if of == 0 and not why:
        return f"| {name(result)} | - | no attention |\n"
    if of > 0 and result["planned"]["pairs"]["skipped"] == 0:
        reached, why = 0, why or ALL_ROWS
    share = "all" if not why else f"{reached} of {of}" if reached else "none"
    return f"| {name(result)} | {share} | {why} |\n"


def table(results):
    lines = ["| architecture | layers | the others, and why |\n", "| --- | --- | --- |\n"]
    return "".join(lines + [row(each) for each in sorted(results, key=name)])


def split_page():
    text = PAGE.read_text()
    before, rest = text.split(BEGIN)
    shown, after = rest.split(END)
    return before + BEGIN, shown, END + after


class Architectures(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.results = run_models()

    def test_exact_is_stock(self):
        self.assertGreater(len(self.results), 100)
        for result in self.results:
            with self.subTest(name(result)):
                self.assertLessEqual(result["nmse"], NMSE_BOUND)
                self.assertLessEqual(result["nmse_of_all_rows"], NMSE_BOUND, "rows whose logits are asked for are dense")
                self.assertLessEqual(result["nmse_of_wide_window"], NMSE_BOUND, "a plan that drops nothing")
                self.assertEqual(result["exact"]["fallbacks"], {})
                self.assertEqual(result["exact"]["pairs"]["skipped"], 0)

    def test_nothing_is_silently_exact(self):
        for result in self.results:
            planned = result["planned"]
            with self.subTest(name(result)):
                self.assertIsNone(planned["plan_refused"])
                self.assertEqual(planned["rows"]["dense"], 0, "of a layer that no rule was for")
                if planned["rows"]["masked"] > 0:
                    self.assertNotEqual(planned["fallbacks"], {})
                elif planned["rows"]["planned"] == 0 and planned["declined"]:
                    self.assertNotEqual(reasons(result), [])

    def test_families_that_people_run(self):
        planned_whole = {result["arch"] for result in self.results if not reasons(result) and
                         result["planned"]["pairs"]["skipped"] > result["planned"]["pairs"]["kept"]}
        self.assertLessEqual({"llama", "qwen2", "qwen2vl", "qwen3", "qwen3moe", "qwen3next", "qwen3vl", "qwen35",
                              "qwen35moe", "jamba", "nemotron_h", "falcon-h1", "glm4", "phi3"}, planned_whole)

    def test_page_shows_it(self):
        self.assertEqual(split_page()[1], table(self.results), "run tests/host/test_archs.py --write")


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        begin, _, end = split_page()
        PAGE.write_text(begin + table(run_models()) + end)
    else:
        unittest.main(verbosity=2)
