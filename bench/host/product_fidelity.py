#!/usr/bin/env python3
"""How near to the truth a prompt's arithmetic is: stock llama.cpp and ours, with each way of matrix products.

    bench/host/product_fidelity.py                                              about 15 minutes on two quiet cores
    bench/host/product_fidelity.py --lengths 500,600 --next 2 --products off,host --precisions exact \\
        --out /tmp/product_fidelity.jsonl                                       a short trial

The truth is stock llama.cpp with the same weights as f32 (made by llama-quantize), flash attention off and an f32 cache:
nothing is rounded but f32 sums. Against it stand stock on the file itself, flash attention off and on, and ours with every
way of products (off, host, f32, bf16) and both precisions of attention; and the truth with flash attention on, which shows
how much is the rounding of f32 alone. Prompts of mixed kinds are asked of an unmodified llama-server, nothing cached.

The first token's distribution is compared, and those of the next tokens, each arm being given the truth's own tokens. KL is
KL(truth || arm) in nats over the 500 most likely tokens, all others as one. A way that does not compute products as it was
told is left out, and said; on weights that a way does not take it is what "off" is, and "nodes" says 0.

Rows go to docs/results/product_fidelity.jsonl; tables: tools/results_to_md.py.
"""

import argparse
import collections
import pathlib
import statistics
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/host"), str(ROOT / "bench")]

import rowkit  # noqa: E402  (found by the path above)
from lists import numbers, words_of  # noqa: E402
from hostkit import process, settings  # noqa: E402
from hostkit.answer import kl  # noqa: E402
from hostkit.prompts import Prompts  # noqa: E402
from hostkit.server import Server, ServerFailed  # noqa: E402

MODELS = [settings.DEPS / "models" / f"SmolLM2-135M-Instruct-{weights}.gguf" for weights in ("F16", "Q8_0")]
PRODUCTS = ("off", "host", "f32", "bf16")
PRECISIONS = ("exact", "fast")
MIN_ROWS = 64  # products are taken from there on, wherever this CPU would begin to gain by it

TRUTH_FLAGS = ["-fa", "off", "-ctk", "f32", "-ctv", "f32"]

Arm = collections.namedtuple("Arm", "name flags environment products precision")


def arms(arguments):
    chosen = [Arm("f32 weights, -fa on", ["-fa", "on", *TRUTH_FLAGS[2:]], settings.environment(), None, None),
              Arm("stock, -fa off", ["-fa", "off"], settings.environment(), None, None),
              Arm("stock, -fa on", ["-fa", "on"], settings.environment(), None, None)]
    for precision in arguments.precisions:
        for products in arguments.products:
            environment = settings.with_backend(TRIANGLEMIX_PRECISION=precision, TRIANGLEMIX_PRODUCTS=products,
                                                TRIANGLEMIX_PRODUCTS_MIN_ROWS=MIN_ROWS)
            chosen.append(Arm("ours", ["-fa", "on"], environment, products, precision))
    return chosen


def as_f32(model):
    """The same weights as f32, made once for a build folder."""
    made = settings.LIBRARY_DIR.parent / "host-tests" / f"{model.stem}-as-F32.gguf"
    if not made.exists() or made.stat().st_mtime < model.stat().st_mtime:
        print(f"making {made.name}", flush=True)
        made.parent.mkdir(parents=True, exist_ok=True)
        partial = made.with_suffix(".partial")
        process.run([settings.program("llama-quantize"), "--allow-requantize", model, partial, "F32", settings.THREADS],
                    timeout=600)
        partial.rename(made)
    return made


def distributions(server, prompt, following):
    """The first token's distribution and those after each of `following`. The prompt is evaluated once; what follows is
    added to the server's cache a token at a time."""
    answers = [server.complete(prompt)]
    for n in range(1, len(following) + 1):
        answers.append(server.complete(prompt + following[:n], reuse=True))
    return [answer.steps[0] for answer in answers]


def truth_of(model, arguments):
    """[(prompt, the truth's next tokens, distributions)]"""
    found = []
    with Server(TRUTH_FLAGS, model=str(model)) as server:
        prompts = Prompts(server.tokenize)
        for number, length in enumerate(arguments.lengths):
            prompt = prompts.prompt(number, length)
            following = server.complete(prompt, n_predict=arguments.next).tokens if arguments.next else []
            found.append((prompt, following, distributions(server, prompt, following)))
    return found


def measure(arm, model, truth):
    """(KLs of first tokens, KLs of next tokens, positions with the same top token, statistics of the backend)"""
    first, following_kl, same_top = [], [], 0
    with Server(arm.flags, env=arm.environment, model=str(model)) as server:
        for prompt, following, reference in truth:
            steps = distributions(server, prompt, following)
            divergences = [kl(a, b) for a, b in zip(reference, steps)]
            first.append(divergences[0])
            following_kl += divergences[1:]
            same_top += sum(max(a, key=a.get) == max(b, key=b.get) for a, b in zip(reference, steps))
    return first, following_kl, same_top, server.statistics


