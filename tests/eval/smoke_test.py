"""`trianglemix eval` as a user would begin, at 2K tokens: fidelity and RULER's 13 tasks, two examples each, on the embedded
model's first two layers, which answer nonsense, but take a tenth of the time. What was asked must all be there, and the same
command again must measure nothing.

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
PLAN = "0"  # not the upper of two layers: of what it computes for the middle of a prompt, nothing else is computed
N = 2
TASKS = ["niah_single_1", "niah_single_2", "niah_single_3", "niah_multikey_1", "niah_multikey_2", "niah_multikey_3",
         "niah_multivalue", "niah_multiquery", "vt", "cwe", "fwe", "qa_1_syn", "qa_2_syn"]
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("TRIANGLEMIX_")}
ENVIRONMENT["OMP_WAIT_POLICY"] = "passive"


def lines_of(folder, name):
    with open(os.path.join(folder, name), encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def rows_of(folder, *arguments):
    start = time.monotonic()
    done = subprocess.run([PROGRAM, "eval", "-m", settings.smallest_model(), "-o", folder, "--lengths", "2048", "-n", str(N),
                           "--together", str(N), *arguments], env=ENVIRONMENT, text=True, capture_output=True, timeout=1500)
    print(f"{time.monotonic() - start:.0f} s", done.stdout, done.stderr[-2000:] if done.returncode else "", flush=True)
    assert done.returncode == 0, done.returncode
    return lines_of(folder, "results.jsonl")


def one(rows, **wanted):
    found, = [row for row in rows if all(row.get(key) == value for key, value in wanted.items())]
    return found


def check_fidelity(folder):
    rows = rows_of(folder, "--suite", "fidelity", "--arms", f"{PLAN},noise")
    plan, noise = (one(rows, kind="fidelity", arm=arm) for arm in (PLAN, "noise"))
    assert 0 == noise["following_kl"]["mean"] < plan["following_kl"]["mean"], "our kernels give the same bits for any ubatch"
    assert noise["perplexity_verdict"] == noise["flips_verdict"] == "PASS" and plan["n"] == noise["n"] == N, noise


def check_all_tasks(folder):
    asked = [folder, "--suite", "ruler", "--arms", PLAN]
    rows = rows_of(*asked)
    tasks = [row for row in rows if row["kind"] == "task"]
    assert [row["task"] for row in tasks] == TASKS
    assert all(row["n"] == N and row["vacuous"] == 0 for row in tasks), tasks
    suite = one(rows, kind="suite")
    assert suite["n"] == N * len(TASKS) and suite["pairs_kept_share"] < 0.9, suite
    time_spent = one(rows, kind="throughput")
    assert time_spent["n"] == 2 * N * len(TASKS) and 0 < time_spent["prefill_share"] < 1, time_spent
    records = lines_of(folder, "records.jsonl")
    assert len({record["key"] for record in records}) == len(records) == 2 * N + 2 * N * len(TASKS)
    again = rows_of(*asked)
    assert lines_of(folder, "records.jsonl") == records, "what is on file was measured again"
    assert [row["score"] for row in again if row["kind"] == "task"] == [row["score"] for row in tasks]
    with open(os.path.join(folder, "report.html"), encoding="utf-8") as file:
        page = file.read()
    assert len(page) < 1_000_000 and "records are missing" not in page
    assert all(f"ruler/{task}" in page for task in TASKS)


def main():
    with tempfile.TemporaryDirectory() as folder:
        check_fidelity(folder)
        check_all_tasks(folder)


main()
