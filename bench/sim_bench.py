#!/usr/bin/env python3
"""`scripts/bench sim`: what headrace-sim costs a request and how exactly it keeps time, from
outside, with wrk and a client on asyncio. JSON lines on standard output. Every answer is compared
with what must come.
  sim_bench.py COMMAND [--quick]    SIM_PEER_CMD: another simulator, measured in the same run"""

import argparse
import json
import os
import pathlib
import shutil
import statistics
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "peers" / "sim"))

from accuracy import ITL_MS, STREAMS, TOKENS, TTFT_MS, total_error  # noqa: E402
from held import held  # noqa: E402
from load import cpu_us  # noqa: E402
from process import Failed  # noqa: E402
from startup import starts  # noqa: E402


class Sizes:
    """How long and how often; the quick figures mean nothing."""

    def __init__(self, quick):
        self.wrk_seconds = 1 if quick else 8
        self.wrk_runs = 1 if quick else 3
        self.starts = 2 if quick else 10
        self.rounds = 1 if quick else 6
        self.held = 200 if quick else 5000
        self.held_tokens = 1 if quick else 10


def progress(text):
    print(text, file=sys.stderr, flush=True)


def emit(name, value, unit, **more):
    line = {"name": name, "value": value, "unit": unit,
            **{key: item for key, item in more.items() if item is not None}}
    if "peer" in line:
        line["ratio"] = line["peer"] / value
    print(json.dumps({k: round(v, 6) if isinstance(v, float) else v for k, v in line.items()}),
          flush=True)


def load(command, peer, sizes, stream):
    """CPU a request; the runs of the two simulators take turns."""
    ours, theirs, rates = [], [], []
    for _ in range(sizes.wrk_runs):
        cpu, count, rate = cpu_us(command, stream, sizes.wrk_seconds)
        ours.append(cpu)
        rates.append(rate)
        if peer:
            theirs.append(cpu_us(peer, stream, sizes.wrk_seconds)[0])
    emit("sim.stream.cpu" if stream else "sim.chat.cpu", statistics.median(ours), "us",
         peer=statistics.median(theirs) if theirs else None, runs=len(ours),
         spread=max(ours) - min(ours),
         how=f"CPU a request from /proc, wrk with 64 connections and every answer compared, "
             f"{statistics.median(rates):.0f} requests/s, {count} in the last run")


def start(command, peer, sizes):
    median, longest, size = starts(command, sizes.starts)
    other = starts(peer, sizes.starts) if peer else None
    emit("sim.start", median, "ms", peer=other[0] if other else None, runs=sizes.starts,
         how=f"exec to the first 200 of /health, the longest {longest:.0f} ms")
    emit("sim.rss.idle", size, "MB", runs=sizes.starts,
         how="VmRSS after the start" + (f"; the peer has {other[2]:.1f} MB" if other else ""))


def accuracy(command, peer, sizes):
    figures = total_error(command, sizes.rounds)
    text = (f"{STREAMS} streams, first token {TTFT_MS} ms, next {ITL_MS} ms, {TOKENS} tokens: mean "
            f"total {figures.total_ms:.1f} ms, of the client alone {figures.null_ms:.1f} ms")
    if peer:
        text += f"; the peer's error is {total_error(peer, sizes.rounds).error_percent:.2f} %"
    emit("sim.accuracy.total_error", figures.error_percent, "%", runs=sizes.rounds,
         spread=figures.spread, how=text)


def streams(command, sizes):
    count, size = held(command, sizes.held, sizes.held_tokens)
    if count != sizes.held:
        raise Failed(f"{count} of {sizes.held} streams ran at once and came whole")
    emit("sim.streams.held", count, "streams", runs=1,
         how=f"at once by the metrics, {sizes.held_tokens} tokens each, one a second; every "
             f"stream compared; {size:.0f} MB with them")


def main(words):
    parser = argparse.ArgumentParser(description="Measures a simulator; see the script.")
    parser.add_argument("command", help="that starts it, with its flags")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args(words)
    sizes = Sizes(options.quick)
    peer = os.environ.get("SIM_PEER_CMD")
    if shutil.which("wrk") is None:
        sys.exit("wrk is missing: run scripts/install_deps.sh bench")
    try:
        for stream in (False, True):
            progress(f"   CPU of {'streams' if stream else 'chats'}")
            load(options.command, peer, sizes, stream)
        progress("   starts")
        start(options.command, peer, sizes)
        progress("   accuracy")
        accuracy(options.command, peer, sizes)
        progress("   streams that are held")
        streams(options.command, sizes)
    except Failed as failure:
        sys.exit(f"error: {failure}")


if __name__ == "__main__":
    main(sys.argv[1:])
