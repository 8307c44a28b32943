#!/usr/bin/env bash
# Installs what building, testing and fuzzing need, and only what is missing.
#   scripts/install_deps.sh [build] [test] [bench] [fuzz] [tools]      (nothing named: build)
# Debian 12. Root or sudo is needed only when a Debian package is missing.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
. "$(dirname "$0")/lib/packages.sh"

usage() {
  sed -n '2,4s/^# //p' "$0"
  exit "$1"
}

installed() {
  [ "$(dpkg-query -W -f '${db:Status-Abbrev}' "$1" 2>/dev/null)" = "ii " ]
}

check_debian() {
  have dpkg-query && have apt-get || die "this installs Debian packages; on another system install by hand:
  $PACKAGES_BUILD"
}

updated=no
update_lists() {
  [ $updated = no ] || return 0
  say "apt-get update"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -q update >&2 ||
    die "apt-get update failed: is the network there?"
  updated=yes
}

# $1: why; the rest: packages.
install_packages() {
  local why=$1 missing=() package
  shift
  for package in "$@"; do installed "$package" || missing+=("$package"); done
  [ ${#missing[@]} -gt 0 ] || return 0
  check_debian
  case " ${missing[*]} " in
    *" libboost1.81-dev "*)
      if installed libboost1.74-dev; then
        say "Boost 1.74's headers are installed; Headrace needs 1.81 and Debian keeps only one:" \
          "1.81 replaces them (1.74's libraries stay)"
      fi ;;
  esac
  say "installing for $why: ${missing[*]}"
  update_lists
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends \
    -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 "${missing[@]}" >&2 ||
    die "could not install: ${missing[*]}"
}

# libmsgpack-dev depends on Boost 1.74's headers, so it is unpacked beside the project and not
# installed; meson looks there (option msgpack_judge_root).
unpack_msgpack() {
  local to=$HEADRACE_ROOT/.deps/msgpack work
  [ ! -d "$to/usr/include" ] || return 0
  check_debian
  say "unpacking libmsgpack-dev into .deps/msgpack: it judges our codec in tests and cannot be" \
    "installed beside Boost 1.81"
  work=$(mktemp -d)
  chmod 755 "$work"
  [ "$(id -u)" != 0 ] || chown _apt "$work" 2>/dev/null || true
  (cd "$work" && apt-get -q download libmsgpack-dev >&2) || {
    update_lists
    (cd "$work" && apt-get -q download libmsgpack-dev >&2)
  } || die "could not download libmsgpack-dev"
  rm -rf "$to.new"
  mkdir -p "$to.new"
  dpkg -x "$work"/libmsgpack-dev_*.deb "$to.new"
  rm -rf "$work" "$to"
  mv "$to.new" "$to"
}

# Without it meson leaves tokenizers and chat templates out (option tokenizer).
install_rust() {
  local version
  version=$(cargo --version 2>/dev/null | cut -d' ' -f2) || true
  if [ -n "$version" ] && printf '1.85\n%s\n' "$version" | sort -V -C; then return 0; fi
  # shellcheck disable=SC2086  # a list of words
  install_packages "tokenizers (cargo ${version:-none}, 1.85 is needed)" $PACKAGES_RUST
}

install_tools() {
  local venv=$HEADRACE_ROOT/.venv-tools
  [ "$(cat "$venv/installed" 2>/dev/null)" != "$TOOLS" ] || return 0
  install_packages "tools" python3 python3-venv
  say "installing into .venv-tools from PyPI: $TOOLS"
  rm -rf "$venv"
  "$(system_python)" -m venv "$venv"
  # shellcheck disable=SC2086  # a list of words
  "$venv/bin/pip" -q --disable-pip-version-check install $TOOLS >&2 ||
    die "could not install $TOOLS from PyPI"
  printf '%s' "$TOOLS" >"$venv/installed"
}

main() {
  local part
  [ $# -gt 0 ] || set -- build
  take_lock "$HEADRACE_ROOT/.deps/lock"
  for part in "$@"; do
    case $part in
      # shellcheck disable=SC2086  # lists of words
      build)
        install_packages "building" $PACKAGES_BUILD
        install_rust ;;
      test)
        install_packages "tests" $PACKAGES_TEST
        unpack_msgpack ;;
      # shellcheck disable=SC2086  # a list of words
      bench) install_packages "benchmarks" $PACKAGES_BENCH ;;
      fuzz) install_packages "fuzzing" $PACKAGES_FUZZ ;;
      tools) install_tools ;;
      -h | --help) usage 0 ;;
      *)
        echo "unknown part: $part" >&2
        usage 2 >&2 ;;
    esac
  done
}
main "$@"
