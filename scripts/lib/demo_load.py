"""Second process of the demo: finds the blocks by their hashes, loads them into other block ids,
compares every byte.

Prints one JSON line.
"""

import ctypes
import json
import random
import statistics
import time

import demo_kv as kv
import headrace

QUERIES = 200
UNTOUCHED = 0xA5


def microseconds_of_a_query(client, hashes):
    """Median, through the Python client: all hashes sent each time, and with a prefix handle."""
    joined = b"".join(hashes)
    first = client.query([headrace.Query(hashes=joined, want_prefix=True)])[0]
    by_handle = headrace.Query(hashes=b"", prefix=first.prefix, prefix_blocks=len(hashes))
    medians = []
    for query in (headrace.Query(hashes=joined), by_handle):
        runs = []
        for _ in range(QUERIES):
            started = time.perf_counter()
            answer = client.query([query])[0]
            runs.append((time.perf_counter() - started) * 1e6)
            if answer.hit_blocks != len(hashes):
                raise SystemExit(f"error: a query found {answer.hit_blocks} blocks")
        medians.append(statistics.median(runs))
    client.drop_prefixes([first.prefix])
    return medians


def differing_bytes(view, shape, targets):
    """How many bytes are not what the first process wrote; of spare blocks, what they were."""
    progress = kv.Progress("comparing blocks", len(targets))
    wrong = 0
    for index, block in enumerate(targets):
        content = memoryview(kv.block_bytes(index))
        for number, start in enumerate(kv.segments(shape, block)):
            at = number * kv.SEGMENT_BYTES
            expected = content[at:at + kv.SEGMENT_BYTES]
            found = view[start:start + kv.SEGMENT_BYTES]
            if found != expected:
                wrong += sum(a != b for a, b in zip(found, expected))
        progress.at(index + 1)
    spare = bytes([UNTOUCHED]) * kv.SEGMENT_BYTES
    for block in set(range(shape.num_blocks)) - set(targets):
        for start in kv.segments(shape, block):
            found = view[start:start + kv.SEGMENT_BYTES]
            wrong += 0 if found == spare else sum(x != UNTOUCHED for x in found)
    return wrong


def main():
    client, memory, shape = kv.connect(kv.BLOCKS + kv.SPARE_BLOCKS)
    ctypes.memset(kv.address(memory.view), UNTOUCHED, len(memory.view))
    hashes = kv.hashes()
    plain, by_handle = microseconds_of_a_query(client, hashes)
    targets = random.Random(1).sample(range(shape.num_blocks), kv.BLOCKS)
    memcpy = kv.memcpy_rate(memory.view)
    started = time.perf_counter()
    answer = client.query([headrace.Query(hashes=hashes, want_lease=True)])[0]
    completion = kv.finish(client, client.load(answer.lease, 0, answer.hit_blocks,
                                               [targets[:answer.hit_blocks]]))
    seconds = time.perf_counter() - started
    client.release([answer.lease])
    wrong = differing_bytes(memory.view, shape, targets)
    client.close()
    print(json.dumps({"loaded": completion.loaded, "bytes": completion.bytes, "seconds": seconds,
                      "memcpy": memcpy, "code": completion.code.name, "wrong": wrong,
                      "query_us": plain, "handle_us": by_handle}))


if __name__ == "__main__":
    main()
