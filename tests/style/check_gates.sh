#!/usr/bin/env bash
# The gates notice what they are there for: each gets a small tree with one planted fault.
# usage: check_gates.sh
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

bad=0
fresh() {
    rm -rf "$work/tree"
    mkdir -p "$work"/tree/{engine/{include/prelu,src/{base,kernels,ops}},models/{include/prelu,src}}
    mkdir -p "$work"/tree/{server,client}/src "$work"/tree/tests
    cp "$here/../../.clang-format" "$work/tree"
    echo 'int prelu_two(void);' >"$work/tree/models/include/prelu/model.h"
    echo 'int prelu_one(void);' >"$work/tree/engine/include/prelu/status.h"
    printf '#include "prelu/status.h"\n\nint prelu_one(void) { return 1; }\n' \
        >"$work/tree/engine/src/base/one.c"
    echo '#include <jansson.h>' >"$work/tree/server/src/json.c"
}
plant() { # plant FILE TEXT-LINE...
    local file=$work/tree/$1
    shift
    fresh
    mkdir -p "$(dirname "$file")"
    printf '%s\n' "$@" >"$file"
}
expect() { # expect pass|fail WHAT COMMAND...
    local want=$1 what=$2 got=fail
    shift 2
    if "$@" >"$work/out" 2>&1; then got=pass; fi
    if [ "$got" != "$want" ]; then
        echo "$what: the gate says $got, not $want"
        cat "$work/out"
        bad=1
    fi
}
library() { # library MODULE C-TEXT: a static library of that module in the tree's build folder
    mkdir -p "$work/tree/build/$1"
    echo "$2" | cc -x c -c -o "$work/tree/build/$1/x.o" -
    ar rcs "$work/tree/build/$1/libx.a" "$work/tree/build/$1/x.o"
}

fresh
expect pass "a clean tree, layers" "$here/check_layers.sh" "$work/tree"
expect pass "a clean tree, size" "$here/check_size.sh" "$work/tree"
expect pass "a clean tree, format" "$here/check_format.sh" "$work/tree"
plant engine/src/base/two.c '#include "ops/op.h"'
expect fail "base includes ops" "$here/check_layers.sh" "$work/tree"
plant client/src/two.c '#include "prelu/status.h"'
expect fail "client includes the engine" "$here/check_layers.sh" "$work/tree"
plant server/src/two.c '#include <jansson.h>'
expect fail "a foreign header in two files" "$here/check_layers.sh" "$work/tree"
plant models/src/two.c '#include <curl/curl.h>'
expect fail "a foreign header in the wrong module" "$here/check_layers.sh" "$work/tree"
plant models/src/two.c 'int  x;'
expect fail "a double space" "$here/check_format.sh" "$work/tree"
plant models/src/two.c 'int mdl_long(void)' '{' "$(yes '    f();' | head -n 81)" '}'
expect fail "a function of 81 lines" "$here/check_size.sh" "$work/tree"
plant models/src/two.h "$(yes '/**/' | head -n 301)"
expect fail "a header of 301 lines" "$here/check_size.sh" "$work/tree"

fresh
library engine 'int prelu_one(void) { return 1; }'
library server 'int srv_one; static int two; int srv_two(void) { return two; }'
expect pass "good symbols" "$here/check_symbols.sh" "$work/tree" "$work/tree/build"
library server 'int stray;'
expect fail "a stray global" "$here/check_symbols.sh" "$work/tree" "$work/tree/build"
library server 'int prelu_hidden(void) { return 1; }'
expect fail "a public name in no header" "$here/check_symbols.sh" "$work/tree" "$work/tree/build"
exit $bad
