#!/usr/bin/env python3
"""The same GGUF and the same prompt through stock llama.cpp, TriangleMix and OpenVINO GenAI, in turn, on this machine.

    scripts/setup.sh --peers && cmake --build build --target tmx_bench_arm
    bench/peers/compare.py                       about 35 minutes on two cores, rows to docs/results/peers.jsonl
    bench/peers/compare.py --no-tuning --tokens 1000 --repeat 1 --out /tmp/peers.jsonl      a short trial

Every run is a process of its own that loads the model, warms up on 128 tokens, and then takes the time from the first
token in to the first token out. Engines get the token ids of one tokenisation. Runs alternate between the ways, so that
a slow minute of the machine hits all of them; medians are compared. First each engine's settings are tried once on that
same prompt (attention's share grows with the length, so a shorter one would tell little), and the fastest is used and
named: flash attention and ubatch for stock, chunk and KV cache type for OpenVINO.

Ours run with llama.cpp's matrix products (TRIANGLEMIX_PRODUCTS=off), with ours in the host's arithmetic (host), and the fast
ways as they come, with nothing set.

Share of attention: ours is timed inside our nodes. Stock computes everything else by the same code as our exact way with
its products, so its attention is what remains. OpenVINO does not tell; its dense ways are also run on half the prompt, and
the part of the time that grows with the square of the length counts as attention; its sparse ways are taken to spend the
same on everything else as the dense way of that precision.

At the end stand two ratios for each of ours: how much faster everything but attention is than stock's, and the time to
first token beside OpenVINO's way of the same kind (dense or XATTENTION, f32 or bf16).

Nothing else should run on the machine.
"""

import argparse
import os
import pathlib
import statistics
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "bench"))

import rowkit  # noqa: E402  (found by the path above)
from armkit import DEPS, STOCK_SETTINGS, Failure, last_json, machine_name, products_of, program  # noqa: E402

MODEL = DEPS / "models" / "SmolLM2-135M-Instruct-Q8_0.gguf"
DOCUMENT = "/usr/share/common-licenses/GPL-3"
QUESTION = "What is the name of this license?"

OPENVINO_SETTINGS = [
    {"chunk": chunk, "kv": kv} for kv in ("f16", "u8") for chunk in (512, 2048, 0)
]
# products None: what the library does where nothing is set. peer: OpenVINO's way of the same kind.
OUR_WAYS = [
    {"name": "exact", "way": "exact", "products": "off", "peer": "dense f32"},
    {"name": "exact, products", "way": "exact", "products": "host", "peer": "dense f32"},
    {"name": "exact, fast arithmetic", "way": "exact-fast", "products": "off", "peer": "dense bf16"},
    {"name": "exact, fast arithmetic, products", "way": "exact-fast", "products": None, "peer": "dense bf16"},
    {"name": "TriangleMix", "way": "plan", "products": "off", "peer": "XATTENTION f32"},
    {"name": "TriangleMix, products", "way": "plan", "products": "host", "peer": "XATTENTION f32"},
    {"name": "TriangleMix, fast arithmetic", "way": "plan-fast", "products": "off", "peer": "XATTENTION bf16"},
    {"name": "TriangleMix, fast arithmetic, products", "way": "plan-fast", "products": None, "peer": "XATTENTION bf16"},
]
OPENVINO_WAYS = [
    {"name": "dense f32", "precision": "f32", "sparse": "dense"},
    {"name": "dense bf16", "precision": "bf16", "sparse": "dense"},
    {"name": "TRISHAPE f32", "precision": "f32", "sparse": "trishape"},
    {"name": "TRISHAPE bf16", "precision": "bf16", "sparse": "trishape"},
    {"name": "XATTENTION f32", "precision": "f32", "sparse": "xattention"},
    {"name": "XATTENTION bf16", "precision": "bf16", "sparse": "xattention"},
]


def log(text):
    print(text, file=sys.stderr, flush=True)


class Way:
    """One engine with one way of computing, its settings fixed before the measurement."""

    def __init__(self, engine, name, settings):
        self.engine, self.name, self.settings = engine, name, settings
        self.runs, self.half = [], []

    def label(self):
        return f"{self.engine}: {self.name}"

    def ttft(self):
        return statistics.median(run["ttft_s"] for run in self.runs)


