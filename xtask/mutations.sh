#!/usr/bin/env bash
# Breaks a crate without I/O on purpose, one way at a time, and shows that its simulation notices.
# Where the crate has tests of its faces, these may notice instead.
#
#   xtask/mutations.sh proto|group               all of them, which takes long
#   xtask/mutations.sh proto|group PATTERN...    those with one of the patterns in their names
#
# Each file in the crate's tests/mutations/ is a patch whose first line says what it breaks. It is
# applied to a copy of the workspace, never to this one. Exit status 1 when a mutation is not
# noticed or no longer applies.
set -euo pipefail
shopt -s nullglob

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
package=open-channel-${1:-}
crate=crates/$package
if [ ! -d "$root/$crate/tests/mutations" ]; then
    echo "usage: $0 proto|group [PATTERN...]" >&2
    exit 2
fi
shift
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
export CARGO_TARGET_DIR=${MUTATIONS_TARGET_DIR:-$copy/target} RUST_BACKTRACE=0
unset SEED SEEDS

mkdir "$copy/tree"
(cd "$root" && git ls-files -z --cached --others --exclude-standard |
    xargs -0 cp --parents -t "$copy/tree")
cd "$copy/tree"
pristine=$copy/pristine
cp -R "$crate/src" "$pristine"

simulate() {
    timeout 300 cargo test -q -p "$package" --test simulation _in_every_small_ "$@"
}

if ! simulate > "$copy/log" 2>&1; then
    cat "$copy/log"
    echo "the unbroken crate fails its own simulation" >&2
    exit 1
fi

killed=0 not_killed=0
report() { printf '%-9s %-10s %s\n' "$1" "$2" "$3"; }
chosen() {
    [ "$#" -gt 1 ] || return 0
    for pattern in "${@:2}"; do
        # shellcheck disable=SC2053 # it is a pattern
        [[ $1 != *$pattern* ]] || return 0
    done
    return 1
}

for patch in "$root/$crate"/tests/mutations/*.patch; do
    name=$(basename "$patch" .patch)
    chosen "$name" "$@" || continue
    rm -rf "$crate/src"
    cp -R "$pristine" "$crate/src"
    if ! patch -s -p1 -d "$crate" < "$patch" > "$copy/log" 2>&1; then
        report STALE - "$name: the patch does not apply"
        not_killed=$((not_killed + 1))
        continue
    fi
    # cargo goes by time stamps, and two patches may be less than one tick apart
    find "$crate/src" -name '*.rs' -exec touch {} +
    if ! simulate --no-run > "$copy/log" 2>&1; then
        report STALE - "$name: does not compile"
        not_killed=$((not_killed + 1))
        continue
    fi
    result=0
    simulate > "$copy/log" 2>&1 || result=$?
    # 124: out of time, which says nothing
    if [ "$result" -ne 0 ] && [ "$result" -ne 124 ]; then
        seed=$(sed -n 's/^seed \([0-9]*\): .*/\1/p' "$copy/log" | head -1)
        words=$(sed -n '/^seed [0-9]*: /{n;p;}' "$copy/log" | head -1 | cut -c1-90)
        report killed "seed ${seed:-?}" "$name: $(head -1 "$patch") -> ${words:-no words}"
        killed=$((killed + 1))
    elif [ -d "$crate/tests/faces" ] &&
        ! timeout 300 cargo test -q -p "$package" --test faces > "$copy/log" 2>&1; then
        test=$(sed -n 's/^---- \(.*\) stdout ----$/\1/p' "$copy/log" | head -1)
        report killed faces "$name: $(head -1 "$patch") -> ${test:-no test}"
        killed=$((killed + 1))
    else
        report UNNOTICED - "$name: $(head -1 "$patch")"
        not_killed=$((not_killed + 1))
    fi
done
echo "$killed killed, $not_killed not"
[ "$not_killed" -eq 0 ] && [ "$killed" -gt 0 ]
