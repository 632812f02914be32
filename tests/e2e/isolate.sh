# Tasks in child processes: what kills one of them costs a second try, not the run; results do not know.
. "$(dirname "$0")/lib.sh"
job=(align --fixed demo/fixed.ome.zarr --moving demo/moving.n5 --set deform.block_vox=24 --set apply.chunk_vox=32)
expect 0 '' "$COLLIMATE" phantom --size 64,96,112 -q demo
expect 0 '' "$COLLIMATE" "${job[@]}" -q --set isolate=false --out want
results_same() { # FOLDER
    for result in affine.json metrics.json transform.ome.zarr aligned.ome.zarr; do
        same_tree "want/$result" "$1/$result"
    done
}
task_of() { # PID of a rank: its only task process, or nothing
    local server
    server=$(pgrep -P "$1" -x collimate-fork) && pgrep -P "$server" -x collimate-task
}
"$COLLIMATE" "${job[@]}" --threads 1 --out got 2>log &
rank=$!
kills=0 last= signals=(KILL SEGV ABRT)
for ((i = 0; i < 3000 && kills < 3; i++)); do
    kill -0 $rank 2>/dev/null || break
    child=$(task_of $rank)
    # each one a task later than the last: two deaths in one task are its failure
    if [ -n "$child" ] && [ "$child" != "$last" ] && [ -s got/journal ]; then
        size=$(stat -c %s got/journal)
        kill "-${signals[kills]}" "$child" && kills=$((kills + 1)) last=$child
        for ((k = 0; k < 500; k++)); do [ "$(stat -c %s got/journal)" -gt "$size" ] && break; sleep 0.02; done
    fi
    sleep 0.01
done
code=0
wait $rank || code=$?
[ $code = 0 ] || { cat log; fail "exit code $code after $kills children were killed"; }
[ $kills -gt 0 ] || fail "no child was met"
echo "$kills children killed"
results_same got

# a block whose process dies twice has failed: it is listed, and nobody waits for its result, neither here nor in a
# launch that knows of it from the journal alone
affine=[$(sed -n 1,3p want/affine.txt | tr -s ' \n' ',' | sed 's/,$//')]
given=(align --fixed demo/fixed.ome.zarr --moving demo/moving.n5 --set global.method=given --set "global.affine=$affine"
    --set 'deform.factors=[1]' --set deform.block_vox=32)
"$COLLIMATE" "${given[@]}" --threads 1 -v --out twice 2>log &
rank=$!
last=
until grep -q '"failed": *1' <("$COLLIMATE" status twice --json 2>/dev/null); do
    kill -0 $rank 2>/dev/null || { cat log; fail "no block has failed"; }
    child=$(task_of $rank)
    if [ -n "$child" ] && [ "$child" != "$last" ] && ! grep -q 'deform.1 [0-9]*: numeric' log &&
        grep -q 'deform.1 [0-9]*: ' log; then
        kill -SEGV "$child" && last=$child
    fi
done
kill -KILL $rank
wait $rank 2>/dev/null
cp -r twice too
expect 1 '' "$COLLIMATE" "${given[@]}" -q --out twice
expect 1 '' ranks 2 "$COLLIMATE" "${given[@]}" -q --out too
contains twice/blocks.jsonl '"stage": *"deform\.1".*"status": *"numeric", *"reason": *"[^"]*killed by signal 11 .*, 2 times'
for result in metrics.json transform.ome.zarr aligned.ome.zarr; do same_tree "twice/$result" "too/$result"; done
[ "$(cat twice/done)" = 1 ] || fail "a block failed, but done says otherwise"

# a task that hangs is killed after 0.45 x lease_s and tried again
"$COLLIMATE" "${job[@]}" --threads 1 --set lease_s=10 -v --out hangs 2>hangs.log &
rank=$!
for ((i = 0; i < 2000; i++)); do grep -qs 'deform.1 [0-9]*: ' hangs.log && break; sleep 0.005; done
child=$(task_of $rank) && kill -STOP "$child" || fail "no child to be stopped"
code=0
wait $rank || code=$?
[ $code = 0 ] || { cat hangs.log; fail "exit code $code after a task hung"; }
results_same hangs

# the server killed: the run ends, and goes on
"$COLLIMATE" "${job[@]}" --threads 1 --out lost 2>log &
rank=$!
for ((i = 0; i < 500; i++)); do [ -s lost/journal ] && break; sleep 0.01; done
pkill -KILL -P $rank -x collimate-fork
code=0
wait $rank || code=$?
[ $code = 5 ] || [ "$code$(cat lost/done)" = 00 ] || { cat log; fail "exit code $code, not 5, without its server"; }
expect 0 '' ranks 2 "$COLLIMATE" "${job[@]}" -q --out lost
results_same lost

# apply's and convert's tasks are isolated, too
expect 0 '' "$COLLIMATE" apply want demo/moving.n5 quiet/fine -q --spacing 0.5,0.4,0.4 --chunk 32 --no-pyramid
expect 0 '' "$COLLIMATE" convert quiet/fine quiet/copy -q --chunk 24 --no-pyramid --codec zstd:19
killed() { # COMMAND...: its first child dies at its work; it goes on to the end
    local rank child code=0
    "$@" --threads 1 2>log &
    rank=$!
    for ((i = 0; i < 2000; i++)); do
        child=$(task_of $rank) && kill -KILL "$child" && break
        kill -0 $rank 2>/dev/null || break
    done
    [ -n "$child" ] || fail "no child of $2 was met"
    wait $rank || code=$?
    [ $code = 0 ] || { cat log; fail "exit code $code of $2 after its child was killed"; }
}
killed "$COLLIMATE" apply want demo/moving.n5 loud/fine -q --spacing 0.5,0.4,0.4 --chunk 32 --no-pyramid
same_tree quiet/fine/s0 loud/fine/s0
killed "$COLLIMATE" convert quiet/fine loud/copy -q --chunk 24 --no-pyramid --codec zstd:19
same_tree quiet/copy loud/copy
