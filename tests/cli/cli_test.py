"""The program as its users meet it: messages and exit codes, JSON, a short comparison, a served model.

Usage: cli_test.py PROGRAM MODEL DL_BIN LINKED_BIN FAKE_GPU_MODULE GROUP, where GROUP is `arguments` (no model), `model`,
`bench`, or `serve`.
"""

import fcntl
import json
import os
import pty
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import time
import unittest
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../host"))

from hostkit import metrics, settings  # noqa: E402  (found by the path above)
from hostkit.server import free_port  # noqa: E402

PROGRAM, MODEL, DL_BIN, LINKED_BIN, FAKE_GPU_MODULE, GROUP = sys.argv[1:7]

ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("TRIANGLEMIX_")}
ENVIRONMENT["OMP_WAIT_POLICY"] = "passive"  # test machines are shared


def run(*arguments, env=None, stdin=""):
    return subprocess.run(
        [PROGRAM, *arguments], env={**ENVIRONMENT, **(env or {})}, input=stdin, capture_output=True, text=True, timeout=300
    )


def in_terminal(columns, *arguments):
    """Exit code, and everything that was written to a terminal of that width."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    with subprocess.Popen([PROGRAM, *arguments], env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        drawn = b""
        while True:
            try:
                block = os.read(ours, 65536)
            except OSError:  # the other end is closed
                block = b""
            if not block:
                break
            drawn += block
    os.close(ours)
    return process.returncode, drawn.decode(errors="replace")


class Case(unittest.TestCase):
    def check_fits(self, columns, *arguments):
        code, drawn = in_terminal(columns, *arguments)
        self.assertEqual(code, 0, drawn)
        for line in re.split("\r\n|\r\x1b\\[K", drawn):
            self.assertLessEqual(len(line), columns, f"at {columns} columns: {line!r}")
        return drawn

    def check(self, done, code, *texts):
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        for text in texts:
            self.assertIn(text, done.stdout + done.stderr)


class Arguments(Case):
    def test_wrong_usage_is_2_and_names_the_culprit(self):
        self.check(run(), 2, "subcommand is required")
        self.check(run("walk"), 2, "walk")
        self.check(run("run", "--frobnicate"), 2, "--frobnicate")
        self.check(run("run", "-t", "many"), 2, "--threads")
        self.check(run("run", "-ub", "1"), 2, "--ubatch")
        self.check(run("run", "--precision", "sloppy"), 2, "--precision", "sloppy")
        self.check(run("run", "--exact", "--layers", "1"), 2, "--layers", "--exact")
        self.check(run("run", "--stock", "best"), 2, "--stock", "--compare")
        self.check(run("run", "--compare", "--stock", "on-many"), 2, "--stock", "on-many")
        self.check(run("bench", "--stock", "default"), 2, "--stock", "default")
        self.check(run("bench", "--modes", "stock,warp"), 2, "warp")
        self.check(run("run", "--window", "0"), 2, "--window: found 0, expected a whole number from 1 to 2147483647")
        self.check(run("profile", "--kl-budget", "-1"), 2, "--kl-budget: found -1, expected a number above 0")
        self.check(run("serve"), 2, "behind --")
        self.check(run("serve", "-x", "--", "llama-server"), 2, "-x")

    def test_help_teaches(self):
        self.check(run("--help"), 0, "run", "bench", "serve", "info", "Exit codes")
        for command in ("run", "bench", "serve", "info"):
            self.check(run(command, "--help"), 0, "Examples:", "--plan")

    def test_everything_fits_the_terminal(self):
        for columns in (60, 80, 120):
            for command in ([], ["run"], ["bench"], ["profile"], ["serve"], ["info"]):
                self.check_fits(columns, *command, "--help")
            self.check_fits(columns, "info", "--plan", "preset:llama-3.1-8b-instruct")

    def test_missing_files(self):
        self.check(run("run", "-m", "/nowhere.gguf"), 1, "/nowhere.gguf")
        self.check(run("run", "-m", __file__), 1, "could not load", "GGUF")
        self.check(run("info", "--plan", "/nowhere.json"), 1, "/nowhere.json")
        self.check(run("info", "--plan", "preset:nobody"), 1, "nobody")
        self.check(run("bench", "--device", "TriangleMix77"), 1, "no GPU device TriangleMix77 here")
        self.check(run("info", "--llama", "/nowhere"), 1, "--llama: the backend will not load there", "no program '/nowhere'")

    def test_a_document_that_is_no_text_is_refused_before_anything_is_loaded(self):
        for content, advice in ((b"", "is empty"), ("text".encode("utf-16"), "iconv -f UTF-16"), (b"%PDF-1.4", "pdftotext"),
                                (b"some text, a\0b", "zero byte")):  # fmt: skip
            with self.subTest(advice), tempfile.NamedTemporaryFile() as file:
                file.write(content)
                file.flush()
                done = run("run", "-f", file.name, env={"TRIANGLEMIX_DISABLE": "1"})
                self.check(done, 1, file.name, advice)
                self.assertNotIn("TRIANGLEMIX_DISABLE", done.stderr)  # the backend comes later

    def test_a_pipe_is_not_waited_for(self):
        with tempfile.TemporaryDirectory() as folder:
            pipe = os.path.join(folder, "pipe")
            os.mkfifo(pipe)
            for arguments in (["run", "-f", pipe], ["run", "-m", pipe], ["info", "-m", pipe], ["info", "--plan", pipe],
                              ["profile", "--data", pipe], ["profile", "--texts", pipe],
                              ["serve", "--plan", pipe, "--", os.path.join(DL_BIN, "llama-server")],
                              ["serve", "--", os.path.join(DL_BIN, "llama-server"), "-m", pipe]):  # fmt: skip
                with self.subTest(arguments):
                    self.check(run(*arguments), 1, pipe, "regular file" if "--plan" in arguments or "--data" in arguments else "pipe")

    def test_a_switched_off_backend_is_an_error(self):
        self.check(run("run", "-m", MODEL, env={"TRIANGLEMIX_DISABLE": "1"}), 1, "TRIANGLEMIX_DISABLE")

    def test_info(self):
        info = json.loads(run("info", "--json", "--plan", "preset:llama-3.1-8b-instruct").stdout)
        self.assertTrue(info["backend"]["registered"], info["backend"])
        self.assertIsInstance(info["backend"]["cuda_kernels"], bool)
        self.assertIsInstance(info["backend"]["gpu"], list)
        picked = [k for k in info["kernels"] if k["why"].startswith("picked")]
        self.assertEqual(len(picked), 1)
        self.assertTrue(all(k["runs_here"] != k["why"].startswith("refused") for k in info["kernels"]))
        by_length = {row["n_tokens"]: row for row in info["plan"]["lengths"]}
        # 128K: the definition's count over all causal pairs, by hand.
        n, kept = 131072, 0
        for i in range(n):
            kept += i + 1 if i >= n - 128 or i < 8 + 512 else 8 + 512
        self.assertAlmostEqual(by_length[n]["kept_in_triangle_layer"], kept / (n * (n + 1) / 2), places=9)
        self.assertAlmostEqual(by_length[n]["kept_in_model"], (1 + kept / (n * (n + 1) / 2)) / 2, places=9)

    def test_info_foretells_nothing_of_dynamic_layers(self):
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump({"format": "trianglemix-plan", "version": 2, "model": {"layers": 28}, "triangle_layers": "none",
                       "dynamic": [{"method": "stride", "layers": "0-9"}, {"method": "means", "layers": "16"}]}, file)  # fmt: skip
            file.flush()
            plan = json.loads(run("info", "--json", "--plan", file.name).stdout)["plan"]
            self.assertTrue(plan["planned"])
            self.assertEqual(plan["layers"], "0 of 28 layers triangle: none; 11 dynamic: 0-9,16")
            self.assertEqual(plan["lengths"], [])
            self.assertIn("not known before", plan["lengths_note"])
            shown = run("info", "--plan", file.name)
            shown.stdout = " ".join(shown.stdout.split())  # where lines break depends on the file's name
            self.check(shown, 0, "11 dynamic: 0-9,16", "layers 0-9 select by stride", "layer 16 selects by means",
                       "not known before")
            self.assertNotIn("attention work", shown.stdout)
        self.assertFalse(json.loads(run("info", "--json", "-m", MODEL, "--exact").stdout)["plan"]["planned"])

    def test_info_tells_how_a_host_loads_the_backend(self):
        dynamic = json.loads(run("info", "--json", "--llama", DL_BIN).stdout)["llama"]
        self.assertEqual((dynamic["way"], dynamic["loads_backend"]), ("GGML_BACKEND_PATH", True))
        other = json.loads(run("info", "--json", "--llama", sys.executable).stdout)["llama"]
        self.assertFalse(other["loads_backend"])
        self.assertIn("BUILD_SHARED_LIBS", other["why"])
        nothing = json.loads(run("info", "--json", "--llama", "/nowhere").stdout)["llama"]
        self.assertFalse(nothing["loads_backend"])
        if os.path.exists(LINKED_BIN):
            linked = json.loads(run("info", "--json", "--llama", LINKED_BIN).stdout)["llama"]
            self.assertEqual((linked["way"], linked["loads_backend"]), ("LD_PRELOAD", True))

    def test_serve_refuses_what_cannot_load_it(self):
        self.check(run("serve", "--", "no-such-program"), 1, "no-such-program")
        self.check(run("serve", "--", sys.executable), 1, "BUILD_SHARED_LIBS")

    def test_serve_checks_everything_before_it_starts_the_server(self):
        server = ["--", os.path.join(DL_BIN, "llama-server"), "-m", MODEL]
        with tempfile.NamedTemporaryFile("w", suffix=".json") as other:
            other.write("{}")
            other.flush()
            for options, env, text in (
                (["--plan", "preset:lama"], {}, 'no preset "lama"'),
                (["--layers", "28-31"], {}, "layers are 0 to 29"),
                (["--exact", "--stats", "/nowhere/stats.json"], {}, "cannot write /nowhere/stats.json"),
                (["--exact", "--stats", other.name], {}, "holds no statistics; it is not overwritten"),
                ([], {"TRIANGLEMIX_PLAN": "/nowhere.json"}, "TRIANGLEMIX_PLAN: plan file"),
                ([], {"TRIANGLEMIX_LAYERS": "3-1"}, "TRIANGLEMIX_LAYERS: "),
                ([], {"TRIANGLEMIX_DYNAMIC": "strode@3"}, 'TRIANGLEMIX_DYNAMIC: found "strode"'),
                ([], {"TRIANGLEMIX_PLAN": "preset:qwen3-8b", "TRIANGLEMIX_LAYERS": "3"}, "TRIANGLEMIX_LAYERS is set as well"),
                ([], {"TRIANGLEMIX_PLAN": "preset:qwen3-8b", "TRIANGLEMIX_DYNAMIC": "stride@3"}, "TRIANGLEMIX_DYNAMIC is set as well"),
            ):
                with self.subTest(options=options, env=env):
                    done = run("serve", *options, *server, env=env)
                    self.check(done, 1, text)
                    self.assertNotIn("starting", done.stderr)
                    self.assertLess(len(done.stderr.splitlines()), 4, done.stderr)  # nothing of llama.cpp's
            self.check(run("serve", *server[:2], "-m", "/nowhere.gguf"), 1, "the server's -m: there is no file /nowhere.gguf")


def document(n_words):
    return " ".join(f"Room {100 + i} holds {(i * 7919) % 1000} boxes." for i in range(n_words // 5))


class Model(Case):
    def test_prompts_that_do_not_fit_are_refused_with_the_numbers(self):
        done = run("run", "-m", MODEL, "-f", "-", "-c", "200", stdin=document(600))
        self.check(done, 1, "the context 200", "too many", "-c", "8192")
        done = run("run", "-m", MODEL, "-f", "-", stdin=document(6000))
        self.check(done, 1, "the context 8192", "too many", "shorter document")

    def test_plans_that_do_not_fit_are_refused_with_the_difference(self):
        self.check(run("run", "-m", MODEL, "--plan", "preset:qwen3-8b"), 1, "36 layers", "the model has 30")
        self.check(run("run", "-m", MODEL, "--layers", "28-31"), 1, "layers are 0 to 29")

    def test_compare_as_json(self):
        done = run("run", "-m", MODEL, "-f", "-", "-q", "How many boxes are in room 107?", "-n", "6", "-t", "1", "-ub", "512",
                   "--layers", "10-29", "--window", "64", "--last", "32", "--compare", "--json",
                   stdin=document(150))  # fmt: skip
        self.check(done, 0)
        result = json.loads(done.stdout)
        stock, exact, plan = result["arms"]
        self.assertEqual([a["name"] for a in result["arms"]], ["stock", "exact", "TriangleMix"])
        # Short ones are repeated without being asked.
        self.assertTrue(all(len(a["ttft_s_all"]) >= 2 and a["ttft_s"] > 0 for a in result["arms"]))
        tried = [t["setting"] for t in result["stock_tried"]]
        self.assertEqual(sorted(tried), ["fa off, ub 512", "fa on, ub 512"])
        self.assertIn(f"fa {'on' if stock['flash_attention'] else 'off'}, ub {stock['n_ubatch']}", tried)
        self.assertNotIn("statistics", stock)
        self.assertEqual(exact["statistics"]["nodes"]["triangle"], 0)
        self.assertEqual(exact["statistics"]["pairs"]["skipped"], 0)
        # Every triangle layer once per chunk, nothing computed exactly instead, and pairs really skipped.
        self.assertEqual(plan["statistics"]["nodes"]["triangle"] % 20, 0)
        self.assertGreater(plan["statistics"]["nodes"]["triangle"], 0)
        self.assertEqual(plan["statistics"]["fallbacks"], {})
        self.assertGreater(plan["statistics"]["pairs"]["skipped"], 0)
        # Rounding alone separates exact from stock; the plan changes more than that.
        self.assertLess(exact["to_stock"]["first_kl"], 0.1)
        self.assertGreater(plan["to_exact"]["first_kl"], 0)
        self.assertEqual(exact["to_stock"]["n_positions"], len(stock["answer_tokens"]) + 1)

    def test_run_prints_the_answer_alone_on_stdout(self):
        done = run("run", "-m", MODEL, "-f", "-", "-q", "How many boxes are in room 107?", "-n", "4", "-t", "1", "--exact",
                   stdin=document(150))  # fmt: skip
        self.check(done, 0, "TTFT", "all dense, exact")
        self.assertNotIn("TTFT", done.stdout)
        self.assertTrue(done.stdout.strip())
        # What is read is said before it is read, and again with the result.
        self.assertRegex(done.stderr, r"reading standard input, \S+ \S+; question: How many .*; \d+ tokens in all")
        self.assertRegex(done.stderr, r"document  standard input, \S+ \S+; question: How many ")

    def test_progress_and_summary_fit_the_terminal(self):
        with tempfile.NamedTemporaryFile("w") as file:
            file.write(document(100))
            file.flush()
            drawn = self.check_fits(60, "run", "-m", MODEL, "-f", file.name, "-q", "How many boxes?", "-n", "4", "-t", "1", "--exact")
        # Every progress line is drawn over; nothing of the last one stays.
        self.assertRegex(drawn, "prefill: [^\r\n]*\r\x1b\\[K[^\r]*\r\n")
        self.assertNotRegex(drawn, "prefill: [^\r\n]*\r\n")
        self.assertRegex(drawn, "\nTTFT ")

    def test_a_context_beyond_the_trained_one_draws_a_note(self):
        done = run("run", "-m", MODEL, "-f", "-", "-c", "9000", "-n", "1", "-t", "1", "--exact", stdin=document(50),
                   env={"TRIANGLEMIX_STATS": "/nowhere/stats.json"})  # fmt: skip
        self.check(done, 0, "note: -c 9000 is beyond the 8192 tokens that ")
        self.check(done, 0, "note: TriangleMix: TRIANGLEMIX_STATS: cannot write /nowhere/stats.json")

    def test_interrupt_stops_cleanly(self):
        process = subprocess.Popen([PROGRAM, "run", "-m", MODEL, "-t", "1", "--json", "-f", "-"], env=ENVIRONMENT, text=True,
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # fmt: skip
        process.stdin.write(document(3000))
        process.stdin.close()
        time.sleep(2)
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(timeout=60), 130)
        self.assertIn("interrupted", process.stderr.read())
        self.assertEqual(process.stdout.read(), "")
        process.stdout.close()
        process.stderr.close()


class Bench(Case):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = scratch.name
        self.out = os.path.join(self.folder, "bench.jsonl")

    def bench(self, *arguments, program=PROGRAM, env=None):
        return subprocess.run([program, "bench", "-m", MODEL, "-t", "1", *arguments], env={**ENVIRONMENT, **(env or {})},
                              capture_output=True, text=True, timeout=300)  # fmt: skip

    def rows(self):
        with open(self.out, encoding="utf-8") as lines:
            return [json.loads(line) for line in lines]

    def test_records(self):
        plot = os.path.join(self.folder, "plot")
        done = self.bench("--lengths", "160,96", "--modes", "stock,exact", "--stock", "off-64", "--repeat", "2", "--decode",
                          "2", "--out", self.out, "--plot", plot)  # fmt: skip
        self.check(done, 0, "vs stock", "stock, fa off, ub 64")
        self.assertNotIn("one run", done.stdout.lower())
        records = self.rows()
        self.assertEqual([(r["n_tokens"], r["mode"]) for r in records],
                         [(96, "stock"), (96, "exact"), (160, "stock"), (160, "exact")])  # fmt: skip
        for r in records:
            self.assertLessEqual(r["ttft_s_p10"], r["ttft_s_median"])
            self.assertLessEqual(r["ttft_s_median"], r["ttft_s_p90"])
            self.assertLessEqual(r["speedup_low"], r["speedup_high"])
            self.assertEqual((r["reps"], len(r["ttft_s_all"]), r["against"]), (2, 2, "fa off, ub 64"))
            self.assertGreater(r["decode_tokens_per_s"], 0)
            self.assertTrue(r["commit"] and r["cpu"] and r["command"])
        with open(plot + ".png", "rb") as png, open(plot + ".svg", encoding="utf-8") as svg:
            self.assertTrue(png.read(8).startswith(b"\x89PNG"))
            drawn = svg.read()
            self.assertIn("exact", drawn)
            self.assertIn("fa off, ub 64", drawn)

    def test_stock_is_the_fastest_of_its_settings(self):
        done = self.bench("--lengths", "520", "--modes", "stock,exact", "--repeat", "1", "--out", self.out)
        self.check(done, 0, "stock is fastest with fa o", "(one run)", "One run of each")
        stock, exact = self.rows()
        tried = stock["stock_tried"]
        self.assertEqual({t["setting"] for t in tried}, {f"fa {fa}, ub {ub}" for fa in ("on", "off") for ub in (512, 2048)})
        best = min((t for t in tried if "ttft_s" in t), key=lambda t: t["ttft_s"])
        self.assertEqual((stock["setting"], stock["against"], exact["against"]), 3 * (best["setting"],))
        self.assertIn("stock, " + best["setting"], done.stdout)
        self.assertNotIn("stock_tried", exact)

    def test_what_cannot_be_written_is_known_before_measuring(self):
        self.check(self.bench("--lengths", "9000"), 1, "9000", "8192")
        # A model that is not there: whoever loads it first says so, not this.
        for name in ("--out", "--plot"):
            path = "/nowhere/x" if name == "--plot" else "/nowhere/x.jsonl"
            self.check(run("bench", "-m", "/nowhere.gguf", name, path), 1, "cannot write /nowhere/x")
        os.mkdir(self.out)
        self.check(run("bench", "-m", "/nowhere.gguf", "--out", self.out), 1, "cannot write " + self.out)

    def test_an_interrupted_sweep_keeps_its_lengths_and_goes_on(self):
        arguments = ["--modes", "stock,exact", "--stock", "on-512", "--repeat", "1", "--out", self.out]
        process = subprocess.Popen([PROGRAM, "bench", "-m", MODEL, "-t", "1", "--lengths", "96,7000", *arguments],
                                   env=ENVIRONMENT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # fmt: skip
        for _ in range(600):
            if os.path.exists(self.out) and len(self.rows()) == 2:
                break
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        shown, said = process.communicate(timeout=120)
        self.assertEqual(process.returncode, 130, said)
        self.assertIn("1 of 2 lengths are whole", said)
        self.assertIn("stock, fa on, ub 512", shown)
        kept = self.rows()
        self.assertEqual([(r["n_tokens"], r["mode"]) for r in kept], [(96, "stock"), (96, "exact")])
        with open(self.out, "a", encoding="utf-8") as file:
            file.write('{"cut": ')  # as a crash leaves it

        done = self.bench("--lengths", "96,130", *arguments)
        self.check(done, 0, "2 rows for 1 of 2 lengths are in", "--restart measures them again")
        self.assertEqual(len([line for line in done.stdout.splitlines() if line.startswith(("96 ", "130 "))]), 4)
        with open(self.out, encoding="utf-8") as lines:
            lines = lines.read().splitlines()
        self.assertEqual([json.loads(lines[i])["n_tokens"] for i in (0, 1, 3, 4)], [96, 96, 130, 130])
        self.assertEqual(len(lines), 5)
        # Another setting is another measurement.
        self.check(self.bench("--lengths", "96", *arguments, "-ub", "128"), 0)
        with open(self.out, encoding="utf-8") as lines:
            self.assertEqual(len(lines.read().splitlines()), 7)

    def test_rows_of_changed_sources_are_not_published(self):
        commit = run("--version").stdout.split("(")[1].rstrip(")\n")
        published = os.path.join(self.folder, "docs", "results")
        os.makedirs(published)
        done = run("bench", "-m", "/nowhere.gguf", "--out", os.path.join(published, "x.jsonl"))
        reason = "differ from their commit" if commit.endswith("-dirty") else "no model file"
        self.check(done, 1, reason)

    def test_stock_on_a_gpu_is_the_wrapped_device(self):
        # The program takes the library that lies beside it: here the one whose GPU is none (tests/ggml/fake/fake_gpu.h).
        program = shutil.copy(PROGRAM, self.folder)
        shutil.copy(FAKE_GPU_MODULE, os.path.join(self.folder, "libggml-trianglemix.so"))
        every = {"TRIANGLEMIX_MIN_KEYS": "1"}
        done = self.bench("--device", "TriangleMix0", "--lengths", "96", "--modes", "stock,exact", "--repeat", "1", "--stock",
                          "on-512", "--out", self.out, program=program, env=every)  # fmt: skip
        self.check(done, 0)
        self.assertEqual({row["mode"]: row["device"] for row in self.rows()}, {"stock": "FAKE0", "exact": "TriangleMix0"})
        done = subprocess.run([program, "run", "-m", MODEL, "-f", "-", "-q", "Which room?", "-n", "2", "-t", "1", "--device",
                               "TriangleMix0", "--layers", "10-29", "--window", "16", "--last", "16", "--compare", "--repeat",
                               "1", "--kl-tokens", "2", "--json"],
                              env=ENVIRONMENT | every, input=document(60), capture_output=True, text=True, timeout=300)  # fmt: skip
        self.check(done, 0)
        stock, exact, plan = json.loads(done.stdout)["arms"]
        self.assertEqual([arm["device"] for arm in (stock, exact, plan)], ["FAKE0", "TriangleMix0", "TriangleMix0"])
        self.assertGreater(plan["statistics"]["nodes"]["triangle"], 0)
        self.assertLess(exact["to_stock"]["first_kl"], 0.1)
        self.check(self.bench("--device", "FAKE0", "--lengths", "96", program=program), 1, "FAKE0 is none of ours", "TriangleMix0")


class Serve(Case):
    def serve(self, folder, options=(), env=None, while_it_runs=lambda port: None, program=PROGRAM):
        port = free_port()
        with tempfile.TemporaryDirectory() as scratch:
            stats = os.path.join(scratch, "stats.json")
            log = os.path.join(scratch, "log")
            with open(log, "w", encoding="utf-8") as sink:
                process = subprocess.Popen(
                    [program, "serve", *options, "--stats", stats, "--", os.path.join(folder, "llama-server"), "-m", MODEL, "-t", "1",
                     "-c", "1024", "--port", str(port)],
                    env={**ENVIRONMENT, **(env or {})}, stdout=sink, stderr=sink)  # fmt: skip
            body = json.dumps({"prompt": document(120), "n_predict": 2}).encode()
            request = urllib.request.Request(f"http://127.0.0.1:{port}/completion", body, {"Content-Type": "application/json"})
            for _ in range(240):
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
                    break
                except OSError:
                    time.sleep(0.25)
            with urllib.request.urlopen(request, timeout=120) as reply:
                self.assertTrue(json.load(reply)["content"])
            while_it_runs(port)
            process.send_signal(signal.SIGTERM)
            code = process.wait(timeout=60)
            with open(log, encoding="utf-8", errors="replace") as lines:
                text = lines.read()
            self.assertEqual(code, 0, text)
            self.assertIn("backend loaded", text)
            self.assertIn("added -fa on", text)
            with open(stats, encoding="utf-8") as file:
                statistics = json.load(file)
            self.assertEqual(statistics["plan"], "smollm2-135m-instruct")
            self.assertGreater(statistics["nodes"]["triangle"], 0)
            return text, statistics

    def test_a_build_with_dynamic_backends(self):
        self.serve(DL_BIN)

    def test_metrics_agree_with_the_statistics_and_the_server(self):
        metrics_port = free_port()
        pages = {}

        def read_pages(port):
            for _ in range(100):  # the log comes behind the answer
                pages["ours"], pages["server"] = metrics.read(metrics_port), metrics.read(port)
                if metrics.values(pages["ours"])["trianglemix_prompt_tokens_total"] > 0:
                    break
                time.sleep(0.1)

        text, statistics = self.serve(DL_BIN, ["--metrics", str(metrics_port)], {"LLAMA_ARG_ENDPOINT_METRICS": "1"}, read_pages)
        for said in (f"metrics at http://127.0.0.1:{metrics_port}/metrics", "prompt eval time"):  # the log is passed on
            self.assertIn(said, text)
        ours, server = metrics.values(pages["ours"]), metrics.values(pages["server"])
        self.assertEqual(ours["trianglemix_prompt_tokens_total"], server["llamacpp:prompt_tokens_total"])
        self.assertEqual(ours["trianglemix_time_to_first_token_seconds_count"], 1)
        wanted = metrics.expected(statistics)
        self.assertEqual({name: ours[name] for name in wanted}, wanted)
        docs = settings.REPOSITORY / "docs"
        documented = set(re.findall(r"^\| `(trianglemix_\w+)`", (docs / "metrics.md").read_text(encoding="utf-8"), re.M))
        self.assertEqual(metrics.families(pages["ours"]), documented)
        shown = re.findall(r"trianglemix_\w+", (docs / "metrics_dashboard.json").read_text(encoding="utf-8"))
        self.assertLessEqual({name.removesuffix("_bucket") for name in shown}, documented)

    def test_metrics_without_an_address_for_them(self):
        server = ["--", os.path.join(DL_BIN, "llama-server"), "-m", MODEL]
        self.check(run("serve", "--metrics", "here", *server), 1, "'here' is no address")
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            self.check(run("serve", "--metrics", str(taken.getsockname()[1]), *server), 1, "cannot listen on")

    def test_a_build_with_linked_backends(self):
        """By the program that has no llama.cpp in it."""
        if not os.path.exists(LINKED_BIN):
            self.skipTest("no such build; scripts/setup.sh --linked makes it")
        self.serve(LINKED_BIN, program=os.path.join(os.path.dirname(PROGRAM), "trianglemix-starter"))

    def test_a_plan_takes_the_place_of_dynamic_layers_in_the_environment(self):
        # The backend refuses both together, and computes exactly.
        self.serve(DL_BIN, ["--plan", "preset:smollm2-135m-instruct"], {"TRIANGLEMIX_DYNAMIC": "stride@0-9"})

    def test_a_server_whose_backend_does_not_load_is_stopped(self):
        server = os.path.join(DL_BIN, "llama-server")
        done = run("serve", "--exact", "--", server, "-m", MODEL, "--port", "0", env={"TRIANGLEMIX_DISABLE": "1"})
        self.check(done, 1, "refused to register", "TRIANGLEMIX_DISABLE")

    def test_the_servers_own_failure_passes_through(self):
        server = os.path.join(DL_BIN, "llama-server")
        self.check(run("serve", "--exact", "--", server, "--no-such-option"), 1, "--no-such-option", "ended (exit code 1)")


if __name__ == "__main__":
    group = {"arguments": Arguments, "model": Model, "bench": Bench, "serve": Serve}[GROUP]
    result = unittest.TextTestRunner(verbosity=2).run(unittest.defaultTestLoader.loadTestsFromTestCase(group))
    sys.exit(0 if result.wasSuccessful() else 1)
