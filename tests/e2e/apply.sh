# A transform on images and labels of every kind, and on points: the same bytes as align's own, for any ranks, after
# kills; ids keep every bit; points land where apply puts a bright voxel.
. "$(dirname "$0")/lib.sh"
expect 0 '' "$COLLIMATE" phantom --size 64,96,112 -q demo
expect 0 '' "$COLLIMATE" align --fixed demo/fixed.ome.zarr --moving demo/moving.n5 --set apply.chunk_vox=32 --out out -q
voxels() { "$COLLIMATE" dump "$1" >"$2" || fail "dump $1"; }
# the image only: records and names of outputs differ
image_same() { diff -r -x .collimate -x zarr.json "$1" "$2" && cmp "$1/s0/zarr.json" "$2/s0/zarr.json" || fail "$1 and $2 differ"; }

# align's own stage and this command are one
expect 0 '' "$COLLIMATE" apply out demo/moving.n5 whole.zarr --chunk 32 -q
image_same out/aligned.ome.zarr whole.zarr
expect 0 '' "$COLLIMATE" apply out/transform.ome.zarr demo/moving.n5 scene.zarr --chunk 32 -q
image_same whole.zarr scene.zarr
# any ranks
for n in 1 2 3; do
    expect 0 '' ranks $n "$COLLIMATE" apply out demo/moving.n5 "ranks$n.zarr" --chunk 32 -q
    image_same whole.zarr "ranks$n.zarr"
done
# sharded: the same voxels, two ranks the same bytes
for n in 1 2; do
    expect 0 '' ranks $n "$COLLIMATE" apply out demo/moving.n5 "shards$n.zarr" --chunk 32 --shard 64 -q
done
image_same shards1.zarr shards2.zarr
for level in s0 s1; do
    "$COLLIMATE" dump whole.zarr $level >whole.raw
    "$COLLIMATE" dump shards1.zarr $level | cmp - whole.raw || fail "sharded $level"
done
expect 2 'no multiple' "$COLLIMATE" apply out demo/moving.n5 no.zarr --chunk 48 --shard 64 -q
expect 0 '' "$COLLIMATE" apply out demo/moving.n5 local.zarr --chunk 32 --local 3 --threads 2 -q
image_same whole.zarr local.zarr
# again: nothing to do; other options: refused
expect 0 '' "$COLLIMATE" apply out demo/moving.n5 whole.zarr --chunk 32 -q
expect 2 'another command' "$COLLIMATE" apply out demo/moving.n5 whole.zarr --chunk 32 --outside 7 -q
chunk=$(find demo/moving.n5 -path '*/0/*' -type f | head -n 1)
touch "$chunk" # mended: still the same input
expect 0 '' "$COLLIMATE" apply out demo/moving.n5 whole.zarr --chunk 32 -q
mkdir letters && echo dear >letters/friend
expect 2 'not empty' "$COLLIMATE" apply out demo/moving.n5 letters -q
for name in other.n5 other.n5/s0 other.nii.gz; do
    expect 2 'collimate convert' "$COLLIMATE" apply out demo/moving.n5 $name -q
done

# killed again and again, then finished
for pause in 0.02 0.05 0.08 0.11 0.14 0.17; do
    setsid "$tests/support/mpirun" -n 2 "$COLLIMATE" apply out demo/moving.n5 killed.zarr --chunk 8 -q >/dev/null 2>&1 &
    leader=$!
    sleep "$pause"
    kill -KILL -- "-$leader" 2>/dev/null
    wait "$leader" 2>/dev/null
done
expect 0 '' "$COLLIMATE" apply out demo/moving.n5 killed.zarr --chunk 8 -q
expect 0 '' "$COLLIMATE" apply out demo/moving.n5 calm.zarr --chunk 8 -q
image_same calm.zarr killed.zarr
[ -z "$(find killed.zarr -name '.*.tmp.*')" ] || fail 'something half-written stays'

