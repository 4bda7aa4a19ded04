"""`trianglemix eval` as a user would begin: fidelity and RULER's 13 tasks at 4K tokens on the embedded model, four examples each.
What is asked must all be there and say what is known of it, and the same command again must measure nothing.

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
N = 4
TASKS = ["niah_single_1", "niah_single_2", "niah_single_3", "niah_multikey_1", "niah_multikey_2", "niah_multikey_3",
         "niah_multivalue", "niah_multiquery", "vt", "cwe", "fwe", "qa_1_syn", "qa_2_syn"]
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("TRIANGLEMIX_")}
ENVIRONMENT["OMP_WAIT_POLICY"] = "passive"


def lines_of(folder, name):
    with open(os.path.join(folder, name), encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def rows_of(folder, *arguments):
    start = time.monotonic()
    done = subprocess.run([PROGRAM, "eval", "-m", settings.model(), "-o", folder, "--precision", "fast", "--lengths", "4096",
                           "-n", str(N), "--together", str(N), *arguments],
                          env=ENVIRONMENT, text=True, capture_output=True, timeout=1500)
    print(f"{time.monotonic() - start:.0f} s", done.stdout, done.stderr[-2000:] if done.returncode else "", flush=True)
    assert done.returncode == 0, done.returncode
    return lines_of(folder, "results.jsonl")


def check_fidelity(folder):
    rows = {row["arm"]: row for row in rows_of(folder, "--suite", "fidelity", "--arms", "plan,noise,all-triangle")}
    kl = {arm: row["following_kl"]["mean"] for arm, row in rows.items()}
    assert 0 == kl["noise"] < kl["plan"] < kl["all-triangle"], f"our kernels give the same bits for any ubatch: {kl}"
    for verdict in ("perplexity_verdict", "flips_verdict"):
        assert rows["noise"][verdict] == "PASS", rows["noise"]
    assert all(row["n"] == N for row in rows.values()), rows
    assert len(lines_of(folder, "records.jsonl")) == 3 * N


def check_ruler(folder):
    asked = ["--suite", "ruler", "--arms", "plan"]
    rows = rows_of(folder, *asked)
    tasks = [row for row in rows if row["kind"] == "task"]
    assert [row["task"] for row in tasks] == TASKS
    assert all(row["n"] == N and row["vacuous"] == 0 for row in tasks), tasks
    found = {row["task"]: row["reference"] for row in tasks}
    assert found["niah_single_1"] >= 50, f"the model finds a needle in a text of 4K tokens: {found}"
    suite, = [row for row in rows if row["kind"] == "suite"]
    assert suite["n"] == N * len(TASKS) and suite["pairs_kept_share"] < 0.9, suite
    time_spent, = [row for row in rows if row["kind"] == "throughput"]
    assert time_spent["n"] == 2 * N * len(TASKS) and 0 < time_spent["prefill_share"] < 1, time_spent
    records = lines_of(folder, "records.jsonl")
    assert len({record["key"] for record in records}) == len(records) == 3 * N + 2 * N * len(TASKS)
    again = rows_of(folder, *asked)
    assert lines_of(folder, "records.jsonl") == records, "what is on file was measured again"
    assert [row["score"] for row in again if row["kind"] == "task"] == [row["score"] for row in tasks]


def main():
    with tempfile.TemporaryDirectory() as folder:
        check_fidelity(folder)
        check_ruler(folder)
        with open(os.path.join(folder, "report.html"), encoding="utf-8") as file:
            page = file.read()
        assert len(page) < 1_000_000 and "records are missing" not in page
        assert all(f"ruler/{task}" in page for task in TASKS)


main()
