"""Without a plan the backend answers as stock llama.cpp does: greedy text and distributions of 20 prompts, real model.

Each prompt runs alone (nothing cached) on a stock llama-server with -fa on, with the backend, and in other stock forms
that are the yardstick (hostkit/yardstick.py). Texts must be equal; a differing token is accepted only where stock calls
both almost equally likely, and is printed with the distance. Once with F16 weights, where rounding hardly shows and
nearly every text is equal, and, for fewer of the prompts, with the default Q8_0 weights, where stock is not equal to itself.
"""

import functools
import unittest

from hostkit import settings, statistics
from hostkit.answer import kl
from hostkit.prompts import Prompts
from hostkit.server import Server
from hostkit.yardstick import gap_shift, measure, text_problem

# Around the least that the backend takes, the kernel's tiles, and the default ubatch of 512.
LENGTHS = (settings.MIN_ROWS, settings.MIN_ROWS + 1, 96, 100, 127, 128, 129, 160, 190, 220, 256, 300, 333, 400, 450, 511, 512,
           513, 640, 1100)
N_TOKENS = 12
PROMPTS = tuple(enumerate(LENGTHS))
YARDSTICKS = (("-fa", "off"), ("-fa", "on", "-ub", "48"), ("-fa", "off", "-ub", "48"))


def answers(asked, flags, env, model, n_tokens=N_TOKENS):
    with Server(flags, env=env, model=model) as server:
        prompts = Prompts(server.tokenize)
        got = [server.complete(prompts.prompt(i, n), n_predict=n_tokens, n_probs=200) for i, n in asked]
    return got, server.statistics


@functools.cache
def of_stock(model, prompts, yardsticks):
    """Stock's answers, and how far it moves by itself. Asked once for all tests that compare with them."""
    stock, _ = answers(prompts, ["-fa", "on"], settings.environment(), model)
    others = [answers(prompts, flags, settings.environment(), model, 8)[0] for flags in yardsticks]
    return stock, measure(pair for other in others for pair in zip(stock, other))


class Comparison:
    prompts = PROMPTS
    yardsticks = YARDSTICKS[:2]
    least_equal = 0  # texts
    backend_settings = {}

    @classmethod
    def setUpClass(cls):
        model = cls.model()
        cls.stock, cls.yardstick = of_stock(model, cls.prompts, cls.yardsticks)
        print(cls.yardstick, flush=True)
        cls.ours, cls.statistics = answers(cls.prompts, ["-fa", "on"], settings.with_backend(**cls.backend_settings), model)
        print(statistics.line(cls.statistics), flush=True)

    def test_backend_computed_every_prompt(self):
        self.assertIsNotNone(self.statistics, "the backend did not load")
        self.assertGreaterEqual(self.statistics["ubatches"]["all"], len(self.prompts))
        self.assertEqual(self.statistics["nodes"]["triangle"], 0)
        self.assertEqual(self.statistics["fallbacks"], {})
        self.assertEqual(self.statistics["rows"]["masked"], 0, self.statistics["masked_rows"])

    def test_greedy_text_equals_stock(self):
        equal = 0
        for (i, n), stock, ours in zip(self.prompts, self.stock, self.ours):
            with self.subTest(prompt=i, kind=Prompts.kind(i), tokens=n):
                problem, remark = text_problem(stock, ours, self.yardstick)
                print(f"{n:5} tokens, {Prompts.kind(i):14}: {problem or remark}", flush=True)
                self.assertIsNone(problem)
                equal += stock.tokens == ours.tokens
        print(f"{equal} of {len(self.prompts)} texts equal", flush=True)
        self.assertGreaterEqual(equal, self.least_equal)

    def test_distributions_as_close_as_stock_is_to_itself(self):
        for (i, n), stock, ours in zip(self.prompts, self.stock, self.ours):
            with self.subTest(prompt=i, kind=Prompts.kind(i), tokens=n):
                divergence, shift = kl(stock.steps[0], ours.steps[0]), gap_shift(stock, ours)
                print(f"{n:5} tokens: first-token KL {divergence:.2e}, gaps between near tokens {shift:.4f} nats "
                      "apart", flush=True)
                self.assertLessEqual(divergence, self.yardstick.kl_bound)
                self.assertLessEqual(shift, self.yardstick.gap_bound)


class Sharp(Comparison, unittest.TestCase):
    model = staticmethod(settings.sharp_model)
    least_equal = 17  # near-ties of 0.01 nats do occur; a fifth of the texts would be another matter


class DefaultModel(Comparison, unittest.TestCase):
    model = staticmethod(settings.model)
    prompts = PROMPTS[::3]
    yardsticks = YARDSTICKS  # fewer prompts need one more form of stock to show how far it moves


class AttentionAlone(DefaultModel):
    """As everywhere where no kernel of products is known to be faster than the host's."""
    backend_settings = {"TRIANGLEMIX_PRODUCTS": "off"}

    def test_no_product_was_computed(self):
        self.assertEqual(self.statistics["products"]["computed"], [])


class ProductsOfEveryPrompt(DefaultModel):
    """Matrix products differ from the host's by the order of sums, which rows rounded to 8 bits turn into more: no more
    than stock moves by itself."""
    backend_settings = {"TRIANGLEMIX_PRODUCTS": "host", "TRIANGLEMIX_PRODUCTS_MIN_ROWS": "64"}

    def test_products_were_computed(self):
        self.assertGreater(sum(each["nodes"] for each in self.statistics["products"]["computed"]), 1000)


if __name__ == "__main__":
    unittest.main(verbosity=2)