def row_of(arm, model, truth, measured, arguments):
    first, following, same_top, stats = measured
    computed = stats["products"]["computed"] if stats else []
    return {
        "case": "product fidelity", "model": model.name, "arm": arm.name, "products": arm.products,
        "precision": arm.precision, "prompts": len(truth), "lengths": ",".join(map(str, arguments.lengths)),
        "nodes": sum(one["nodes"] for one in computed) if stats else None,
        "first_kl_mean": statistics.fmean(first), "first_kl_median": statistics.median(first), "first_kl_max": max(first),
        "next_kl_mean": statistics.fmean(following) if following else None,
        "next_kl_max": max(following) if following else None,
        "same_top": same_top, "positions": sum(1 + len(one[1]) for one in truth), "first_kl": first,
        "threads": settings.THREADS, **arguments.facts}


def show(rows):
    print(f"\n{rows[0]['model']}: KL to the same weights in f32, {rows[0]['prompts']} prompts")
    print(f"{'arm':28} {'attention':10} {'products':9} {'nodes':>6} {'first: mean':>12} {'median':>9} {'max':>9} "
          f"{'of stock':>9} {'next: mean':>11} {'max':>9} {'same top':>9}")
    for row in rows:
        def number(key, form):
            return "-" if row[key] is None else form.format(row[key])
        print(f"{row['arm']:28} {row['precision'] or '':10} {row['products'] or '':9} {number('nodes', '{}'):>6} "
              f"{row['first_kl_mean']:12.2e} {row['first_kl_median']:9.1e} {row['first_kl_max']:9.1e} "
              f"{number('of_stock', '{:.2f}'):>9} {number('next_kl_mean', '{:.2e}'):>11} "
              f"{number('next_kl_max', '{:.1e}'):>9} {row['same_top']:4}/{row['positions']}")
    print(flush=True)


def compare(model, arguments):
    """The rows of one file of weights."""
    begin = time.monotonic()
    f32 = as_f32(model)
    truth = truth_of(f32, arguments)
    print(f"{model.name}: the truth is known, {time.monotonic() - begin:.0f} s", flush=True)
    rows = []
    chosen = arms(arguments)
    for number, arm in enumerate(chosen):
        measured = measure(arm, f32 if arm.name.startswith("f32") else model, truth)
        stats = measured[3]
        if arm.products and stats is None:
            raise ServerFailed("the backend did not load")
        if arm.products and stats["products"]["way"] != arm.products:
            print(f"  ours, products {arm.products}: left out, its products are {stats['products']['way']}", flush=True)
            continue
        rows.append(row_of(arm, model, truth, measured, arguments))
        print(f"  {arm.name} {arm.precision or ''} {arm.products or ''}: first-token KL {rows[-1]['first_kl_mean']:.2e}; "
              f"{number + 1} of {len(chosen)}, {time.monotonic() - begin:.0f} s", flush=True)
    stock = next(row for row in rows if row["arm"] == "stock, -fa on")
    for row in rows:
        row["of_stock"] = round(row["first_kl_mean"] / stock["first_kl_mean"], 4) if stock["first_kl_mean"] > 0 else None
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-m", "--model", type=lambda text: [pathlib.Path(part) for part in text.split(",")], default=MODELS,
                        help="GGUF files, comma-separated (default: the embedded model as F16 and as Q8_0)")
    parser.add_argument("--lengths", type=numbers, default=[500, 600, 750, 900, 1100, 1400, 1700, 2000],
                        help="tokens of each prompt (default 500,600,750,900,1100,1400,1700,2000)")
    parser.add_argument("--next", type=int, default=8, help="tokens after the first to compare, too (default 8)")
    parser.add_argument("--products", type=words_of(PRODUCTS), default=list(PRODUCTS), help="default off,host,f32,bf16")
    parser.add_argument("--precisions", type=words_of(PRECISIONS), default=list(PRECISIONS), help="default exact,fast")
    parser.add_argument("--out", default=str(ROOT / "docs/results/product_fidelity.jsonl"),
                        help="rows of the model are replaced there")
    arguments = parser.parse_args()
    for model in arguments.model:
        settings.need(model, "name others with -m, or run scripts/setup.sh")

    arguments.facts = rowkit.origin()
    store = rowkit.Store(arguments.out, "model")
    for model in arguments.model:
        rows = compare(model, arguments)
        store.replace(model.name, rows)
        show(rows)
    print(f"rows in {store.path}; tables: tools/results_to_md.py")


if __name__ == "__main__":
    try:
        main()
    except (process.ProgramFailed, ServerFailed, FileNotFoundError, ValueError, rowkit.Refused) as problem:
        print(f"error: {problem}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted; models that were done are kept", file=sys.stderr)
        sys.exit(130)
