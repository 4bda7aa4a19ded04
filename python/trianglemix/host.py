"""The llama.cpp in this process: found, given our backend, and asked through it.

Nothing of its headers is known here but a few functions that every version has.
"""
import ctypes
import json
import os
import pathlib
import re
import tempfile

from trianglemix.errors import TriangleMixError
from trianglemix.library import BACKEND

SHARED_NEEDED = ("TriangleMix needs one with shared libraries; llama-cpp-python is built so by "
                 'CMAKE_ARGS="-DBUILD_SHARED_LIBS=ON" pip install --no-binary llama-cpp-python llama-cpp-python')


class _Loaded(ctypes.Structure):
    """The beginning of the C library's dl_phdr_info."""

    _fields_ = [("address", ctypes.c_void_p), ("path", ctypes.c_char_p)]


def loaded_libraries(name):
    """Paths of libNAME.so, with or without a version, that this process has loaded."""
    pattern = re.compile(r"lib" + re.escape(name) + r"\.so(\.[0-9.]+)?")
    paths = []

    @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(_Loaded), ctypes.c_size_t, ctypes.c_void_p)
    def note(library, size, data):
        path = os.fsdecode(library.contents.path or b"")
        if pattern.fullmatch(path.rpartition("/")[2]):
            paths.append(path)
        return 0

    ctypes.CDLL(None).dl_iterate_phdr(note, None)
    return paths


def _llama_library():
    """A handle of libllama, through which the very ggml that it uses is found: a wheel may hold several copies of it."""
    libllama = loaded_libraries("llama")
    if not libllama:
        raise TriangleMixError("no llama.cpp is loaded in this process")
    if not loaded_libraries("ggml-base"):
        raise TriangleMixError(f"{libllama[0]} has ggml linked into it: no backend can be added to it. {SHARED_NEEDED}")
    library = ctypes.CDLL(libllama[0])
    if not hasattr(library, "ggml_backend_load"):
        raise TriangleMixError(f"{libllama[0]} loads no backends: it has no ggml_backend_load(). {SHARED_NEEDED}")
    return library


def _registered(library):
    """Our registry in that llama.cpp, loaded if it was not yet; the backend's own reason if it refuses."""
    library.ggml_backend_reg_by_name.restype = ctypes.c_void_p
    library.ggml_backend_reg_by_name.argtypes = [ctypes.c_char_p]
    registry = library.ggml_backend_reg_by_name(b"TriangleMix")
    if registry is not None:
        return registry
    library.ggml_backend_load.restype = ctypes.c_void_p
    library.ggml_backend_load.argtypes = [ctypes.c_char_p]
    before = os.environ.get("TRIANGLEMIX_STATUS")
    with tempfile.TemporaryDirectory(prefix="trianglemix-") as folder:
        status = pathlib.Path(folder) / "status"
        os.environ["TRIANGLEMIX_STATUS"] = str(status)
        try:
            registry = library.ggml_backend_load(os.fsencode(BACKEND))
        finally:
            if before is None:
                del os.environ["TRIANGLEMIX_STATUS"]
            else:
                os.environ["TRIANGLEMIX_STATUS"] = before
        if registry is None:
            raise TriangleMixError("the backend did not register: " + _reason(status))
    return registry


def _reason(status):
    try:
        return json.loads(status.read_text().splitlines()[0])["reason"]
    except (OSError, ValueError, KeyError, IndexError):
        return f"llama.cpp could not load {BACKEND}; its log says why"


class Control:
    """Functions of include/trianglemix/backend_control.h in the llama.cpp of this process."""

    def __init__(self):
        self._library = _llama_library()
        self._registry = _registered(self._library)
        self._library.ggml_backend_reg_get_proc_address.restype = ctypes.c_void_p
        self._library.ggml_backend_reg_get_proc_address.argtypes = [ctypes.c_void_p, ctypes.c_char_p]

    def call(self, name, result, *arguments):
        """Calls trianglemix_NAME; `arguments`: pairs of a type and a value."""
        address = self._library.ggml_backend_reg_get_proc_address(self._registry, f"trianglemix_{name}".encode())
        if address is None:
            raise TriangleMixError(f"the loaded TriangleMix backend has no {name}: it is another version than this package")
        function = ctypes.CFUNCTYPE(result, *(each for each, _ in arguments))(address)
        return function(*(value for _, value in arguments))

    def ask(self, name, *arguments):
        """The same, of a function that returns a text: a dictionary of its JSON, None if it returned none."""
        text = self.call(name, ctypes.c_char_p, *arguments)
        return json.loads(text.decode()) if text is not None else None

    def change(self, name, *arguments):
        """The same, of a function that returns what was wrong."""
        problem = self.call(name, ctypes.c_char_p, *arguments)
        if problem is not None:
            raise TriangleMixError(problem.decode())
