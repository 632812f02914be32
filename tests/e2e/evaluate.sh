#!/bin/bash
# A run judged: figures that agree with the run's own, the same for any threads; the page about it.
. "$(dirname "$0")/lib.sh"

expect 0 '' "$COLLIMATE" phantom -q --size 48,96,112 demo
expect 0 '' "$COLLIMATE" align -q --fixed demo/fixed.ome.zarr --moving demo/moving.n5 --out out
expect 0 '' "$COLLIMATE" evaluate out --json --threads 1
mv stdout one.json
expect 0 '' "$COLLIMATE" evaluate out --json --threads 3
same one.json stdout
expect 0 '' ranks 2 "$COLLIMATE" evaluate out --json -q
same one.json stdout
expect 0 '' "$COLLIMATE" evaluate out --json --local 3
same one.json stdout
[ -z "$(find . -maxdepth 1 -name '.collimate*')" ] || fail 'parts of an evaluation stay'
# the run measured the same volumes: its last NCC stands in the evaluation, digit by digit
ncc=$(awk '/"final"/ { on = 1 } on && $1 == "\"ncc\":" { gsub(",", "", $2); print $2; exit }' out/metrics.json)
contains one.json "\"ncc\": $ncc"

printf 'fixed_z,fixed_y,fixed_x,moving_z,moving_y,moving_x\n10,20,30,11,21,31\n' >marks.csv
expect 0 '' "$COLLIMATE" evaluate out --landmarks marks.csv --maps maps --inverse solved
contains stdout '^landmarks, um'
contains stdout '^  Jacobian'
contains stdout '^  there and back'
expect 0 '' ranks 2 "$COLLIMATE" evaluate out --landmarks marks.csv --maps again --inverse solved
same_tree maps again
for map in local_ncc_before local_ncc_after jacobian displacement; do
    expect 0 '' "$COLLIMATE" info maps/$map.ome.zarr
done
# any transform, chains, blocks of other programs, labels of wide ids
expect 0 '' "$COLLIMATE" evaluate --fixed demo/fixed.ome.zarr --moving demo/moving.n5 --transform out --json
contains stdout "\"ncc\": $ncc"
expect 0 '' "$COLLIMATE" evaluate --fixed demo/fixed.ome.zarr --moving demo/moving.n5 --transform out/affine.txt \
    --transform inverse:out/affine.json --transform out/transform.ome.zarr --block 40 --fixed-labels demo/fixed.ome.zarr \
    --moving-labels demo/moving.n5 --surface-reach 0
contains stdout '^  seam: '
contains stdout '^labels '
expect 0 '' "$COLLIMATE" evaluate --fixed demo/fixed.ome.zarr --aligned out/aligned.ome.zarr
contains stdout '^ *after'
expect 2 'not on the fixed' "$COLLIMATE" evaluate --fixed demo/fixed.ome.zarr --aligned demo/moving.n5/s0

# one of several channels: the moving image as the second of two
shape=$("$COLLIMATE" info demo/moving.n5 | awk '/shape/ {print $2 "," $4 "," $6; exit}')
spacing=$("$COLLIMATE" info demo/moving.n5 | awk -F 'um ' '/spacing_um/ {print $2; exit}')
mkdir -p two.zarr/s0 && echo '{"zarr_format":2}' >two.zarr/.zgroup
echo "{\"multiscales\":[{\"version\":\"0.4\",\"axes\":[{\"name\":\"c\",\"type\":\"channel\"},{\"name\":\"z\",\"type\":\"space\",\"unit\":\"micrometer\"},{\"name\":\"y\",\"type\":\"space\",\"unit\":\"micrometer\"},{\"name\":\"x\",\"type\":\"space\",\"unit\":\"micrometer\"}],\"datasets\":[{\"path\":\"s0\",\"coordinateTransformations\":[{\"type\":\"scale\",\"scale\":[1,$spacing]}]}]}]}" >two.zarr/.zattrs
echo "{\"zarr_format\":2,\"shape\":[2,$shape],\"chunks\":[1,$shape],\"dtype\":\"<u2\",\"compressor\":null,\"fill_value\":0,\"order\":\"C\",\"filters\":null,\"dimension_separator\":\"/\"}" >two.zarr/s0/.zarray
mkdir -p two.zarr/s0/1/0/0 && "$COLLIMATE" dump demo/moving.n5/s0 >two.zarr/s0/1/0/0/0
expect 2 '2 channels; choose one' "$COLLIMATE" evaluate --fixed demo/fixed.ome.zarr --moving two.zarr --transform out
expect 0 '' "$COLLIMATE" evaluate --fixed demo/fixed.ome.zarr --moving two.zarr --moving-channel 1 --transform out --json
contains stdout "\"ncc\": $ncc"
expect 2 'no channel 1' "$COLLIMATE" evaluate --fixed demo/fixed.ome.zarr --moving two.zarr --moving-channel 1 --fixed-channel 1
expect 2 'nothing to evaluate' "$COLLIMATE" evaluate
# a task that does not fit ends it, and says what helps
expect 2 'block memory budget reached: .*--task-mib' "$COLLIMATE" evaluate out --task-mib 8
expect 0 '' "$COLLIMATE" evaluate out --task-mib 256 --json
contains stdout "\"ncc\": $ncc"
expect 3 'no_such' "$COLLIMATE" evaluate no_such

rm -r out/report
expect 0 '' "$COLLIMATE" report out
for picture in slice_z slice_y slice_x jacobian local_ncc; do
    [ -s out/report/$picture.png ] || fail "no $picture.png"
    contains out/report/index.html "src=\"$picture.png\""
done
contains out/report/index.html 'displacement beside the affine .um.</figcaption>'
contains out/report/index.html '</html>'
lacks out/report/index.html displacement.png
# an evaluation beside it is shown, not measured again
cp -r maps out/evaluation
expect 0 '' "$COLLIMATE" report out
for picture in local_ncc_before local_ncc jacobian displacement; do
    [ -s out/report/$picture.png ] || fail "no $picture.png"
    contains out/report/index.html "src=\"$picture.png\""
done
contains out/report/index.html 'there and back'
expect 2 'one run folder' "$COLLIMATE" report
