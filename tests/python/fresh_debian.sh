#!/usr/bin/env bash
# The two commands of docs/python.md on a Debian that was never used: from pip to the first accelerated answer, timed.
#
#   tests/python/fresh_debian.sh SUITE WHEEL [BINDING]
#
# SUITE is bookworm (12) or trixie (13), WHEEL what scripts/wheel.sh made, BINDING what pip installs beside it: llama-cpp-py-sync
# by default, whose wheels need the C library of trixie or newer; else the wheel of a llama-cpp-python with shared libraries.
# Needs root, mmdebstrap and the network; the Debian is made first and removed afterwards, and is not timed.

set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../scripts/common.sh"

if [ $# -lt 2 ] || [ "$1" = --help ]; then
    show_help "$0"
    exit 2
fi
suite=$1 wheel=$2 binding=${3:-llama-cpp-py-sync}
module=llama_cpp_py_sync
if [ -f "$binding" ]; then module=llama_cpp; fi

machine=$(mktemp -d)
trap 'rm -rf "$machine"' EXIT
mmdebstrap --quiet --mode=root --variant=minbase --include=python3-venv,libgomp1,ca-certificates "$suite" "$machine"
cp /etc/resolv.conf "$machine/etc/resolv.conf"
cp /etc/ssl/certs/ca-certificates.crt "$machine/etc/ssl/certs"
cp "$wheel" "$deps/models/SmolLM2-135M-Instruct-Q8_0.gguf" "$(dirname "${BASH_SOURCE[0]}")/answer.py" "$machine/root"
if [ -f "$binding" ]; then cp "$binding" "$machine/root" && binding=/root/$(basename "$binding"); fi

inside() { chroot "$machine" /usr/bin/env -i PATH=/usr/bin:/bin HOME=/root PIP_CERT=/etc/ssl/certs/ca-certificates.crt "$@"; }
inside python3 -m venv /root/env
begin=$EPOCHREALTIME
inside /root/env/bin/pip install --quiet --disable-pip-version-check "/root/$(basename "$wheel")" "$binding"
installed=$EPOCHREALTIME
inside /root/env/bin/python /root/answer.py "$module" /root/SmolLM2-135M-Instruct-Q8_0.gguf auto >"$machine/answer"
end=$EPOCHREALTIME
python3 - "$machine/answer" "$begin" "$installed" "$end" "$suite $binding" <<'PYTHON'
import json, sys

result = json.load(open(sys.argv[1]))
begin, installed, end = map(float, sys.argv[2:5])
nodes = result["statistics"]["nodes"]
assert nodes["triangle"] > 0, nodes
print(f"{sys.argv[5]}: pip {installed - begin:.0f} s, {result['n_tokens']} tokens answered after {end - begin:.0f} s, plan {result['plan']}, "
      f"{nodes['triangle']} triangle and {nodes['dense']} dense layers computed")
PYTHON
