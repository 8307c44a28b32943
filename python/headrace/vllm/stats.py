"""Counts of the connector, and their way to vLLM's /metrics as vllm:headrace_*."""

from __future__ import annotations

import time
from typing import Any

from vllm.config import VllmConfig
from vllm.distributed.kv_transfer.kv_connector.v1.metrics import (
    KVConnectorPromMetrics,
    KVConnectorStats,
    PromMetric,
    PromMetricT,
)

COUNTERS: dict[str, str] = {
    "queries": "Prefixes looked up in Headrace.",
    "hits": "Lookups whose answer was worth loading.",
    "misses": "Lookups whose answer was not worth loading.",
    "query_failures": "Lookups that nobody answered in time; they count as misses too.",
    "loads": "Loads that ended well.",
    "loaded_blocks": "Blocks loaded from Headrace.",
    "loaded_bytes": "Bytes loaded from Headrace.",
    "load_failures": "Loads that failed; vLLM computes their tokens.",
    "saves": "Saves that ended, one a step at most.",
    "saved_blocks": "Blocks stored in Headrace.",
    "deduped_blocks": "Blocks that were there already.",
    "refused_blocks": "Blocks that Headrace had no room or quota for.",
    "failed_blocks": "Blocks whose save failed, was revoked, or found no server.",
    "revoked": "Transfers taken back: too slow, or their blocks were needed.",
    "audits": "Blocks that were computed and compared with what was stored.",
    "audit_alarms": "Compared blocks that differed.",
    "hook_errors": "Exceptions caught in the connector's hooks.",
    "hook_us": "CPU microseconds in the connector's hooks, all processes together.",
    "steps": "Scheduler steps.",
}
GAUGES: dict[str, str] = {
    "connected": "1 while a worker can load and save.",
    "disabled": "1 when a worker gave up: see the log.",
    "audit_relative": "Largest difference of a segment seen by audits, over its norm.",
    "audit_element": "Largest difference of one element, over its segment's root mean square.",
}
_QUIET_SECONDS = 1.0
"""Hook time and steps change in every step; alone they are reported this often."""


class Counts:
    """Counts since the last report. One a connector half; its thread only."""

    __slots__ = ("_values", "_gauges", "_dirty", "_reported_at", "hook_ns", "steps")

    def __init__(self) -> None:
        self._values: dict[str, float] = {}
        self._gauges: dict[str, float] = {}
        self._dirty = False
        self._reported_at = time.monotonic()
        self.hook_ns = 0
        self.steps = 0

    def add(self, name: str, value: float) -> None:
        assert name in COUNTERS
        if value:
            self._values[name] = self._values.get(name, 0) + value
            self._dirty = True

    def set(self, name: str, value: float) -> None:
        assert name in GAUGES
        if self._gauges.get(name) != value:
            self._gauges[name] = value
            self._dirty = True

    def raise_to(self, name: str, value: float) -> None:
        """Of a gauge that keeps the largest."""
        self.set(name, max(value, self._gauges.get(name, 0.0)))

    def take(self) -> HeadraceStats | None:
        """What is new, or None while it can wait."""
        if not self._dirty:
            quiet = self.hook_ns == 0 and self.steps == 0
            if quiet or time.monotonic() - self._reported_at < _QUIET_SECONDS:
                return None
        data: dict[str, Any] = self._values
        data["hook_us"] = self.hook_ns / 1000
        if self.steps:
            data["steps"] = self.steps
        data.update(self._gauges)
        self._values, self._dirty = {}, False
        self.hook_ns = self.steps = 0
        self._reported_at = time.monotonic()
        return HeadraceStats(data=data)


class HeadraceStats(KVConnectorStats):
    """Flat name -> number. Counters are increments; gauges are what one half sees now."""

    def reset(self) -> None:
        self.data = {}

    def aggregate(self, other: KVConnectorStats) -> KVConnectorStats:
        for name, value in other.data.items():
            before = self.data.get(name, 0)
            self.data[name] = max(before, value) if name in GAUGES else before + value
        return self

    def reduce(self) -> dict[str, int | float]:
        return {name: round(value, 1) for name, value in self.data.items() if name in COUNTERS}

    def is_empty(self) -> bool:
        return not self.data


class HeadracePromMetrics(KVConnectorPromMetrics):
    def __init__(
        self,
        vllm_config: VllmConfig,
        metric_types: dict[type[PromMetric], type[PromMetricT]],
        labelnames: list[str],
        per_engine_labelvalues: dict[int, list[object]],
    ) -> None:
        super().__init__(vllm_config, metric_types, labelnames, per_engine_labelvalues)
        self._bound: dict[tuple[str, int], Any] = {}
        for names, metric in ((COUNTERS, self._counter_cls), (GAUGES, self._gauge_cls)):
            for name, text in names.items():
                family: Any = metric(
                    name=f"vllm:headrace_{name}", documentation=text, labelnames=labelnames
                )
                for engine, labels in per_engine_labelvalues.items():
                    self._bound[name, engine] = family.labels(*labels)

    def observe(self, transfer_stats_data: dict[str, Any], engine_idx: int = 0) -> None:
        for name, value in transfer_stats_data.items():
            metric = self._bound.get((name, engine_idx))
            if metric is None:
                continue
            if name in GAUGES:
                metric.set(value)
            else:
                metric.inc(value)
