#!/usr/bin/env python3
"""Short prompts and decoding: stock llama.cpp with and without the backend, by its own llama-bench.

    bench/host/bench_short.py                                       about 20 minutes on two quiet cores
    bench/host/bench_short.py -m model.gguf --plan none             another model, without a plan
    bench/host/bench_short.py --rounds 2 --lengths 64,512 --depths 0 --out /tmp/short.jsonl      a short trial

Two questions. Is reading a prompt of 64 to 1024 tokens ever slower with the backend loaded, without a plan and with one,
than with stock llama.cpp at the better of -fa 0 and -fa 1? With the backend's matrix products, too, the same with
llama.cpp's ("products off") is a rival: whatever is faster must not be missed. And is generating, with an empty cache and
with a full one, as fast as stock's? Both are asked of an unmodified llama-bench, started anew for each arm of each round,
in an order that turns from round to round, so that a machine that slows down or a lucky memory layout hits all arms alike.
All arms have llama-bench's own ubatch of 512. A round's figure for an arm is the fastest of its repetitions; a ratio
compares arms within a round, and the median over rounds counts. Rows go to docs/results/short.jsonl; tables:
tools/results_to_md.py.

Exit status: 0, or 1 if --check is given and a median ratio is below its bar (0.98 for prompts, 0.99 for generating).
"""

import argparse
import collections
import json
import pathlib
import statistics
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/host"), str(ROOT / "bench")]

import rowkit  # noqa: E402  (found by the path above)
from lists import numbers  # noqa: E402
from hostkit import process, settings  # noqa: E402
from hostkit.statistics import StatisticsFile, nodes  # noqa: E402

PROMPT_BAR = 0.98
DECODE_BAR = 0.99
GENERATED = 64
STOCK = ("stock -fa 0", "stock -fa 1")

# rivals: arms that this one must not be slower than. In generating there are no products of ours, so only stock counts.
Arm = collections.namedtuple("Arm", "name flash environment rivals")


def arms(plan):
    def ours(name, rivals, products, **chosen):
        return Arm(name, "on", settings.with_backend(TRIANGLEMIX_PRODUCTS=products, **chosen), rivals)

    chosen = [
        Arm(STOCK[0], "off", settings.environment(), ()),
        Arm(STOCK[1], "on", settings.environment(), ()),
        ours("exact", STOCK, "off"),
        ours("exact, products", (*STOCK, "exact"), "host"),
    ]
    if plan != "none":
        chosen += [
            ours("plan", STOCK, "off", TRIANGLEMIX_PLAN=plan),
            ours("plan, products", (*STOCK, "plan"), "host", TRIANGLEMIX_PLAN=plan),
        ]
    return chosen


def products(statistics):
    """Matrix products that the backend computed; 0 without a backend."""
    return sum(done["nodes"] for done in statistics["products"]["computed"]) if statistics else 0


def llama_bench(arm, tests, arguments):
    """One process. {(prompt tokens, generated tokens, depth): [milliseconds]} and the attention nodes and products that the
    backend computed."""
    stats = StatisticsFile()
    env = dict(arm.environment)
    if "GGML_BACKEND_PATH" in env:
        env["TRIANGLEMIX_STATS"] = str(stats.path)
    command = [settings.program("llama-bench"), "-m", arguments.model, "-t", arguments.threads, "-r", arguments.repeat,
               "-fa", arm.flash, "-o", "jsonl", *tests]
    done = process.run(command, env=env, timeout=1800)
    times = {}
    for line in done.stdout.splitlines():
        if line.startswith("{"):
            row = json.loads(line)
            times[row["n_prompt"], row["n_gen"], row["n_depth"]] = [ns / 1e6 for ns in row["samples_ns"]]
    if not times:
        raise process.ProgramFailed(f"llama-bench printed no result:\n{process.tail(done.stderr)}")
    statistics = stats.read()
    if "GGML_BACKEND_PATH" in env and statistics is None:
        raise process.ProgramFailed(f"{arm.name}: the backend did not load:\n{process.tail(done.stderr)}")
    return times, nodes(statistics), products(statistics)


