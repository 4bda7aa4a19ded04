#!/usr/bin/env python3
"""One attention layer of Llama-3.1-8B's shape on an NVIDIA GPU: our CUDA kernels beside PyTorch's, in one process.

Dense cuDNN (bf16, causal), FlexAttention with the Triangle mask (bf16, compiled), and ours (f16 and bf16 keys and values,
f32 queries and outputs as ggml has them), run in turns. TFLOP/s count kept pairs only. Also measured: the card's copy
bandwidth and matrix product, our error against double precision on sampled rows beside a plain same-precision
implementation's, and Triangle prefill in ubatches. With --minference, the Triton kernel that the paper's authors released
runs in turns with the others; with --stock, stock ggml's own dense kernel is measured too, in ubatches as llama.cpp runs it,
before and after ours at each length. One JSON line a measurement goes to --out, in place of older ones.

  cmake --preset release && cmake --build --preset release --target tmx_bench_gpu
  python3 bench/gpu/peers.py --library build/bin/libtmx_bench_gpu.so \
    --stock build/bin/tmx_bench_stock_layer --llama .deps/llama-build-cuda/bin

Exit status 1 if a kernel's error is larger than it may be.
"""
import argparse
import importlib.util
import json
import math
import os
import pathlib
import statistics
import subprocess
import sys
import time

import torch
import torch.nn.functional as F

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import rowkit  # noqa: E402  (found by the path above)
from ours import Ours, encoded  # noqa: E402

HEADS, HEADS_KV, DIM = 32, 8, 128
BAND = (8, 512, 128)  # sink, window, last: the paper's
STOCK_UBATCH = 2048
STOCK = f"ggml-cuda ub {STOCK_UBATCH}"
LAUNCH_CYCLES = 1_000_000  # of the device: half a millisecond, in which a call's launches are made
FLEX = "FlexAttention"
TRITON = "MInference Triton"


def event_ms(run):
    """Milliseconds on the device. It is kept busy until all launches wait, as on a host that runs ahead: what launching
    takes is not the kernels' time."""
    torch.cuda._sleep(LAUNCH_CYCLES)
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    run()
    end.record()
    end.synchronize()
    return start.elapsed_time(end)


def race(ways, budget_ms):
    """Times of each way, run in turns; `ways` is {name: function}. More rounds of short ones."""
    for run in ways.values():
        run()
    torch.cuda.synchronize()
    once = sum(event_ms(run) for run in ways.values())
    rounds = max(3, min(30, int(budget_ms / once)))
    times = {name: [] for name in ways}
    for _ in range(rounds):
        for name, run in ways.items():
            times[name].append(event_ms(run))
    return times


