#!/bin/bash
# The made pair: the same for any threads and chunks, another for another seed; wrong use is told.
. "$(dirname "$0")/lib.sh"

small=(--size 24,40,48 --quiet)
expect 0 '' "$COLLIMATE" phantom "${small[@]}" --threads 1 a
expect 0 '' "$COLLIMATE" phantom "${small[@]}" --threads 3 b
same_tree a b
expect 0 '' "$COLLIMATE" phantom "${small[@]}" --chunk 16 c
for volume in fixed.ome.zarr/s0 moving.n5/s0; do
    "$COLLIMATE" dump a/$volume >whole || fail "dump of a/$volume"
    "$COLLIMATE" dump c/$volume >cut || fail "dump of c/$volume"
    same whole cut
done
[ "$("$COLLIMATE" dump a/fixed.ome.zarr/s0 | wc -c)" -eq $((24 * 40 * 48 * 2)) ] || fail "size of the fixed volume"

# again over itself is fine, and tells what it made; other shapes are not
expect 0 'fixed.ome.zarr' "$COLLIMATE" phantom --size 24,40,48 a
same_tree a b
expect 2 'fixed' "$COLLIMATE" phantom --size 32,40,48 a

expect 0 '' "$COLLIMATE" phantom "${small[@]}" --seed 2 d
"$COLLIMATE" dump a/fixed.ome.zarr/s0 >one
"$COLLIMATE" dump d/fixed.ome.zarr/s0 >two
if cmp -s one two; then fail "another seed, the same volume"; fi

expect 0 '' "$COLLIMATE" phantom --help
contains stdout '^Examples:'
expect 2 'which folder' "$COLLIMATE" phantom
expect 2 'three whole numbers Z,Y,X' "$COLLIMATE" phantom --size 24,40 e
expect 2 'whole number' "$COLLIMATE" phantom --seed x e
expect 2 'unknown option' "$COLLIMATE" phantom --sedd 1 e
expect 2 'might fold' "$COLLIMATE" phantom --warp 60 e
expect 2 'needs the phantom' "$COLLIMATE" phantom --check a
expect 3 'run folder' "$COLLIMATE" phantom --check a a
expect 3 'truth.json' "$COLLIMATE" phantom --check nowhere a
expect 4 '' "$COLLIMATE" phantom "${small[@]}" /proc/nowhere
