from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from types import SimpleNamespace

from headrace.vllm import HeadraceConnector
from headrace.vllm.hooks import hook, nothing
from headrace.vllm.metadata import HeadraceWorkerMetadata
from headrace.vllm.stats import Counts, HeadraceStats


def test_counts_are_reported_once_and_only_when_something_happened():
    counts = Counts()
    assert counts.take() is None
    counts.add("loads", 1)
    counts.add("loads", 2)
    taken = counts.take()
    assert taken is not None and taken.data["loads"] == 3
    assert counts.take() is None


def test_steps_alone_are_reported_rarely():
    counts = Counts()
    counts.steps = 5
    assert counts.take() is None
    counts._reported_at -= 2
    assert counts.take().data["steps"] == 5


def test_stats_of_workers_add_up_and_gauges_do_not():
    one = HeadraceStats(data={"loads": 1, "connected": 1})
    two = HeadraceStats(data={"loads": 2, "saves": 1, "connected": 1})
    assert one.aggregate(two).data == {"loads": 3, "saves": 1, "connected": 1}


def test_metrics_appear_under_vllms_names():
    registry = CollectorRegistry()

    def bound(kind):
        return lambda name, documentation, labelnames: kind(
            name, documentation, labelnames=labelnames, registry=registry
        )

    types = {Counter: bound(Counter), Gauge: bound(Gauge), Histogram: bound(Histogram)}
    config = SimpleNamespace(kv_transfer_config=None)
    prom = HeadraceConnector.build_prom_metrics(config, types, ["engine"], {0: ["0"]})
    stats = HeadraceConnector.build_kv_connector_stats({"loaded_blocks": 7, "connected": 1})
    prom.observe(stats.to_dict(), 0)
    prom.observe({"loaded_blocks": 1, "something_newer": 3}, 0)
    labels = {"engine": "0"}
    assert registry.get_sample_value("vllm:headrace_loaded_blocks_total", labels) == 8
    assert registry.get_sample_value("vllm:headrace_connected", labels) == 1


def test_a_multi_connector_finds_our_class_by_bare_name():
    from vllm.distributed.kv_transfer.kv_connector.factory import KVConnectorFactory

    assert KVConnectorFactory.get_connector_class_by_name("HeadraceConnector") is HeadraceConnector


def test_worker_reports_of_all_ranks_add_up():
    one = HeadraceWorkerMetadata(failed_loads={"a"})
    two = HeadraceWorkerMetadata(failed_loads={"b"}, disabled="why")
    one.closed_steps[3] = two.closed_steps[3] = 1
    both = one.aggregate(two)
    assert (both.closed_steps[3], both.failed_loads, both.disabled) == (2, {"a", "b"}, "why")


class Failing:
    def __init__(self):
        self.counts = Counts()
        self.seen_errors = set()

    @hook(lambda: 42)
    def compute(self):
        raise RuntimeError("broken")

    @hook(nothing)
    def work(self):
        return sum(range(10000))


def test_a_hook_answers_neutrally_instead_of_raising_and_counts():
    owner = Failing()
    assert [owner.compute() for _ in range(3)] == [42] * 3
    assert owner.seen_errors == {("compute", "RuntimeError")}
    assert owner.counts.take().data["hook_errors"] == 3


def test_the_cpu_time_of_hooks_is_counted():
    owner = Failing()
    owner.work()
    assert owner.counts.hook_ns > 0
