#!/bin/bash
# One volume through every format that is written and back: not a voxel changes, nor where it stands; the same
# bytes from any number of ranks and after a kill.
. "$(dirname "$0")/lib.sh"

expect 0 '' "$COLLIMATE" phantom demo
in=demo/fixed.ome.zarr
sum() { "$COLLIMATE" dump "$@" | cksum; }
told() { "$COLLIMATE" info "$1" | sed -n '/^levels 0/,/^levels 1/p' | grep -E 'shape|spacing_um|origin_um'; }
want=$(sum $in/s0)
place=$(told $in)

chain=$in
for out in a.n5 b.nrrd c.ome.zarr d.nii.gz e.zarr f.nii; do
    options=()
    [ $out = c.ome.zarr ] && options=(--shard 64 --chunk 32 --codec zstd:3)
    [ $out = e.zarr ] && options=(--format ome-zarr-0.4 --codec gzip --chunk 50,40,30)
    expect 0 '' "$COLLIMATE" convert -q "${options[@]}" $chain $out
    expect 0 '' "$COLLIMATE" validate --chunks $out
    finest=$out
    [ -d $out ] && finest=$out/s0
    [ "$(sum $finest)" = "$want" ] || fail "$out holds other voxels"
    [ -e ".$out.convert" ] && fail "$out: the journal is left behind"
    chain=$out
done
expect 0 '' "$COLLIMATE" info c.ome.zarr
contains stdout '  shard .*64 x 64 x 64'
contains stdout '  chunk .*32 x 32 x 32'
# float32 headers of NIfTI hold spacing to seven digits
[ "$(told c.ome.zarr)" = "$(told b.nrrd)" ] || fail "place: $(told c.ome.zarr) $(told b.nrrd)"
[ "$(told a.n5 | grep spacing)" = "$(echo "$place" | grep spacing)" ] || fail "place: $(told a.n5), not $place"

# a region keeps its place in the world, and is what dd would cut out
expect 0 '' "$COLLIMATE" convert -q --no-pyramid --region 3:4,0:5,2:9 $in part.nrrd
expect 0 '' "$COLLIMATE" info part.nrrd
contains stdout 'shape +1 x 5 x 7'

# what n5-viewer (N5SingleScaleMetadataParser: base resolution and factors of each level), Neuroglancer (datasource/n5:
# axes, resolution, units, factors of the group, s0 s1 ... below it) and n5-java look for, to the letter
attributes() { tr -d ' \n' <"$1/attributes.json"; }
level() { echo "{\"pixelResolution\":{\"unit\":\"um\",\"dimensions\":[0.8,0.8,1]},\"downsamplingFactors\":[$1],\"dimensions\":[$2],\
\"blockSize\":[$3],\"dataType\":\"uint16\",\"compression\":{\"type\":\"gzip\",\"level\":4,\"useZlib\":false}}"; }
[ "$(attributes a.n5)" = '{"n5":"2.0.0","axes":["x","y","z"],"units":["um","um","um"],"resolution":[0.8,0.8,1],'\
'"downsamplingFactors":[[1,1,1],[2,2,2],[4,4,4]]}' ] || fail "a.n5: $(attributes a.n5)"
[ "$(attributes a.n5/s0)" = "$(level 1,1,1 224,192,128 128,128,128)" ] || fail "a.n5/s0: $(attributes a.n5/s0)"
[ "$(attributes a.n5/s2)" = "$(level 4,4,4 56,48,32 128,128,128)" ] || fail "a.n5/s2: $(attributes a.n5/s2)"
# a place of its own is told as COSEM does, which n5-universe looks for first
expect 0 '' "$COLLIMATE" convert -q --no-pyramid --origin 3,2,1 --codec zstd $in moved.n5
contains moved.n5/s0/attributes.json '"translate": \[3, 2, 1\]'
contains moved.n5/s0/attributes.json '"type": "zstd"'

