#!/usr/bin/env bash
# Adds LMCache to a venv that has vLLM: the peer that our numbers are measured against.
#   scripts/vllm/install_lmcache.sh VENV
set -euo pipefail
. "$(dirname "$0")/../lib/common.sh"

[ $# = 1 ] && [ -x "$1/bin/vllm" ] || die "install_lmcache.sh VENV, where VENV has vLLM in it"
say "LMCache into $1"
# Without its own requirements: they would replace vLLM's torch.
"$1/bin/python" -m pip --disable-pip-version-check install -q --no-deps lmcache==0.5.6
"$1/bin/python" -m pip --disable-pip-version-check install -q aiofile aiofiles nvtx redis \
  sortedcontainers awscrt 'opentelemetry-exporter-prometheus<=0.61b0,>=0.50b0'
"$1/bin/lmcache" --help >/dev/null
say "LMCache: $("$1/bin/python" -m pip show lmcache 2>/dev/null | sed -n 's/^Version: //p')"
