"""The plug-in in llama.cpp libraries as others released them, without compiling anything, in a Debian 13.

For each release of RELEASES: it registers, computes a prompt's attention and products, answers as that release alone
does, and a plan changes the pairs computed. A release that calls itself by another number than its own is refused where
its layout is not the number's, and where the number is newer than any known unless the user wants it tried.

    test_releases.py             checks
    test_releases.py --write     and puts what was found into docs/results/hosts.jsonl, for the tables of tested hosts
"""

import json
import math
import os
import pathlib
import shutil
import subprocess
import sys
import unittest

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
sys.path += [str(REPOSITORY / "bench"), str(REPOSITORY / "tests/host")]

import rowkit  # noqa: E402  (found by the paths above)
from hostkit import settings  # noqa: E402

FAKE_GPU = settings.LIBRARY_DIR / "fakegpu"
ROOT = settings.DEPS / "debian13"

# llama-cpp-py-sync: ggml.
RELEASES = {"0.9756": "0.15.2", "0.10236": "0.18.0", "0.10837": "0.23.0", "0.11391": "0.25.3", "0.11739": "0.27.0"}
N_TOKENS = 1500

RESULTS = REPOSITORY / "docs/results/hosts.jsonl"
WRITES = "--write" in sys.argv

# Checked with the small model, published of the whole one. Two thirds of the layers are the plan's.
N_LAYER, PLAN_LAYERS = (30, "10-29") if WRITES else (settings.N_LAYER, settings.PLAN_LAYERS)
N_PLANNED = N_LAYER * 2 // 3

MOST_KL = 1e-2 if WRITES else 3e-3  # of the first token: five times what rounding makes of it
NEAR_TIE = 0.25  # how far ahead of the second the release's own token may be where the answers part


def missing():
    """Why these tests cannot run here; None if they can."""
    if os.geteuid() != 0:
        return "a Debian 13 is entered by root only"
    if not (ROOT / "usr/bin/python3").exists():
        return f"{ROOT} is missing; scripts/setup.sh --tests makes it"
    if not all((settings.DEPS / "releases" / version).is_dir() for version in RELEASES):
        return f"releases are missing in {settings.DEPS}/releases; scripts/setup.sh --tests fetches them"
    return None


class Place:
    """A folder in the Debian 13 with all that the tests need."""

    def __init__(self):
        self.inside = f"/tmx-{os.getpid()}"
        self.folder = ROOT / self.inside[1:]
        self.folder.mkdir()
        for library in settings.LIBRARY_DIR.glob("lib*trianglemix*.so"):
            shutil.copy(library, self.folder)
        if FAKE_GPU.is_dir():  # for proxies(), which built_hosts.py asks for
            shutil.copytree(FAKE_GPU, self.folder / "fakegpu")
        shutil.copy(pathlib.Path(__file__).with_name("wheel_answer.py"), self.folder)
        shutil.copy(settings.model() if WRITES else settings.small_model(), self.folder / "model.gguf")
        for version in RELEASES:
            shutil.copytree(settings.DEPS / "releases" / version, self.folder / version)

    def answer(self, version, with_ours, device=None, **variables):
        command = ["chroot", str(ROOT), "/usr/bin/env", f"PYTHONPATH={self.inside}/{version}", "PYTHONDONTWRITEBYTECODE=1",
                   "TRIANGLEMIX_STRICT=1", "OMP_WAIT_POLICY=passive", *(f"{name}={value}" for name, value in variables.items()),
                   "python3", f"{self.inside}/wheel_answer.py", f"{self.inside}/model.gguf", str(N_TOKENS)]
        if device is not None:
            command += [f"{self.inside}/fakegpu/libggml-trianglemix.so", device]
        elif with_ours:
            command.append(f"{self.inside}/libggml-trianglemix.so")
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        if done.returncode != 0:
            raise RuntimeError(f"{version}: exit code {done.returncode}\n{done.stderr[-4000:]}")
        return json.loads(done.stdout)

    def renumber(self, version, number):
        """A copy of a release whose ggml calls itself by another number, of the same length; its name, as of a release."""
        name = f"{version}-as-{number}"
        shutil.copytree(self.folder / version, self.folder / name)
        library = self.folder / name / "llama_cpp_py_sync/libggml-base.so.0"
        own, other = (f"\0{text}\0".encode() for text in (RELEASES[version], number))
        code = library.read_bytes()
        if code.count(own) != 1 or len(own) != len(other):
            raise RuntimeError(f"{library} has no place for the number {number} instead of {RELEASES[version]}")
        library.write_bytes(code.replace(own, other))
        return name

    def remove(self):
        shutil.rmtree(self.folder)


def log_probabilities(logits):
    most = max(logits)
    total = math.log(sum(math.exp(logit - most) for logit in logits)) + most
    return [logit - total for logit in logits]


def kl(reference, other):
    return sum(math.exp(a) * (a - b) for a, b in zip(log_probabilities(reference), log_probabilities(other)))