# grids: another resolution of the same box, a region at full resolution, another image's
expect 0 '' "$COLLIMATE" apply out demo/moving.n5 coarse.zarr --spacing 4,4,4 -q
expect 0 '' "$COLLIMATE" info coarse.zarr
contains stdout 'spacing_um 4, 4, 4'
expect 0 '' "$COLLIMATE" apply out/affine.txt demo/moving.n5 like.zarr --like demo/fixed.ome.zarr:0 --interpolation cubic -q
expect 0 '' "$COLLIMATE" info like.zarr
contains stdout 'shape +64 x 96 x 112'
expect 2 'levels 0 to' "$COLLIMATE" apply out/affine.txt demo/moving.n5 no.zarr --like demo/fixed.ome.zarr:9 -q
expect 2 'give --like' "$COLLIMATE" apply out/affine.txt demo/moving.n5 no.zarr -q
# a chain with an identity in it changes (nearly) nothing
printf '1 0 0 0\n0 1 0 0\n0 0 1 0\n' >identity.txt
expect 0 '' "$COLLIMATE" apply out identity.txt demo/moving.n5 chain.zarr --chunk 32 -q --like demo/fixed.ome.zarr
voxels chain.zarr/s0 chain.raw
voxels whole.zarr/s0 whole.raw
[ "$(cmp -l chain.raw whole.raw | wc -l)" -lt 100 ] || fail 'the identity in a chain changes the image'

