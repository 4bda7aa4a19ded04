"""TriangleMix: llama.cpp answers long prompts sooner.

    import trianglemix
    from llama_cpp import Llama            # or: from llama_cpp_py_sync import Llama

    backend = trianglemix.load(plan="auto")
    llm = Llama("model.gguf", n_ctx=32768, n_batch=2048, n_ubatch=2048)
    ...
    print(backend.statistics()["pairs"])

load() puts the TriangleMix backend into the llama.cpp of the Python binding that this process uses. docs/python.md of the
project has the rest.
"""
import importlib.metadata

from trianglemix.backend import Backend, Context, load
from trianglemix.errors import TriangleMixError
from trianglemix.library import library_info

__version__ = importlib.metadata.version("trianglemix")
__all__ = ["Backend", "Context", "TriangleMixError", "library_info", "load"]
