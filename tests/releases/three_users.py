"""Three users at once on one stock llama-server, exactly and by a plan, beside the same server without us: JSON on stdout.

Run by built_hosts.py, a process for each host, which TMX_HOST_LLAMA_BIN names; tests/host has the long form of it.
"""

import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "host"))

from hostkit import settings  # noqa: E402  (found by the path above)
from hostkit.answer import kl  # noqa: E402
from hostkit.prompts import Prompts  # noqa: E402
from hostkit.server import Server  # noqa: E402
from hostkit.yardstick import measure, text_problem  # noqa: E402

LENGTHS = (250, 700, 1000)
TURNS = 2
N_TOKENS = 8
FLAGS = ["-fa", "on", "-np", "3", "--kv-unified"]
PLAN = {"TRIANGLEMIX_WINDOW": "64", "TRIANGLEMIX_LAST": "32", "TRIANGLEMIX_STRICT": "1"}
KL_FACTOR = 3  # for chunk boundaries that one other sample does not show


class Wrong(Exception):
    pass


def require(holds, text):
    if not holds:
        raise Wrong(text)


def asked(server):
    prompts = Prompts(server.tokenize)
    return [[prompts.prompt(user + 3 * turn, length) for user, length in enumerate(LENGTHS)] for turn in range(TURNS)]


def answers(flags, env, together):
    """A list of the users' answers for each turn, and the statistics."""
    with Server(flags, env=env, context=8192) as server:
        got = [server.complete_all(prompts, n_predict=N_TOKENS) if together else
               [server.complete(tokens, n_predict=N_TOKENS) for tokens in prompts] for prompts in asked(server)]
    return [answer for turn in got for answer in turn], server.statistics


def furthest(references, others):
    return max(kl(reference.steps[0], other.steps[0]) for reference, other in zip(references, others))


def check_exact(stock, yardstick):
    got, counted = answers(FLAGS, settings.with_backend(), True)
    require(counted is not None, "the backend did not load")
    require(counted["nodes"]["dense"] > 0 and counted["nodes"]["triangle"] == 0, f"nodes: {counted['nodes']}")
    require(counted["fallbacks"] == {} and counted["masked_rows"] == {}, f"{counted['fallbacks']} {counted['masked_rows']}")
    require(counted["ubatches"]["several_runs"] > 0, "no ubatch held several users: nothing was tested")
    for reference, answer in zip(stock, got):
        problem, _ = text_problem(reference, answer, yardstick)
        require(problem is None, problem)
    furthest_kl = furthest(stock, got)
    require(furthest_kl <= yardstick.kl_bound, f"first-token KL {furthest_kl:.1e}, bound {yardstick.kl_bound:.1e}")
    return furthest_kl


def check_plan(yardstick):
    alone, _ = answers(FLAGS, settings.with_plan(**PLAN), False)
    others, _ = answers([*FLAGS, "-ub", "96"], settings.with_plan(**PLAN), False)  # other chunk boundaries
    exact, _ = answers(FLAGS, settings.with_backend(), False)
    got, counted = answers(FLAGS, settings.with_plan(**PLAN), True)
    require(counted["nodes"]["triangle"] > 0 and counted["pairs"]["skipped"] > 0, f"nodes: {counted['nodes']}")
    require(counted["fallbacks"] == {}, f"{counted['fallbacks']}")
    require(counted["ubatches"]["several_runs"] > 0, "no ubatch held several users: nothing was tested")
    for user, (reference, answer) in enumerate(zip(alone, got)):
        spread = max(kl(reference.steps[0], other[user].steps[0]) for other in (others, exact))
        bound = KL_FACTOR * spread + yardstick.kl_bound
        distance = kl(reference.steps[0], answer.steps[0])
        require(distance <= bound, f"answer {user} by plan: first-token KL {distance:.1e} to itself alone, bound {bound:.1e}")
    pairs = counted["pairs"]
    return pairs["kept"] / (pairs["kept"] + pairs["skipped"])


def main():
    stock, _ = answers(FLAGS, settings.environment(), False)
    # Users together make matrix products of other sizes, which the small ubatch stands for.
    others = [answers(flags, settings.environment(), False)[0] for flags in (["-fa", "off", *FLAGS[2:]], [*FLAGS, "-ub", "48"])]
    yardstick = measure(pair for other in others for pair in zip(stock, other))
    exact_kl = check_exact(stock, yardstick)
    print(json.dumps({"exact_kl": exact_kl, "kl_bound": yardstick.kl_bound, "plan_pairs": check_plan(yardstick)}))


if __name__ == "__main__":
    try:
        main()
    except Wrong as wrong:
        sys.exit(f"error: {wrong}")
