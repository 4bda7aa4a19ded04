# Shared by the scripts of this folder; sourced, never run.
# Defines root (the repository), deps (what setup.sh fetched and built), jobs, and the helpers below.
# shellcheck shell=bash

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
deps=${TMX_DEPS_DIR:-$root/.deps}
jobs=${TMX_JOBS:-$(nproc)}
export TMX_DEPS_DIR=$deps

say() { printf '%s\n' "$*"; }

# die MESSAGE [HINT]: what was wrong, then what to do about it.
die() {
    printf 'error: %s\n' "$1" >&2
    [ $# -lt 2 ] || printf '       %s\n' "$2" >&2
    exit 1
}

# show_help FILE: a script's own leading comment is its help text.
show_help() { sed -n '2,/^$/{/^#/{s/^# \{0,1\}//;p}}' "$1"; }

# Whole minutes and seconds since $1 (a value of SECONDS).
since() {
    local passed=$((SECONDS - $1))
    printf '%d:%02d' $((passed / 60)) $((passed % 60))
}

# step TITLE COMMAND...: runs it, and keeps its time for print_times. A failing step ends the script through `set -e`.
step_titles=()
step_times=()
step() {
    local title=$1 begin=$SECONDS
    shift
    say "== $title"
    "$@"
    step_titles+=("$title")
    step_times+=("$(since "$begin")")
}

print_times() {
    local i
    say "== time per step (minutes:seconds)"
    for i in "${!step_titles[@]}"; do
        printf '%8s  %s\n' "${step_times[$i]}" "${step_titles[$i]}"
    done
    printf '%8s  %s\n' "$(since 0)" "all"
}

# ninja_build DIR LOG TARGET...: on a terminal ninja shows its own progress; elsewhere one line per tenth.
ninja_build() {
    local dir=$1 log=$2
    shift 2
    if [ -t 1 ]; then
        NINJA_STATUS='[%f/%t %es] ' ninja -C "$dir" -j "$jobs" "$@" || return 1
        return 0
    fi
    local line tenth last=-1
    if ! NINJA_STATUS='[%f/%t] ' ninja -C "$dir" -j "$jobs" "$@" 2>&1 | tee "$log" | while IFS= read -r line; do
        if [[ $line =~ ^\[([0-9]+)/([0-9]+)\] ]]; then
            tenth=$((BASH_REMATCH[1] * 10 / BASH_REMATCH[2]))
            if [ "$tenth" -ne "$last" ]; then
                last=$tenth
                say "   ${BASH_REMATCH[1]} of ${BASH_REMATCH[2]} build steps"
            fi
        fi
    done; then
        tail -n 60 "$log" >&2
        return 1
    fi
}

# build_preset PRESET [TARGET...]: configures and builds one of CMakePresets.json.
preset_dir() { if [ "$1" = release ]; then say "$root/build"; else say "$root/build-$1"; fi; }
build_preset() {
    local preset=$1 dir
    shift
    dir=$(preset_dir "$preset")
    mkdir -p "$dir"
    (cd "$root" && cmake --preset "$preset") >"$dir/configure.log" 2>&1 || {
        cat "$dir/configure.log" >&2
        return 1
    }
    ninja_build "$dir" "$dir/build.log" "$@"
}
