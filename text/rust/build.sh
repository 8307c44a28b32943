#!/bin/sh
# Builds the library and copies it to where meson wants it. Crates were fetched when meson was set
# up. Every build folder of a checkout shares one target folder: cargo locks it, and the crates are
# compiled once.
#   build.sh CARGO TARGET_DIR OUTPUT
set -eu
cargo=$1 target=$2 output=$3
here=$(cd "$(dirname "$0")" && pwd)
# The crates' C is compiled by the system's compiler, whatever compiles the rest: with another one
# cargo would compile all anew.
env -u CC -u CXX -u CFLAGS -u CXXFLAGS "$cargo" build --quiet --release --locked --offline \
  --manifest-path "$here/Cargo.toml" --target-dir "$target"
cp "$target/release/libheadrace_text.a" "$output"
