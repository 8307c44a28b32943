"""First process of the demo: registers a KV buffer, saves its blocks, exits.

Prints one JSON line.
"""

import json
import time

import demo_kv as kv
import headrace


def fill(view, shape):
    progress = kv.Progress("filling blocks", kv.BLOCKS)
    for block in range(kv.BLOCKS):
        content = memoryview(kv.block_bytes(block))
        for number, start in enumerate(kv.segments(shape, block)):
            at = number * kv.SEGMENT_BYTES
            view[start:start + kv.SEGMENT_BYTES] = content[at:at + kv.SEGMENT_BYTES]
        progress.at(block + 1)


def main():
    client, memory, shape = kv.connect(kv.BLOCKS)
    fill(memory.view, shape)
    memcpy = kv.memcpy_rate(memory.view)
    started = time.perf_counter()
    submission = client.save([headrace.Chain(hashes=kv.hashes(), blocks=range(kv.BLOCKS))])
    completion = kv.finish(client, submission)
    seconds = time.perf_counter() - started
    client.close()
    print(json.dumps({"stored": completion.stored, "bytes": completion.stored * kv.BLOCK_BYTES,
                      "seconds": seconds, "memcpy": memcpy, "code": completion.code.name}))


if __name__ == "__main__":
    main()
