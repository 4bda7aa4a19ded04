"""Stock llama.cpp on stock rpc-servers with our devices in them: one in front of a GPU that is none (tests/ggml/fake/fake_gpu.h),
one in front of the CPU. The main host has nothing of ours.
"""

import contextlib
import http.client
import json
import os
import random
import signal
import subprocess
import threading
import time
import unittest

from hostkit import settings, statistics
from hostkit.answer import kl
from hostkit.process import run
from hostkit.prompts import Prompts
from hostkit.rpc import RpcServer
from hostkit.server import Server, ServerFailed, free_port
from hostkit.yardstick import measure, text_problem

LENGTHS = (70, 300, 520, 700, 1100)
N_TOKENS = 12
N_KILLS = int(os.environ.get("TMX_HOST_KILLS", "2"))  # of a remote host in mid-prefill; more by hand
HOST = ["-fa", "on", "-np", "5", "-kvu", "-ub", "512"]
LOCAL = [*HOST, "--device", "none", "-ngl", "0"]


def answers(flags, env=None, together=False):
    with Server(flags, env=env, context=16384) as server:
        prompts = Prompts(server.tokenize)
        asked = [prompts.prompt(i, n) for i, n in enumerate(LENGTHS)]
        if together:
            got = server.complete_all(asked, n_predict=N_TOKENS, n_probs=100)
        else:
            got = [server.complete(tokens, n_predict=N_TOKENS, n_probs=100) for tokens in asked]
    return got, server.statistics


@contextlib.contextmanager
def remotes(**extra):
    """The servers, and what makes a host use them, half of the layers on each. The output is the CPU proxy's."""
    with RpcServer(["-d", "TriangleMix0"], settings.with_fake_gpu(**extra)) as gpu, \
            RpcServer(["-d", "TriangleMixCPU"], settings.with_cpu_proxy(**extra)) as cpu:
        yield (gpu, cpu), [*HOST, "--rpc", f"{gpu.endpoint},{cpu.endpoint}", "-ngl", "99", "-ts", "1,1"]


