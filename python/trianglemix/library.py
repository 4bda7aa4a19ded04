"""The libraries of this package, and what they tell without any llama.cpp."""
import ctypes
import functools
import json
import os
import pathlib

from trianglemix.errors import TriangleMixError

FOLDER = pathlib.Path(__file__).parent / "lib"
BACKEND = FOLDER / "libggml-trianglemix.so"  # what GGML_BACKEND_PATH names
PRELOAD = FOLDER / "libtrianglemix-preload.so"
STARTER = FOLDER / "trianglemix-starter"


@functools.lru_cache(maxsize=None)
def _core():
    path = FOLDER / "libtrianglemix-core.so"
    try:
        core = ctypes.CDLL(str(path))
    except OSError as error:
        hint = " Install your system's libgomp (Debian: libgomp1)." if "libgomp" in str(error) else ""
        raise TriangleMixError(f"cannot load {path}: {error}.{hint}") from error
    core.trianglemix_library_info.restype = ctypes.c_char_p
    core.trianglemix_choose_plan.restype = ctypes.c_char_p
    core.trianglemix_choose_plan.argtypes = [ctypes.c_char_p]
    return core


def _answer(text):
    if text is None:
        raise MemoryError("TriangleMix: out of memory")
    return json.loads(text.decode())


def library_info():
    """What this package is: version, commit, whether it has CUDA kernels, CPU kernels that run here, presets."""
    return _answer(_core().trianglemix_library_info())


def choose_plan(model, plan, **options):
    """Which plan is meant for a model file (None: unknown), as `trianglemix serve` decides it.

    `plan`: "auto", "exact", "preset:NAME", a file, or a dictionary that is a plan. `options`: layers, dynamic, sink, window,
    last, tail, precision. Returns a dictionary: plan (JSON, "" if exact), layers, source, note.
    """
    request = {name: value for name, value in options.items() if value is not None}
    if model is not None:
        request["model"] = os.fspath(model)
    if isinstance(plan, dict):
        request["json"] = json.dumps(plan)
    elif plan is not None:
        request["plan"] = os.fspath(plan)
    answer = _answer(_core().trianglemix_choose_plan(json.dumps(request).encode()))
    if "error" in answer:
        raise TriangleMixError(answer["error"])
    return answer
