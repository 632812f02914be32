# What may befall a run folder besides the run: a second launch, a move, a removal, an odd name.
. "$(dirname "$0")/lib.sh"
job=(align --fixed demo/fixed.ome.zarr --moving demo/moving.n5 --set deform.block_vox=32 --set apply.chunk_vox=32 -q)
results=(affine.json metrics.json transform.ome.zarr aligned.ome.zarr)
results_same() { # FOLDER FOLDER
    for result in "${results[@]}"; do same_tree "$1/$result" "$2/$result"; done
}
expect 0 '' "$COLLIMATE" phantom --size 64,96,112 --chunk 48 -q demo
expect 0 '' "$COLLIMATE" "${job[@]}" --out want

rank=
cleanup='[ -z "$rank" ] || kill -KILL $rank 2>/dev/null'
stop() { # until the process does stand still: it may be within a call
    kill -STOP $rank
    until grep -q '^State:.[TZ]' /proc/$rank/status; do sleep 0.01; done
}
begin() { # FOLDER COMMAND...: in the background, stopped as soon as a block has failed there; sets rank
    local folder=$1
    shift
    "$@" --threads 1 --set isolate=false --out "$folder" 2>log &
    rank=$!
    until [ -n "$(find "$folder/spill/failed" -type f 2>/dev/null)" ]; do
        kill -0 $rank 2>/dev/null || { cat log; fail "no block has failed"; }
        sleep 0.01
    done
    stop
}
ended() { # CODES REGEX
    local code=0
    kill -CONT $rank
    wait $rank || code=$?
    [[ $code = [$1] ]] && grep -qE -- "$2" log || { cat log; fail "exit code $code, not one of $1"; }
}
cp -r demo torn
truncate -s 1000 torn/fixed.ome.zarr/s0/c/0/0/0 # some blocks fail
affine=[$(sed -n 1,3p want/affine.txt | tr -s ' \n' ',' | sed 's/,$//')]
torn=("${job[@]/#demo/torn}" --set global.method=given --set "global.affine=$affine")
expect 1 '' "$COLLIMATE" "${torn[@]}" --out holes

# ---- a second launch is refused, and takes nothing away from the first ----
begin got "$COLLIMATE" "${torn[@]}"
find got | sort >before
expect 2 'another run is at work in got' "$COLLIMATE" "${torn[@]}" --out got
find got | sort >after
same before after
expect 2 'another run is at work in got' ranks 2 "$COLLIMATE" "${torn[@]}" --set deform.stiffness=3 --out got
find got | sort >after
same before after
ended 1 ''
results_same holes got

# ---- two launches of different jobs into one new folder at the same moment: one of them has it, whole ----
small=("${job[@]}" --set deform.enabled=false --set report.enabled=false --threads 1)
one=("$COLLIMATE" "${small[@]}" --set apply.chunk_vox=24) two=("$COLLIMATE" "${small[@]}")
expect 0 '' "${one[@]}" --out one
expect 0 '' "${two[@]}" --out two
for round in 1 2 3 4; do
    rm -rf both
    "${one[@]}" --out both 2>log.one &
    first=$!
    "${two[@]}" --out both 2>log.two &
    second=$! a=0 b=0
    wait $first || a=$?
    wait $second || b=$?
    case $a$b in
    02) same_tree one/aligned.ome.zarr both/aligned.ome.zarr && loser=log.two ;;
    20) same_tree two/aligned.ome.zarr both/aligned.ome.zarr && loser=log.one ;;
    *) cat log.one log.two; fail "exit codes $a and $b, not 0 and 2" ;;
    esac
    grep -qE 'another run is at work in both|both: holds the run of another job' $loser || { cat $loser; fail "no clear word"; }
    [ "$(wc -l <$loser)" = 1 ] || { cat $loser; fail "more than a line"; }
