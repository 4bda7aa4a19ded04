#!/usr/bin/env python3
"""A GPU behind its TriangleMix device: is everything forwarded, are answers right, and how fast is it beside the stock
device? Unmodified llama.cpp programs, the same model, the same process where llama-bench allows it.

    bench/gpu/run.sh                          builds what is missing, then calls this with every stage
    bench/gpu/gpu_bench.py --stages devices,answers --small model.gguf
    bench/gpu/gpu_bench.py --stages prefill,decode --big 8b.gguf --lengths 512,2048,8192,32768,131072

Stages
  devices   what llama.cpp lists, what the backend says
  ops       llama.cpp's own test-backend-ops FLASH_ATTN_EXT on the proxy
  answers   eight users at once on llama-server: stock device, proxy exact, proxy with a plan, and that plan on the CPU
  decode    tokens per second, stock device and proxy
  prefill   llama-bench, stock device, proxy exact, proxy with layers --layers triangle (at --triangle-ubatch)
  memory    (only when named; needs PyTorch) a card that is nearly full: where the stock device still works, the proxy
            works or says why not; it never takes the process down

Rows go to --out, one JSON object a line; a table is printed. Exit status 1 if a check failed.
"""
import argparse
import datetime
import json
import os
import pathlib
import shlex
import subprocess
import sys
import time
import traceback

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/host"))

WARM_UP = 4224  # tokens; no length that anybody asks for
STAGES = ("devices", "ops", "answers", "decode", "prefill")


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stages", default=",".join(STAGES))
    parser.add_argument("--llama", default=os.environ.get("TMX_HOST_LLAMA_BIN", str(ROOT / ".deps/llama-build-cuda/bin")),
                        help="folder of a stock llama.cpp with CUDA, shared libraries")
    parser.add_argument("--library", default=os.environ.get("TMX_HOST_LIBRARY_DIR", str(ROOT / "build/bin")),
                        help="folder of libggml-trianglemix.so")
    parser.add_argument("--device", default="CUDA0")
    parser.add_argument("--proxy", default="TriangleMix0")
    parser.add_argument("--small", help="model for answers, with a tokeniser")
    parser.add_argument("--big", help="model for timings (write_gguf.py makes one)")
    parser.add_argument("--lengths", default="512,2048,8192,32768,131072")
    parser.add_argument("--decode-tokens", type=int, default=128)
    parser.add_argument("--repeat", type=int, default=3, help="below 32K; longer prompts run once")
    parser.add_argument("--ubatch", type=int, default=2048)
    parser.add_argument("--triangle-ubatch", type=int, default=4096)
    parser.add_argument("--layers", default="16-31", help="triangle layers of the big model")
    parser.add_argument("--small-layers", default="2-7", help="triangle layers of the small model")
    parser.add_argument("--ops-filter", default="", help="test-backend-ops -p (default: all cases)")
    parser.add_argument("--out", help="append rows to this file")
    parser.add_argument("--statistics", help="folder for the backend's own statistics, one file a process")
    return parser.parse_args()


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
        # What matters to whoever repeats it; where files lie differs from machine to machine.
        self.command = "bench/gpu/gpu_bench.py " + shlex.join(
            ["--stages", options.stages, "--lengths", options.lengths, "--repeat", str(options.repeat), "--ubatch",
             str(options.ubatch), "--triangle-ubatch", str(options.triangle_ubatch), "--layers", options.layers])
        self.rows = []
        self.failed = []
        self.stock = {}  # seconds by kind and tokens
        self.n_processes = 0
        self.machine = first_line("nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader")
        self.commit = os.environ.get("TMX_COMMIT") or first_line("git", "-C", str(ROOT), "describe", "--always", "--dirty")

    def environment(self, **settings):
        env = {key: value for key, value in os.environ.items() if not key.startswith("TRIANGLEMIX_")}
        env["LD_LIBRARY_PATH"] = ":".join([self.options.llama, self.options.library, env.get("LD_LIBRARY_PATH", "")])
        env["GGML_BACKEND_PATH"] = f"{self.options.library}/libggml-trianglemix.so"
        if self.options.statistics:
            self.n_processes += 1
            env["TRIANGLEMIX_STATS"] = f"{self.options.statistics}/process-{self.n_processes}.json"
        env.update(settings)
        return env

    def program(self, name, *arguments, timeout=600, **settings):
        command = [f"{self.options.llama}/{name}", *map(str, arguments)]
        start = time.monotonic()
        try:
            done = subprocess.run(command, env=self.environment(**settings), capture_output=True, text=True,
                                  errors="replace", timeout=timeout, stdin=subprocess.DEVNULL, check=False)
            code, out, log = done.returncode, done.stdout, done.stderr
        except subprocess.TimeoutExpired as late:
            code, out, log = "timeout", *((text or b"").decode(errors="replace") for text in (late.stdout, late.stderr))
        print(f"$ {name} {shlex.join(map(str, arguments))}  [{' '.join(f'{k}={v}' for k, v in settings.items())}] -> {code}, "
              f"{time.monotonic() - start:.1f} s", flush=True)
        if code != 0:
            print("\n".join(log.splitlines()[-25:]), flush=True)
        return code, out, log

    def check(self, good, what):
        print(f"{'ok  ' if good else 'FAIL'} {what}", flush=True)
        if not good:
            self.failed.append(what)

    def row(self, **values):
        values |= {"machine": self.machine, "commit": self.commit, "command": self.command,
                   "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")}
        self.rows.append(values)
        if self.options.out:
            with open(self.options.out, "a", encoding="utf-8") as file:
                file.write(json.dumps(values) + "\n")


