#!/usr/bin/env python3
"""Attention over blocks that are selected on the device, one layer of Llama-3.1-8B's shape on an NVIDIA GPU.

The trivial method (every stride-th block of 128 keys) fixes the density. Measured in turns, in one process: dense attention;
selection, walks and attention together; selection and walks alone; attention alone over the same walks. The figure that
counts is attention / (density x dense): what blocks cost beside as many pairs of dense attention. One JSON line a measurement
goes to --out, in place of older ones.

A call that selects must not wait for the device: behind a dense layer that keeps it busy, the call is timed on the host, and the
stream must still be busy when it returns.

  cmake --preset release && cmake --build --preset release --target tmx_bench_gpu
  python3 bench/gpu/selected.py --library build/bin/libtmx_bench_gpu.so

Exit status 1 if a call waited, or if attention takes more than --bar times what its density asks for.
"""
import argparse
import statistics
import sys
import time

import torch
from ours import Ours
from peers import DIM, HEADS, HEADS_KV, Bench, race

import rowkit

LAST = 128  # rows at the prompt's end that keep everything


def waits_for_nothing(ours, dense, chosen, q, k, v, out):
    """Whether the call comes back while the device is busy; and its time on the host, in microseconds."""
    torch.cuda.synchronize()
    ours.forward(dense, q, k, v, out)
    begin = time.perf_counter()
    ours.forward(chosen, q, k, v, out)
    host_us = 1e6 * (time.perf_counter() - begin)
    busy = not torch.cuda.current_stream().query()
    torch.cuda.synchronize()
    return busy, host_us


def measure(bench, ours, n, kind, options):
    q, k, v, out = bench.tensors(n, kind == "bf16")
    dense = ours.prepare(n, (0, n), HEADS, HEADS_KV, DIM, kind, None)
    chosen = ours.prepare_selected(n, (0, n), HEADS, HEADS_KV, DIM, kind, LAST, options.stride, options.per_query_head)
    times = race({"dense": lambda: ours.forward(dense, q, k, v, out),
                  "selected": lambda: ours.forward(chosen, q, k, v, out),
                  "selection": lambda: ours.select(chosen, q, k, v),
                  "attention": lambda: ours.forward_again(chosen, q, k, v, out)}, options.budget_ms)
    median = {name: statistics.median(t) for name, t in times.items()}
    busy, host_us = waits_for_nothing(ours, dense, chosen, q, k, v, out)
    density = ours.density(chosen)
    cost = median["attention"] / (density * median["dense"])
    facts = {"method": "stride", "stride": options.stride, "per_query_head": options.per_query_head,
             "density": density, "selection_ms": median["selection"], "attention_ms": median["attention"],
             "selection_share": median["selection"] / median["selected"], "attention_by_density": cost,
             "host_us": host_us, "returned_while_busy": busy}
    name = f"{ours.name} {kind}"
    bench.record(f"dense beside selected {kind}", n, name, times["dense"], ours.flops(dense))
    bench.record(f"selected stride {options.stride} {kind}", n, name, times["selected"], ours.flops(chosen),
                 ("dense", median["dense"]), **facts)
    print(f"  density {100 * density:.2f}%, attention {median['attention']:.3f} ms = {cost:.3f} x density x dense, selection and "
          f"walks {median['selection']:.3f} ms = {100 * facts['selection_share']:.1f}% of the whole; the call took {host_us:.0f} us "
          f"on the host, {'the device was still busy' if busy else 'THE CALL WAITED'}", flush=True)
    for work in (dense, chosen):
        ours.drop(work)
    return busy and cost <= options.bar


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", default="build/bin/libtmx_bench_gpu.so")
    parser.add_argument("--lengths", type=int, nargs="*", default=[32768, 131072])
    parser.add_argument("--types", nargs="*", default=["bf16", "f16"])
    parser.add_argument("--kernels", nargs="*", default=["sm90a"])
    parser.add_argument("--stride", type=int, default=10, help="every so many-th block")
    parser.add_argument("--per-query-head", action="store_true", help="lists for each query head, not for each group")
    parser.add_argument("--budget-ms", type=float, default=6000, help="measuring time of one race")
    parser.add_argument("--bar", type=float, default=1.3, help="most that attention / (density x dense) may be")
    parser.add_argument("--out", default="", help="a file of rows; those of the same cases are replaced")
    parser.add_argument("--driver", default="unknown")
    options = parser.parse_args()
    try:
        bench = Bench(options)
    except rowkit.Refused as refused:
        raise SystemExit(f"error: {refused}") from refused
    good = True
    for kernel in options.kernels:
        ours = Ours(options.library, kernel)
        for n in options.lengths:
            for kind in options.types:
                good = measure(bench, ours, n, kind, options) and good
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
