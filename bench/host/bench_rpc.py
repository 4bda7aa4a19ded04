#!/usr/bin/env python3
"""Time to first token with llama.cpp's RPC over a slow network: stock rpc-servers against ours on hosts without a GPU.

    cmake --build build
    sudo bench/host/bench_rpc.py                         7,500 tokens, links of 1 ms, in docs/results/rpc.jsonl
    sudo bench/host/bench_rpc.py --length 2000 --repeat 1 --out /tmp/rpc.jsonl      a short trial

Two rpc-servers, each in a network namespace of its own behind a delayed link, hold half of the embedded model's layers each; the
main host is a stock llama-server without anything of ours. Both arms' processes are there all the time, and take turns.
All threads of both hosts share this machine: each server gets --threads of them. Exit code 1 if an answer differs from stock's
other than at a near-tie. Nothing else should run on the machine.
"""

import argparse
import contextlib
import os
import pathlib
import statistics
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench"))
sys.path.insert(0, str(ROOT / "tests/host"))

import rowkit  # noqa: E402  (found by the path above)
from delayed_link import DelayedLink  # noqa: E402
from hostkit import settings  # noqa: E402
from hostkit.answer import first_difference, gap, kl  # noqa: E402
from hostkit.prompts import DOCUMENT  # noqa: E402
from hostkit.rpc import RpcServer  # noqa: E402
from hostkit.server import Server  # noqa: E402

ARMS = {"stock": ("CPU", settings.environment), "ours": ("TriangleMixCPU", settings.with_cpu_proxy)}
N_TOKENS = 16
NEAR_TIE = 0.01  # nats, on F16 weights


class Arm:
    """The servers of one arm, started, and its times."""

    def __init__(self, name, links, options, stack):
        device, environment = ARMS[name]
        env = environment(OMP_WAIT_POLICY="passive")
        self.remotes = [stack.enter_context(RpcServer(["-d", device, "-t", options.threads], env, link.there, link.inside))
                        for link in links]
        endpoints = ",".join(remote.endpoint for remote in self.remotes)
        self.server = stack.enter_context(Server(
            ["-fa", "on", "-ub", options.ubatch, "-b", options.ubatch, "--rpc", endpoints, "-ngl", "99", "-ts", "1,1"],
            env=settings.environment(OMP_WAIT_POLICY="passive"), context=options.length + 512, model=settings.sharp_model()))
        self.seconds = []
        self.answer = None

    def ask(self, tokens):
        self.answer = self.server.complete(tokens, n_predict=N_TOKENS, n_probs=100)
        self.seconds.append(self.answer.prompt_ms / 1e3)


def problem_of(stock, ours):
    at = first_difference(stock, ours)
    if at is None:
        return ""
    distance = gap(stock.steps[at], ours.tokens[at])
    return f"token {at} differs by {distance:.4f} nats" if distance > NEAR_TIE else ""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--length", type=int, default=7500, help="tokens of the prompt (default: 7500)")
    parser.add_argument("--ubatch", type=int, default=512, help="the main host's -ub (default: 512)")
    parser.add_argument("--delay-ms", type=float, default=1, help="of each link, each way (default: 1)")
    parser.add_argument("--threads", type=int, default=max(1, (os.cpu_count() or 2) // 2), help="of each rpc-server")
    parser.add_argument("--repeat", type=int, default=3, help="prompts of each arm that count (default: 3)")
    parser.add_argument("--out", default=ROOT / "docs/results/rpc.jsonl", help="file of rows (default: docs/results/rpc.jsonl)")
    options = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("bench_rpc.py: network namespaces and TUN devices need root")
    try:
        store = rowkit.Store(options.out, "length", "ubatch", "delay_ms")
    except rowkit.Refused as refused:
        sys.exit(f"bench_rpc.py: {refused}")
    with contextlib.ExitStack() as stack:
        links = [stack.enter_context(DelayedLink(number, options.delay_ms / 1e3)) for number in (1, 2)]
        arms = {name: Arm(name, links, options, stack) for name in ARMS}
        tokens = arms["stock"].server.tokenize(DOCUMENT.read_text())[:options.length]
        if len(tokens) < options.length:
            sys.exit(f"bench_rpc.py: --length: {DOCUMENT} has only {len(tokens)} tokens")
        for turn in range(options.repeat + 1):  # the first one warms up
            for name, arm in arms.items():
                arm.ask(tokens)
                print(f"turn {turn}, {name}: {arm.seconds[-1]:.2f} s", flush=True)
        counted = [remote.statistics() for remote in arms["ours"].remotes]
        n_ours = sum(sum(each["nodes"].values()) for each in counted)
    stock, ours = (arms[name] for name in ("stock", "ours"))
    problem = problem_of(stock.answer, ours.answer)
    times = {name: statistics.median(arm.seconds[1:]) for name, arm in arms.items()}
    row = {"length": options.length, "ubatch": options.ubatch, "delay_ms": options.delay_ms, "threads": options.threads,
           "model": pathlib.Path(settings.sharp_model()).stem, "stock_s": times["stock"], "ours_s": times["ours"],
           "speedup": times["stock"] / times["ours"], "stock_all_s": stock.seconds[1:], "ours_all_s": ours.seconds[1:],
           "tokens_equal": stock.answer.tokens == ours.answer.tokens, "kl_first": kl(stock.answer.steps[0], ours.answer.steps[0]),
           "nodes_ours": n_ours, "turns": options.repeat} | rowkit.origin()
    store.replace((options.length, options.ubatch, options.delay_ms), [row])
    print(f"{times['stock']:.2f} s stock, {times['ours']:.2f} s ours: {row['speedup']:.2f}x; {problem or 'answers equal'}; "
          f"{n_ours} attention nodes were ours")
    return 1 if problem or n_ours == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
