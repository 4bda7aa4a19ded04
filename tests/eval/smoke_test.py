"""`trianglemix eval` on the embedded model, whole: RULER and fidelity at 4K tokens, as a user would begin.

Usage: smoke_test.py PROGRAM MODEL
"""

import json
import os
import subprocess
import sys
import tempfile

PROGRAM, MODEL = sys.argv[1:3]
TASKS = ["niah_single_1", "niah_single_2", "niah_single_3", "niah_multikey_1", "niah_multikey_2", "niah_multikey_3",
         "niah_multivalue", "niah_multiquery", "vt", "cwe", "fwe", "qa_1_syn", "qa_2_syn"]
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("TRIANGLEMIX_")}
ENVIRONMENT["OMP_WAIT_POLICY"] = "passive"


def run(folder, *arguments):
    done = subprocess.run([PROGRAM, "eval", "-m", MODEL, "-o", folder, "--precision", "fast", "--lengths", "4096", "-n", "4",
                           *arguments], env=ENVIRONMENT, text=True, capture_output=True, timeout=900)
    print(done.stdout, done.stderr[-3000:])
    assert done.returncode == 0, done.returncode
    with open(os.path.join(folder, "results.jsonl"), encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def main():
    with tempfile.TemporaryDirectory() as folder:
        rows = run(folder, "--suite", "fidelity", "--arms", "plan,all-triangle")
        kl = {row["arm"]: row["following_kl"]["mean"] for row in rows}
        assert 0 < kl["plan"] < kl["all-triangle"], kl
        rows = run(folder, "--suite", "ruler", "--arms", "plan")
        assert [row["task"] for row in rows if row["kind"] == "task"] == TASKS
        suite, = [row for row in rows if row["kind"] == "suite"]
        assert suite["n"] == 52 and suite["vacuous"] == 0 and suite["pairs_kept_share"] < 0.9, suite
        assert suite["reference"] > 5, "a model of 135M parameters finds some needles"
        page = os.path.getsize(os.path.join(folder, "report.html"))
        assert page < 1_000_000, page


main()
