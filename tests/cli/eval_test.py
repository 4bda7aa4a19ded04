"""`trianglemix eval` as its users meet it: reports, stopping and going on, the same result twice, wrong usage.

On the model with two of its layers, which tests/host/hostkit makes; what it answers is nonsense, but the same nonsense.

Usage: eval_test.py PROGRAM FAKE_GPU_MODULE
"""

import json
import os
import signal
import subprocess
import sys
import time
import unittest

from profile_kit import ENVIRONMENT, PROGRAM, Case, GpuCase, Pages, run, settings, text_of

MODEL = settings.smallest_model()

SHORT = ["-m", MODEL, "-t", "2", "--suite", "fidelity,ruler/vt", "--lengths", "1024", "-n", "3",
         "--together", "2", "--following", "8", "--document", "8", "--arms", "0,noise,all-triangle"]
TIMES = ("date", "command", "prefill_s", "wall_s", "prefill_share")


def command(folder, *arguments):
    return [PROGRAM, "eval", *SHORT, "-o", folder, *arguments]


def rows_of(folder):
    """Without what differs between two runs of the same: times, dates, the command."""
    rows = [json.loads(line) for line in text_of(folder, "results.jsonl").splitlines()]
    return [{key: value for key, value in row.items() if not key.startswith("ttft") and key not in TIMES} for row in rows]


class Usage(Case):
    def test_help_teaches(self):
        self.check(run(PROGRAM, "eval", "--help"), 0, "Suites:", "Arms:", "INCONCLUSIVE", "Examples:", "records.jsonl")

    def test_wrong_usage(self):
        def wrong(code, texts, *arguments):
            self.check(run(PROGRAM, "eval", "-m", MODEL, "-o", self.folder, *arguments), code, *texts)
        wrong(1, ["no task or suite", "ruler, needle"], "--suite", "rular", "--arms", "1")
        wrong(1, ["arm upper:9", "from 1 to 2"], "--arms", "upper:9")
        wrong(1, ["arm 4-99"], "--arms", "4-99")
        wrong(1, ["arm nothing"], "--arms", "nothing")
        wrong(1, ["9000", "8192"], "--lengths", "9000", "--arms", "1")
        wrong(2, ["--diversity"], "--diversity", "some")
        wrong(1, ["needs at least", "ruler/"], "--suite", "ruler/vt", "--lengths", "256", "--arms", "1")


