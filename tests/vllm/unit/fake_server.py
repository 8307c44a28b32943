"""A scripted stand-in for headrace.Client and the server behind it, for unit tests only.

It moves real bytes between registered descriptors by the same affine formula, so that layouts,
the canary and audits are tested with real data. Moods: normal, absent, frozen.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from headrace.types import (
    NO_BLOCK,
    Answer,
    Buffer,
    Chain,
    Code,
    Completion,
    Group,
    HeadraceError,
    Query,
)


@dataclass
class Calls:
    """What the connector did, for assertions."""

    queries: list[list[Query]] = field(default_factory=list)
    saves: list[list[Chain]] = field(default_factory=list)
    loads: list[tuple[int, int, int, list]] = field(default_factory=list)
    released: list[int] = field(default_factory=list)
    dropped_prefixes: list[int] = field(default_factory=list)
    revoked: list[int] = field(default_factory=list)
    registered: list[tuple[str, int, int]] = field(default_factory=list)
    purged: list[bytes] = field(default_factory=list)
    clears: int = 0


class FakeServer:
    def __init__(self) -> None:
        self.mood = "normal"
        self.holds_transfers = False  # completions wait for finish_transfers()
        self.fails_loads = False
        self.refuses = False  # every registration
        self.dies_at_transfer = False
        self.scrambles = False  # swaps the first two layers of every load: a wrong layout
        self.blocks: dict[tuple[str, int, bytes], dict[int, bytes]] = {}
        self.leases: dict[int, tuple[str, list[bytes]]] = {}
        self.prefixes: dict[int, list[bytes]] = {}
        self.calls = Calls()
        self.clients: list[FakeClient] = []
        self.generation = 0
        self._next = 0

    def number(self) -> int:
        self._next += 1
        return self._next

    def connect(self, part: str = "") -> FakeClient:
        client = FakeClient(self)
        self.clients.append(client)
        return client

    def finish_transfers(self) -> None:
        for client in self.clients:
            for action in client.pending.values():
                client.done.append(action())
            client.pending.clear()

    def held_hashes(self, name_space: str | None = None) -> set[bytes]:
        return {h for (ns, _, h) in self.blocks if name_space is None or ns == name_space}


class FakeClient:
    def __init__(self, server: FakeServer) -> None:
        self.server = server
        self.name_space = ""
        self.groups: Sequence[Group] = ()
        self.maps: list[mmap.mmap] = []
        self.pending: dict[int, object] = {}
        self.done: list[Completion] = []
        self.closed = False

    def __enter__(self) -> FakeClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.closed = True

    def register(
        self,
        name_space: str,
        *,
        block_tokens: int,
        rank: int = 0,
        world_size: int = 1,
        buffers: Sequence[Buffer] = (),
        groups: Sequence[Group] = (),
        wait: float = 0.0,
    ) -> bool:
        if self.server.refuses:
            raise HeadraceError(Code.INVALID, "groups.layout: overlapping")
        self.name_space, self.groups = name_space, groups
        for buffer in buffers:
            assert os.fstat(buffer.fd).st_size >= buffer.bytes
            self.maps.append(mmap.mmap(buffer.fd, buffer.bytes))
        self.server.calls.registered.append((name_space, rank, world_size))
        return self.server.mood == "normal"

    @property
    def ready(self) -> bool:
        return self.server.mood == "normal"

    def query(self, queries: Sequence[Query]) -> list[Answer]:
        self.server.calls.queries.append(list(queries))
        return [self._answer(q) for q in queries]

    def _answer(self, query: Query) -> Answer:
        if self.server.mood != "normal":
            code = Code.TIMEOUT if self.server.mood == "frozen" else Code.UNAVAILABLE
            return Answer(code=code)
        hashes = self._split(query.hashes, query.hash_bytes)
        if query.prefix:
            if query.prefix not in self.server.prefixes:
                return Answer()
            hashes = self.server.prefixes[query.prefix][: query.prefix_blocks] + hashes
        hit = 0
        while hit < len(hashes) and (self.name_space, 0, hashes[hit]) in self.server.blocks:
            hit += 1
        answer = Answer(hit_blocks=hit)
        if query.want_lease and hit > query.min_blocks:
            answer.lease = self.server.number()
            self.server.leases[answer.lease] = (self.name_space, hashes[:hit])
        if query.want_prefix:
            answer.prefix = query.prefix or self.server.number()
            self.server.prefixes[answer.prefix] = hashes
        return answer

    def release(self, leases: Sequence[int]) -> None:
        for lease in leases:
            self.server.calls.released.append(lease)
            self.server.leases.pop(lease, None)

    def drop_prefixes(self, prefixes: Sequence[int]) -> None:
        self.server.calls.dropped_prefixes.extend(prefixes)

    def save(self, chains: Sequence[Chain]) -> int:
        if self.server.mood == "absent":
            return 0
        self.server.calls.saves.append(list(chains))
        return self._start(lambda number: self._save(number, chains))

    def _save(self, number: int, chains: Sequence[Chain]) -> Completion:
        done = Completion(number, Code.OK)
        for chain in chains:
            hashes = self._split(chain.hashes, chain.hash_bytes)
            assert len(hashes) == len(chain.blocks)
            assert (chain.parent is None) == (chain.depth == 0)
            for digest, block in zip(hashes, chain.blocks, strict=True):
                key = (self.name_space, chain.group, digest)
                if key in self.server.blocks:
                    done.deduped += 1
                    continue
                self.server.blocks[key] = self._read(chain.group, block)
                done.stored += 1
        return done

    def load(
        self, lease: int, first: int, count: int, blocks: Sequence[Sequence[int] | None]
    ) -> int:
        if self.server.mood == "absent":
            return 0
        self.server.calls.loads.append((lease, first, count, [list(b or ()) for b in blocks]))
        return self._start(lambda number: self._load(number, lease, first, count, blocks))

    def _load(self, number, lease, first, count, blocks) -> Completion:
        held = self.server.leases.get(lease)
        if held is None or self.server.fails_loads or first + count > len(held[1]):
            return Completion(number, Code.GONE)
        done = Completion(number, Code.OK, loaded=count)
        for group, ids in enumerate(blocks):
            for digest, block in zip(held[1][first : first + count], ids, strict=True):
                if block != NO_BLOCK:
                    self._write(group, block, self.server.blocks[held[0], group, digest])
        return done

    def _start(self, action) -> int:
        number = self.server.number()
        if self.server.dies_at_transfer:
            self.server.mood = "absent"
        held = self.server.holds_transfers or self.server.dies_at_transfer
        if held or self.server.mood == "frozen":
            self.pending[number] = lambda: action(number)
        else:
            self.done.append(action(number))
        return number

    def poll(self, wait: float = 0.0) -> list[Completion]:
        done, self.done = self.done, []
        return done

    def revoke(self, submission: int) -> None:
        self.server.calls.revoked.append(submission)
        if self.pending.pop(submission, None) is not None:
            self.done.append(Completion(submission, Code.CANCELLED))

    def clear(self, wait: float = 1.0) -> int:
        if self.server.mood != "normal":
            raise HeadraceError(Code.UNAVAILABLE, "nobody there")
        self.server.calls.clears += 1
        kept = {k: v for k, v in self.server.blocks.items() if k[0] != self.name_space}
        self.server.blocks = kept
        return self.server.calls.clears

    def purge(self, digest: bytes, wait: float = 1.0) -> bool:
        if self.server.mood != "normal":
            raise HeadraceError(Code.UNAVAILABLE, "nobody there")
        self.server.calls.purged.append(digest)
        return self.server.blocks.pop((self.name_space, 0, digest), None) is not None

    @staticmethod
    def _split(hashes: bytes | Sequence[bytes], size: int) -> list[bytes]:
        if isinstance(hashes, bytes):
            return [hashes[i : i + size] for i in range(0, len(hashes), size)]
        return [bytes(h) for h in hashes]

    # A block is its segments in slot order: layer -> bytes.

    def _places(self, group: int, block: int) -> list[tuple[int, int]]:
        layout = self.groups[group].layout
        assert 0 <= block < layout.num_blocks
        return [
            (
                layout.layer_offsets[layer]
                + block * layout.block_stride
                + part * layout.part_stride,
                layout.segment_bytes,
            )
            for part in range(layout.parts)
            for layer in range(len(layout.layer_offsets))
        ]

    def _read(self, group: int, block: int) -> dict[int, bytes]:
        if block == NO_BLOCK or not self.maps:
            return {}
        return {
            index: self.maps[0][at : at + size]
            for index, (at, size) in enumerate(self._places(group, block))
        }

    def _write(self, group: int, block: int, segments: dict[int, bytes]) -> None:
        if not self.maps:
            return
        order = list(range(len(segments)))
        if self.server.scrambles:
            order[0], order[1] = order[1], order[0]
        for index, (at, size) in zip(order, self._places(group, block), strict=True):
            self.maps[0][at : at + size] = segments[index]
