"""llama.cpp's tensor split (-sm tensor) over our devices: every device has some heads of each layer.

    test_tensor_split.py                                 GPUs that are none (tests/ggml/fake/fake_gpu.h)
    test_tensor_split.py CUDA0,CUDA1 TriangleMix0,TriangleMix1       real ones, and the proxies in front of them
"""

import argparse
import sys
import unittest

from hostkit import process, settings, statistics
from hostkit.answer import kl
from hostkit.prompts import Prompts
from hostkit.random_model import fake_devices, random_model
from hostkit.server import Server

NMSE_BOUND = 1e-6  # of f32 sums in another order, beside what they do to stock itself
KL_BOUND = 1e-5
LENGTHS = (70, 300, 700, 1100)
DEVICES = ()


class Heads(unittest.TestCase):
    """Six heads and three of keys, so devices have different numbers of them, and others in the next layer."""

    def check(self, devices):
        file = str(settings.scratch_file("model.gguf"))
        process.run([sys.executable, settings.REPOSITORY / "bench/gpu/write_gguf.py", file, "--shape", "llama-heads-tiny"],
                    timeout=60)
        found = random_model(file, "1-3", devices)
        bound = NMSE_BOUND + 4 * found["nmse_of_stock"]
        print(f"stock on one device: nmse {found['nmse_of_stock']:.1e}", flush=True)
        for name, way in found["ways"].items():
            counted, whole = way["counted"], way["counted_whole"]
            print(f"{name}: nmse {way['nmse']:.1e}, against one proxy {way['nmse_of_whole']:.1e}, nodes {counted['nodes']}",
                  flush=True)
            with self.subTest(way=name, devices=devices[1]):
                self.assertLessEqual(way["nmse_of_whole"], bound)
                self.assertEqual(counted["fallbacks"], {})
                self.assertEqual(counted["gpu"]["passed_on"], whole["gpu"]["passed_on"])
                self.assertEqual(counted["pairs"], whole["pairs"], "whatever heads a device has, all are computed once")
                drops = name in ("triangle", "by_head", "few_blocks")
                self.assertEqual(way["nmse"] > bound, drops)
                self.assertEqual(counted["pairs"]["skipped"] > 0, drops)

    def test_two_devices(self):
        self.check(DEVICES or fake_devices(2))

    def test_four_devices_of_which_one_has_nothing(self):
        if DEVICES:
            self.skipTest("as many devices as were named")
        self.check(fake_devices(4))


class Answers(unittest.TestCase):
    """A stock server. The embedded model's heads cannot be split: devices take turns, layer by layer."""

    def answers(self, device, **extra):
        flags = ["-fa", "on", "-ub", "512", "-ngl", "99", "-sm", "tensor", "--device", device]
        with Server(flags, env=settings.with_fake_gpu(TMX_FAKE_GPUS="2", **extra), context=4096) as server:
            prompts = Prompts(server.tokenize)
            asked = [prompts.prompt(i, n) for i, n in enumerate(LENGTHS)]
            got = [server.complete(tokens, n_predict=8, n_probs=100) for tokens in asked]
        return got, server.statistics

    def compare(self, one, other):
        for n, a, b in zip(LENGTHS, one, other):
            with self.subTest(tokens=n):
                print(f"{n:5} tokens: first-token KL {kl(a.steps[0], b.steps[0]):.1e}", flush=True)
                self.assertLessEqual(kl(a.steps[0], b.steps[0]), KL_BOUND)

    def test_exact_and_a_plan(self):
        stock, _ = self.answers("FAKE0,FAKE1")
        ours, shown = self.answers("TriangleMix0,TriangleMix1", TRIANGLEMIX_STRICT="1")
        print(statistics.line(shown), flush=True)
        self.compare(stock, ours)
        self.assertEqual(shown["rows"]["masked"], 0, shown["masked_rows"])
        self.assertGreaterEqual(shown["nodes"]["dense"], len(LENGTHS) * (settings.N_LAYER - 1))
        plan = {"TRIANGLEMIX_LAYERS": settings.PLAN_LAYERS, "TRIANGLEMIX_WINDOW": "64"}
        one, _ = self.answers("TriangleMix0", **plan)
        two, shown = self.answers("TriangleMix0,TriangleMix1", TRIANGLEMIX_STRICT="1", **plan)
        print(statistics.line(shown), flush=True)
        self.compare(one, two)
        self.assertGreater(shown["pairs"]["skipped"], 0)
        self.assertEqual(shown["fallbacks"], {})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("devices", nargs="*", help="stock's GPUs and our proxies of them")
    DEVICES = tuple(parser.parse_args().devices)
    if DEVICES:
        del Answers
    unittest.main(argv=sys.argv[:1], verbosity=2)
