#!/usr/bin/env python3
"""Writes a GGUF with random weights of a model's shape: for timings and checks that no weight changes, where the model
itself may not be had. F16 matrices (experts in MXFP4, as in gpt-oss's own files), f32 norms, biases and sink logits; no
tokeniser (programs that take token numbers need none).

    write_gguf.py OUT.gguf [--shape llama-3.1-8b] [--layers N]

The shapes ending in "tiny" are for tests. Of gpt-oss they keep what matters to attention: heads of 64, eight to a key
head, windows of 128 in every other layer, a sink logit for each head. All their experts are used, and in F16, so that rounding
changes no choice and is small.
"""
import argparse
import math
import random
import struct

ALIGNMENT = 32
U32, F32, STRING = 4, 6, 8
TYPE_F32, TYPE_F16, TYPE_MXFP4 = 0, 1, 39
N_RANDOM = 1 << 20  # values that are drawn; tensors take them over and over, each from another start

SHAPES = {
    "llama-3.1-8b": {"architecture": "llama", "n_layer": 32, "n_embd": 4096, "n_ff": 14336, "n_head": 32, "n_head_kv": 8,
                     "n_dim": 128, "n_vocab": 128256, "n_ctx": 131072, "rope_base": 500000.0},
    "llama-tiny": {"architecture": "llama", "n_layer": 4, "n_embd": 512, "n_ff": 1024, "n_head": 4, "n_head_kv": 1,
                   "n_dim": 128, "n_vocab": 1024, "n_ctx": 131072, "rope_base": 500000.0},
    "llama-heads-tiny": {"architecture": "llama", "n_layer": 4, "n_embd": 256, "n_ff": 512, "n_head": 6, "n_head_kv": 3,
                         "n_dim": 64, "n_vocab": 128, "n_ctx": 131072, "rope_base": 500000.0},
    "gpt-oss-20b": {"architecture": "gpt-oss", "n_layer": 24, "n_embd": 2880, "n_ff": 2880, "n_head": 64, "n_head_kv": 8,
                    "n_dim": 64, "n_vocab": 201088, "n_ctx": 131072, "rope_base": 150000.0, "n_window": 128,
                    "n_expert": 32, "n_expert_used": 4},
    "gpt-oss-tiny": {"architecture": "gpt-oss", "n_layer": 4, "n_embd": 256, "n_ff": 256, "n_head": 16, "n_head_kv": 2,
                     "n_dim": 64, "n_vocab": 128, "n_ctx": 131072, "rope_base": 150000.0, "n_window": 128,
                     "n_expert": 2, "n_expert_used": 2, "plain_experts": True},
}


def text(value):
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def pair(key, kind, value):
    packed = text(value) if kind == STRING else struct.pack({U32: "<I", F32: "<f"}[kind], value)
    return text(key) + struct.pack("<I", kind) + packed


def metadata(shape):
    name = shape["architecture"]
    pairs = [
        pair("general.architecture", STRING, name),
        pair("general.name", STRING, "random weights"),
        pair("general.file_type", U32, 1),
        pair(f"{name}.vocab_size", U32, shape["n_vocab"]),
        pair(f"{name}.context_length", U32, shape["n_ctx"]),
        pair(f"{name}.embedding_length", U32, shape["n_embd"]),
        pair(f"{name}.block_count", U32, shape["n_layer"]),
        pair(f"{name}.feed_forward_length", U32, shape["n_ff"]),
        pair(f"{name}.rope.dimension_count", U32, shape["n_dim"]),
        pair(f"{name}.attention.head_count", U32, shape["n_head"]),
        pair(f"{name}.attention.head_count_kv", U32, shape["n_head_kv"]),
        pair(f"{name}.attention.key_length", U32, shape["n_dim"]),
        pair(f"{name}.attention.value_length", U32, shape["n_dim"]),
        pair(f"{name}.attention.layer_norm_rms_epsilon", F32, 1e-5),
        pair(f"{name}.rope.freq_base", F32, shape["rope_base"]),
        pair("tokenizer.ggml.model", STRING, "no_vocab"),
    ]
    if name == "gpt-oss":
        pairs += [
            pair(f"{name}.attention.sliding_window", U32, shape["n_window"]),
            pair(f"{name}.expert_count", U32, shape["n_expert"]),
            pair(f"{name}.expert_used_count", U32, shape["n_expert_used"]),
            pair(f"{name}.expert_feed_forward_length", U32, shape["n_ff"]),
        ]
    return pairs


def attention_tensors(shape):
    n_embd, n_q, n_kv = shape["n_embd"], shape["n_dim"] * shape["n_head"], shape["n_dim"] * shape["n_head_kv"]
    return ("attn_q", (n_embd, n_q)), ("attn_k", (n_embd, n_kv)), ("attn_v", (n_embd, n_kv)), ("attn_output", (n_q, n_embd))


