# The real pair of two imaging rounds, start to finish, against the published affine and the peers' scores.
. "$(dirname "$0")/lib.sh"
pair=$(data expansion) || exit

expect 0 'results in' ranks 2 "$COLLIMATE" align --fixed "$pair/fix.n5/lowres" --moving "$pair/mov.n5/lowres" \
    --preset expansion --out out
cat stderr

# the score of a stage: score STAGE FIGURE
score() { awk -v stage="\"$1\":" -v key="\"$2\":" '$1 == stage { on = 1 } on && $1 == key { gsub(",", "", $2); print $2; exit }' out/metrics.json; }
at_least() { awk -v x="$2" -v y="$3" 'BEGIN { exit !(x >= y) }' || fail "$1 is $2, wanted at least $3"; }

at_least 'NCC after the global affine' "$(score global ncc)" 0.83
at_least 'NCC after local affines' "$(score local ncc)" "$(score global ncc)"
at_least 'local NCC after local affines' "$(score local local_ncc)" "$(score global local_ncc)"
at_least 'NCC after deformation' "$(score final ncc)" 0.88
at_least 'local NCC after deformation' "$(score final local_ncc)" 0.86
at_least 'smallest Jacobian' "$(score final min_jacobian)" 0.3 # deform.min_jacobian

# no block of 128 voxels is less alike under the local affines than under the global one
sed -nE '/"stage":"measure.2"/s/.*"ncc_global":([-0-9.e]+).*"ncc_local":([-0-9.e]+).*/\1 \2/p' out/blocks.jsonl |
    awk '{ n++; if ($2 < $1) { print "NCC " $1 " to " $2; bad++ } } END { exit n != 8 || bad > 0 }' ||
    fail 'a block scores lower under the local affines, or there are not 8'

# Corners of the fixed volume under ours and under the published affine (x y z there), micrometres.
awk '
NR <= 3 { for (j = 1; j <= 4; j++) a[NR, j] = $j }
END {
    split("0.991070543 0.0340205967 -0.00563125159 -81.2590407 -0.0386715664 1.02023436 -0.00630453307 -13.3468687 " \
          "0.0119321249 -0.0221371673 0.967441910 -0.242373194", p, " ")
    for (c = 0; c < 8; c++) {
        x[1] = (c % 2) * 148 * 1.68; x[2] = (int(c / 2) % 2) * 240 * 1.84; x[3] = int(c / 4) * 455 * 1.84
        d = 0
        for (i = 1; i <= 3; i++) {
            ours = a[i, 1] * x[1] + a[i, 2] * x[2] + a[i, 3] * x[3] + a[i, 4]
            r = (3 - i) * 4
            theirs = p[r + 1] * x[3] + p[r + 2] * x[2] + p[r + 3] * x[1] + p[r + 4]
            d += (ours - theirs) ^ 2
        }
        if (sqrt(d) > worst) worst = sqrt(d)
    }
    printf "farthest corner from the published affine: %.2f um\n", worst
    exit !(worst <= 12)
}' out/affine.txt || fail 'the affine is more than 12 um from the published one'

# the finished run is left alone, and the same command says so
before=$(cksum out/affine.json)
expect 0 '' "$COLLIMATE" align --fixed "$pair/fix.n5/lowres" --moving "$pair/mov.n5/lowres" --preset expansion --out out
[ "$before" = "$(cksum out/affine.json)" ] || fail 'a finished run was changed'

# The global affine alone, from nothing, on one core: seconds are told, memory is held.
alone=(align --fixed "$pair/fix.n5/lowres" --moving "$pair/mov.n5/lowres" --threads 1 --out affine)
for stage in local deform measure apply report; do alone+=(--set $stage.enabled=false); done
TIMEFORMAT='the global affine alone: %U s of user, %S s of system, %R s of wall clock'
time expect 0 'results in' "$COLLIMATE" "${alone[@]}"
grep 'peak memory' stderr
awk '/peak memory/ { n = $(NF - 1); unit = $NF } END { exit !(unit == "MiB" && n <= 512) }' stderr ||
    fail 'more than 512 MiB, or not told'
