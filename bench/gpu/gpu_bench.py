#!/usr/bin/env python3
"""A GPU behind its TriangleMix device: is everything forwarded, are answers right, and how fast is it beside the stock
device? Unmodified llama.cpp programs, the same model, the same process where llama-bench allows it.

    bench/gpu/run.sh                          builds what is missing, then calls this with every stage
    bench/gpu/gpu_bench.py --stages devices,answers --small model.gguf
    bench/gpu/gpu_bench.py --stages prefill,decode --big 8b.gguf --lengths 512,2048,8192,32768,131072
    bench/gpu/gpu_bench.py --stages decode --decode-model 1.5b.gguf
    bench/gpu/gpu_bench.py --device CUDA0,CUDA1 --proxy TriangleMix0,TriangleMix1 ...    a model over two GPUs, by layers
    bench/gpu/gpu_bench.py --device CUDA0,CUDA1 --proxy TriangleMix0,TriangleMix1 --split-mode tensor ...    by heads
    bench/gpu/gpu_bench.py --device CUDA0,CUDA1 --proxy TriangleMix0,TriangleMix1 --rpc --stages prefill ...    an rpc-server each

Stages
  devices   what llama.cpp lists, what the backend says
  ops       llama.cpp's own test-backend-ops FLASH_ATTN_EXT on the proxy
  answers   users of llama-server, one by one and eight at once: stock device and CPU, proxy exact, proxy with a plan, and
            that plan on the CPU, which must leave out the same pairs
  decode    tokens per second, stock device and proxy: a process each, in turn, in --decode-rounds rounds whose order
            changes; a round's figure is the fastest of --decode-repeat, and the median of the rounds' ratios counts
  prefill   llama-bench, stock device, proxy exact, proxy with layers --layers triangle, proxy as each --way says, each with
            every --ubatches; the stock device also with --stock-ubatches and without flash attention, where its scores
            fit the card; compared with the fastest of all these, which the rows name
  memory    (only when named; needs PyTorch) a card that is nearly full: where the stock device still works, the proxy
            works or says why not; it never takes the process down

Rows go to --out, one JSON object a line, in place of those of the same stage, --host and way of spreading a model; a table is printed. Exit status 1
if a check failed.
"""
import argparse
import json
import math
import os
import pathlib
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
import traceback

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/host"), str(ROOT / "bench")]

import remote  # noqa: E402  (found by the path above)
import rowkit  # noqa: E402
from lists import numbers  # noqa: E402

WARM_UP = 4224  # tokens; no length that anybody asks for
STAGES = ("devices", "ops", "answers", "decode", "prefill")
MODELS = {"answers": "small", "memory": "small", "decode": "decode_model", "prefill": "big"}
FLASH = {"on": "1", "off": "0"}  # as every llama-bench understands it
DECODE_BAR = 0.99  # of the stock device's speed
# The name of llama.cpp's switch, and its name of before: a GPU's products of F16 weights summed in 32 bits. In 16, its
# default, rounding alone changes answers as much as a plan does, and no check of answers could tell one from the other.
SHARP = {"GGML_CUDA_CUBLAS_COMPUTE_TYPE": "f32", "GGML_CUDA_FORCE_CUBLAS_COMPUTE_32F": "1"}


