# Each fault gives one clear line that names the thing and the fix, the documented exit code, and nothing that
# looks whole.
. "$(dirname "$0")/lib.sh"
expect 0 '' "$COLLIMATE" phantom --size 48,64,72 -q demo
f=demo/fixed.ome.zarr m=demo/moving.n5
cp -r $m good.n5
dataset=$(dirname "$(find good.n5 -mindepth 2 -name attributes.json | head -n 1)")
dataset=${dataset#good.n5}
dataset=${dataset#/}

# align with something wrong: wrong CODE REGEX ARGUMENTS...
wrong() {
    local code=$1 regex=$2
    shift 2
    rm -rf out
    expect "$code" "$regex" timeout 60 "$COLLIMATE" align -q --out out "$@"
    [ "$(wc -l <stderr)" = 1 ] || { cat stderr; fail "more than one line for: $*"; }
    # an image is one by its "multiscales", a transform by its "scene": both are written last
    [ ! -e out/metrics.json ] && ! grep -qs multiscales out/aligned.ome.zarr/zarr.json &&
        ! grep -qs scene out/transform.ome.zarr/zarr.json || fail "something that looks whole after: $*"
}
# a copy of the good moving image with one thing changed in its dataset's attributes
changed() { # NAME SED-SCRIPT
    rm -rf "$1.n5"
    cp -r good.n5 "$1.n5"
    sed -i "$2" "$1.n5/$dataset/attributes.json"
}
first_chunk() { find "$1/$dataset" -type f ! -name attributes.json | sort | head -n 1; }

wrong 3 'nowhere' --fixed $f --moving nowhere.n5
wrong 2 'moving' --fixed $f
mkdir empty
wrong 3 'empty' --fixed $f --moving empty
echo hello >plain.txt
wrong 3 'plain.txt' --fixed $f --moving plain.txt

changed torn ''
chunk=$(first_chunk torn.n5)
truncate -s 40 "$chunk"
wrong 3 "torn.n5.*${chunk##*torn.n5/}" --fixed $f --moving torn.n5
changed header ''
printf '\0\9' | dd of="$(first_chunk header.n5)" conv=notrunc status=none
wrong 3 'header.n5' --fixed $f --moving header.n5
changed codec 's/"type" *: *"[a-z0-9]*"/"type":"snapple"/'
wrong 3 'snapple' --fixed $f --moving codec.n5
changed spacing 's/pixelResolution/pixelSomething/; s/"resolution"/"nothing"/; s/"transform"/"nothing2"/'
sed -i 's/pixelResolution/pixelSomething/g; s/"resolution"/"nothing"/g; s/"scales"/"nothing3"/g; s/"multiscales"/"nothing4"/g' \
    $(find spacing.n5 -name attributes.json)
wrong 2 'moving-spacing' --fixed $f --moving "spacing.n5/$dataset"

mkdir -p flat.n5/a zero.n5/a constant.n5/a nan.n5/a/0/0
say() { echo "{\"dimensions\":$2,\"blockSize\":$3,\"dataType\":\"$4\",\"compression\":{\"type\":\"raw\"},\"pixelResolution\":[1,1,1]}" >"$1/attributes.json"; }
say flat.n5/a '[64,64]' '[64,64]' uint8
wrong 3 'flat.n5.*(2|dimension|three)' --fixed $f --moving flat.n5/a
say zero.n5/a '[64,0,64]' '[64,64,64]' uint8
wrong 3 'zero.n5' --fixed $f --moving zero.n5/a
say constant.n5/a '[64,64,64]' '[64,64,64]' uint8
wrong 3 '(constant|too little signal|blob)' --fixed $f --moving constant.n5/a
say nan.n5/a '[64,64,64]' '[64,64,64]' float32
{ printf '\0\0\0\3\0\0\0\100\0\0\0\100\0\0\0\100'; head -c 1048576 /dev/zero | sed 's/\x00\x00\x00\x00/\x7f\xc0\x00\x00/g'; } >nan.n5/a/0/0/0
wrong 3 '(NaN|finite|too little signal|blob)' --fixed $f --moving nan.n5/a

# a moving image that lies elsewhere: found by blobs when there is no prior, refused when there is one
wrong 3 '(overlap|outside)' --fixed $f --moving $m --set global.method=given \
    --set 'global.affine=[1,0,0,5000,0,1,0,0,0,0,1,0]'

wrong 2 'deform.radius_vox' --fixed $f --moving $m --set deform.radius=3
wrong 2 'expansion' --fixed $f --moving $m --preset expanson
wrong 2 '1 .. 64' --fixed $f --moving $m --set deform.radius_vox=65
wrong 2 'unknown option --fast' --fixed $f --moving $m --fast
echo '{"deform": {"radius_vox": 4,}}' >job.json
wrong 2 'job.json:1' job.json --fixed $f --moving $m
expect 2 'align' "$COLLIMATE" algin

# another plan's folder, a folder that is none, a place where none can be
small=(--set deform.factors=[2] --set apply.enabled=false)
expect 0 '' "$COLLIMATE" align --fixed $f --moving $m --out mine -q "${small[@]}"
expect 2 'another job' "$COLLIMATE" align --fixed $f --moving $m --out mine -q --set seed=7 "${small[@]}"
mkdir letters && echo dear >letters/friend
expect 2 'not a run folder' "$COLLIMATE" align --fixed $f --moving $m --out letters
expect 4 'plain.txt' "$COLLIMATE" align --fixed $f --moving $m --out plain.txt
if mkdir disk && mount -t tmpfs -o size=300k tmpfs disk 2>/dev/null; then
    expect 4 '(No space|space left)' "$COLLIMATE" align --fixed $f --moving $m --out disk/out -q
    [ ! -e disk/out/metrics.json ] || fail 'a full disk left something that looks whole'
    mount -o remount,size=200m disk
    expect 0 '' "$COLLIMATE" align --fixed $f --moving $m --out disk/out -q # and then it goes on
    mount -o remount,ro disk
    expect 4 'Read-only' "$COLLIMATE" align --fixed $f --moving $m --out disk/other -q
    umount disk
else
    echo 'SKIPPED part: full and read-only disk (mount is not permitted here)'
fi

# a limit on the size of files is as a full disk
limited() { (ulimit -f 20 && "$@"); }
expect 4 'File too large' limited "$COLLIMATE" align --fixed $f --moving $m --out large -q --local 1 "${small[@]}"
expect 0 '' "$COLLIMATE" align --fixed $f --moving $m --out large -q "${small[@]}"

# what is printed may be the result: lost, it is no success
full() { "$@" >/dev/full; }
if [ -c /dev/full ]; then
    for words in "info $f" "plan --fixed $f --moving $m" "status mine" "dump $f/s0" "validate $f" --version; do
        # shellcheck disable=SC2086 # several words
        expect 4 'collimate .*: (standard output cannot be written|.*No space)' full "$COLLIMATE" $words
    done
fi
