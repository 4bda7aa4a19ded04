"""The size of the ubatch changes no answer, and perplexity stays stock's, with a plan too where every row is asked for."""

import re
import unittest

from hostkit import process, settings, statistics
from hostkit.answer import kl
from hostkit.prompts import DOCUMENT, Prompts
from hostkit.server import Server
from hostkit.yardstick import FACTOR, measure, text_problem

LENGTHS = (700, 1500)
UBATCHES = (128, 256, 512, 2048)
N_TOKENS = 24


def answers(flags, env):
    with Server(flags, env=env) as server:
        prompts = Prompts(server.tokenize)
        return [server.complete(prompts.prompt(i + 2, n), n_predict=N_TOKENS) for i, n in enumerate(LENGTHS)], server


class Ubatches(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.stock, _ = answers(["-fa", "on"], settings.environment())
        without, _ = answers(["-fa", "off"], settings.environment())
        small, _ = answers(["-fa", "on", "-ub", UBATCHES[0]], settings.environment())
        # Stock's own answers move with the ubatch too: both spreads are the host's.
        cls.yardstick = measure([*zip(cls.stock, without), *zip(cls.stock, small)])
        print(cls.yardstick, flush=True)

    def test_same_text_for_every_ubatch(self):
        for ubatch in UBATCHES:
            got, server = answers(["-fa", "on", "-b", 2048, "-ub", ubatch], settings.with_backend())
            with self.subTest(ubatch=ubatch):
                # Chunks of at least MIN_ROWS are ours; a prompt's short rest is the host's.
                chunks = sum(-(-n // ubatch) - (0 < n % ubatch < settings.MIN_ROWS) for n in LENGTHS)
                self.assertEqual(server.statistics["ubatches"]["all"], chunks)
            for stock, ours in zip(self.stock, got):
                with self.subTest(ubatch=ubatch, tokens=ours.prompt_tokens):
                    problem, remark = text_problem(stock, ours, self.yardstick)
                    divergence = kl(stock.steps[0], ours.steps[0])
                    print(f"-ub {ubatch}, {ours.prompt_tokens} tokens: first-token KL to stock {divergence:.2e}; "
                          f"{problem or remark}", flush=True)
                    self.assertIsNone(problem)
                    self.assertLessEqual(divergence, self.yardstick.kl_bound)


class Perplexity(unittest.TestCase):
    """llama-perplexity over the beginning of the document."""

    def perplexity(self, env, *flags, context=1024, chunks=2):
        stats = statistics.StatisticsFile()
        env = dict(env, TRIANGLEMIX_STATS=str(stats.path))
        done = process.run([settings.program("llama-perplexity"), "-m", settings.small_sharp_model(), "-f", DOCUMENT, "-c",
                            context, "--chunks", chunks, "-t", settings.THREADS, *flags], env=env, timeout=600)
        values = re.findall(r"\[\d+\](\d+\.\d+)", done.stdout + done.stderr)
        self.assertEqual(len(values), chunks, done.stdout + done.stderr)
        return float(values[-1]), stats.read()

    def test_exact_mode(self):
        on, _ = self.perplexity(settings.environment(), "-fa", "on")
        off, _ = self.perplexity(settings.environment(), "-fa", "off")
        bound = FACTOR * abs(on / off - 1) + 1e-4  # four decimals are printed
        for ubatch in (128, 1024):
            ours, counted = self.perplexity(settings.with_backend(), "-fa", "on", "-ub", ubatch, "-b", 1024)
            print(f"perplexity: stock -fa on {on}, -fa off {off}, ours at -ub {ubatch} {ours}; relative bound {bound:.1e}",
                  flush=True)
            with self.subTest(ubatch=ubatch):
                self.assertGreater(statistics.nodes(counted), 0)
                self.assertLessEqual(abs(ours / on - 1), bound)

    def test_plan_is_exact_where_every_row_is_asked_for(self):
        # --ppl-stride asks for the logits of all rows, so every row is near an output row, which makes it dense.
        # One sequence and ubatches that fit: the pinned llama-perplexity cannot do several with a stride.
        stride = ("-fa", "on", "-np", 1, "-b", 512, "--ppl-stride", 256)
        size = {"context": 512, "chunks": 1}
        exact, _ = self.perplexity(settings.with_backend(), *stride, **size)
        planned, counted = self.perplexity(settings.with_plan(TRIANGLEMIX_WINDOW=16, TRIANGLEMIX_LAST=16), *stride, **size)
        print(f"perplexity, all rows: exact {exact}, plan {planned}; {statistics.line(counted)}", flush=True)
        self.assertEqual(planned, exact)
        self.assertEqual(counted["pairs"]["skipped"], 0)

    def test_plan_shows_where_only_some_rows_are_asked_for(self):
        # Without a stride the first half of each context has no output rows. If the plan did nothing here, the test
        # above would prove nothing.
        exact, _ = self.perplexity(settings.with_backend(), "-fa", "on")
        planned, counted = self.perplexity(settings.with_plan(TRIANGLEMIX_WINDOW=16, TRIANGLEMIX_LAST=16), "-fa", "on")
        print(f"perplexity, half of the rows: exact {exact}, plan with a window of 16 {planned}", flush=True)
        self.assertGreater(counted["pairs"]["skipped"], 0)
        self.assertNotEqual(planned, exact)


if __name__ == "__main__":
    unittest.main(verbosity=2)
