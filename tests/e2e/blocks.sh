# What a bad block becomes: a line in blocks.jsonl with its reason, and never the end of the run's folder.
. "$(dirname "$0")/lib.sh"
job=(align --fixed demo/fixed.ome.zarr --moving demo/moving.n5 --set deform.block_vox=32 -q)
expect 0 '' "$COLLIMATE" phantom --size 64,96,112 -q demo
expect 0 '' "$COLLIMATE" "${job[@]}" --out want
results_same() { # FOLDER
    for result in affine.json metrics.json transform.ome.zarr aligned.ome.zarr; do
        same_tree "want/$result" "$1/$result"
    done
}

# no room for a block that the global stage needs: the run says so and ends; with more room it goes on
expect 2 'spots [0-9]+: block memory budget reached.*raise memory\.task_mib' \
    "$COLLIMATE" "${job[@]}" --out tight --set memory.task_mib=12
[ ! -e tight/done ] || fail "done without a result"
expect 2 'budget reached' "$COLLIMATE" "${job[@]}" --out tight --set memory.task_mib=12
expect 0 '' "$COLLIMATE" "${job[@]}" --out tight --set memory.task_mib=1024
results_same tight