# bigstream's spelling, and only when asked for
expect 0 '' "$COLLIMATE" convert -q --bigstream $in big.n5
contains big.n5/s0/attributes.json '"pixelResolution": \['
lacks a.n5/s0/attributes.json '"pixelResolution": \['

# ranks do not matter
expect 0 '' "$COLLIMATE" convert -q --chunk 24 --labels $in one.ome.zarr
expect 0 '' ranks 3 "$COLLIMATE" convert -q --chunk 24 --labels $in three.ome.zarr
sed -i 's/three.ome.zarr/one.ome.zarr/' three.ome.zarr/zarr.json
same_tree one.ome.zarr three.ome.zarr

# nor does a kill, however early or late it comes
"$COLLIMATE" convert -q --chunk 24 --labels --local 2 $in cut.ome.zarr &
sleep 0.15
kill -9 $! 2>/dev/null
wait $! 2>/dev/null
if [ -d .cut.ome.zarr.convert ] || [ ! -e cut.ome.zarr ]; then
    expect 0 '' "$COLLIMATE" convert -q --chunk 24 --labels $in cut.ome.zarr
fi
sed -i 's/cut.ome.zarr/one.ome.zarr/' cut.ome.zarr/zarr.json
same_tree one.ome.zarr cut.ome.zarr

# refusals say what to do
expect 2 'is there already' "$COLLIMATE" convert $in one.ome.zarr
expect 2 'no multiple' "$COLLIMATE" convert --shard 64 --chunk 48 $in x.ome.zarr
expect 2 'outside the shape' "$COLLIMATE" convert --region 0:1,0:1,0:99999 $in x.ome.zarr
expect 2 'not understood' "$COLLIMATE" convert --region 0:1 $in x.ome.zarr
expect 3 '' "$COLLIMATE" convert nothing.n5 x.ome.zarr
expect 2 'no channel 3' "$COLLIMATE" convert --channel 3 $in x.ome.zarr
expect 2 'time point 1' "$COLLIMATE" convert --time 1 $in x.ome.zarr
expect 2 'spacing 0' "$COLLIMATE" convert --spacing 0,1,1 $in x.ome.zarr
expect 2 '2 GiB' "$COLLIMATE" convert --chunk 100000 $in x.ome.zarr
expect 2 'inside the input' "$COLLIMATE" convert $in/s0 $in/s0/x.n5
expect 2 'inside the input' "$COLLIMATE" convert $in/s0/ $in/s0/x.n5
expect 0 '' "$COLLIMATE" convert -q --no-pyramid --region 0:2,0:2,0:2 $in old.n5.copies/x.ome.zarr
[ -e old.n5.copies/x.ome.zarr/zarr.json ] || fail "a folder's name decides the format"
expect 2 'no such files are written' "$COLLIMATE" convert $in x.tif
[ -e x.ome.zarr ] || [ -e x.tif ] && fail "a refused conversion left something"
# half floats and complex numbers: told and dumped, nothing else
meta() { echo '{"zarr_format":3,"node_type":"array","shape":[2,2,2],"data_type":"'$1'","chunk_grid":{"name":"regular",
"configuration":{"chunk_shape":[2,2,2]}},"chunk_key_encoding":{"name":"default"},"fill_value":'$2',"dimension_names":["z","y","x"],
"codecs":[{"name":"bytes","configuration":{"endian":"little"}}]}'; }
for kind in float16 complex64; do
    fill=1.5
    [ $kind = complex64 ] && fill='[1.5,2]'
    mkdir -p $kind.zarr/s0
    cp $in/zarr.json $kind.zarr/
    meta $kind "$fill" >$kind.zarr/s0/zarr.json
    expect 0 '' "$COLLIMATE" dump $kind.zarr/s0
    expect 0 '' "$COLLIMATE" info $kind.zarr/s0
    contains stdout "dtype +$kind"
    expect 0 '' "$COLLIMATE" info $kind.zarr
    contains stdout "note .*type $kind: info, validate and dump only"
    expect 0 '' "$COLLIMATE" validate --json $kind.zarr
    expect 3 "type $kind: info, validate and dump only" "$COLLIMATE" convert $kind.zarr x.n5
    expect 3 "fixed image: .*type $kind" "$COLLIMATE" align --fixed $kind.zarr --moving $in --out x
