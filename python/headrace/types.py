"""The values that go into and come out of a Client. Plain data; no call here talks to a server."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

NO_BLOCK = 0xFFFFFFFF
"""In a list of block ids: this group has no part at this position."""


class Code(enum.IntEnum):
    """How a call ended; the numbers are those of the C ABI."""

    OK = 0
    INVALID = 1
    NOT_FOUND = 2
    GONE = 3
    EXISTS = 4
    NO_SPACE = 5
    TIMEOUT = 6
    CANCELLED = 7
    UNAVAILABLE = 8
    PERMISSION = 9
    LIMIT = 10
    IO = 11
    CORRUPT = 12
    UNSUPPORTED = 13
    INTERNAL = 14


class GroupKind(enum.IntEnum):
    FULL = 0
    WINDOW = 1
    STATE = 2


class HeadraceError(Exception):
    """A call that is documented to raise did not succeed; `code` says why."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{text} ({Code(code).name.lower()})")
        self.code = Code(code)
        self.text = text


@dataclass(frozen=True, slots=True)
class Buffer:
    """A KV buffer that the server may read and write: a memfd (see SharedBuffer) or a shm file."""

    fd: int
    bytes: int
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the segments of a block lie in a buffer:

    address(layer, block, part) = base + layer_offsets[layer] + block*block_stride
                                  + part*part_stride
    """

    num_blocks: int
    segment_bytes: int
    block_stride: int
    layer_offsets: Sequence[int]
    parts: int = 1
    part_stride: int = 0

    @property
    def block_bytes(self) -> int:
        return self.segment_bytes * self.parts * len(self.layer_offsets)


@dataclass(frozen=True, slots=True)
class Group:
    """One KV group; most models have one, FULL."""

    layout: Layout
    kind: GroupKind = GroupKind.FULL
    window_blocks: int = 0
    buffer: int = 0
    """Index into the buffers given to register()."""


@dataclass(slots=True)
class Query:
    """How much of one prefix is there? `hashes` are joined bytes of `hash_bytes` each (cheapest),
    or a sequence of bytes of equal length. `prefix` stands for the first `prefix_blocks` hashes
    of the sequence, which an earlier query with want_prefix sent; `hashes` follow them."""

    hashes: bytes | Sequence[bytes]
    hash_bytes: int = 32
    prefix: int = 0
    prefix_blocks: int = 0
    want_lease: bool = False
    want_prefix: bool = False
    min_blocks: int = 0
    """No lease when the hit is not longer than this (blocks the engine has itself)."""
    consumers: int = 1
    """Ranks that will load under the lease."""


@dataclass(slots=True)
class Answer:
    hit_blocks: int = 0
    """Counted from the start of the sequence, the blocks of `prefix` included."""
    lease: int = 0
    """0: none. Covers positions [0, hit_blocks); give it back with release()."""
    prefix: int = 0
    """0: none, or the prefix that was given is not known any more: send all hashes next time."""
    code: int = Code.OK
    """UNAVAILABLE or TIMEOUT: a miss because nobody answered."""


@dataclass(slots=True)
class Chain:
    """Blocks of one sequence to save, in order: hashes[0] follows `parent`, each other one its
    predecessor. `blocks` are engine block ids, one each (NO_BLOCK: no part); an array('I') or any
    buffer of 32-bit unsigned is passed on without a copy."""

    hashes: bytes | Sequence[bytes]
    blocks: Sequence[int]
    parent: bytes | None = None
    """None only at depth 0."""
    depth: int = 0
    """Position of hashes[0] in the sequence."""
    group: int = 0
    hash_bytes: int = 32
    lora_id: int = 0
    salt_id: int = 0
    tokens: Sequence[int] | None = None


@dataclass(slots=True)
class Completion:
    """The end of one save or load; every submission gets exactly one. Until it is here the
    server may still read (save) or write (load) the blocks."""

    submission: int
    code: Code
    """OK, or why not; a load is all or error."""
    stored: int = 0
    deduped: int = 0
    refused: int = 0
    failed: int = 0
    loaded: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class Stats:
    connects: int = 0
    registrations: int = 0
    epochs: int = 0
    """How often a new server was seen."""
    queries: int = 0
    query_timeouts: int = 0
    query_unavailable: int = 0
    saves: int = 0
    loads: int = 0
    revoked: int = 0
    late_replies: int = 0
    breaker_opens: int = 0
    connected: bool = False
    registered: bool = False
    breaker_closed: bool = False


__all__ = [
    "NO_BLOCK",
    "Answer",
    "Buffer",
    "Chain",
    "Code",
    "Completion",
    "Group",
    "GroupKind",
    "HeadraceError",
    "Layout",
    "Query",
    "Stats",
]
