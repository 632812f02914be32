# Disturbed ten times at random moments, the same command goes on and ends with the same bytes.
# scripts/torture --kills 200 is the long version.
. "$(dirname "$0")/lib.sh"
"$tests/../scripts/torture" --kills 10 --seed $((RANDOM + 1)) || fail "see above"
