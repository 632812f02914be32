# A control group with less memory than the machine: fewer threads begin, and a task that is killed for want of memory
# takes neither its rank along nor the run's work.
. "$(dirname "$0")/lib.sh"
if grep -qsw memory /sys/fs/cgroup/cgroup.subtree_control; then
    group=/sys/fs/cgroup limit=memory.max swap=memory.swap.max
elif [ -e /sys/fs/cgroup/memory/memory.limit_in_bytes ]; then
    group=/sys/fs/cgroup/memory limit=memory.limit_in_bytes swap=memory.memsw.limit_in_bytes
else
    skip "no control groups of memory"
fi
group=$group/collimate-test-$$
mkdir "$group" 2>/dev/null || skip "no control group can be made"
cleanup='rmdir "$group"'
within() { # MIB COMMAND...
    local mib=$1 bytes=$(($1 * 1048576))
    shift
    echo -1 >"$group/$swap" 2>/dev/null || echo max >"$group/$swap" 2>/dev/null
    echo $bytes >"$group/$limit" || fail "no limit of $mib MiB"
    if [ $swap = memory.swap.max ]; then bytes=0; fi
    echo $bytes >"$group/$swap" 2>/dev/null # where there is swap
    # shellcheck disable=SC2016 # expanded inside
    bash -c 'echo $$ >"$0/cgroup.procs" && exec "$@"' "$group" "$@"
}
job=(align --fixed demo/fixed.ome.zarr --moving demo/moving.n5 --set deform.block_vox=32 --set apply.chunk_vox=32
    --set memory.cache_mib=8 --set report.enabled=false)
expect 0 '' "$COLLIMATE" phantom --size 96,112,128 -q demo
expect 0 '' "$COLLIMATE" "${job[@]}" -q --out want
results_same() { # FOLDER
    for result in affine.json metrics.json transform.ome.zarr aligned.ome.zarr; do same_tree "want/$result" "$1/$result"; done
}
bytes=$("$COLLIMATE" plan "${job[@]:1}" --out none --json | sed -nE 's/^ *"thread_bytes": *([0-9]+).*/\1/p')
one=$((32 + 32 + bytes / 1048576)) # MiB for one thread
if [ "$(nproc)" -gt 1 ]; then
    expect 0 'MiB of memory for this rank, .*: fewer threads' within $((one + 20)) "$COLLIMATE" "${job[@]}" --out fewer
    contains stderr 'on 1 rank'
    results_same fewer
fi
# a third of what is needed
code=0
within $((one / 3)) "$COLLIMATE" "${job[@]}" --threads 1 --out tight >stdout 2>stderr || code=$?
[ $code = 5 ] || { cat stderr; fail "exit code $code, not 5, without memory"; }
contains stderr 'killed by signal 9, 2 times: out of memory'
[ -s tight/journal ] || fail "nothing is kept"
expect 0 '' "$COLLIMATE" "${job[@]}" -q --out tight
results_same tight
