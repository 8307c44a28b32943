"""Gives vLLM's KV buffer to the server, and proves that both see the same blocks in it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from vllm.logger import init_logger
from vllm.v1.kv_cache_interface import KVCacheConfig

from headrace.client import Client
from headrace.types import Buffer, Group, HeadraceError
from headrace.vllm.audit import Auditor, EngineSide, can_audit
from headrace.vllm.canary import NULL_BLOCK, CanaryRun, Verdict, run_canary, startup_sources
from headrace.vllm.layout import (
    CachePlan,
    LayoutError,
    check_against_views,
    wire_groups,
)
from headrace.vllm.memory import share_storage

logger = init_logger("vllm.headrace")

_REGISTER_SECONDS = 1.0
_RECHECK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this worker is to the server."""

    name_space: str
    rank: int = 0
    world_size: int = 1
    fp8: torch.dtype | None = None
    """How vLLM reads a KV cache that it keeps in tensors of bytes."""


class Handover:
    """Owns the worker's connection. The worker's thread only. Never raises because of a server
    that is not there: what is due is done when it comes."""

    def __init__(
        self,
        plan: CachePlan,
        identity: Identity,
        connect: Callable[[str], Client],
        audits: bool,
    ) -> None:
        self._plan = plan
        self._identity = identity
        self._connect = connect
        self._audits = audits
        self.client: Client | None = None
        self.auditor: Auditor | None = None
        self.disabled: str | None = None
        self._canary: CanaryRun | None = None  # until it has passed
        self._recheck_at = 0.0

    def register(self, caches: Mapping[str, torch.Tensor], config: KVCacheConfig) -> None:
        """What the cache's shape forbids, or the server refuses, disables us."""
        try:
            storage, groups = wire_groups(self._plan, config, caches)
            check_against_views(groups, self._plan, caches, config.num_blocks)
            descriptor = share_storage(storage)
        except LayoutError as error:
            self.disable(str(error))
            return
        buffer = Buffer(descriptor, storage.nbytes())
        sources = startup_sources(len(groups))
        if config.num_blocks <= max(sources):
            sources = [NULL_BLOCK] * len(groups)
        name = self._identity.name_space
        self._canary = CanaryRun(
            self._plan, caches, config.num_blocks, buffer, groups, name, sources
        )
        try:
            self._run_canary()
            if self.disabled is None:
                self._join(buffer, groups)
                self._make_auditor(groups, caches, config.num_blocks)
        except HeadraceError as error:
            self.disable(f"the server refuses the registration: {error}")

    def _join(self, buffer: Buffer, groups: list[Group]) -> None:
        me, plan = self._identity, self._plan
        self.client = self._connect("worker")
        answered = self.client.register(
            me.name_space,
            rank=me.rank,
            world_size=me.world_size,
            block_tokens=plan.block_tokens,
            buffers=[buffer],
            groups=groups,
            wait=_REGISTER_SECONDS,
        )
        logger.info(
            "headrace: rank %d of %d hands over %d MiB, %d blocks of %d tokens, namespace %s%s",
            me.rank,
            me.world_size,
            buffer.bytes >> 20,
            groups[0].layout.num_blocks,
            plan.block_tokens,
            me.name_space,
            "" if answered else "; the server is not there yet",
        )

    def _make_auditor(
        self, groups: list[Group], caches: Mapping[str, torch.Tensor], num_blocks: int
    ) -> None:
        if not self._audits:
            return
        if not can_audit(self._plan):
            logger.warning("headrace: no audits: the model has window or state KV groups")
            return
        me = self._identity
        engine = EngineSide(self._plan, caches, num_blocks, me.fp8)
        self.auditor = Auditor(engine, groups, lambda: self._connect("audit"))
        self.auditor.register(me.name_space, me.rank, me.world_size)

    def usable(self) -> bool:
        """Whether loads and saves may be started now. Runs a canary that is still due."""
        if self.disabled is not None or self.client is None:
            return False
        if self._canary is None:
            return True
        now = time.monotonic()
        if now < self._recheck_at:
            return False
        self._recheck_at = now + _RECHECK_SECONDS
        if not self.client.ready:
            return False
        # Any other block may be in use by now.
        self._canary = replace(self._canary, sources=[NULL_BLOCK] * len(self._plan.groups))
        self._run_canary()
        return self._canary is None

    def _run_canary(self) -> None:
        assert self._canary is not None
        try:
            verdict, reason = run_canary(self._canary, lambda: self._connect("canary"))
        except HeadraceError as error:
            self.disable(f"the server refuses the KV cache's layout: {error}")
            return
        if verdict is Verdict.FAILED:
            self.disable(f"the canary block failed: {reason}")
        elif verdict is Verdict.PASSED:
            self._canary = None
        else:
            logger.warning("headrace: no canary yet, nothing is loaded or saved: %s", reason)

    def disable(self, reason: str) -> None:
        """From now on this engine computes everything itself."""
        if self.disabled is None:
            self.disabled = reason
            logger.error("headrace: DISABLED, the engine runs on without its cache: %s", reason)

    def close(self) -> None:
        if self.auditor is not None:
            self.auditor.close()
        if self.client is not None:
            self.client.close()