class Runs(Case):
    def test_a_run_that_is_killed_goes_on_to_the_same_report(self):
        whole, broken = os.path.join(self.folder, "whole"), os.path.join(self.folder, "broken")
        self.check(run(*command(whole)), 0, "ruler", "report.html")
        process = subprocess.Popen(command(broken), env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        records = os.path.join(broken, "records.jsonl")
        deadline = time.monotonic() + 120
        while not os.path.exists(records) or os.path.getsize(records) < 3000:
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        with open(records, "a", encoding="utf-8") as file:
            file.write('{"key": "half a li')
        n_before = text_of(broken, "records.jsonl").count("\n")
        self.check(run(*command(broken)), 0, f"going on with {n_before} records")
        self.assertEqual(rows_of(broken), rows_of(whole))
        # Everything is there: nothing is measured again, and one line says what each row is.
        before = text_of(whole, "records.jsonl")
        self.check(run(*command(whole)), 0)
        self.assertEqual(text_of(whole, "records.jsonl"), before)
        self.look_at(whole)

    def look_at(self, folder):
        rows = rows_of(folder)
        self.assertEqual({row["kind"] for row in rows}, {"suite", "task", "fidelity", "throughput"})
        by_arm = {row["arm"]: row for row in rows if row["kind"] == "fidelity"}
        self.assertGreater(by_arm["all-triangle"]["first_kl"]["mean"], 10 * by_arm["noise"]["first_kl"]["mean"])
        self.assertLess(by_arm["0"]["pairs_kept_share"], 1)
        suites = [row for row in rows if row["kind"] == "suite"]
        self.assertEqual([row["n"] for row in suites], [3] * 3)
        self.assertTrue(all(row["vacuous"] == 0 and 0.02 < row["sparse_fraction_mean"] < 0.15 for row in suites))
        page = text_of(folder, "report.html")
        pages = Pages()
        pages.feed(page)
        self.assertEqual(pages.open, [])
        self.assertEqual(pages.addresses, [])
        self.assertLess(len(page), 1_000_000)
        self.assertIn("report-ruler-tasks.svg", os.listdir(folder))

    def test_answers_of_a_thousand_tokens(self):
        self.check(run(PROGRAM, "eval", "-m", MODEL, "-t", "2", "-o", self.folder, "--suite", "fidelity,long-answer",
                       "--lengths", "3200", "-n", "1", "--following", "256", "--document", "8", "--arms", "all-triangle"), 0)
        rows = {row["kind"]: row for row in rows_of(self.folder)}
        self.assertEqual(rows["fidelity"]["following_tokens"], 256)
        self.assertEqual(len(rows["fidelity"]["following_kl_quarters"]), 4)
        self.assertAlmostEqual(sum(rows["fidelity"]["following_kl_quarters"]) / 4, rows["fidelity"]["following_kl"]["mean"], 2)
        records = [json.loads(line) for line in text_of(self.folder, "records.jsonl").splitlines()]
        self.assertEqual([record["n_spoken"] for record in records if record["kind"] == "fidelity"], [256])
        self.assertEqual([record["n_gold"] >= 990 for record in records if record["kind"] == "answer"], [True, True])
        page = text_of(self.folder, "report.html")
        for text in ("256 tokens that dense", "by quarters", "long-answer/recite"):
            self.assertIn(text, page)
        tokens = {record["arm"]: len(record["token_ids"]) for record in records if record["kind"] == "answer"}
        self.assertEqual(rows["task"]["answer_tokens"], tokens["all-triangle"])
        self.assertEqual("tokens answered" in page, max(tokens.values()) >= 500)

    def test_other_choices_of_layers(self):
        self.check(run(PROGRAM, "eval", "-m", settings.small_model(), "-t", "2", "-o", self.folder, "--suite", "fidelity",
                       "--lengths", "1024", "-n", "1", "--following", "8", "--document", "8", "--arms",
                       "upper:2,random:2#1,random:2#2,a-shape"), 0)
        rows = {row["arm"]: row for row in rows_of(self.folder)}
        self.assertEqual({arm: row["role"] for arm, row in rows.items()},
                         {"upper:2": "candidate", "random:2#1": "candidate", "random:2#2": "candidate", "a-shape": "negative"})
        self.assertEqual(len({row["plan_sha256"] for row in rows.values()}), 4)
        self.assertEqual(rows["upper:2"]["pairs_kept_share"], rows["random:2#1"]["pairs_kept_share"])
        self.assertLess(rows["a-shape"]["pairs_kept_share"], rows["upper:2"]["pairs_kept_share"])

    def test_interrupted(self):
        process = subprocess.Popen(command(self.folder), env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        records = os.path.join(self.folder, "records.jsonl")
        deadline = time.monotonic() + 120
        while not os.path.exists(records) or os.path.getsize(records) < 1000:
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 130, error)
        self.assertIn(b"the same command goes on", error)

    def test_a_time_limit_leaves_a_report(self):
        self.check(run(*command(self.folder, "--time-limit", "0.0001")), 0, "time limit", "the same command goes on")
        self.assertIn("not finished", text_of(self.folder, "report.html"))


class OnAGpu(GpuCase):
    def test_examples_made_ahead_are_the_same(self):
        asked = ["-m", MODEL, "-t", "2", "--suite", "ruler/vt,ruler/fwe", "--lengths", "900", "-n", "2", "--together",
                 "1", "--arms", "0"]
        examples = []
        for folder, program, *device in (("cpu", PROGRAM), ("gpu", self.program, "--device", "TriangleMix0")):
            folder = os.path.join(self.folder, folder)
            self.check(run(program, "eval", *asked, *device, "-o", folder), 0)
            records = [json.loads(line) for line in text_of(folder, "records.jsonl").splitlines()]
            examples.append([(r["task"], r["length"], r["id"], r["arm"], r["ids_hash"]) for r in records])
        self.assertEqual(len(examples[0]), 2 * 2 * 2)
        self.assertEqual(examples[1], examples[0])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
