# slurm/align.sbatch, unchanged, on a private SLURM of three nodes: by mpirun and by srun, warned before the time
# limit, cancelled, with a node lost: every time the same bytes in the end.
. "$(dirname "$0")/lib.sh"
cluster=$tests/slurm/cluster
code=0
"$cluster" up "$here/slurm" 3 >up.log 2>&1 || code=$?
case $code in
0) ;;
2 | 3) skip "$(tail -n 1 up.log)" ;;
*) cat up.log; fail "the private cluster did not start" ;;
esac
cleanup='"$cluster" down "$here/slurm"'
on_head() { "$cluster" run "$here/slurm" "$@"; }

export COLLIMATE COLLIMATE_SUPERVISE=$tests/../scripts/supervise
job=(--fixed demo/fixed.ome.zarr --moving demo/moving.n5 --set deform.block_vox=24 --set apply.chunk_vox=32 -v)
expect 0 '' "$COLLIMATE" phantom --size 96,112,128 -q demo
expect 0 '' "$COLLIMATE" align "${job[@]}" --out want
# one of some seconds: a rank is at work when it is met, not at the end
long=(--fixed long/fixed.ome.zarr --moving long/moving.n5 "${job[@]:4}")
expect 0 '' "$COLLIMATE" phantom --size 128,176,192 -q long
expect 0 '' "$COLLIMATE" align "${long[@]}" --out want_long
want=want

submit() { # NAME SBATCH-OPTION... : sets id; the run folder is NAME, the output NAME.log
    local out=$1
    shift
    id=$(on_head sbatch --parsable -o "$out.log" "$@" "$tests/../slurm/align.sbatch" "${job[@]}" --out "$here/$out") ||
        fail "sbatch refuses"
}
state() { on_head scontrol -o show job "$1" | grep -oE 'JobState=[A-Z_]+' | cut -d= -f2; }
wait_for() { # SECONDS WHAT COMMAND...
    local until=$((SECONDS + $1)) what=$2
    shift 2
    until "$@"; do
        [ $SECONDS -lt $until ] || { on_head squeue; on_head sinfo -N; tail -n 20 ./*.log; fail "not in time: $what"; }
        sleep 0.1
    done
}
is() { [ "$(state "$1")" = "$2" ]; }
at_work() { [ "$(stat -c %s "$1/journal" 2>/dev/null || echo 0)" -gt "${2:-1500}" ]; } # some tasks are in the journal
complete() { # NAME
    [ "$(cat "$1/done")" = 0 ] || fail "$1 is not done"
    for result in affine.json metrics.json transform.ome.zarr aligned.ome.zarr; do
        same_tree "$want/$result" "$1/$result"
    done
    echo "$1: done after $SECONDS s"
}

# several nodes, by mpirun and by srun; a job that waits for the first
several_nodes() {
    local first after
    submit by_mpirun -N 3 --ntasks-per-node=1
    first=$id
    after=$(on_head sbatch --parsable -o after.log -d "afterok:$id" -N 1 --wrap 'echo ran after') || fail "no dependent job"
    wait_for 120 "the run by mpirun" is "$first" COMPLETED
    complete by_mpirun
    COLLIMATE_LAUNCHER="srun --mpi=pmix" submit by_srun -N 3 --ntasks-per-node=1
    wait_for 120 "the run by srun" is "$id" COMPLETED
    complete by_srun
    wait_for 60 "the dependent job" is "$after" COMPLETED
    contains after.log 'ran after'
}

# the warning before the time limit: all stop soon, the job is requeued and goes on
warned() {
    submit warned -N 2 --ntasks-per-node=1
    wait_for 60 "work" at_work warned
    on_head scancel --signal=USR1 --batch "$id"
    wait_for 180 "the run after the warning" is "$id" COMPLETED
    contains warned.log 'goes on'
    [ "$(on_head scontrol -o show job "$id" | grep -oE 'Restarts=[0-9]+')" = Restarts=1 ] || fail "was not requeued"
    complete warned
}

# cancelled: nothing of it lives on; submitted again it goes on
cancelled() {
    submit cancelled -N 2 --ntasks-per-node=1
    wait_for 60 "work" at_work cancelled
    on_head scancel "$id"
    wait_for 60 "the end of the cancelled job" is "$id" CANCELLED
    idle() { [ -z "$(pgrep -f -- "--out $here/cancelled")" ]; }
    wait_for 30 "the end of its ranks" idle
    [ ! -e cancelled/done ] || fail "too quick to be cancelled"
    submit cancelled -N 2 --ntasks-per-node=1
    wait_for 120 "the run after it was cancelled" is "$id" COMPLETED
    complete cancelled
}

# a rank dies, in any way: the launcher ends the others, or they end themselves; the next launch goes on, in the same
# allocation
rank_of() { # OUT RANK: its process, not one that it made, whose death is an outcome
    local pid name
    name=$(basename "$COLLIMATE" | cut -c1-15)
    for pid in $(pgrep -f -- "--out $here/$1\$"); do
        tr '\0' '\n' <"/proc/$pid/environ" 2>/dev/null | grep -qxE "(OMPI_COMM_WORLD_RANK|PMIX_RANK)=$2" &&
            [ "$(ps -o comm= "$pid")" = "$name" ] &&
            [ "$(ps -o comm= -p "$(ps -o ppid= -p "$pid" | tr -d ' ')")" != "$name" ] && echo "$pid" && return
    done
}
dies() { # SIGNAL RANK NODES LAUNCHER
    local name=dies_$1_$2_of_$3_${4%% *} victim
    COLLIMATE_LAUNCHER=$4 submit "$name" -N "$3" --ntasks-per-node=1
    wait_for 60 "work" at_work "$name"
    victim=$(rank_of "$name" "$2")
    [ -n "$victim" ] || fail "no rank of $name to be met"
    kill "-$1" "$victim" || fail "rank $2 of $name was over before it could die"
    wait_for 180 "the run after rank $2 was ended by SIG$1" is "$id" COMPLETED
    contains "$name.log" 'launch 1 ended with exit code .*; again'
    complete "$name"
}
all_die() { # LAUNCHER
    local death want=want_long
    # under srun with one rank a node the others are left alone; they stop for results that were with it alone, of one
    # epoch's time
    job=("${long[@]}" --set silence_s=5)
    dies KILL 1 3 "$1" # the two that are left have one another
    for death in KILL/1 SEGV/1 ABRT/1 KILL/0; do dies "${death%/*}" "${death#*/}" 2 "$1"; done
}

