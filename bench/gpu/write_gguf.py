#!/usr/bin/env python3
"""Writes a GGUF with random weights of a model's shape: for timings, which no weight changes, where the model itself may
not be had. F16 matrices, f32 norms, no tokeniser (llama-bench needs none). Only numpy is needed.

    write_gguf.py OUT.gguf [--shape llama-3.1-8b] [--layers N]
"""
import argparse
import struct

import numpy

ALIGNMENT = 32
U32, F32, STRING = 4, 6, 8
TYPE_F32, TYPE_F16 = 0, 1

SHAPES = {
    "llama-3.1-8b": {"n_layer": 32, "n_embd": 4096, "n_ff": 14336, "n_head": 32, "n_head_kv": 8, "n_vocab": 128256,
                     "n_ctx": 131072, "rope_base": 500000.0},
    "tiny": {"n_layer": 4, "n_embd": 512, "n_ff": 1024, "n_head": 4, "n_head_kv": 1, "n_vocab": 1024, "n_ctx": 131072,
             "rope_base": 500000.0},
}


def text(value):
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def pair(key, kind, value):
    packed = text(value) if kind == STRING else struct.pack({U32: "<I", F32: "<f"}[kind], value)
    return text(key) + struct.pack("<I", kind) + packed


def metadata(shape):
    head = shape["n_embd"] // shape["n_head"]
    return [
        pair("general.architecture", STRING, "llama"),
        pair("general.name", STRING, "random weights"),
        pair("general.file_type", U32, 1),
        pair("llama.vocab_size", U32, shape["n_vocab"]),
        pair("llama.context_length", U32, shape["n_ctx"]),
        pair("llama.embedding_length", U32, shape["n_embd"]),
        pair("llama.block_count", U32, shape["n_layer"]),
        pair("llama.feed_forward_length", U32, shape["n_ff"]),
        pair("llama.rope.dimension_count", U32, head),
        pair("llama.attention.head_count", U32, shape["n_head"]),
        pair("llama.attention.head_count_kv", U32, shape["n_head_kv"]),
        pair("llama.attention.layer_norm_rms_epsilon", F32, 1e-5),
        pair("llama.rope.freq_base", F32, shape["rope_base"]),
        pair("tokenizer.ggml.model", STRING, "no_vocab"),
    ]


def tensors(shape):
    """(name, dimensions as ggml orders them) of every tensor."""
    n_embd, n_ff, n_vocab = shape["n_embd"], shape["n_ff"], shape["n_vocab"]
    n_kv = n_embd // shape["n_head"] * shape["n_head_kv"]
    yield "token_embd.weight", (n_embd, n_vocab)
    for layer in range(shape["n_layer"]):
        for name, dims in (("attn_norm", (n_embd,)), ("attn_q", (n_embd, n_embd)), ("attn_k", (n_embd, n_kv)),
                           ("attn_v", (n_embd, n_kv)), ("attn_output", (n_embd, n_embd)), ("ffn_norm", (n_embd,)),
                           ("ffn_gate", (n_embd, n_ff)), ("ffn_up", (n_embd, n_ff)), ("ffn_down", (n_ff, n_embd))):
            yield f"blk.{layer}.{name}.weight", dims
    yield "output_norm.weight", (n_embd,)
    yield "output.weight", (n_embd, n_vocab)


def padded(size):
    return (size + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out")
    parser.add_argument("--shape", choices=sorted(SHAPES), default="llama-3.1-8b")
    parser.add_argument("--layers", type=int, help="instead of the shape's own number")
    options = parser.parse_args()
    shape = dict(SHAPES[options.shape])
    shape["n_layer"] = options.layers or shape["n_layer"]

    pairs = metadata(shape)
    infos, sizes, offset = [], [], 0
    for name, dims in tensors(shape):
        kind, width = (TYPE_F32, 4) if len(dims) == 1 else (TYPE_F16, 2)
        size = int(numpy.prod(dims)) * width
        infos.append(text(name) + struct.pack("<I", len(dims)) + struct.pack(f"<{len(dims)}Q", *dims) +
                     struct.pack("<IQ", kind, offset))
        sizes.append((kind, size))
        offset += padded(size)

    # One block of random values, over and over from another start: a product's time does not depend on them.
    generator = numpy.random.default_rng(1)
    block = (generator.standard_normal(1 << 24, dtype=numpy.float32) * 0.02).astype(numpy.float16).tobytes()
    with open(options.out, "wb") as file:
        header = struct.pack("<4sIQQ", b"GGUF", 3, len(infos), len(pairs)) + b"".join(pairs) + b"".join(infos)
        file.write(header + bytes(padded(len(header)) - len(header)))
        for index, (kind, size) in enumerate(sizes):
            if kind == TYPE_F32:
                file.write(numpy.ones(size // 4, dtype=numpy.float32).tobytes())
            else:
                start = index * 7919 * ALIGNMENT % (len(block) // 2)
                left = size
                while left > 0:
                    piece = block[start:start + left]
                    file.write(piece)
                    left -= len(piece)
                    start = 0
            file.write(bytes(padded(size) - size))


if __name__ == "__main__":
    main()
