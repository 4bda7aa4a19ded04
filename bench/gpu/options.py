#!/usr/bin/env python3
"""What options cost one dense attention layer on an NVIDIA GPU, and what skipping saves: our kernels without any, with sink
logits, with a softcap, and with a skip factor on keys of which a known share of blocks lies far below every row's maximum.
All run in turns; a line a case, best and median of the times.

  cmake --preset release && cmake --build --preset release --target tmx_bench_gpu
  python3 bench/gpu/options.py --library build/bin/libtmx_bench_gpu.so
"""
import argparse
import math
import statistics

import torch

from ours import Ours
from peers import event_ms

BLOCK = 128
LOW = -30.0  # the logit of keys that are to be skipped


def plant(q, k, share):
    """Makes the logits of `share` of the blocks of keys low, and those of the others random about 0."""
    n, dim = k.shape[0], k.shape[2]
    q[..., 0] = math.sqrt(dim)
    blocks = torch.arange((n + BLOCK - 1) // BLOCK, device="cuda")
    low = (torch.frac(blocks * 0.6180339887) < share) & (blocks > 0)
    k[..., 0] = torch.where(low.repeat_interleave(BLOCK)[:n, None], LOW, 0.0).to(k.dtype)


def measure(ours, n, heads, heads_kv, dim, kind, rounds):
    dtype = {"f16": torch.float16, "bf16": torch.bfloat16}[kind]
    out = torch.empty(n, heads, dim, device="cuda")
    sinks = torch.randn(heads, device="cuda")
    counts = {}
    ways = {}

    def add(name, share, sink_logit=None, **options):
        q = torch.randn(n, heads, dim, device="cuda")
        k = torch.randn(n, heads_kv, dim, device="cuda").to(dtype)
        v = torch.randn(n, heads_kv, dim, device="cuda").to(dtype)
        plant(q, k, share)
        work = ours.prepare(n, (0, n), heads, heads_kv, dim, kind, None, **options)
        counts[name] = torch.zeros(2, dtype=torch.int64, device="cuda")
        ours.set_options(work, sink_logit, counts[name])
        ways[name] = (work, lambda: ours.forward(work, q, k, v, out))

    add("no option", 0)
    add("sinks", 0, sinks)
    add("softcap", 0, softcap=50.0)
    for share in (0, 0.5, 0.7, 0.9):
        add(f"skip {share:.0%} of the blocks", share, skip_factor=1.0)
    times = {name: [] for name in ways}
    for turn in range(rounds + 1):
        for name, (_, run) in ways.items():
            ms = event_ms(run)
            if turn > 0:  # the first only warms up
                times[name].append(ms)
    for name, (work, _) in ways.items():
        visited, skipped = counts[name].tolist()
        share = f", {skipped / visited:.1%} of the tiles skipped" if visited else ""
        print(f"{ours.name} {kind} d={dim} n={n} {name}: best {min(times[name]):.3f} ms, "
              f"median {statistics.median(times[name]):.3f} ms, "
              f"{ours.flops(work) / min(times[name]) / 1e9:.0f} dense TFLOP/s{share}", flush=True)
        ours.drop(work)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", default="build/bin/libtmx_bench_gpu.so")
    parser.add_argument("--lengths", type=int, nargs="*", default=[8192, 32768])
    parser.add_argument("--kernels", nargs="*", default=["sm90a", "sm80"])
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    for kernel in options.kernels:
        ours = Ours(options.library, kernel)
        for n in options.lengths:
            measure(ours, n, 64, 8, 64, "bf16", options.rounds)   # gpt-oss
            measure(ours, n, 32, 8, 128, "f16", options.rounds)   # Llama-3.1-8B
            measure(ours, n, 16, 8, 256, "f16", options.rounds)   # Gemma 2 9B


if __name__ == "__main__":
    main()