class Answers(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.stock, _ = answers(LOCAL)
        other, _ = answers([*LOCAL[2:], "-fa", "off"])
        cls.yardstick = measure(zip(cls.stock, other))
        print(cls.yardstick, flush=True)

    def compare(self, got):
        for i, (stock, ours) in enumerate(zip(self.stock, got)):
            with self.subTest(prompt=i, tokens=LENGTHS[i]):
                problem, remark = text_problem(stock, ours, self.yardstick)
                print(f"{LENGTHS[i]:5} tokens: {problem or remark}, KL {kl(stock.steps[0], ours.steps[0]):.1e}", flush=True)
                self.assertIsNone(problem)

    def test_exact_for_one_user_after_the_other_and_for_all_at_once(self):
        with remotes(TRIANGLEMIX_STRICT="1") as (servers, flags):
            one_by_one, _ = answers(flags)
            n_half = settings.N_LAYER // 2
            for server in servers:
                shown = server.statistics()
                print(statistics.line(shown), flush=True)
                self.assertGreaterEqual(shown["nodes"]["dense"], (n_half - 1) * len(LENGTHS))
            together, _ = answers(flags, together=True)
            for server in servers:
                shown = server.statistics()
                print(statistics.line(shown), flush=True)
                self.assertEqual(shown["rows"]["masked"], 0, shown["masked_rows"])
                self.assertGreater(shown["ubatches"]["several_runs"], 0)
                self.assertEqual(shown["fallbacks"], {})
        self.compare(one_by_one)
        self.compare(together)

    def test_a_plan_means_what_it_means_without_rpc(self):
        plan = {"TRIANGLEMIX_LAYERS": settings.PLAN_LAYERS, "TRIANGLEMIX_WINDOW": "64"}
        here, _ = answers(LOCAL, settings.with_backend(**plan))
        for first, second in ((settings.with_fake_gpu, "TriangleMix0"), (settings.with_cpu_proxy, "TriangleMixCPU")):
            with self.subTest(device=second), RpcServer(["-d", second], first(TRIANGLEMIX_STRICT="1", **plan)) as remote:
                there, _ = answers([*HOST, "--rpc", remote.endpoint, "-ngl", "99"])
                shown = remote.statistics()
                print(statistics.line(shown), flush=True)
                self.assertGreater(shown["nodes"]["triangle"], 0)
                self.assertGreater(shown["pairs"]["skipped"], 0)
                self.assertEqual(shown["fallbacks"], {})
                for i, (ours, other) in enumerate(zip(there, here)):
                    divergence = kl(other.steps[0], ours.steps[0])
                    print(f"{LENGTHS[i]:5} tokens: remote against this host, first-token KL {divergence:.1e}", flush=True)
                    self.assertLessEqual(divergence, self.yardstick.kl_bound)

    def test_masks_go_to_our_devices_in_few_bytes(self):
        with remotes(TRIANGLEMIX_STRICT="1") as (servers, _):
            env = settings.with_backend(TRIANGLEMIX_RPC=",".join(server.endpoint for server in servers))
            named = ["--device", "TriangleMixRPC0,TriangleMixRPC1", "-ngl", "99", "-ts", "1,1"]
            got, shown = answers([*HOST, *named], env, together=True)
            print(f"{shown['gpu']['short_masks']} masks in few bytes", flush=True)
            self.assertGreater(shown["gpu"]["short_masks"], 0)
            for server in servers:
                counted = server.statistics()
                self.assertGreater(counted["nodes"]["dense"], 0)
                self.assertEqual(counted["rows"]["masked"], 0, counted["masked_rows"])
        self.compare(got)

    def test_layers_whose_output_rows_another_host_knows_are_dense(self):
        with remotes(TRIANGLEMIX_LAYERS=f"0-{settings.N_LAYER - 1}", TRIANGLEMIX_WINDOW="64") as (servers, flags):
            answers(flags)
            first, last = (server.statistics() for server in servers)
            print(statistics.line(first), statistics.line(last), sep="\n", flush=True)
        self.assertEqual(set(first["fallbacks"]), {"output_rows"})
        self.assertEqual(first["pairs"]["skipped"], 0)
        self.assertEqual(last["fallbacks"], {})
        self.assertGreater(last["pairs"]["skipped"], 0)


class Faults(unittest.TestCase):
    def test_a_client_leaves_and_the_next_one_is_served(self):
        with RpcServer(["-d", "TriangleMixCPU"], settings.with_cpu_proxy()) as remote:
            flags = [*HOST, "--rpc", remote.endpoint, "-ngl", "99"]
            first, _ = answers(flags)
            second, _ = answers(flags)
        self.assertEqual([answer.tokens for answer in first], [answer.tokens for answer in second])

    def test_a_remote_that_dies_in_mid_prefill_does_what_stocks_does(self):
        def ask(server, tokens):
            with contextlib.suppress(OSError, http.client.HTTPException):
                server.complete(tokens, n_probs=0)

        for device, env in (("CPU", settings.environment()), ("TriangleMixCPU", settings.with_cpu_proxy())):
            with RpcServer(["-d", device], env) as remote:
                flags = [*HOST, "--rpc", remote.endpoint, "-ngl", "99"]
                with Server(flags, context=8192) as server:
                    tokens = Prompts(server.tokenize).prompt(0, 6000)
                    expected = server.complete(tokens[:300], n_predict=N_TOKENS)
                for number in range(N_KILLS):
                    with self.subTest(device=device, kill=number):
                        # llama.cpp ends a host whose remote is gone.
                        with self.assertRaisesRegex(ServerFailed, "exit status -6"), Server(flags, context=8192) as server:
                            asked = threading.Thread(target=ask, args=(server, tokens))
                            asked.start()
                            time.sleep(random.uniform(0.1, 1))
                            self.assertTrue(asked.is_alive(), "the prompt was over before the remote host died")
                            remote.kill()
                            asked.join(60)
                            self.assertFalse(asked.is_alive(), "the main host hangs")
                        remote.restart()
                        with Server(flags, context=8192) as server:
                            again = server.complete(tokens[:300], n_predict=N_TOKENS)
                        self.assertEqual(again.tokens, expected.tokens)

    def test_the_device_is_offered_only_where_it_was_asked_for(self):
        with self.assertRaisesRegex(ServerFailed, "unknown device: TriangleMixCPU"), \
                RpcServer(["-d", "TriangleMixCPU"], settings.with_backend()):
            pass


class Serve(unittest.TestCase):
    """`trianglemix serve -- rpc-server`, by the program that wheels have it in."""

    PROGRAM = settings.LIBRARY_DIR / "trianglemix-starter"

    def command(self, *options, devices=()):
        program = settings.need(self.PROGRAM, "build the target trianglemix-starter")
        return [program, "serve", *options, "--", settings.program("ggml-rpc-server"), "-p", str(free_port()), *devices]

    def test_devices_are_chosen_and_statistics_written(self):
        for devices, said in (((), "added -d TriangleMixCPU"), (("-d", "CPU"), "CPU is offered as llama.cpp has it"),
                              (("-d", "CPU,TriangleMixCPU"), "CPU is offered 2 times")):
            with self.subTest(devices=devices):
                stats, log = settings.scratch_file("stats.json"), settings.scratch_file("log")
                with log.open("wb") as sink:
                    served = subprocess.Popen(self.command("--stats", str(stats), devices=devices), env=settings.environment(),
                                              stdout=sink, stderr=sink)
                end = time.monotonic() + 60
                while b"backend loaded" not in log.read_bytes() and served.poll() is None and time.monotonic() < end:
                    time.sleep(0.05)
                served.send_signal(signal.SIGTERM)
                self.assertEqual(served.wait(60), 128 + signal.SIGTERM, log.read_text())
                self.assertIn(said, log.read_text())
                self.assertIn("device TriangleMixCPU in front of CPU", log.read_text())
                self.assertEqual(json.loads(stats.read_text())["nodes"]["dense"], 0)

    def test_what_an_rpc_server_cannot_do_is_refused(self):
        for options, code, why in ((("--stats", "1"), 2, "name a file"), (("--layers", "1-3"), 1, "use --plan")):
            done = run(self.command(*options), expect_success=False)
            self.assertEqual(done.code, code, done.stderr)
            self.assertIn(why, done.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