def proxies(place, version):
    """A release with its model on a proxy in front of a GPU that is none. Returns how many answers were right; raises."""
    plan = {"TRIANGLEMIX_LAYERS": PLAN_LAYERS}
    stock = place.answer(version, False)
    exact = place.answer(version, True, "TriangleMix0", TRIANGLEMIX_MIN_KEYS="1")
    planned = place.answer(version, True, "TriangleMix0", TRIANGLEMIX_MIN_KEYS="1", **plan)
    on_cpu = place.answer(version, True, **plan)
    for answer, kind in ((exact, "dense"), (planned, "triangle")):
        counted = answer["statistics"]
        if counted["nodes"][kind] == 0 or counted["gpu"]["graphs"]["cut"] == 0 or counted["fallbacks"]:
            raise RuntimeError(f"{version}: nodes {counted['nodes']}, gpu {counted['gpu']}, fallbacks {counted['fallbacks']}")
    pairs, there = planned["statistics"]["pairs"], on_cpu["statistics"]["pairs"]
    if pairs["skipped"] == 0 or (pairs["kept"], pairs["skipped"]) != (there["kept"], there["skipped"]):
        raise RuntimeError(f"{version}: a plan on the proxy: pairs {pairs}, on the CPU {there}")
    for what, reference, answer in (("exact", stock, exact), ("a plan", on_cpu, planned)):
        if (distance := kl(reference["logits"], answer["logits"])) > MOST_KL:
            raise RuntimeError(f"{version}: {what} on the proxy: first-token KL {distance:.1e}")
    return 2


class Releases(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if (why := missing()) is not None:
            raise unittest.SkipTest(why)
        cls.place = Place()
        cls.addClassCleanup(cls.place.remove)
        cls.found = rowkit.Store(RESULTS if WRITES else None, "host", "check")

    def check(self, version):
        stock = self.place.answer(version, False)
        ours = self.place.answer(version, True)
        plan = self.place.answer(version, True, TRIANGLEMIX_LAYERS=PLAN_LAYERS)
        self.assertEqual(stock["ggml"], RELEASES[version])
        self.assertFalse(stock["registered"])
        self.assertTrue(ours["registered"] and plan["registered"])

        n_ubatches = math.ceil(N_TOKENS / 512)
        nodes, planned = ours["statistics"]["nodes"], plan["statistics"]["nodes"]
        self.assertEqual(nodes["dense"], N_LAYER * n_ubatches)
        self.assertEqual(planned["triangle"], N_PLANNED * n_ubatches)
        self.assertEqual(planned["dense"], (N_LAYER - N_PLANNED) * n_ubatches)
        self.assertEqual((ours["statistics"]["fallbacks"], plan["statistics"]["fallbacks"]), ({}, {}))
        pairs, fewer = ours["statistics"]["pairs"], plan["statistics"]["pairs"]
        self.assertEqual(pairs["skipped"], 0)
        self.assertGreater(fewer["skipped"], 0)
        self.assertEqual(fewer["kept"] + fewer["skipped"], pairs["kept"])

        distance = kl(stock["logits"], ours["logits"])
        self.assertLessEqual(distance, MOST_KL)
        parted = next((i for i, (a, b) in enumerate(zip(stock["greedy"], ours["greedy"])) if a != b), None)
        if parted is not None:
            self.assertLessEqual(stock["gaps"][parted], NEAR_TIE, f"token {parted}")
        told = "equal" if parted is None else f"part at token {parted}, where the second is {stock['gaps'][parted]:.2f} behind"
        print(f"llama-cpp-py-sync {version}, ggml {stock['ggml']}: {nodes['dense']} nodes, first-token KL {distance:.1e}, "
              f"answers {told}; "
              f"layers {PLAN_LAYERS} Triangle: {fewer['kept'] / pairs['kept']:.0%} of the pairs", flush=True)
        host = f"llama-cpp-py-sync {version}"
        self.found.replace((host, "prompt"), [{
            "host": host, "check": "prompt", "how": "released library", "ggml": stock["ggml"], "exact_kl": distance,
            "plan_pairs": fewer["kept"] / pairs["kept"], **rowkit.origin()}])

    def test_a_newer_one_is_served_only_where_that_is_wanted(self):
        newer = self.place.renumber(list(RELEASES)[-1], "0.99.0")
        refused = self.place.answer(newer, True)
        self.assertEqual((refused["ggml"], refused["registered"]), ("0.99.0", False))
        tried = self.place.answer(newer, True, TRIANGLEMIX_TRY_NEWER_GGML="1")
        self.assertTrue(tried["registered"])
        self.assertEqual(tried["statistics"]["nodes"]["dense"], N_LAYER * math.ceil(N_TOKENS / 512))
        self.assertLessEqual(kl(refused["logits"], tried["logits"]), MOST_KL)

    def test_a_known_number_on_a_layout_of_another_is_refused(self):
        newest, oldest = list(RELEASES)[-1], list(RELEASES)[0]
        for version, number in ((newest, "0.23.0"), (oldest, "0.27.0")):
            with self.subTest(version=version, number=number):
                answer = self.place.answer(self.place.renumber(version, number), True)
                self.assertEqual((answer["ggml"], answer["registered"]), (number, False))


for _version in RELEASES:
    setattr(Releases, "test_" + _version.replace(".", "_"), lambda self, version=_version: self.check(version))


if __name__ == "__main__":
    unittest.main(argv=[word for word in sys.argv if word != "--write"], verbosity=2)