def measure(tests, arguments, what, bar, store):
    """The rows of all rounds, stored after every round, so that an interrupted run keeps its whole rounds."""
    begin = time.monotonic()
    chosen = arms(arguments.plan)
    rounds = []
    for number in range(arguments.rounds):
        shift = number % len(chosen)
        figures = {}
        for arm in chosen[shift:] + chosen[:shift]:
            times, n_attention, n_products = llama_bench(arm, tests, arguments)
            figures[arm.name] = {test: min(samples) for test, samples in times.items()}
            if what == "prompt" and arm.rivals and n_attention == 0:
                print(f"  {arm.name}: the backend took none of these prompts", flush=True)
            if what == "prompt" and arm.name.endswith("products") and n_products == 0:
                print(f"  {arm.name}: the backend took no product of these prompts", flush=True)
        rounds.append(figures)
        rows = rows_of(rounds, chosen, what, bar, arguments)
        store.replace((what, arguments.facts["model"]), rows)
        spent = time.monotonic() - begin
        print(f"{what}: round {number + 1} of {arguments.rounds}, {spent:.0f} s, "
              f"{spent / (number + 1) * (arguments.rounds - number - 1):.0f} s to go", flush=True)
    for row in rows:
        print(f"{what:6} {row['tokens']:5} tokens at depth {row['depth']:5}: {row['arm']:15} {row['median_ms']:9.2f} ms, "
              f"{row['ratio']:.3f}x of {row['against']} (p10 {row['ratio_p10']:.3f}, p90 {row['ratio_p90']:.3f})")
    return rows


def quantile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(share * (len(ordered) - 1)))]


def rows_of(rounds, chosen, what, bar, arguments):
    """One row a test and arm: our time against the rival that is fastest in the median of all rounds."""
    rows = []
    for test in sorted(rounds[0][STOCK[0]]):
        median = {arm.name: statistics.median(one[arm.name][test] for one in rounds) for arm in chosen}
        for arm in chosen:
            rivals = arm.rivals if arm.rivals and what == "prompt" else STOCK
            best = min(rivals, key=median.get)
            ratios = [one[best][test] / one[arm.name][test] for one in rounds]
            times = [one[arm.name][test] for one in rounds]
            rows.append({
                "case": what, "tokens": test[0] or test[1], "depth": test[2], "arm": arm.name,
                "median_ms": round(median[arm.name], 3), "p10_ms": round(quantile(times, 0.1), 3),
                "p90_ms": round(quantile(times, 0.9), 3), "against": best,
                "ratio": round(statistics.median(ratios), 4), "ratio_p10": round(quantile(ratios, 0.1), 4),
                "ratio_p90": round(quantile(ratios, 0.9), 4),
                "bar": bar if arm.rivals else None,
                "rounds": len(rounds), "reps": arguments.repeat, "threads": arguments.threads, **arguments.facts})
    return rows


def facts(arguments):
    return {"model": pathlib.Path(arguments.model).name, "plan": arguments.plan, **rowkit.origin()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-m", "--model", default=settings.MODEL, help="GGUF file (default: the embedded model)")
    parser.add_argument("--lengths", type=numbers, default=[settings.MIN_ROWS, 128, 256, 512, 1024],
                        help="prompt tokens, comma-separated; empty: no prompts "
                             f"(default {settings.MIN_ROWS}, the least that the backend takes, 128, 256, 512, 1024)")
    parser.add_argument("--depths", type=numbers, default=[0, 4096], help="tokens in the cache while generating, "
                        "comma-separated; empty: no generating (default 0,4096)")
    parser.add_argument("--rounds", type=int, default=12, help="processes an arm (default 12)")
    parser.add_argument("--repeat", type=int, default=3, help="repetitions in a process (default 3)")
    parser.add_argument("--threads", type=int, default=settings.THREADS)
    parser.add_argument("--plan", default="preset:smollm2-135m-instruct", help="plan file, preset, or none (default: the embedded model's)")
    parser.add_argument("--check", action="store_true", help="exit status 1 if a ratio is below its bar")
    parser.add_argument("--out", default=str(ROOT / "docs/results/short.jsonl"), help="rows of what is measured are replaced there after every round")
    arguments = parser.parse_args()
    if not arguments.lengths and not arguments.depths:
        parser.error("--lengths and --depths are both empty: nothing to measure")

    settings.need(pathlib.Path(arguments.model), "name another with -m, or run scripts/setup.sh")
    arguments.facts = facts(arguments)  # before the result file changes, which would look like an uncommitted change
    rows = []
    store = rowkit.Store(arguments.out, "case", "model")
    if arguments.lengths:
        tests = ["-n", 0, "-p", ",".join(map(str, arguments.lengths))]
        rows += measure(tests, arguments, "prompt", PROMPT_BAR, store)
    if arguments.depths:
        tests = ["-p", 0, "-n", GENERATED, "-d", ",".join(map(str, arguments.depths))]
        rows += measure(tests, arguments, "decode", DECODE_BAR, store)
    print(f"{len(rows)} rows in {store.path}")

    below = [row for row in rows if row["bar"] and row["ratio"] < row["bar"]]
    for row in below:
        print(f"below the bar of {row['bar']}: {row['case']} {row['tokens']} at depth {row['depth']}, {row['arm']}: "
              f"{row['ratio']:.3f}")
    return 1 if below and arguments.check else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (process.ProgramFailed, FileNotFoundError, rowkit.Refused) as problem:
        print(f"error: {problem}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted; the whole rounds are kept", file=sys.stderr)
        sys.exit(130)
