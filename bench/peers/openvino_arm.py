#!/usr/bin/env python3
"""One prompt through OpenVINO GenAI, one time: prints a JSON object. Run by compare.py with the Python of .deps/peers.

The counterpart of tmx_bench_arm: same GGUF, same token ids, a process of its own, a short warm-up first.
"""

import argparse
import json
import pathlib

import numpy
import openvino
import openvino_genai as genai

WARM_UP_TOKENS = 128
CACHE_GIB = 4  # more than any prompt here needs; it is allocated as used
WHOLE = 1 << 20  # tokens a chunk: no chunks at all


def scheduler(arguments):
    config = genai.SchedulerConfig()
    config.cache_size = CACHE_GIB
    config.enable_prefix_caching = False
    config.dynamic_split_fuse = True
    config.max_num_batched_tokens = arguments.chunk or WHOLE
    if arguments.sparse == "trishape":
        # The nearest to sink 8, window 512, last 128: start and recent tokens must be multiples of the cache's block.
        config.use_sparse_attention = True
        config.sparse_attention_config = genai.SparseAttentionConfig(
            genai.SparseAttentionMode.TRISHAPE,
            num_last_dense_tokens_in_prefill=128,
            num_retained_start_tokens_in_cache=32,
            num_retained_recent_tokens_in_cache=512,
        )
    elif arguments.sparse == "xattention":
        config.use_sparse_attention = True
        config.sparse_attention_config = genai.SparseAttentionConfig(
            genai.SparseAttentionMode.XATTENTION, num_last_dense_tokens_in_prefill=128
        )
    return config


def tokenized(ids):
    tensor = openvino.Tensor(numpy.array([ids], dtype=numpy.int64))
    return genai.TokenizedInputs(tensor, openvino.Tensor(numpy.ones((1, len(ids)), dtype=numpy.int64)))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--ids", required=True, help="token ids, one a line")
    parser.add_argument("--precision", choices=["f32", "bf16"], default="f32")
    parser.add_argument("--sparse", choices=["dense", "trishape", "xattention"], default="dense")
    parser.add_argument("--chunk", type=int, default=0, help="prompt tokens of one evaluation; 0: the whole prompt")
    parser.add_argument("--kv", choices=["f16", "u8"], default="f16", help="type of the KV cache")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--answer", type=int, default=16)
    arguments = parser.parse_args()

    ids = [int(line) for line in pathlib.Path(arguments.ids).read_text().split()]
    pipeline = genai.LLMPipeline(
        arguments.model,
        "CPU",
        scheduler_config=scheduler(arguments),
        INFERENCE_NUM_THREADS=arguments.threads,
        INFERENCE_PRECISION_HINT=arguments.precision,
        KV_CACHE_PRECISION=arguments.kv,
    )
    generation = genai.GenerationConfig()
    generation.do_sample = False
    generation.max_new_tokens = 2
    pipeline.generate(tokenized(ids[:WARM_UP_TOKENS]), generation)
    generation.max_new_tokens = arguments.answer
    result = pipeline.generate(tokenized(ids), generation)
    tpot_ms = result.perf_metrics.get_tpot().mean
    print(
        json.dumps(
            {
                "n_prompt": len(ids),
                "ttft_s": result.perf_metrics.get_ttft().mean / 1000,
                "tokens": list(result.tokens[0]),
                "decode_tokens_per_s": 1000 / tpot_ms if tpot_ms > 0 else None,
                "version": genai.__version__,
            }
        )
    )


if __name__ == "__main__":
    main()
