#!/usr/bin/env bash
# Everything about a GPU on a bare Debian 12 (Ubuntu 24.04) machine with NVIDIA's driver and CUDA toolkit: builds stock
# llama.cpp with CUDA and the backend, checks the kernels, what is forwarded and what is answered, and measures one layer
# beside PyTorch's kernels (if PyTorch is there), and prompts and decoding beside the stock device. About 16 minutes on an
# H100 with 16 cores. Safe to run again: what is built is not built twice. build-gpu/bin/trianglemix is left behind, for
# this GPU.
#
#   bench/gpu/run.sh [--quick] [OPTION OF gpu_bench.py...]
#
# --quick     prompts up to 8K only, and no compute-sanitizer (memcheck, racecheck, synccheck on cases of little work)
#
# A step that fails does not stop those after it. Rows go to docs/results/gpu.jsonl and cuda_kernel.jsonl; commit them from
# a clean checkout, then tools/results_to_md.py makes the tables. Prompts of 128K tokens need 36 GB of the card's memory; on
# a smaller one they stop at 8K. The 8B model for timings has random weights (bench/gpu/write_gguf.py, 16 GB, in
# TMX_GPU_MODELS or .deps/models).

set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../scripts/common.sh"
cd "$root"

lengths=512,2048,8192,32768,131072
quick=false
while true; do
    case ${1-} in
        --help | -h)
            show_help "$0"
            exit 0
            ;;
        --quick) quick=true ;;
        *) break ;;
    esac
    shift
done
command -v nvidia-smi >/dev/null || die "no nvidia-smi" "This needs a machine with an NVIDIA GPU and its driver."
if $quick || [ "$(nvidia-smi --query-gpu=memory.total --format=csv,noheader,nounits -i 0)" -lt 36000 ]; then
    lengths=512,2048,8192
fi
# Before anything is written into the checkout.
TMX_COMMIT=$(python3 tools/commits.py)
export TMX_COMMIT

models=${TMX_GPU_MODELS:-$deps/models}
big=$models/llama-3.1-8b-random-F16.gguf
small=$deps/models/SmolLM2-135M-Instruct-F16.gguf
bench=(python3 bench/gpu/gpu_bench.py --llama "$deps/llama-build-cuda/bin" --library build-gpu/bin --small "$small"
    --small-layers 10-29 --big "$big" --lengths "$lengths" --out docs/results/gpu.jsonl "$@")
"${bench[@]}" --dry-run

keep_times
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
    ninja_build build-gpu build-gpu/build.log ggml-trianglemix trianglemix tmx_bench_gpu tmx_bench_stock_layer tmx_random_model gpu_tests
}
step "backend, command line, kernel tests" build_all
write_model() {
    [ -f "$big" ] && return 0
    python3 bench/gpu/write_gguf.py "$big.partial" --shape llama-3.1-8b
    mv "$big.partial" "$big"
}
step "random weights of Llama-3.1-8B's shape" write_model

failed=()
# try TITLE COMMAND...: a step that may fail.
try() {
    local title=$1
    shift
    step "$title" run_or_note "$title" "$@"
}
run_or_note() {
    local title=$1
    shift
    "$@" || {
        [ $? -ne 130 ] || exit 130
        failed+=("$title")
    }
}

try "kernels against the oracle" ctest --test-dir build-gpu -L gpu --output-on-failure
# 14 GB of random weights in the folder for temporary files. Sink logits and windows must be no reason to pass anything on.
gpt_oss() {
    TMX_HOST_LLAMA_BIN=$deps/llama-build-cuda/bin TMX_HOST_LIBRARY_DIR=$root/build-gpu/bin \
        python3 tests/host/test_gpt_oss.py --shape gpt-oss-20b CUDA0 TriangleMix0
}
if ! $quick; then try "answers of a file of gpt-oss's shape" gpt_oss; fi
# One case of each kind of work; the rest differs in sizes only.
few='*/dense_129:*/window_64_of_400:*/heads_7_of_1_rows_70:*/type_q8_0_dim_128:*/type_q4_0_dim_96:*/dim_96:*/dim_256'
few+=':*/chunk_at_500_rows_33:*/dense_chunk_at_1500_rows_33:*/options_4:*/three_streams:*/cells_shuffled'
few+=':*/type_bf16_dim_128:*/random_1'
if ! $quick; then
    for tool in memcheck racecheck synccheck; do
        try "kernels under $tool" compute-sanitizer --tool "$tool" --error-exitcode 1 build-gpu/bin/test_cuda_conformance \
            --gtest_brief=1 --gtest_filter="$few"
    done
fi
if python3 -c 'import torch; assert torch.cuda.is_available()' 2>/dev/null; then
    minference=$(find "$deps" -maxdepth 1 -type d -name 'minference-*')
    try "one layer beside PyTorch's kernels" python3 bench/gpu/peers.py --library build-gpu/bin/libtmx_bench_gpu.so \
        --minference "$minference" --stock build-gpu/bin/tmx_bench_stock_layer --llama "$deps/llama-build-cuda/bin" \
        --driver "$(nvidia-smi --query-gpu=driver_version --format=csv,noheader -i 0)" --out docs/results/cuda_kernel.jsonl
else
    say "== no PyTorch with CUDA: one layer is not measured beside its kernels"
fi
try "checks and measurements" "${bench[@]}"
print_times
for title in "${failed[@]}"; do say "FAILED: $title"; done
[ ${#failed[@]} -eq 0 ]
