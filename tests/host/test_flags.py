"""Other ways to run the server: nothing crashes, what we claim is computed right, and what we must not claim is left."""

import math
import unittest

from hostkit import settings, statistics
from hostkit.answer import kl
from hostkit.prompts import Prompts
from hostkit.server import Server

N_TOKENS = 300
N_LAYER = settings.N_LAYER

# name: (flags, whether the backend takes the prompt, which of stock's answers ours is compared with)
# OWN: stock with the same flags, which change what stock computes. F16: stock's answer with -fa on, for flags that change
# nothing, and for quantised caches: there stock rounds the queries, too, and ours may not be further from the answer
# without quantisation than stock is.
F16, OWN = "-fa on", "the same flags"
TOO_MANY_SLOTS = f"{settings.MIN_ROWS} slots, -fa auto"
CASES = {
    "default (-fa auto)": ([], True, F16),
    "-fa on": (["-fa", "on"], True, F16),
    "-fa off": (["-fa", "off"], False, OWN),
    "8-bit cache": (["-fa", "on", "-ctk", "q8_0", "-ctv", "q8_0"], True, F16),
    "4-bit cache": (["-fa", "on", "-ctk", "q4_0", "-ctv", "q4_0"], True, F16),
    "bf16 cache": (["-fa", "on", "-ctk", "bf16", "-ctv", "bf16"], True, OWN),
    "f32 cache": (["-fa", "on", "-ctk", "f32", "-ctv", "f32"], True, OWN),
    "cache of mixed types": (["-fa", "on", "-ctk", "q8_0", "-ctv", "f16"], True, F16),
    "--swa-full": (["--swa-full"], True, F16),
    "many slots": (["-np", str(settings.MIN_ROWS - 1), "--kv-unified"], True, F16),
    # The host turns flash attention off for as many slots as rows we leave alone, unless told -fa on: docs/backend.md.
    TOO_MANY_SLOTS: (["-np", str(settings.MIN_ROWS), "--kv-unified"], False, None),
    "200 slots, -fa on": (["-np", "200", "--kv-unified", "-fa", "on"], True, F16),
    "one slot": (["-np", "1"], True, F16),
    "no repacking": (["--no-repack"], True, F16),
    "no offload of the cache": (["-nkvo"], True, F16),
    "one thread, two for batches": (["-t", "1", "-tb", "2"], True, F16),
    "tiny ubatch": (["-fa", "on", "-ub", "32"], False, OWN),
}
WITHOUT_FLASH = ("-fa off", TOO_MANY_SLOTS)  # and we say so
QUANTISED = ("8-bit cache", "4-bit cache", "cache of mixed types")


class Flags(unittest.TestCase):
    def answer(self, flags, env):
        with Server(flags, env=env) as server:
            answer = server.complete(Prompts(server.tokenize).prompt(3, N_TOKENS), n_predict=8)
        return answer, server.statistics

    def test_every_flag(self):
        on, _ = self.answer(["-fa", "on"], settings.environment())
        off, _ = self.answer(["-fa", "off"], settings.environment())
        spread = kl(on.steps[0], off.steps[0])
        for name, (flags, claimed, reference) in CASES.items():
            with self.subTest(name):
                # Products are taken without flash attention, too. Without them the host computes alone.
                products = {} if claimed else {"TRIANGLEMIX_PRODUCTS": "off"}
                ours, counted = self.answer(flags, settings.with_backend(**products))
                self.assertIsNotNone(counted, "the backend did not load")
                self.assertEqual(statistics.nodes(counted), N_LAYER if claimed else 0)
                self.assertEqual(counted["declined"].get("no_flash", 0) > 0, name in WITHOUT_FLASH)
                if name == TOO_MANY_SLOTS:
                    self.assertEqual(off.steps, ours.steps)
                    continue
                stock = on
                if reference == OWN or name in QUANTISED:
                    stock, _ = self.answer(flags, settings.environment())
                moved = kl(on.steps[0], stock.steps[0])
                apart = kl((stock if reference == OWN else on).steps[0], ours.steps[0])
                print(f"{name}: nodes {statistics.nodes(counted)}, first-token KL to stock's answer with {reference} "
                      f"{apart:.2e}; these flags move stock's own by {moved:.2e}", flush=True)
                if claimed:
                    self.assertLessEqual(apart, 2 * max(spread, moved) + 1e-4)
                else:
                    self.assertEqual(stock.steps, ours.steps)  # computed by the host alone: the same bits


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
            answer = server.complete(text[:300] + text[500:] + end, reuse=True)
        return answer, server.statistics

    def test_cache_reuse_by_shifting(self):
        flags = ["--cache-reuse", "64"]
        stock, _ = self.reused(flags, settings.environment())
        exact, counted = self.reused(flags, settings.with_backend())
        self.assertGreater(stock.reused_tokens, 600, "the host did not shift: nothing was tested")
        self.assertEqual(stock.reused_tokens, exact.reused_tokens)
        off, _ = self.reused([*flags, "-fa", "off"], settings.environment())
        bound = 2 * kl(stock.steps[0], off.steps[0]) + 1e-4
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
                             2 * kl(exact_whole.steps[0], exact.steps[0]) + kl(exact_whole.steps[0], whole.steps[0]) + 1e-4)

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
        # The whole model, which takes seconds.
        plan, model = settings.with_plan(TRIANGLEMIX_LAYERS="10-29"), settings.sharp_model()
        with Server(["-fa", "on", "-b", "128", "-ub", "128"], env=plan, model=model) as server:
            prompt = Prompts(server.tokenize).prompt(2, 2500)
            with self.assertRaises(TimeoutError):
                server.ask("/completion", {"prompt": prompt, "n_predict": 1}, timeout=1)
        print(f"terminated while reading: {statistics.line(server.statistics)}", flush=True)
        self.assertIsNotNone(server.statistics, "no statistics were written")
        self.assertGreater(statistics.nodes(server.statistics), 0)
        self.assertEqual(server.exit_code, 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
