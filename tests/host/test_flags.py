"""Other ways to run the server: nothing crashes, what we claim is computed right, and what we must not claim is left."""

import math
import unittest

from hostkit import settings, statistics
from hostkit.answer import kl
from hostkit.prompts import Prompts
from hostkit.server import Server

N_TOKENS = 300
N_LAYER = 30

# name: (flags, whether the backend takes the prompt)
CLAIMED = {
    "default (-fa auto)": ([], True),
    "-fa on": (["-fa", "on"], True),
    "-fa off": (["-fa", "off"], False),
    "8-bit cache": (["-fa", "on", "-ctk", "q8_0", "-ctv", "q8_0"], True),
    "4-bit cache": (["-fa", "on", "-ctk", "q4_0", "-ctv", "q4_0"], True),
    "bf16 cache": (["-fa", "on", "-ctk", "bf16", "-ctv", "bf16"], True),
    "f32 cache": (["-fa", "on", "-ctk", "f32", "-ctv", "f32"], True),
    "cache of mixed types": (["-fa", "on", "-ctk", "q8_0", "-ctv", "f16"], True),
    "--swa-full": (["--swa-full"], True),
    "many slots": (["-np", "64", "--kv-unified"], True),
    "more slots than rows we leave alone": (["-np", "200", "--kv-unified"], True),
    "one slot": (["-np", "1"], True),
    "no repacking": (["--no-repack"], True),
    "no offload of the cache": (["-nkvo"], True),
    "one thread, two for batches": (["-t", "1", "-tb", "2"], True),
    "tiny ubatch": (["-fa", "on", "-ub", "32"], False),
}


class Flags(unittest.TestCase):
    def answer(self, flags, env):
        with Server(flags, env=env) as server:
            answer = server.complete(Prompts(server.tokenize).prompt(3, N_TOKENS), n_predict=8)
        return answer, server.statistics

    def test_every_flag(self):
        on, _ = self.answer(["-fa", "on"], settings.environment())
        off, _ = self.answer(["-fa", "off"], settings.environment())
        for name, (flags, claimed) in CLAIMED.items():
            with self.subTest(name):
                stock, _ = self.answer(flags, settings.environment())
                ours, counted = self.answer(flags, settings.with_backend())
                divergence = kl(stock.steps[0], ours.steps[0])
                print(f"{name}: nodes {statistics.nodes(counted)}, first-token KL to stock {divergence:.2e}, KL of stock "
                      f"with these flags to -fa on {kl(on.steps[0], stock.steps[0]):.2e}", flush=True)
                self.assertIsNotNone(counted, "the backend did not load")
                self.assertEqual(statistics.nodes(counted), N_LAYER if claimed else 0)
                if claimed:
                    self.assertLessEqual(divergence, self.bound(on, off, stock))
                else:
                    self.assertEqual(stock.steps, ours.steps)  # computed by the host alone: the same bits

    @staticmethod
    def bound(on, off, stock):
        # A quantised cache moves stock itself; rounding there amplifies like everywhere, so the larger of the two counts.
        return 2 * max(kl(on.steps[0], off.steps[0]), kl(on.steps[0], stock.steps[0])) + 1e-4


class Embeddings(unittest.TestCase):
    """All rows are output rows there; with a plan the embedding is as exact as without."""

    def embedding(self, env):
        with Server(["--embeddings", "--pooling", "mean", "-ub", "1024", "-b", "1024"], env=env) as server:
            prompt = Prompts(server.tokenize).prompt(2, 900)
            vector = server.ask("/embedding", {"content": prompt})[0]["embedding"][0]
        return vector, server.statistics

    def test_embedding_of_a_long_prompt(self):
        stock, _ = self.embedding(settings.environment())
        exact, counted = self.embedding(settings.with_backend())
        planned, counted_plan = self.embedding(settings.with_plan(TRIANGLEMIX_WINDOW=16, TRIANGLEMIX_LAST=16))
        cosine = sum(a * b for a, b in zip(stock, exact)) / math.hypot(*stock) / math.hypot(*exact)
        print(f"embeddings: 1 - cosine to stock {1 - cosine:.1e}; {statistics.line(counted)}", flush=True)
        self.assertEqual(statistics.nodes(counted), N_LAYER)
        self.assertLess(1 - cosine, 1e-3)
        self.assertEqual(counted_plan["pairs"]["skipped"], 0)
        self.assertEqual(planned, exact)


