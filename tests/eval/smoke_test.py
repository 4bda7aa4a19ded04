"""`trianglemix eval` as a user would begin, at 4K tokens: fidelity and a needle on the embedded model, whole, and RULER's 13
tasks on its first layers, which answer nonsense, but take a fifth of the time.

Usage: smoke_test.py PROGRAM
"""

import json
import os
import subprocess
import sys
import tempfile
import time

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "host"))
from hostkit import settings  # noqa: E402

PROGRAM = sys.argv[1]
TASKS = ["niah_single_1", "niah_single_2", "niah_single_3", "niah_multikey_1", "niah_multikey_2", "niah_multikey_3",
         "niah_multivalue", "niah_multiquery", "vt", "cwe", "fwe", "qa_1_syn", "qa_2_syn"]
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("TRIANGLEMIX_")}
ENVIRONMENT["OMP_WAIT_POLICY"] = "passive"


def rows_of(model, folder, *arguments):
    start = time.monotonic()
    done = subprocess.run([PROGRAM, "eval", "-m", model, "-o", folder, "--precision", "fast", "--lengths", "4096", "-n", "4",
                           *arguments], env=ENVIRONMENT, text=True, capture_output=True, timeout=900)
    print(f"{time.monotonic() - start:.0f} s", done.stdout, done.stderr[-2000:] if done.returncode else "", flush=True)
    assert done.returncode == 0, done.returncode
    with open(os.path.join(folder, "results.jsonl"), encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def main():
    with tempfile.TemporaryDirectory() as scratch:
        whole, small = os.path.join(scratch, "whole"), os.path.join(scratch, "small")
        rows = rows_of(settings.model(), whole, "--suite", "fidelity", "--arms", "plan,all-triangle")
        kl = {row["arm"]: row["following_kl"]["mean"] for row in rows}
        assert 0 < kl["plan"] < kl["all-triangle"], kl
        rows = rows_of(settings.model(), whole, "--suite", "ruler/niah_single_1", "--arms", "plan")
        suite, = [row for row in rows if row["kind"] == "suite"]
        assert suite["reference"] >= 50, f"the model finds a needle in a text of 4K tokens: {suite}"
        rows = rows_of(settings.small_model(), small, "--suite", "ruler", "--arms", settings.PLAN_LAYERS)
        assert [row["task"] for row in rows if row["kind"] == "task"] == TASKS
        suite, = [row for row in rows if row["kind"] == "suite"]
        assert suite["n"] == 52 and suite["vacuous"] == 0 and suite["pairs_kept_share"] < 0.9, suite
        for folder in (whole, small):
            assert os.path.getsize(os.path.join(folder, "report.html")) < 1_000_000


main()