done
for round in 1 2; do # the same of a conversion
    rm -rf both.zarr
    "$COLLIMATE" convert demo/moving.n5 both.zarr --chunk 16 -q 2>log.one &
    first=$!
    "$COLLIMATE" convert demo/fixed.ome.zarr both.zarr --chunk 24 -q 2>log.two &
    second=$! a=0 b=0
    wait $first || a=$?
    wait $second || b=$?
    [[ $a$b = 02 || $a$b = 20 ]] || { cat log.one log.two; fail "exit codes $a and $b, not 0 and 2"; }
    [ $a = 0 ] && made=16 || made=24
    [ -e both.$made.zarr ] ||
        expect 0 '' "$COLLIMATE" convert demo/$([ $made = 16 ] && echo moving.n5 || echo fixed.ome.zarr) both.$made.zarr --chunk $made -q
    same_tree both.$made.zarr/s0 both.zarr/s0
done

# ---- the same of a job whose folder goes at its end: the refused one takes nothing away ----
awk 'BEGIN { print "z,y,x"; for (i = 0; i < 1000000; i++) print i % 60 "," i % 90 "," i % 110 }' >points.csv
points=("$COLLIMATE" points want points.csv moved.csv --direction inverse --local 2 --part-mib 1 -q)
expect 0 '' "${points[@]}"
mv moved.csv moved.want
"${points[@]}" 2>log &
rank=$!
until [ -n "$(find .moved.csv.points/part -type f 2>/dev/null)" ]; do
    kill -0 $rank 2>/dev/null || { cat log; fail "points was never at work"; }
    sleep 0.01
done
stop
expect 2 'another run is at work' "${points[@]}"
[ -d .moved.csv.points/part ] || fail "the refused launch has removed the other's folder"
kill -CONT $rank
wait $rank || { cat log; fail "the one that was at work has failed"; }
same moved.want moved.csv
[ ! -e .moved.csv.points ] || fail "the folder is left behind"

# ---- what cannot be cleared away at the end costs space, nothing else ----
begin kept "$COLLIMATE" "${torn[@]}"
mkdir kept/spill/busy
if mount -t tmpfs tmpfs kept/spill/busy 2>/dev/null; then
    ended 1 'kept/spill'
    umount kept/spill/busy
    [ "$(cat kept/done)" = 1 ] || fail "not done for want of a clean folder"
else
    ended 1 ''
fi
results_same holes kept

# ---- what is on another disk would not be there after a power cut, whatever the journal says ----
mkdir -p split/spill disk
if mount -t tmpfs tmpfs disk 2>/dev/null; then
    mkdir disk/aligned && ln -s ../disk/aligned split/aligned.ome.zarr
    expect 2 'split/aligned.ome.zarr: is on another file system' "$COLLIMATE" "${job[@]}" --out split
    umount disk
fi

# ---- moved while the run is at work: the run ends, and goes on where the folder is now ----
begin here "$COLLIMATE" "${torn[@]}"
mv here there
ended 34 'here: was removed, moved or replaced|here.*: [Nn]o such file'
rm -rf here
expect 1 '' "$COLLIMATE" "${torn[@]}" --out there
results_same holes there

# ---- removed while the run is at work, and begun anew with other settings ----
begin gone "$COLLIMATE" "${torn[@]}"
rm -rf gone
expect 0 '' "$COLLIMATE" "${job[@]}" --out gone
ended 34 'gone: was removed, moved or replaced|gone/.*: [Nn]o such file'
expect 0 '' "$COLLIMATE" "${job[@]}" --out gone
results_same want gone

# ---- a name with whatever a file name may hold ----
odd=$'a b\n"c\\\'*$(id)%s;\t\xff'
mkdir "$odd"
cp -r demo/fixed.ome.zarr demo/moving.n5 "$odd"
expect 0 '' "$COLLIMATE" align --fixed "$odd/fixed.ome.zarr" --moving "$odd/moving.n5" "${job[@]:5}" --out "$odd/out"
results_same want "$odd/out"
expect 0 '' "$COLLIMATE" status "$odd/out"
expect 0 '' "$COLLIMATE" report "$odd/out"
expect 0 '' "$tests/../scripts/supervise" "$odd/out" "$COLLIMATE" align "$odd/out/job.json" -q
expect 0 '' "$COLLIMATE" apply "$odd/out" "$odd/moving.n5" "$odd/red.zarr" --chunk 32 -q
same_tree "$odd/red.zarr/s0" want/aligned.ome.zarr/s0
