#!/usr/bin/env bash
# Everything about a GPU on a bare Debian or Ubuntu machine with NVIDIA's driver and CUDA toolkit: builds stock llama.cpp
# with CUDA and the backend, checks the kernels, what is forwarded and what is answered, and measures one layer beside
# PyTorch's kernels (if PyTorch is there), and prompts and decoding beside the stock device. Safe to run again: what is
# built is not built twice. build-gpu/bin/trianglemix is left behind, for this GPU.
#
#   bench/gpu/run.sh [--quick] [--sanitize] [OPTION OF gpu_bench.py...]
#
# --quick     prompts up to 8K only
# --sanitize  the kernels' tests under compute-sanitizer, too (memcheck, racecheck, synccheck on cases of little work)
# Rows go to docs/results/gpu.jsonl and cuda_kernel.jsonl; commit them from a clean checkout, then tools/results_to_md.py makes the tables.
# The 8B model for timings has random weights (bench/gpu/write_gguf.py, 16 GB, in TMX_GPU_MODELS or .deps/models).

set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../scripts/common.sh"
cd "$root"

lengths=512,2048,8192,32768,131072
sanitize=false
while true; do
    case ${1-} in
        --help | -h)
            show_help "$0"
            exit 0
            ;;
        --quick) lengths=512,2048,8192 ;;
        --sanitize) sanitize=true ;;
        *) break ;;
    esac
    shift
done

step "llama.cpp, model" scripts/setup.sh --cuda
# A build of its own, against the llama.cpp with CUDA: build-gpu/bin/trianglemix sees the GPU, too.
build_all() {
    local llama_source
    llama_source=$(sed -n 's/^CMAKE_HOME_DIRECTORY:INTERNAL=//p' "$deps/llama-build-cuda/CMakeCache.txt")
    mkdir -p build-gpu
    cmake --preset release -B build-gpu -DTMX_CUDA=ON "-DTMX_LLAMA_CPP=$llama_source;$deps/llama-build-cuda" \
        >build-gpu/configure.log 2>&1 || {
        cat build-gpu/configure.log >&2
        return 1
    }
    ninja_build build-gpu build-gpu/build.log ggml-trianglemix trianglemix tmx_bench_gpu tmx_bench_stock_layer gpu_tests
}
step "backend, command line, kernel tests" build_all
models=${TMX_GPU_MODELS:-$deps/models}
big=$models/llama-3.1-8b-random-F16.gguf
write_model() {
    [ -f "$big" ] && return 0
    python3 bench/gpu/write_gguf.py "$big.partial" --shape llama-3.1-8b
    mv "$big.partial" "$big"
}
step "random weights of Llama-3.1-8B's shape" write_model
step "kernels against the oracle" ctest --test-dir build-gpu -L gpu --output-on-failure
# One case of each kind of work; the rest differs in sizes only.
few='*/dense_129:*/window_64_of_400:*/heads_7_of_1_rows_70:*/type_q8_0_dim_128:*/type_q4_0_dim_96:*/dim_96:*/dim_256'
few+=':*/chunk_at_500_rows_33:*/options_4:*/three_streams:*/cells_shuffled:*/type_bf16_dim_128:*/random_1'
sanitizers() {
    local tool
    for tool in memcheck racecheck synccheck; do
        compute-sanitizer --tool "$tool" --error-exitcode 1 build-gpu/bin/test_cuda_conformance --gtest_brief=1 \
            --gtest_filter="$few"
    done
}
if $sanitize; then step "kernels under compute-sanitizer" sanitizers; fi
# Now: what follows writes into the checkout.
TMX_COMMIT=${TMX_COMMIT:-$(git describe --always --dirty)}
export TMX_COMMIT
if python3 -c 'import torch; assert torch.cuda.is_available()' 2>/dev/null; then
    step "one layer beside PyTorch's kernels" python3 bench/gpu/peers.py --library build-gpu/bin/libtmx_bench_gpu.so \
        --stock build-gpu/bin/tmx_bench_stock_layer --llama "$deps/llama-build-cuda/bin" \
        --driver "$(nvidia-smi --query-gpu=driver_version --format=csv,noheader -i 0)" \
        --commit "$TMX_COMMIT" --out docs/results/cuda_kernel.jsonl
else
    say "== no PyTorch with CUDA: one layer is not measured beside its kernels"
fi
step "checks and measurements" python3 bench/gpu/gpu_bench.py --llama "$deps/llama-build-cuda/bin" --library build-gpu/bin \
    --small "$deps/models/SmolLM2-135M-Instruct-Q8_0.gguf" --small-layers 10-29 --big "$big" --lengths "$lengths" \
    --out docs/results/gpu.jsonl "$@"
print_times
