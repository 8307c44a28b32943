"""A block of noise, written through vLLM's own views, saved, loaded elsewhere and compared.

It proves before the first real block that layout, descriptor and server agree about every byte.
"""

from __future__ import annotations

import contextlib
import enum
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

from headrace.client import Client
from headrace.types import NO_BLOCK, Buffer, Chain, Code, Group, HeadraceError, Query
from headrace.vllm.layout import CachePlan, block_views

_REGISTER_SECONDS = 1.0
_TRANSFER_SECONDS = 2.0
_HASH_BYTES = 32


class Verdict(enum.Enum):
    PASSED = "passed"
    FAILED = "failed"
    UNKNOWN = "unknown"
    """The server was not there, or had no room: ask again."""


NULL_BLOCK = 0
"""vLLM gives it to nobody and never attends to it: even a write that came too late does no harm
there. So it is the target always; and the source while vLLM runs, when no other block is ours."""


def startup_sources(num_groups: int) -> list[int]:
    """At start every other block is free; away from the null block strides are tried too."""
    return [1 + group for group in range(num_groups)]


@dataclass(frozen=True, slots=True)
class CanaryRun:
    plan: CachePlan
    caches: Mapping[str, torch.Tensor]
    num_blocks: int
    buffer: Buffer
    groups: Sequence[Group]
    name_space: str
    sources: Sequence[int]
    """One block a group, or the null block for all."""


def run_canary(run: CanaryRun, connect: Callable[[], Client]) -> tuple[Verdict, str]:
    """In a namespace of its own, of one rank, so that neither other ranks nor real blocks matter.
    Restores what was in the blocks. Raises HeadraceError when the server refuses the layout."""
    name = f"{run.name_space[:64]}.canary.{os.urandom(8).hex()}"
    with connect() as client:
        answered = client.register(
            name,
            block_tokens=run.plan.block_tokens,
            buffers=[run.buffer],
            groups=list(run.groups),
            wait=_REGISTER_SECONDS,
        )
        if not answered:
            return Verdict.UNKNOWN, "the server did not answer"
        digest = os.urandom(_HASH_BYTES)
        try:
            return _round_trip(run, client, digest)
        finally:
            with contextlib.suppress(HeadraceError):  # a server that is gone has forgotten it
                client.purge(digest, wait=_REGISTER_SECONDS)


def _round_trip(run: CanaryRun, client: Client, digest: bytes) -> tuple[Verdict, str]:
    # One group after the other: groups may lie over each other in one memory.
    patterns = []
    for group, source in enumerate(run.sources):
        before = _read(run, group, source)
        pattern = [_noise_like(view) for view in before]
        _write(run, group, source, pattern)
        code = _finish(client, client.save([Chain([digest], [source], group=group)]))
        _write(run, group, source, before)
        if code is not Code.OK:
            return Verdict.UNKNOWN, f"the canary block was not saved ({_name(code)})"
        patterns.append(pattern)
    for group, pattern in enumerate(patterns):
        verdict, reason = _load_and_compare(run, client, digest, group, pattern)
        if verdict is not Verdict.PASSED:
            return verdict, reason
    return Verdict.PASSED, ""


def _load_and_compare(
    run: CanaryRun, client: Client, digest: bytes, group: int, pattern: Sequence[torch.Tensor]
) -> tuple[Verdict, str]:
    answer = client.query([Query([digest], want_lease=True)])[0]
    if answer.lease == 0:
        return Verdict.UNKNOWN, "the canary block was not found again"
    before = _read(run, group, NULL_BLOCK)
    _write(run, group, NULL_BLOCK, [torch.zeros_like(view) for view in pattern])
    targets = [[NULL_BLOCK if g == group else NO_BLOCK] for g in range(len(run.groups))]
    code = _finish(client, client.load(answer.lease, 0, 1, targets))
    client.release([answer.lease])
    got = _read(run, group, NULL_BLOCK)
    _write(run, group, NULL_BLOCK, before)
    if code is not Code.OK:
        return Verdict.UNKNOWN, f"the canary block was not loaded ({_name(code)})"
    for index, (view, want) in enumerate(zip(got, pattern, strict=True)):
        if not torch.equal(view, want):
            return Verdict.FAILED, (
                f"view {index} of KV cache group {group} came back with other bytes than were saved"
            )
    return Verdict.PASSED, ""


def _name(code: Code | None) -> str:
    return "not in time" if code is None else code.name.lower()


def _finish(client: Client, submission: int) -> Code | None:
    """How a transfer ended, after its fence; None when it could not be started or did not end."""
    if submission == 0:
        return None
    revoke_at = time.monotonic() + _TRANSFER_SECONDS
    give_up_at = revoke_at + _TRANSFER_SECONDS
    while time.monotonic() < give_up_at:
        for completion in client.poll(wait=0.05):
            if completion.submission == submission:
                return completion.code
        if time.monotonic() > revoke_at:
            client.revoke(submission)
    return None


def _views(run: CanaryRun, group: int, block: int) -> list[torch.Tensor]:
    names = run.plan.groups[group].layer_names
    return [v for name in names for v in block_views(run.caches[name], run.num_blocks, block)]


def _read(run: CanaryRun, group: int, block: int) -> list[torch.Tensor]:
    return [view.clone() for view in _views(run, group, block)]


def _write(run: CanaryRun, group: int, block: int, values: Sequence[torch.Tensor]) -> None:
    for view, value in zip(_views(run, group, block), values, strict=True):
        view.copy_(value)


def _noise_like(view: torch.Tensor) -> torch.Tensor:
    if view.dtype.is_floating_point:
        return torch.randn(view.shape, dtype=torch.float32).to(view.dtype)
    return torch.randint(0, 127, view.shape, dtype=torch.int64).to(view.dtype)
