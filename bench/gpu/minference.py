#!/usr/bin/env python3
"""Vertical-slash attention of one layer of Llama-3.1-8B's shape on an NVIDIA GPU: ours beside MInference's own kernels, in one process.

Both find the lines of each query head anew (512 verticals, 2048 slashes, from the last 64 rows) and attend along them. MInference
runs as its users run it: minference_prefill_forward() of its released package with the pattern of its table for this model, which
takes one head after the other, over keys and values that are repeated for each query head (that is not timed). Its index kernel is
compiled from the package, its attention is the package's Triton kernel. Of the file with that function only what it needs is
executed, as the rest wants a release of transformers of its time.

Keys and queries have planted lines: in each head some keys that all rows look for, a distance at which rows look back, and a
neighbourhood that fades out over some 4000 positions. So most of the 2048 slashes lie near the diagonal, as those of real models do.
What each keeps of the causal pairs is reported, and how far each output is from exact attention on sampled rows.

  cmake --preset release && cmake --build --preset release --target tmx_bench_gpu
  python3 bench/gpu/minference.py --library build/bin/libtmx_bench_gpu.so --minference .deps/minference-0.1.6.0

Exit status 1 if ours is less than --bar times as fast, or further from exact attention.
"""
import argparse
import ast
import importlib
import math
import pathlib
import statistics
import sys
import types

import torch
from ours import Ours
from peers import DIM, HEADS, HEADS_KV, Bench, add_options, race
from torch.utils.cpp_extension import load

VERTICALS, SLASHES = 512, 2048
LAST = 128  # rows at the prompt's end that are dense, in ours
BLOCK = 64  # rows and keys of MInference's blocks


def released_forward(folder):
    """minference_prefill_forward() and the kernel that makes its index, of the unpacked package."""
    package = pathlib.Path(folder) / "minference"
    index = load(name="minference_index", sources=[str(package.parent / "csrc" / name) for name in
                                                   ("kernels.cpp", "vertical_slash_index.cu")])
    # The package's own __init__ imports all of its models; its folders alone are enough for its operators.
    for name, path in (("minference", package), ("minference.ops", package / "ops")):
        module = types.ModuleType(name)
        module.__path__ = [str(path)]
        sys.modules[name] = module
    sys.modules["minference.cuda"] = index
    operators = importlib.import_module("minference.ops.pit_sparse_flash_attention_v2")
    path = package / "modules" / "minference_forward.py"
    wanted = {"sum_all_diagonal_matrix", "minference_prefill_kernel", "minference_prefill_forward", "last_q", "arange",
              "LAST_Q_MASK"}

    def names_of(node):
        if isinstance(node, ast.FunctionDef):
            return {node.name}
        return {target.id for target in node.targets if isinstance(target, ast.Name)} if isinstance(node, ast.Assign) else set()

    body = [node for node in ast.parse(path.read_text()).body if names_of(node) & wanted]
    names = {"torch": torch, "math": math, "vertical_slash_sparse_attention": operators.vertical_slash_sparse_attention,
             "block_sparse_attention": None, "streaming_forward": None}
    exec(compile(ast.Module(body, []), str(path), "exec"), names)
    return names["minference_prefill_forward"], operators