done
[ "$("$COLLIMATE" dump float16.zarr/s0 | od -An -tx1 | head -n 1)" = ' 00 3e 00 3e 00 3e 00 3e 00 3e 00 3e 00 3e 00 3e' ] || fail "halves"
# a volume that was finished when its launch ended, with or without a word of that in the journal
for end in nrrd nii.gz; do
    convert=("$COLLIMATE" convert -q --region 0:9,0:20,0:20 $in "last.$end")
    expect 0 '' "${convert[@]}"
    mv "last.$end" "whole.$end"
    mkdir -p ".last.$end.convert/done/in/the/way" # the last of all
    expect 4 'done: rename' "${convert[@]}"
    same "whole.$end" "last.$end"
    rm -r ".last.$end.convert/done"
    truncate -s -50 ".last.$end.convert/journal"
    expect 0 '' "${convert[@]}"
    same "whole.$end" "last.$end"
    [ -z "$(find . -maxdepth 1 -name '.last*')" ] || fail "left behind: $(find . -maxdepth 1 -name '.last*')"
done
# a torn chunk ends it; no zeros are written in its place
chunk=$(find one.ome.zarr/s0/c -type f | head -n 1)
cp "$chunk" whole.chunk
truncate -s 9 "$chunk"
expect 3 'one.ome.zarr/s0' "$COLLIMATE" convert one.ome.zarr x.ome.zarr
# mended it goes on; another input in its place is noticed, behind an XML as well
cp whole.chunk "$chunk"
expect 0 '' "$COLLIMATE" convert -q one.ome.zarr x.ome.zarr
[ "$(sum x.ome.zarr/s0)" = "$want" ] || fail "x.ome.zarr holds other voxels"
mkdir -p view.n5/setup0
mv a.n5 view.n5/setup0/timepoint0
cat >view.xml <<EOF
<SpimData><BasePath type="relative">.</BasePath><SequenceDescription><ImageLoader format="bdv.n5"><n5>view.n5</n5></ImageLoader>
<ViewSetups><ViewSetup><id>0</id><voxelSize><unit>um</unit><size>1 1 1</size></voxelSize></ViewSetup></ViewSetups>
</SequenceDescription></SpimData>
EOF
chunk=$(find view.n5/setup0/timepoint0/s0 -path '*/0/*' -type f | head -n 1)
truncate -s 9 "$chunk"
expect 3 "$chunk" "$COLLIMATE" convert view.xml z.nrrd
rm -r view.n5/setup0/timepoint0
expect 0 '' "$COLLIMATE" convert -q big.n5 view.n5/setup0/timepoint0
expect 2 'z.nrrd: was begun of other files than view.xml' "$COLLIMATE" convert view.xml z.nrrd
sed -i 's/<size>1 1 1/<size>1 1 2/' view.xml
expect 2 '' "$COLLIMATE" convert view.xml z.nrrd
rm -rf z.nrrd .z.nrrd.convert
expect 0 '' "$COLLIMATE" convert -q view.xml z.nrrd
expect 0 '' "$COLLIMATE" align --fixed view.xml --moving $in --out run -q --set measure.enabled=false --set deform.enabled=false
rm -r view.n5/setup0/timepoint0
expect 0 '' "$COLLIMATE" convert -q big.n5 view.n5/setup0/timepoint0
expect 2 "run: .*files were made anew" "$COLLIMATE" align --fixed view.xml --moving $in --out run -q --set measure.enabled=false --set deform.enabled=false
