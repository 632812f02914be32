# Masks that the program finds: the same for 1 and 3 ranks, and after a kill before, while and after they are made.
. "$(dirname "$0")/lib.sh"
expect 0 '' "$COLLIMATE" phantom --size 64,96,112 -q demo
job=(align --fixed demo/fixed.ome.zarr --moving demo/moving.n5 --set mask.fixed_foreground=true
    --set mask.moving_foreground=true --set global.max_mvox=0.02 --set deform.block_vox=32 --set apply.chunk_vox=32
    --set report.enabled=false -q)
expect 0 '' "$COLLIMATE" "${job[@]}" --threads 1 --out want
results_same() { # FOLDER
    for result in fixed_foreground.ome.zarr moving_foreground.ome.zarr affine.json metrics.json transform.ome.zarr \
        aligned.ome.zarr; do
        same_tree "want/$result" "$1/$result"
    done
}
expect 0 '' ranks 3 "$COLLIMATE" "${job[@]}" --out three
results_same three

kills=0
for tasks in 0 1 2 3 6 10; do # in the journal; what is made first are the coarse images and the masks of them
    "$COLLIMATE" "${job[@]}" --local 3 --threads 1 --set epoch_s=0 --out killed 2>log &
    pid=$!
    before=$(stat -c %s killed/journal 2>/dev/null || echo 0)
    for ((i = 0; i < 2000; i++)); do
        [ "$(stat -c %s killed/journal 2>/dev/null || echo 0)" -gt $((before + 60 * tasks)) ] && break
        kill -0 $pid 2>/dev/null || break
        sleep 0.005
    done
    kill -KILL $pid 2>/dev/null && kills=$((kills + 1))
    wait $pid 2>/dev/null
done
[ $kills -gt 3 ] || fail "only $kills launches were killed"
expect 0 '' ranks 3 "$COLLIMATE" "${job[@]}" --out killed
results_same killed

# a mask by array that is made anew is another input
"$COLLIMATE" convert demo/fixed.ome.zarr mask.ome.zarr -q
job+=(--set 'fixed_mask="mask.ome.zarr"' --out masked)
expect 0 '' "$COLLIMATE" "${job[@]}"
rm masked/done
rm -r mask.ome.zarr && "$COLLIMATE" convert demo/fixed.ome.zarr mask.ome.zarr -q
expect 2 "files were made anew" "$COLLIMATE" "${job[@]}"