def layer_tensors(shape):
    """(name, dimensions as ggml orders them) of a layer."""
    n_embd, n_ff = shape["n_embd"], shape["n_ff"]
    yield "attn_norm.weight", (n_embd,)
    for name, dims in attention_tensors(shape):
        yield f"{name}.weight", dims
        if shape["architecture"] == "gpt-oss":
            yield f"{name}.bias", dims[1:]
    if shape["architecture"] == "llama":
        yield "ffn_norm.weight", (n_embd,)
        yield from (("ffn_gate.weight", (n_embd, n_ff)), ("ffn_up.weight", (n_embd, n_ff)),
                    ("ffn_down.weight", (n_ff, n_embd)))
        return
    n_expert = shape["n_expert"]
    yield "attn_sinks.weight", (shape["n_head"],)
    yield "post_attention_norm.weight", (n_embd,)
    yield from (("ffn_gate_inp.weight", (n_embd, n_expert)), ("ffn_gate_inp.bias", (n_expert,)))
    for name, dims in (("ffn_gate_exps", (n_embd, n_ff)), ("ffn_up_exps", (n_embd, n_ff)), ("ffn_down_exps", (n_ff, n_embd))):
        yield f"{name}.weight", (*dims, n_expert)
        yield f"{name}.bias", (dims[1], n_expert)


def tensors(shape):
    """(name, dimensions) of every tensor of the file."""
    yield "token_embd.weight", (shape["n_embd"], shape["n_vocab"])
    for layer in range(shape["n_layer"]):
        for name, dims in layer_tensors(shape):
            yield f"blk.{layer}.{name}", dims
    yield "output_norm.weight", (shape["n_embd"],)
    yield "output.weight", (shape["n_embd"], shape["n_vocab"])


def type_of(shape, name, dims):
    if len(dims) == 1 or name.endswith(".bias"):
        return TYPE_F32
    return TYPE_MXFP4 if "_exps." in name and not shape.get("plain_experts") else TYPE_F16


def size_of(kind, dims):
    n = math.prod(dims)
    return {TYPE_F32: 4 * n, TYPE_F16: 2 * n, TYPE_MXFP4: n // 32 * 17}[kind]


def padded(size):
    return (size + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT


class Values:
    """Random contents of tensors."""

    def __init__(self, n_embd):
        draw = random.Random(1)
        normal = [draw.gauss(0, 1) for _ in range(N_RANDOM)]
        scale = n_embd ** -0.5  # so a product has about its input's size
        # MXFP4: of 32 values the exponent of their scale, 2^(e - 127), then 4 bits each, which mean 0 to 6 and a sign.
        exponent = round(math.log2(scale)) - 1 + 127
        blocks = b"".join(bytes([exponent]) + draw.randbytes(16) for _ in range(N_RANDOM // 32))
        self._blocks = {TYPE_F16: struct.pack(f"<{N_RANDOM}e", *(x * scale for x in normal)),
                        TYPE_F32: struct.pack(f"<{N_RANDOM}f", *(x * scale for x in normal)), TYPE_MXFP4: blocks}
        self._sinks = struct.pack(f"<{N_RANDOM}f", *normal)
        self._n_tensors = 0

    def write(self, file, name, kind, size):
        self._n_tensors += 1
        if "norm." in name:
            file.write(struct.pack("<f", 1) * (size // 4))
            return
        block = self._sinks if "attn_sinks" in name else self._blocks[kind]
        unit = 17 if kind == TYPE_MXFP4 else 4
        start = self._n_tensors * 7919 * unit % (len(block) // 2)
        while size > 0:
            piece = block[start:start + size]
            file.write(piece)
            size -= len(piece)
            start = 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out")
    parser.add_argument("--shape", choices=sorted(SHAPES), default="llama-3.1-8b")
    parser.add_argument("--layers", type=int, help="instead of the shape's own number")
    options = parser.parse_args()
    shape = dict(SHAPES[options.shape])
    shape["n_layer"] = options.layers or shape["n_layer"]

    pairs = metadata(shape)
    infos, contents, offset = [], [], 0
    for name, dims in tensors(shape):
        kind = type_of(shape, name, dims)
        size = size_of(kind, dims)
        infos.append(text(name) + struct.pack("<I", len(dims)) + struct.pack(f"<{len(dims)}Q", *dims) +
                     struct.pack("<IQ", kind, offset))
        contents.append((name, kind, size))
        offset += padded(size)

    values = Values(shape["n_embd"])
    with open(options.out, "wb") as file:
        header = struct.pack("<4sIQQ", b"GGUF", 3, len(infos), len(pairs)) + b"".join(pairs) + b"".join(infos)
        file.write(header + bytes(padded(len(header)) - len(header)))
        for name, kind, size in contents:
            values.write(file, name, kind, size)
            file.write(bytes(padded(size) - size))


if __name__ == "__main__":
    main()