def way(text):
    name, _, rest = text.partition(":")
    settings = dict(setting.split("=", 1) for setting in rest.split() if "=" in setting)
    if not name or not settings:
        raise argparse.ArgumentTypeError(f"'{text}': expected NAME:SETTING=VALUE SETTING=VALUE")
    return name, settings


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stages", default=",".join(STAGES))
    parser.add_argument("--llama", default=os.environ.get("TMX_HOST_LLAMA_BIN", str(ROOT / ".deps/llama-build-cuda/bin")),
                        help="folder of a stock llama.cpp with CUDA, shared libraries")
    parser.add_argument("--host", help="what rows call this llama.cpp, in a file that has rows of several")
    parser.add_argument("--library", default=os.environ.get("TMX_HOST_LIBRARY_DIR", str(ROOT / "build/bin")),
                        help="folder of libggml-trianglemix.so")
    parser.add_argument("--device", default="CUDA0", help="of stock llama.cpp, as its --device takes it")
    parser.add_argument("--proxy", default="TriangleMix0", help="the proxies of these, in the same order")
    parser.add_argument("--split-mode", choices=["layer", "tensor"], default="layer",
                        help="how llama.cpp spreads a model over several devices: layers, or every layer's heads (default: layer)")
    parser.add_argument("--rpc", action="store_true",
                        help="prefill: each device behind an rpc-server of its own on this machine, where our proxies are, too")
    parser.add_argument("--short-masks", action="store_true",
                        help="with --rpc: the backend is in llama-bench, too, and sends its rpc-servers masks in few bytes")
    parser.add_argument("--small", help="model for answers, with a tokeniser")
    parser.add_argument("--big", help="model for timings (write_gguf.py makes one)")
    parser.add_argument("--lengths", default="512,2048,8192,32768,131072")
    parser.add_argument("--decode-model", help="model for decoding (default: --big)")
    parser.add_argument("--decode-tokens", type=int, default=128)
    parser.add_argument("--decode-rounds", type=int, default=10, help="processes a device (default 10)")
    parser.add_argument("--decode-repeat", type=int, default=3, help="repetitions in a process (default 3)")
    parser.add_argument("--repeat", type=int, default=5, help="up to 32K tokens")
    parser.add_argument("--long-repeat", type=int, default=1, help="longer prompts")
    parser.add_argument("--embeddings", choices=["host", "device"], default="host",
                        help="prefill: where token embeddings are, which llama.cpp looks up on the host unless told otherwise "
                             "(-ot token_embd.weight=DEVICE)")
    parser.add_argument("--ubatches", default="2048,4096", help="llama-bench's -ub")
    parser.add_argument("--stock-ubatches", default="512", help="further ones of the stock device")
    parser.add_argument("--flash-off-ubatches", metavar="UB,...|none",
                        help="those of the stock device that are tried without flash attention (default: all)")
    parser.add_argument("--layers", default="16-31", help="triangle layers of the big model")
    parser.add_argument("--way", action="append", default=[], type=way, metavar="NAME:SETTINGS",
                        help="prefill: one more way of the proxy, as 'mix:TRIANGLEMIX_LAYERS=16-31 "
                             "TRIANGLEMIX_DYNAMIC=means:keep=0.1@0-15'")
    parser.add_argument("--small-layers", default="2-7", help="triangle layers of the small model")
    parser.add_argument("--ops-filter", default="", help="test-backend-ops -p (default: all cases)")
    parser.add_argument("--out", help="a file of rows; those of the stages that run are replaced")
    parser.add_argument("--statistics", help="keep the backend's own statistics in this folder, one file a process")
    parser.add_argument("--dry-run", action="store_true", help="only check these options")
    options = parser.parse_args()
    options.decode_model = options.decode_model or options.big
    options.stages = options.stages.split(",")
    if options.rpc and (options.stages != ["prefill"] or options.split_mode != "layer"):
        parser.error("--rpc is for --stages prefill, by layers")
    if options.embeddings == "device" and (options.rpc or "," in options.device):
        parser.error("--embeddings device is for one GPU of this machine")
    if options.short_masks and not options.rpc:
        parser.error("--short-masks is about --rpc")
    for stage in options.stages:
        if stage not in STAGES + ("memory",):
            parser.error(f"no stage '{stage}'; there are {', '.join(STAGES)}, memory")
        model = MODELS.get(stage)
        if model and not (getattr(options, model) and (options.dry_run or os.path.exists(getattr(options, model)))):
            parser.error(f"stage {stage} needs --{model.replace('_', '-')}, a GGUF file")
    return options


