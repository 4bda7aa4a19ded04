"""Our CUDA kernels for PyTorch tensors, through bench/gpu/c_api.cpp."""
import ctypes

import torch

TYPES = ("f16", "bf16", "q8_0", "q4_0")
P = ctypes.c_void_p
I = ctypes.c_int64


def encoded(kind, n, heads, dim):
    """Random keys or values in a block format of ggml: 32 values and an f16 scale (0.01) a block."""
    block = {"q8_0": 34, "q4_0": 18}[kind]
    blocks = torch.randint(0, 256, (n, heads, dim // 32, block), device="cuda", dtype=torch.uint8)
    blocks[..., :2] = torch.tensor([0.01], dtype=torch.float16).view(torch.uint8).cuda()
    return blocks


class Ours:
    """One context on the current device; `kernel` is "", "sm90a" or "sm80"."""

    def __init__(self, library, kernel=""):
        self.c = ctypes.CDLL(library)
        for name, result, arguments in (
                ("error", ctypes.c_char_p, []),
                ("context", P, [ctypes.c_int, ctypes.c_char_p]),
                ("drop_context", None, [P]),
                ("prepare", P, [P, P, I, I, I, I, I, I, ctypes.c_int, I, I, I, ctypes.c_float, ctypes.c_float]),
                ("set_options", None, [P, P, P]),
                ("prepare_selected", P, [P, P, I, I, I, I, I, I, ctypes.c_int, I, ctypes.c_char_p,
                                         ctypes.POINTER(ctypes.c_double), ctypes.c_int, ctypes.c_int]),
                ("count", ctypes.c_int, [P]),
                ("memory", I, [P]),
                ("select", ctypes.c_int, [P, P, P, P, P]),
                ("forward_again", ctypes.c_int, [P, P, P, P, P, P, P]),
                ("flops", ctypes.c_double, [P]),
                ("density", ctypes.c_double, [P]),
                ("facts", None, [P] + [ctypes.POINTER(I)] * 4),
                ("drop_work", None, [P]),
                ("compare_mask_rows", ctypes.c_int, [P, P, P, I, I, P, P]),
                ("forward", ctypes.c_int, [P, P, P, P, P, P, P, P])):
            function = getattr(self.c, "tmx_bench_" + name)
            function.restype, function.argtypes = result, arguments
        self.name = kernel
        self.context = self.c.tmx_bench_context(0, kernel.encode())
        self.check(self.context)

    def check(self, good):
        if not good:
            raise RuntimeError(self.c.tmx_bench_error().decode())

    def stream(self):
        return torch.cuda.current_stream().cuda_stream

    def prepare(self, n, rows, heads, heads_kv, dim, kind, band, softcap=0.0, skip_factor=0.0):
        """`rows` (begin, end) of a prompt of n tokens; `band` (sink, window, last), or None for dense; `kind` in TYPES."""
        sink, window, last = band or (0, 0, 0)
        work = self.c.tmx_bench_prepare(self.context, self.stream(), n, rows[0], rows[1], heads, heads_kv, dim,
                                        TYPES.index(kind), sink, window, last, softcap, skip_factor)
        self.check(work)
        return work

    def set_options(self, work, sink_logit=None, skips=None):
        """Of the calls to come: sink logits [heads] f32; skips [2] int64, to which tiles visited and skipped are added."""
        self.c.tmx_bench_set_options(work, sink_logit.data_ptr() if sink_logit is not None else None,
                                     skips.data_ptr() if skips is not None else None)

    def prepare_selected(self, n, rows, heads, heads_kv, dim, kind, last, method, values, per_query_head=False):
        """As prepare(); in all rows but the prompt's last ones a method selects blocks of keys on the device. `values`: of its
        parameters, in their order."""
        numbers = (ctypes.c_double * len(values))(*values)
        work = self.c.tmx_bench_prepare_selected(self.context, self.stream(), n, rows[0], rows[1], heads, heads_kv, dim,
                                                 TYPES.index(kind), last, method.encode(), numbers, len(values),
                                                 int(per_query_head))
        self.check(work)
        return work

    def count(self, work):
        """After a selection: finds out what it keeps, for density() and flops()."""
        self.check(self.c.tmx_bench_count(work) == 0)

    def memory(self):
        """Bytes of the device that all works and the context hold."""
        return self.c.tmx_bench_memory(self.context)

    def density(self, work):
        """Share of the causal pairs that it keeps."""
        return self.c.tmx_bench_density(work)

    def flops(self, work):
        return self.c.tmx_bench_flops(work)

    def facts(self, work):
        values = [I() for _ in range(4)]
        self.c.tmx_bench_facts(work, *[ctypes.byref(v) for v in values])
        return dict(zip(("items", "key_tiles", "block_keys", "partials"), (v.value for v in values)))

    def drop(self, work):
        self.c.tmx_bench_drop_work(work)

    def forward(self, work, q, k, v, out, lse=None):
        """q and out [rows, heads, dim] f32; k and v [n, heads_kv, dim]."""
        self.check(self.c.tmx_bench_forward(self.context, work, self.stream(), q.data_ptr(), k.data_ptr(), v.data_ptr(),
                                            out.data_ptr(), lse.data_ptr() if lse is not None else None) == 0)

    def select(self, work, q, k, v):
        """Of a selected work, only bits and walks."""
        self.check(self.c.tmx_bench_select(work, self.stream(), q.data_ptr(), k.data_ptr(), v.data_ptr()) == 0)

    def forward_again(self, work, q, k, v, out):
        """Of a selected work, only the attention, over the walks of the call before."""
        self.check(self.c.tmx_bench_forward_again(self.context, work, self.stream(), q.data_ptr(), k.data_ptr(),
                                                  v.data_ptr(), out.data_ptr()) == 0)

    def compare_mask_rows(self, mask, cells, found):
        """What trianglemix/cuda_mask_rows.h says; mask [rows, keys] f16 on the device, cells int32 and found uint8 [rows] on the
        host. Waits."""
        self.check(self.c.tmx_bench_compare_mask_rows(self.context, self.stream(), mask.data_ptr(), mask.shape[0], mask.shape[1],
                                                      cells.data_ptr(), found.data_ptr()) == 0)
