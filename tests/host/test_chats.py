"""Chats of two turns, of eight users at once, on one stock llama-server with a plan.

A user's second prompt goes on from the first, its answer included, which the server has in its cache: the cells of
decoded tokens lie between other users', and with fewer slots than users a conversation is saved and restored between
its turns. The plan treats what it can only if it is certain which cell holds which position, so nearly all prompt rows
must be treated; and where the order were wrong, distributions would be far from those of the same chat alone.
"""

import concurrent.futures
import unittest

from hostkit import settings, statistics
from hostkit.answer import kl
from hostkit.prompts import Prompts
from hostkit.server import Server

USERS = 8
CONTEXT = 8192
# A window much smaller than the preset's, so that these short prompts skip most pairs and a wrong one would show.
PLAN = {"TRIANGLEMIX_LAYERS": settings.PLAN_LAYERS, "TRIANGLEMIX_WINDOW": "64", "TRIANGLEMIX_LAST": "32"}
GPU = ["--device", "TriangleMix0", "-ngl", "99", "-fa", "on"]
KL_FACTOR = 3        # for chunk boundaries that one other sample does not show
KL_FLOOR = 2e-5      # of log-probabilities that come as float32
LEAST_PLANNED = 0.95  # of the rows of triangle layers


def first_turn(prompts, user):
    return prompts.prompt(2 * user + 1, 110 + 14 * user)


def second_turn(prompts, user):
    return prompts.prompt(2 * user + 41, 190 - 12 * user)


def n_decoded(user):
    return 3 + 3 * (user % 3)


class Chats(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        plan = settings.with_backend(**PLAN)
        with Server(["-fa", "on"], env=plan) as server:
            prompts = Prompts(server.tokenize)
            cls.first = [first_turn(prompts, user) for user in range(USERS)]
            answers = [server.complete(first, n_predict=n_decoded(user)) for user, first in enumerate(cls.first)]
            cls.second = [cls.first[user] + answer.tokens + second_turn(prompts, user)
                          for user, answer in enumerate(answers)]
            cls.alone = [server.complete(second) for second in cls.second]
        others = []
        for env, flags in ((plan, ["-fa", "on", "-ub", "96"]), (settings.with_backend(), ["-fa", "on"])):
            with Server(flags, env=env) as server:
                others.append([server.complete(second) for second in cls.second])
        cls.spread = [max(kl(alone.steps[0], other[user].steps[0]) for other in others)
                      for user, alone in enumerate(cls.alone)]

    def chat(self, flags, env):
        def both(server, user):
            server.complete(self.first[user], n_predict=n_decoded(user), reuse=True)
            return server.complete(self.second[user], reuse=True)

        with Server(flags, env=env, context=CONTEXT) as server:
            with concurrent.futures.ThreadPoolExecutor(USERS) as pool:
                waiting = [pool.submit(both, server, user) for user in range(USERS)]
                answers = [one.result() for one in waiting]
        return answers, server.statistics

    def check(self, name, flags, env, reuses):
        answers, counted = self.chat(flags, env)
        print(statistics.line(counted), flush=True)
        rows = counted["rows"]
        of_plan = rows["planned"] + rows["unordered"] + rows["masked"]
        apart = [kl(alone.steps[0], ours.steps[0]) for alone, ours in zip(self.alone, answers)]
        reused = [answer.reused_tokens for answer in answers]
        print(f"{name}: {rows['planned'] / of_plan:.1%} of {of_plan} rows planned, tokens reused {reused}, first-token KL "
              f"to the chat alone {max(apart):.1e} (other chunks: {max(self.spread):.1e})", flush=True)
        self.assertGreaterEqual(sum(n > 0 for n in reused), reuses, "no conversation went on: nothing was tested")
        self.assertGreater(counted["ubatches"]["several_runs"], 0, "no ubatch held several users: nothing was tested")
        self.assertGreater(counted["ubatches"]["reordered"], 0, "all cells lay in order: nothing was tested")
        self.assertGreaterEqual(rows["planned"], LEAST_PLANNED * of_plan, counted["fallbacks"])
        for user, (divergence, spread) in enumerate(zip(apart, self.spread)):
            with self.subTest(chats=name, user=user):
                self.assertLessEqual(divergence, KL_FACTOR * spread + KL_FLOOR)
        self.assertLessEqual(sum(apart), sum(self.spread) + USERS * KL_FLOOR)

    def test_cpu(self):
        self.check("a slot each", ["-np", "8", "--kv-unified", "-fa", "on"], settings.with_backend(**PLAN), USERS)

    def test_cpu_saved_and_restored(self):
        self.check("three slots", ["-np", "3", "--kv-unified", "-fa", "on"], settings.with_backend(**PLAN), USERS // 2)

    def test_gpu(self):
        self.check("GPU, a slot each", [*GPU, "-np", "8", "--kv-unified"], settings.with_fake_gpu(**PLAN), USERS)

    def test_gpu_saved_and_restored(self):
        self.check("GPU, three slots", [*GPU, "-np", "3", "--kv-unified"], settings.with_fake_gpu(**PLAN), USERS // 2)


if __name__ == "__main__":
    unittest.main(verbosity=2)