def first_line(*command):
    """What a program says; "unknown" if it is not there or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return "unknown"
    return done.stdout.strip().splitlines()[0] if done.returncode == 0 and done.stdout.strip() else "unknown"


class Runner:
    def __init__(self, options):
        self.options = options
        self.ubatches = numbers(options.ubatches)
        self.rows = []
        self.failed = []
        self.n_processes = 0
        self.shown = None  # the last process's statistics
        self.about = {"host": options.host, "split_mode": options.split_mode if options.split_mode != "layer" else None,
                      "rpc": options.rpc or None, "short_masks": options.short_masks or None,
                      "embeddings": options.embeddings if options.embeddings != "host" else None}
        self.store = rowkit.Store(options.out, "stage", *self.about)
        self.facts = {"machine": first_line("nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"),
                      "commit": rowkit.commits.source_commit(), "command": rowkit.command()}

    def environment(self, **settings):
        env = {key: value for key, value in os.environ.items() if not key.startswith("TRIANGLEMIX_")}
        env["LD_LIBRARY_PATH"] = ":".join([self.options.llama, self.options.library, env.get("LD_LIBRARY_PATH", "")])
        env["GGML_BACKEND_PATH"] = f"{self.options.library}/libggml-trianglemix.so"
        env.update(settings)
        return env

    def program(self, name, *arguments, timeout=600, **settings):
        """Exit code, output, log, and the backend's statistics (None if it wrote none)."""
        command = [f"{self.options.llama}/{name}", *map(str, arguments)]
        self.n_processes += 1
        kept = pathlib.Path(self.options.statistics) / f"process-{self.n_processes}.json"
        start = time.monotonic()
        try:
            done = subprocess.run(command, env=self.environment(TRIANGLEMIX_STATS=str(kept), **settings),
                                  capture_output=True, text=True, errors="replace", timeout=timeout,
                                  stdin=subprocess.DEVNULL, check=False)
            code, out, log = done.returncode, done.stdout, done.stderr
        except subprocess.TimeoutExpired as late:
            code, out, log = "timeout", *((text or b"").decode(errors="replace") for text in (late.stdout, late.stderr))
        print(f"$ {name} {shlex.join(map(str, arguments))}  [{' '.join(f'{k}={v}' for k, v in settings.items())}] -> {code}, "
              f"{time.monotonic() - start:.1f} s", flush=True)
        if code != 0:
            print("\n".join(log.splitlines()[-25:]), flush=True)
        self.shown = json.loads(kept.read_text()) if kept.exists() else None
        return code, out, log, self.shown

    def check(self, good, what):
        print(f"{'ok  ' if good else 'FAIL'} {what}", flush=True)
        if not good:
            self.failed.append(what)

    def row(self, stage, **values):
        said = {name: value for name, value in self.about.items() if value is not None}
        self.rows.append({**said, "stage": stage, **values, **self.facts, "date": rowkit.now()})
        self.store.replace((stage, *self.about.values()), [row for row in self.rows if row["stage"] == stage])


def devices(run):
    code, out, log, _ = run.program("llama-bench", "--list-devices")
    print(out + "\n".join(line for line in log.splitlines() if "TriangleMix" in line), flush=True)
    for proxy in run.options.proxy.split(","):
        run.check(code == 0 and f"{proxy}:" in out, f"{proxy} is listed")
    code, out, _, _ = run.program("llama-bench", "--list-devices", TRIANGLEMIX_DISABLE="1")
    run.check(code == 0 and "TriangleMix" not in out, "TRIANGLEMIX_DISABLE=1 leaves no device")


def ops(run):
    """Whole, with the bounds on rows and keys down, so that the proxy takes whatever it can."""
    arguments = ["test", "-b", run.options.proxy.split(",")[0], "-o", "FLASH_ATTN_EXT", "-j", min(os.cpu_count() or 1, 16)]
    if run.options.ops_filter:
        arguments += ["-p", run.options.ops_filter]
    code, out, _, _ = run.program("test-backend-ops", *arguments, timeout=900, TRIANGLEMIX_MIN_ROWS="1",
                                  TRIANGLEMIX_MIN_KEYS="1")
    passed = [line for line in out.splitlines() if "tests passed" in line]
    print("\n".join(line for line in out.splitlines() if "FAIL" in line)[:2000])
    result = passed[0].strip() if passed else "no result"
    run.check(code == 0 and bool(passed), f"test-backend-ops FLASH_ATTN_EXT: {result}")
    run.row("ops", filter=run.options.ops_filter, result=result)


