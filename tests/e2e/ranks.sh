# The same bytes for 1, 2, 3, 4 ranks, without mpirun, for any number of threads, and from ranks in one process.
. "$(dirname "$0")/lib.sh"
expect 0 '' "$COLLIMATE" phantom --size 64,96,112 -q demo

align() { # FOLDER LAUNCHER...
    local out=$1
    shift
    expect 0 '' "$@" align --fixed demo/fixed.ome.zarr --moving demo/moving.n5 --set deform.block_vox=48 \
        --set local.block_vox=48 --set apply.chunk_vox=32 --out "$out" -q
    # seconds, memory and who did it may differ; nothing else may
    rm -rf "$out/journal" "$out/job.json"
    sed -i 's/"seconds":.*//' "$out/blocks.jsonl"
    sed -i 's|\(<tr><td>[^<]*</td><td>[0-9]*</td><td>[0-9]*</td>\)<td>.*|\1|' "$out/report/index.html"
}
align alone "$COLLIMATE" 
for n in 1 2 3 4; do
    align "ranks$n" ranks $n "$COLLIMATE"
    same_tree alone "ranks$n"
done
cat > threads <<EOF
#!/bin/sh
command=\$1; shift
exec "$COLLIMATE" "\$command" --threads 3 "\$@"
EOF
cat > local <<EOF
#!/bin/sh
command=\$1; shift
exec "$COLLIMATE" "\$command" --local 3 --threads 2 "\$@"
EOF
chmod +x threads local
align threads3 ./threads
same_tree alone threads3
align local3 ./local
same_tree alone local3
