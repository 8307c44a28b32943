"""The scheduler's half: decides what is loaded and saved, and keeps leases and blocks for it."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING

from vllm.logger import init_logger

from headrace.client import Client
from headrace.types import NO_BLOCK
from headrace.vllm.audit import MAX_BLOCKS
from headrace.vllm.config import Settings, parse_request_options
from headrace.vllm.hooks import guard
from headrace.vllm.layout import CachePlan
from headrace.vllm.lookup import Lookup, RequestState
from headrace.vllm.metadata import (
    AuditIntent,
    BlockTable,
    HeadraceMetadata,
    HeadraceWorkerMetadata,
    HoldIntent,
    LoadIntent,
    SaveIntent,
)
from headrace.vllm.stats import Counts

if TYPE_CHECKING:
    from vllm.v1.core.sched.output import SchedulerOutput
    from vllm.v1.request import Request

logger = init_logger("vllm.headrace")

_NULL_BLOCK = 0

VllmBlocks = tuple[list[int], ...]
"""A request's block table, one list a KV cache group of vLLM."""


class Scheduler:
    """One an engine core; its thread only. A request's lease lives from its match to the end of
    its load, or of the request."""

    def __init__(
        self,
        settings: Settings,
        plan: CachePlan,
        world_size: int,
        client: Client,
        counts: Counts,
        *,
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.counts = counts
        self.seen_errors: set[tuple[str, str]] = set()
        # Set once.
        self._settings = settings
        self._plan = plan
        self._world_size = world_size
        self._draw = draw
        self._worth = settings.blocks_worth_loading(plan.block_tokens)
        self._lookup = Lookup(plan, world_size, settings, client, counts, clock=clock)
        # The engine's thread.
        self.disabled: str | None = None
        self._requests: dict[str, RequestState] = {}
        self._step = 0
        self._open_steps: dict[int, int] = {}  # step -> ranks that still save
        self._orphans: dict[str, int] = {}  # leases of loads whose request was aborted
        # For the next step's metadata.
        self._loads: list[LoadIntent] = []
        self._holds: list[HoldIntent] = []

    # Matching.

    def add(self, request: Request) -> None:
        state = self._state(request)
        if self._may_load(state) and self._lookup.blocks_to_ask(request) > 0:
            self._lookup.await_batch(state)

    def match(self, request: Request, num_computed: int) -> tuple[int, bool]:
        """How many tokens beyond num_computed can be loaded, and whether asynchronously: always.
        Changes nothing of vLLM's; asked again for the same request it answers from memory."""
        state = self._state(request)
        bs = self._plan.block_tokens
        if not self._may_load(state) or self._lookup.blocks_to_ask(request) == 0:
            return 0, False
        state.local_blocks = num_computed // bs
        if not self._lookup.is_fresh(state):
            self._lookup.ask(state)
        count = self._loadable(state) - state.local_blocks
        if not state.judged:
            self._judge(state, count >= self._worth)
        if state.audit is not None or count < self._worth:
            return 0, False
        return count * bs, True

    def _may_load(self, state: RequestState) -> bool:
        return (
            self.disabled is None
            and not state.load_failed
            and not state.request.skip_reading_prefix_cache
        )

    def _loadable(self, state: RequestState) -> int:
        """Positions [0, n) of the request that may come from the server."""
        assert state.answer is not None
        if not state.lease:
            return 0
        blocks = state.answer.hit_blocks
        if state.options.max_load_tokens is not None:
            # Beyond what vLLM has itself.
            limit = state.local_blocks + state.options.max_load_tokens // self._plan.block_tokens
            if blocks > limit and self._plan.has_windows:
                return 0
            blocks = min(blocks, limit)
        return blocks

    def _judge(self, state: RequestState, hit: bool) -> None:
        """Once an answer: counts it, and turns some hits into misses to audit them."""
        state.judged = True
        self.counts.add("hits" if hit else "misses", 1)
        if hit and self._settings.audit_share > 0 and self._draw() < self._settings.audit_share:
            first, end = state.local_blocks, self._loadable(state)
            first += int(self._draw() * (end - first))
            state.audit = (first, min(end, first + MAX_BLOCKS))

    # Allocation and the step.

    def allocated(self, request: Request, blocks: VllmBlocks, num_external: int) -> None:
        """vLLM has decided: num_external tokens will be loaded by us, or none (too few blocks were
        worth it, or a MultiConnector chose another child)."""
        state = self._requests.get(request.request_id)
        if state is None or state.loading or state.answer is None:
            return  # the second call, after a load
        answer, state.answer = state.answer, None
        state.next_save = answer.hit_blocks
        if num_external == 0:
            if state.audit is None:
                self._lookup.drop_leases([state])
            return
        first = state.local_blocks
        count = num_external // self._plan.block_tokens
        table = self._table(blocks, first, first + count)
        state.loading = True
        self._loads.append(LoadIntent(request.request_id, state.lease, first, count, table))

    def give_up_load(self, request: Request, blocks: VllmBlocks) -> None:
        """vLLM waits for a load that could not be planned: let a worker report it as failed."""
        if not any(intent.request_id == request.request_id for intent in self._loads):
            table = [list(blocks[group.group_id]) for group in self._plan.groups]
            self._loads.append(LoadIntent(request.request_id, 0, 0, 0, table))

    def build(self, output: SchedulerOutput) -> HeadraceMetadata:
        """Loads and holds always go out, whatever becomes of the saves: vLLM waits for them."""
        self._step += 1
        meta = HeadraceMetadata(
            step=self._step,
            idle=output.total_num_scheduled_tokens == 0,
            loads=self._loads,
            holds=self._holds,
        )
        self._loads, self._holds = [], []
        self.counts.steps += 1
        for request_id in output.preempted_req_ids or ():
            self._preempted(request_id, meta)
        if self.disabled is None and output.num_scheduled_tokens:
            guard(self, "plan_saves", lambda: self._plan_saves(output, meta))
        if meta.saves:
            self._open_steps[self._step] = self._world_size
        return meta

    def _preempted(self, request_id: str, meta: HeadraceMetadata) -> None:
        state = self._requests.get(request_id)
        if state is None:
            return
        meta.fences.extend(step for step in state.save_steps if step in self._open_steps)
        state.save_steps = ()
        state.audit = None
        state.next_save = 0
        if not state.loading:
            self._lookup.drop_leases([state])

    def _plan_saves(self, output: SchedulerOutput, meta: HeadraceMetadata) -> None:
        bs = self._plan.block_tokens
        for request_id, scheduled in output.num_scheduled_tokens.items():
            state = self._requests.get(request_id)
            if state is None:
                continue
            end = (state.request.num_computed_tokens + scheduled) // bs
            if end > state.next_save or state.audit is not None:
                self._plan_blocks(state, end, output, meta)

    def _plan_blocks(
        self, state: RequestState, end: int, output: SchedulerOutput, meta: HeadraceMetadata
    ) -> None:
        """After this step the request's blocks [0, end) are computed."""
        request = state.request
        # Draft tokens that may be rejected have no hash yet, so hashes bound it too.
        end = min(end, self._lookup.blocks_of(request))
        if not self._settings.save_decode:
            end = min(end, request.num_prompt_tokens // self._plan.block_tokens)
        audited = state.audit is not None and end >= state.audit[1]
        saved = end > state.next_save and not state.options.skip_save
        if not audited and not saved:
            return
        assert output.kv_connector_block_state is not None
        blocks = output.kv_connector_block_state.get_block_ids(request.request_id)
        assert blocks is not None
        if audited:
            meta.audits.append(self._audit(state, blocks))
        if saved:
            meta.saves.append(self._save(state, end, blocks))
            running = [s for s in state.save_steps if s in self._open_steps]
            state.save_steps = (*running, self._step)

    def _save(self, state: RequestState, end: int, blocks: VllmBlocks) -> SaveIntent:
        request, first = state.request, state.next_save
        state.next_save = end
        hashes = self._plan.hashes_of(request.block_hashes, first, end)
        parent = request.block_hashes[self._plan.hash_index(first - 1)] if first else None
        return SaveIntent(
            depth=first,
            parent=parent,
            hashes=b"".join(hashes),
            hash_bytes=len(hashes[0]),
            blocks=self._table(blocks, first, end),
            lora_id=_id_of(request.lora_request.lora_name) if request.lora_request else 0,
            salt_id=_id_of(request.cache_salt) if request.cache_salt else 0,
        )

    def _audit(self, state: RequestState, blocks: VllmBlocks) -> AuditIntent:
        assert state.audit is not None
        (first, end), state.audit = state.audit, None
        hashes = self._plan.hashes_of(state.request.block_hashes, first, end)
        table = self._table(blocks, first, end)
        name = state.request.request_id
        return AuditIntent(name, state.lease, first, end - first, table, hashes)

    def _table(self, blocks: VllmBlocks, first: int, end: int) -> BlockTable:
        return [
            [b if b != _NULL_BLOCK else NO_BLOCK for b in blocks[group.group_id][first:end]]
            for group in self._plan.groups
        ]

    # Ends.

    def finished(self, request: Request) -> bool:
        """True: vLLM keeps the blocks until a worker reports the request as sent."""
        state = self._requests.pop(request.request_id, None)
        if state is None:
            return False
        self._lookup.forget(state)
        if state.loading:
            # vLLM keeps the blocks of a load itself until it is reported as received; asking for
            # more would have it wait for a report of sending that has nothing to say.
            self._orphans[request.request_id] = state.lease
            return False
        self._lookup.drop_leases([state])
        steps = [step for step in state.save_steps if step in self._open_steps]
        if steps:
            self._holds.append(HoldIntent(request.request_id, steps))
        return bool(steps)

    def update(self, received: Iterable[str], meta: HeadraceWorkerMetadata | None) -> None:
        """What the workers report at the end of a step."""
        if meta is not None:
            self._hear(meta)
        for request_id in received:
            orphan = self._orphans.pop(request_id, 0)
            if orphan:
                self._lookup.release(orphan)
            state = self._requests.get(request_id)
            if state is not None and state.loading:
                state.loading = False
                self._lookup.drop_leases([state])

    def _hear(self, meta: HeadraceWorkerMetadata) -> None:
        if meta.disabled and self.disabled is None:
            self.disabled = meta.disabled
            logger.error("headrace: no lookups any more: %s", meta.disabled)
        for step, ranks in meta.closed_steps.items():
            left = self._open_steps.pop(step, 0) - ranks
            if left > 0:
                self._open_steps[step] = left
        for request_id in meta.failed_loads:
            state = self._requests.get(request_id)
            if state is not None:
                # Not tried again: what failed once may fail each time. What is computed instead
                # is offered again; the server drops what it has.
                state.load_failed = True
                state.next_save = min(state.next_save, state.local_blocks)
        for request_id in meta.ended_audits:
            state = self._requests.get(request_id)
            if state is not None and not state.loading and state.answer is None:
                self._lookup.drop_leases([state])

    def reset(self) -> bool:
        """An external reset. False: the server has not taken it yet."""
        for state in self._requests.values():
            if not state.loading:
                state.answer, state.audit = None, None
                self._lookup.drop_leases([state])
            if state.request.num_computed_tokens > 0:
                # What it has computed so far is of the time before; it must not come back.
                state.options = replace(state.options, skip_save=True)
        return self._lookup.clear()

    def close(self) -> None:
        self._lookup.close()

    def _state(self, request: Request) -> RequestState:
        state = self._requests.get(request.request_id)
        if state is None:
            state = RequestState(request, parse_request_options(request.kv_transfer_params))
            self._requests[request.request_id] = state
        return state


def _id_of(name: str) -> int:
    """A stable 64-bit name for events; the block's key does not depend on it."""
    return int.from_bytes(sha256(name.encode()).digest()[:8], "little")
