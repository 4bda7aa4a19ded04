"""`trianglemix profile` as its users meet it: plans, reports, stopping and going on, the same result twice.

On the model with six of its layers, which tests/host/hostkit makes: the same inputs to every stage, and fewer of them.

Usage: profile_test.py PROGRAM FAKE_GPU_MODULE
"""

import hashlib
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import time
import unittest

from profile_kit import ENVIRONMENT, MODEL, N_LAYER, PROGRAM, Case, GpuCase, Pages, command, run, text_of

SHORT = ["--builtin", "needle", "--length", "110", "--check-samples", "0", "--select", "2"]


class Usage(Case):
    def test_wrong_usage(self):
        self.check(run(*command(self.folder, "--select", "3", "--kl-budget", "0.1")), 2, "--select", "--kl-budget")
        self.check(run(*command(self.folder, "--builtin", "poem")), 2, "poem")
        self.check(run(*command(self.folder, "--order-by", "taste")), 2, "taste")
        self.check(run(*command(self.folder, "--length", "9000")), 1, "9000", "8192")
        self.check(run(*command(self.folder, "--order-by", "ablation", "--select", "1")), 2, "ablation", "does not measure")
        self.check(run(*command(self.folder, "--kl-budget", "0.1", "--check-samples", "0")), 2, "--check-samples")
        self.check(run(*command(self.folder, "--ablate-in", "head")), 2, "head")
        self.check(run(*command(self.folder, "--ablate-in", "probe")), 2, "--ablate-in", "--method ablation")
        self.check(run(*command(self.folder, "--layers", "3", "--per-head")), 2, "--layers", "--per-head")
        self.check(run(*command(self.folder, "--select", "99")), 1, "--select 99", f"{N_LAYER} layers")
        self.check(run(*command(self.folder, "--ctx", "100", "--length", "110")), 1, "110", "100 of --ctx")
        self.check(run(PROGRAM, "profile", "-m", MODEL, "-o", "/nowhere/plan.json"), 1, "/nowhere/plan.json")
        self.check(run(PROGRAM, "profile", "-m", __file__), 1, "GGUF")
        self.check(run(PROGRAM, "profile", "-m", "/nowhere/model.gguf"), 1, "no model file at /nowhere/model.gguf")
        self.assertEqual(os.listdir(self.folder), [])

    def test_files_that_would_overwrite_each_other(self):
        plan = os.path.join(self.folder, "plan.json")
        self.check(run(PROGRAM, "profile", "-m", MODEL, "-o", ""), 2, "-o needs a file name")
        self.check(run(*command(self.folder, "--scores", plan + ".records.jsonl")), 2, "same file", "--scores", "records")
        self.check(run(*command(self.folder, "--report", plan)), 2, "same file", "-o", "--report")
        copy = shutil.copy(__file__, os.path.join(self.folder, "model.gguf"))
        self.check(run(PROGRAM, "profile", "-m", copy, "-o", copy), 2, "same file", "the model")
        self.assertEqual(os.listdir(self.folder), ["model.gguf"])

    def test_help_teaches(self):
        self.check(run(PROGRAM, "profile", "--help"), 0, "Examples:", "gradient", "--kl-budget", "records.jsonl")

    def test_data_with_a_mistake(self):
        data = os.path.join(self.folder, "data.jsonl")
        with open(data, "w", encoding="utf-8") as file:
            file.write('{"prompt": "fine"}\n{"prompts": "not"}\n')
        self.check(run(*command(self.folder, "--data", data, "--select", "3")), 1, "line 2", "prompts")

    def refused_data(self, lines, arguments, *texts):
        data = os.path.join(self.folder, "data.jsonl")
        with open(data, "w", encoding="utf-8") as file:
            for line in lines:
                file.write(json.dumps(line) + "\n")
        self.check(run(*command(self.folder, "--data", data, *arguments)), 1, *texts)
        self.assertEqual(os.listdir(self.folder), ["data.jsonl"], "refused before anything is measured")

    def test_data_that_this_model_cannot_take(self):
        good = {"ids": list(range(100, 190))}
        self.refused_data([good, {"ids": [1, 49152]}], ["--select", "3"], "data.jsonl, line 2", "49152", "0 to 49151")
        self.refused_data([good, good | {"target": 49152}], ["--select", "3"], "data.jsonl, line 2", "49152")
        long = {"ids": [100] * 8190}
        self.refused_data([good, good, long], ["--select", "3"], "data line 3", "8190", "8192")

    def test_data_that_tells_nothing(self):
        good = {"ids": list(range(100, 190))}
        short = {"ids": list(range(100, 140))}
        for choose in (["--select", "3"], ["--threshold", "1"], ["--method", "ablation", "--select", "3"]):
            self.refused_data([short, short], choose, "skips nothing in any of the 2 prompts", "are 44")
        self.refused_data([good, good], ["--kl-budget", "1"], "--kl-budget needs prompts that are kept back")
        self.refused_data([good, good], ["--layers", "3", "--yardsticks"], "--yardsticks needs prompts")


