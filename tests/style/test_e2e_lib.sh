#!/bin/bash
# tests/e2e/lib.sh must notice what it is for: stories that should pass, fail and skip, each in a shell of its own.
set -u
lib=$(cd "$(dirname "$0")/../e2e" && pwd)/lib.sh
failures=0

story() { # EXPECTED-CODE REGEX-IN-OUTPUT STORY
    local said code=0 tmp
    tmp=$(mktemp -d)
    said=$(TMPDIR=$tmp COLLIMATE=/bin/true CLM_DATA=/nonexistent bash -c ". '$lib'
$3" story.sh 2>&1) || code=$?
    if [ $code -ne "$1" ] || ! grep -qE -- "$2" <<<"$said"; then
        printf 'FAILED: code %s, want %s and /%s/ from:\n%s\nwhich says:\n%s\n' $code "$1" "$2" "$3" "$said"
        failures=$((failures + 1))
    fi
    if [ -n "$(ls -A "$tmp")" ]; then
        echo "FAILED: something is left behind by: $3"
        failures=$((failures + 1))
    fi
    rm -rf "$tmp"
}

story 0 '' 'expect 0 "" true; expect 3 "" sh -c "exit 3"; expect 0 "^b.d$" sh -c "echo bad >&2"; expect 0 "" $COLLIMATE'
story 1 'exit code 1, not 0' 'expect 0 "" false'
story 1 'exit code 0, not 1' 'expect 1 "" true'
story 1 'does not match /good/' 'expect 0 good sh -c "echo bad >&2"'
story 1 'the words' 'expect 0 "" sh -c "echo the words >&2; exit 4"'
story 1 'exit code 127' 'expect 0 "" no-such-command-here'
story 0 '' 'echo ab >f; contains f "^a"; lacks f x; cp f g; same f g'
story 1 'f does not match' 'echo ab >f; contains f x'
story 1 'f matches' 'echo ab >f; lacks f a'
story 1 'f and g differ' 'echo a >f; echo b >g; same f g'
story 0 '' 'mkdir -p a/x b/x; echo 1 >a/x/f; echo 1 >b/x/f; same_tree a b'
story 1 'a and b differ' 'mkdir -p a b; echo 1 >a/f; same_tree a b'
story 77 'SKIPPED: because' 'skip because'
story 77 'no data set some' 'x=$(data some) || exit'
story 0 '' 'expect 0 "" ranks 3 true'
story 1 'exit code 3' 'expect 0 "" ranks 2 sh -c "exit 3"'

[ $failures -eq 0 ] && echo "all stories end as they should"
exit $((failures != 0))
