#!/usr/bin/env python3
"""The same GGUF and the same prompt through stock llama.cpp, TriangleMix and OpenVINO GenAI, in turn, on this machine.

    scripts/setup.sh --peers && cmake --build build --target tmx_bench_arm
    bench/peers/compare.py                       about 35 minutes on two cores, rows to docs/results/peers.jsonl
    bench/peers/compare.py --no-tuning --tokens 1000 --repeat 1 --out /tmp/peers.jsonl      a short trial
    bench/peers/compare.py -m model.gguf --tokens 16384 --plan plan.json --only 'fast arithmetic, products|bf16'
                                                 another model and plan, the ways whose names the expression finds

Every run is a process of its own that loads the model, warms up on 128 tokens, and then takes the time from the first
token in to the first token out. Engines get the token ids of one tokenisation. Runs alternate between the ways, so that
a slow minute of the machine hits all of them; medians are compared. First each engine's settings are tried once on that
same prompt (attention's share grows with the length, so a shorter one would tell little), and the fastest is used and
named: flash attention and ubatch for stock, chunk and KV cache type for OpenVINO. With --settings they are kept in a file,
where the next run on that prompt finds them; --repeat 0 does nothing else. Rows are written after every repetition.

Ours run with llama.cpp's matrix products (TRIANGLEMIX_PRODUCTS=off), with ours in the host's arithmetic (host), and the fast
ways as they come, with nothing set.

Share of attention: ours is timed inside our nodes. Stock computes everything else by the same code as our exact way with
its products, so its attention is what remains. OpenVINO does not tell; its dense ways are also run on half the prompt, and
the part of the time that grows with the square of the length counts as attention; its sparse ways are taken to spend the
same on everything else as the dense way of that precision.

At the end stand two ratios for each of ours: how much faster everything but attention is than stock's, and the time to
first token beside OpenVINO's way of the same kind (dense, or its sparse way that --peer names, f32 or bf16). What has no
reference among the ways measured is left open. A way of OpenVINO's that fails is left out, and said.

Nothing else should run on the machine.
"""

import argparse
import json
import os
import pathlib
import re
import statistics
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "bench"))

import rowkit  # noqa: E402  (found by the path above)
from armkit import (  # noqa: E402
    DEPS, STOCK_SETTINGS, Failure, last_json, long_document, machine_name, products_of, program)

MODEL = DEPS / "models" / "SmolLM2-135M-Instruct-Q8_0.gguf"
DOCUMENT = "/usr/share/common-licenses/GPL-3"
QUESTION = "What is the name of this license?"

