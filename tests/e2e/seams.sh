#!/bin/bash
# Cutting into blocks does not show, and ranks leave the same bytes: blocks of 64, 96 and 128 against the whole, 1 to 3 ranks.
. "$(dirname "$0")/lib.sh"

expect 0 '' "$COLLIMATE" phantom -q --size 72,168,232 --moving-size 66,156,216 pair
expect 0 '' "$tests/../scripts/bench-blocks" --check pair/fixed.ome.zarr pair/moving.n5
contains stdout "^[|] 128 [|]"
cat stdout