def answers(run):
    from hostkit import prompts as kit
    from hostkit import settings
    from hostkit.server import Server

    settings.THREADS = min(len(os.sched_getaffinity(0)), 16)
    lengths = (150, 300, 700, 1200, 1900, 2600, 3300, 3400)
    flags = ["-fa", "on", "-ub", "1024", "-b", "2048", "-np", "8", "-kvu"]
    plan = {"TRIANGLEMIX_LAYERS": run.options.small_layers, "TRIANGLEMIX_WINDOW": "128", "TRIANGLEMIX_STRICT": "1"}
    every = {"TRIANGLEMIX_MIN_KEYS": "1"}  # short prompts, too
    split = ["-sm", run.options.split_mode]
    proxy = ["--device", run.options.proxy, "-ngl", "99", *split]
    alone, at_once = ("alone",), ("at once",)
    # A plan's rows depend on how users' prompts fall into ubatches, so its answers are compared where users come alone.
    ways = {"stock": (["--device", run.options.device, "-ngl", "99", *split], {"TRIANGLEMIX_DISABLE": "1"}, alone + at_once),
            "exact on the CPU": (["--device", "none", "-ngl", "0"], {"TRIANGLEMIX_DISABLE": "1"}, alone + at_once),
            "exact": (proxy, every, alone + at_once),
            "plan": (proxy, plan | every, alone),
            "plan, users at once": (proxy, plan | every, at_once),
            # Naming our CPU device makes builds with linked-in backends load the library.
            "plan on the CPU": (["--device", "TriangleMix", "-ngl", "0"], plan, alone)}
    got, counted = {}, {}
    for way, (device, env, users) in ways.items():
        start = time.monotonic()
        with Server(flags + device, env=run.environment(**env, **SHARP), model=run.options.small,
                    folder=pathlib.Path(run.options.llama), context=32768) as server:
            made = kit.Prompts(server.tokenize)
            asked = [made.prompt(i, n) for i, n in enumerate(lengths)]
            got[way] = []
            if "alone" in users:
                got[way] += [server.complete(tokens, n_predict=16, n_probs=50) for tokens in asked[::2]]
            if "at once" in users:
                got[way] += server.complete_all(asked, n_predict=16, n_probs=50)
        shown = counted[way] = server.statistics or {}
        print(f"{way}: {time.monotonic() - start:.1f} s; nodes {shown.get('nodes')}, pairs {shown.get('pairs')}, gpu "
              f"{shown.get('gpu')}, fallbacks {shown.get('fallbacks')}, ubatches {shown.get('ubatches')}", flush=True)
        if device is proxy:
            kind = "triangle" if env is not every else "dense"
            run.check(shown.get("nodes", {}).get(kind, 0) > 0, f"{way}: the proxy computed {kind} layers")
            run.check(shown.get("rows", {}).get("masked", 0) == 0 and not shown.get("fallbacks"), f"{way}: no fallback")
    judge_answers(run, got, counted)


