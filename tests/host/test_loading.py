"""Every way to load the backend into an unmodified llama.cpp, and every way not to, each proved by what was computed.

Builds with loadable backends: GGML_BACKEND_PATH. Builds with linked-in ones: LD_PRELOAD, or an argument that makes the
host look at GGML_BACKEND_PATH.
"""

import json
import unittest

from hostkit import process, settings, statistics
from hostkit.prompts import Prompts
from hostkit.server import Server

N_LAYER = settings.N_LAYER
N_TOKENS = 200
DEVICE = "TriangleMix"


class StatusFile:
    """TRIANGLEMIX_STATUS: a JSON line for each decision whether to register."""

    def __init__(self):
        self.path = settings.scratch_file("status.jsonl")

    def read(self):
        return [json.loads(line) for line in self.path.read_text().splitlines()] if self.path.exists() else []


class HostTest(unittest.TestCase):
    def serve(self, flags=(), env=None, folder=settings.LLAMA_BIN):
        """One prompt through a llama-server: nodes that the backend computed (0: not loaded), its status, the log."""
        status = StatusFile()
        env = dict(env, TRIANGLEMIX_STATUS=str(status.path))
        with Server(flags, env=env, folder=folder, context=1024, model=settings.small_model()) as server:
            answer = server.complete(Prompts(server.tokenize).prompt(0, N_TOKENS), n_predict=4)
        self.assertEqual(len(answer.tokens), 4)
        log = server.log()
        print(f"{self.id().split('.')[-1]}: {statistics.line(server.statistics)}; status {status.read()}", flush=True)
        return statistics.nodes(server.statistics), status.read(), log

    def assert_served(self, outcome):
        nodes, status, _ = outcome
        self.assertEqual(nodes, N_LAYER)  # one prompt of one ubatch: a node a layer, none in the decode steps
        self.assertEqual([line["registered"] for line in status], [True])

    def assert_not_served(self, outcome):
        self.assertEqual(outcome[0], 0)
        self.assertFalse(any(line["registered"] for line in outcome[1]), outcome[1])

    def bench(self, env, folder):
        stats = statistics.StatisticsFile()
        process.run([settings.program("llama-bench", folder), "-m", settings.small_model(), "-t", settings.THREADS, "-p", 128,
                     "-n", 0, "-r", 1, "--no-warmup", "-fa", "on"], env=dict(env, TRIANGLEMIX_STATS=str(stats.path)))
        print(f"{self.id().split('.')[-1]}: {statistics.line(stats.read())}", flush=True)
        return statistics.nodes(stats.read())


class LoadableBackends(HostTest):
    """A llama.cpp built with -DGGML_BACKEND_DL=ON."""

    def test_backend_path_alone(self):
        self.assert_served(self.serve(env=settings.with_backend()))

    def test_backend_path_alone_llama_bench(self):
        self.assertEqual(self.bench(settings.with_backend(), settings.LLAMA_BIN), N_LAYER)

    def test_preload_does_no_harm(self):
        self.assert_not_served(self.serve(env=settings.environment(LD_PRELOAD=settings.preload())))

    def test_preload_beside_backend_path(self):
        self.assert_served(self.serve(env=settings.with_backend(LD_PRELOAD=settings.preload())))

    def test_stock_without_it(self):
        self.assert_not_served(self.serve(env=settings.environment()))


class LinkedBackends(HostTest):
    """A default source build, its CPU backend linked in."""

    def test_preload(self):
        self.assert_served(self.serve(env=settings.environment(LD_PRELOAD=settings.preload()),
                                      folder=settings.LINKED_BIN))

    def test_device_argument(self):
        self.assert_served(self.serve(["--device", DEVICE, "-ngl", "0"], env=settings.with_backend(),
                                      folder=settings.LINKED_BIN))

    def test_backend_path_llama_bench(self):
        self.assertEqual(self.bench(settings.with_backend(), settings.LINKED_BIN), N_LAYER)

    def test_preload_llama_bench(self):
        self.assertEqual(self.bench(settings.environment(LD_PRELOAD=settings.preload()), settings.LINKED_BIN), N_LAYER)

    def test_backend_path_alone_is_not_enough(self):
        # What the documentation warns of. If this fails the host has learned to look: good, and worth a new sentence.
        self.assert_not_served(self.serve(env=settings.with_backend(), folder=settings.LINKED_BIN))