OPENVINO_SETTINGS = [
    {"chunk": chunk, "kv": kv} for kv in ("f16", "u8") for chunk in (512, 2048, 0)
]
# products None: what the library does where nothing is set. peer: OpenVINO's way of the same kind; sparse: that of --peer.
OUR_WAYS = [
    {"name": "exact", "way": "exact", "products": "off", "peer": "dense f32"},
    {"name": "exact, products", "way": "exact", "products": "host", "peer": "dense f32"},
    {"name": "exact, fast arithmetic", "way": "exact-fast", "products": "off", "peer": "dense bf16"},
    {"name": "exact, fast arithmetic, products", "way": "exact-fast", "products": None, "peer": "dense bf16"},
    {"name": "TriangleMix", "way": "plan", "products": "off", "peer": "sparse f32"},
    {"name": "TriangleMix, products", "way": "plan", "products": "host", "peer": "sparse f32"},
    {"name": "TriangleMix, fast arithmetic", "way": "plan-fast", "products": "off", "peer": "sparse bf16"},
    {"name": "TriangleMix, fast arithmetic, products", "way": "plan-fast", "products": None, "peer": "sparse bf16"},
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
        self.commit = self.ggml = None  # of the build, which may be older than the checkout
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
        document, cut = a.document, ["--question", a.question]
        if a.tokens:
            document, cut = long_document(a.document, a.tokens, self.folder), ["--tokens", a.tokens]
        log(f"tokenising {a.document}")
        made = last_json(self.our_command("exact", 512, "--document", document, *cut, "--write-ids", whole))
        self.commit, self.ggml = made["commit"], made["ggml"]
        store.check(self.commit)
        ids = whole.read_text().split()
        (self.folder / "half.ids").write_text("\n".join(ids[: len(ids) // 2]) + "\n")
        return len(ids)

    def best(self, engine, name, fixed, candidates, n_prompt):
        a = self.arguments
        if a.no_tuning:
            return Way(engine, name, {**fixed, **candidates[0]})
        known = known_settings(a.settings)
        key = f"{engine}: {name}, {pathlib.Path(a.model).name}, {n_prompt} tokens, {a.threads} threads, {machine_name()}"
        if key not in known:
            tries = []
            for candidate in candidates:
                way = Way(engine, f"{name} {candidate}", {**fixed, **candidate})
                tries.append((self.run(way, self.folder / "whole.ids")["ttft_s"], candidate))
            known[key] = min(tries, key=lambda t: t[0])[1]
            if a.settings:
                pathlib.Path(a.settings).write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
        return Way(engine, name, {**fixed, **known[key]})


def known_settings(path):
    """Way, prompt and machine -> the settings that were fastest, as an earlier run wrote them."""
    return json.loads(pathlib.Path(path).read_text(encoding="utf-8")) if path and pathlib.Path(path).exists() else {}


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
        dense = by_name.get(f"dense {way.settings['precision']}")
        if dense is None:
            continue
        half = statistics.median(run["ttft_s"] for run in dense.half)
        quadratic = 2 * dense.ttft() - 4 * half  # of a N + b N^2: b N^2
        if way is dense:
            parts[way.label()] = (quadratic, "fitted")
        else:
            parts[way.label()] = (way.ttft() - (dense.ttft() - quadratic), "fitted")
    # On short prompts a difference of two noisy times can come out below zero; then it says nothing.
    return {label: part for label, part in parts.items() if part[0] > 0}


def chosen_ways(bench, n_prompt):
    """Every way that is wanted, with its settings."""
    a = bench.arguments

    def wanted(engine, name):
        return re.search(a.only, f"{engine}: {name}") is not None

    log("choosing settings")
    ways = []
    if wanted("llama.cpp", "stock"):
        ways.append(bench.best("llama.cpp", "stock", {}, STOCK_SETTINGS, n_prompt))
    for spec in OUR_WAYS:
        peer = spec["peer"].replace("sparse", a.peer.upper())
        if wanted("TriangleMix", spec["name"]):
            settings = {"way": spec["way"], "ubatch": 2048, "products": spec["products"], "peer": peer}
            ways.append(Way("TriangleMix", spec["name"], settings))
    for spec in OPENVINO_WAYS:
        if a.no_openvino or not wanted("OpenVINO GenAI", spec["name"]):
            continue
        fixed = {key: spec[key] for key in ("precision", "sparse")}
        try:
            ways.append(bench.best("OpenVINO GenAI", spec["name"], fixed, OPENVINO_SETTINGS, n_prompt))
        except Failure as failure:
            log(f"    left out: OpenVINO {spec['name']}: {failure}")
    if not ways:
        raise Failure(f"no way's name has {a.only} in it")
    return ways


def repetition(bench, ways):
    """One run of every way. One of OpenVINO's that fails is taken out of the list."""
    whole, half = bench.folder / "whole.ids", bench.folder / "half.ids"
    for way in list(ways):
        try:
            runs = [(way.runs, bench.run(way, whole))]
            if way.settings.get("sparse") == "dense":
                runs.append((way.half, bench.run(way, half)))
            for kept, run in runs:
                kept.append(run)
        except Failure as failure:
            if way.engine != "OpenVINO GenAI":
                raise
            log(f"    left out: {failure}")
            ways.remove(way)


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


def plan_name(arguments):
    """None: the model's preset."""
    return arguments.plan and pathlib.Path(arguments.plan).name


def rows_of(bench, n_prompt, ways):
    arguments = bench.arguments
    parts = attention_parts(ways)
    stock = next((way for way in ways if way.name == "stock"), None)
    peers = {way.name: way for way in ways if way.engine == "OpenVINO GenAI"}
    exact = stock or next((way for way in ways if way.name.startswith("exact")), None)
    dense = next((way for way in ways if way.settings.get("sparse") == "dense"), None)
    references = {"llama.cpp": stock, "TriangleMix": exact, "OpenVINO GenAI": dense}
    rows = []
    for order, way in enumerate(ways):
        times = [run["ttft_s"] for run in way.runs]
        attention, how = parts.get(way.label(), (None, None))
        first = way.runs[0]
        reference = references[way.engine].runs[0]["tokens"] if references[way.engine] else None
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
                "speedup": ratio(stock.ttft(), way.ttft()) if stock else None,
                "attention_s": None if attention is None else round(attention, 4),
                "attention_share": None if attention is None else round(attention / way.ttft(), 4),
                "rest_s": None if attention is None else round(way.ttft() - attention, 4),
                "rest_speedup": ratio(rest_of(stock, parts), rest_of(way, parts)) if stock else None,
                "products": products,
                "products_s": None if products_s is None else round(products_s, 4),
                "peer": peer.name if peer else None,
                "peer_speedup": ratio(peer.ttft(), way.ttft()) if peer else None,
                "attention_how": how,
                "equal_tokens": None if reference is None else equal_tokens(first["tokens"], reference),
                "answer_tokens": None if reference is None else len(reference),
                "kept_share": first.get("kept_share"),
                "decode_tokens_per_s": first["decode_tokens_per_s"],
                "version": first.get("version") or f"ggml {bench.ggml}",
                "model": pathlib.Path(arguments.model).name,
                "plan": plan_name(arguments),
                "document": arguments.document,
                "date": rowkit.now(),
                "machine": machine_name(),
                "commit": bench.commit,
                "command": rowkit.command(),
            }
        )
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-m", "--model", default=str(MODEL))
    parser.add_argument("--document", default=DOCUMENT)
    parser.add_argument("--question", default=QUESTION)
    parser.add_argument("--tokens", type=int, default=0, help="cut or repeat the document to so many tokens, no question")
    parser.add_argument("--plan", help="plan file or preset (default: the preset made for the model)")
    parser.add_argument("--only", default="", metavar="REGEX",
                        help="of the ways, as 'OpenVINO GenAI: dense bf16', those in which this is found")
    parser.add_argument("--peer", choices=["xattention", "trishape"], default="xattention",
                        help="OpenVINO's sparse way that ours are put beside")
    parser.add_argument("--settings", metavar="FILE", help="where each engine's fastest settings are kept")
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
    store = rowkit.Store(arguments.out, "model", "n_prompt", "plan")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(arguments, pathlib.Path(folder))
        n_prompt = bench.write_ids(store)
        ways = chosen_ways(bench, n_prompt)
        for number in range(arguments.repeat):
            log(f"repetition {number + 1} of {arguments.repeat}")
            repetition(bench, ways)
            rows = rows_of(bench, n_prompt, ways)
            store.replace((pathlib.Path(arguments.model).name, n_prompt, plan_name(arguments)), rows)
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
        log("interrupted; whole repetitions are kept")
        sys.exit(130)