# more nodes than there are: refused at once, or never begun, with the reason
refused() { # REGEX SBATCH-OPTION...
    local regex=$1 id
    shift
    if id=$(on_head sbatch --parsable "$@" "$tests/../slurm/align.sbatch" "${job[@]}" --out never 2>refused.log); then
        wait_for 60 "why it does not begin" contains_reason "$id" "$regex"
        on_head scancel "$id"
    else
        contains refused.log "$regex"
    fi
    [ ! -e never ] || fail "begun: $*"
}
contains_reason() { on_head squeue -h -j "$1" -o %r | tee -a reasons | grep -qE "$2"; }
too_much() {
    refused 'Node count|NodeLimit|PartitionConfig' -N 9
    refused '[Mm]emory|configuration is not available|Resources' --mem-per-cpu=1T
}

# less memory than the ranks would take: told before anything begins, with what to ask for
tight() {
    submit tight -N 1 --ntasks-per-node=1 --mem-per-cpu=80M
    wait_for 60 "the end of a job without memory" is "$id" FAILED
    contains tight.log 'a rank takes up to [0-9]* MiB .*SLURM gives it 80: ask for sbatch --mem-per-cpu=[0-9]*M'
    [ ! -e tight ] || fail "begun without memory"
}

# a time limit that leaves no time for a block: told, not tried for ever
hurried() {
    printf '#!/bin/sh\ntrap "exit 5" USR1\nsleep 60 &\nwait\n' >slow && chmod +x slow
    COLLIMATE_LAUNCHER=$here/slow submit hurried -N 1 --ntasks-per-node=1
    begun() { [ "$(state "$id")" = RUNNING ] && [ -n "$(pgrep -f "$here/slow")" ]; }
    wait_for 60 "the start" begun
    on_head scancel --signal=USR1 --batch "$id"
    wait_for 60 "the end" is "$id" FAILED
    contains hurried.log 'not one block ended.*--time='
}

# Most of the time is waiting, so they run side by side: four on a node, which has room for as many
stories=()
side_by_side() { # COMMAND...
    (for story in "$@"; do $story; done) >"$1.story" 2>&1 &
    stories+=("$!/$1")
}
mpirun_dies() { all_die "mpirun --bind-to none"; }
srun_dies() { all_die "srun --mpi=pmix"; }
side_by_side srun_dies
side_by_side mpirun_dies
side_by_side several_nodes too_much tight
side_by_side warned cancelled hurried
for story in "${stories[@]}"; do
    code=0
    wait "${story%%/*}" || code=$?
    cat "${story#*/}.story"
    [ $code = 0 ] || { kill "${stories[@]%%/*}" 2>/dev/null; fail "${story#*/}: see above"; }
done

# a node loses power: the job is requeued and goes on on others
submit crashed -N 2 --ntasks-per-node=1
wait_for 60 "work" at_work crashed
node=$(on_head squeue -h -j "$id" -o %N)
[ "$node" = 'n[1-2]' ] || [ "$node" = 'n[2-3]' ] || [ "$node" = 'n[1,3]' ] || fail "runs on $node"
victim=n$(grep -oE '[0-9]' <<<"$node" | tail -n 1)
"$cluster" crash "$here/slurm" "$victim"
[ ! -e crashed/done ] || fail "too quick to be hit"
wait_for 240 "the run after $victim was lost" is "$id" COMPLETED
complete crashed
