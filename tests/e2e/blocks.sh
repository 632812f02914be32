# What a bad block becomes: a line in blocks.jsonl with its reason, and never the end of the run's folder.
. "$(dirname "$0")/lib.sh"
job=(align --fixed demo/fixed.ome.zarr --moving demo/moving.n5 --set deform.block_vox=32 -q)
expect 0 '' "$COLLIMATE" phantom --size 64,96,112 --chunk 48 -q demo
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

# ---- with a given affine no stage needs every block: what fails stays a line ----
affine=[$(sed -n 1,3p want/affine.txt | tr -s ' \n' ',' | sed 's/,$//')]
given=("${job[@]}" --set global.method=given --set "global.affine=$affine")

# deform blocks that do not fit are done coarser; local ones are left to their neighbours
expect 1 '' "$COLLIMATE" "${given[@]}" --set deform.block_vox=96 --set local.factor=1 --set local.block_vox=96 \
    --set memory.task_mib=8 --set apply.chunk_vox=32 --out coarse
contains coarse/blocks.jsonl '"stage": *"deform\.3".*"status": *"ok".*"times_coarser": *2'
contains coarse/blocks.jsonl '"stage": *"local".*"status": *"over_budget", *"reason": *"[^"]*block memory budget'
[ "$(cat coarse/done)" = 1 ] || fail "blocks failed, but done says otherwise"
expect 0 '' "$COLLIMATE" evaluate --transform coarse/transform.ome.zarr
contains stdout 'Jacobian'

# a block that cannot be measured has no part in the figures, and changes nothing else
expect 0 '' "$COLLIMATE" phantom --size 64,96,144 --chunk 48 -q long
measured=("${given[@]/#demo/long}" --set local.enabled=false --set 'deform.factors=[4]' --set apply.chunk_vox=32)
expect 0 '' "$COLLIMATE" "${measured[@]}" --out roomy
expect 1 '' "$COLLIMATE" "${measured[@]}" --set memory.task_mib=8 --out narrow
contains narrow/blocks.jsonl '"stage": *"measure\.3".*"status": *"over_budget", *"reason": *"[^"]*block memory budget'
contains narrow/metrics.json '"voxels": *0'
lacks roomy/metrics.json '"voxels": *0[^0-9]'
for result in transform.ome.zarr aligned.ome.zarr; do same_tree "roomy/$result" "narrow/$result"; done

# a torn chunk of the fixed image: named in the lines of the blocks that read it, the others cover them
cp -r demo torn
truncate -s 1000 torn/fixed.ome.zarr/s0/c/0/0/0
torn=("${given[@]/#demo/torn}")
expect 1 '' "$COLLIMATE" "${torn[@]}" --out gap
contains gap/blocks.jsonl '"stage": *"deform\.3".*"status": *"format", *"reason": *"[^"]*c/0/0/0'
contains gap/blocks.jsonl '"stage": *"deform\.3".*"status": *"ok"'
[ -s gap/affine.json ] && [ -s gap/transform.ome.zarr/zarr.json ] && [ -s gap/aligned.ome.zarr/zarr.json ] || fail "not whole"
# where the global stage needs the chunk the run ends; mended, the same command goes on
torn=("${job[@]/#demo/torn}")
expect 3 'spots [0-9]+: .*c/0/0/0' "$COLLIMATE" "${torn[@]}" --out mended
cp demo/fixed.ome.zarr/s0/c/0/0/0 torn/fixed.ome.zarr/s0/c/0/0/0
expect 0 '' "$COLLIMATE" "${torn[@]}" --out mended
results_same mended

# a task of apply that does not fit is done in parts: the same bytes
expect 0 '' "$COLLIMATE" apply want demo/moving.n5 roomy.zarr --chunk 128 --no-pyramid -q
expect 0 '' "$COLLIMATE" apply want demo/moving.n5 tight.zarr --chunk 128 --no-pyramid -q --task-mib 6
same_tree roomy.zarr/s0 tight.zarr/s0
