"""What the scheduler's and the workers' halves of the connector tell each other, every step.

vLLM pickles these; they stay small: only what is new in the step.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from vllm.distributed.kv_transfer.kv_connector.v1.base import (
    KVConnectorMetadata,
    KVConnectorWorkerMetadata,
)

BlockTable = list[list[int]]
"""Engine block ids, one list a headrace group; NO_BLOCK where a group has no part."""


@dataclass(slots=True)
class LoadIntent:
    """Positions [first, first + count) under `lease` into `blocks`."""

    request_id: str
    lease: int
    first: int
    count: int
    blocks: BlockTable


@dataclass(slots=True)
class SaveIntent:
    """Blocks of one sequence that this step completes. `hashes` are joined bytes."""

    depth: int
    parent: bytes | None
    hashes: bytes
    hash_bytes: int
    blocks: BlockTable
    lora_id: int = 0
    salt_id: int = 0


@dataclass(slots=True)
class AuditIntent:
    """Computed blocks to compare with what the server holds at [first, first + count)."""

    request_id: str
    lease: int
    first: int
    count: int
    blocks: BlockTable
    hashes: list[bytes]


@dataclass(slots=True)
class HoldIntent:
    """vLLM keeps a finished request's blocks until the saves of these steps have ended."""

    request_id: str
    steps: list[int]


@dataclass
class HeadraceMetadata(KVConnectorMetadata):
    step: int = 0
    idle: bool = False
    """No forward pass in this step: a worker may wait a moment for what is under way."""
    loads: list[LoadIntent] = field(default_factory=list)
    saves: list[SaveIntent] = field(default_factory=list)
    audits: list[AuditIntent] = field(default_factory=list)
    holds: list[HoldIntent] = field(default_factory=list)
    fences: list[int] = field(default_factory=list)
    """Steps whose saves read blocks that this step gives to somebody else."""


@dataclass
class HeadraceWorkerMetadata(KVConnectorWorkerMetadata):
    closed_steps: Counter[int] = field(default_factory=Counter)
    """Step -> ranks whose saves of that step have ended."""
    failed_loads: set[str] = field(default_factory=set)
    ended_audits: set[str] = field(default_factory=set)
    disabled: str | None = None
    """Why a worker neither loads nor saves from now on."""

    def aggregate(self, other: KVConnectorWorkerMetadata) -> HeadraceWorkerMetadata:
        assert isinstance(other, HeadraceWorkerMetadata)
        return HeadraceWorkerMetadata(
            closed_steps=self.closed_steps + other.closed_steps,
            failed_loads=self.failed_loads | other.failed_loads,
            ended_audits=self.ended_audits | other.ended_audits,
            disabled=self.disabled or other.disabled,
        )
