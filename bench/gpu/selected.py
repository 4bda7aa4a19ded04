#!/usr/bin/env python3
"""Attention over blocks that a method selects on the device, one layer of Llama-3.1-8B's shape on an NVIDIA GPU.

A case is a method with values of its parameters, "NAME" or "NAME:PARAMETER=VALUE:...": "xattention:stride=8:keep=0.1". keep fixes
the density; without it the method's own rule decides, and of made keys and queries the density that comes out means little. These
have some structure: each block of keys has a centre, and stretches of queries look for the centres of a few blocks.

Measured in turns, in one process: dense attention; selection, walks and attention together; selection and walks alone; attention
alone over the same walks; and selection and walks once more, in a loop of their own. The figures that count are selection's time, and
attention / (density x dense): what blocks cost beside as many pairs of dense attention. Behind a quarter of a second of attention the
card's clock is a seventh lower, so selection's two times differ; the bound is on its own loop's. One JSON line a measurement goes to
--out, in place of older ones.

A call that selects must not wait for the device: behind a dense layer that keeps it busy, the call is timed on the host, and the
stream must still be busy when it returns.

  cmake --preset release && cmake --build --preset release --target tmx_bench_gpu
  python3 bench/gpu/selected.py --library build/bin/libtmx_bench_gpu.so

Exit status 1 if a call waited, if a selection at 128K tokens takes longer than the method may, or if attention takes more than --bar
times what its density asks for.
"""
import argparse
import statistics
import sys
import time

import torch
from ours import Ours
from peers import DIM, HEADS, HEADS_KV, Bench, add_options, race

LAST = 128  # rows at the prompt's end that keep everything
# Parameters of each method in their order with their usual values, whether its lists are made for each query head, and the most
# milliseconds that a selection of 128K rows may take on an H100.
METHODS = {
    "stride": ({"stride": 10}, False, 1),
    "means": ({"alpha": 0.1, "keep": 0, "reference": 0}, False, 2.5),
    "prism": ({"p": 0.95, "keep": 0, "reference": 0}, True, 1.5),
    "xattention": ({"stride": 16, "tau": 0.9, "keep": 0, "reference": 0}, True, 9),
    "flexprefill": ({"gamma": 0.95, "tau": 0.1, "min_budget": 1024, "max_budget": 0, "reference": 0}, True, 2),
    "vertical_slash": ({"vertical": 512, "slash": 2048, "reference": 0}, True, 0.8),
}
CASES = ["stride", "means", "means:keep=0.1", "prism", "prism:keep=0.1", "xattention", "xattention:keep=0.1",
         "flexprefill", "vertical_slash"]


def case_of(text):
    """(name, values, per query head, most milliseconds) of a case as --cases has it."""
    name, *settings = text.split(":")
    if name not in METHODS:
        raise argparse.ArgumentTypeError(f"{name}: expected one of {', '.join(METHODS)}")
    usual, per_query_head, most_ms = METHODS[name]
    values = dict(usual)
    for setting in settings:
        parameter, _, value = setting.partition("=")
        if parameter not in values:
            raise argparse.ArgumentTypeError(f"{name} has no parameter {parameter}")
        values[parameter] = float(value)
    return text, name, values, per_query_head, most_ms


def structured(n, kind):
    """Queries, keys, values and an output, with something to select."""
    kind = torch.bfloat16 if kind == "bf16" else torch.float16
    blocks = (n + 127) // 128
    centres = torch.randn(blocks, HEADS_KV, DIM, device="cuda")
    k = torch.randn(n, HEADS_KV, DIM, device="cuda") + centres.repeat_interleave(128, 0)[:n]
    q = torch.randn(n, HEADS, DIM, device="cuda")
    stretch = 64
    first = torch.arange(0, n, stretch, device="cuda")
    for _ in range(3):
        # Of the blocks before it, and of each head, one that the stretch looks for.
        wanted = (torch.rand(len(first), HEADS, device="cuda") * (first[:, None] // 128 + 1)).long()
        of_group = torch.arange(HEADS, device="cuda") // (HEADS // HEADS_KV)
        q += 0.5 * centres[wanted, of_group].repeat_interleave(stretch, 0)[:n]
    v = torch.randn(n, HEADS_KV, DIM, device="cuda").to(kind)
    return q, k.to(kind), v, torch.empty_like(q)


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


def measure(bench, ours, n, kind, case, tensors, options):
    text, method, values, per_query_head, most_ms = case
    q, k, v, out = tensors
    dense = ours.prepare(n, (0, n), HEADS, HEADS_KV, DIM, kind, None)
    before = ours.memory()
    chosen = ours.prepare_selected(n, (0, n), HEADS, HEADS_KV, DIM, kind, LAST, method, list(values.values()), per_query_head)
    memory = ours.memory() - before
    times = race({"dense": lambda: ours.forward(dense, q, k, v, out),
                  "selected": lambda: ours.forward(chosen, q, k, v, out),
                  "selection": lambda: ours.select(chosen, q, k, v),
                  "attention": lambda: ours.forward_again(chosen, q, k, v, out)}, options.budget_ms)
    times |= race({"selection alone": lambda: ours.select(chosen, q, k, v)}, options.budget_ms / 4)
    median = {name: statistics.median(t) for name, t in times.items()}
    busy, host_us = waits_for_nothing(ours, dense, chosen, q, k, v, out)
    ours.count(chosen)
    density = ours.density(chosen)
    cost = median["attention"] / (density * median["dense"])
    facts = {"method": method, "values": values, "per_query_head": per_query_head, "density": density,
             "selection_ms": median["selection alone"], "selection_behind_attention_ms": median["selection"],
             "attention_ms": median["attention"],
             "selection_share": median["selection"] / median["selected"], "attention_by_density": cost,
             "memory_mb": memory / 1e6, "host_us": host_us, "returned_while_busy": busy}
    name = f"{ours.name} {kind}"
    bench.record(f"dense beside selected {kind}", n, name, times["dense"], ours.flops(dense))
    bench.record(f"selected {text} {kind}", n, name, times["selected"], ours.flops(chosen), ("dense", median["dense"]), **facts)
    slow = n == 131072 and median["selection alone"] > most_ms
    print(f"  density {100 * density:.2f}%, attention {median['attention']:.3f} ms = {cost:.3f} x density x dense, selection and "
          f"walks {median['selection alone']:.3f} ms{f', MORE THAN {most_ms} ms' if slow else ''}; behind attention "
          f"{median['selection']:.3f} ms = {100 * facts['selection_share']:.1f}% of the whole; {memory / 1e6:.0f} MB; the call took "
          f"{host_us:.0f} us on the host, {'the device was still busy' if busy else 'THE CALL WAITED'}", flush=True)
    for work in (dense, chosen):
        ours.drop(work)
    return busy and cost <= options.bar and not slow


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser, budget_ms=2500)
    parser.add_argument("--lengths", type=int, nargs="*", default=[32768, 131072])
    parser.add_argument("--types", nargs="*", default=["bf16", "f16"])
    parser.add_argument("--kernels", nargs="*", default=["sm90a"])
    parser.add_argument("--cases", type=case_of, nargs="*", default=[case_of(text) for text in CASES])
    parser.add_argument("--bar", type=float, default=1.3, help="most that attention / (density x dense) may be")
    options = parser.parse_args()
    bench = Bench(options)
    good = True
    for kernel in options.kernels:
        ours = Ours(options.library, kernel)
        for n in options.lengths:
            for kind in options.types:
                tensors = structured(n, kind)
                for case in options.cases:
                    good = measure(bench, ours, n, kind, case, tensors, options) and good
                del tensors
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
