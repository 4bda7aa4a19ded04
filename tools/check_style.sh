#!/usr/bin/env bash
# The checks that need no build: format, comments, includes, file lengths, ASCII, shell and Python scripts, generated tables.
#
#   tools/check_style.sh [--fix]
#
# --fix   reformat C++ files instead of complaining

set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
# shellcheck source=scripts/common.sh
source scripts/common.sh

fix=false
case ${1-} in
    "") ;;
    --fix) fix=true ;;
    --help | -h)
        show_help "$0"
        exit 0
        ;;
    *) die "unknown option '$1'" "tools/check_style.sh --help lists the options." ;;
esac

bad=0
# check TITLE COMMAND...: its output is shown only when it fails.
check() {
    local title=$1 output
    shift
    if output=$("$@" 2>&1); then
        say "   $title: fine"
    else
        printf '%s\n' "$output"
        say "   $title: NOT fine"
        bad=$((bad + 1))
    fi
}

mapfile -t cpp < <(git ls-files '*.cpp' '*.h' '*.cu' '*.cuh')
mapfile -t shell < <(git ls-files '*.sh' .ci/run)
mapfile -t python < <(git ls-files '*.py')

if $fix; then
    clang-format-14 -i "${cpp[@]}"
fi

not_ascii() { ! LC_ALL=C grep -nP '[^\x00-\x7F]' "${cpp[@]}" "${shell[@]}" "${python[@]}" CMakeLists.txt cmake/*.cmake; }
python_syntax() {
    python3 - "$@" <<'PY'
import ast, sys
for path in sys.argv[1:]:
    with open(path, encoding="utf-8") as file:
        ast.parse(file.read(), path)
PY
}

check "clang-format" clang-format-14 --dry-run -Werror "${cpp[@]}"
check "comment width (tools/check_comment_width.py)" python3 tools/check_comment_width.py
check "include directions (tools/check_includes.py)" python3 tools/check_includes.py
check "file lengths (tools/check_file_length.py)" python3 tools/check_file_length.py
check "ASCII sources" not_ascii
check "shellcheck" shellcheck -x "${shell[@]}"
check "Python syntax" python_syntax "${python[@]}"
check "generated tables (tools/results_to_md.py)" python3 tools/results_to_md.py --check
[ "$bad" -eq 0 ]
