#!/bin/sh
# The tree keeps its own rules: layers include only what their row allows, no relative includes, no forbidden calls, nothing
# unfinished. test_tree.sh SOURCE BUILD
set -u
src=$1/src build=$2
bad=0
fail() { echo "$*"; bad=1; }

try_include() { # LAYER HEADER: does it compile?
    printf '#include "%s"\n' "$2" | cc -std=gnu2x -D_GNU_SOURCE -fsyntax-only -I"$build/layers/$1" -x c - 2>/dev/null
}
for pair in base:store/store.h mail:sys/channel.h proto:mail/date.h sys:store/store.h store:post/queue.h post:roles/role.h; do
    try_include "${pair%%:*}" "${pair#*:}" && fail "src/${pair%%:*} can include ${pair#*:}"
done
try_include base base/str.h || fail "the check itself does not work: base cannot include base/str.h"

grep -rnE '#include "\.\./' "$src" && fail "relative includes go around the layers"
grep -rnwE '(strcpy|strcat|sprintf|gets|strtok|alloca|system|popen|execlp|execvp|atoi|rand|gmtime|localtime|tmpnam)\(' "$src" --include='*.c' --include='*.h' |
    grep -vE '^\S+\s*(\*|/\*|//)' && fail "calls that have no place here"
grep -rnE '\b(TODO|FIXME|XXX)\b' "$src" && fail "unfinished places"
exit $bad
