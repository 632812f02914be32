# scripts/supervise: a launch that dies is followed by another one while work gets done, and only then.
. "$(dirname "$0")/lib.sh"
supervise=$tests/../scripts/supervise
export SUPERVISE_PAUSE_S=0.1
job=(align --fixed demo/fixed.ome.zarr --moving demo/moving.n5 --set deform.block_vox=24 --set apply.chunk_vox=32)
expect 0 '' "$COLLIMATE" phantom --size 64,96,112 -q demo
expect 0 '' "$COLLIMATE" "${job[@]}" -q --out want

# a launcher that loses its ranks again and again, once some tasks are in the journal
cat >unlucky <<END
#!/bin/bash
echo launched >>launches
if [ \$(wc -l <launches) -le 2 ]; then
    size() { stat -c %s got/journal 2>/dev/null || echo 0; }
    before=\$(size)
    "$COLLIMATE" "\$@" --threads 1 &
    until [ \$((\$(size) - before)) -gt 200 ]; do sleep 0.02; done
    kill -KILL \$!
    wait \$!
    exit 137
fi
exec "$COLLIMATE" "\$@"
END
chmod +x unlucky
expect 0 'launch 2 ended with exit code 137; again' timeout 100 "$supervise" got ./unlucky "${job[@]}" --out got
[ "$(wc -l <launches)" = 3 ] || fail "$(wc -l <launches) launches, not 3"
for result in affine.json metrics.json transform.ome.zarr aligned.ome.zarr; do
    same_tree "want/$result" "got/$result"
done
# done: the command has the word again, and a folder of another plan is still refused
expect 0 '' "$supervise" got "$COLLIMATE" "${job[@]}" --out got
expect 2 'another job' "$supervise" got "$COLLIMATE" "${job[@]}" --set deform.stiffness=3 --out got

# a launcher that does not notice that all it started has ended
cat >deaf <<END
#!/bin/bash
echo launched >>deaf.launches
[ \$(wc -l <deaf.launches) -eq 1 ] || exec "$COLLIMATE" "\$@"
sleep 0 &
exec sleep 1000
END
chmod +x deaf
expect 0 'launch 1 ended with exit code 143; again' timeout 100 "$supervise" deaf.out ./deaf "${job[@]}" --out deaf.out
same_tree want/transform.ome.zarr deaf.out/transform.ome.zarr

# nothing gets done: three launches, no more
cat >hopeless <<END
#!/bin/sh
echo launched >>hopeless.launches
exit 139
END
chmod +x hopeless
expect 5 'giving up' "$supervise" nowhere ./hopeless
[ "$(wc -l <hopeless.launches)" = 3 ] || fail "$(wc -l <hopeless.launches) launches, not 3"
# what another launch cannot mend ends it at once
expect 3 '' "$supervise" never "$COLLIMATE" align --fixed missing.n5 --moving demo/moving.n5 --out never
lacks stderr 'again'
expect 2 'usage' "$supervise" only-a-folder

# asked to stop: passed on, and the end
"$supervise" stopped "$COLLIMATE" "${job[@]}" --threads 1 --out stopped 2>stopped.err &
child=$!
for ((i = 0; i < 500; i++)); do [ -s stopped/journal ] && break; sleep 0.02; done
kill -TERM $child
code=0
wait $child || code=$?
[ $code = 5 ] || [ "$code$(cat stopped/done)" = 00 ] || fail "exit code $code, not 5, after SIGTERM"
expect 0 '' "$supervise" stopped "$COLLIMATE" "${job[@]}" --out stopped
same_tree want/transform.ome.zarr stopped/transform.ome.zarr
