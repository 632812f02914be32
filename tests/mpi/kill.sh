#!/bin/sh
# Kill a rank (SIGKILL) again and again at different moments, resume with another number of ranks, until the
# run is done; compare with an undisturbed run. Usage: kill.sh PROGRAM KILLS
set -u
program=$1
kills=$2
mpi=$(dirname "$0")/../support/mpirun
work=$(mktemp -d "${TMPDIR:-/tmp}/collimate-kill-XXXXXX") || exit 2
trap 'rm -rf "$work"' EXIT
fail() { echo "kill.sh: $*"; exit 1; }

want=$("$program" "$work/calm" -1 0 | cut -d' ' -f1) || fail "the undisturbed run failed"
[ -n "$want" ] || fail "the undisturbed run told no digest"
last=0
kill=0
while [ $kill -lt "$kills" ]; do
    ranks=$((1 + kill % 3))
    if "$mpi" -n $ranks "$program" "$work/rough" $((kill % ranks)) $((7 + kill)) >"$work/out" 2>"$work/err"; then
        cat "$work/out"
        fail "launch $kill with $ranks ranks was to be killed and was not"
    fi
    size=$(stat -c %s "$work/rough/journal") || fail "no journal after kill $kill"
    [ "$size" -ge "$last" ] || fail "the journal shrank from $last to $size bytes"
    last=$size
    kill=$((kill + 1))
done
result=$("$mpi" -n 2 "$program" "$work/rough" -1 0) || fail "the last launch failed"
[ "${result%% *}" = "$want" ] || fail "digest $result, undisturbed $want"
[ "${result##* }" -gt 0 ] || fail "nothing was kept over $kills kills"
echo "$kills kills, same files; $result of the journal at the last launch"