def judge_answers(run, got, counted):
    from hostkit.answer import first_difference, gap, kl
    from hostkit.yardstick import KL_FLOOR

    planned = {way: counted[way].get("kind_pairs", {}).get("triangle") for way in ("plan on the CPU", "plan")}
    far = {}
    # The first pair is the yardstick of what other arithmetic does to an answer.
    for name, a, b in (("stock GPU, stock CPU", "stock", "exact on the CPU"), ("stock GPU, proxy exact", "stock", "exact"),
                       ("plan on the CPU, on the proxy", "plan on the CPU", "plan"),
                       ("exact, plan (for scale)", "exact", "plan")):
        pairs = list(zip(got[a], got[b]))  # users alone come first, and a plan has no others
        same = sum(first_difference(x, y) is None for x, y in pairs)
        apart = [kl(x.steps[0], y.steps[0]) for x, y in pairs]
        far[name] = max(apart)
        surprise = max(gap(y.steps[0], x.tokens[0]) for x, y in pairs)
        print(f"{name}: {same} of {len(apart)} texts equal, first-token KL mean {statistics.fmean(apart):.2e} worst "
              f"{max(apart):.2e}, worst gap {surprise:.4f} nats", flush=True)
        skipped = {"cpu": share_skipped(planned[a]), "proxy": share_skipped(planned[b])} if a in planned else None
        run.row("answers", pair=name, equal_texts=same, texts=len(apart), kl_mean=statistics.fmean(apart), kl_worst=max(apart),
                gap_worst=surprise, skipped=skipped, model=pathlib.Path(run.options.small).name, layers=run.options.small_layers)
    # Twice as far as stock is from itself: KL grows with the square of a distance.
    noise = far["stock GPU, stock CPU"]
    bound = 4 * noise + KL_FLOOR
    run.check(far["stock GPU, proxy exact"] <= bound, f"proxy exact is as close to the stock device as the CPU ({bound:.1e})")
    run.check(far["plan on the CPU, on the proxy"] <= bound, f"the plan means on the GPU what it means on the CPU ({bound:.1e})")
    # A proxy that ignored the plan would be as far from the CPU's as exact is, but for what rounding may take back.
    least = (math.sqrt(bound) + math.sqrt(noise)) ** 2
    run.check(far["exact, plan (for scale)"] > least, f"the plan changes enough to be seen if it were ignored ({least:.1e})")
    here, there = planned["plan"], planned["plan on the CPU"]
    run.check(here and here == there and here["skipped"] > 0, f"the plan leaves out the same pairs: {here}, on the CPU {there}")


def share_skipped(pairs):
    """Of the pairs of a plan's layers, those that it left out."""
    return pairs["skipped"] / (pairs["skipped"] + pairs["kept"]) if pairs and pairs["skipped"] + pairs["kept"] else 0.0


def llama_bench(run, devices_, lengths, n_gen, repeat, model=None, flash="on", ubatches=(), may_fail=False, first=(), **settings):
    """What llama-bench measured, a dictionary each, for every length and ubatch. Its own warm-up would compute each prompt
    once more; a prompt that is not recorded comes first instead. may_fail: without flash attention a long prompt's scores
    may not fit the card, which ends the process; what it measured till then counts."""
    ubatches = list(ubatches) or run.ubatches
    arguments = [*first, "-m", model or run.options.big, "-ngl", "99", "-fa", FLASH[flash], "-dev", devices_, "-sm", run.options.split_mode,
                 "-n", n_gen, "-r", repeat, "-o", "jsonl", "--no-warmup",
                 "-ub", ",".join(map(str, ubatches)) if lengths else ubatches[0], "-b", max(ubatches),
                 "-p", ",".join(map(str, [WARM_UP, *lengths])) if lengths else "0"]
    if run.options.embeddings == "device":
        arguments += ["-ot", f"token_embd.weight={devices_}"]
    code, out, _, shown = run.program("llama-bench", *arguments, **settings)
    results = [json.loads(line) | {"flash": flash} for line in out.splitlines() if line.startswith("{")]
    if may_fail:
        if code != 0:
            print(f"without flash attention, prompts of {lengths} tokens: ended with {code}", flush=True)
    else:
        run.check(code == 0 and bool(results), f"llama-bench on {devices_}, prompts of {lengths or 'no'} tokens, ended well")
    if lengths and run.options.proxy.split(",")[0] in devices_:
        planned = any(f"TRIANGLEMIX_{what}" in settings for what in ("LAYERS", "DYNAMIC", "PLAN"))
        nodes = shown["nodes"] if shown else {}
        computed = nodes.get("triangle", 0) + nodes.get("dynamic", 0) if planned else nodes.get("dense", 0)
        run.check(computed > 0 and not shown["fallbacks"],
                  f"the proxy computed {'planned' if planned else 'dense'} layers, all as they were asked for")
    # A prompt that fits into a small ubatch is the same in a larger one.
    return [result for result in results if result["n_prompt"] != WARM_UP and
            (result["n_ubatch"] == min(ubatches) or result["n_prompt"] > min(ubatches))]


