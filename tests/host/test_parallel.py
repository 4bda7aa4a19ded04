"""Eight users of mixed lengths at once on one stock llama-server, each with two requests.

A user's second request starts when its first is answered, so new prompts meet others that are still read or answered,
reuse what the server has cached (four users share a long beginning; half go on with their own first prompt), and fill
the holes that finished ones leave. Both kinds of cache: one unified, and a stream for each sequence.

Exact mode: every user gets stock's answer. With a plan: the first token's distribution is as close to that user's alone
as other chunk boundaries make it, since the tail policy `chunk` depends on them, and about as far from the exact answer;
and the statistics show that mixed ubatches were treated by the plan.
"""

import concurrent.futures
import unittest

from hostkit import settings, statistics
from hostkit.answer import kl
from hostkit.prompts import Prompts
from hostkit.server import Server
from hostkit.yardstick import measure, text_problem

FIRST_LENGTHS = (80, 160, 250, 340, 480, 560, 700, 1000)
SHARED = 200           # tokens that the last four users' first prompts begin with
N_TOKENS = (12, 4, 8, 16, 6, 10, 3, 5)  # users finish at different times
CONTEXT = 16384        # of all users together: 2048 each where every sequence has a stream of its own
CACHES = {"unified": ["-np", "8", "--kv-unified"], "streams": ["-np", "8"]}

# A window much smaller than the preset's, so that these short prompts skip most pairs and a wrong one would show.
PLAN = {"TRIANGLEMIX_WINDOW": 64, "TRIANGLEMIX_LAST": 32}
UBATCHES = (512, 96)  # chunk boundaries of the users alone; the server's own ubatch is the first
KL_FACTOR = 3              # for chunk boundaries that one other sample does not show
MOST_MASKED = 0.10         # of the rows that went through the backend


def requests_of(prompts):
    """Two prompts a user."""
    shared = prompts.prompt(0, SHARED)
    users = []
    for user, length in enumerate(FIRST_LENGTHS):
        first = prompts.prompt(user + 1, length)
        if user >= 4:
            first = shared + first[SHARED:]
        if user % 2:
            second = first + prompts.prompt(user + 20, 100 + 30 * user)
        else:
            second = shared + prompts.prompt(user + 20, 120 + 60 * user)
        users.append((first, second))
    return users


def alone(flags, env, users, n_tokens=None):
    """Answers to every request, one after the other, nothing reused."""
    with Server(flags, env=env) as server:
        return [[server.complete(prompt, n_predict=n_tokens or N_TOKENS[user]) for prompt in requests]
                for user, requests in enumerate(users)]


def together(flags, env, users):
    def both(server, user):
        return [server.complete(prompt, n_predict=N_TOKENS[user], reuse=True) for prompt in users[user]]

    with Server(flags, env=env, context=CONTEXT) as server:
        with concurrent.futures.ThreadPoolExecutor(len(users)) as pool:
            waiting = [pool.submit(both, server, user) for user in range(len(users))]
            answers = [one.result() for one in waiting]
    return answers, server.statistics


def each(*tables):
    """Rows of (user, request, one answer of each table)."""
    for user in range(len(FIRST_LENGTHS)):
        for request in range(2):
            yield (user, request, *(table[user][request] for table in tables))


