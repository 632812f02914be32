# Several hosts for real: three sets of namespaces joined by a bridge, Open MPI over TCP, no SLURM. The same bytes as
# on one; with a cable pulled for a moment, for good, or at rank 0, and with a host that loses power. Never a hang: a
# silent rank is lost after silence_s, a launch that must end does so within 2 x silence_s + 30 s, the launcher that
# Open MPI then leaves behind is ended by scripts/supervise.
. "$(dirname "$0")/lib.sh"
cluster=$tests/slurm/cluster supervise=$tests/../scripts/supervise
export CLUSTER_NET=10.78.0 SUPERVISE_PAUSE_S=0.2 SUPERVISE_QUIET_S=60
code=0
"$cluster" hosts "$here/hosts" 3 >up.log 2>&1 || code=$?
case $code in
0) ;;
2 | 3) skip "$(tail -n 1 up.log)" ;;
*) cat up.log; fail "the hosts did not start" ;;
esac
cleanup='"$cluster" down "$here/hosts"'

silence_s=4
job=(align --fixed demo/fixed.ome.zarr --moving demo/moving.n5 --set deform.block_vox=24 --set apply.chunk_vox=32
    --set "silence_s=$silence_s" --threads 1 -v)
expect 0 '' "$COLLIMATE" phantom --size 96,112,128 -q demo
expect 0 '' "$COLLIMATE" "${job[@]}" --out want

begin() { # OUT HOSTS: the run, supervised, in the background; sets child
    "$cluster" run "$here/hosts" timeout 240 "$supervise" "$1" mpirun --mca plm_rsh_agent "$here/hosts/rsh" --host "$2" \
        -n "$(tr , '\n' <<<"$2" | wc -l)" "$COLLIMATE" "${job[@]}" --out "$1" >>"$1.log" 2>&1 </dev/null &
    child=$!
}
until_at_work() { # OUT: some tasks are in the journal
    local i
    for ((i = 0; i < 1200; i++)); do
        [ "$(stat -c %s "$1/journal" 2>/dev/null || echo 0)" -le 3000 ] || return 0
        sleep 0.05
    done
    tail -n 20 "$1.log"
    fail "$1 does not get to work"
}
ended() { # OUT: waits; sets code
    code=0
    wait $child || code=$?
    # 124: timeout had to end it
    [ $code = 0 ] || [ $code = 5 ] || { tail -n 20 "$1.log"; fail "$1: exit code $code"; }
    echo "$1: exit code $code after $SECONDS s"
}
complete() { # OUT
    local result
    [ "$(cat "$1/done")" = 0 ] || { tail -n 20 "$1.log"; fail "$1 is not done"; }
    [ ! -e "$1/stopped" ] || fail "$1 is done and stopped"
    for result in affine.json metrics.json transform.ome.zarr aligned.ome.zarr; do same_tree "want/$result" "$1/$result"; done
}
go_on() { # OUT HOSTS
    begin "$1" "$2"
    ended "$1"
    complete "$1"
}

begin three n1,n2,n3
ended three
complete three
contains three.log 'on 3 ranks'

# the cable of a worker, out for a moment: nobody is lost
begin moment n1,n2,n3
until_at_work moment
"$cluster" cut "$here/hosts" n3
sleep 1
"$cluster" mend "$here/hosts" n3
ended moment
complete moment
lacks moment.log 'was not heard of'

# for good: the others do its tasks, or (what it ended may not be durable) the run stops and goes on once it is mended
begin cut n1,n2,n3
until_at_work cut
"$cluster" cut "$here/hosts" n3
ended cut
contains cut.log 'rank 2 was not heard of'
"$cluster" mend "$here/hosts" n3
[ $code = 0 ] || go_on cut n1,n2,n3
complete cut

# rank 0 cut off: it finishes alone, or stops
begin alone n1,n2,n3
until_at_work alone
"$cluster" cut "$here/hosts" n1
ended alone
"$cluster" mend "$here/hosts" n1
# the ranks that were left without their master end by themselves
gone() { [ -z "$(pgrep -f -- '--out alone')" ]; }
for ((i = 0; i < 12 * silence_s + 20; i++)); do gone && break; sleep 1; done
gone || fail "ranks live on without a master"
[ $code = 0 ] || go_on alone n1,n2,n3
complete alone

# a host loses power: on without it
begin power n1,n2,n3
until_at_work power
"$cluster" crash "$here/hosts" n2
ended power
[ $code = 0 ] || go_on power n1,n3
complete power
