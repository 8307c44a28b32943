#!/usr/bin/env python3
"""index.dynamo.*: what NVIDIA Dynamo's radix tree (dynamo._core.RadixTree, from its wheel) takes on
this machine for what `scripts/bench index` measures of ours: a score of 512 block keys that 8, 64
and 512 workers hold, and an event of 16 blocks. Runs in a venv that has ai-dynamo-runtime.
JSON lines on standard output."""

import json
import resource
import statistics
import sys

from dynamo._core import RadixTree  # pylint: disable=import-error

KEYS = 512
EVENT_BLOCKS = 16
CHAIN_BLOCKS = 64
WORKERS = 8
MASK = 2**64 - 1


def mix(number):
    """splitmix64's finalizer."""
    x = (number + 0x9E3779B97F4A7C15) & MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
    return x ^ (x >> 31)


def cpu_us():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return (usage.ru_utime + usage.ru_stime) * 1e6


def stored(number, parent, hashes):
    """An event as the tree takes it."""
    blocks = [{"block_hash": x, "tokens_hash": x} for x in hashes]
    data = {"stored": {"parent_hash": parent, "blocks": blocks}}
    return json.dumps({"event_id": number, "data": data, "dp_rank": 0}).encode()


def chain_events(hashes, step):
    for at in range(0, len(hashes), step):
        yield stored(at, hashes[at - 1] if at else None, hashes[at:at + step])


def emit(name, values, how):
    middle = statistics.median(values)
    print(json.dumps({"name": name, "value": round(middle, 3), "unit": "us", "runs": len(values),
                      "spread": round((max(values) - min(values)) / middle, 3), "how": how}),
          flush=True)


def score(workers, quick):
    """CPU of find_matches, the mean of each of some runs."""
    keys = [mix(i) >> 1 for i in range(KEYS)]
    tree = RadixTree()
    for worker in range(workers):
        for event in chain_events(keys, CHAIN_BLOCKS):
            tree.apply_event(worker, event)
    assert len(tree.find_matches(keys).scores) == workers
    calls = 10 if quick else 400
    values = []
    for _ in range(3 if quick else 7):
        begin = cpu_us()
        for _ in range(calls):
            tree.find_matches(keys)
        values.append((cpu_us() - begin) / calls)
    emit(f"index.dynamo.score512.pods{workers}", values,
         f"CPU of find_matches of {KEYS} keys that {workers} workers hold, in a tree that holds "
         "nothing else, through its Python binding")


def ingest(quick):
    """CPU of apply_event, new chains of 64 blocks; the JSON is made before."""
    tree = RadixTree()
    chains = 200 if quick else 2500
    values = []
    for run in range(3 if quick else 5):
        events = []
        for chain in range(chains):
            first = 10_000_000 + (run * chains + chain) * CHAIN_BLOCKS
            hashes = [mix(first + i) >> 1 for i in range(CHAIN_BLOCKS)]
            events += [(chain % WORKERS, x) for x in chain_events(hashes, EVENT_BLOCKS)]
        begin = cpu_us()
        for worker, event in events:
            tree.apply_event(worker, event)
        values.append((cpu_us() - begin) / len(events))
    emit("index.dynamo.ingest16", values,
         f"CPU of apply_event of {EVENT_BLOCKS} new blocks as JSON, made before, chains of "
         f"{CHAIN_BLOCKS}, {WORKERS} workers")


def main():
    quick = "--quick" in sys.argv[1:]
    for workers in (8, 64, 512):
        score(workers, quick)
    ingest(quick)


if __name__ == "__main__":
    main()
