"""Unmodified llama.cpp programs on a proxy device: the module's own registry in front of a GPU that is none (its memory is
told to be a device's, its kernels are the CPU's; tests/ggml/fake/fake_gpu.h). What is tested is everything around the kernels:
devices listed and chosen, inputs found behind the scheduler's copies, graphs cut, several users, contexts, the plan.
"""

import unittest

from hostkit import settings, statistics
from hostkit.answer import kl
from hostkit.process import run
from hostkit.prompts import Prompts
from hostkit.server import Server
from hostkit.yardstick import text_problem, measure

LENGTHS = (70, 130, 300, 450, 520, 700, 900, 1100)
N_TOKENS = 12
GPU = ["--device", "TriangleMix0", "-ngl", "99", "-fa", "on", "-np", "8", "-kvu", "-ub", "512"]
NEVER = {"TRIANGLEMIX_MIN_ROWS": "1000000"}  # everything is passed on: the "stock" device


def answers(flags, env, together=True):
    with Server(flags, env=env, context=16384) as server:
        prompts = Prompts(server.tokenize)
        asked = [prompts.prompt(i, n) for i, n in enumerate(LENGTHS)]
        if together:
            got = server.complete_all(asked, n_predict=N_TOKENS, n_probs=100)
        else:
            got = [server.complete(tokens, n_predict=N_TOKENS, n_probs=100) for tokens in asked]
    return got, server.statistics


class Devices(unittest.TestCase):
    def test_proxy_is_listed_and_can_be_switched_off(self):
        listed = run([settings.program("llama-bench"), "--list-devices"], env=settings.with_fake_gpu()).stdout
        self.assertIn("TriangleMix0: fake GPU, prompt attention by TriangleMix (FAKE0) (4096 MiB, 2304 MiB free)", listed)
        off = run([settings.program("llama-bench"), "--list-devices"], env=settings.with_fake_gpu(TRIANGLEMIX_DISABLE="1")).stdout
        self.assertNotIn("TriangleMix", off)


class Answers(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.stock, cls.stock_statistics = answers(GPU, settings.with_fake_gpu(**NEVER), together=False)
        other, _ = answers(["--device", "none", "-ngl", "0", "-fa", "off"], settings.environment(), together=False)
        cls.yardstick = measure(zip(cls.stock, other))
        print(cls.yardstick, flush=True)

    def compare(self, got):
        for i, (stock, ours) in enumerate(zip(self.stock, got)):
            with self.subTest(prompt=i, tokens=LENGTHS[i]):
                problem, remark = text_problem(stock, ours, self.yardstick)
                print(f"{LENGTHS[i]:5} tokens: {problem or remark}, KL {kl(stock.steps[0], ours.steps[0]):.1e}", flush=True)
                self.assertIsNone(problem)

    def test_everything_passed_on(self):
        self.assertEqual(statistics.nodes(self.stock_statistics), 0)
        self.assertEqual(self.stock_statistics["gpu"]["graphs"]["cut"], 0)
        self.assertGreater(self.stock_statistics["gpu"]["graphs"]["whole"], len(LENGTHS))

    def test_exact_for_one_user_after_the_other(self):
        got, shown = answers(GPU, settings.with_fake_gpu(), together=False)
        print(statistics.line(shown), shown["gpu"], flush=True)
        self.assertGreaterEqual(shown["nodes"]["dense"], settings.N_LAYER * len(LENGTHS))
        self.assertEqual(shown["fallbacks"], {})
        self.assertLessEqual(set(shown["gpu"]["passed_on"]), {"rows"})
        self.compare(got)

    def test_exact_for_eight_users_at_once(self):
        got, shown = answers(GPU, settings.with_fake_gpu())
        print(statistics.line(shown), shown["gpu"], flush=True)
        self.assertGreater(shown["ubatches"]["several_runs"], 0)
        self.assertEqual(shown["rows"]["masked"], 0, shown["masked_rows"])
        self.compare(got)

    def test_a_plan_means_what_it_means_on_the_cpu(self):
        plan = {"TRIANGLEMIX_LAYERS": settings.PLAN_LAYERS, "TRIANGLEMIX_WINDOW": "64", "TRIANGLEMIX_STRICT": "1"}
        here, shown = answers(GPU, settings.with_fake_gpu(**plan), together=False)
        there, _ = answers(["--device", "none", "-ngl", "0", *GPU[4:]], settings.with_backend(**plan), together=False)
        self.assertGreater(shown["nodes"]["triangle"], 0)
        self.assertGreater(shown["pairs"]["skipped"], 0)
        for i, (ours, cpu) in enumerate(zip(here, there)):
            with self.subTest(prompt=i, tokens=LENGTHS[i]):
                divergence = kl(cpu.steps[0], ours.steps[0])
                print(f"{LENGTHS[i]:5} tokens: proxy against the CPU device, first-token KL {divergence:.1e}", flush=True)
                self.assertLessEqual(divergence, self.yardstick.kl_bound)

    def test_embeddings_are_looked_up_for_the_gpu(self):
        got, shown = answers(GPU, settings.with_fake_gpu(TRIANGLEMIX_PRODUCTS_MIN_ROWS="64"), together=False)
        print(shown["embeddings"], flush=True)
        self.assertGreater(shown["embeddings"]["rows"], sum(LENGTHS) - 64 * len(LENGTHS))
        self.compare(got)
        off = {"TRIANGLEMIX_PRODUCTS_MIN_ROWS": "64", "TRIANGLEMIX_PRODUCTS": "off"}
        _, shown = answers(GPU, settings.with_fake_gpu(**off), together=False)
        self.assertEqual(shown["embeddings"]["rows"], 0)
        self.assertEqual(self.stock_statistics["embeddings"]["rows"], 0, "fewer than pay")

    def test_feed_forward_on_the_cpu_exact_and_by_plan(self):
        host = [*GPU, "-ot", "ffn_.*=CPU"]  # each layer's attention is then a graph of its own
        got, shown = answers(host, settings.with_fake_gpu(TRIANGLEMIX_STRICT="1"))
        print(statistics.line(shown), shown["gpu"], flush=True)
        self.assertEqual(shown["rows"]["masked"], 0, shown["masked_rows"])
        self.assertLessEqual(set(shown["gpu"]["passed_on"]), {"rows"})
        self.compare(got)
        plan = {"TRIANGLEMIX_LAYERS": settings.PLAN_LAYERS, "TRIANGLEMIX_WINDOW": "64", "TRIANGLEMIX_STRICT": "1"}
        split, shown = answers(host, settings.with_fake_gpu(**plan), together=False)
        whole, _ = answers(GPU, settings.with_fake_gpu(**plan), together=False)
        self.assertGreater(shown["nodes"]["triangle"], 0)
        self.assertGreater(shown["pairs"]["skipped"], 0)
        for i, (ours, other) in enumerate(zip(split, whole)):
            with self.subTest(prompt=i, tokens=LENGTHS[i]):
                self.assertLessEqual(kl(other.steps[0], ours.steps[0]), self.yardstick.kl_bound)


if __name__ == "__main__":
    unittest.main(verbosity=2)
