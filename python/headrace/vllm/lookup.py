"""What the server holds of waiting requests: lookups in batches, leases, and external resets."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vllm.logger import init_logger

from headrace.client import Client
from headrace.types import Answer, Code, HeadraceError, Query
from headrace.vllm.config import RequestOptions, Settings
from headrace.vllm.layout import CachePlan
from headrace.vllm.stats import Counts

if TYPE_CHECKING:
    from vllm.v1.request import Request

logger = init_logger("vllm.headrace")

BATCH = 32
"""Requests looked up in one call. More would lease blocks for requests that wait for long."""
_FRESH_SECONDS = 10.0
"""An answer with a lease is asked for again after this; the server's leases live for longer."""
_PREFIX_FROM_BLOCKS = 32
"""From this length the server keeps the hashes, and a resumed request sends only its new ones."""
_CLEAR_SECONDS = 1.0
_CLEAR_RETRY_SECONDS = 0.05
_CLEAR_PAUSE_SECONDS = 1.0


@dataclass(slots=True)
class RequestState:
    """All that the scheduler's half knows of one request."""

    request: Request
    options: RequestOptions
    # The last lookup, until vLLM has allocated by it.
    answer: Answer | None = None
    answered_at: float = 0.0
    local_blocks: int = 0
    judged: bool = False
    """The answer was counted, and drawn for audit or not."""
    prefix: int = 0
    prefix_blocks: int = 0
    # What comes of it.
    lease: int = 0
    loading: bool = False
    load_failed: bool = False
    audit: tuple[int, int] | None = None
    """Positions [first, end) to compare once they are computed."""
    next_save: int = 0
    """First position that the server may lack."""
    save_steps: tuple[int, ...] = ()
    """Steps whose saves of this request may still run."""


class Lookup:
    """Owns the scheduler's connection. The engine's thread only."""

    def __init__(
        self,
        plan: CachePlan,
        world_size: int,
        settings: Settings,
        client: Client,
        counts: Counts,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._plan = plan
        self._world_size = world_size
        self._worth = settings.blocks_worth_loading(plan.block_tokens)
        self._whole = settings.whole_prompt_worth_loading(plan.block_tokens)
        self._client = client
        self._counts = counts
        self._clock = clock
        self._new: dict[str, RequestState] = {}  # came since the last lookup
        self._clear_at: float | None = None  # when to try a reset again that is still due

    def blocks_of(self, request: Request) -> int:
        return len(request.block_hashes) // self._plan.hash_ratio

    def blocks_to_ask(self, request: Request) -> int:
        """As far as a hit may reach. It is not cut afterwards: of a window group only the blocks
        before the hit's own end are sure to be there."""
        tokens = request.num_tokens if self._whole else request.num_tokens - 1
        return min(self.blocks_of(request), tokens // self._plan.block_tokens)

    def await_batch(self, state: RequestState) -> None:
        """Looks the request up together with the next one that needs an answer."""
        if len(self._new) < BATCH:
            self._new[state.request.request_id] = state

    def forget(self, state: RequestState) -> None:
        self._new.pop(state.request.request_id, None)
        if state.prefix:
            self._client.drop_prefixes([state.prefix])
            state.prefix = 0

    def is_fresh(self, state: RequestState) -> bool:
        if state.answer is None:
            return False
        return not state.answer.lease or self._clock() - state.answered_at < _FRESH_SECONDS

    def ask(self, wanted: RequestState) -> None:
        """One call for this request and for all that came since the last one."""
        self._new.pop(wanted.request.request_id, None)
        states = [wanted, *self._new.values()]
        self._new.clear()
        if not self._take_clear():
            for state in states:
                state.answer = Answer(code=Code.UNAVAILABLE)
            return
        self.drop_leases(states)
        queries = [self._query(state, state is wanted) for state in states]
        answers = self._client.query(queries)
        now = self._clock()
        for state, query, answer in zip(states, queries, answers, strict=True):
            self._remember(state, query, answer, now)

    def _query(self, state: RequestState, local_known: bool) -> Query:
        request = state.request
        blocks = self.blocks_to_ask(request)
        known = state.prefix_blocks if state.prefix and state.prefix_blocks <= blocks else 0
        hashes = self._plan.hashes_of(request.block_hashes, known, blocks)
        local = state.local_blocks if local_known else 0
        return Query(
            b"".join(hashes),
            hash_bytes=len(request.block_hashes[0]),
            prefix=state.prefix if known else 0,
            prefix_blocks=known,
            want_lease=True,
            # A streaming session may change the tokens that the server would remember.
            want_prefix=blocks >= _PREFIX_FROM_BLOCKS and not request.resumable,
            min_blocks=local + self._worth - 1,
            consumers=self._world_size,
        )

    def _remember(self, state: RequestState, query: Query, answer: Answer, now: float) -> None:
        state.answer, state.answered_at, state.lease = answer, now, answer.lease
        state.judged = False
        self._counts.add("queries", 1)
        if answer.code in (Code.UNAVAILABLE, Code.TIMEOUT):
            self._counts.add("query_failures", 1)
            return
        if state.prefix and state.prefix != answer.prefix:
            self._client.drop_prefixes([state.prefix])
        state.prefix = answer.prefix
        state.prefix_blocks = query.prefix_blocks + len(query.hashes) // query.hash_bytes

    def drop_leases(self, states: Iterable[RequestState]) -> None:
        leases = []
        for state in states:
            if state.lease:
                leases.append(state.lease)
                state.lease = 0
        if leases:
            self._client.release(leases)

    def release(self, lease: int) -> None:
        self._client.release([lease])

    # External resets.

    def clear(self) -> bool:
        """Until the server has taken the reset, nothing that it holds is used."""
        return self._clear(_CLEAR_SECONDS)

    def _take_clear(self) -> bool:
        """Whether no reset is due; tries one that is, at most once a second."""
        if self._clear_at is None:
            return True
        if self._clock() < self._clear_at:
            return False
        return self._clear(_CLEAR_RETRY_SECONDS)

    def _clear(self, wait: float) -> bool:
        try:
            self._client.clear(wait=wait)
        except HeadraceError as error:
            self._clear_at = self._clock() + _CLEAR_PAUSE_SECONDS
            logger.warning(
                "headrace: the reset has not reached the server yet, nothing is loaded until it "
                "has: %s",
                error,
            )
            return False
        self._clear_at = None
        return True

    def close(self) -> None:
        self._client.close()