def released_triangle(folder):
    """The Triangle attention in MInference's package (its source distribution, unpacked), as its own models call it."""
    path = pathlib.Path(folder) / "minference/ops/streaming_kernel.py"
    spec = importlib.util.spec_from_file_location("streaming_kernel", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sink, window, last = BAND
    config = {"attn_forward_config": {"n_init": sink, "n_local": window, "n_last": last}}
    return lambda q, k, v: module.tri_shape_kernel(q, k, v, config)


def add_options(parser, budget_ms):
    """The options that every script with a Bench has."""
    parser.add_argument("--library", default="build/bin/libtmx_bench_gpu.so")
    parser.add_argument("--budget-ms", type=float, default=budget_ms, help="measuring time of one race")
    parser.add_argument("--out", default="", help="a file of rows; those of the same cases are replaced")
    parser.add_argument("--driver", default="unknown")


class Bench:
    """Ends the script where its rows must not go to options.out."""

    def __init__(self, options):
        self.options = options
        self.rows = []
        try:
            self.store = rowkit.Store(options.out, "case")
        except rowkit.Refused as refused:
            raise SystemExit(f"error: {refused}") from refused
        self.n_wrong = 0
        torch.manual_seed(int(time.time()))
        self.facts = {"device": torch.cuda.get_device_name(), "torch": torch.__version__,
                      "cudnn": torch.backends.cudnn.version(), "driver": options.driver, "commit": rowkit.commits.source_commit(),
                      "command": rowkit.command(), "date": rowkit.now()}

    def keep(self, row):
        self.rows.append(row | self.facts)
        self.store.replace(row["case"], [other for other in self.rows if other["case"] == row["case"]])

    def tensors(self, n, bf16):
        kind = torch.bfloat16 if bf16 else torch.float16
        q = torch.randn(n, HEADS, DIM, device="cuda")
        k = torch.randn(n, HEADS_KV, DIM, device="cuda").to(kind)
        v = torch.randn(n, HEADS_KV, DIM, device="cuda").to(kind)
        return q, k, v, torch.empty_like(q)

    def record(self, case, n, kernel, times, flops, baseline=None, **more):
        times = sorted(times)
        ms = statistics.median(times)
        row = {"case": case, "tokens": n, "heads": HEADS, "heads_kv": HEADS_KV, "dim": DIM, "kernel": kernel,
               "reps": len(times), "median_ms": ms, "p10_ms": times[len(times) // 10],
               "p90_ms": times[-1 - len(times) // 10], "tflops": flops / ms / 1e9 if flops else None}
        if baseline:
            row["baseline"], row["ratio"] = baseline[0], baseline[1] / ms
        row.update(more)
        self.keep(row)
        ratio = f"{row['ratio']:7.2f}x {row['baseline']}" if baseline else ""
        speed = f"{row['tflops']:7.0f}" if flops else "      -"
        others = "".join(f"{more[key]:7.2f}x {name}" for key, name in
                         (("ratio_flex", FLEX), ("ratio_triton", TRITON), ("ratio_stock", "stock")) if key in more)
        print(f"{case:<26}{n:>8} {kernel:<18}{ms:>10.3f} ms{speed} {ratio}{others}", flush=True)
        return ms

    def ceilings(self):
        source = torch.randn(1 << 30, device="cuda")
        target = torch.empty_like(source)
        times = race({"copy": lambda: target.copy_(source)}, 60)["copy"]
        ms = self.record("copy", 0, "cudaMemcpy", times, 0, gb_per_s=2 * source.nbytes / statistics.median(times) / 1e6)
        print(f"  copy {2 * source.nbytes / ms / 1e6:.0f} GB/s")
        del source, target
        a = torch.randn(8192, 8192, device="cuda").bfloat16()
        b = torch.randn(8192, 8192, device="cuda").bfloat16()
        self.record("gemm 8192 bf16", 0, "cuBLAS", race({"gemm": lambda: a @ b}, 60)["gemm"], 2 * 8192.0**3)

    def stock(self, n):
        """Milliseconds of stock ggml's dense layer, a few rounds in a process of its own."""
        command = [self.options.stock, "--tokens", str(n), "--ubatch", str(STOCK_UBATCH), "--rounds", "3"]
        environment = dict(os.environ, LD_LIBRARY_PATH=self.options.llama)
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
        return json.loads(done.stdout)["ms"]

    def check(self, ours, n, bf16, band):
        """Largest error on sampled rows, ours and plain's, against double precision."""
        q, k, v, out = self.tensors(n, bf16)
        out.fill_(math.nan)
        work = ours.prepare(n, (0, n), HEADS, HEADS_KV, DIM, "bf16" if bf16 else "f16", band)
        ours.forward(work, q, k, v, out)
        torch.cuda.synchronize()
        ours.drop(work)
        if not torch.isfinite(out).all():
            raise RuntimeError(f"unwritten or wrong output at {n}")
        sample = torch.cat([torch.randint(0, n, (24,)), torch.tensor([0, 1, 31, 32, 511, 512, 543, n - 129, n - 128,
                                                                       n - 1])]).cuda()
        position = torch.arange(n, device="cuda")
        i, j = sample[:, None], position[None, :]
        kept = j <= i
        if band:
            sink, window, last = band
            kept &= (j < sink) | (i - j < window) | (i >= n - last)
        worst = [0.0, 0.0]
        total = [0.0, 0.0, 0.0]
        for head in range(0, HEADS, 5):
            kv = head // (HEADS // HEADS_KV)
            results = []
            for exact in (True, False):
                kind = torch.float64 if exact else k.dtype
                qs, ks, vs = q[sample, head], k[:, kv], v[:, kv]
                s = (qs.to(kind).to(torch.float64) @ ks.double().T) / math.sqrt(DIM)
                s = s.masked_fill(~kept, -math.inf)
                if not exact:
                    s = s.float()
                p = torch.exp(s - s.max(dim=1, keepdim=True).values)
                results.append((p.to(kind).double() @ vs.double()) / p.double().sum(1, keepdim=True))
            exact, plain = results
            mine = out[sample, head].double()
            worst[0] = max(worst[0], (mine - exact).abs().max().item())
            worst[1] = max(worst[1], (plain - exact).abs().max().item())
            total[0] += (mine - exact).square().sum().item()
            total[1] += (plain - exact).square().sum().item()
            total[2] += exact.square().sum().item()
        relative = [math.sqrt(t / total[2]) for t in total[:2]]
        name = f"{'triangle' if band else 'dense'} {n} {'bf16' if bf16 else 'f16'}"
        good = relative[0] <= 2 * relative[1] and worst[0] <= 2 * worst[1]
        print(f"  error {name:<24} ours {worst[0]:.2e} plain {worst[1]:.2e}; relative {relative[0]:.2e} "
              f"{relative[1]:.2e} {'fine' if good else 'TOO LARGE'}", flush=True)
        self.n_wrong += not good
        self.keep({"case": "error", "what": name, "tokens": n, "kernel": ours.name, "max_error": worst[0],
                   "max_error_plain": worst[1], "relative_error": relative[0], "relative_error_plain": relative[1],
                   "good": good})

    def check_peer(self, n, triton, flex):
        """Both peers compute the same thing, so that the times beside each other are of the same work."""
        far = (triton.float() - flex.float()).norm().item() / flex.float().norm().item()
        print(f"  {TRITON} and {FLEX} at {n}: relative difference {far:.1e}", flush=True)
        if not far < 0.02:  # bf16 weights and outputs: about 0.004
            raise RuntimeError(f"{TRITON} computes something else than {FLEX}")

    def lengths(self, kernels):
        from torch.nn.attention import SDPBackend, sdpa_kernel
        from torch.nn.attention.flex_attention import create_block_mask, flex_attention

        flex = torch.compile(flex_attention, dynamic=False)
        released = released_triangle(self.options.minference) if self.options.minference else None
        for n in self.options.lengths:
            q, k, v, out = self.tensors(n, False)
            kb, vb = k.bfloat16(), v.bfloat16()
            ways, flops = {}, {}
            works = []
            caches = {"f16": (k, v), "bf16": (kb, vb)}
            if n == max(self.options.lengths):
                for kind in ("q8_0", "q4_0"):
                    caches[kind] = (encoded(kind, n, HEADS_KV, DIM), encoded(kind, n, HEADS_KV, DIM))
            for label, ours in kernels.items():
                for kind, (keys, values) in caches.items():
                    if label == "sm80" and kind != "f16":
                        continue
                    for case, band in (("dense", None), ("triangle", BAND)):
                        if case == "dense" and (label == "sm80" and n > 32768 or kind[0] == "q"):
                            continue
                        work = ours.prepare(n, (0, n), HEADS, HEADS_KV, DIM, kind, band)
                        works.append((ours, work))
                        ways[f"{case}|{label} {kind}"] = (
                            lambda o=ours, w=work, a=keys, b=values: o.forward(w, q, a, b, out))
                        flops[case] = ours.flops(work)
            if not self.options.no_peers:
                qb = q.bfloat16().transpose(0, 1)[None].contiguous()
                kt, vt = (x.transpose(0, 1)[None].contiguous() for x in (kb, vb))
                ke, ve = (x.repeat_interleave(HEADS // HEADS_KV, dim=1) for x in (kt, vt))

                def cudnn():
                    with sdpa_kernel(SDPBackend.CUDNN_ATTENTION):
                        return F.scaled_dot_product_attention(qb, ke, ve, is_causal=True)

                def kept(b, h, i, j):
                    return (j <= i) & ((j < BAND[0]) | (i - j < BAND[1]) | (i >= n - BAND[2]))

                block_mask = torch.compile(create_block_mask)(kept, None, None, n, n, device="cuda")
                ways["dense|cuDNN"] = cudnn
                ways[f"triangle|{FLEX}"] = lambda: flex(qb, kt, vt, block_mask=block_mask, enable_gqa=True)
                if released:  # it wants keys and values repeated for each query head; that is not timed
                    ways[f"triangle|{TRITON}"] = lambda: released(qb, ke, ve)
                    self.check_peer(n, released(qb, ke, ve)[0], ways[f"triangle|{FLEX}"]()[0])
            # Dense and Triangle apart: after a second of dense work the card is slower for a while.
            times = {}
            stock = self.stock(n) if self.options.stock else []
            for case in ("dense", "triangle"):
                times |= race({name: run for name, run in ways.items() if name.startswith(case)},
                              self.options.budget_ms)
                if case == "dense" and stock:
                    times[f"dense|{STOCK}"] = stock + self.stock(n)
            median = {name: statistics.median(t) for name, t in times.items()}
            for name, t in times.items():
                case, kernel = name.split("|")
                baseline, more = None, {}
                if kernel != "cuDNN" and "dense|cuDNN" in median:
                    baseline = ("dense cuDNN", median["dense|cuDNN"])
                for peer, key in ((FLEX, "ratio_flex"), (TRITON, "ratio_triton")):
                    if case == "triangle" and f"triangle|{peer}" in median:
                        more[key] = median[f"triangle|{peer}"] / median[name]
                if stock and kernel != STOCK:
                    more["ratio_stock"] = median[f"dense|{STOCK}"] / median[name]
                self.record(case, n, kernel, t, flops[case], baseline, **more)
            for ours, work in works:
                ours.drop(work)

    def ubatches(self, ours, n, case, band):
        q, k, v, out = self.tensors(n, False)
        ways = {}
        works = []
        for ubatch in self.options.ubatches + [n]:
            chunks = [(b, min(b + ubatch, n)) for b in range(0, n, ubatch)]
            made = [(c, ours.prepare(n, c, HEADS, HEADS_KV, DIM, "f16", band)) for c in chunks]
            works += [w for _, w in made]

            def run(made=made):
                for (begin, end), work in made:
                    ours.forward(work, q[begin:end], k, v, out[begin:end])
            ways[str(ubatch)] = run
        times = race(ways, self.options.budget_ms)
        one = statistics.median(times[str(n)])
        for ubatch, t in times.items():
            self.record(f"{case} ubatch {ubatch}", n, ours.name + " f16", t, None, ("one launch", one))
        for work in works:
            ours.drop(work)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser, budget_ms=3000)
    parser.add_argument("--lengths", type=int, nargs="*", default=[8192, 32768, 65536, 131072])
    parser.add_argument("--check-lengths", type=int, nargs="*", default=[8192, 65536, 131072])
    parser.add_argument("--ubatches", type=int, nargs="*", default=[2048, 4096])
    parser.add_argument("--kernels", nargs="*", default=["sm90a", "sm80"], help="those that the card cannot run are left out")
    parser.add_argument("--no-peers", action="store_true", help="only our kernels")
    parser.add_argument("--minference", default="", help="MInference's source package, unpacked: its Triton kernel, too")
    parser.add_argument("--stock", default="", help="tmx_bench_stock_layer, to measure stock ggml's kernel too")
    parser.add_argument("--llama", default=".deps/llama-build-cuda/bin", help="with --stock: a llama.cpp build with CUDA")
    options = parser.parse_args()
    bench = Bench(options)
    kernels = {}
    for name in options.kernels:
        try:
            kernels[name] = Ours(options.library, name)
        except RuntimeError as refused:
            print(f"{name} is left out: {refused}", flush=True)
    if not kernels:
        raise SystemExit("error: this card can run none of the kernels")
    bench.ceilings()
    for ours in kernels.values():
        for n in options.check_lengths:
            for bf16 in (False, True):
                bench.check(ours, n, bf16, BAND)
                bench.check(ours, n, bf16, None)
    if options.lengths:
        bench.lengths(kernels)
        if options.ubatches:
            first = next(iter(kernels.values()))
            bench.ubatches(first, max(options.lengths), "triangle", BAND)
    return 1 if bench.n_wrong else 0


if __name__ == "__main__":
    sys.exit(main())
