#!/usr/bin/env bash
# Builds and runs every test, on a fresh machine too.
#
#   scripts/test.sh [--quick]
#
# Stages: the release build with all tests (the real model, stock llama.cpp programs of both kinds), the same tests with
# the address and undefined-behaviour sanitizers, the thread sanitizer, the fuzzers, and the NEON kernels cross-built
# and run under qemu-user. A stage that fails does not stop the others. About 40 minutes on two cores the first time.
#
# --quick   the release stage only
#
# Environment
#   TMX_FUZZ_SECONDS   time for each fuzzer (default 20)
#   TMX_DEPS_DIR, TMX_JOBS   as in scripts/setup.sh

set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

quick=false
for argument in "$@"; do
    case $argument in
        --quick) quick=true ;;
        --help | -h)
            show_help "$0"
            exit 0
            ;;
        *) die "unknown option '$argument'" "scripts/test.sh --help lists the options." ;;
    esac
done

passed=0
failed=0
skipped=0
failed_names=()

count_failure() {
    failed=$((failed + 1))
    failed_names+=("$1")
}

# attribute NAME FILE: of the <testsuite> element that ctest wrote.
attribute() { sed -n "s/.*[[:space:]]$1=\"\([0-9]*\)\".*/\1/p" "$2" | head -n 1; }

# tests_of PRESET [PREFIX...]: builds it, runs its tests (after PREFIX, a wrapper command), adds up the counts.
tests_of() {
    local preset=$1 report all bad idle
    shift
    if ! build_preset "$preset"; then
        count_failure "$preset: build"
        return 0
    fi
    report=$(preset_dir "$preset")/junit.xml
    rm -f "$report"
    (cd "$root" && "$@" ctest --preset "$preset" --output-junit "$report") || true
    if [ ! -f "$report" ]; then
        count_failure "$preset: no test ran"
        return 0
    fi
    all=$(attribute tests "$report")
    bad=$(attribute failures "$report")
    idle=$(($(attribute skipped "$report") + $(attribute disabled "$report")))
    passed=$((passed + all - bad - idle))
    failed=$((failed + bad))
    skipped=$((skipped + idle))
    while IFS= read -r name; do
        failed_names+=("$preset: $name")
    done < <(sed -n 's/.*<testcase name="\([^"]*\)".* status="fail".*/\1/p' "$report")
}

# Every libFuzzer target, from its committed corpus; new inputs stay in the build folder.
fuzz() {
    local dir target name found=false
    dir=$(preset_dir fuzz)
    if ! build_preset fuzz; then
        count_failure "fuzz: build"
        return 0
    fi
    for target in "$dir"/bin/fuzz_*; do
        [ -x "$target" ] || continue
        found=true
        name=${target##*/}
        mkdir -p "$dir/corpus/$name"
        say "   $name, ${TMX_FUZZ_SECONDS:-20} seconds"
        if (cd "$dir" && "$target" -max_total_time="${TMX_FUZZ_SECONDS:-20}" -rss_limit_mb=4096 -print_final_stats=1 \
            "corpus/$name" "$root/tests/fuzz/corpus/${name#fuzz_}") >"$dir/$name.log" 2>&1; then
            passed=$((passed + 1))
            grep -E 'number_of_executed_units|new_units_added' "$dir/$name.log" || true
        else
            tail -n 40 "$dir/$name.log"
            count_failure "fuzz: $name"
        fi
    done
    $found || count_failure "fuzz: no fuzz target was built"
}

step "setup" "$root/scripts/setup.sh" --tests
step "release: build and tests" tests_of release
if ! $quick; then
    step "address and undefined-behaviour sanitizers" tests_of asan
    # Address randomisation off: clang 14's thread sanitizer cannot place its shadow under the widest settings.
    step "thread sanitizer" tests_of tsan setarch "$(uname -m)" --addr-no-randomize
    step "fuzzers" fuzz
    if [ "$(uname -m)" = aarch64 ]; then
        say "== arm64: this machine is one, the release stage ran the NEON kernels"
    else
        step "arm64 under qemu-user" tests_of arm64
    fi
fi

print_times
for name in "${failed_names[@]}"; do say "FAILED: $name"; done
if [ "$skipped" -gt 0 ]; then
    say "$passed passed, $failed failed, $skipped skipped"
else
    say "$passed passed, $failed failed"
fi
[ "$failed" -eq 0 ]
