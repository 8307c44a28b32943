"""From exec to the first 200 of /health, and what the idle process holds."""

import statistics

from process import Simulator


def starts(command, count):
    """(median of the ms, the longest, median of the MB)."""
    times, sizes = [], []
    for _ in range(count):
        with Simulator(command) as simulator:
            times.append(simulator.start_seconds * 1000)
            sizes.append(simulator.rss_mb())
    return statistics.median(times), max(times), statistics.median(sizes)
