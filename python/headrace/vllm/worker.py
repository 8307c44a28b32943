"""The worker's half: starts loads and saves, and reports how they ended."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from vllm.logger import init_logger
from vllm.v1.kv_cache_interface import KVCacheConfig

from headrace.client import Client
from headrace.types import NO_BLOCK, Chain, Code, Completion
from headrace.vllm.config import Settings
from headrace.vllm.handover import Handover, Identity
from headrace.vllm.hooks import guard
from headrace.vllm.layout import CachePlan
from headrace.vllm.metadata import HeadraceMetadata, HeadraceWorkerMetadata, LoadIntent
from headrace.vllm.stats import Counts

logger = init_logger("vllm.headrace")

_IDLE_WAIT_SECONDS = 0.005
"""In a step without a forward pass: sooner noticed than by the next step's poll."""
_FENCE_SECONDS = 0.02
"""What a save may still take when its blocks are wanted, before it is revoked."""
_WINDOW_SECONDS = 0.1
"""What a step waits for its save where a window may give the blocks away in the next one."""
_PAUSE_SECONDS = 5.0
"""After a save that took too long, until the next one is tried."""
_LOOK_SECONDS = 1.0
"""Between looks at the connection while nothing is loaded or saved."""


@dataclass(slots=True)
class RunningLoad:
    intent: LoadIntent
    deadline: float
    revoked: bool = False


@dataclass(slots=True)
class RunningSave:
    step: int
    blocks: int
    deadline: float
    revoked: bool = False


@dataclass(slots=True)
class Transfers:
    """What the worker reports at the end of a step."""

    sent: set[str]
    received: set[str]
    failed: set[str]


