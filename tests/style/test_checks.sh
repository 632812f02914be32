#!/bin/bash
# The checks of scripts/check_* must catch what they are for: each fault planted in a small clean tree is
# found and named by file and line, and the clean tree passes.
set -u
scripts=$(cd "$(dirname "$0")/../../scripts" && pwd)
tree=$(mktemp -d "${TMPDIR:-/tmp}/collimate-checks-XXXXXX")
trap 'rm -rf "$tree"' EXIT
failures=0

fresh() { # a clean tree
    rm -rf "${tree:?}"/*
    mkdir -p "$tree"/{scripts,cmake,src/{base,store,image,cluster,app},include/collimate/{base,store,image},tests/unit/image}
    cp "$scripts"/check_* "$tree/scripts"
    echo 'clm_layer(image SOURCES blur.c) clm_layer(base SOURCES heap.c)' >"$tree/cmake/layers.cmake"
    echo 'clm_unit(image blur)' >"$tree/cmake/tests.cmake"
    echo 'int main(void) { return 0; }' >"$tree/tests/unit/image/test_blur.c"
    put include/collimate/image/blur.h '#ifndef B' '#define B' '#include <stdint.h>' 'int64_t clm_blur(int64_t n);' '#endif'
    put include/collimate/store/array.h 'typedef int clm_array;'
    put src/image/blur.c '#include "collimate/image/blur.h"' '/* free(p); a comment may say malloc() */' \
        'static const char *const say = "printf(x) and free(y)";' 'int64_t clm_blur(int64_t n) {' \
        '    return n + (say[0] != 0);' '}'
    put src/base/heap.c '#include <stdlib.h>' 'void clm_heap_free(void *p) {' '    free(p); /* allow: the wrapper */' '}'
}
put() { # FILE LINE...
    local file=$tree/$1
    shift
    printf '%s\n' "$@" >"$file"
}
passes() { # CHECK WHAT
    local said
    if ! said=$("$tree/scripts/$1" 2>&1); then
        printf 'FAILED: %s must accept %s but says:\n%s\n' "$1" "$2" "$said"
        failures=$((failures + 1))
    fi
    fresh
}
catches() { # CHECK REGEX
    local said
    if said=$("$tree/scripts/$1" 2>&1) || ! grep -qE "$2" <<<"$said"; then
        printf 'FAILED: %s should say %s but says:\n%s\n' "$1" "$2" "$said"
        failures=$((failures + 1))
    fi
    fresh
}
append() { # FILE LINE...
    local file=$tree/$1
    shift
    printf '%s\n' "$@" >>"$file"
}

fresh
for check in check_layers check_banned check_size check_paths; do passes $check 'a clean tree'; done

append src/image/blur.c '#include "collimate/store/array.h"'
catches check_layers '^src/image/blur.c:7: image must not include collimate/store/array.h'
append src/base/heap.c '#include "collimate/image/blur.h"'
catches check_layers '^src/base/heap.c:5: base must not include'
put src/cluster/sched.c '#include "collimate/store/array.h"'
catches check_layers '^src/cluster/sched.c:1: cluster must not include'
append src/image/blur.c '#include <mpi.h>'
catches check_layers '<mpi.h> belongs only in'
put src/cluster/comm_mpi.c '#include <mpi.h>'
passes check_layers 'mpi.h in its room'
append src/image/blur.c '  #  include "cjson/cJSON.h"'
catches check_layers 'cJSON.h> belongs only in'
append src/image/blur.c '#include "../base/heap.c"'
catches check_layers 'reaches into another folder'
put src/image/blur.c '#include <stdint.h>' '#include "collimate/image/blur.h"'
catches check_layers '^src/image/blur.c:1: its own header'

banned() { # LINE-OF-C
    append src/image/blur.c "$1"
    catches check_banned '^src/image/blur.c:7: '
}
banned 'void *p(void) { return malloc(3); }'
banned 'void f(void *p) { free(p); }'
banned 'void f(char *a, char *b) { strcpy(a, b); }'
banned 'void f(char *a) { sprintf(a, "x"); }'
banned 'int f(char *a) { return atoi (a); }'
banned 'void f(void) { printf("x"); }'
banned 'void f(void) { abort(); }'
banned 'int f(void) { return rand(); }'
banned 'long f(void) { return time(0); }'
banned 'void f(void) { alloca(3); }'
banned 'void f(void) { pthread_create(0, 0, 0, 0); }'
banned 'void f(void) { clm_heap_new(1, 1, 0); }'
banned 'void f(void) { clm_log(1, "x"); }'
banned 'void f(void) { goto out; }'
banned '#pragma omp parallel for'
banned 'void f(void) { free(0); } /* allow */'
append src/image/blur.c 'void f(struct s *s) { s->free(s->time(1), my_exit(2)); }'
passes check_banned 'members and longer names'
put src/app/main.c 'int main(void) { printf("x"); }'
passes check_banned 'printing in app'

append src/image/blur.c 'int f(void) {' $(yes '0;' | head -n 79) '}'
catches check_size '^src/image/blur.c:7: a function of 81 lines'
append src/image/blur.c 'int f(int a,' '      int b) {' $(yes '0;' | head -n 79) '}'
catches check_size '^src/image/blur.c:8: a function of 81 lines'
append src/image/blur.c 'static const int t[] = {' $(yes '0,' | head -n 99) '};'
passes check_size 'a long table'
append src/image/blur.c $(yes '//' | head -n 600)
catches check_size '^src/image/blur.c:606: 606 lines'
put include/collimate/image/blur.h 'size_t clm_blur(void);'
catches check_size '^include/collimate/image/blur.h:1: does not compile alone'
put src/image/forgotten.c 'int clm_x;'
catches check_size '^src/image/forgotten.c:1: built by nothing'
put src/store/blur.c 'int clm_y;'
catches check_size '^src/store/blur.c:1: src/image/blur.c has this name, too'
put tests/unit/image/test_forgotten.c 'int main(void) { return 0; }'
catches check_size '^tests/unit/image/test_forgotten.c:1: add it to clm_unit'

append src/image/blur.c "/* see $(printf '/%s/' work)shared */"
catches check_paths 'blur.c:7:'

[ $failures -eq 0 ] && echo "all planted faults found"
exit $((failures != 0))
