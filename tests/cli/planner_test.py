"""`trianglemix profile --menu` as its users meet it: a mix within a budget, its report, stopping and going on.

On the model with six of its layers, which tests/host/hostkit makes. Prompts are long enough that a tenth of the pairs is
seen to take less time than all of them, on a busy machine too.

Usage: planner_test.py PROGRAM FAKE_GPU_MODULE
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import unittest

from profile_kit import ENVIRONMENT, MODEL, N_LAYER, PROGRAM, Case, Pages, command, run, settings, text_of

FAKE_GPU_MODULE = sys.argv[2]
MENU = ["--menu", "triangle,stride:stride=3"]
LONG = ["--builtin", "needle", "--length", "700,1100", "--samples", "1", "--check-samples", "1", "--questions", "1"]
QUICK = ["--builtin", "needle", "--length", "700", "--quick"]
# Where pairs are counted, no saved time has to be seen.
SHORT = ["--builtin", "needle", "--length", "350", "--quick", "--aim", "pairs"]
TIMES = ("prefill_s", "dense_prefill_s", "layers")


def records_of(folder):
    rows = [json.loads(line) for line in text_of(folder, "plan.json.records.jsonl").splitlines()]
    return {row["key"]: {name: value for name, value in row.items() if name not in TIMES} for row in rows}


def numbers(text):
    """Of a set as plans write it: "0,4,7-9"."""
    ends = [part.split("-") for part in text.split(",")]
    return [number for end in ends for number in range(int(end[0]), int(end[-1]) + 1)]


def heads_of(text):
    """Of a set of heads: "0:1,3;2:0-8"."""
    parts = (part.split(":") for part in text.split(";"))
    return [(int(layer), head) for layer, heads in parts for head in numbers(heads)]


def given_back(row):
    """Layers with the heads that a finding says are given back."""
    return [(int(layer), numbers(heads)) for layer, heads in (part.split(":") for part in row["given_back"].split(";"))]


class Usage(Case):
    def test_menus_that_say_nothing(self):
        self.check(run(*command(self.folder, "--menu", "")), 2, "--menu", "expected one of: triangle, ")
        self.check(run(*command(self.folder, "--menu", "triangel")), 2, "found \"triangel\"", "triangle, ")
        self.check(run(*command(self.folder, "--menu", "stride:stride=0")), 2, "stride: found \"0\"", "from 1 to 1048576")
        self.check(run(*command(self.folder, "--menu", "stride:step=4")), 2, "stride has no \"step\"; it has: stride")
        self.assertEqual(os.listdir(self.folder), [])

    def test_what_a_menu_excludes(self):
        for other in (["--select", "3"], ["--method", "both"], ["--layers", "3"], ["--order-by", "ablation"],
                      ["--ablate-in", "probe"], ["--threshold", "1"], ["--curve"], ["--yardsticks"]):  # fmt: skip
            self.check(run(*command(self.folder, *MENU, *other)), 2, "--menu", other[0])
        self.check(run(*command(self.folder, *MENU, "--check-samples", "0")), 2, "--check-samples")
        for option in (["--aim", "pairs"], ["--questions", "2"], ["--plan-only"], ["--start", "heads.json"]):
            self.check(run(*command(self.folder, *option)), 2, option[0], "--menu")
        self.check(run(*command(self.folder, *MENU, "--questions", "9")), 2, "--questions", "8")
        self.check(run(*command(self.folder, *MENU, "--aim", "heat")), 2, "--aim", "{time,pairs}")
        self.check(run(*command(self.folder, *MENU, "--start-share", "0.5")), 2, "--start-share", "--start")
        for share in ("0", "1.1", "nan", "half"):
            done = run(*command(self.folder, *MENU, "--start", "heads.json", "--start-share", share))
            self.check(done, 2, "--start-share", f"found {share}, expected a number above 0 and at most 1")

    def test_help_teaches(self):
        self.check(run(PROGRAM, "profile", "--help"), 0, "--menu", "Menu:", "triangle:window=1024", "stride:stride=10")


class Mixes(Case):
    def test_a_mix_within_a_budget_with_report(self):
        paths = {name: os.path.join(self.folder, name) for name in ("report.html", "scores.jsonl", "findings.jsonl")}
        arguments = [*MENU, *LONG, "--kl-budget", "2", "--report", paths["report.html"], "--scores", paths["scores.jsonl"],
                     "--findings", paths["findings.jsonl"]]  # fmt: skip
        done = run(*command(self.folder, *arguments))
        self.check(done, 0, "of 6 layers are not dense", "checked on 2 other prompts", "Triangle alone", "expected")
        plan = json.loads(text_of(self.folder, "plan.json"))
        made = plan["provenance"]
        self.assertEqual((made["method"], made["chosen_by"], made["candidates"]), ("menu", {"kl_budget": 2}, "0-5"))
        self.assertEqual([row["entry"] for row in made["menu"]], ["triangle", "stride:stride=3"])
        for row in made["menu"]:
            self.assertEqual([len(row[key]) for key in ("damage", "saved_ms", "pairs")], [N_LAYER] * 3)
            self.assertTrue(all(0 < share < 0.6 for share in row["pairs"]), row)
        self.assertTrue(all(check["mean_first_kl"] <= 2 for check in made["check"]))
        lengths = [check["tokens"] for check in made["check"]]
        self.assertTrue(650 < lengths[0] <= 700 and 1050 < lengths[1] <= 1100, lengths)
        self.assertEqual(made["measured_up_to"], lengths[1])
        # Almost everything is allowed, so almost every layer takes the entry that saves most, whatever the clock says.
        self.assertEqual(plan["version"], 2 if "stride" in done.stdout.splitlines()[0] else 1)
        self.check(run(PROGRAM, "info", "-m", MODEL, "--plan", os.path.join(self.folder, "plan.json")), 0)
        self.look_at_page(text_of(self.folder, "report.html"))
        self.look_at_scores([json.loads(line) for line in text_of(self.folder, "scores.jsonl").splitlines()])
        found = [json.loads(line) for line in text_of(self.folder, "findings.jsonl").splitlines()]
        self.assertEqual([row["finding"] for row in found], ["everywhere"] * 2 + ["chosen"] * 4 + ["run"])
        self.assertEqual({row["way"] for row in found if row["finding"] == "chosen"}, {"the plan", "Triangle alone"})
        self.assertEqual(found[-1]["menu"], ["triangle", "stride:stride=3"])
        # The same records give the same plan, and nothing is measured again.
        before = [text_of(self.folder, name) for name in ("plan.json", "plan.json.records.jsonl")]
        self.check(run(*command(self.folder, *arguments)), 0, "going on with")
        self.assertEqual([text_of(self.folder, name) for name in ("plan.json", "plan.json.records.jsonl")], before)

    def look_at_page(self, page):
        parser = Pages()
        parser.feed(page)
        self.assertEqual((parser.open, parser.n_svg, parser.addresses), ([], 3, []))
        self.assertEqual(set(re.findall(r"https?://[^\"' ]+", page)), {"http://www.w3.org/2000/svg"})
        self.assertNotIn("nan", re.sub(r"[a-z]nan|nan[a-z]", "", page))
        for name in ("frontier-pairs", "frontier-ttft", "choices"):
            self.assertIn(text_of(self.folder, f"report-{name}.svg"), page)
            if shutil.which("rsvg-convert"):
                self.assertGreater(os.path.getsize(os.path.join(self.folder, f"report-{name}.png")), 1000)
        for text in ("triangle in every layer", "stride in every layer", "Triangle alone, within the budget",
                     "the plan, on prompts kept back", "budget, 2", "mix, expected", "Check", "All choices"):  # fmt: skip
            self.assertIn(text, page)

    def look_at_scores(self, rows):
        choices = [row for row in rows if row["type"] == "choice"]
        self.assertEqual([(row["layer"], row["entry"]) for row in choices],
                         [(layer, entry) for layer in range(N_LAYER) for entry in ("triangle", "stride:stride=3")])  # fmt: skip
        self.assertTrue(any("at_shortest" in row for row in choices))
        for row in choices:
            if "at_shortest" in row:
                found = row["at_shortest"]
                self.assertTrue(row["floor"] >= 0 and found["first_kl"] >= 0, row)
                self.assertAlmostEqual(found["mean_kl"], (found["first_kl"] + 2 * found["following_kl"]) / 3, delta=1e-12)
        mixes = [row for row in rows if row["type"] == "mix"]
        dense = [row for row in mixes if row["set"] == "dense"]
        self.assertEqual([(row["first_kl"], row["pairs"]) for row in dense], [(0, 1)] * 2)
        self.assertTrue(any(row["held_out"] for row in mixes))
        everywhere = next(row for row in mixes if row["set"] == "triangle 0-5")
        self.assertGreater(everywhere["first_kl"], 0)
        self.assertLess(everywhere["pairs"], 0.25)

    def test_a_budget_that_only_the_last_layer_keeps(self):
        # Only the prompt's last row leaves the last layer, and it is dense.
        done = run(*command(self.folder, *MENU, *QUICK, "--kl-budget", "1e-30"))
        self.check(done, 0, "1 of 6 layers are not dense", "checked on 1 other prompts: mean first-token KL 0 at")
        plan = json.loads(text_of(self.folder, "plan.json"))
        self.assertEqual((plan["version"], plan["triangle_layers"]), (1, "5"), "it saves more than a third of the blocks")
        self.assertTrue(plan["provenance"]["data"]["quick"])

    def test_fewest_pairs_checked_at_another_length(self):
        # A window of 24 is less than a third of the blocks, whatever the clock says.
        done = run(*command(self.folder, *MENU, *SHORT, "--check-length", "500", "--kl-budget", "9"))
        self.check(done, 0, "6 of 6 layers are not dense: triangle 0-5", "attention pairs computed: ")
        made = json.loads(text_of(self.folder, "plan.json"))["provenance"]
        self.assertEqual((made["aim"], made["data"]["lengths"], made["data"]["check_lengths"]), ("pairs", [350], [500]))
        self.assertTrue(450 < made["check"][0]["tokens"] <= 500, made["check"])
        self.assertEqual(made["measured_up_to"], made["check"][0]["tokens"])

    def test_on_a_plan_of_heads(self):
        folder = os.path.join(self.folder, "heads")
        os.mkdir(folder)
        self.check(run(*command(folder, *QUICK, "--method", "gradient", "--per-head", "--select", "20")), 0,
                   "20 of 54 heads triangle")  # fmt: skip
        heads = os.path.join(folder, "plan.json")
        start = json.loads(text_of(folder, "plan.json"))
        self.assertTrue(start["per_head"])
        arguments = [*QUICK, "--aim", "pairs", "--start", heads, "--menu", "stride:stride=3"]
        done = run(*command(self.folder, *arguments, "--kl-budget", "9"))
        self.check(done, 0, "of 6 layers are not dense: stride:stride=3", "plan.json has no triangle heads")
        plan = json.loads(text_of(self.folder, "plan.json"))
        self.assertEqual(plan["triangle_layers"], start["triangle_layers"])
        # A head that was dense selects, or its layer is as it was: of so short a prompt some layers save nothing.
        selected = {rule["layers"]: rule["heads"] for rule in plan["dynamic"] if "heads" in rule}
        self.assertTrue(selected)
        left = {layer: each["dense_heads"] for layer, each in plan.get("per_head", {}).items()}
        self.assertEqual(selected | left, {layer: each["dense_heads"] for layer, each in start["per_head"].items()})
        self.assertEqual(plan["provenance"]["start"].keys(), {"file", "layers_sha256"})
        self.assertEqual(plan["provenance"]["start"]["file"], "plan.json")
        self.assertIn("plan.json alone, with all of its 20 triangle heads: mean first-token KL", done.stdout)
        other = ["--start", "preset:llama-3.1-8b-instruct"]
        self.check(run(*command(self.folder, *MENU, *QUICK, *other)), 2, *other, "plan is for 32 layers, the model has 6")

    def test_harmful_heads_of_a_start_are_given_back(self):
        heads = os.path.join(self.folder, "heads.json")
        shape = {"architecture": "llama", "layers": N_LAYER, "heads": 9, "kv_heads": 3, "head_dim": 64}
        start = {"format": "trianglemix-plan", "version": 1, "model": shape, "sink": 4, "window": 24, "last": 16}

        def write_start(layers):
            with open(heads, "w", encoding="utf-8") as file:
                json.dump(start | {"triangle_layers": layers}, file)

        write_start("0,2,5")
        findings = os.path.join(self.folder, "findings.jsonl")
        arguments = [*SHORT, "--start", heads, "--menu", "stride:stride=3", "--findings", findings]

        def profile(*more):
            done = run(*command(self.folder, *arguments, *more))
            self.check(done, 0, "heads.json alone")
            found = [json.loads(line) for line in text_of(self.folder, "findings.jsonl").splitlines()]
            return done, [row for row in found if row["finding"] == "start"][-1]

        _, whole = profile("--kl-budget", "9")
        self.assertEqual((whole["given_back"], whole["heads_before"], whole["measurements"]), ("none", 27, 1))
        budget = whole["first_kl_before"]
        self.assertGreater(budget, 0)
        # All of the budget is no more than its share; the menu is left nothing, and it is no error.
        _, all_of_it = profile("--kl-budget", repr(2 * budget), "--start-share", "1")
        self.assertEqual(all_of_it["given_back"], "none")
        done, some = profile("--kl-budget", repr(2 * budget), "--start-share", "0.3")
        self.assertIn("do most of the harm: heads ", done.stdout)
        self.assertEqual(some["first_kl_before"], budget)
        self.assertLessEqual(some["first_kl_after"], 0.6 * budget)
        self.assertTrue(some["heads_before"] > some["heads_after"] > 9, some)
        self.assertEqual(some["heads_after"], 27 - sum(len(given) for _, given in given_back(some)))
        plan = json.loads(text_of(self.folder, "plan.json"))
        self.assertEqual(plan["provenance"]["start"]["given_back"], some["given_back"])
        # What was given back is dense, or selects as the menu says.
        selected = {layer: rule["heads"] for rule in plan.get("dynamic", []) if "heads" in rule
                    for layer in numbers(rule["layers"])}  # fmt: skip
        for layer, given in given_back(some):
            dense = plan.get("per_head", {}).get(str(layer), {}).get("dense_heads", selected.get(layer))
            if dense is None:
                self.assertEqual(len(given), 9, plan)
                self.assertNotIn(layer, numbers(plan["triangle_layers"]))
            else:
                self.assertEqual(numbers(dense), given, plan)
        # The same records give the same, and nothing is measured again.
        before = text_of(self.folder, "plan.json.records.jsonl")
        profile("--kl-budget", repr(2 * budget), "--start-share", "0.3")
        self.assertEqual(text_of(self.folder, "plan.json.records.jsonl"), before)
        # Next to no budget: of the last layer only the prompt's last rows count, which are dense, so it stays.
        write_start("0,5")
        _, least = profile("--kl-budget", "1e-30")
        self.assertEqual((least["heads_after"], least["first_kl_after"], least["given_back"]), (9, 0, "0:0-8"))

    def test_layers_that_take_nothing_are_looked_at_head_by_head(self):
        heads = os.path.join(self.folder, "heads.json")
        shape = {"architecture": "llama", "layers": N_LAYER, "heads": 9, "kv_heads": 3, "head_dim": 64}
        start = {"format": "trianglemix-plan", "version": 1, "model": shape, "sink": 4, "window": 24, "last": 16}
        with open(heads, "w", encoding="utf-8") as file:
            json.dump(start | {"triangle_layers": "3", "per_head": {"3": {"dense_heads": "1-7"}}}, file)
        outputs = {name: os.path.join(self.folder, name) for name in ("scores", "findings", "report")}
        arguments = command(self.folder, "--builtin", "needle", "--length", "300", "--quick", "--aim", "pairs", "--start", heads,
                            "--menu", "stride:stride=3", "--per-head", "--start-share", "1", "--kl-budget", "0.0008",
                            *(each for name, path in outputs.items() for each in (f"--{name}", path)))  # fmt: skip
        self.check(run(*arguments), 0, "were looked at head by head: ", "checked on 1 other prompts")
        rows = [json.loads(line) for line in text_of(self.folder, "findings").splitlines()]
        found = next(row for row in rows if row["finding"] == "heads")
        looked_at, taken = (heads_of(found[name]) for name in ("looked_at", "taken"))
        self.assertTrue(taken and set(taken) < set(looked_at), found)
        plan = json.loads(text_of(self.folder, "plan.json"))
        self.assertEqual(plan["provenance"]["by_head"], found["looked_at"])
        selected = {(layer, head) for rule in plan["dynamic"] for layer in numbers(rule["layers"])
                    for head in numbers(rule.get("heads", "0-8"))}  # fmt: skip
        by_head = {layer for layer, _ in looked_at}
        self.assertEqual({each for each in selected if each[0] in by_head}, set(taken))
        scores = [json.loads(line) for line in text_of(self.folder, "scores").splitlines()]
        self.assertEqual([(row["layer"], row["head"]) for row in scores if "head" in row], looked_at)
        self.assertIn("head by head</td>", text_of(self.folder, "report"))
        # The same records give the same plan, and nothing is measured again.
        before = [text_of(self.folder, name) for name in ("plan.json", "plan.json.records.jsonl")]
        self.check(run(*arguments), 0, "going on with")
        self.assertEqual([text_of(self.folder, name) for name in ("plan.json", "plan.json.records.jsonl")], before)

    def test_floors_are_measured_with_quantised_weights_only(self):
        arguments = command(self.folder, "--menu", "stride:stride=3", *SHORT, "--kl-budget", "9")
        for model, measured in ((MODEL, True), (settings.small_sharp_model(), False)):
            done = run(*[model if each == MODEL else each for each in arguments])
            self.check(done, 0, "of 6 layers are not dense")
            self.assertEqual(" floors " in done.stderr, measured, done.stderr)

    def test_a_question_costs_its_own_rows_and_answers_as_if_it_were_asked_alone(self):
        arguments = ["--menu", "triangle,stride:stride=3,means:alpha=0.1", *SHORT, "--questions", "3", "--ubatch", "256",
                     "--kl-budget", "2", "--plan-only"]  # fmt: skip
        self.check(run(*command(self.folder, *arguments)), 0, "checked on 3 other prompts")
        made = json.loads(text_of(self.folder, "plan.json"))["provenance"]
        self.assertEqual(made["data"]["questions"], 3)
        together = records_of(self.folder)
        # What is gone is computed whole, since the questions before it are on file.
        path = os.path.join(self.folder, "plan.json.records.jsonl")
        lines = text_of(self.folder, "plan.json.records.jsonl").splitlines(keepends=True)
        kept = [line for line in lines if "question 3" not in line]
        self.assertGreater(len(lines) - len(kept), 2 * N_LAYER)
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(kept)
        self.check(run(*command(self.folder, *arguments)), 0, "going on with")
        self.assertEqual(records_of(self.folder), together)
        self.assertEqual(json.loads(text_of(self.folder, "plan.json"))["provenance"]["check"], made["check"])

    def test_what_the_backend_computes_exactly_is_no_measurement(self):
        done = run(*command(self.folder, *MENU, *QUICK), TRIANGLEMIX_MIN_ROWS="4096")
        self.check(done, 1, "did not compute layer 0 as triangle", "rows", "TRIANGLEMIX_MIN_ROWS")
        self.assertFalse(os.path.exists(os.path.join(self.folder, "plan.json")))

    def test_stopped_and_gone_on(self):
        whole, parts = os.path.join(self.folder, "whole"), os.path.join(self.folder, "parts")
        os.mkdir(whole)
        os.mkdir(parts)
        arguments = [*MENU, *SHORT, "--kl-budget", "2"]
        self.check(run(*command(whole, *arguments)), 0)
        records = os.path.join(parts, "plan.json.records.jsonl")
        process = subprocess.Popen(command(parts, *arguments), env=ENVIRONMENT, text=True, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)  # fmt: skip
        while process.poll() is None and not (os.path.exists(records) and os.path.getsize(records) > 1000):
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 130, said)
        self.assertIn("goes on from there", said)
        self.assertFalse(os.path.exists(os.path.join(parts, "plan.json")))
        begun = text_of(parts, "plan.json.records.jsonl")
        self.check(run(*command(parts, *arguments)), 0, "going on with")
        self.assertTrue(text_of(parts, "plan.json.records.jsonl").startswith(begun), "nothing is measured twice")
        # Times differ; what was measured in both is the same.
        one, other = records_of(whole), records_of(parts)
        both = one.keys() & other.keys()
        self.assertGreater(len(both), 2 * N_LAYER)
        for key in both:
            self.assertEqual(one[key], other[key])


class OnAGpu(Case):
    """The program takes the library that lies beside it: here the one whose GPU is none (tests/ggml/fake/fake_gpu.h)."""

    def test_times_come_from_whole_prefills_there(self):
        folder = os.path.join(self.folder, "bin")
        os.mkdir(folder)
        program = shutil.copy(PROGRAM, folder)
        shutil.copy(FAKE_GPU_MODULE, os.path.join(folder, "libggml-trianglemix.so"))
        arguments = command(self.folder, "--menu", "triangle", *QUICK, "--kl-budget", "2", "--device", "TriangleMix0")[1:]
        self.check(run(program, *arguments), 0, "of 6 layers are not dense")
        device = json.loads(text_of(self.folder, "plan.json"))["provenance"]["device"]
        self.assertTrue(device.startswith("TriangleMix0 (fake GPU"), device)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