class Worker:
    """One a vLLM worker; its thread only. A load's blocks are reported back only after the server's
    fence; a save that is late is revoked, after which the server cannot publish it."""

    def __init__(
        self,
        settings: Settings,
        plan: CachePlan,
        identity: Identity,
        connect: Callable[[str], Client],
        counts: Counts,
    ) -> None:
        self.counts = counts
        self.seen_errors: set[tuple[str, str]] = set()
        # Set once.
        self._settings = settings
        self._plan = plan
        self._handover = Handover(plan, identity, connect, settings.audit_share > 0)
        # The worker's thread.
        self._look_at = 0.0
        self._pause_until = 0.0  # no saves before
        self._loads: dict[int, RunningLoad] = {}
        self._saves: dict[int, RunningSave] = {}
        self._open_steps: Counter[int] = Counter()  # step -> its saves that run
        self._holds: dict[str, list[int]] = {}
        self._idle = False
        # Reported once.
        self._received: set[str] = set()
        self._failed: set[str] = set()
        self._bad_blocks: set[int] = set()
        self._meta = HeadraceWorkerMetadata()
        self._meta_new = False
        self._disabled_told = False

    def register(self, caches: Mapping[str, torch.Tensor], config: KVCacheConfig) -> None:
        self._handover.register(caches, config)

    @property
    def disabled(self) -> str | None:
        return self._handover.disabled

    @property
    def _client(self) -> Client:
        assert self._handover.client is not None
        return self._handover.client

    # A step.

    def fence(self, meta: HeadraceMetadata) -> None:
        """Before this step writes into blocks that open saves still read."""
        wanted = set(meta.fences)
        if not any(save.step in wanted for save in self._saves.values()):
            return
        self._poll_until(lambda: self._saves_of(wanted), _FENCE_SECONDS)
        for submission, save in self._saves_of(wanted):
            self._revoke(submission, save)
        # A revoked save cannot be published (its gate is set), so reading on does no harm: the
        # wait only lets a healthy server finish its chunk.
        self._poll_until(lambda: self._saves_of(wanted), _FENCE_SECONDS)

    def _saves_of(self, steps: set[int]) -> list[tuple[int, RunningSave]]:
        return [(s, save) for s, save in self._saves.items() if save.step in steps]

    def start_loads(self, meta: HeadraceMetadata) -> None:
        """Every load is reported in the end, whatever happens: vLLM waits for it."""
        self._idle = meta.idle
        for intent in meta.loads:
            if not guard(self, "start_load", lambda: self._start_load(intent)):
                self._end_load(intent, ok=False)

    def _start_load(self, intent: LoadIntent) -> None:
        submission = 0
        if intent.lease and self._handover.usable():
            submission = self._client.load(intent.lease, intent.first, intent.count, intent.blocks)
        if submission == 0:
            self._end_load(intent, ok=False)
            return
        deadline = time.monotonic() + self._settings.load_timeout_ms / 1000
        self._loads[submission] = RunningLoad(intent, deadline)

    def start_saves(self, meta: HeadraceMetadata) -> None:
        """After the forward pass, which on a CPU has ended: the blocks are complete."""
        if meta.saves and not guard(self, "start_save", lambda: self._submit_saves(meta)):
            self._close_step(meta.step)
        for hold in meta.holds:
            self._holds[hold.request_id] = hold.steps

    def _submit_saves(self, meta: HeadraceMetadata) -> None:
        submission = 0
        count = sum(len(intent.blocks[0]) for intent in meta.saves)
        if self._handover.usable() and time.monotonic() >= self._pause_until:
            submission = self._client.save(_chains(meta))
        if submission == 0:
            self.counts.add("failed_blocks", count)
            self._close_step(meta.step)
            return
        deadline = time.monotonic() + self._settings.save_timeout_ms / 1000
        self._saves[submission] = RunningSave(meta.step, count, deadline)
        self._open_steps[meta.step] += 1
        if self._plan.has_windows:
            steps = {meta.step}
            self._poll_until(lambda: self._saves_of(steps), _WINDOW_SECONDS)
            for late, save in self._saves_of(steps):
                self._give_up(late, save)

    def audit(self, meta: HeadraceMetadata) -> None:
        for intent in meta.audits:
            self._meta.ended_audits.add(intent.request_id)
            self._meta_new = True
            auditor = self._handover.auditor
            if auditor is None or not self._handover.usable():
                continue
            for digest, found in auditor.compare(intent) or ():
                self.counts.add("audits", 1)
                self.counts.raise_to("audit_relative", found.relative)
                self.counts.raise_to("audit_element", found.element)
                if found.alarming:
                    self.counts.add("audit_alarms", 1)
                    logger.error(
                        "headrace: AUDIT ALARM, block %s: what is stored differs from what was "
                        "computed (relative %.3g, element %.3g); it is purged",
                        digest.hex(),
                        found.relative,
                        found.element,
                    )
                    auditor.purge(digest)

    # Reports.

    def take_transfers(self) -> Transfers:
        if self._loads or self._saves:
            waits = self._idle and bool(self._loads or self._holds)
            self._poll(_IDLE_WAIT_SECONDS if waits else 0.0)
            self._revoke_late()
        self._look_at_connection()
        sent = {
            request
            for request, steps in self._holds.items()
            if not any(self._open_steps[step] for step in steps)
        }
        for request in sent:
            del self._holds[request]
        done = Transfers(sent, self._received, self._failed)
        self._received, self._failed = set(), set()
        return done

    def _look_at_connection(self) -> None:
        now = time.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + _LOOK_SECONDS
        # Also drives a reconnect on, and a canary that is still due.
        connected = self._handover.usable() and self._client.ready
        self.counts.set("connected", int(connected))
        self.counts.set("disabled", int(self.disabled is not None))

    def take_bad_blocks(self) -> set[int]:
        bad, self._bad_blocks = self._bad_blocks, set()
        return bad

    def take_meta(self) -> HeadraceWorkerMetadata | None:
        if self.disabled is not None and not self._disabled_told:
            self._disabled_told = self._meta_new = True
            self._meta.disabled = self.disabled
        if not self._meta_new:
            return None
        meta, self._meta = self._meta, HeadraceWorkerMetadata()
        self._meta_new = False
        return meta

    def close(self) -> None:
        self._handover.close()

    # Ends of transfers.

    def _poll_until(self, waiting: Callable[[], object], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while waiting():
            left = deadline - time.monotonic()
            if left <= 0:
                return
            self._poll(left)

    def _poll(self, wait: float) -> None:
        for completion in self._client.poll(wait=wait):
            load = self._loads.pop(completion.submission, None)
            if load is not None:
                self._count_load(completion)
                self._end_load(load.intent, ok=completion.code is Code.OK)
                continue
            save = self._saves.pop(completion.submission, None)
            if save is not None:
                self._count_save(save, completion)
                self._end_save(save)

    def _revoke_late(self) -> None:
        now = time.monotonic()
        for submission, load in self._loads.items():
            if now > load.deadline and not load.revoked:
                self._revoke(submission, load)
        late = [(s, save) for s, save in self._saves.items() if now > save.deadline]
        for submission, save in late:
            if not save.revoked:
                self._give_up(submission, save)
            else:  # see fence(): it only reads, and can publish nothing any more
                del self._saves[submission]
                self.counts.add("failed_blocks", save.blocks)
                self._end_save(save)

    def _give_up(self, submission: int, save: RunningSave) -> None:
        """The server is too slow, or frozen: spares the next steps the same wait."""
        self._revoke(submission, save)
        now = time.monotonic()
        save.deadline = now + _FENCE_SECONDS
        self._pause_until = now + _PAUSE_SECONDS

    def _revoke(self, submission: int, transfer: RunningLoad | RunningSave) -> None:
        if transfer.revoked:
            return
        transfer.revoked = True
        self._client.revoke(submission)
        self.counts.add("revoked", 1)

    def _end_load(self, intent: LoadIntent, ok: bool) -> None:
        self._received.add(intent.request_id)
        if ok:
            return
        self.counts.add("load_failures", 1)
        self._meta.failed_loads.add(intent.request_id)
        self._meta_new = True
        if self._plan.vllm_groups == 1:
            self._bad_blocks.update(b for b in intent.blocks[0] if b != NO_BLOCK)
        else:  # block ids are not unique over groups, and vLLM refuses them
            self._failed.add(intent.request_id)

    def _end_save(self, save: RunningSave) -> None:
        self._open_steps[save.step] -= 1
        if self._open_steps[save.step] <= 0:
            del self._open_steps[save.step]
            self._close_step(save.step)

    def _close_step(self, step: int) -> None:
        self._meta.closed_steps[step] += 1
        self._meta_new = True

    def _count_load(self, done: Completion) -> None:
        if done.code is Code.OK:
            self.counts.add("loads", 1)
            self.counts.add("loaded_blocks", done.loaded)
            self.counts.add("loaded_bytes", done.bytes)

    def _count_save(self, save: RunningSave, done: Completion) -> None:
        if done.code is not Code.OK:
            self.counts.add("failed_blocks", save.blocks)
            return
        self.counts.add("saves", 1)
        self.counts.add("saved_blocks", done.stored)
        self.counts.add("deduped_blocks", done.deduped)
        self.counts.add("refused_blocks", done.refused)
        self.counts.add("failed_blocks", done.failed)


def _chains(meta: HeadraceMetadata) -> list[Chain]:
    return [
        Chain(
            intent.hashes,
            blocks,
            parent=intent.parent,
            depth=intent.depth,
            group=group,
            hash_bytes=intent.hash_bytes,
            lora_id=intent.lora_id,
            salt_id=intent.salt_id,
        )
        for intent in meta.saves
        for group, blocks in enumerate(intent.blocks)
    ]
