#!/usr/bin/env bash
# Everything about a GPU on a bare Debian or Ubuntu machine with NVIDIA's driver and CUDA toolkit: builds stock llama.cpp
# with CUDA and the backend, checks the kernels, what is forwarded and what is answered, and measures one layer beside
# PyTorch's kernels (if PyTorch is there), and prompts and decoding beside the stock device. Safe to run again: what is
# built is not built twice.
#
#   bench/gpu/run.sh [--quick] [OPTION OF gpu_bench.py...]
#
# --quick  prompts up to 8K only
# Rows go to docs/results/gpu.jsonl and cuda_kernel.jsonl; commit them from a clean checkout, then tools/results_to_md.py makes the tables.
# The 8B model for timings has random weights (bench/gpu/write_gguf.py, 16 GB, in TMX_GPU_MODELS or .deps/models).

set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../scripts/common.sh"
cd "$root"

lengths=512,2048,8192,32768,131072
case ${1-} in
    --help | -h)
        show_help "$0"
        exit 0
        ;;
    --quick)
        lengths=512,2048,8192
        shift
        ;;
esac

step "llama.cpp, model" scripts/setup.sh --cuda
step "backend, kernel tests" build_preset release ggml-trianglemix tmx_bench_gpu tmx_bench_stock_layer test_cuda_conformance test_cuda_calls
models=${TMX_GPU_MODELS:-$deps/models}
big=$models/llama-3.1-8b-random-F16.gguf
write_model() {
    [ -f "$big" ] && return 0
    python3 bench/gpu/write_gguf.py "$big.partial" --shape llama-3.1-8b
    mv "$big.partial" "$big"
}
step "random weights of Llama-3.1-8B's shape" write_model
kernel_tests() { ctest --test-dir build -L gpu --output-on-failure; }
step "kernels against the oracle" kernel_tests
if python3 -c 'import torch; assert torch.cuda.is_available()' 2>/dev/null; then
    step "one layer beside PyTorch's kernels" python3 bench/gpu/peers.py --library build/bin/libtmx_bench_gpu.so \
        --stock build/bin/tmx_bench_stock_layer --llama "$deps/llama-build-cuda/bin" \
        --driver "$(nvidia-smi --query-gpu=driver_version --format=csv,noheader -i 0)" \
        --commit "$(git describe --always --dirty)" --out docs/results/cuda_kernel.jsonl
else
    say "== no PyTorch with CUDA: one layer is not measured beside its kernels"
fi
step "checks and measurements" python3 bench/gpu/gpu_bench.py --llama "$deps/llama-build-cuda/bin" --library build/bin \
    --small "$deps/models/SmolLM2-135M-Instruct-Q8_0.gguf" --small-layers 10-29 --big "$big" --lengths "$lengths" \
    --out docs/results/gpu.jsonl "$@"
print_times
