#!/usr/bin/env bash
# The figures of `scripts/bench sim` of any simulator with the flags of llm-d-inference-sim.
#   SIM_CMD="/path/to/simulator --more flags" bench/peers/sim/run.sh [--quick]
# Needs python3 and wrk. Two simulators are compared in turns by
#   SIM_PEER_CMD="/path/to/another" scripts/bench sim
set -euo pipefail
exec python3 "$(dirname "$0")/../../sim_bench.py" "${SIM_CMD:?names the simulator}" "$@"