def devices(run):
    code, out, log = run.program("llama-bench", "--list-devices")
    print(out + "\n".join(line for line in log.splitlines() if "TriangleMix" in line), flush=True)
    run.check(code == 0 and f"{run.options.proxy}:" in out, f"{run.options.proxy} is listed")
    code, out, _ = run.program("llama-bench", "--list-devices", TRIANGLEMIX_DISABLE="1")
    run.check(code == 0 and "TriangleMix" not in out, "TRIANGLEMIX_DISABLE=1 leaves no device")


def ops(run):
    """Whole, with the bounds on rows and keys down, so that the proxy takes whatever it can."""
    arguments = ["test", "-b", run.options.proxy, "-o", "FLASH_ATTN_EXT", "-j", min(os.cpu_count() or 1, 16)]
    if run.options.ops_filter:
        arguments += ["-p", run.options.ops_filter]
    code, out, _ = run.program("test-backend-ops", *arguments, timeout=900, TRIANGLEMIX_MIN_ROWS="1",
                               TRIANGLEMIX_MIN_KEYS="1")
    passed = [line for line in out.splitlines() if "tests passed" in line]
    print("\n".join(line for line in out.splitlines() if "FAIL" in line)[:2000])
    result = passed[0].strip() if passed else "no result"
    run.check(code == 0 and bool(passed), f"test-backend-ops FLASH_ATTN_EXT: {result}")
    run.row(stage="ops", filter=run.options.ops_filter, result=result)