def planted(n):
    """Queries, keys and values with lines to find. Pairs of dimensions turn with the position: those of a neighbourhood slowly, all
    at about the same pace; those of a distance at any pace, so that only where a query looks back do they agree."""
    near, far = 16, 24
    width = 2 * (near + far)
    paces = torch.cat([(0.2 + 0.8 * torch.rand(near, device="cuda")) / 2500, math.pi * torch.rand(far, device="cuda")])
    position = torch.arange(n, device="cuda", dtype=torch.float64)

    def turned(shift, pairs):
        angle = (position - shift)[:, None] * paces[pairs].double()
        return torch.stack([angle.cos(), angle.sin()], 2).flatten(1).float()

    def strength(logit, pairs):
        """Of keys and queries alike, for this logit where all pairs agree."""
        return math.sqrt(logit * math.sqrt(DIM) / pairs)

    slow, fast = slice(0, near), slice(near, near + far)
    neighbourhood = strength(9, near) * turned(0, slow)
    k = torch.randn(n, HEADS_KV, DIM, device="cuda")
    q = torch.randn(n, HEADS, DIM, device="cuda")
    for x in (k, q):
        x[:, :, :width] *= 0.3
        x[:, :, :2 * near] += neighbourhood[:, None]
    k[:, :, 2 * near:width] += strength(7, far) * turned(0, fast)[:, None]
    for head, distance in enumerate(torch.randint(64, n // 2, (HEADS,)).tolist()):
        q[:, head, 2 * near:width] += strength(7, far) * turned(distance, fast)
    for head in range(HEADS_KV):
        direction = torch.randn(DIM - width, device="cuda")
        direction *= strength(8, 1) / direction.norm()
        for first in torch.randint(0, n - 4, (60,)).tolist():  # keys come in short runs
            k[first:first + 4, head, width:] += direction
        group = HEADS // HEADS_KV
        q[:, head * group:(head + 1) * group, width:] += direction
    v = torch.randn(n, HEADS_KV, DIM, device="cuda")
    return q, k.bfloat16(), v.bfloat16()


def distance_from_exact(q, k, v, outputs):
    """Relative distances of outputs [rows, heads, dim] from exact attention, on sampled rows of some heads."""
    n = len(q)
    rows = torch.cat([torch.randint(n // 4, n - LAST, (32,)), torch.tensor([n // 2, n - LAST - 1])]).cuda()
    sums = [0.0] * len(outputs)
    total = 0.0
    for head in range(0, HEADS, 5):
        kv = head // (HEADS // HEADS_KV)
        logits = q[rows, head] @ k[:, kv].float().T / math.sqrt(DIM)
        logits = logits.masked_fill(torch.arange(n, device="cuda") > rows[:, None], -math.inf)
        exact = logits.softmax(1) @ v[:, kv].float()
        total += exact.square().sum().item()
        for i, out in enumerate(outputs):
            sums[i] += (out[rows, head].float() - exact).square().sum().item()
    return [math.sqrt(s / total) for s in sums]


def counted(operators):
    """Makes the package's index kernel count what it keeps; returns the counts so far and how to stop."""
    original = operators.convert_vertical_slash_indexes
    pairs = [0]

    def counting(*arguments):
        result = original(*arguments)
        pairs[0] += BLOCK * (BLOCK * result[0].sum().item() + result[2].sum().item())
        return result

    operators.convert_vertical_slash_indexes = counting
    return pairs, lambda: setattr(operators, "convert_vertical_slash_indexes", original)


def measure(bench, ours, forward, operators, n, options):
    q, k, v = planted(n)
    out = torch.empty_like(q)
    chosen = ours.prepare_selected(n, (0, n), HEADS, HEADS_KV, DIM, "bf16", LAST, "vertical_slash",
                                   [VERTICALS, SLASHES, 0], True)
    pattern = {str(head): ("vertical_and_slash", VERTICALS, SLASHES, 1) for head in range(HEADS)}
    arguments = {"attn_forward_config": {"best_pattern": [pattern]}, "layer_idx": 0, "num_hidden_layers": 1}
    theirs_q = q.bfloat16().transpose(0, 1)[None].contiguous()
    repeated = [x.transpose(0, 1).repeat_interleave(HEADS // HEADS_KV, 0)[None].contiguous() for x in (k, v)]

    def run_theirs():
        return forward(theirs_q, *repeated, arguments)

    pairs, stop = counted(operators)
    theirs = run_theirs()[0].transpose(0, 1)
    stop()
    ours.forward(chosen, q, k, v, out)
    errors = distance_from_exact(q, k, v, [out, theirs])
    ours.count(chosen)
    densities = [ours.density(chosen), pairs[0] / (HEADS * n * (n + 1) / 2)]
    del theirs
    dense = ours.prepare(n, (0, n), HEADS, HEADS_KV, DIM, "bf16", None)
    times = race({"ours": lambda: ours.forward(chosen, q, k, v, out), "selection": lambda: ours.select(chosen, q, k, v),
                  "dense": lambda: ours.forward(dense, q, k, v, out), "theirs": run_theirs}, options.budget_ms)
    median = {name: statistics.median(t) for name, t in times.items()}
    case = f"vertical-slash {VERTICALS}/{SLASHES} planted"
    name = f"{ours.name} bf16"
    bench.record(case, n, "MInference 0.1.6", times["theirs"], None, None, density=densities[1], distance=errors[1])
    bench.record(case, n, name, times["ours"], ours.flops(chosen), ("MInference 0.1.6", median["theirs"]),
                 density=densities[0], distance=errors[0], selection_ms=median["selection"], dense_ms=median["dense"])
    ratio = median["theirs"] / median["ours"]
    good = ratio >= options.bar and errors[0] <= 1.05 * errors[1]
    print(f"  kept {100 * densities[0]:.2f}% and {100 * densities[1]:.2f}%, from exact {errors[0]:.3f} and {errors[1]:.3f}, "
          f"selection {median['selection']:.3f} ms, our dense {median['dense']:.3f} ms{'' if good else ', NOT ENOUGH'}", flush=True)
    for work in (dense, chosen):
        ours.drop(work)
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser, budget_ms=5000)
    parser.add_argument("--minference", required=True, help="the unpacked source package, as scripts/setup.sh leaves it in .deps")
    parser.add_argument("--lengths", type=int, nargs="*", default=[32768, 131072])
    parser.add_argument("--kernel", default="sm90a")
    parser.add_argument("--bar", type=float, default=3, help="how many times as fast ours must be")
    options = parser.parse_args()
    bench = Bench(options)
    forward, operators = released_forward(options.minference)
    ours = Ours(options.library, options.kernel)
    good = True
    with torch.inference_mode():
        for n in options.lengths:
            good = measure(bench, ours, forward, operators, n, options) and good
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
