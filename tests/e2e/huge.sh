# A plan of 10^15 voxels reads metadata only: no time, no memory, no chunk.
. "$(dirname "$0")/lib.sh"
side=100000
array() { # FOLDER EDGE
    mkdir -p "$1"
    cat >"$1/zarr.json" <<END
{"zarr_format": 3, "node_type": "array", "shape": [$2, $2, $2], "data_type": "uint16", "fill_value": 0,
 "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [128, 128, 128]}},
 "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
 "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
 "dimension_names": ["z", "y", "x"], "attributes": {}}
END
}
levels=
for ((k = 0; k < 10; k++)); do
    array "huge.ome.zarr/s$k" $(((side + (1 << k) - 1) >> k))
    levels+="${levels:+, }{\"path\": \"s$k\", \"coordinateTransformations\":
        [{\"type\": \"scale\", \"scale\": [$((1 << k)), $((1 << k)), $((1 << k))]}]}"
done
axis() { echo "{\"name\": \"$1\", \"type\": \"space\", \"unit\": \"micrometer\"}"; }
cat >huge.ome.zarr/zarr.json <<END
{"zarr_format": 3, "node_type": "group", "attributes": {"ome": {"version": "0.5", "multiscales":
 [{"name": "huge", "axes": [$(axis z), $(axis y), $(axis x)], "datasets": [$levels]}]}}}
END
expect 0 '' "$COLLIMATE" validate huge.ome.zarr

cp -r huge.ome.zarr before
plan() { (ulimit -v 2000000 && exec timeout 60 "$COLLIMATE" plan "$@"); }
expect 0 '' plan --fixed huge.ome.zarr --moving huge.ome.zarr
contains stdout '100000 x 100000 x 100000 voxels'
contains stdout 'deform.3 +435519512 +758 x 758 x 758'
contains stdout 'images 3.6 PiB raw'
# one task over all blocks of local, so fewer, larger ones take less memory
contains stdout 'WARNING: a task of lattice needs .* use larger blocks of local .local.block_vox.'
expect 0 '' plan --fixed huge.ome.zarr --moving huge.ome.zarr --json
contains stdout '"tasks":[[:space:]]*435519512'
# twice what a block meets, and never more than 80 MiB: 132 voxels, 20 more on each side, and 14 for the moving one, are
# 3 x 3 x 3 chunks of 4 MiB in either image; of 512 KiB 3 x 3 x 3 are met by 40
contains stdout '"cache_bytes":[[:space:]]*83886080'
cp -r huge.ome.zarr small.ome.zarr
sed -i 's/\[128, 128, 128\]/[64, 64, 64]/' small.ome.zarr/s*/zarr.json
expect 0 '' plan --fixed small.ome.zarr --moving small.ome.zarr --json --set deform.block_vox=40
contains stdout '"cache_bytes":[[:space:]]*56623104'
same_tree before huge.ome.zarr
# the array alone, without coarser levels: they are planned, too
expect 0 '' plan --fixed huge.ome.zarr/s0 --moving huge.ome.zarr/s0 --fixed-spacing 1,1,1 --moving-spacing 1,1,1
contains stdout 'coarse +[0-9]+ '
