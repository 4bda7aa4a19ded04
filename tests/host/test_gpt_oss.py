"""A file of gpt-oss's shape with random weights (heads of 64, windows in every other layer, a sink logit for each head): what
llama.cpp answers, the backend answers, in exact, triangle and dynamic layers.

    test_gpt_oss.py                     a tiny one: on the CPU, and on a GPU that is none (tests/ggml/fake/fake_gpu.h)
    test_gpt_oss.py --shape gpt-oss-20b CUDA0 TriangleMix0       the whole shape on a GPU and on the proxy in front of it
"""

import argparse
import sys
import unittest

from hostkit import process, settings
from hostkit.random_model import fake_devices, random_model

NMSE_BOUND = 1e-4  # llama.cpp's own, of a device against its CPU; beside it, what rounding does to stock itself counts
WINDOWED, FULL = 0, 1  # of a layer's number, modulo 2
SHAPE = "gpt-oss-tiny"


def full_layers(n_layer):
    return ",".join(str(layer) for layer in range(n_layer) if layer % 2 == FULL)


def answers(devices):
    file = str(settings.scratch_file("model.gguf"))
    process.run([sys.executable, settings.REPOSITORY / "bench/gpu/write_gguf.py", file, "--shape", SHAPE], timeout=500)
    n_layer = {"gpt-oss-tiny": 4, "gpt-oss-20b": 24}[SHAPE]
    return random_model(file, full_layers(n_layer), devices)


class OnOneDevice:
    devices = ()

    @classmethod
    def setUpClass(cls):
        found = answers(cls.devices)
        cls.ways, cls.n_layer = found["ways"], found["layers"]
        cls.bound = NMSE_BOUND + 4 * found["nmse_of_stock"]
        print(f"stock without flash attention: nmse {found['nmse_of_stock']:.1e}", flush=True)
        for name, way in cls.ways.items():
            print(f"{name}: nmse {way['nmse']:.1e}, nodes {way['counted']['nodes']}, passed on "
                  f"{way['counted']['gpu']['passed_on']}", flush=True)

    def layers(self, name, kind):
        return [layer for layer in self.ways[name]["counted"]["layers"] if layer["layer"] % 2 == kind]

    def test_what_drops_nothing_is_stock(self):
        for name in ("exact", "wide_window", "all_blocks"):
            with self.subTest(name):
                self.assertLessEqual(self.ways[name]["nmse"], self.bound)
                self.assertEqual(self.ways[name]["counted"]["pairs"]["skipped"], 0)

    def test_what_drops_something_is_not(self):
        if 4 * self.bound >= 1:
            self.skipTest("with random experts of which few are used, rounding alone makes other answers: see the tiny shape")
        for name in ("triangle", "few_blocks"):
            with self.subTest(name):
                self.assertGreater(self.ways[name]["nmse"], 4 * self.bound)

    def test_sink_logits_are_no_reason(self):
        for name, way in self.ways.items():
            with self.subTest(name):
                counted = way["counted"]
                self.assertEqual(counted["fallbacks"], {}, "a plan of the full layers reaches them")
                self.assertEqual(set(counted["declined"]) - {"rows"}, set())
                self.assertLessEqual(set(counted["gpu"]["passed_on"]), {"visible_count"}, "windowed layers only")

    def test_every_full_layer_is_treated(self):
        for name, kind in (("exact", "dense"), ("triangle", "triangle"), ("few_blocks", "dynamic")):
            with self.subTest(name):
                full = self.layers(name, FULL)
                self.assertEqual(len(full), self.n_layer // 2)
                for layer in full:
                    self.assertGreater(layer["nodes"][kind], 0)
                    self.assertEqual(layer["nodes"][kind], sum(layer["nodes"].values()))
                    self.assertEqual(layer["pairs"]["skipped"] > 0, name != "exact")

    def test_windowed_layers_are_computed(self):
        for layer in self.layers("triangle", WINDOWED):
            self.assertEqual(layer["pairs"]["skipped"], 0)
            self.assertEqual(layer["nodes"]["triangle"], 0)


class OnTheCpu(OnOneDevice, unittest.TestCase):
    pass


class OnAGpu(OnOneDevice, unittest.TestCase):
    devices = fake_devices(1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=["gpt-oss-tiny", "gpt-oss-20b"], default=SHAPE)
    parser.add_argument("devices", nargs="*", help="stock's GPU and our proxy of it")
    options = parser.parse_args()
    SHAPE = options.shape
    if options.devices:
        OnAGpu.devices = options.devices
        del OnTheCpu
    unittest.main(argv=sys.argv[:1], verbosity=2)
