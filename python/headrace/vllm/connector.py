"""HeadraceConnector: vLLM's hooks, each passed on to the scheduler's or the worker's half.

No hook raises: what goes wrong is logged once a kind, counted, and answered with what lets the
engine compute by itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from vllm.config import VllmConfig
from vllm.distributed.kv_transfer.kv_connector.v1.base import (
    KVConnectorBase_V1,
    KVConnectorMetadata,
    KVConnectorRole,
    KVConnectorTransferResults,
    SupportsHMA,
)
from vllm.distributed.kv_transfer.kv_connector.v1.metrics import (
    KVConnectorPromMetrics,
    KVConnectorStats,
    PromMetric,
    PromMetricT,
)
from vllm.logger import init_logger
from vllm.v1.kv_cache_interface import KVCacheConfig
from vllm.v1.metrics.cache_hit_source import CacheHitSource

from headrace.client import Client
from headrace.vllm.config import Settings, parse_settings, served_pods
from headrace.vllm.handover import Identity
from headrace.vllm.hooks import guard, hook, nothing
from headrace.vllm.layout import CachePlan, plan_cache
from headrace.vllm.metadata import HeadraceMetadata, HeadraceWorkerMetadata
from headrace.vllm.namespace import namespace_of
from headrace.vllm.scheduler import Scheduler
from headrace.vllm.stats import Counts, HeadracePromMetrics, HeadraceStats
from headrace.vllm.worker import Worker

if TYPE_CHECKING:
    from vllm.forward_context import ForwardContext
    from vllm.v1.attention.backend import AttentionMetadata
    from vllm.v1.core.kv_cache_manager import KVCacheBlocks
    from vllm.v1.core.sched.output import SchedulerOutput
    from vllm.v1.outputs import KVConnectorOutput
    from vllm.v1.request import Request

logger = init_logger("vllm.headrace")


class HeadraceConnector(KVConnectorBase_V1, SupportsHMA):
    """One object in the scheduler's process, one in each worker's; they share nothing but what
    vLLM carries between them (HeadraceMetadata, HeadraceWorkerMetadata)."""

    _cache_hit_source = CacheHitSource.HOST

    def __init__(
        self, vllm_config: VllmConfig, role: KVConnectorRole, kv_cache_config: KVCacheConfig
    ) -> None:
        super().__init__(vllm_config, role, kv_cache_config)
        self.counts = Counts()
        self.seen_errors: set[tuple[str, str]] = set()
        self._scheduler: Scheduler | None = None
        self._worker: Worker | None = None
        # Wrong settings raise: vLLM has not started yet, and the user is there to read it.
        self._settings = parse_settings(self._kv_transfer_config.kv_connector_extra_config)
        self._warn_of_policy()
        guard(self, "start", self._start)

    def _warn_of_policy(self) -> None:
        if self._kv_transfer_config.kv_load_failure_policy != "recompute":
            logger.warning(
                "headrace: kv_load_failure_policy is %r: a load that fails ends its request with "
                'an error; set "recompute" to have vLLM compute it instead',
                self._kv_transfer_config.kv_load_failure_policy,
            )

    def _start(self) -> None:
        config, cache = self._vllm_config, self._kv_cache_config
        block_tokens = _block_tokens(config, cache)
        hash_tokens = cache.hash_block_size or block_tokens
        plan = plan_cache(cache, block_tokens, hash_tokens)
        world_size = config.parallel_config.world_size
        name_space = namespace_of(config, cache, plan)
        if self._role is KVConnectorRole.SCHEDULER:
            self._scheduler = self._make_scheduler(plan, name_space, world_size)
        else:
            rank = config.parallel_config.rank if world_size > 1 else 0
            fp8 = _fp8_of(config.cache_config.cache_dtype)
            identity = Identity(name_space, rank, world_size, fp8)
            self._worker = Worker(self._settings, plan, identity, self._connect, self.counts)

    def _make_scheduler(self, plan: CachePlan, name_space: str, world_size: int) -> Scheduler:
        client = self._connect("scheduler")
        client.register(name_space, block_tokens=plan.block_tokens, world_size=world_size)
        logger.info("headrace: the scheduler looks up namespace %s", name_space)
        return Scheduler(self._settings, plan, world_size, client, self.counts)

    def _connect(self, part: str) -> Client:
        settings = self._settings
        pods, pods_model = served_pods(settings, self._vllm_config)
        longest = max(settings.load_timeout_ms, settings.save_timeout_ms)
        return Client(
            settings.endpoint,
            # Leases of the scheduler are used by workers: both must be the same instance.
            instance=settings.instance_id or f"vllm-{self._kv_transfer_config.engine_id}",
            program=f"headrace-vllm-{part}",
            # A scheduler's step waits for a lookup; nobody waits for a canary's.
            call_timeout=settings.query_timeout_ms / 1000 if part == "scheduler" else 1.0,
            # The worker takes back what is late; this is for a worker that makes no steps.
            transfer_timeout=longest / 1000 + 1.0,
            pods=pods,
            pods_model=pods_model,
        )

    # What vLLM asks of the class.

    @property
    def requires_kv_delivery(self) -> bool:
        return False  # a cache: a dropped save is a later miss

    @classmethod
    def build_kv_connector_stats(
        cls, data: dict[str, Any] | None = None
    ) -> KVConnectorStats | None:
        return HeadraceStats(data=data or {})

    @classmethod
    def build_prom_metrics(
        cls,
        vllm_config: VllmConfig,
        metric_types: dict[type[PromMetric], type[PromMetricT]],
        labelnames: list[str],
        per_engine_labelvalues: dict[int, list[object]],
    ) -> KVConnectorPromMetrics | None:
        return HeadracePromMetrics(vllm_config, metric_types, labelnames, per_engine_labelvalues)

    # The scheduler's process.

    @hook(nothing)
    def on_new_request(self, request: Request) -> None:
        if self._scheduler is not None:
            self._scheduler.add(request)

    @hook(lambda: (0, False))
    def get_num_new_matched_tokens(
        self, request: Request, num_computed_tokens: int
    ) -> tuple[int | None, bool]:
        if self._scheduler is None:
            return 0, False
        return self._scheduler.match(request, num_computed_tokens)

    @hook(nothing)
    def update_state_after_alloc(
        self, request: Request, blocks: KVCacheBlocks, num_external_tokens: int
    ) -> None:
        scheduler = self._scheduler
        if scheduler is None:
            return
        table = blocks.get_block_ids() if num_external_tokens else ()
        planned = guard(
            self,
            "update_state_after_alloc",
            lambda: scheduler.allocated(request, table, num_external_tokens),
        )
        if not planned and num_external_tokens:
            scheduler.give_up_load(request, table)

    @hook(HeadraceMetadata)
    def build_connector_meta(self, scheduler_output: SchedulerOutput) -> KVConnectorMetadata:
        if self._scheduler is None:
            return HeadraceMetadata()
        return self._scheduler.build(scheduler_output)

    @hook(nothing)
    def update_connector_output(self, connector_output: KVConnectorOutput) -> None:
        if self._scheduler is None:
            return
        meta = connector_output.kv_connector_worker_meta
        self._scheduler.update(
            connector_output.finished_recving or (),
            meta if isinstance(meta, HeadraceWorkerMetadata) else None,
        )

    @hook(lambda: (False, None))
    def request_finished(
        self, request: Request, block_ids: list[int]
    ) -> tuple[bool, dict[str, Any] | None]:
        return self._finished(request)

    @hook(lambda: (False, None))
    def request_finished_all_groups(
        self, request: Request, block_ids: tuple[list[int], ...]
    ) -> tuple[bool, dict[str, Any] | None]:
        return self._finished(request)

    def _finished(self, request: Request) -> tuple[bool, dict[str, Any] | None]:
        return (self._scheduler is not None and self._scheduler.finished(request)), None

    @hook(lambda: False)
    def reset_cache(self) -> bool | None:
        """False when the server has not taken the reset yet: nothing is loaded until it has."""
        return True if self._scheduler is None else self._scheduler.reset()

    # The worker's process. Blocks are moved whole, outside the forward pass, so the hooks of the
    # layers have nothing to do and CUDA graphs may skip them.

    @hook(nothing, at_start=True)
    def register_kv_caches(self, kv_caches: dict[str, torch.Tensor]) -> None:
        if self._worker is not None:
            self._worker.register(kv_caches, self._kv_cache_config)

    @hook(nothing)
    def handle_preemptions(self, kv_connector_metadata: KVConnectorMetadata) -> None:
        if self._worker is not None and isinstance(kv_connector_metadata, HeadraceMetadata):
            self._worker.fence(kv_connector_metadata)

    @hook(nothing)
    def start_load_kv(self, forward_context: ForwardContext, **kwargs: Any) -> None:
        meta = self._step_metadata()
        if self._worker is not None and meta is not None:
            self._worker.start_loads(meta)

    def wait_for_layer_load(self, layer_name: str) -> None:
        return None

    def save_kv_layer(
        self,
        layer_name: str,
        kv_layer: torch.Tensor,
        attn_metadata: AttentionMetadata,
        **kwargs: Any,
    ) -> None:
        return None

    @hook(nothing)
    def wait_for_save(self) -> None:
        meta, worker = self._step_metadata(), self._worker
        if worker is not None and meta is not None:
            worker.start_saves(meta)
            guard(self, "audit", lambda: worker.audit(meta))

    def get_finished(self, finished_req_ids: set[str]) -> tuple[set[str] | None, set[str] | None]:
        results = self.get_transfer_results(finished_req_ids)
        return results.finished_sending, results.finished_recving

    @hook(KVConnectorTransferResults)
    def get_transfer_results(self, finished_req_ids: set[str]) -> KVConnectorTransferResults:
        if self._worker is None:
            return self._refuse_all()
        done = self._worker.take_transfers()
        return KVConnectorTransferResults(done.sent, done.received, done.failed)

    def _refuse_all(self) -> KVConnectorTransferResults:
        """A worker that could not start: the scheduler may not know yet."""
        meta = self._step_metadata()
        loads = {intent.request_id for intent in meta.loads} if meta is not None else set()
        holds = {hold.request_id for hold in meta.holds} if meta is not None else set()
        return KVConnectorTransferResults(holds, loads, set(loads))

    @hook(set)
    def get_block_ids_with_load_errors(self) -> set[int]:
        return set() if self._worker is None else self._worker.take_bad_blocks()

    @hook(nothing)
    def build_connector_worker_meta(self) -> HeadraceWorkerMetadata | None:
        return None if self._worker is None else self._worker.take_meta()

    def _step_metadata(self) -> HeadraceMetadata | None:
        meta = self._connector_metadata
        return meta if isinstance(meta, HeadraceMetadata) else None

    # Both.

    @hook(nothing)
    def get_kv_connector_stats(self) -> KVConnectorStats | None:
        return self.counts.take()

    @hook(nothing)
    def shutdown(self) -> None:
        if self._worker is not None:
            self._worker.close()
        if self._scheduler is not None:
            self._scheduler.close()

    def take_events(self) -> Iterable[Any]:
        return ()  # vLLM announces loaded blocks itself; the server publishes its own


def _block_tokens(config: VllmConfig, cache: KVCacheConfig) -> int:
    """Tokens of one manager block over all context-parallel ranks, as the scheduler counts."""
    parallel = config.parallel_config
    ranks = getattr(parallel, "decode_context_parallel_size", 1) * getattr(
        parallel, "prefill_context_parallel_size", 1
    )
    if ranks != 1:
        raise NotImplementedError("context parallelism is not supported by this version")
    return cache.kv_cache_groups[0].kv_cache_spec.block_size


def _fp8_of(cache_dtype: str) -> torch.dtype | None:
    if not cache_dtype.startswith("fp8"):
        return None
    return torch.float8_e5m2 if cache_dtype.endswith("e5m2") else torch.float8_e4m3fn


__all__ = ["HeadraceConnector", "Settings"]
