#!/usr/bin/env bash
# Builds and runs every test, on a fresh machine too.
#
#   scripts/test.sh [--quick]
#
# Stages: the release build with all tests (the real model, stock llama.cpp programs of both kinds), the same tests with
# the address and undefined-behaviour sanitizers, the thread sanitizer, the fuzzers, and the NEON kernels cross-built
# and run under qemu-user. A stage that fails does not stop the others. About 40 minutes on two cores the first
# time; a table at the end says what took how long, step by step, with the slowest tests.
#
# --quick   the release stage only
#
# Environment: TMX_DEPS_DIR, TMX_JOBS as in scripts/setup.sh

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
tested=()

count_failure() {
    failed=$((failed + 1))
    failed_names+=("$1")
}

# attribute NAME FILE: of the <testsuite> element that ctest wrote.
attribute() { sed -n "s/.*[[:space:]]$1=\"\([0-9]*\)\".*/\1/p" "$2" | head -n 1; }

# tests_of PRESET TARGET [PREFIX...]: builds it, runs its tests (after PREFIX, a wrapper command), adds up the counts.
tests_of() {
    local preset=$1 target=$2 report all bad idle wrong=false begin=$EPOCHREALTIME
    shift 2
    if ! build_preset "$preset" "$target"; then
        count_failure "$preset: build"
        return 0
    fi
    note_time "build" "$begin"
    begin=$EPOCHREALTIME
    report=$(preset_dir "$preset")/junit.xml
    rm -f "$report"
    (cd "$root" && "$@" ctest --preset "$preset" --parallel "$jobs" --output-junit "$report") || wrong=true
    if [ ! -f "$report" ]; then
        count_failure "$preset: no test ran"
        return 0
    fi
    note_time "tests" "$begin"
    tested+=("$preset")
    all=$(attribute tests "$report")
    bad=$(attribute failures "$report")
    idle=$(($(attribute skipped "$report") + $(attribute disabled "$report")))
    passed=$((passed + all - bad - idle))
    failed=$((failed + bad))
    skipped=$((skipped + idle))
    while IFS= read -r name; do
        failed_names+=("$preset: $name")
    done < <(sed -n 's/.*<testcase name="\([^"]*\)".* status="fail".*/\1/p' "$report")
    # ctest reports a test whose program is missing as one that was not run, and fails.
    if $wrong && [ "$bad" -eq 0 ]; then
        count_failure "$preset: a test could not be run"
    fi
}

print_slowest() {
    local preset seconds name
    say "== the slowest tests (seconds)"
    for preset in "${tested[@]}"; do
        sed -n "s|.*<testcase name=\"\([^\"]*\)\".* time=\"\([0-9.]*\)\".*|\2 $preset: \1|p" \
            "$(preset_dir "$preset")/junit.xml"
    done | LC_ALL=C sort -r -n | head -n 12 | while read -r seconds name; do
        printf '%8.1f  %s\n' "$seconds" "$name"
    done
}

keep_times
step "setup" "$root/scripts/setup.sh" --tests
step "release" tests_of release all
if ! $quick; then
    step "address and undefined-behaviour sanitizers" tests_of asan all
    # Address randomisation off: clang 14's thread sanitizer cannot place its shadow under the widest settings.
    step "thread sanitizer" tests_of tsan thread_tests setarch "$(uname -m)" --addr-no-randomize
    step "fuzzers" tests_of fuzz fuzz_targets
    if [ "$(uname -m)" = aarch64 ]; then
        say "== arm64: this machine is one, the release stage ran the NEON kernels"
    else
        step "arm64 under qemu-user" tests_of arm64 kernel_tests
    fi
fi

print_slowest
print_times
for name in "${failed_names[@]}"; do say "FAILED: $name"; done
if [ "$skipped" -gt 0 ]; then
    say "$passed passed, $failed failed, $skipped skipped"
else
    say "$passed passed, $failed failed"
fi
[ "$failed" -eq 0 ]
