"""Answers a prompt with the llama.cpp of a prebuilt Python wheel (llama-cpp-py-sync), as JSON.

    PYTHONPATH=WHEEL wheel_answer.py MODEL TOKENS [PLUGIN [DEVICE]]

Run by test_releases.py in a Debian 13. PLUGIN is loaded as any program would load it, by ggml_backend_load(), and the
model is put onto DEVICE. Printed: the version of ggml, whether the plug-in registered, the logits behind the prompt, the
greedy tokens after it with how far ahead of the second each was, and the plug-in's statistics.
"""
import json
import sys

import cffi
import numpy

from llama_cpp_py_sync import _cffi_bindings as bindings

N_ANSWER = 24


class Ggml:
    """The wheel's libggml, of which the bindings declare less than is needed here."""

    def __init__(self, folder):
        self.ffi = cffi.FFI()
        self.ffi.cdef("""
            const char * ggml_version(void);
            void * ggml_backend_load(const char * path);
            void * ggml_backend_reg_get_proc_address(void * reg, const char * name);
            void * ggml_backend_dev_by_name(const char * name);
        """)
        self.base = self.ffi.dlopen(folder + "/libggml-base.so.0")
        self.lib = self.ffi.dlopen(folder + "/libggml.so.0")

    def version(self):
        return self.ffi.string(self.base.ggml_version()).decode()

    def load(self, path):
        reg = self.lib.ggml_backend_load(path.encode())
        return reg if reg != self.ffi.NULL else None

    def device(self, name):
        found = self.lib.ggml_backend_dev_by_name(name.encode())
        assert found != self.ffi.NULL, name
        return int(self.ffi.cast("uintptr_t", found))

    def statistics(self, reg):
        address = self.base.ggml_backend_reg_get_proc_address(reg, b"trianglemix_statistics")
        return json.loads(self.ffi.string(self.ffi.cast("const char * (*)(void)", address)()).decode())


def answer(model_path, n_tokens, device):
    ffi, lib = bindings.get_ffi(), bindings.get_lib()
    lib.llama_backend_init()
    params = lib.llama_model_default_params()
    if device is not None:
        devices = ffi.new("ggml_backend_dev_t[2]", [ffi.cast("void *", device), ffi.NULL])
        params.devices = devices
        params.n_gpu_layers = 99
    model = lib.llama_model_load_from_file(model_path.encode(), params)
    params = lib.llama_context_default_params()
    params.n_ctx = n_tokens + N_ANSWER + 8
    params.n_batch = params.n_ubatch = 512
    params.n_threads = params.n_threads_batch = 2
    params.flash_attn_type = 1
    context = lib.llama_init_from_model(model, params)
    vocab = lib.llama_model_get_vocab(model)
    n_vocab = lib.llama_vocab_n_tokens(vocab)
    text = " ".join(f"In the year {1000 + i} town {i * 7 % 113} had {i * i % 977} houses." for i in range(n_tokens)).encode()
    tokens = ffi.new(f"llama_token[{len(text)}]")
    n = lib.llama_tokenize(vocab, text, len(text), tokens, len(text), True, False)
    assert n >= n_tokens, n
    for begin in range(0, n_tokens, 512):
        count = min(512, n_tokens - begin)
        assert lib.llama_decode(context, lib.llama_batch_get_one(tokens + begin, count)) == 0
    def row():
        return numpy.frombuffer(ffi.buffer(lib.llama_get_logits_ith(context, -1), 4 * n_vocab), dtype=numpy.float32).copy()

    logits = row()
    greedy, gaps, last = [], [], logits
    for _ in range(N_ANSWER):
        second, best = (int(token) for token in numpy.argsort(last)[-2:])
        greedy.append(best)
        gaps.append(float(last[best] - last[second]))
        token = ffi.new("llama_token[1]", [best])
        assert lib.llama_decode(context, lib.llama_batch_get_one(token, 1)) == 0
        last = row()
    return {"logits": logits.tolist(), "greedy": greedy, "gaps": gaps}


def main():
    model, n_tokens = sys.argv[1], int(sys.argv[2])
    bindings.get_lib()
    folder = str(bindings._find_library()).rpartition("/")[0]
    ggml = Ggml(folder)
    reg = ggml.load(sys.argv[3]) if len(sys.argv) > 3 else None
    device = ggml.device(sys.argv[4]) if len(sys.argv) > 4 else None
    result = {"ggml": ggml.version(), "registered": reg is not None} | answer(model, n_tokens, device)
    if reg is not None:
        result["statistics"] = ggml.statistics(reg)
    json.dump(result, sys.stdout)


if __name__ == "__main__":
    main()