class Plans(Case):
    def test_both_methods_to_a_budget_with_report(self):
        report = os.path.join(self.folder, "report.html")
        scores = os.path.join(self.folder, "scores.jsonl")
        findings = os.path.join(self.folder, "findings.jsonl")
        arguments = ["--method", "both", "--builtin", "kv", "--length", "120", "--samples", "1", "--check-samples", "1",
                     "--kl-budget", "0.05", "--report", report, "--scores", scores, "--findings", findings]  # fmt: skip
        done = run(*command(self.folder, *arguments))
        self.check(done, 0, "rank correlation", "checked on 1 other prompts")
        plan = json.loads(text_of(self.folder, "plan.json"))
        made = plan["provenance"]
        self.assertEqual((made["method"], made["ordered_by"], made["chosen_by"]), ("both", "ablation", {"kl_budget": 0.05}))
        self.assertEqual(len(made["scores"]), N_LAYER)
        self.assertGreater(made["size"], 0)
        self.assertLessEqual(made["check"]["mean_first_kl"], 0.05)
        self.assertRegex(made["model_sha256"], "^[0-9a-f]{64}$")
        found = [json.loads(line) for line in text_of(self.folder, "findings.jsonl").splitlines()]
        self.assertEqual({row["finding"] for row in found}, {"score", "size", "chosen", "run"})
        cost = next(row for row in found if row["finding"] == "run")
        self.assertEqual((cost["method"], cost["prompts"], cost["lengths"], cost["on_file"]), ("both", 1, [120], 0))
        self.assertGreater(cost["seconds"], 0)
        self.assertGreater(cost["peak_rss_bytes"], os.path.getsize(MODEL))
        chosen = next(row for row in found if row["finding"] == "chosen")
        self.assertEqual((chosen["size"], chosen["model_sha256"]), (made["size"], made["model_sha256"]))
        self.assertTrue(all("--method both" in row["command"] and row["machine"] and row["commit"] for row in found))
        # The other commands take the plan.
        self.check(run(PROGRAM, "info", "-m", MODEL, "--plan", os.path.join(self.folder, "plan.json")), 0)

        page = text_of(self.folder, "report.html")
        parser = Pages()
        parser.feed(page)
        self.assertEqual(parser.open, [])
        self.assertEqual(parser.n_svg, 5)
        self.assertEqual(parser.addresses, [])
        self.assertEqual(set(re.findall(r"https?://[^\"' ]+", page)), {"http://www.w3.org/2000/svg"})
        self.assertNotIn("nan", re.sub(r"[a-z]nan|nan[a-z]", "", page))
        # Beside it lie the same drawings, as they are and in pixels.
        for name in ("kl", "gradient", "heads", "ablation", "agreement"):
            self.assertIn(text_of(self.folder, f"report-{name}.svg"), page)
            if shutil.which("rsvg-convert"):
                self.assertGreater(os.path.getsize(os.path.join(self.folder, f"report-{name}.png")), 1000)
        # It speaks as people do, and of what was measured.
        self.assertNotIn("kl_budget", page.split("<h2>How</h2>")[0])
        tokens = re.search(r"measured on prompts of up to (\d+) tokens", page).group(1)
        self.assertEqual(int(tokens), made["measured_up_to"])
        self.assertIn("budget, 0.05", page)
        # Summary and page hold no length that the model has not.
        self.assertNotIn("131,072", done.stdout + page)
        self.assertNotIn("131072", done.stdout + page)
        self.assertIn("8,192 tokens, the model's context", done.stdout)
        self.assertIn(f"It was measured on prompts of up to {tokens} tokens; the model reads 8,192", done.stdout)
        self.assertIn("<td>8,192</td>", page)
        self.assertNotIn("<td>16,384</td>", page)

        rows = [json.loads(line) for line in text_of(self.folder, "scores.jsonl").splitlines()]
        self.assertEqual(sum(r["type"] == "gradient" for r in rows), 1)
        alone = [r for r in rows if r["type"] == "set" and "held_out" not in r]
        self.assertEqual([r["set"] for r in alone], [str(layer) for layer in range(N_LAYER)])
        self.assertEqual({r["computed_in"] for r in alone}, {"probe"})
        self.assertEqual(sum(r["type"] == "arithmetic" for r in rows), 1)
        self.assertEqual(made["ablated_in"], "probe")
        self.assertIn("llama.cpp's rounding on this file", done.stdout)
        self.assertIn("Computed in f32", page)

        # Another way to choose measures only what it needs: nothing, with a count and no check.
        before = text_of(self.folder, "plan.json.records.jsonl")
        done = run(*command(self.folder, "--builtin", "kv", "--length", "120", "--samples", "1", "--check-samples", "0",
                            "--per-head", "--select", "8"))  # fmt: skip
        self.check(done, 0, "8 of 54 heads")
        self.assertEqual(text_of(self.folder, "plan.json.records.jsonl"), before)
        self.assertIn("per_head", json.loads(text_of(self.folder, "plan.json")))

    def test_ablation_in_the_probe_and_in_llama_cpp(self):
        scores = os.path.join(self.folder, "scores.jsonl")
        kl = {}
        for place in ("probe", "llama.cpp"):
            arguments = ["--builtin", "kv", "--length", "110", "--samples", "1", "--check-samples", "0", "--select", "2",
                         "--method", "ablation", "--ablate-in", place, "--scores", scores]  # fmt: skip
            self.check(run(*command(self.folder, *arguments)), 0, "0 alone: KL")
            rows = [json.loads(line) for line in text_of(self.folder, "scores.jsonl").splitlines()]
            kl[place] = [r["first_kl"] for r in rows if r["type"] == "set"]
            self.assertEqual({r["computed_in"] for r in rows}, {place})
            self.assertEqual(json.loads(text_of(self.folder, "plan.json"))["provenance"]["ablated_in"], place)
            # Each way has records of its own, and needs them once.
            before = text_of(self.folder, "plan.json.records.jsonl")
            self.check(run(*command(self.folder, *arguments)), 0, "2 of 6 layers")
            self.assertEqual(text_of(self.folder, "plan.json.records.jsonl"), before)
        # llama.cpp rounds activations to 8 bits here, which is as large as most layers' effect: the same size is all that
        # can be asked. tests/profile compares the two closely.
        self.assertLess(0.25, sum(kl["llama.cpp"]) / sum(kl["probe"]))
        self.assertLess(sum(kl["llama.cpp"]) / sum(kl["probe"]), 8)
        self.assertEqual(kl["probe"][-1], 0, "only the prompt's last row leaves the last layer, and it is dense")

    def test_ablation_of_heads(self):
        data = os.path.join(self.folder, "data.jsonl")
        with open(data, "w", encoding="utf-8") as file:
            file.write(json.dumps({"ids": list(range(100, 162))}) + "\n")
        done = run(*command(self.folder, "--data", data, "--method", "ablation", "--per-head", "--select", "20",
                            "--check-samples", "0"))  # fmt: skip
        self.check(done, 0, "5.8 alone: KL 0.00e+00", "20 of 54 heads")

    def test_a_set_that_the_backend_computes_exactly_is_no_measurement(self):
        arguments = ["--builtin", "needle", "--length", "110", "--layers", "3", "--check-samples", "1"]
        done = run(*command(self.folder, *arguments), TRIANGLEMIX_MIN_ROWS="4096")
        self.check(done, 1, "did not compute the triangle set 3 as planned", "rows", "TRIANGLEMIX_MIN_ROWS")
        self.assertFalse(os.path.exists(os.path.join(self.folder, "plan.json")))
        # A last chunk that holds few rows is computed by the plan, too.
        arguments = ["--builtin", "needle", "--length", "170", "--layers", "3", "--check-samples", "1", "--ubatch", "150"]
        self.check(run(*command(self.folder, *arguments)), 0, "checked on 1 other prompts")

    def check_stopped(self, arguments, n_most):
        whole = os.path.join(self.folder, "whole")
        parts = os.path.join(self.folder, "parts")
        os.mkdir(whole)
        os.mkdir(parts)
        self.check(run(*command(whole, *arguments)), 0)
        records = os.path.join(parts, "plan.json.records.jsonl")
        process = subprocess.Popen(command(parts, *arguments), env=ENVIRONMENT, text=True, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)  # fmt: skip
        while process.poll() is None and not (os.path.exists(records) and os.path.getsize(records) > 0):
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
        if process.returncode != 0:  # a fast machine may have been through
            self.assertEqual(process.returncode, 130)
            self.assertIn("goes on from there", said)
            self.assertFalse(os.path.exists(os.path.join(parts, "plan.json")))
            self.assertLess(len(text_of(parts, "plan.json.records.jsonl").splitlines()), n_most)
        self.check(run(*command(parts, *arguments)), 0, "going on with")
        for name in ("plan.json", "plan.json.records.jsonl"):
            self.assertEqual(text_of(whole, name), text_of(parts, name), name)

    def test_stopped_and_gone_on_is_the_same_as_at_once(self):
        self.check_stopped([*SHORT, "--samples", "6"], 6)

    def test_stopped_on_a_terminal_it_says_where_to_go_on(self):
        screen, end = pty.openpty()
        arguments = [*SHORT, "--samples", "40"]
        process = subprocess.Popen(command(self.folder, *arguments), env=ENVIRONMENT, stdout=end, stderr=end)
        os.close(end)
        shown, asked = b"", False
        while True:
            try:
                shown += os.read(screen, 4096)
            except OSError:  # the other end is closed
                break
            if b"log probability" in shown and not asked:
                process.send_signal(signal.SIGINT)
                asked = True
        os.close(screen)
        self.assertEqual(process.wait(timeout=60), 130)
        self.assertIn(b"stopped; what was measured is in ", shown.split(b"\r\x1b[K")[-1])

    def test_ablation_stopped_and_gone_on_is_the_same_as_at_once(self):
        self.check_stopped([*SHORT, "--samples", "3", "--method", "ablation"], 3 * N_LAYER + 1)

    def test_own_prompts(self):
        # The plan, the findings and the report are UTF-8, whatever a file is called.
        data = os.path.join(self.folder, os.fsdecode(b"data\xff.jsonl"))
        findings = os.path.join(self.folder, "findings.jsonl")
        with open(data, "w", encoding="utf-8") as file:
            for i in range(2):
                file.write(json.dumps({"prompt": f"Say {i}. " + "Lights are on in the harbour. " * 15, "target": " yes"}) + "\n")
            file.write(json.dumps({"ids": list(range(100, 190)), "target": 42}) + "\n")
        done = run(*command(self.folder, "--data", data, "--threshold", "1e30", "--check-samples", "1", "--order-by", "gradient",
                            "--findings", findings))  # fmt: skip
        self.check(done, 0, "6 of 6 layers", "checked on 1 other prompts", "data line 1")
        made = json.loads(text_of(self.folder, "plan.json"))["provenance"]["data"]
        with open(data, "rb") as file:
            digest = hashlib.sha256(file.read()).hexdigest()
        self.assertEqual(made, {"own_prompts": 3, "file": "data\ufffd.jsonl", "sha256": digest, "tokens": 2})
        found = [json.loads(line) for line in text_of(self.folder, "findings.jsonl").splitlines()]
        self.assertEqual([row["finding"] for row in found], ["chosen", "run"])
        self.assertTrue(all("data\ufffd.jsonl" in row["command"] for row in found))

    def test_a_broken_drawing_program_does_not_hide_the_plan(self):
        tools = os.path.join(self.folder, "tools")
        os.mkdir(tools)
        with open(os.path.join(tools, "rsvg-convert"), "w", encoding="utf-8") as file:
            file.write("#!/bin/sh\necho no fonts; exit 1\n")
        os.chmod(file.name, 0o755)
        report = os.path.join(self.folder, "report.html")
        done = run(*command(self.folder, *SHORT, "--samples", "1", "--report", report, "--quick"), PATH=tools)
        self.check(done, 0, "note: not all drawings", "no fonts", "2 of 6 layers", "plan: ")
        self.assertIn("A quick run", text_of(self.folder, "report.html"))
        self.assertTrue(json.loads(text_of(self.folder, "plan.json"))["provenance"]["data"]["quick"])

    def test_it_says_at_the_start_how_long_all_takes(self):
        process = subprocess.Popen([PROGRAM, "profile", "-m", MODEL, "--quick", "-o", os.path.join(self.folder, "plan.json")],
                                   env=ENVIRONMENT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # fmt: skip
        said = process.stderr.readline()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        self.assertRegex(said, r"^3 prompts that choose, 3 that check, of up to 2,?0\d\d tokens: about [0-9.]+ (s|min)")

    def test_a_model_without_chat_template_is_noted(self):
        model = os.path.join(self.folder, "model.gguf")
        with open(MODEL, "rb") as file:
            content = file.read()
        with open(model, "wb") as file:
            file.write(content.replace(b"tokenizer.chat_template", b"tokenizer.chat_templatX", 1))
        arguments = command(self.folder, *SHORT, "--samples", "1")
        done = run(*[model if argument == MODEL else argument for argument in arguments])
        self.check(done, 0, "note: the model file has no chat template; the prompt is plain text")


class OnAGpu(GpuCase):
    def test_probe_computes_there(self):
        arguments = [*SHORT, "--samples", "1", "--scores", os.path.join(self.folder, "scores.jsonl")]
        self.check(run(*command(self.folder, *arguments)), 0, "2 of 6 layers")
        on_cpu = text_of(self.folder, "scores.jsonl")
        os.remove(os.path.join(self.folder, "plan.json.records.jsonl"))
        report = os.path.join(self.folder, "report.html")
        done = run(self.program, *command(self.folder, *arguments, "--device", "TriangleMix0", "--report", report)[1:])
        self.check(done, 0, "attention of the probe is computed on the CPU", "2 of 6 layers")
        self.assertEqual(text_of(self.folder, "scores.jsonl"), on_cpu)
        device = json.loads(text_of(self.folder, "plan.json"))["provenance"]["device"]
        self.assertTrue(device.startswith("TriangleMix0 (fake GPU"), device)
        self.assertIn("2 threads, TriangleMix0 (fake GPU", text_of(self.folder, "report.html"))

    def test_short_prompts_are_computed_by_the_plan_there(self):
        arguments = command(self.folder, "--builtin", "needle", "--length", "110", "--layers", "3", "--check-samples", "1",
                            "--device", "TriangleMix0")[1:]  # fmt: skip
        done = run(self.program, *arguments, TRIANGLEMIX_MIN_KEYS="1024")
        self.check(done, 1, "did not compute the triangle set 3 as planned", "left to the GPU's own backend", "keys")
        self.check(run(self.program, *arguments), 0, "checked on 1 other prompts")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
