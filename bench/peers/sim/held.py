"""Slow streams held at once: all of them run together, and each says what it must."""

import asyncio
import contextlib

from client import run_streams
from process import Failed, Simulator, raise_file_limit

TTFT_S = 5
ITL_S = 1
SPARE_FILES = 200
LOOK_S = 0.25


async def watch(simulator, task):
    """The most that ran at once, as the simulator's metrics have it."""
    most = 0
    while not task.done():
        with contextlib.suppress(OSError):
            most = max(most, await asyncio.to_thread(simulator.running))
        await asyncio.sleep(LOOK_S)
    return most


async def hold(simulator, count, tokens):
    task = asyncio.create_task(run_streams(simulator.port, count, tokens))
    most = await watch(simulator, task)
    return most, await task


def held(command, count, tokens):
    """(how many ran at once and came whole, the simulator's MB with them)."""
    if raise_file_limit() < count + SPARE_FILES:
        raise Failed(f"{count} streams need a limit of open files (ulimit -Hn) of "
                     f"{count + SPARE_FILES}")
    with Simulator(command, "--max-num-seqs", str(count), "--time-to-first-token", f"{TTFT_S}s",
                   "--inter-token-latency", f"{ITL_S}s") as simulator:
        most, streams = asyncio.run(hold(simulator, count, tokens))
        size = simulator.rss_mb()
    return min(most, len([x for x in streams if x.right])), size