def answers(run):
    from hostkit import prompts as kit
    from hostkit import settings
    from hostkit.answer import first_difference, gap, kl
    from hostkit.server import Server

    settings.THREADS = min(os.cpu_count() or 4, 16)
    lengths = (150, 300, 700, 1200, 1900, 2600, 3300, 3400)
    flags = ["-fa", "on", "-ub", "1024", "-b", "2048", "-np", "8", "-kvu"]
    plan = {"TRIANGLEMIX_LAYERS": run.options.small_layers, "TRIANGLEMIX_WINDOW": "128", "TRIANGLEMIX_STRICT": "1"}
    every = {"TRIANGLEMIX_MIN_KEYS": "1"}  # short prompts, too
    ways = {"stock": (["--device", run.options.device, "-ngl", "99"], {"TRIANGLEMIX_DISABLE": "1"}),
            "exact": (["--device", run.options.proxy, "-ngl", "99"], every),
            "plan": (["--device", run.options.proxy, "-ngl", "99"], plan | every),
            # Naming our CPU device makes builds with linked-in backends load the library.
            "plan on the CPU": (["--device", "TriangleMix", "-ngl", "0"], plan),
            "exact on the CPU": (["--device", "none", "-ngl", "0"], {"TRIANGLEMIX_DISABLE": "1"})}
    got = {}
    for way, (device, env) in ways.items():
        settings_env = run.environment(**env)
        start = time.monotonic()
        with Server(flags + device, env=settings_env, model=run.options.small, folder=pathlib.Path(run.options.llama),
                    context=32768) as server:
            made = kit.Prompts(server.tokenize)
            asked = [made.prompt(i, n) for i, n in enumerate(lengths)]
            got[way] = [server.complete(tokens, n_predict=16, n_probs=50) for tokens in asked[::2]]
            n_alone = len(got[way])
            got[way] += server.complete_all(asked, n_predict=16, n_probs=50)
        shown = server.statistics or {}
        print(f"{way}: {time.monotonic() - start:.1f} s; nodes {shown.get('nodes')}, gpu {shown.get('gpu')}, fallbacks "
              f"{shown.get('fallbacks')}, ubatches {shown.get('ubatches')}", flush=True)
        if way in ("exact", "plan"):
            run.check(sum(shown.get("nodes", {}).values()) > 0, f"{way}: the proxy computed attention")
            run.check(shown.get("rows", {}).get("masked", 0) == 0 and not shown.get("fallbacks"), f"{way}: no fallback")
    # Distances between two ways; the first pair is the yardstick of what other arithmetic does to an answer.
    # A plan's rows depend on how users' prompts fall into ubatches, so there only the prompts that ran alone count.
    every, alone = slice(None), slice(n_alone)
    for name, a, b, some in (("stock GPU, stock CPU", "stock", "exact on the CPU", every),
                             ("stock GPU, proxy exact", "stock", "exact", every),
                             ("plan on the CPU, on the proxy", "plan on the CPU", "plan", alone),
                             ("exact, plan (for scale)", "exact", "plan", alone)):
        pairs = list(zip(got[a][some], got[b][some]))
        same = sum(first_difference(x, y) is None for x, y in pairs)
        far = [kl(x.steps[0], y.steps[0]) for x, y in pairs]
        surprise = max(gap(y.steps[0], x.tokens[0]) for x, y in pairs)
        print(f"{name}: {same} of {len(far)} texts equal, first-token KL mean {sum(far) / len(far):.2e} worst "
              f"{max(far):.2e}, worst gap {surprise:.4f} nats", flush=True)
        run.row(stage="answers", pair=name, equal_texts=same, texts=len(far), kl_mean=sum(far) / len(far), kl_worst=max(far),
                gap_worst=surprise, model=pathlib.Path(run.options.small).name)
    far = {row["pair"]: row["kl_worst"] for row in run.rows if row["stage"] == "answers"}
    bound = 4 * far["stock GPU, stock CPU"] + 1e-4
    run.check(far["stock GPU, proxy exact"] <= bound, f"proxy exact is as close to the stock device as the CPU ({bound:.1e})")
    run.check(far["plan on the CPU, on the proxy"] <= bound, "the plan means on the GPU what it means on the CPU")


def llama_bench(run, devices_, lengths, n_gen, repeat, ubatch, warm, **settings):
    arguments = ["-m", run.options.big, "-ngl", "99", "-fa", "on", "-dev", devices_, "-ub", ubatch, "-b", max(ubatch, 2048),
                 "-p", ",".join(map(str, lengths)) if lengths else "0", "-n", n_gen, "-r", repeat, "-o", "jsonl"]
    if not warm:
        arguments.append("--no-warmup")
    _, out, _ = run.program("llama-bench", *arguments, **settings)
    return [json.loads(line) for line in out.splitlines() if line.startswith("{")]


