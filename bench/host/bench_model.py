#!/usr/bin/env python3
"""A larger model's prompt on the CPU: stock llama.cpp's fastest setting beside ours, with matrix products and without.

    cmake --build build --target tmx_bench_arm
    bench/host/bench_model.py -m qwen2.5-coder-0.5b-instruct-q4_k_m.gguf --layers 16-23       8,192 tokens; about 20 minutes
    bench/host/bench_model.py -m q8_0.gguf,q4_k_m.gguf,f16.gguf --layers 16-23                one file after the other
    bench/host/bench_model.py --tokens 1000 --repeat 1 --products off,host --out /tmp/model.jsonl      a short trial

Every run is a process of its own that loads the model, warms up on 128 tokens and takes the time from the first token in
to the first token out. Stock's settings (flash attention on and off, ubatches of 512 and 2048) are tried once on the whole
prompt, the fastest is used and named. Then every repetition runs stock and each way of ours with each way of computing
products, one after the other, so that a slow minute of the machine hits all of them; medians are compared.

Ways: exact, exact-fast, plan, plan-fast (fast: bf16 attention). The plan is --layers, --plan, or the model's own preset.
Products: off (llama.cpp's), host, f32, bf16, or unset, which leaves the choice to the library. A way that does not
compute products as it was told, because this build or CPU has no such way, is left out, and said.

Attention and products are timed inside our nodes, products by type of weights; left_to_host in the rows says why others
stayed the host's (docs/products.md; "memory": llama.cpp keeps the weights repacked). Everything else is the rest of the
time to first token, products included; stock's is that of the exact way with llama.cpp's products, whose code is the same,
so "exact" and "off" have to be among the ways if stock's is to be known. Rows go to docs/results/model.jsonl; tables:
tools/results_to_md.py.

Nothing else should run on the machine.
"""

import argparse
import os
import pathlib
import statistics
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench"))

import armkit  # noqa: E402  (found by the path above)
import rowkit  # noqa: E402
from lists import words_of  # noqa: E402

MODEL = armkit.DEPS / "models" / "SmolLM2-135M-Instruct-Q8_0.gguf"
DOCUMENT = "/usr/share/common-licenses/GPL-3"
WAYS = ("exact", "exact-fast", "plan", "plan-fast")
PRODUCTS = ("off", "host", "f32", "bf16", "unset")
UBATCH = 2048  # ours


def log(text):
    print(text, file=sys.stderr, flush=True)


class Way:
    def __init__(self, name, ubatch, products="off"):
        self.name, self.ubatch, self.products = name, ubatch, products
        self.runs = []

    def is_stock(self):
        return self.name.startswith("stock")

    def label(self):
        return f"{self.name}, ub {self.ubatch}" if self.is_stock() else f"{self.name}, products {self.products}"

    def median(self, key):
        return statistics.median(run[key] for run in self.runs)

    def ttft(self):
        return self.median("ttft_s")

    def rest(self):
        return statistics.median(run["ttft_s"] - run["attention_s"] for run in self.runs)

    def by_type(self):
        """weights and arithmetic -> nodes, seconds and GFLOP/s of one prompt, medians."""
        done = [{f"{one['weights']} {one['arithmetic']}": one for one in run["products"]["computed"]} for run in self.runs]
        return {name: {"nodes": one["nodes"],
                       "seconds": round(statistics.median(run[name]["seconds"] for run in done), 4),
                       "gflops": round(statistics.median(run[name]["flops"] / run[name]["seconds"] for run in done) / 1e9, 1)}
                for name, one in done[0].items()}


class Bench:
    def __init__(self, arguments, model, document):
        self.arguments, self.model, self.document = arguments, model, document
        self.arm = armkit.program(arguments.build)

    def run(self, way):
        a = self.arguments
        command = [self.arm, "-m", self.model, "-t", a.threads, "--ubatch", way.ubatch, "--way", way.name,
                   "--document", self.document, "--tokens", a.tokens, "--answer", a.answer]
        if way.name.startswith("plan"):
            command += ["--layers", a.layers] if a.layers else ["--plan", a.plan] if a.plan else []
        run = armkit.last_json(command, None if way.products == "unset" else way.products)
        log(f"  {way.label():36} {run['ttft_s']:8.2f} s")
        return run

    def fastest_stock(self):
        tries = []
        for setting in armkit.STOCK_SETTINGS:
            way = Way(setting["way"], setting["ubatch"])
            tries.append((self.run(way)["ttft_s"], way))
        return min(tries, key=lambda one: one[0])[1]

    def measure(self):
        """Stock and our ways with their runs, all by the same build."""
        a = self.arguments
        log("trying stock's settings")
        ways = [self.fastest_stock()]
        ways += [Way(name, UBATCH, products) for name in a.ways for products in a.products]
        for repetition in range(a.repeat):
            log(f"repetition {repetition + 1} of {a.repeat}")
            for way in list(ways):
                run = self.run(way)
                if not way.is_stock() and way.products not in ("unset", run["products"]["way"]):
                    log(f"    left out: its products are {run['products']['way']}")
                    ways.remove(way)
                else:
                    way.runs.append(run)
        return ways


def equal_tokens(a, b):
    return next((n for n, (left, right) in enumerate(zip(a, b)) if left != right), min(len(a), len(b)))


