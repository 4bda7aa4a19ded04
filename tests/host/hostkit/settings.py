"""Where the programs, the backend and the model are, and the environment that loads the backend.

Everything comes from TMX_HOST_* variables, set by ctest (tests/host/CMakeLists.txt); outside ctest the defaults are
.deps/ and build/ of this repository.
"""

import atexit
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

REPOSITORY = pathlib.Path(__file__).resolve().parents[3]


def _path(name, default):
    return pathlib.Path(os.environ.get(name, default))


DEPS = _path("TMX_DEPS_DIR", REPOSITORY / ".deps")
LLAMA_BIN = _path("TMX_HOST_LLAMA_BIN", DEPS / "llama-build/bin")
LINKED_BIN = _path("TMX_HOST_LINKED_BIN", DEPS / "llama-build-linked/bin")
LIBRARY_DIR = _path("TMX_HOST_LIBRARY_DIR", REPOSITORY / "build/bin")
MODEL = _path("TMX_HOST_MODEL", DEPS / "models/SmolLM2-135M-Instruct-Q8_0.gguf")
BACKEND = LIBRARY_DIR / "libggml-trianglemix.so"
FAKE_GPU_BACKEND = _path("TMX_HOST_FAKE_GPU", LIBRARY_DIR / "libggml-trianglemix-fakegpu.so")
PRELOAD = LIBRARY_DIR / "libtrianglemix-preload.so"
THREADS = int(os.environ.get("TMX_HOST_THREADS", "2"))

# Least rows of a ubatch that the backend takes.
_CONTROL = (REPOSITORY / "include/trianglemix/backend_control.h").read_text(encoding="utf-8")
MIN_ROWS = int(re.search(r"^#define TMX_DEFAULT_MIN_ROWS (\d+)$", _CONTROL, re.M)[1])

# The small model's layers, and those of the plan that the tests use: two thirds, more than the preset has, so that errors
# show.
N_LAYER = 6
PLAN_LAYERS = "2-5"


def need(path, how):
    """The path as text, or a plain error. A missing file fails the test: a check that did not run must not look green."""
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing; {how}")
    return str(path)


def scratch_file(name):
    """A path in a new folder that is gone when the test ends."""
    folder = tempfile.mkdtemp(prefix="tmx-host-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return pathlib.Path(folder) / name


def program(name, folder=LLAMA_BIN):
    return need(folder / name, "run scripts/setup.sh --tests")


def model():
    return need(MODEL, "run scripts/setup.sh")


def _made(name, weights, *options):
    """A file that stock llama-quantize makes from the model, once for a build folder."""
    made = LIBRARY_DIR.parent / "host-tests" / f"{MODEL.stem}-{name}.gguf"
    if not made.exists():
        made.parent.mkdir(exist_ok=True)
        partial = made.with_suffix(f".{os.getpid()}.partial")  # two tests may make it at once
        subprocess.run([program("llama-quantize"), "--allow-requantize", *options, model(), partial, weights, str(THREADS)],
                       check=True, timeout=300, env=environment(), capture_output=True)
        partial.rename(made)
    return str(made)


def sharp_model():
    """The model with the same weights as F16.

    The default model's Q8_0 weights make llama.cpp round activations to 8 bits, which turns the last bit of an attention
    result into 1e-3 nats of KL: stock llama.cpp does not agree with itself on a greedy text there (-fa on, -fa off, other
    ubatches). With F16 weights the same differences are a thousand times smaller, and so is what a test can let pass.
    """
    return _made("as-F16", "F16")


def _first_layers(name, weights, n):
    return _made(name, weights, "--prune-layers", ",".join(str(layer) for layer in range(n, 30)))


def small_model():
    """The model's first six layers and all else of it: for what happens around a model, which is the same for six layers and
    for thirty, in a fifth of the time. Its answers are no good, but as F16 two forms of stock agree on them to a KL of 1e-5,
    so bounds made of that are tight. (With the last layers on top of the first ones they would part by nats.)"""
    return _first_layers("first-layers", "COPY", N_LAYER)


def smallest_model():
    """Two of its layers, for what takes dozens of long prompts."""
    return _first_layers("two-layers", "COPY", 2)


def small_sharp_model():
    """What a Server runs unless told otherwise."""
    return _first_layers("first-layers-as-F16", "F16", N_LAYER)


def backend():
    return need(BACKEND, "build the target ggml-trianglemix, or set TMX_HOST_LIBRARY_DIR")


def preload():
    return need(PRELOAD, "build the target trianglemix-preload, or set TMX_HOST_LIBRARY_DIR")


def environment(**extra):
    """The caller's environment without anything that loads or steers the backend, plus `extra`."""
    clean = {name: value for name, value in os.environ.items()
             if not name.startswith(("TRIANGLEMIX_", "LLAMA_ARG_", "GGML_")) and name != "LD_PRELOAD"}
    clean.update({name: str(value) for name, value in extra.items()})
    return clean


def with_backend(**extra):
    """Loads the backend into a llama.cpp built with dynamic backends."""
    return environment(GGML_BACKEND_PATH=backend(), **extra)


def with_cpu_proxy(**extra):
    """Offers the device TriangleMixCPU, to rpc-server."""
    return with_backend(TRIANGLEMIX_CPU_PROXY="1") | {name: str(value) for name, value in extra.items()}


def with_fake_gpu(**extra):
    """Loads the module with a proxy in front of a GPU that is none, whose prompts are ours from the first key on."""
    path = need(FAKE_GPU_BACKEND, "build the target ggml-trianglemix-fakegpu")
    return environment(GGML_BACKEND_PATH=path, TRIANGLEMIX_MIN_KEYS="1") | extra


def with_plan(**extra):
    return with_backend(**{"TRIANGLEMIX_LAYERS": PLAN_LAYERS, **extra})
