#!/bin/bash
# Points between the coordinate systems of a store: our own transform's, against the table command; and what is
# refused, with a message for whoever reads standard output alone.
. "$(dirname "$0")/lib.sh"

expect 0 '' "$COLLIMATE" phantom --size 32,40,48 demo
expect 0 '' "$COLLIMATE" align -q --fixed demo/fixed.ome.zarr --moving demo/moving.n5 --out out
t=out/transform.ome.zarr

echo "z,y,x
10,20.5,30
1,2,3" >in.csv
expect 0 '' "$COLLIMATE" points -q $t in.csv out.csv --direction forward
expect 0 '' "$COLLIMATE" transform-points $t fixed moving '[[10,20.5,30],[1,2,3]]'
# six digits of each number agree
numbers() { tr -c '0-9.e-' '\n' | grep -E '[0-9]' | awk '{printf "%.3f\n", $1}'; }
tail -n +2 out.csv | cut -d, -f1-3 | numbers >table
numbers <stdout >json
same table json

# and back again, from standard input
back=$(sed 's/{"coordinates"://; s/}$//' stdout)
echo "$back" >points.json
"$COLLIMATE" transform-points $t/zarr.json moving fixed - <points.json | numbers >again
printf '10.000\n20.500\n30.000\n1.000\n2.000\n3.000\n' >want
same again want

# more than any first read takes
awk 'BEGIN { printf "[[1,2,3]"; for (i = 1; i < 60000; i++) printf ",[10,20.5,30]"; print "]" }' >many.json
expect 0 '' "$COLLIMATE" transform-points $t fixed moving - <many.json
[ "$(tr -cd '[' <stdout | wc -c)" = 60001 ] || fail "not as many points as were given"

expect 2 'no coordinate system "nowhere"' "$COLLIMATE" transform-points $t fixed nowhere '[[1,2,3]]'
contains stdout '^\{"message":".*fixed#physical'
expect 2 'could be' "$COLLIMATE" transform-points $t physical moving '[[1,2,3]]'
expect 2 'list of 3 numbers' "$COLLIMATE" transform-points $t fixed moving '[[1,2]]'
expect 3 'no Zarr group' "$COLLIMATE" transform-points demo fixed moving '[[1,2,3]]'
expect 2 'Usage' "$COLLIMATE" transform-points $t fixed moving
