# docs/security.md, tried out: nobody is listened to, files are as private as the umask says, data leads nowhere else.
. "$(dirname "$0")/lib.sh"
expect 0 '' "$COLLIMATE" phantom --size 64,96,112 -q demo
job=(align --fixed demo/fixed.ome.zarr --moving demo/moving.n5 --set deform.block_vox=32 --set apply.chunk_vox=32 -q)

# ---- no listening socket: of no process of the run, at any of many moments ----
inodes() { # PID: of its sockets
    find "/proc/$1/fd" -lname 'socket:*' -printf '%l\n' 2>/dev/null | tr -dc '0-9\n'
}
listening() { # inodes of the sockets that somebody listens at: TCP, and Unix ones that accept
    awk '$4 == "0A" { print $10 }' /proc/net/tcp /proc/net/tcp6 2>/dev/null
    awk '$4 == "00010000" { print $7 }' /proc/net/unix
}
listens() { # PID...: succeeds when one of them has such a socket
    local pid
    listening | sort >open_doors
    for pid in "$@"; do inodes "$pid"; done | sort | comm -12 - open_doors | grep -q .
}
# what the check itself can see
python3 -c 'import socket, time; s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(); time.sleep(60)' &
door=$!
for ((i = 0; i < 100; i++)); do listens $door && break; sleep 0.05; done
listens $door || fail "a listening socket is not seen"
kill $door
looks=0
while [ $looks -lt 20 ]; do
    rm -rf alone
    "$COLLIMATE" "${job[@]}" --local 2 --threads 1 --out alone 2>log &
    run=$!
    while kill -0 $run 2>/dev/null; do
        listens $run $(pgrep -P $run) && fail "the run listens"
        looks=$((looks + 1))
        sleep 0.02
    done
    wait $run || { cat log; fail "the run failed"; }
done

# ---- the umask, and it alone, says who may read and write what we make ----
for mask in 077 022 002; do
    (umask $mask && "$COLLIMATE" "${job[@]}" --out "private$mask") >log 2>&1 || { cat log; fail "umask $mask"; }
    wrong=$(find "private$mask" -perm "/$mask" | head -n 3)
    [ -z "$wrong" ] || fail "umask $mask, but others may: $wrong"
done
[ -n "$(find private002 -type d -perm -g+w)" ] || fail "the group was to have its share"

# ---- nothing is written but below --out ----
mkdir home tmp
elsewhere() { find . -path ./only -prune -o ! -name stdout ! -name stderr ! -path . -printf '%p %s %T@\n' | sort; }
was=$(elsewhere)
expect 0 '' env HOME="$PWD/home" TMPDIR="$PWD/tmp" "$COLLIMATE" "${job[@]}" --local 1 --out only # MPI has a folder of its own in TMPDIR
[ "$(elsewhere)" = "$was" ] || fail "written: $(elsewhere | comm -13 <(echo "$was") -)"

# ---- a link in the place of a file of ours is replaced or refused, never followed ----
echo precious >victim
cp victim before
mkdir treasure && cp victim treasure/kept
for folder in linked barred; do # begun, and ended for want of memory
    expect 2 'memory.task_mib' "$COLLIMATE" "${job[@]}" --out $folder --set memory.task_mib=12
    rm -f $folder/journal $folder/blocks.jsonl
done
ln -s ../victim linked/affine.json
ln -s ../victim linked/blocks.jsonl
ln -s ../../treasure linked/spill/treasure # spills are cleared away at the end
expect 0 '' "$COLLIMATE" "${job[@]}" --out linked
same victim before
same treasure/kept before
[ ! -L linked/affine.json ] && [ ! -L linked/blocks.jsonl ] || fail "a link is still there"
same_tree alone/transform.ome.zarr linked/transform.ome.zarr
ln -s ../victim barred/journal
expect 4 'barred/journal' "$COLLIMATE" "${job[@]}" --out barred
same victim before

# ---- paths in metadata stay below the file they stand in ----
for path in ../../victim /etc/hostname s0/../../../victim; do
    rm -rf led && cp -r demo/fixed.ome.zarr led
    sed -i "s|\"path\": *\"s0\"|\"path\": \"$path\"|" led/zarr.json
    grep -q "$path" led/zarr.json || fail "no path to change in $(cat led/zarr.json)"
    expect 3 '' "$COLLIMATE" convert led copy.zarr -q
    rm -rf astray && cp -r alone/transform.ome.zarr astray
    sed -i "s|\"path\": *\"coordinateTransformations/dfield\"|\"path\": \"$path\"|" astray/zarr.json
    grep -q "$path" astray/zarr.json || fail "no path to change in the scene"
    expect 3 '' "$COLLIMATE" apply astray demo/moving.n5 copy.zarr -q
done

# ---- what names in data say is text on the report's page ----
name='demo/<img src=x onerror=alert(1)>"&.n5'
cp -r demo/moving.n5 "$name"
expect 0 '' "$COLLIMATE" align --fixed demo/fixed.ome.zarr --moving "$name" --set deform.block_vox=32 -q --out shown
contains shown/report/index.html '&lt;img src=x onerror=alert'
lacks shown/report/index.html '<img src=x'
sed -i '1s|"stage":"[^"]*"|"stage":"<img src=x>"|' shown/blocks.jsonl
grep -q '<img' shown/blocks.jsonl || fail "no stage to change"
expect 3 'a block without stage or status' "$COLLIMATE" report shown
