# Shared by the scripts of this folder; sourced, never run.
# Defines root (the repository), deps (what setup.sh fetched and built), jobs, and the helpers below.
# shellcheck shell=bash

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# Builds know their folder by its path, so it is the same path through whichever link it is reached.
deps=$(realpath -m -- "${TMX_DEPS_DIR:-$root/.deps}")
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

# as_time SECONDS: minutes:seconds. since BEGIN: the same, from a value of SECONDS until now.
as_time() { printf '%d:%02d' $(($1 / 60)) $(($1 % 60)); }
since() { as_time $((SECONDS - $1)); }

# A script that calls keep_times has a table for print_times; scripts that it starts write their steps into the same one.
keep_times() {
    if [ -z "${TMX_TIMES-}" ]; then
        TMX_TIMES=$(mktemp)
        TMX_TIMES_BEGIN=$EPOCHSECONDS
        export TMX_TIMES TMX_TIMES_BEGIN
    fi
}

# note_time TITLE BEGIN: a row of that table, BEGIN a value of EPOCHREALTIME. Steps within a step are shown below it.
note_time() {
    [ -n "${TMX_TIMES-}" ] || return 0
    printf '%s\t%s\t%s\t%s\n' "$2" "${TMX_STEP_DEPTH:-0}" "$((EPOCHSECONDS - ${2%.*}))" "$1" >>"$TMX_TIMES"
}

# step TITLE COMMAND...: runs it, and keeps its time for print_times. A failing step ends the script through `set -e`.
step() {
    local title=$1 begin=$EPOCHREALTIME
    shift
    say "== $title"
    TMX_STEP_DEPTH=$((${TMX_STEP_DEPTH:-0} + 1)) "$@"
    note_time "$title" "$begin"
}

print_times() {
    local depth seconds title
    say "== time per step (minutes:seconds)"
    while IFS=$'\t' read -r _ depth seconds title; do
        printf '%*s%8s  %s\n' $((depth * 4)) "" "$(as_time "$seconds")" "$title"
    done < <(LC_ALL=C sort -t $'\t' -k 1,1n "$TMX_TIMES")
    printf '%8s  %s\n' "$(as_time $((EPOCHSECONDS - TMX_TIMES_BEGIN)))" "all"
    rm -f "$TMX_TIMES"
}

# install_python NAME SPEC...: packages from PyPI into $deps/NAME, apart from the machine's own.
install_python() {
    local folder=$deps/$1
    shift
    if [ "$(cat "$folder/made-from" 2>/dev/null)" = "$*" ]; then
        say "   $folder: here"
        return 0
    fi
    rm -rf "$folder"
    mkdir -p "$deps/logs"
    python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --target "$folder" "$@" \
        >"$deps/logs/${folder##*/}.log" 2>&1 || {
        tail -n 20 "$deps/logs/${folder##*/}.log" >&2
        die "pip could not install $*" "The whole output is in $deps/logs/${folder##*/}.log."
    }
    printf '%s\n' "$*" >"$folder/made-from"
    say "   $folder: installed"
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
