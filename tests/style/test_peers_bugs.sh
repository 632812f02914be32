#!/bin/bash
# docs/peers_bugs.md: all of B1 to B25, each with tests that exist.
set -u
cd "$(dirname "$0")/../.." || exit 1
failures=0
for n in $(seq 25); do
    row=$(grep -E "^\| B$n \|" docs/peers_bugs.md)
    tests=$(grep -oE '`(test_[a-z_0-9]+|e2e): [^`]+`' <<<"$row" | tr -d '`:')
    [ -n "$tests" ] || { echo "B$n: no test in docs/peers_bugs.md"; failures=1; }
    while read -r module name; do
        case $module in
        '') ;;
        e2e) grep -qE "^clm_e2e\($name[ )]" cmake/tests.cmake ;;
        *) grep -qE "cmocka_unit_test[a-z_]*\($name[,)]" tests/unit/*/"$module".c ;;
        esac || { echo "B$n: no test $module $name"; failures=1; }
    done <<<"$tests"
done
exit $failures