def record(run, kind, results):
    """`results`: (way, what llama-bench said) pairs."""
    def median(result):
        times = sorted(result["samples_ns"])
        return times[len(times) // 2] / 1e9

    def tokens(result):
        return result["n_prompt"] or result["n_gen"]

    for way, result in results:
        stock = min((other for name, other in results if name == "stock" and tokens(other) == tokens(result)), key=median,
                    default=None)
        run.row(kind, way=way, device=result["devices"], n_prompt=result["n_prompt"],
                n_gen=result["n_gen"], ubatch=result["n_ubatch"], flash_attention=result["flash"], seconds=median(result),
                samples_s=sorted(ns / 1e9 for ns in result["samples_ns"]), tokens_per_s=tokens(result) / median(result),
                against=f"fa {stock['flash']}, ub {stock['n_ubatch']}" if stock else None,
                against_stock=median(stock) / median(result) if stock else None,
                model=pathlib.Path(run.options.big).name, llama_commit=result["build_commit"])


def bench_name(devices_):
    """llama-bench separates the devices of one model by another sign than the other programs."""
    return devices_.replace(",", "/")


def both(run):
    """The devices of each process: one for both, unless each keeps weights of its own."""
    names = [bench_name(run.options.device), bench_name(run.options.proxy)]
    return names if run.options.embeddings == "device" else [",".join(names)]


def way_of(run, result):
    return "stock" if result["devices"] == bench_name(run.options.device) else "exact"


def decode(run):
    ways = {"stock": (run.options.device, {"TRIANGLEMIX_DISABLE": "1"}), "exact": (run.options.proxy, {})}
    rounds = []
    for number in range(run.options.decode_rounds):
        results = {}
        for way in list(ways)[::-1 if number % 2 else 1]:
            device, env = ways[way]
            measured = llama_bench(run, bench_name(device), [], run.options.decode_tokens, run.options.decode_repeat,
                                   model=run.options.decode_model, **env)
            if not measured:
                return
            results[way] = measured[0]
        rounds.append(results)
        record_pairs(run, rounds)
    ratio = run.rows[-1]["against_stock"]
    run.check(ratio >= DECODE_BAR, f"decoding through the proxy: {ratio:.4f} of the stock device's speed (at least {DECODE_BAR})")


def record_pairs(run, rounds):
    """The rows of what llama-bench said of each way in each round, in place of those of fewer rounds."""
    run.rows = [row for row in run.rows if row["stage"] != "decode"]
    fastest = [{way: min(result["samples_ns"]) / 1e9 for way, result in results.items()} for results in rounds]
    for way, result in rounds[0].items():
        ratios = sorted(times["stock"] / times[way] for times in fastest)
        seconds = statistics.median(times[way] for times in fastest)
        run.row("decode", way=way, device=result["devices"], flash_attention="on", against="the stock device, in pairs", n_prompt=0, n_gen=result["n_gen"], ubatch=result["n_ubatch"],
                seconds=seconds, samples_s=sorted(times[way] for times in fastest), tokens_per_s=result["n_gen"] / seconds,
                against_stock=statistics.median(ratios), ratio_worst=ratios[0], ratio_best=ratios[-1], rounds=len(rounds),
                model=pathlib.Path(run.options.decode_model).name, llama_commit=result["build_commit"])


def prefill(run):
    lengths = numbers(run.options.lengths)
    stock = bench_name(run.options.device)
    every = sorted({*run.ubatches, *numbers(run.options.stock_ubatches)})
    results = []
    for some, repeat in (([n for n in lengths if n <= 32768], run.options.repeat), ([n for n in lengths if n > 32768], run.options.long_repeat)):
        if some and run.options.rpc:
            results += remote.prefill(run, some, repeat, every, llama_bench)
        elif some:
            results += [(way_of(run, result), result) for devices_ in both(run)
                        for result in llama_bench(run, devices_, some, 0, repeat)]
            results += [("triangle", result) for result in
                        llama_bench(run, bench_name(run.options.proxy), some, 0, repeat, TRIANGLEMIX_LAYERS=run.options.layers)]
            for name, settings in run.options.way:
                results += [(name, result) for result in
                            llama_bench(run, bench_name(run.options.proxy), some, 0, repeat, **settings)]
            if others := [n for n in every if n not in run.ubatches]:
                results += [("stock", result) for result in llama_bench(run, stock, some, 0, repeat, ubatches=others)]
            # One process an ubatch: the scores of a small one fit where those of a large one do not. llama.cpp splits heads
            # with flash attention only.
            asked = run.options.flash_off_ubatches
            without = every if asked is None else [] if asked == "none" else numbers(asked)
            for ubatch in without if run.options.split_mode == "layer" else ():
                results += [("stock", result) for result in llama_bench(run, stock, sorted(some), 0, repeat, flash="off",
                                                                        ubatches=[ubatch], may_fail=True)
                            if ubatch == without[0] or result["n_prompt"] > without[0]]
    record(run, "prefill", sorted(results, key=lambda pair: pair[1]["n_prompt"]))


BALLAST = """
import sys, torch
free, _ = torch.cuda.mem_get_info()
held = torch.empty(free - (int(sys.argv[1]) << 20), dtype=torch.uint8, device="cuda")
print("held", flush=True)
sys.stdin.read()
"""


def memory(run):
    for left in range(400, 1700, 100):  # MiB; a process's CUDA context alone takes about 500
        with subprocess.Popen([sys.executable, "-c", BALLAST, str(left)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              text=True) as ballast:
            held = ballast.stdout.readline().strip() == "held"
            codes = {}
            for device in (run.options.device, run.options.proxy) if held else ():
                codes[device], _, log, _ = run.program("llama-bench", "-m", run.options.small, "-ngl", "99", "-fa", "on", "-dev",
                                                    bench_name(device), "-p", "4096", "-n", "8", "-r", "1",
                                                    TRIANGLEMIX_LAYERS=run.options.small_layers)
                said = [line for line in log.splitlines() if "TriangleMix" in line and "memory" in line]
                print("\n".join(said[:4]), flush=True)
            ballast.stdin.close()
        if not held:
            raise RuntimeError("the card's memory could not be filled")
        stock, proxy = codes.values()
        run.check(stock != 0 or (isinstance(proxy, int) and proxy >= 0), f"{left} MiB left: stock {stock}, proxy {proxy}")
        run.row("memory", mib_left=left, stock=stock, proxy=proxy)


def table(run):
    for row in run.rows:
        if row["stage"] in ("decode", "prefill"):
            ratio = f"{row['against_stock']:5.2f}x" if row["against_stock"] else ""
            print(f"{row['stage']:8} {row['n_prompt'] or row['n_gen']:7}  {row['way']:20} fa {row['flash_attention']:3} "
                  f"ub {row['ubatch']:4}  {row['seconds']:8.4f} s  {ratio} of {row['against']}")


def main():
    options = parse()
    try:
        rowkit.Store(options.out, "stage", "host")
    except rowkit.Refused as refused:
        print(f"error: {refused}", file=sys.stderr)
        return 2
    if options.dry_run:
        return 0
    with tempfile.TemporaryDirectory() as folder:
        options.statistics = options.statistics or folder
        os.makedirs(options.statistics, exist_ok=True)
        run = Runner(options)
        print(f"{run.facts['machine']}; commit {run.facts['commit']}; llama.cpp in {options.llama}", flush=True)
        stages = {"devices": devices, "ops": ops, "answers": answers, "decode": decode, "prefill": prefill,
                  "memory": memory}
        for name in options.stages:
            print(f"--- {name}", flush=True)
            try:
                stages[name](run)
            except Exception:  # one stage's trouble is no reason to miss the others
                traceback.print_exc()
                run.check(False, f"stage {name} ran to its end")
    table(run)
    for what in run.failed:
        print("FAILED:", what)
    return 1 if run.failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("interrupted; what was measured is kept", file=sys.stderr)
        sys.exit(130)
