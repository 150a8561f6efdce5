#!/usr/bin/env bash
# Breaks the protocol on purpose, one way at a time, and shows that the simulation notices.
#
#   crates/open-channel-proto/tests/mutations.sh [PATTERN...]
#       those whose names have one of the patterns: store, '[0-2][0-9]-'
#
# Each file in mutations/ is a patch whose first line says what it breaks. It is applied to a copy
# of the workspace, never to this one. Exit status 1 when a mutation is not noticed or no longer
# applies.
set -euo pipefail
shopt -s nullglob

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../../.." && pwd)
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
export CARGO_TARGET_DIR=${MUTATIONS_TARGET_DIR:-$copy/target} RUST_BACKTRACE=0
unset SEED SEEDS

mkdir "$copy/tree"
(cd "$root" && git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -t "$copy/tree")
cd "$copy/tree"
crate=crates/open-channel-proto
pristine=$copy/pristine
cp -R "$crate/src" "$pristine"

simulate() {
    timeout 300 cargo test -q -p open-channel-proto --test simulation the_contract "$@"
}

if ! simulate > "$copy/log" 2>&1; then
    cat "$copy/log"
    echo "the unbroken protocol fails its own simulation" >&2
    exit 1
fi

killed=0 failed=0
report() { printf '%-9s %-10s %s\n' "$1" "$2" "$3"; }
chosen() {
    [ "$#" -gt 1 ] || return 0
    for pattern in "${@:2}"; do
        # shellcheck disable=SC2053 # it is a pattern
        [[ $1 != *$pattern* ]] || return 0
    done
    return 1
}

for patch in "$here"/mutations/*.patch; do
    name=$(basename "$patch" .patch)
    chosen "$name" "$@" || continue
    rm -rf "$crate/src"
    cp -R "$pristine" "$crate/src"
    if ! patch -s -p1 -d "$crate" < "$patch" > "$copy/log" 2>&1; then
        report STALE - "$name: the patch does not apply"
        failed=$((failed + 1))
        continue
    fi
    # cargo goes by time stamps, and two patches may be less than one tick apart
    find "$crate/src" -name '*.rs' -exec touch {} +
    if ! simulate --no-run > "$copy/log" 2>&1; then
        report STALE - "$name: does not compile"
        failed=$((failed + 1))
    elif simulate > "$copy/log" 2>&1; then
        report UNNOTICED - "$name: $(head -1 "$patch")"
        failed=$((failed + 1))
    else
        seed=$(sed -n 's/^seed \([0-9]*\): .*/\1/p' "$copy/log" | head -1)
        words=$(sed -n '/^seed [0-9]*: /{n;p;}' "$copy/log" | head -1 | cut -c1-90)
        report killed "seed ${seed:-?}" "$name: $(head -1 "$patch") -> ${words:-no words}"
        killed=$((killed + 1))
    fi
done
echo "$killed killed, $failed not"
[ "$failed" -eq 0 ] && [ "$killed" -gt 0 ]
