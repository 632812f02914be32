#!/bin/bash
# Transforms from pairs of points: what is printed, that other commands take what is written, and published pairs.
. "$(dirname "$0")/lib.sh"

# a known similarity with a shift of one pair
awk 'BEGIN { srand(7); print "weight,moving_x,moving_y,moving_z,fixed_z,fixed_y,fixed_x"
    for (i = 0; i < 30; i++) { z = 100 * rand(); y = 300 * rand(); x = 500 * rand()
        printf "1,%.9f,%.9f,%.9f,%.9f,%.9f,%.9f\n", 10 + 2 * y, 20 - 2 * x, 30 + 2 * z, z, y, x } }' >pairs.csv
expect 0 '' "$COLLIMATE" landmarks pairs.csv similar.txt --model similarity --json
contains stdout '"model": "similarity"'
awk 'NR==1 && ($1-2)^2+$2^2+$3^2+($4-30)^2 > 1e-12 { exit 1 } NR==3 && ($2-2)^2+($4-10)^2 > 1e-12 { exit 1 }' similar.txt ||
    fail "not the similarity that made the pairs: $(cat similar.txt)"
expect 4 'is there already' "$COLLIMATE" landmarks pairs.csv similar.txt --model similarity

# a spline on a lattice: points leads each fixed point where its pair is, as closely as is printed
awk -F, 'NR == 1 { print; next } { print $1 "," $2 + 5 * sin($6 / 60) "," $3 "," $4 "," $5 "," $6 "," $7 }' OFMT=%.9f pairs.csv >bent.csv
expect 0 '' "$COLLIMATE" landmarks bent.csv warp.ome.zarr --model tps --spacing 5 --json
most=$(sed -n 's/.*"interpolation_at_points_max_um": \([0-9.e-]*\).*/\1/p' stdout)
contains stdout '"points_outside": 0'
awk -F, '{ print (NR == 1 ? "z,y,x" : $5 "," $6 "," $7) }' bent.csv >fixed.csv
expect 0 '30 points, 0 extrapolated' "$COLLIMATE" points warp.ome.zarr fixed.csv moved.csv
paste -d, bent.csv moved.csv | awk -F, -v most="$most" 'NR > 1 { e = sqrt(($4-$8)^2+($3-$9)^2+($2-$10)^2); if (e > w) w = e }
    END { print "worst", w, "told", most; exit !(w > 0 && w <= most + 2e-6 && most < 0.5) }' || fail "the lattice is not as told"
# the affine part and the spline's coefficients leave no gap far from it: the stored scene is a transform like any other
expect 0 '' "$COLLIMATE" invert -q warp.ome.zarr back.ome.zarr --origin 30,-900,10 --spacing 20 --shape 10,50,30
expect 2 'cannot hold' "$COLLIMATE" landmarks bent.csv warp.json --model tps
# over an image's grid, and with smoothing
expect 0 '' "$COLLIMATE" phantom --size 32,40,48 demo
expect 0 '' "$COLLIMATE" landmarks bent.csv like.ome.zarr --model tps --smoothing 0.1 --like demo/fixed.ome.zarr --spacing 4
contains stdout 'landmarks lie beyond the lattice'
expect 0 '' "$COLLIMATE" apply -q like.ome.zarr demo/moving.n5/s0 applied.ome.zarr

# BigWarp's table and elastix's lists of the same points
awk -F, 'NR > 1 { printf "\"Pt-%d\",\"true\",\"%s\",\"%s\",\"%s\",\"%s\",\"%s\",\"%s\"\n", NR, $2, $3, $4, $7, $6, $5 }
    END { print "\"Pt-99\",\"false\",\"1\",\"2\",\"3\",\"Infinity\",\"Infinity\",\"Infinity\"" }' pairs.csv >bigwarp.csv
awk -F, 'BEGIN { print "point\n30" } NR > 1 { print $7, $6, $5 }' pairs.csv >fixed.txt
awk -F, 'BEGIN { print "point\n30" } NR > 1 { print $2, $3, $4 }' pairs.csv >moving.txt
expect 0 '' "$COLLIMATE" landmarks pairs.csv a.json --model affine
expect 0 '' "$COLLIMATE" landmarks bigwarp.csv b.json --model affine
expect 0 '' "$COLLIMATE" landmarks fixed.txt moving.txt c.json --model affine
same a.json b.json
same a.json c.json
expect 0 '' "$COLLIMATE" landmarks fixed.txt moving.txt d.txt --model translation --unit mm
expect 0 '' "$COLLIMATE" landmarks pairs.csv e.txt --model translation
paste d.txt e.txt | awk 'NR <= 3 && ($4 / 1000 - $8)^2 > 1e-12 { exit 1 }' || fail "--unit mm is not 1000 um"

# refused, with figures
head -4 pairs.csv >three.csv
expect 3 'three.csv: 3 pairs; affine needs at least 4' "$COLLIMATE" landmarks three.csv no.json --model affine
awk -F, -v OFS=, 'NR > 1 { $5 = 0 } 1' pairs.csv >flat.csv
expect 3 'in a plane .*0 um\).*--planar' "$COLLIMATE" landmarks flat.csv no.ome.zarr --model tps
expect 2 'one value' "$COLLIMATE" landmarks flat.csv no.json --model affine --planar
sed '2s/^1,/0,/' pairs.csv >weightless.csv
expect 2 'pair 1: weight 0' "$COLLIMATE" landmarks weightless.csv no.json --model rigid
echo 'point
3
1 2 3' >short.txt
expect 3 'short.txt: tells 3 points and has 1 line' "$COLLIMATE" landmarks short.txt moving.txt no.json --model rigid
expect 2 '--model is missing' "$COLLIMATE" landmarks pairs.csv no.json
[ ! -e no.json ] && [ ! -e no.ome.zarr ] || fail "a refused fit left something"

# Published pairs, STalign's: MERFISH section 2 of two animals, 13 pairs. The affine's in-sample error is what its notebook
# prints; the others were computed apart from this program.
sections=$(data stalign) || exit
paste -d, "$sections/merfish_S2_R3_landmarks_um.csv" "$sections/merfish_S2_R2_landmarks_um.csv" |
    awk -F, 'BEGIN { print "fz,fy,fx,mz,my,mx" } NR > 1 { print "0," $3 "," $2 ",0," $6 "," $5 }' >merfish.csv
means() { awk -v key="\"$1\"" '$1 == key ":" { on = 1 } on && /"mean_um"/ { gsub(/[^0-9.]/, "", $2); print $2; exit }' stdout; }
check() { # MODEL: mean residual, mean left out
    expect 0 '' "$COLLIMATE" landmarks merfish.csv "stalign-$1.json" --model "$1" --planar --json
    near "$(means before)" 2011.37
    near "$(means residual)" "$2"
    [ -z "${3:-}" ] || near "$(means left_out)" "$3"
}
near() { awk -v a="$1" -v b="$2" 'BEGIN { exit !(a > b - 0.006 && a < b + 0.006) }' || fail "$1 is not $2"; }
check affine 155.73 207.67
# and the map itself, y and x; the points are stored to .001 um
expect 0 '' "$COLLIMATE" landmarks merfish.csv map.txt --model affine --planar
echo '0.754511038 -0.760650214 6072.29549
0.687216717 0.684348908 -1110.46146' | paste - <(sed -n 2,3p map.txt) |
    awk '($1-$5)^2 + ($2-$6)^2 > 1e-14 || ($3-$7)^2 > 1e-6 { exit 1 }' || fail "not the published affine: $(cat map.txt)"
check rigid 187.16
check similarity 177.45
