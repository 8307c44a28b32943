"""Audit mode: blocks that were computed although the server has them, compared with what it has.

Two runs of one prompt in other chunk shapes differ a little in bf16; a wrong layout, other weights
or a flipped exponent differ a lot. See tests/vllm/README.md for how the limits were measured.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from headrace.client import Client
from headrace.shared import SharedBuffer
from headrace.types import Code, Group, GroupKind, Layout
from headrace.vllm.layout import CachePlan, block_views
from headrace.vllm.memory import memory_order
from headrace.vllm.metadata import AuditIntent

MAX_BLOCKS = 8
"""Blocks compared in one audit, and the size of the scratch buffer."""
_LOAD_SECONDS = 1.0

RELATIVE_LIMIT = 0.25
"""Of a segment: norm of the difference over norm of the computed bytes."""
ELEMENT_LIMIT = 0.5
"""Of one element: difference over the segment's root mean square. Catches one flipped exponent,
which the norm of thousands of elements would hide."""


@dataclass(frozen=True, slots=True)
class Difference:
    relative: float
    element: float

    @property
    def alarming(self) -> bool:
        # A NaN is greater than nothing; it must alarm.
        return not (self.relative <= RELATIVE_LIMIT and self.element <= ELEMENT_LIMIT)


def difference(computed: torch.Tensor, stored: torch.Tensor) -> Difference:
    """Of two one-dimensional segments of floats."""
    a, b = computed.to(torch.float32), stored.to(torch.float32)
    delta = (a - b).abs()
    scale = float(a.norm()) or 1e-12
    root = scale / (a.numel() ** 0.5)
    return Difference(float(delta.norm()) / scale, float(delta.max()) / root)


def scratch_group(group: Group) -> Group:
    """The same segments for MAX_BLOCKS blocks, laid block after block."""
    layout = group.layout
    layers = len(layout.layer_offsets)
    per_layer = layout.segment_bytes * layout.parts
    return replace(
        group,
        buffer=0,
        layout=Layout(
            num_blocks=MAX_BLOCKS,
            segment_bytes=layout.segment_bytes,
            block_stride=per_layer * layers,
            layer_offsets=[layer * per_layer for layer in range(layers)],
            parts=layout.parts,
            part_stride=layout.segment_bytes if layout.parts == 2 else 0,
        ),
    )


def can_audit(plan: CachePlan) -> bool:
    return len(plan.groups) == 1 and plan.groups[0].kind is GroupKind.FULL


@dataclass(frozen=True, slots=True)
class EngineSide:
    """The computed blocks, seen through vLLM's own views."""

    plan: CachePlan
    caches: Mapping[str, torch.Tensor]
    num_blocks: int
    fp8: torch.dtype | None = None
    """How bytes are read when vLLM keeps 8-bit floats in tensors of bytes."""

    def segments(self, block: int) -> list[torch.Tensor]:
        """Of all layers, K (or K and V in one) first, then V: the order of a slot."""
        parts: list[list[torch.Tensor]] = [[], []]
        for name in self.plan.groups[0].layer_names:
            for part, view in enumerate(block_views(self.caches[name], self.num_blocks, block)):
                parts[part].append(memory_order(view))
        return [self.floats(segment) for segment in parts[0] + parts[1]]

    def floats(self, segment: torch.Tensor) -> torch.Tensor:
        if segment.dtype in (torch.uint8, torch.int8) and self.fp8 is not None:
            return segment.view(self.fp8)
        return segment


class Auditor:
    """Owns a small buffer that stored blocks are loaded into, and a connection of its own.
    The worker's thread; waits up to a second for a load."""

    def __init__(
        self, engine: EngineSide, groups: Sequence[Group], connect: Callable[[], Client]
    ) -> None:
        assert can_audit(engine.plan)
        self._engine = engine
        self._group = scratch_group(groups[0])
        layout = self._group.layout
        self._buffer = SharedBuffer(layout.block_stride * MAX_BLOCKS, "headrace-audit")
        self._bytes = torch.frombuffer(self._buffer.view, dtype=torch.uint8)
        self._client = connect()
        self._stuck = 0  # a load whose fence has not come: the scratch buffer is not ours

    def register(self, name_space: str, rank: int, world_size: int) -> None:
        self._client.register(
            name_space,
            block_tokens=self._engine.plan.block_tokens,
            rank=rank,
            world_size=world_size,
            buffers=[self._buffer.buffer()],
            groups=[self._group],
            wait=_LOAD_SECONDS,
        )

    def compare(self, intent: AuditIntent) -> list[tuple[bytes, Difference]] | None:
        """Each block's hash and its worst difference; None when the stored blocks cannot be had."""
        count = min(intent.count, MAX_BLOCKS)
        if not self._load(intent.lease, intent.first, count):
            return None
        results = []
        for index in range(count):
            computed = self._engine.segments(intent.blocks[0][index])
            stored = self._stored_segments(index, computed)
            found = [difference(a, b) for a, b in zip(computed, stored, strict=True)]
            worst = next((d for d in found if d.alarming), None)
            worst = worst or max(found, key=lambda d: (d.element, d.relative))
            results.append((intent.hashes[index], worst))
        return results

    def purge(self, digest: bytes) -> None:
        self._client.purge(digest, wait=_LOAD_SECONDS)

    def close(self) -> None:
        self._client.close()

    def _stored_segments(self, block: int, like: list[torch.Tensor]) -> list[torch.Tensor]:
        layout = self._group.layout
        layers = len(layout.layer_offsets)
        segments = []
        for part in range(layout.parts):
            for layer in range(layers):
                start = (
                    layout.layer_offsets[layer]
                    + block * layout.block_stride
                    + part * layout.part_stride
                )
                raw = self._bytes[start : start + layout.segment_bytes]
                segments.append(raw.view(like[part * layers + layer].dtype))
        return segments

    def _load(self, lease: int, first: int, count: int) -> bool:
        if self._stuck and not self._await(self._stuck, 0.0):
            return False
        if not self._client.ready:  # also drives a connection that is still being made
            return False
        submission = self._client.load(lease, first, count, [list(range(count))])
        if submission == 0:
            return False
        code = self._await(submission, _LOAD_SECONDS)
        if code is None:
            self._client.revoke(submission)
            if self._await(submission, _LOAD_SECONDS) is None:
                self._stuck = submission
            return False
        return code is Code.OK

    def _await(self, submission: int, seconds: float) -> Code | None:
        deadline = time.monotonic() + seconds
        while True:
            left = max(0.0, deadline - time.monotonic())
            for completion in self._client.poll(wait=left):
                if completion.submission == submission:
                    self._stuck = 0
                    return completion.code
            if left == 0.0:
                return None
