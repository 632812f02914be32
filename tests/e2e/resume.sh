# Killed at any moment, with any number of ranks, the same command goes on and ends with the same bytes.
. "$(dirname "$0")/lib.sh"
expect 0 '' "$COLLIMATE" phantom --size 64,96,112 -q demo
job=(align --fixed demo/fixed.ome.zarr --moving demo/moving.n5 --set deform.block_vox=48 --set local.block_vox=48
     --set apply.chunk_vox=32 -q)
expect 0 '' "$COLLIMATE" "${job[@]}" --out want

# every process of the run, at once, after a while that differs each time
kill_after() { # SECONDS COMMAND...
    local pause=$1
    shift
    setsid "$@" >/dev/null 2>&1 &
    local leader=$!
    sleep "$pause"
    kill -KILL -- "-$leader" 2>/dev/null
    wait "$leader" 2>/dev/null
}
kills=0
for round in 1 2 3 4 5 6 7 8 9 10; do
    n=$((round % 3 + 1))
    kill_after "0.$((round * 7 % 10))$round" "$tests/support/mpirun" -n $n "$COLLIMATE" "${job[@]}" --out got
    kills=$((kills + 1))
done
code=0
"$COLLIMATE" status got >status.txt 2>&1 || code=$?
cat status.txt
expect 0 '' ranks 2 "$COLLIMATE" "${job[@]}" --out got
echo "$kills kills"

# SIGTERM ends it cleanly: exit 5 and a word to the user, and it can go on
"$COLLIMATE" "${job[@]}" --out term 2>term.err &
leader=$!
sleep 0.4
kill -TERM $leader
wait $leader || code=$?
[ -e term/metrics.json ] || { [ $code = 5 ] || fail "exit code $code, not 5, after SIGTERM"; contains term.err 'goes on'; }
expect 0 '' "$COLLIMATE" "${job[@]}" --out term

for out in want got term; do
    rm -rf "$out/journal" "$out/job.json"
    sed -i 's/"seconds":.*//' "$out/blocks.jsonl"
done
same_tree want got
same_tree want term
