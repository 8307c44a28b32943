"""What both processes of the demo know: the geometry, the bytes of every block, its hash.

Llama-3.1-8B: 32 layers, 8 KV heads of 128 in bf16, 16 tokens a block. One layer's K of one block
is 8 * 128 * 2 * 16 = 32 KiB, a block 32 layers * 2 * 32 KiB = 2 MiB. K-first split: in each layer
all blocks' K, then all blocks' V.
"""

import ctypes
import hashlib
import random
import statistics
import sys
import time

import headrace

LAYERS = 32
PARTS = 2
BLOCK_TOKENS = 16
SEGMENT_BYTES = 8 * 128 * 2 * BLOCK_TOKENS
BLOCK_BYTES = LAYERS * PARTS * SEGMENT_BYTES
BLOCKS = 512
SPARE_BLOCKS = 32  # of the second process's buffer: nothing may be written there
NAME_SPACE = "demo/llama-3.1-8b/bf16/k-first"
READY_SECONDS = 30
TRANSFER_SECONDS = 60
CALL_SECONDS = 1.0  # an engine's is 5 ms, and no answer is a miss; the demo shall not miss


def layout(num_blocks):
    part = num_blocks * SEGMENT_BYTES
    return headrace.Layout(
        num_blocks=num_blocks, segment_bytes=SEGMENT_BYTES, block_stride=SEGMENT_BYTES,
        parts=PARTS, part_stride=part,
        layer_offsets=[layer * PARTS * part for layer in range(LAYERS)])


def segments(shape, block):
    """Where the segments of a block start in the buffer, in the order in which block_bytes() is
    cut into them."""
    for offset in shape.layer_offsets:
        for part in range(PARTS):
            yield offset + block * shape.block_stride + part * shape.part_stride


def block_bytes(index):
    """The content of block `index` of the sequence: the same in both processes, no two alike."""
    return random.Random(f"headrace demo {index}").randbytes(BLOCK_BYTES)


def hashes():
    """Names of the blocks. An engine hashes tokens; any digest that both sides know will do."""
    return [hashlib.sha256(b"headrace demo %d" % x).digest() for x in range(BLOCKS)]


def connect(num_blocks):
    """A client with a registered buffer of `num_blocks` blocks."""
    shape = layout(num_blocks)
    memory = headrace.SharedBuffer(num_blocks * BLOCK_BYTES)
    client = headrace.Client(program="headrace-demo", transfer_timeout=TRANSFER_SECONDS,
                             call_timeout=CALL_SECONDS)
    ready = client.register(
        NAME_SPACE, block_tokens=BLOCK_TOKENS, buffers=[memory.buffer()],
        groups=[headrace.Group(shape)], wait=READY_SECONDS)
    if not ready:
        sys.exit("error: the server did not answer")
    return client, memory, shape


def finish(client, submission):
    """Waits for the end of one save or load."""
    if submission == 0:
        sys.exit("error: the server took no work")
    until = time.monotonic() + TRANSFER_SECONDS
    while time.monotonic() < until:
        for completion in client.poll(wait=1.0):
            if completion.submission == submission:
                return completion
    sys.exit("error: no completion in time")


def address(view):
    return ctypes.addressof(ctypes.c_char.from_buffer(view))


def memcpy_rate(view):
    """Bytes a second of libc's memcpy in one thread, between `view` and other memory of its size,
    both far larger than the caches. The better of one large call and of calls of a block."""
    size = len(view)
    other = headrace.SharedBuffer(size, "headrace-demo-memcpy")
    source, target = address(view), address(other.view)
    ctypes.memset(target, 1, size)
    rates = []
    for step in (size, BLOCK_BYTES):
        runs = []
        for _ in range(3):
            started = time.perf_counter()
            for offset in range(0, size, step):
                ctypes.memmove(target + offset, source + offset, step)
            runs.append(size / (time.perf_counter() - started))
        rates.append(statistics.median(runs))
    return max(rates)


class Progress:
    """A line on standard error that says how far something is."""

    def __init__(self, title, total):
        self.title, self.total = title, total
        self.terminal = sys.stderr.isatty()
        self.told = -1

    def at(self, done):
        tenth = 10 * done // self.total
        if tenth != self.told:
            self.told = tenth
            end = "\r" if self.terminal and done < self.total else "\n"
            if self.terminal or done in (0, self.total):
                print(f"    {self.title}: {done} of {self.total}", end=end, file=sys.stderr,
                      flush=True)