# labels: raw N5 of big-endian ids above 2^53 and one bright voxel; identity and real transforms make no new ids
ids() { # NAME TYPE BYTES PRINTF...: 40 x 40 x 40, z slabs of 10 with four ids
    mkdir -p "$1/a/0/0"
    echo "{\"dimensions\":[40,40,40],\"blockSize\":[40,40,40],\"dataType\":\"$2\",\"compression\":{\"type\":\"raw\"},\"pixelResolution\":[1,1,1]}" >"$1/a/attributes.json"
    local file=$1/a/0/0/0 n=$3
    shift 3
    printf '\0\0\0\3\0\0\0\50\0\0\0\50\0\0\0\50' >"$file"
    for id in "$@"; do
        printf "$id" >one
        for k in 1 2 3 4 5 6 7 8 9 10 11 12 13 14; do cat one one >two && mv two one; done # 16384 of them
        head -c $((16000 * n)) one >>"$file"
    done
}
ids big.n5 uint64 8 '\0\40\0\0\0\0\0\1' '\0\40\0\0\0\0\0\3' '\377\377\377\377\377\377\377\377' '\0\0\0\0\1\0\0\1'
ids small.n5 uint32 4 '\1\0\0\1' '\1\0\0\3' '\377\377\377\377' '\0\0\0\5'
distinct() { od -A n -v -t "u$2" -w"$2" "$1" | tr -d ' ' | sort -u | tr '\n' ' '; }
for kind in big:8 small:4; do
    name=${kind%:*} bytes=${kind#*:}
    expect 0 '' "$COLLIMATE" apply identity.txt "$name.n5/a" "$name.zarr" --like "$name.n5/a" --labels -q
    voxels "$name.n5/a" in.raw
    voxels "$name.zarr/s0" out.raw
    same in.raw out.raw
    printf '0.98 0.1 0 1.3\n-0.1 0.97 0.05 2\n0 -.05 1.01 .7\n' >turn.txt
    expect 0 '' "$COLLIMATE" apply turn.txt "$name.n5/a" "$name.turned.zarr" --spacing 0.3,0.3,0.3 --origin 4,4,4 \
        --shape 100,100,100 --labels -q
    for level in s0 s1; do
        voxels "$name.turned.zarr/$level" out.raw
        [ "$(distinct out.raw "$bytes")" = "$(distinct in.raw "$bytes")" ] ||
            fail "$name ids at $level: $(distinct out.raw "$bytes") instead of $(distinct in.raw "$bytes")"
    done
done
expect 2 'wants integers' "$COLLIMATE" apply out out/transform.ome.zarr/coordinateTransformations/coverage no.zarr --labels \
    --input-spacing 1,1,1 -q

# points against apply: one bright voxel in the moving image; where it appears in the fixed grid, forward leads back
printf 'id,x,y,z\nA,60,50,30\nB,30,70,25\n' >fixed.csv
expect 0 '' "$COLLIMATE" points out fixed.csv moving.csv -q
contains moving.csv '^id,x,y,z,status$'
sed -i 's/,status$/,was/' moving.csv
expect 0 '' "$COLLIMATE" points out moving.csv back.csv --direction inverse
contains stderr '2 points.* 0 not converged'
awk -F, 'NR > 1 { split(NR == 2 ? "60 50 30" : "30 70 25", w, " "); for (i = 0; i < 3; i++) { d = $(i + 2) - w[i + 1]; if (d * d > 1e-5) bad = 1 } } END { exit bad }' back.csv ||
    fail "the inverse does not return: $(cat back.csv)"
# many points over ranks and threads: the same bytes, and the line of a fault
awk 'BEGIN { print "id,z,y,x"; for (i = 0; i < 60000; i++) printf "%d,%.3f,%.3f,%.3f\n", i, i % 641 / 10, i % 953 / 10, i % 1113 / 10 }' >many.csv
expect 0 '' "$COLLIMATE" points out many.csv one.csv -q
for how in '--local 3' '--threads 2'; do
    expect 0 '60000 points' "$COLLIMATE" points out many.csv other.csv $how --part-mib 1
    same one.csv other.csv
done
expect 0 '60000 points' ranks 2 "$COLLIMATE" points out many.csv other.csv --part-mib 1
same one.csv other.csv
# killed on the way, it goes on with the same transform alone
awk 'NR == 1 { print; next } { line[NR] = $0 } END { for (k = 0; k < 20; k++) for (i = 2; i <= NR; i++) print line[i] }' many.csv >more.csv
setsid "$COLLIMATE" points out more.csv slow.csv -q --local 2 --threads 1 --part-mib 1 >/dev/null 2>&1 &
until [ -s .slow.csv.points/journal ]; do kill -0 $! || break; done
kill -KILL -- -$!
wait $! 2>/dev/null
[ -e .slow.csv.points ] || fail 'too quick to be killed'
chunk=$(find out/transform.ome.zarr -path '*/c/*' -type f | head -n 1)
cp -p "$chunk" kept && touch "$chunk"
expect 2 'of another plan' "$COLLIMATE" points out more.csv slow.csv -q --local 2 --part-mib 1
touch -r kept "$chunk"
expect 0 '' "$COLLIMATE" points out more.csv slow.csv -q --local 3 --part-mib 1
"$COLLIMATE" points out more.csv calm.csv -q
same calm.csv slow.csv
# the same as a list of elastix, millimetres x y z, and of voxels of the fixed grid
awk -F, 'BEGIN { print "point\n60000" } NR > 1 { printf "%.7f %.7f %.7f\n", $4 / 1e3, $3 / 1e3, $2 / 1e3 }' many.csv >many.txt
expect 0 '' "$COLLIMATE" points out many.txt one.txt -q
contains one.txt '^60000$'
expect 0 '60000 points' ranks 2 "$COLLIMATE" points out many.txt other.txt --part-mib 1
same one.txt other.txt
expect 0 '' "$COLLIMATE" points out many.csv other.txt --list -q
same one.txt other.txt
expect 0 '' "$COLLIMATE" points out many.txt other.csv -q
cut -d, -f2-4 one.csv | tail -n +2 >one.cut && cut -d, -f1-3 other.csv | tail -n +2 >other.cut && same one.cut other.cut
printf 'index\n1\n0 0 0\n' >index.txt
origin=$("$COLLIMATE" info demo/fixed.ome.zarr | awk -F 'um ' '/origin_um/ {print $2; exit}' | tr -d ' ')
printf 'z,y,x\n%s\n' "$origin" >first.csv
expect 0 '' "$COLLIMATE" points out index.txt index.csv -q && expect 0 '' "$COLLIMATE" points out first.csv second.csv -q
same index.csv second.csv
expect 2 '--like IMAGE' "$COLLIMATE" points out/affine.txt index.txt none.csv
expect 0 '' "$COLLIMATE" points out/affine.txt index.txt other.csv -q --like demo/fixed.ome.zarr
sed 's/^50000,/50000,x/' many.csv >bad.csv
expect 3 'bad.csv:50002: column z' ranks 2 "$COLLIMATE" points out bad.csv none.csv --part-mib 1
expect 2 'cannot be shared' "$COLLIMATE" points out - none.csv --local 2 </dev/null
[ -z "$(find . -maxdepth 1 -name '.*.points')" ] || fail 'parts of a table stay'
expect 3 'fixed.csv: |no column|is not a number' "$COLLIMATE" points out turn.txt none.csv
[ ! -e none.csv ] || fail 'an output after an error'
expect 0 '' "$COLLIMATE" points --help
contains stdout '^Examples:'
expect 0 '' "$COLLIMATE" apply --help
contains stdout '^Examples:'
expect 2 'T IN OUT' "$COLLIMATE" apply out demo/moving.n5
expect 3 'nowhere' "$COLLIMATE" apply nowhere demo/moving.n5 no.zarr
expect 2 'named twice' "$COLLIMATE" points out fixed.csv x.csv --columns z,z,x
expect 2 'forward or inverse' "$COLLIMATE" points out fixed.csv x.csv --direction backward
