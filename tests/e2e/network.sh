# What a host of a network file system remembers wrongly: names that another host has made since. Ranks as such hosts,
# by a preloaded library; what is really there must be found, for a chunk that is not is zeros.
. "$(dirname "$0")/lib.sh"
"${CC:-cc}" -std=c11 -shared -fPIC -D_GNU_SOURCE -o cached.so "$tests/support/cached_lookups.c" || skip "no compiler"
hosts() { # N FOLDER COMMAND...
    local n=$1 folder=$2
    shift 2
    ranks "$n" env LD_PRELOAD="$PWD/cached.so" CACHED_BELOW="$folder" CACHED_LIES="$PWD/lies" "$COLLIMATE" "$@" --threads 1 -q
}
expect 0 '' "$COLLIMATE" phantom --size 64,96,112 --chunk 48 -q demo
expect 0 '' "$COLLIMATE" align --fixed demo/fixed.ome.zarr --moving demo/moving.n5 --set deform.block_vox=32 -q --out want

# chunks that are empty, and therefore no files, beside some that are not
wide=(apply want demo/moving.n5 --shape 64,64,288 --spacing .5,.5,.5 --origin 2,2,-84 --chunk 16 -q)
expect 0 '' "$COLLIMATE" "${wide[@]}" wide.zarr
for round in 1 2 3 4; do
    expect 0 '' hosts 4 wide$round.zarr "${wide[@]}" wide$round.zarr
    for level in s0 s1 s2; do same_tree wide.zarr/$level wide$round.zarr/$level; done
done
[ -s lies ] || fail "nothing that is there was denied"
