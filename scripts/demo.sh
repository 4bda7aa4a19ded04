#!/usr/bin/env bash
# From a fresh machine to an answer: sets up, builds, and runs a real model on a real long document three ways (stock
# llama.cpp in its fastest setting, exact through our backend, TriangleMix), side by side.
#
#   scripts/demo.sh [ARGUMENT...]
#
# Arguments go to `trianglemix run --compare`; without any it reads Debian's copy of the GPL (7,660 tokens with the question) with
# SmolLM2-135M. First time about 11 minutes on two cores, of which the comparison takes about 4: stock's settings are tried first.

set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

case ${1-} in
    --help | -h)
        show_help "$0"
        exit 0
        ;;
esac

"$root/scripts/setup.sh"
say "== TriangleMix (about 2 minutes on two cores)"
build_preset release trianglemix ggml-trianglemix trianglemix-preload || die "the build failed" "What it printed is above, or in $root/build/*.log."
exec "$root/build/bin/trianglemix" run --compare "$@"
