# Planted failures in whole jobs: some of the first, second, third ... write, read, allocation, ... refused.
# scripts/faults tries every one.
. "$(dirname "$0")/lib.sh"
"$tests/../scripts/faults" --some 1 || fail "see above"