class Preload(unittest.TestCase):
    def test_other_programs_start_as_ever(self):
        done = process.run(["/bin/sh", "-c", "echo started"], env=settings.environment(LD_PRELOAD=settings.preload()))
        self.assertEqual((done.stdout, done.stderr), ("started\n", ""))


class OffSwitch(HostTest):
    def devices(self, **env):
        done = process.run([settings.program("llama-server"), "--list-devices"], env=settings.with_backend(**env))
        return done.stdout + done.stderr

    def test_no_device_when_disabled(self):
        outcome = self.serve(env=settings.with_backend(TRIANGLEMIX_DISABLE=1))
        self.assert_not_served(outcome)
        self.assertIn("TRIANGLEMIX_DISABLE", outcome[1][0]["reason"])

    def test_device_list(self):
        self.assertIn(f"  {DEVICE}: ", self.devices())
        self.assertNotIn(f"  {DEVICE}: ", self.devices(TRIANGLEMIX_DISABLE=1))


class Settings(HostTest):
    def test_unknown_name_is_reported(self):
        outcome = self.serve(env=settings.with_backend(TRIANGLEMIX_LAYRES="1-3"))
        self.assert_served(outcome)
        self.assertIn("TRIANGLEMIX_LAYRES", outcome[2])

    def test_bad_value_is_reported_and_leaves_exact_mode(self):
        outcome = self.serve(env=settings.with_backend(TRIANGLEMIX_LAYERS="9-x"))
        self.assert_served(outcome)
        self.assertIn("TRIANGLEMIX_LAYERS", outcome[2])

    def test_bad_value_in_strict_mode_refuses(self):
        outcome = self.serve(env=settings.with_backend(TRIANGLEMIX_LAYERS="9-x", TRIANGLEMIX_STRICT=1))
        self.assert_not_served(outcome)
        self.assertIn("TRIANGLEMIX_LAYERS", outcome[1][0]["reason"])

    def test_plan_for_another_model_is_refused_with_the_difference(self):
        outcome = self.serve(env=settings.with_backend(TRIANGLEMIX_LAYERS="4-7"))
        self.assertEqual(outcome[0], N_LAYER)  # computed, exactly
        self.assertIn("the model has layers 0 to 5", outcome[2])


class OtherVersion(HostTest):
    """The same programs with a ggml that calls itself by another number."""

    def serve_as(self, version, **variables):
        text = (settings.LLAMA_BIN / "libggml-base.so").read_bytes()
        self.assertEqual(text.count(b"\x000.25.3\x00"), 1)
        other = settings.scratch_file("libggml-base.so.0")
        other.write_bytes(text.replace(b"\x000.25.3\x00", b"\x00" + version + b"\x00"))
        return self.serve(env=settings.with_backend(LD_LIBRARY_PATH=other.parent, **variables))

    def test_a_release_with_the_same_layout_is_served(self):
        self.assert_served(self.serve_as(b"0.25.9"))

    def test_a_newer_one_is_refused(self):
        outcome = self.serve_as(b"0.99.0")
        self.assert_not_served(outcome)
        for word in ("0.99.0", "0.13 to 0.27", "TRIANGLEMIX_TRY_NEWER_GGML"):
            self.assertIn(word, outcome[1][0]["reason"])
            self.assertIn(word, outcome[2])

    def test_a_newer_one_that_is_to_be_tried_is_refused_for_its_layout(self):
        if not list(settings.LIBRARY_DIR.glob("libtrianglemix-ggml-0.26.so")):
            self.skipTest("built without the headers of ggml 0.26")
        outcome = self.serve_as(b"0.99.0", TRIANGLEMIX_TRY_NEWER_GGML=1)
        self.assert_not_served(outcome)
        self.assertIn("the part for ggml 0.26 cannot be loaded", outcome[1][0]["reason"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
