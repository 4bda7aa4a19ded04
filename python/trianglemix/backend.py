"""The backend in this process, and the contexts that use it."""
import contextlib
import ctypes
import logging
import os
import weakref

from trianglemix import bindings
from trianglemix.errors import TriangleMixError
from trianglemix.host import Control
from trianglemix.library import choose_plan

log = logging.getLogger("trianglemix")

CONTEXT = ctypes.c_int64
PLAN_VARIABLES = ("TRIANGLEMIX_PLAN", "TRIANGLEMIX_LAYERS", "TRIANGLEMIX_DYNAMIC")


class Context:
    """One llama.cpp context, a Llama's. A change holds from its next evaluation on."""

    def __init__(self, control, number, model, prepare):
        self._control = control
        self._number = number
        self._model = model
        self._prepare = prepare
        self.plan = None  # what choose_plan() said; None: it started with the process's

    def statistics(self):
        """Since the context was made or the last reset (docs/env.md lists the keys)."""
        counted = self._control.ask("context_statistics", (CONTEXT, self._number))
        if counted is None:
            raise TriangleMixError("this context is freed")
        return counted

    def reset_statistics(self):
        self._control.change("context_reset_statistics", (CONTEXT, self._number))

    def set_plan(self, plan="auto", **options):
        """As Backend.set_plan(), for this context and its model."""
        chosen = choose_plan(self._model, plan, **options)
        _tell(chosen)
        self._take(chosen, options)

    def _take(self, chosen, options):
        if "precision" in options:
            precision = (options["precision"] or "").encode()
            self._control.change("context_set_precision", (CONTEXT, self._number), (ctypes.c_char_p, precision))
        if chosen["plan"]:
            self._prepare()
        self._control.change("context_set_plan", (CONTEXT, self._number), (ctypes.c_char_p, chosen["plan"].encode()))
        self.plan = chosen

    def set_prompt_length(self, n_tokens):
        """Announces the next prompt's length, for plans whose tail is "prompt"; None: unknown."""
        length = -1 if n_tokens is None else n_tokens
        self._control.change("context_set_prompt_length", (CONTEXT, self._number), (ctypes.c_int64, length))


def _tell(chosen):
    if chosen["note"]:
        log.warning("%s", chosen["note"])
    log.info("%s (%s)", chosen["layers"], chosen["source"])


class Backend:
    """The TriangleMix backend in the llama.cpp of this process."""

    def __init__(self, control, binding):
        self._control = control
        self._binding = binding
        self._wish = None  # the plan that each model is to get, and its options; None: what the environment says
        self._contexts = weakref.WeakKeyDictionary()

    def statistics(self):
        """Of all contexts, since load or the last reset (docs/env.md lists the keys)."""
        return self._control.ask("statistics")

    def reset_statistics(self):
        self._control.call("reset_statistics", None)

    def set_plan(self, plan="auto", model=None, **options):
        """The plan of contexts that are made from now on; those that exist keep theirs (context()).

        plan    "auto": the measured preset made for the model, by its name and shape, else exact; "exact"; "preset:NAME"; a
                plan file; a dictionary that is a plan
        model   the GGUF file, for hosts that do not make a Llama; a Llama's own is looked at when it is made
        options layers="16-31", dynamic="RULES", sink, window, last, tail="chunk", precision="fast"
        """
        chosen = None
        if model is not None or (plan not in ("auto", "exact") and not (options.get("layers") or options.get("dynamic"))):
            chosen = choose_plan(model, plan, **options)
        if model is not None:
            _tell(chosen)
        self._control.change("set_plan", (ctypes.c_char_p, (chosen["plan"] if chosen else "").encode()))
        if "precision" in options:
            self._control.change("set_precision", (ctypes.c_char_p, (options["precision"] or "").encode()))
        self._wish = (plan, options)

    def context(self, llm):
        """The context of a Llama that was made since load()."""
        if llm not in self._contexts:
            raise TriangleMixError("this object was not made by the Llama of the binding that load() found, or before it")
        return self._contexts[llm]

    @contextlib.contextmanager
    def _making(self, llm, model):
        """Around a Llama's making: its model is held against the plan, its context gets it."""
        model = os.fspath(model) if model is not None and os.path.isfile(model) else None
        chosen, options = None, {}
        if self._wish is not None and model is not None:
            plan, options = self._wish
            chosen = choose_plan(model, plan, **options)  # before the model is loaded, which may take long
            _tell(chosen)
        number = self._control.call("context_begin", CONTEXT)
        made = weakref.ref(llm)
        context = Context(self._control, number, model, lambda: self._binding.prepare(made()))
        try:
            yield
        finally:
            problem = self._control.call("context_end", ctypes.c_char_p, (CONTEXT, number))
        if problem is not None:
            log.debug("no context: %s", problem.decode())  # a vocabulary alone, say
            return
        if chosen is not None:
            context._take(chosen, options)
        self._contexts[llm] = context


_backend = None


def load(plan="auto", model=None, *, binding=None, **options):
    """Puts the backend into this process's llama.cpp, with a plan (Backend.set_plan() has the arguments).

    binding: "llama_cpp" or "llama_cpp_py_sync"; None: the one that is imported, else the one that is installed. Called again
    it returns the same Backend, with the new plan. Where plan is "auto" and TRIANGLEMIX_* variables name a plan, that holds.

    Raises TriangleMixError: there is no binding, or its llama.cpp cannot take a backend, or the plan is wrong.
    """
    global _backend
    if _backend is None:
        found = bindings.find(binding)
        if found is not None:
            bindings.load(found)
        elif binding is not None:
            raise TriangleMixError(f"{binding} is not installed")
        try:
            loaded = Backend(Control(), found)
        except TriangleMixError as error:
            known = " or ".join(each.package for each in bindings.KNOWN)
            raise error if found is not None else TriangleMixError(f"{error}: install {known}") from None
        if found is not None:
            bindings.watch(found, loaded._making)
        _backend = loaded
    variables = [name for name in PLAN_VARIABLES if os.environ.get(name)]
    if plan == "auto" and variables and not options:
        log.info("the plan is that of %s", variables[0])
        _backend._wish = None
    else:
        _backend.set_plan(plan, model, **options)
    return _backend
