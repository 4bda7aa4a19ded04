"""The Python package in llama.cpp libraries as others built them: that prompts are accelerated, plans chosen, checked and
changed, and that errors say what to do. Nothing is measured.

    test_package.py            the package from what CMake built, in llama-cpp-python's bindings with the shared libraries that
                               setup.sh built, and in the newest release of llama-cpp-py-sync in a Debian 13
    test_package.py --wheel    the wheel: made by scripts/wheel.sh, installed with pip; in the oldest release, too
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
DEPS = pathlib.Path(os.environ.get("TMX_DEPS_DIR", REPOSITORY / ".deps"))
MODEL = pathlib.Path(os.environ.get("TMX_HOST_MODEL", DEPS / "models/SmolLM2-135M-Instruct-Q8_0.gguf"))
LIBRARY_DIR = pathlib.Path(os.environ.get("TMX_HOST_LIBRARY_DIR", REPOSITORY / "build/bin"))
ROOT = DEPS / "debian13"
WHEEL = "--wheel" in sys.argv
RELEASES = ("0.9756", "0.11739") if WHEEL else ("0.11739",)  # of llama-cpp-py-sync
LINKED = DEPS / "llama-build-linked/bin"
SDIST = DEPS / re.search(r"^pinned_package=(.+)$", (REPOSITORY / "scripts/llama.sh").read_text(encoding="utf-8"), re.M)[1]
PRESET = "preset:smollm2-135m-instruct"
PRESET_LAYERS = 18  # triangle ones
N_LAYER = 30


class Package(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = pathlib.Path(tempfile.mkdtemp(prefix="tmx-wheel-"))
        cls.addClassCleanup(shutil.rmtree, cls.scratch)
        cls.site = cls.scratch / "site"
        (cls.install_wheel if WHEEL else cls.install_built)()
        shutil.copy(pathlib.Path(__file__).with_name("answer.py"), cls.site)

    @classmethod
    def install_wheel(cls):
        subprocess.run([REPOSITORY / "scripts/wheel.sh", cls.scratch / "dist"], check=True)
        (wheel,) = (cls.scratch / "dist").glob("*.whl")
        subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index", "--no-deps",
                        "--root-user-action=ignore", "--target", cls.site, wheel], check=True)  # fmt: skip

    @classmethod
    def install_built(cls):
        library = cls.site / "trianglemix/lib"
        shutil.copytree(REPOSITORY / "python/trianglemix", cls.site / "trianglemix", ignore=shutil.ignore_patterns("__pycache__"))
        library.mkdir()
        for built in (*LIBRARY_DIR.glob("libtrianglemix-*.so"), LIBRARY_DIR / "libggml-trianglemix.so", LIBRARY_DIR / "trianglemix-starter"):
            (library / built.name).symlink_to(built)
        (cls.site / "trianglemix-0.dist-info").mkdir()
        (cls.site / "trianglemix-0.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: trianglemix\nVersion: 0\n", "utf-8")

    def run_python(self, *arguments, **variables):
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("TRIANGLEMIX_", "GGML_"))}
        environment |= {"PYTHONPATH": str(self.site), "PYTHONDONTWRITEBYTECODE": "1", "OMP_WAIT_POLICY": "passive", **variables}
        return subprocess.run([sys.executable, *map(str, arguments)], capture_output=True, text=True, timeout=300, env=environment)

    def with_llama_cpp_python(self, *arguments):
        if not (DEPS / "python-host").is_dir() or not LINKED.is_dir():
            self.skipTest("llama-cpp-python is missing; scripts/setup.sh --tests gets what it needs")
        package = self.scratch / "llama-cpp-python/llama_cpp"
        if not package.is_dir():
            shutil.copytree(SDIST / "llama_cpp", package, ignore=shutil.ignore_patterns("lib"))
            (package / "lib").mkdir()
            for name in ("llama", "ggml", "ggml-base", "ggml-cpu", "mtmd"):
                for version in ("", ".0"):  # a wheel has no links: what they name is there again
                    shutil.copy(LINKED / f"lib{name}.so", package / f"lib/lib{name}.so{version}")
        return self.run_python(*arguments, PYTHONPATH=f"{self.site}:{DEPS}/python-host:{package.parent}",
                               LD_LIBRARY_PATH=str(package / "lib"))

    def with_release(self, version, *arguments):
        if os.geteuid() != 0 or not (ROOT / "usr/bin/python3").exists() or not (DEPS / "releases" / version).is_dir():
            self.skipTest("a Debian 13 with releases, or root who may enter it, is missing; scripts/setup.sh --tests makes it")
        inside = f"/tmx-python-{os.getpid()}"
        folder = ROOT / inside[1:]
        shutil.copytree(self.site, folder)
        try:
            shutil.copytree(DEPS / "releases" / version, folder, dirs_exist_ok=True)
            shutil.copy(MODEL, folder / "model.gguf")
            return subprocess.run(
                ["chroot", ROOT, "/usr/bin/env", "-i", "PATH=/usr/bin", f"PYTHONPATH={inside}", "PYTHONDONTWRITEBYTECODE=1",
                 "OMP_WAIT_POLICY=passive", "python3", f"{inside}/answer.py", "llama_cpp_py_sync", f"{inside}/model.gguf",
                 *arguments], capture_output=True, text=True, timeout=300)  # fmt: skip
        finally:
            shutil.rmtree(folder)

    def told(self, done):
        self.assertEqual(done.returncode, 0, done.stderr[-4000:])
        return json.loads(done.stdout)

    def check_answer(self, done):
        result = self.told(done)
        self.assertGreater(result["n_tokens"], 700)
        self.assertEqual(result["plan"], PRESET)
        self.assertIn(f"{PRESET_LAYERS} of {N_LAYER} layers triangle", done.stderr)
        nodes, changed = result["statistics"]["nodes"], result["changed"]["nodes"]
        self.assertGreaterEqual(nodes["triangle"], PRESET_LAYERS)
        self.assertEqual(nodes["triangle"] * (N_LAYER - PRESET_LAYERS), nodes["dense"] * PRESET_LAYERS)
        self.assertGreater(result["statistics"]["pairs"]["skipped"], 0)
        self.assertEqual(result["statistics"]["pairs"], result["all"]["pairs"])
        self.assertEqual(changed["triangle"], 0)
        self.assertGreaterEqual(changed["dense"], N_LAYER)
        self.assertEqual(result["changed"]["pairs"]["skipped"], 0)
        return result

    def test_llama_cpp_python(self):
        result = self.check_answer(self.with_llama_cpp_python(self.site / "answer.py", "llama_cpp", MODEL, "auto", "exact"))
        alone = self.told(self.with_llama_cpp_python(self.site / "answer.py", "llama_cpp", MODEL))
        self.assertEqual(result["changed_answer"], alone["answer"], "exact attention changes no answer")

    def check_release(self, version):
        self.check_answer(self.with_release(version, "auto", "exact"))

    def test_a_plan_that_does_not_fit_is_refused_before_the_model_is_loaded(self):
        done = self.with_llama_cpp_python(self.site / "answer.py", "llama_cpp", MODEL, "preset:llama-3.1-8b-instruct")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("TriangleMixError", done.stderr)
        self.assertIn("the model has 30", done.stderr)

    def test_a_static_binding_is_named(self):
        library = self.scratch / "libllama.so"
        subprocess.run(["cc", "-shared", "-o", library, "-x", "c", "/dev/null"], check=True)
        done = self.run_python("-c", f"import ctypes; ctypes.CDLL('{library}'); import trianglemix; trianglemix.load()")
        self.assertIn(f"{library} has ggml linked into it", done.stderr)
        self.assertIn("-DBUILD_SHARED_LIBS=ON", done.stderr)

    def test_without_a_binding_it_says_what_to_install(self):
        done = self.run_python("-c", "import trianglemix; trianglemix.load()")
        self.assertIn("no llama.cpp is loaded in this process: install llama-cpp-python or llama-cpp-py-sync", done.stderr)

    def test_a_backend_that_refuses_says_why(self):
        done = self.with_llama_cpp_python("-c", "import os; os.environ['TRIANGLEMIX_DISABLE'] = '1'; import trianglemix; trianglemix.load()")
        self.assertIn("the backend did not register: switched off by TRIANGLEMIX_DISABLE", done.stderr)

    def test_the_command_line(self):
        path = self.told_line(self.run_python("-m", "trianglemix", "path"))
        self.assertTrue(pathlib.Path(path).samefile(self.site / "trianglemix/lib/libggml-trianglemix.so"))
        info = self.run_python("-m", "trianglemix", "info", "-m", MODEL).stdout
        self.assertIn(f"{PRESET_LAYERS} of {N_LAYER} layers triangle", info)
        self.assertIn("llama-cpp-python not installed", info)
        wrong = self.run_python("-m", "trianglemix", "info", "-m", "/nowhere.gguf")
        self.assertIn("trianglemix: no model file at /nowhere.gguf", wrong.stderr)
        served = self.run_python("-m", "trianglemix", "serve", "--exact", "--", DEPS / "llama-build/bin/llama-server", "--no-such-option")
        self.assertIn("--no-such-option", served.stderr)
        self.assertEqual(served.returncode, 1)

    def told_line(self, done):
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.strip()


for _version in RELEASES:
    setattr(Package, "test_release_" + _version.replace(".", "_"), lambda self, version=_version: self.check_release(version))


if __name__ == "__main__":
    unittest.main(argv=[word for word in sys.argv if word != "--wheel"], verbosity=2)
