"""Python bindings of llama.cpp that are known: how each loads its library, and its class Llama.

Their class is what makes models and contexts, so it is told of both: which plan a model file gets, and which context is
which. Whoever calls llama.cpp's own functions instead is served by the settings of the process.
"""
import functools
import importlib
import importlib.util
import inspect
import os
import sys

from trianglemix.errors import TriangleMixError


def _no_embeddings(llm):
    """Newer ones turn embeddings on in every context, to be ready for audio. Then each row is an output, and no plan skips any."""
    if getattr(llm, "_embedding", None) is False and hasattr(llm._lib, "llama_set_embeddings"):
        llm._lib.llama_set_embeddings(llm._ctx, False)


class Binding:
    def __init__(self, module, package, flash_attention, load, prepare):
        self.module = module                    # what is imported
        self.package = package                  # what pip installs
        self.flash_attention = flash_attention  # Llama's argument that turns it on, and its value
        self.load = load                        # loads libllama, if importing has not
        self.prepare = prepare                  # a Llama whose context gets a plan


KNOWN = [
    Binding("llama_cpp", "llama-cpp-python", ("flash_attn", True), lambda module: None, lambda llm: None),
    Binding("llama_cpp_py_sync", "llama-cpp-py-sync", ("flash_attn_type", 1),
            lambda module: importlib.import_module(module + "._cffi_bindings").get_lib(), _no_embeddings),
]


def find(name=None):
    """The binding of this process: the one named, else one that is imported, else one that is installed."""
    candidates = [each for each in KNOWN if name in (None, each.module)]
    if not candidates:
        raise TriangleMixError(f"no binding {name!r} is known; there are " + ", ".join(each.module for each in KNOWN))
    imported = [each for each in candidates if each.module in sys.modules]
    installed = [each for each in candidates if importlib.util.find_spec(each.module) is not None]
    return (imported + installed + [None])[0]


def load(binding):
    """Imports it, and has it load its llama.cpp."""
    try:
        importlib.import_module(binding.module)
        binding.load(binding.module)
    except (ImportError, OSError, RuntimeError, FileNotFoundError) as error:
        raise TriangleMixError(f"{binding.package} cannot be loaded: {error}") from error


def watch(binding, making):
    """From now on each Llama that is made is made within `making(self, model file)`, a context manager, and with flash
    attention, without which the backend sees no attention, unless the caller decides about it."""
    cls = importlib.import_module(binding.module).Llama
    original = cls.__init__
    signature = inspect.signature(original)
    argument, value = binding.flash_attention

    @functools.wraps(original)
    def make(self, *arguments, **named):
        bound = signature.bind_partial(self, *arguments, **named).arguments
        decided = argument in bound or argument in bound.get("kwargs", {}) or "LLAMA_FLASH_ATTENTION" in os.environ
        if argument in signature.parameters and not decided:
            named[argument] = value
        with making(self, bound.get("model_path")):
            original(self, *arguments, **named)

    cls.__init__ = make