def rows_of(arguments, model, ways):
    stock = ways[0]
    plain = next((way for way in ways if way.name == "exact" and way.products == "off"), None)
    stock_rest = plain.rest() if plain else None
    rows = []
    for order, way in enumerate(ways):
        first = way.runs[0]
        if way.is_stock():
            attention = stock.ttft() - stock_rest if plain else None
            rest, products, by_type = stock_rest, None, {}
        else:
            attention, rest = way.median("attention_s"), way.rest()
            products, by_type = first["products"]["way"], way.by_type()
        times = [run["ttft_s"] for run in way.runs]
        rows.append({
            "case": "model", "order": order, "model": pathlib.Path(model).name, "n_prompt": first["n_prompt"],
            "way": "stock" if way.is_stock() else way.name, "asked": None if way.is_stock() else way.products,
            "products": products,
            "setting": f"fa {'off' if way.name == 'stock' else 'on'}, ub {way.ubatch}",
            "ttft_s": round(way.ttft(), 4), "ttft_min_s": round(min(times), 4), "ttft_max_s": round(max(times), 4),
            "speedup": round(stock.ttft() / way.ttft(), 3),
            "attention_s": attention and round(attention, 4), "rest_s": rest and round(rest, 4),
            "rest_speedup": round(stock_rest / rest, 3) if rest else None,
            "products_s": round(sum(one["seconds"] for one in by_type.values()), 4) if by_type else None,
            "by_type": by_type,
            "by_type_text": ", ".join(f"{name} {one['seconds']:.2f} s at {one['gflops']:.0f}"
                                      for name, one in sorted(by_type.items(), key=lambda x: -x[1]["seconds"])) or None,
            "left_to_host": None if way.is_stock() else sorted(first["products"]["declined"]),
            "kept_share": first.get("kept_share"),
            "equal_tokens": equal_tokens(first["tokens"], stock.runs[0]["tokens"]),
            "answer_tokens": len(stock.runs[0]["tokens"]),
            "layers": (arguments.layers or arguments.plan or "preset") if way.name.startswith("plan") else None,
            "threads": arguments.threads, "repeat": len(times), "document": arguments.document,
            "ggml": first["ggml"], "date": rowkit.now(), "machine": armkit.machine_name(), "commit": first["commit"],
            "command": rowkit.command()})
    return rows


def show(rows):
    print(f"\n{rows[0]['model']}, {rows[0]['n_prompt']} tokens, {rows[0]['threads']} threads; seconds\n")
    print(f"{'way':12} {'products':9} {'TTFT':>8} {'against stock':>14} {'attention':>10} {'the rest':>9} {'against stock':>14} "
          f"{'products':>9}  by type of weights (GFLOP/s)")
    for row in rows:
        def number(key, form):
            return "-" if row[key] is None else form.format(row[key])
        print(f"{row['way']:12} {row['products'] or row['setting']:9} {row['ttft_s']:8.2f} {row['speedup']:13.2f}x "
              f"{number('attention_s', '{:.2f}'):>10} {number('rest_s', '{:.2f}'):>9} {number('rest_speedup', '{:.2f}x'):>14} "
              f"{number('products_s', '{:.2f}'):>9}  {row['by_type_text'] or ''}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-m", "--model", default=str(MODEL), help="GGUF files, comma-separated (default: the embedded model)")
    parser.add_argument("--tokens", type=int, default=8192, help="of the prompt (default 8192)")
    parser.add_argument("--ways", type=words_of(WAYS), default=["exact", "plan-fast"], help="default exact,plan-fast")
    parser.add_argument("--products", type=words_of(PRODUCTS), default=["off", "host", "bf16"], help="default off,host,bf16")
    parser.add_argument("--layers", help="triangle layers of the plan, e.g. 16-23")
    parser.add_argument("--plan", help="plan file or preset:NAME (default: the preset made for the model)")
    parser.add_argument("--document", default=DOCUMENT, help=f"text, repeated or cut to the length (default {DOCUMENT})")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--answer", type=int, default=16, help="tokens to generate and compare with stock's")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--build", default=str(ROOT / "build"))
    parser.add_argument("--out", default=str(ROOT / "docs/results/model.jsonl"), help="rows of the model and length are replaced there")
    arguments = parser.parse_args()

    begin = time.monotonic()
    store = rowkit.Store(arguments.out, "model", "n_prompt")
    models = arguments.model.split(",")
    with tempfile.TemporaryDirectory() as folder:
        document = armkit.long_document(arguments.document, arguments.tokens, folder)
        for number, model in enumerate(models):
            log(f"{model} ({number + 1} of {len(models)}, {(time.monotonic() - begin) / 60:.0f} minutes so far)")
            rows = rows_of(arguments, model, Bench(arguments, model, document).measure())
            store.replace((rows[0]["model"], rows[0]["n_prompt"]), rows)
            show(rows)
    log(f"rows in {arguments.out}, {(time.monotonic() - begin) / 60:.0f} minutes; tables: tools/results_to_md.py")


if __name__ == "__main__":
    try:
        main()
    except (armkit.Failure, rowkit.Refused, OSError) as problem:
        log(f"error: {problem}")
        sys.exit(1)
    except KeyboardInterrupt:
        log("interrupted; models that were done are kept")
        sys.exit(130)
