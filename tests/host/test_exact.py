"""Without a plan the backend answers as stock llama.cpp does: greedy text and distributions of 20 prompts, real model.

Each prompt runs alone (no cache) on a stock llama-server: -fa on, -fa off (the yardstick, see hostkit/yardstick.py) and
-fa on with the backend. Texts must be equal; a differing token is accepted only where stock itself calls both almost
equally likely, and is printed with the distance.
"""

import unittest

from hostkit import settings, statistics
from hostkit.answer import kl
from hostkit.prompts import Prompts
from hostkit.server import Server
from hostkit.yardstick import gap_shift, measure, text_problem

# Around 64 (the least that the backend takes), the kernel's tiles, and the default ubatch of 512.
LENGTHS = (64, 65, 96, 100, 127, 128, 129, 190, 256, 300, 333, 400, 511, 512, 513, 640, 777, 1000, 1500, 2000)
N_TOKENS = 32


def answers(flags, env, n_tokens=N_TOKENS):
    with Server(flags, env=env) as server:
        prompts = Prompts(server.tokenize)
        got = [server.complete(prompts.prompt(i, n), n_predict=n_tokens, n_probs=200) for i, n in enumerate(LENGTHS)]
    return got, server.statistics


class ExactMode(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.stock, _ = answers(["-fa", "on"], settings.environment())
        without, _ = answers(["-fa", "off"], settings.environment(), n_tokens=8)
        cls.yardstick = measure(zip(cls.stock, without))
        print(cls.yardstick, flush=True)
        cls.ours, cls.statistics = answers(["-fa", "on"], settings.with_backend())
        print(statistics.line(cls.statistics), flush=True)

    def test_backend_computed_every_prompt(self):
        self.assertIsNotNone(self.statistics, "the backend did not load")
        self.assertGreaterEqual(self.statistics["ubatches"]["all"], len(LENGTHS))
        self.assertEqual(self.statistics["nodes"]["triangle"], 0)
        self.assertEqual(self.statistics["fallbacks"], {})
        self.assertEqual(self.statistics["rows"]["masked"], 0, self.statistics["masked_rows"])

    def test_greedy_text_of_20_prompts_equals_stock(self):
        equal = 0
        for i, (stock, ours) in enumerate(zip(self.stock, self.ours)):
            with self.subTest(prompt=i, kind=Prompts.kind(i), tokens=LENGTHS[i]):
                problem, remark = text_problem(stock, ours, self.yardstick)
                print(f"{LENGTHS[i]:5} tokens, {Prompts.kind(i):14}: {problem or remark}", flush=True)
                self.assertIsNone(problem)
                equal += stock.tokens == ours.tokens
        print(f"{equal} of {len(LENGTHS)} texts equal", flush=True)
        # Near-ties are rare: were half of the texts to part at one, something else would be wrong.
        self.assertGreaterEqual(equal, len(LENGTHS) // 2)

    def test_distributions_as_close_as_stock_is_to_itself(self):
        for i, (stock, ours) in enumerate(zip(self.stock, self.ours)):
            with self.subTest(prompt=i, kind=Prompts.kind(i), tokens=LENGTHS[i]):
                divergence, shift = kl(stock.steps[0], ours.steps[0]), gap_shift(stock, ours)
                print(f"{LENGTHS[i]:5} tokens: first-token KL {divergence:.2e}, gap of the best two {shift:.3f} nats "
                      "apart", flush=True)
                self.assertLessEqual(divergence, self.yardstick.kl_bound)
                self.assertLessEqual(shift, self.yardstick.gap_bound)


if __name__ == "__main__":
    unittest.main(verbosity=2)
