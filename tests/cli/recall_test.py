"""`trianglemix capture`, `recall` and `heads` as their users meet them, on the model with six of its layers.

Usage: recall_test.py PROGRAM FAKE_GPU_MODULE
"""

import json
import os
import struct
import unittest

from profile_kit import MODEL, N_LAYER, PROGRAM, Case, run

N_HEADS, N_KV_HEADS, DIM = 9, 3, 64
TOKENS = 700
HEADER = 4096


def read(path):
    """A capture's header, and its numbers."""
    with open(path, "rb") as file:
        header = json.loads(file.read(HEADER))
        numbers = file.read()
    return header, struct.unpack(f"<{len(numbers) // 4}f", numbers)


class Captured(Case):
    def setUp(self):
        super().setUp()
        self.file = os.path.join(self.folder, "a.capture")
        self.plan = os.path.join(self.folder, "plan.json")

    def capture(self, path, *arguments):
        return run(PROGRAM, "capture", "-m", MODEL, "-t", "2", "-o", path, *arguments)

    def made(self, path, *arguments):
        self.check(self.capture(path, "--length", str(TOKENS), *arguments), 0, "needle 700 seed 1")

    def test_ubatches_bring_the_same(self):
        other = os.path.join(self.folder, "b.capture")
        self.made(self.file, "--layers", "1,4", "--ubatch", "2048")
        self.made(other, "--layers", "1,4", "--ubatch", "256")
        (whole, a), (parts, b) = read(self.file), read(other)
        self.assertEqual(whole, parts)
        n = whole["tokens"]
        self.assertLessEqual(n, TOKENS)
        self.assertEqual((whole["layers"], whole["heads"], whole["kv_heads"], whole["d_qk"], whole["rotary_dims"]),
                         ([1, 4], N_HEADS, N_KV_HEADS, DIM, DIM))
        self.assertAlmostEqual(whole["scale"], DIM ** -0.5)
        self.assertEqual(len(a), 2 * n * (N_HEADS + 2 * N_KV_HEADS) * DIM)
        far = max(abs(x - y) for x, y in zip(a, b))
        size = max(abs(x) for x in a)
        self.assertLess(far, 0.05 * size, "rounding of 8-bit products; another row's numbers would be anywhere")
        self.assertEqual(sum(x == 0 for x in a[-N_KV_HEADS * DIM:]), 0, "the last row's values are there")

    def test_recall(self):
        self.made(self.file, "--layers", "0,3")
        rows = os.path.join(self.folder, "rows.jsonl")
        plot = os.path.join(self.folder, "plot")
        done = run(PROGRAM, "recall", self.file, "--rule", "means:alpha=0", "--rule", "triangle:64", "--rule",
                   "vertical_slash:64:128", "--oracle", "0.9,0.5", "--json", rows, "--plot", plot, "--ubatch", "512")
        self.check(done, 0, "means:alpha=0", "100.00%", "oracle:share=0.9")
        with open(rows, encoding="utf-8") as file:
            found = {row["case"].split(":")[0] + str(i): row for i, row in enumerate(map(json.loads, file))}
        self.assertEqual(list(found), ["means0", "triangle1", "vertical_slash2", "oracle3", "oracle4"])
        self.assertAlmostEqual(found["means0"]["recall"], 1, places=4)
        self.assertAlmostEqual(found["means0"]["density"], 1)
        self.assertLess(found["means0"]["error"], 1e-3)
        self.assertGreaterEqual(found["oracle4"]["recall"], 0.9)
        self.assertLess(found["oracle3"]["density"], found["oracle4"]["density"])
        for row in found.values():
            self.assertEqual((row["layers"], len(row["recall_by_layer"])), ([0, 3], 2))
            self.assertLessEqual(row["recall"], 1 + 1e-6)
        self.assertTrue(os.path.exists(plot + ".svg"))

    def test_a_search_makes_a_plan(self):
        self.made(self.file, "--layers", "0,3")
        self.check(run(PROGRAM, "heads", "-m", MODEL, "--capture", self.file, "--candidates",
                       "30:100,64:128,a_shape:16:256", "-o", self.plan), 0, f"2 of {N_LAYER} layers")
        with open(self.plan, encoding="utf-8") as file:
            plan = json.load(file)
        self.assertEqual(sum(plan["provenance"]["heads"]), 2 * N_HEADS)
        self.assertLessEqual(plan["provenance"]["measured_up_to"], TOKENS)
        self.check(run(PROGRAM, "info", "--plan", self.plan), 0)

    def test_a_table_makes_a_plan(self):
        table = os.path.join(self.folder, "table.json")
        layers = [{str(head): ["vertical_and_slash", 500, 700, 1.5] for head in range(N_HEADS)} for _ in range(N_LAYER)]
        layers[2]["4"] = ["stream_llm", 100, 800, 0.5]
        with open(table, "w", encoding="utf-8") as file:
            json.dump(layers, file)
        self.check(run(PROGRAM, "heads", "-m", MODEL, "--table", table, "-o", self.plan), 0, "2 rules for 6 of 6 layers")
        with open(self.plan, encoding="utf-8") as file:
            plan = json.load(file)
        self.assertEqual((plan["triangle_layers"], plan["bands"]), ("2", [{"layers": "2", "sink": 100, "window": 800}]))
        self.assertEqual([entry["layers"] for entry in plan["dynamic"]], ["0-1,3-5", "2"])
        self.assertEqual(plan["dynamic"][1]["heads"], "0-3,5-8")

    def test_mistakes_are_named(self):
        self.check(run(PROGRAM, "heads", "-m", MODEL, "-o", self.plan), 2, "--table or --capture")
        self.check(self.capture(self.file, "--layers", "6"), 1, "layer 6 does not exist")
        self.check(self.capture(self.file, "--layers", "0", "--device", "TriangleMix0"), 2, "--device")  # the CPU alone
        self.check(self.capture(self.file, "--layers", "0", "--length", "9000"), 1, "tokens, the context 8192")
        with open(self.file, "w", encoding="utf-8") as file:
            file.write("[]")
        self.check(run(PROGRAM, "recall", self.file), 1, "no capture")
        self.check(run(PROGRAM, "heads", "-m", MODEL, "--table", self.file, "-o", self.plan), 1,
                   "the table is for 0 layers, the model has 6")
        self.check(run(PROGRAM, "heads", "-m", MODEL, "--capture", self.file, "--candidates", "3", "-o", self.plan), 2,
                   "COLUMNS:DIAGONALS")


if __name__ == "__main__":
    unittest.main(argv=["recall_test.py"], verbosity=2)
