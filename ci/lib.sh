# Shared by the scripts in ci/; sourced, not run.

set -eu
ROOT=$(cd "$(dirname "$0")/.." && pwd)
cd "$ROOT"
OUT=${OUT:-$ROOT/out}
CACHE=${SKERRY_CI_CACHE:-$HOME/.cache/skerry-ci}
# Outside the clone, so that a fresh clone reuses what is compiled.
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$CACHE/target}"
export SKERRY_RUNTIME="${SKERRY_RUNTIME:-$OUT/runtime/x86_64}"
[ -d "$HOME/.cargo/bin" ] && PATH="$HOME/.cargo/bin:$PATH"
PATH="$PATH:/usr/sbin:/sbin:$CACHE/tools/usr/bin"
export PATH
mkdir -p "$OUT" "$CACHE" "$CARGO_TARGET_DIR"

say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
fail() { printf 'ci: %s\n' "$*" >&2; exit 1; }
