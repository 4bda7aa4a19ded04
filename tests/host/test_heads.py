"""A plan whose heads select by rules of their own, from a crossover on, in unmodified llama-server: on the CPU device, and
through a proxy in front of a GPU that is none. Where rules keep everything the answers are those of exact attention.
"""

import json
import unittest

from hostkit import settings, statistics
from hostkit.answer import kl
from hostkit.prompts import Prompts
from hostkit.server import Server
from hostkit.yardstick import measure

SHORT, LONG = 450, 1100  # below the crossover, and above it
CROSSOVER = 600
N_HEADS, N_KV_HEADS = 9, 3
FLAGS = ["-fa", "on", "-b", "2048", "-ub", "2048"]
ON_CPU = ["--device", "none", "-ngl", "0", *FLAGS]
ON_GPU = ["--device", "TriangleMix0", "-ngl", "99", *FLAGS]


def plan_file(stride):
    """Layer 0: rules of two sets of heads, one of them from the crossover on; layers 1 and 2: one rule of all heads;
    layer 3: triangle with a window of its own, and a rule for some heads."""
    path = settings.scratch_file("plan.json")
    path.write_text(json.dumps({
        "format": "trianglemix-plan", "version": 2, "name": "heads", "last": 64,
        "model": {"layers": settings.N_LAYER, "heads": N_HEADS, "kv_heads": N_KV_HEADS},
        "triangle_layers": "3" if stride > 1 else "none",
        **({"bands": [{"layers": "3", "window": 256}]} if stride > 1 else {}),
        "dynamic": [
            {"method": "stride", "stride": stride, "layers": "0,3", "heads": "0-2,4"},
            {"method": "stride", "stride": stride, "layers": "0", "heads": "5-7", "min_tokens": CROSSOVER},
            {"method": "stride", "stride": stride, "layers": "1-2", "min_tokens": CROSSOVER},
        ]}), encoding="utf-8")
    return str(path)


def answers(flags, env):
    with Server(flags, env=env) as server:
        prompts = Prompts(server.tokenize)
        got = [server.complete(prompts.prompt(i, n), n_predict=4, n_probs=200) for i, n in enumerate((SHORT, LONG))]
    return got, server.statistics


def planned(stride):
    return {"TRIANGLEMIX_PLAN": plan_file(stride), "TRIANGLEMIX_STRICT": "1"}


class Heads(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.stock, _ = answers(["-fa", "on", "-ub", "2048"], settings.environment())
        other, _ = answers(["-fa", "off", "-ub", "2048"], settings.environment())
        cls.yardstick = measure(zip(cls.stock, other))
        print(cls.yardstick, flush=True)
        cls.exact, _ = answers(ON_CPU, settings.with_backend())
        cls.thin, cls.thin_counts = answers(ON_CPU, settings.with_backend(**planned(7)))

    def same(self, expected, got):
        for a, b in zip(expected, got):
            divergence = kl(a.steps[0], b.steps[0])
            print(f"{b.prompt_tokens} tokens: first-token KL {divergence:.1e}", flush=True)
            self.assertLessEqual(divergence, self.yardstick.kl_bound)

    def test_rules_that_keep_everything_are_exact(self):
        for name, flags, env in (("cpu", ON_CPU, settings.with_backend), ("proxy", ON_GPU, settings.with_fake_gpu)):
            with self.subTest(device=name):
                got, counted = answers(flags, env(**planned(1)))
                print(statistics.line(counted), counted["selected"], flush=True)
                self.assertEqual(counted["fallbacks"], {})
                self.assertEqual(counted["pairs"]["skipped"], 0)
                self.assertGreater(counted["nodes"]["dynamic"], 0)
                self.assertEqual([each["density"] for each in counted["selected"]], [1])
                self.same(self.exact, got)

    def test_what_is_counted(self):
        counted = self.thin_counts
        print(statistics.line(counted), counted["selected"], flush=True)
        self.assertEqual(counted["fallbacks"], {})
        layers = {each["layer"]: each for each in counted["layers"]}
        for layer in (1, 2):  # the short prompt is below the crossover, and that is no fallback
            self.assertEqual((layers[layer]["nodes"]["dynamic"], layers[layer]["nodes"]["dense"]), (1, 1))
        for layer in (0, 3):
            self.assertEqual(layers[layer]["nodes"]["dynamic"], 2)
        for layer in range(4):
            selected = layers[layer]["selected"]
            self.assertEqual([each["rule"] for each in selected], ["stride:stride=7"])
            self.assertLess(selected[0]["density"], 0.8)
            self.assertGreater(layers[layer]["selection_seconds"], 0)
            self.assertLess(layers[layer]["selection_seconds"], layers[layer]["seconds"])
        self.assertGreater(kl(self.exact[1].steps[0], self.thin[1].steps[0]), self.yardstick.kl_bound,
                           "if nothing was left out, this test would prove nothing")

    def test_a_proxy_counts_and_answers_as_the_cpu_device(self):
        got, counted = answers(ON_GPU, settings.with_fake_gpu(**planned(7)))
        print(statistics.line(counted), counted["selected"], flush=True)
        self.assertEqual(counted["fallbacks"], {})
        self.same(self.thin, got)
        self.assertEqual(counted["pairs"], self.thin_counts["pairs"])
        for here, there in zip(counted["layers"], self.thin_counts["layers"]):
            self.assertEqual(here["pairs"], there["pairs"])
            for each in (*here["selected"], *there["selected"]):
                each["seconds"] = None  # of a GPU they are not known
            self.assertEqual(here["selected"], there["selected"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
