#!/bin/sh
# End a rank (SIGKILL, SIGSEGV, SIGABRT, exit with 3, exit with 0) again and again at different moments, resume with
# another number of ranks, until the run is done; compare with an undisturbed run. Then one vanishes without a word,
# which mpirun does not notice: the others end the run, or, when it was rank 0, give it up; the same files.
# Usage: kill.sh PROGRAM KILLS
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
    case $((kill % 5)) in 0) how=9 ;; 1) how=11 ;; 2) how=6 ;; 3) how=-4 ;; 4) how=-1 ;; esac
    if "$mpi" -n $ranks "$program" "$work/rough" $((kill % ranks)) $((7 + kill)) "$how" >"$work/out" 2>"$work/err"; then
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
vanish() { # RANK: stops itself; whoever is left ends the launch. Prints what rank 0 said
    timeout 60 "$mpi" -n 3 "$program" "$work/vanish$1" "$1" 4 19 2>"$work/err" # 19: SIGSTOP
    [ $? != 124 ] || { cat "$work/err" >&2; return 1; }
}
said=$(vanish 2) || fail "the launch that lost rank 2 has no end"
[ "${said%% *}" = "$want" ] || { cat "$work/err"; fail "'$said' without rank 2, undisturbed $want"; }
said=$(vanish 0) || fail "the launch that lost rank 0 has no end"
# mpirun wakes what is stopped before it ends it: rank 0 may get to the end by itself, and then as well
[ -z "$said" ] || [ "${said%% *}" = "$want" ] || fail "'$said' of rank 0, woken, undisturbed $want"
grep -q 'nothing was heard of rank 0' "$work/err" || { cat "$work/err"; fail "nobody missed rank 0"; }
said=$("$mpi" -n 2 "$program" "$work/vanish0" -1 0) || fail "the launch after rank 0 was lost failed"
[ "${said%% *}" = "$want" ] || fail "digest $said after rank 0 was lost, undisturbed $want"
# MPI's own end waits for all: not longer than it may
for rank in 0 1; do
    said=$(timeout 60 "$mpi" -n 2 "$program" "$work/last$rank" $rank last 2>"$work/err")
    code=$?
    [ $code != 0 ] && [ $code != 124 ] || fail "exit code $code when rank $rank stops before it leaves"
    [ "${said%% *}" = "$want" ] || fail "digest '$said' when rank $rank stops before it leaves, undisturbed $want"
done
echo "$kills kills, same files; $result of the journal at the last launch"