def record(run, results, way, kind, ubatch):
    for result in results:
        times = sorted(ns / 1e9 for ns in result["samples_ns"])
        n, median = result["n_prompt"] or result["n_gen"], times[len(times) // 2]
        if way == "stock":
            run.stock[(kind, n)] = median
        run.row(stage="bench", kind=kind, way=way, device=result["devices"], n_prompt=result["n_prompt"],
                n_gen=result["n_gen"], ubatch=ubatch, seconds=median, samples_s=times, tokens_per_s=n / median,
                against_stock=run.stock[(kind, n)] / median if (kind, n) in run.stock else None,
                model=pathlib.Path(run.options.big).name, llama_commit=result["build_commit"])


def way_of(run, result, exact="exact"):
    return "stock" if result["devices"] == run.options.device else exact


def decode(run):
    both = f"{run.options.device},{run.options.proxy}"
    for result in llama_bench(run, both, [], run.options.decode_tokens, run.options.repeat, run.options.ubatch, True):
        record(run, [result], way_of(run, result), "decode", run.options.ubatch)


def prefill(run):
    both = f"{run.options.device},{run.options.proxy}"
    lengths = [int(n) for n in run.options.lengths.split(",")]
    short, long = [n for n in lengths if n < 32768], [n for n in lengths if n >= 32768]
    plan = {"TRIANGLEMIX_LAYERS": run.options.layers}
    for result in llama_bench(run, both, short, 0, run.options.repeat, run.options.ubatch, True) if short else []:
        record(run, [result], way_of(run, result), "prefill", run.options.ubatch)
    # Long prompts run once; a shorter one before them, which is not recorded, warms each device up.
    for devices_, some, ubatch, settings in ((both, long, run.options.ubatch, {}),
                                             (run.options.proxy, short[-1:] + long, run.options.triangle_ubatch, plan)):
        for result in llama_bench(run, devices_, [WARM_UP, *some], 0, 1, ubatch, False, **settings) if some else []:
            if result["n_prompt"] != WARM_UP:
                record(run, [result], way_of(run, result, "triangle" if settings else "exact"), "prefill", ubatch)


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
                codes[device], _, log = run.program("llama-bench", "-m", run.options.small, "-ngl", "99", "-fa", "on", "-dev",
                                                    device, "-p", "4096", "-n", "8", "-r", "1",
                                                    TRIANGLEMIX_LAYERS=run.options.small_layers)
                said = [line for line in log.splitlines() if "TriangleMix" in line and "memory" in line]
                print("\n".join(said[:4]), flush=True)
            ballast.stdin.close()
        if not held:
            raise RuntimeError("the card's memory could not be filled")
        stock, proxy = codes.values()
        run.check(stock != 0 or (isinstance(proxy, int) and proxy >= 0), f"{left} MiB left: stock {stock}, proxy {proxy}")
        run.row(stage="memory", mib_left=left, stock=stock, proxy=proxy)


def table(run):
    for row in run.rows:
        if row["stage"] == "bench":
            ratio = f"{row['against_stock']:5.2f}x" if row["against_stock"] else ""
            print(f"{row['kind']:8} {row['n_prompt'] or row['n_gen']:7}  {row['way']:9} ub {row['ubatch']}  "
                  f"{row['seconds']:8.4f} s  {ratio}")


def main():
    options = parse()
    if options.statistics:
        os.makedirs(options.statistics, exist_ok=True)
    run = Runner(options)
    print(f"{run.machine}; commit {run.commit}; llama.cpp in {options.llama}", flush=True)
    stages = {"devices": devices, "ops": ops, "answers": answers, "decode": decode, "prefill": prefill,
              "memory": memory}
    for name in options.stages.split(","):
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
    sys.exit(main())