class ParallelUsers(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        with Server() as server:
            cls.users = requests_of(Prompts(server.tokenize))
        cls.stock = alone(["-fa", "on"], settings.environment(), cls.users)
        # Users together make matrix products of other sizes: stock's own answers to them move, too, by what met what.
        others = [alone(flags, settings.environment(), cls.users) for flags in (["-fa", "off"], ["-fa", "on", "-ub", "48"])]
        others += [together(["-fa", "on", *flags], settings.environment(), cls.users)[0] for flags in CACHES.values()]
        cls.yardstick = measure(pair for other in others for _, _, *pair in each(cls.stock, other))
        print(cls.yardstick, flush=True)

    def check_was_busy(self, answers, counted):
        print(statistics.line(counted), flush=True)
        self.assertIsNotNone(counted, "the backend did not load")
        reused = [request.reused_tokens for user in answers for request in user]
        print(f"tokens reused from the server's cache, by request: {reused}", flush=True)
        self.assertGreater(counted["ubatches"]["several_runs"], 0, "no ubatch held several users: nothing was tested")
        self.assertGreater(max(reused), SHARED // 2, "no prompt was reused: not what this test is for")
        rows = counted["rows"]
        self.assertLessEqual(rows["masked"], MOST_MASKED * sum(rows.values()), counted["masked_rows"])

    def test_exact_mode_gives_each_user_the_stock_answer(self):
        for cache, flags in CACHES.items():
            with self.subTest(cache=cache):
                answers, counted = together(flags, settings.with_backend(), self.users)
                for user, request, stock, ours in each(self.stock, answers):
                    problem, remark = text_problem(stock, ours, self.yardstick)
                    divergence = kl(stock.steps[0], ours.steps[0])
                    print(f"exact, {cache}, user {user} request {request}, {ours.prompt_tokens:4} tokens: first-token KL "
                          f"{divergence:.2e}; {problem or remark}", flush=True)
                    with self.subTest(cache=cache, user=user, request=request):
                        self.assertIsNone(problem)
                        self.assertLessEqual(divergence, self.yardstick.kl_bound)
                self.check_was_busy(answers, counted)
                self.assertEqual(counted["nodes"]["triangle"], 0)

    def test_plan_gives_each_user_what_chunk_boundaries_allow(self):
        plan = settings.with_plan(**PLAN)
        by_ubatch = [alone(["-ub", ubatch], plan, self.users, 1) for ubatch in UBATCHES]
        # Chunks too short for us are the host's, exact: the other end of what boundaries can do.
        exact = alone([], settings.with_backend(), self.users, 1)
        spread = {(user, request): max(kl(reference.steps[0], other.steps[0]) for other in others)
                  for user, request, reference, *others in each(*by_ubatch, exact)}
        plan_cost = sum(kl(right.steps[0], reference.steps[0]) for _, _, right, reference in each(exact, by_ubatch[0]))
        for cache, flags in CACHES.items():
            with self.subTest(cache=cache):
                answers, counted = together(flags, plan, self.users)
                apart = {}
                for user, request, reference, ours in each(by_ubatch[0], answers):
                    apart[user, request] = kl(reference.steps[0], ours.steps[0])
                    bound = KL_FACTOR * spread[user, request] + self.yardstick.kl_bound
                    print(f"plan, {cache}, user {user} request {request}, {ours.prompt_tokens:4} tokens: first-token KL to "
                          f"itself alone {apart[user, request]:.2e}, other chunks {spread[user, request]:.2e}, bound "
                          f"{bound:.2e}", flush=True)
                    with self.subTest(cache=cache, user=user, request=request):
                        self.assertLessEqual(apart[user, request], bound)
                mean, mean_spread = (sum(table.values()) / len(table) for table in (apart, spread))
                print(f"plan, {cache}: mean KL {mean:.2e}, other chunks {mean_spread:.2e}", flush=True)
                self.assertLessEqual(mean, mean_spread + self.yardstick.kl_bound)
                cost = sum(kl(right.steps[0], ours.steps[0]) for _, _, right, ours in each(exact, answers))
                print(f"plan, {cache}: mean KL to exact {cost / len(apart):.2e}, of users alone {plan_cost / len(apart):.2e}",
                      flush=True)
                self.assertLessEqual(cost, 1.5 * plan_cost)  # other boundaries, so not the same
                self.check_was_busy(answers, counted)
                self.assertGreater(counted["nodes"]["triangle"], 0)
                self.assertGreater(counted["runs"]["planned"], counted["nodes"]["triangle"],
                                   "triangle layers held one run each: mixed ubatches were not treated by the plan")
                self.assertGreater(counted["pairs"]["skipped"], 0)


class Holes(unittest.TestCase):
    """A prompt whose cells lie around another user's, in a known order: nothing is left to timing."""

    def test_plan_in_scattered_cells(self):
        flags = ["-np", "4", "--kv-unified", "--cache-ram", "0"]
        plan = settings.with_plan(**PLAN)
        with Server(flags, env=plan) as server:
            prompts = Prompts(server.tokenize)
            first, second, third, late = (prompts.prompt(i, n) for i, n in ((30, 300), (31, 400), (32, 300), (33, 900)))
            longer = late + prompts.prompt(34, 200)
            alone_answer = server.complete(late, slot=3)
        with Server(flags, env=plan) as server:
            for slot, prompt in enumerate((first, second, third)):
                server.complete(prompt, slot=slot)
            hole = server.complete(late, slot=1)          # gives up 400 cells in the middle, needs 900
            reused = server.complete(longer, slot=1, reuse=True)
        counted = server.statistics
        with Server(flags, env=plan) as server:
            server.complete(late, slot=3)
            reused_alone = server.complete(longer, slot=3, reuse=True)
        print(statistics.line(counted), flush=True)
        self.assertGreater(counted["ubatches"]["reordered"], 0, "no prompt lay in scattered cells: nothing was tested")
        self.assertEqual(counted["rows"]["masked"], 0, counted["masked_rows"])
        for name, reference, answer in (("in the hole", alone_answer, hole), ("then reused", reused_alone, reused)):
            divergence = kl(reference.steps[0], answer.steps[0])
            print(f"{name}: {answer.reused_tokens} tokens reused, KL to the same without others {divergence:.2e}", flush=True)
            # Same chunks, other cells: the same pairs in the same order.
            self.assertEqual(divergence, 0.0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
