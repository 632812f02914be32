# For tests of the program as its users meet it. A test is a bash script that begins with
#     . "$(dirname "$0")/lib.sh"
# and tells a story in a temporary folder of its own (it starts there, and the folder goes away at the end;
# KEEP=1 keeps it). The first thing that is not as expected ends it, with the command, its output and exit
# code 1. $COLLIMATE is the program; ctest sets it.
#
#   expect CODE REGEX COMMAND...   runs it; the exit code must be CODE and, unless REGEX is '', stderr must
#                                  match it (extended, any line). Output lands in ./stdout and ./stderr.
#   ranks N COMMAND...             mpirun -n N, root or not, more ranks than cores or not. As a command of
#                                  expect: expect 0 '' ranks 3 "$COLLIMATE" align job.json
#   contains FILE REGEX            some line matches
#   lacks FILE REGEX               no line matches
#   same FILE FILE                 equal bytes;  same_tree FOLDER FOLDER  equal names and bytes below
#   data NAME                      prints the path of a public data set, or skips the test
#   skip WHY                       ends it as skipped, which ctest shows
#   fail WHY                       ends it as failed
set -u -o pipefail

tests=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
COLLIMATE=${COLLIMATE:-$tests/../build/collimate}
export LC_ALL=C
here=$(mktemp -d "${TMPDIR:-/tmp}/collimate-e2e-XXXXXX") || exit 1
cd "$here" || exit 1

cleanup= # what else must be done at the end
end() {
    local code=$?
    eval "$cleanup"
    cd /
    if [ -n "${KEEP:-}" ]; then echo "kept: $here"; else rm -rf "$here"; fi
    exit $code
}
trap end EXIT

fail() {
    # the line of the story, not of this file
    local frame=0
    while [ "${BASH_SOURCE[frame]}" = "${BASH_SOURCE[0]}" ] && [ -n "${BASH_SOURCE[frame + 1]:-}" ]; do
        frame=$((frame + 1))
    done
    echo "FAILED at ${BASH_SOURCE[frame]##*/}:${BASH_LINENO[frame - 1]}: $*"
    exit 1
}
skip() {
    echo "SKIPPED: $*"
    exit 77
}

ranks() {
    local n=$1
    shift
    "$tests/support/mpirun" -n "$n" "$@"
}

expect() {
    local code=$1 regex=$2 got=0
    shift 2
    "$@" >stdout 2>stderr || got=$?
    if [ $got -ne "$code" ]; then
        tail -n 20 stdout stderr
        fail "exit code $got, not $code: $*"
    fi
    if [ -n "$regex" ] && ! grep -qE -- "$regex" stderr; then
        tail -n 20 stderr
        fail "stderr does not match /$regex/: $*"
    fi
}

contains() {
    grep -qE -- "$2" "$1" && return
    tail -n 20 "$1"
    fail "$1 does not match /$2/"
}
lacks() {
    grep -E -- "$2" "$1" && fail "$1 matches /$2/"
    return 0
}
same() { cmp -- "$1" "$2" || fail "$1 and $2 differ"; }
same_tree() { diff -r -- "$1" "$2" | tail -n 20 && return; fail "$1 and $2 differ"; }

data() {
    local path=${CLM_DATA:-$tests/../../shared/data}/$1
    # in $(...), where skip could not end the test: the caller says  x=$(data NAME) || exit
    [ -e "$path" ] || { echo "SKIPPED: no data set $1 (folder CLM_DATA)" >&2; exit 77; }
    (cd "$(dirname "$path")" && echo "$PWD/$(basename "$path")")
}