class Bench:
    def __init__(self, arguments, folder):
        self.arguments, self.folder = arguments, folder
        self.arm = program(arguments.build)
        self.python = DEPS / "peers" / "bin" / "python"
        if not self.python.exists() and not arguments.no_openvino:
            raise Failure("OpenVINO GenAI is not installed: scripts/setup.sh --peers (or leave it out: --no-openvino)")

    def our_command(self, way, ubatch, *rest):
        a = self.arguments
        command = [self.arm, "-m", a.model, "-t", a.threads, "--ubatch", ubatch, "--way", way, "--answer", a.answer]
        if a.plan and way.startswith("plan"):
            command += ["--plan", a.plan]
        return [*command, *rest]

    def run(self, way, ids):
        s = way.settings
        if way.engine == "OpenVINO GenAI":
            command = [self.python, ROOT / "bench" / "peers" / "openvino_arm.py", "--model", self.arguments.model,
                       "--ids", ids, "--precision", s["precision"], "--sparse", s["sparse"], "--chunk", s["chunk"],
                       "--kv", s["kv"], "--threads", self.arguments.threads, "--answer", self.arguments.answer]
            result = last_json(command)
        else:
            result = last_json(self.our_command(s["way"], s["ubatch"], "--ids", ids), s.get("products", "off"))
        log(f"  {way.label():48} {result['n_prompt']:6} tokens  {result['ttft_s']:8.2f} s")
        return result

    def write_ids(self, store):
        """Token ids of the prompt and of its first half."""
        a = self.arguments
        whole = self.folder / "whole.ids"
        cut = ["--tokens", a.tokens] if a.tokens else ["--question", a.question]
        log(f"tokenising {a.document}")
        made = last_json(self.our_command("exact", 512, "--document", a.document, *map(str, cut), "--write-ids", str(whole)))
        store.check(made["commit"])  # of the build, which may be older than the checkout
        ids = whole.read_text().split()
        (self.folder / "half.ids").write_text("\n".join(ids[: len(ids) // 2]) + "\n")
        return len(ids)

    def best(self, engine, name, fixed, candidates):
        if self.arguments.no_tuning:
            return Way(engine, name, {**fixed, **candidates[0]})
        tries = []
        for candidate in candidates:
            way = Way(engine, f"{name} {candidate}", {**fixed, **candidate})
            tries.append((self.run(way, self.folder / "whole.ids")["ttft_s"], candidate))
        return Way(engine, name, {**fixed, **min(tries, key=lambda t: t[0])[1]})


def equal_tokens(a, b):
    """Leading tokens in which two answers agree."""
    n = 0
    while n < min(len(a), len(b)) and a[n] == b[n]:
        n += 1
    return n


def attention_parts(ways):
    """way label -> (attention seconds, how it is known)"""
    parts = {}
    by_name = {way.name: way for way in ways}
    for way in ways:
        if way.engine == "TriangleMix":
            parts[way.label()] = (statistics.median(run["attention_s"] for run in way.runs), "timed")
    exact = by_name.get("exact")  # with stock's products
    stock = by_name.get("stock")
    if exact and stock:
        rest = exact.ttft() - parts[exact.label()][0]
        parts[stock.label()] = (stock.ttft() - rest, "by difference")
    for way in ways:
        if way.engine != "OpenVINO GenAI":
            continue
        dense = by_name[f"dense {way.settings['precision']}"]
        half = statistics.median(run["ttft_s"] for run in dense.half)
        quadratic = 2 * dense.ttft() - 4 * half  # of a N + b N^2: b N^2
        if way is dense:
            parts[way.label()] = (quadratic, "fitted")
        else:
            parts[way.label()] = (way.ttft() - (dense.ttft() - quadratic), "fitted")
    # On short prompts a difference of two noisy times can come out below zero; then it says nothing.
    return {label: part for label, part in parts.items() if part[0] > 0}


def measure(arguments, folder, store):
    bench = Bench(arguments, folder)
    n_prompt = bench.write_ids(store)
    whole, half = folder / "whole.ids", folder / "half.ids"

    log("choosing settings")
    ways = [bench.best("llama.cpp", "stock", {}, STOCK_SETTINGS)]
    for spec in OUR_WAYS:
        settings = {"way": spec["way"], "ubatch": 2048, "products": spec["products"], "peer": spec["peer"]}
        ways.append(Way("TriangleMix", spec["name"], settings))
    if not arguments.no_openvino:
        for spec in OPENVINO_WAYS:
            fixed = {key: spec[key] for key in ("precision", "sparse")}
            ways.append(bench.best("OpenVINO GenAI", spec["name"], fixed, OPENVINO_SETTINGS))

    for repetition in range(arguments.repeat):
        log(f"repetition {repetition + 1} of {arguments.repeat}")
        for way in ways:
            way.runs.append(bench.run(way, whole))
            if way.settings.get("sparse") == "dense":
                way.half.append(bench.run(way, half))
    return n_prompt, ways


def rest_of(way, parts):
    """Seconds of everything but attention, where they are known."""
    part = parts.get(way.label())
    return None if part is None else way.ttft() - part[0]


def ratio(reference, ours):
    """How many times faster ours is; None where either is not known, or is noise about zero."""
    return round(reference / ours, 3) if reference and ours and min(reference, ours) > 0 else None


def print_ratios(rows):
    for row in rows:
        if row["engine"] != "TriangleMix":
            continue
        rest = f"{row['rest_speedup']:.2f}x stock's" if row["rest_speedup"] else "not known"
        peer = f", TTFT {row['peer_speedup']:.2f}x of OpenVINO {row['peer']}" if row["peer_speedup"] else ""
        log(f"{row['way']:40} (products {row['products']}): everything but attention {rest}{peer}")


def rows_of(arguments, n_prompt, ways):
    parts = attention_parts(ways)
    stock = ways[0]
    peers = {way.name: way for way in ways if way.engine == "OpenVINO GenAI"}
    commit = stock.runs[0]["commit"]
    ggml = stock.runs[0]["ggml"]
    references = {"llama.cpp": stock, "TriangleMix": stock}
    for way in ways:
        if way.name == "dense f32":
            references["OpenVINO GenAI"] = way
    rows = []
    for order, way in enumerate(ways):
        times = [run["ttft_s"] for run in way.runs]
        attention, how = parts.get(way.label(), (None, None))
        first = way.runs[0]
        reference = references[way.engine].runs[0]["tokens"]
        shown = {key: value for key, value in way.settings.items()
                 if key not in ("precision", "sparse", "products", "peer")}
        peer = peers.get(way.settings.get("peer"))
        products, products_s = products_of(first)
        if "chunk" in shown and not shown["chunk"]:
            shown["chunk"] = "whole prompt"
        rows.append(
            {
                "case": "peers",
                "order": order,
                "engine": way.engine,
                "way": way.name,
                "settings": ", ".join(f"{key} {value}" for key, value in shown.items() if key != "way")
                + (", flash attention " + ("on" if way.settings["way"] == "stock-fa" else "off")
                   if way.engine == "llama.cpp" else ""),
                "n_prompt": n_prompt,
                "threads": arguments.threads,
                "repeat": len(times),
                "ttft_s": round(statistics.median(times), 4),
                "ttft_min_s": round(min(times), 4),
                "ttft_max_s": round(max(times), 4),
                "speedup": round(stock.ttft() / way.ttft(), 3),
                "attention_s": None if attention is None else round(attention, 4),
                "attention_share": None if attention is None else round(attention / way.ttft(), 4),
                "rest_s": None if attention is None else round(way.ttft() - attention, 4),
                "rest_speedup": ratio(rest_of(stock, parts), rest_of(way, parts)),
                "products": products,
                "products_s": None if products_s is None else round(products_s, 4),
                "peer": peer.name if peer else None,
                "peer_speedup": ratio(peer.ttft(), way.ttft()) if peer else None,
                "attention_how": how,
                "equal_tokens": equal_tokens(first["tokens"], reference),
                "answer_tokens": len(reference),
                "kept_share": first.get("kept_share"),
                "decode_tokens_per_s": first["decode_tokens_per_s"],
                "version": first.get("version") or f"ggml {ggml}",
                "model": pathlib.Path(arguments.model).name,
                "document": arguments.document,
                "date": rowkit.now(),
                "machine": machine_name(),
                "commit": commit,
                "command": rowkit.command(),
            }
        )
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=str(MODEL))
    parser.add_argument("--document", default=DOCUMENT)
    parser.add_argument("--question", default=QUESTION)
    parser.add_argument("--tokens", type=int, default=0, help="cut the document to so many tokens, no question")
    parser.add_argument("--plan", help="plan file or preset (default: the preset made for the model)")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--answer", type=int, default=16, help="tokens to generate and compare")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--no-tuning", action="store_true",
                        help="use the first setting of each engine, which may not be its fastest: not for docs/results")
    parser.add_argument("--no-openvino", action="store_true")
    parser.add_argument("--build", default=str(ROOT / "build"))
    parser.add_argument("--out", default=str(ROOT / "docs" / "results" / "peers.jsonl"), help="its rows are replaced")
    arguments = parser.parse_args()
    if arguments.no_tuning and rowkit.commits.is_published(arguments.out):
        parser.error("--no-tuning is for trials: name a file with --out")

    begin = time.monotonic()
    store = rowkit.Store(arguments.out, "case")
    with tempfile.TemporaryDirectory() as folder:
        n_prompt, ways = measure(arguments, pathlib.Path(folder), store)
    rows = rows_of(arguments, n_prompt, ways)
    store.replace("peers", rows)
    print_ratios(rows)
    log(f"{len(rows)} rows in {arguments.out}, {(time.monotonic() - begin) / 60:.0f} minutes")
    log("tables: tools/results_to_md.py")


if __name__ == "__main__":
    try:
        main()
    except (Failure, rowkit.Refused) as failure:
        log(f"error: {failure}")
        sys.exit(1)
    except KeyboardInterrupt:
        log("interrupted; nothing was written")
        sys.exit(130)
