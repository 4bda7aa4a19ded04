"""tmx_bench_arm: one prompt, computed one way, once, in a process of its own. For scripts that compare ways."""
import ctypes
import json
import os
import pathlib
import platform
import re
import shlex
import subprocess

import rowkit

DEPS = pathlib.Path(os.environ.get("TMX_DEPS_DIR", rowkit.ROOT / ".deps"))

STOCK_SETTINGS = [
    {"way": "stock-fa", "ubatch": 512},  # llama.cpp's own default
    {"way": "stock", "ubatch": 512},
    {"way": "stock-fa", "ubatch": 2048},
    {"way": "stock", "ubatch": 2048},
]


class Failure(Exception):
    """A run that did not give a result; its text is for the user."""


def program(build):
    path = pathlib.Path(build) / "bin" / "tmx_bench_arm"
    if not path.exists():
        raise Failure(f"{path} is not there: cmake --build {build} --target tmx_bench_arm")
    return path


def may_use_amx():
    """Whether Linux lets this process, and those that it starts, use AMX. A CPU that has it is not enough."""
    arch_prctl, request_permission, tile_data = 158, 0x1023, 18
    on_linux = (platform.system(), platform.machine()) == ("Linux", "x86_64")
    return on_linux and ctypes.CDLL(None).syscall(arch_prctl, request_permission, tile_data) == 0


def machine_name():
    text = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8")
    flags = re.search(r"^(?:flags|Features)\s*:\s*(.*)$", text, re.M)
    words = flags.group(1).split() if flags else []
    withheld = "amx_bf16" in words and not may_use_amx()
    if withheld:
        words.remove("amx_bf16")
    best = next((f for f in ("amx_bf16", "avx512_bf16", "avx512f", "avx2", "asimd") if f in words), "")
    return (f"{rowkit.cpu()}, {len(os.sched_getaffinity(0))} cores" + (f", {best}" if best else "")
            + (", AMX not permitted" if withheld else ""))


def long_document(path, n_tokens, folder):
    """The document, repeated until it has surely enough tokens; cut to their number by tmx_bench_arm."""
    text = pathlib.Path(path).read_text(encoding="utf-8")
    repeated = pathlib.Path(folder) / "document.txt"
    repeated.write_text(text * (1 + 8 * n_tokens // max(1, len(text))), encoding="utf-8")
    return repeated


def environment(products):
    """The caller's without anything that steers the backend, and who computes matrix products; None: nothing is set."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TRIANGLEMIX_")}
    return clean | ({"TRIANGLEMIX_PRODUCTS": products} if products else {})


def last_json(command, products="off"):
    """Runs it; the JSON object that it prints last."""
    command = [str(part) for part in command]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False,
                          env=environment(products))
    for line in reversed(done.stdout.splitlines()):
        if line.startswith("{"):
            return json.loads(line)
    tail = "\n".join((done.stdout + done.stderr).splitlines()[-15:])
    raise Failure(f"{shlex.join(command)}\nended with {done.returncode} and no result:\n{tail}")


def products_of(run):
    """(who computed matrix products, seconds in ours), or (None, None) where the run does not say."""
    products = run.get("products")
    if products is None:
        return None, None
    return products["way"], sum(done["seconds"] for done in products["computed"])
