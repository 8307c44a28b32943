# Sourced by the scripts. Says what happens, finds the root of the project, runs as root.
# REQUIRES: bash. Changes no directory.

HEADRACE_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

# Progress goes to standard error: standard output belongs to results.
say() { printf '\033[1m==>\033[0m %s\n' "$*" >&2; }
die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

# Debian's own Python: the one for which Debian's meson and python3-venv are installed, whatever
# stands first on PATH.
system_python() {
  if [ -x /usr/bin/python3 ]; then echo /usr/bin/python3; else command -v python3; fi
}

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif have sudo; then
    sudo "$@"
  else
    die "'$*' needs root: run as root, or install sudo"
  fi
}

# Takes the lock file $1 for the rest of this shell: two runs at once must not install together.
take_lock() {
  mkdir -p "$(dirname "$1")"
  exec 9>"$1"
  if ! flock -n 9; then
    say "waiting for another run that holds $1"
    flock 9
  fi
}