class MovedCells(unittest.TestCase):
    """The host changes positions behind our back: it shifts keys in place, without an attention node we could see."""

    PLAN = {"TRIANGLEMIX_WINDOW": 64, "TRIANGLEMIX_LAST": 32}

    def reused(self, flags, env):
        """A prompt whose middle was cut out, so that what follows is reused at earlier positions."""
        with Server(["-np", "1", "-fa", "on", *flags], env=env) as server:
            prompts = Prompts(server.tokenize)
            text, end = prompts.prompt(4, 900), prompts.prompt(6, 200)
            server.complete(text, reuse=True)
            return server.complete(text[:300] + text[500:] + end, reuse=True), server.statistics

    def test_cache_reuse_by_shifting(self):
        flags = ["--cache-reuse", "64"]
        stock, _ = self.reused(flags, settings.environment())
        exact, counted = self.reused(flags, settings.with_backend())
        self.assertGreater(stock.reused_tokens, 600, "the host did not shift: nothing was tested")
        self.assertEqual(stock.reused_tokens, exact.reused_tokens)
        off, _ = self.reused([*flags, "-fa", "off"], settings.environment())
        bound = 2 * kl(stock.steps[0], off.steps[0]) + 2e-2
        print(f"cache reuse: {exact.reused_tokens} tokens reused, KL to stock {kl(stock.steps[0], exact.steps[0]):.2e}, "
              f"bound {bound:.2e}; {statistics.line(counted)}", flush=True)
        self.assertLessEqual(kl(stock.steps[0], exact.steps[0]), bound)

        planned, counted = self.reused(flags, settings.with_plan(**self.PLAN))
        whole, _ = self.reused([], settings.with_plan(**self.PLAN))
        print(f"cache reuse, plan: KL to exact {kl(exact.steps[0], planned.steps[0]):.2e}, to the plan without reuse "
              f"{kl(whole.steps[0], planned.steps[0]):.2e}; {statistics.line(counted)}", flush=True)
        self.assertGreater(counted["nodes"]["triangle"], 0)
        # Reuse by shifting is an approximation of the host's own: what it costs in exact mode is the measure.
        exact_whole, _ = self.reused([], settings.with_backend())
        self.assertLessEqual(kl(whole.steps[0], planned.steps[0]),
                             2 * kl(exact_whole.steps[0], exact.steps[0]) + kl(exact_whole.steps[0], whole.steps[0]) + 2e-2)

    def test_context_shift(self):
        """Generation runs over the end of the context: the host drops the oldest half and goes on."""
        def answer(env):
            with Server(["-np", "1", "-fa", "on", "--context-shift"], env=env, context=512) as server:
                prompt = Prompts(server.tokenize).prompt(6, 400)
                answer = server.ask("/completion", {"prompt": prompt, "n_predict": 200, "temperature": 0, "n_keep": 8,
                                                    "ignore_eos": True, "cache_prompt": True, "return_tokens": True})
                again = server.complete(prompt[:350], n_predict=4, reuse=True)
            return answer, again, server.statistics

        stock, stock_again, _ = answer(settings.environment())
        ours, ours_again, counted = answer(settings.with_backend())
        print(f"context shift: {len(ours['tokens'])} tokens; {statistics.line(counted)}", flush=True)
        self.assertEqual(len(stock["tokens"]), 200)
        self.assertEqual(len(ours["tokens"]), 200)
        self.assertGreater(statistics.nodes(counted), 0)
        self.assertEqual(len(ours_again.tokens), len(stock_again.tokens))


class Ending(unittest.TestCase):
    def test_terminated_while_it_reads_a_prompt(self):
        # The user gives up first: with a request open, the pinned llama-server does not end, with us or without.
        with Server(["-fa", "on", "-b", "128", "-ub", "128"], env=settings.with_plan()) as server:
            prompt = Prompts(server.tokenize).prompt(2, 2500)
            with self.assertRaises(TimeoutError):
                server.ask("/completion", {"prompt": prompt, "n_predict": 1}, timeout=1)
        print(f"terminated while reading: {statistics.line(server.statistics)}", flush=True)
        self.assertIsNotNone(server.statistics, "no statistics were written")
        self.assertGreater(statistics.nodes(server.statistics), 0)
        self.assertEqual(server.exit_code, 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
