"""Both halves behind vLLM's hooks, with what travels between them pickled as vLLM does."""

import pickle
from types import SimpleNamespace

import pytest
import torch
from factory import cache_config, computed, make_caches, make_request, step
from fake_server import FakeServer
from vllm.config import KVTransferConfig
from vllm.config.kv_events import KVEventsConfig
from vllm.distributed.kv_transfer.kv_connector.v1.base import (
    KVConnectorBase_V1,
    KVConnectorRole,
    supports_hma,
)
from vllm.distributed.kv_transfer.kv_connector.v1.multi_connector import MultiConnector
from vllm.v1.outputs import KVConnectorOutput

from headrace.vllm import HeadraceConnector
from headrace.vllm import connector as connector_module
from headrace.vllm.metadata import HeadraceMetadata

BS = 64


def vllm_config(extra=None, policy="recompute", world_size=1):
    return SimpleNamespace(
        kv_transfer_config=KVTransferConfig(
            kv_connector="HeadraceConnector",
            kv_connector_module_path="headrace.vllm",
            kv_role="kv_both",
            kv_load_failure_policy=policy,
            kv_connector_extra_config=extra or {},
        ),
        model_config=SimpleNamespace(
            model="m", revision=None, hf_config=object(), dtype="bf16", quantization=None
        ),
        cache_config=SimpleNamespace(cache_dtype="auto", prefix_caching_hash_algo="sha256"),
        parallel_config=SimpleNamespace(
            world_size=world_size, rank=0, tensor_parallel_size=1, pipeline_parallel_size=1
        ),
        device_config=SimpleNamespace(device_type="cpu"),
        scheduler_config=SimpleNamespace(disable_hybrid_kv_cache_manager=False),
    )


class Blocks:
    def __init__(self, table):
        self.table = table

    def get_block_ids(self):
        return (self.table,)


class Engine:
    """What vLLM's scheduler and model runner call, in their order."""

    def __init__(self, monkeypatch, server=None, make=None, num_blocks=32, **config):
        self.server = server or FakeServer()
        monkeypatch.setattr(
            connector_module, "Client", lambda *a, program, **k: self.server.connect(program)
        )
        self.cache = cache_config(BS, num_blocks=num_blocks)
        self.caches = make_caches(self.cache, BS)
        make = make or HeadraceConnector
        settings = vllm_config(**config)
        self.worker = make(settings, KVConnectorRole.WORKER, self.cache)
        self.worker.register_kv_caches(self.caches)
        self.scheduler = make(settings, KVConnectorRole.SCHEDULER, self.cache)
        self.output = KVConnectorOutput()

    def run(self, scheduled=None, tables=None, preempted=None, finished=()):
        """A step; fills what each block is computed to hold: its request's hash, as numbers."""
        tables = tables or {}
        meta = self.scheduler.build_connector_meta(step(scheduled, tables, preempted))
        meta = pickle.loads(pickle.dumps(meta))
        self.worker.handle_preemptions(meta)
        self.worker.bind_connector_metadata(meta)
        for request, (table,) in tables.items():
            self.compute(request, table, scheduled[request])
        self.worker.start_load_kv(None)
        self.worker.wait_for_save()
        results = self.worker.get_transfer_results(set(finished))
        out = KVConnectorOutput(
            finished_sending=results.finished_sending,
            finished_recving=results.finished_recving,
            failed_recving=results.failed_recving,
            invalid_block_ids=self.worker.get_block_ids_with_load_errors(),
            kv_connector_stats=self.worker.get_kv_connector_stats(),
            kv_connector_worker_meta=pickle.loads(
                pickle.dumps(self.worker.build_connector_worker_meta())
            ),
        )
        self.worker.clear_connector_metadata()
        computed(scheduled or {})
        self.scheduler.update_connector_output(out)
        self.output = out
        return meta

    def compute(self, request, table, scheduled):
        first = request.num_computed_tokens // BS
        end = (request.num_computed_tokens + scheduled) // BS
        for index in range(first, min(end, len(request.block_hashes))):
            for cache in self.caches.values():
                cache[table[index]] = self.value(request, index)

    @staticmethod
    def value(request, index):
        return float(request.block_hashes[index][0])

    def check(self, request, table, blocks):
        for index in range(blocks):
            for cache in self.caches.values():
                assert torch.all(cache[table[index]] == self.value(request, index))


def test_what_one_request_computed_another_loads(monkeypatch):
    engine = Engine(monkeypatch)
    first = make_request(3 * BS, BS)
    engine.scheduler.on_new_request(first)
    assert engine.scheduler.get_num_new_matched_tokens(first, 0) == (0, False)
    engine.scheduler.update_state_after_alloc(first, Blocks([1, 2, 3]), 0)
    engine.run({first: 3 * BS}, {first: ([1, 2, 3],)})
    assert engine.scheduler.request_finished_all_groups(first, ([1, 2, 3],)) == (False, None)

    second = make_request(3 * BS, BS)
    engine.scheduler.on_new_request(second)
    assert engine.scheduler.get_num_new_matched_tokens(second, 0) == (3 * BS, True)
    engine.scheduler.update_state_after_alloc(second, Blocks([9, 8, 7]), 3 * BS)
    engine.run()
    assert engine.output.finished_recving == {second.request_id}
    engine.check(second, [9, 8, 7], 3)
    assert engine.server.leases == {}


def test_blocks_of_a_finished_request_are_held_until_reported_as_sent(monkeypatch):
    engine = Engine(monkeypatch)
    request = make_request(BS, BS)
    engine.scheduler.on_new_request(request)
    engine.scheduler.get_num_new_matched_tokens(request, 0)
    engine.scheduler.update_state_after_alloc(request, Blocks([1]), 0)
    engine.server.holds_transfers = True
    engine.run({request: BS}, {request: ([1],)})
    assert engine.scheduler.request_finished_all_groups(request, ([1],)) == (True, None)
    engine.run(finished=[request.request_id])
    assert not engine.output.finished_sending
    engine.server.finish_transfers()
    engine.run()
    assert engine.output.finished_sending == {request.request_id}


def test_pitfall_a_a_policy_that_fails_requests_is_warned_of(monkeypatch, warnings):
    Engine(monkeypatch, policy="fail")
    assert any("recompute" in text for text in warnings)


def test_a_cache_requires_no_delivery_and_serves_hybrid_models(monkeypatch):
    engine = Engine(monkeypatch)
    assert engine.scheduler.requires_kv_delivery is False
    assert supports_hma(HeadraceConnector)


def test_an_external_reset_reaches_the_server(monkeypatch):
    engine = Engine(monkeypatch)
    assert engine.scheduler.reset_cache() is True
    assert engine.server.calls.clears == 1
    engine.server.mood = "absent"
    assert engine.scheduler.reset_cache() is False


def test_both_halves_name_the_pods_of_vllms_own_topic(monkeypatch):
    server, named = FakeServer(), []

    def connect(*_, program, **options):
        named.append((program, options["pods"], options["pods_model"]))
        return server.connect(program)

    monkeypatch.setattr(connector_module, "Client", connect)
    config, cache = vllm_config(), cache_config(BS)
    config.kv_events_config = KVEventsConfig(True, publisher="zmq", topic="kv@10.0.0.1:8000@org/m")
    worker = HeadraceConnector(config, KVConnectorRole.WORKER, cache)
    worker.register_kv_caches(make_caches(cache, BS))
    HeadraceConnector(config, KVConnectorRole.SCHEDULER, cache)
    programs, pods, models = (set(column) for column in zip(*named))
    assert {"headrace-vllm-worker", "headrace-vllm-scheduler"} <= programs
    assert (pods, models) == ({("10.0.0.1:8000",)}, {"org/m"})


def test_wrong_settings_are_refused_at_start(monkeypatch):
    with pytest.raises(ValueError, match=r"headrace\.audit_share"):
        Engine(monkeypatch, extra={"headrace.audit_share": 7})


def break_everything(connector):
    """Whatever the halves are asked, they raise."""

    class Broken:
        def __getattr__(self, name):
            raise RuntimeError("broken on purpose")

    if connector._scheduler is not None:
        connector._scheduler = Broken()
    if connector._worker is not None:
        connector._worker = Broken()


def test_no_hook_raises_and_each_answers_neutrally(monkeypatch):
    engine = Engine(monkeypatch)
    request = make_request(3 * BS, BS)
    for half in (engine.scheduler, engine.worker):
        break_everything(half)
    s, w = engine.scheduler, engine.worker
    s.on_new_request(request)
    assert s.get_num_new_matched_tokens(request, 0) == (0, False)
    s.update_state_after_alloc(request, Blocks([1]), BS)
    assert isinstance(s.build_connector_meta(step()), HeadraceMetadata)
    s.update_connector_output(KVConnectorOutput())
    assert s.request_finished_all_groups(request, ([1],)) == (False, None)
    assert s.request_finished(request, [1]) == (False, None)
    assert s.reset_cache() is False
    w.register_kv_caches({})
    w.handle_preemptions(HeadraceMetadata())
    w.bind_connector_metadata(HeadraceMetadata())
    w.start_load_kv(None)
    w.wait_for_layer_load("x")
    w.save_kv_layer("x", torch.zeros(1), None)
    w.wait_for_save()
    assert w.get_transfer_results(set()).finished_recving == set()
    assert w.get_finished(set()) == (set(), set())
    assert w.get_block_ids_with_load_errors() == set()
    assert w.build_connector_worker_meta() is None
    assert s.get_kv_connector_stats().data["hook_errors"] >= 7
    w.shutdown()
    s.shutdown()


def test_every_hook_that_we_override_is_guarded_or_trivial():
    trivial = {
        "__init__",
        "requires_kv_delivery",
        "build_kv_connector_stats",
        "build_prom_metrics",
        "wait_for_layer_load",
        "save_kv_layer",
        "get_finished",
        "take_events",
    }
    for name, member in vars(HeadraceConnector).items():
        if name in trivial or name not in dir(KVConnectorBase_V1) or name.startswith("__"):
            continue
        if callable(member):
            assert hasattr(member, "__wrapped__"), f"{name} can raise into vLLM"


def test_a_load_whose_planning_fails_is_reported_as_failed_not_lost(monkeypatch):
    engine = Engine(monkeypatch)
    request = make_request(3 * BS, BS)
    engine.scheduler.on_new_request(request)
    monkeypatch.setattr(engine.scheduler._scheduler, "allocated", lambda *a: 1 / 0)
    engine.scheduler.update_state_after_alloc(request, Blocks([1, 2, 3]), 3 * BS)
    engine.run()
    assert engine.output.finished_recving == {request.request_id}
    assert engine.output.invalid_block_ids == {1, 2, 3}


def test_a_worker_that_could_not_start_still_answers_for_its_loads(monkeypatch):
    engine = Engine(monkeypatch)
    engine.worker._worker = None
    request = make_request(3 * BS, BS)
    engine.scheduler.on_new_request(request)
    engine.scheduler._scheduler.give_up_load(request, ([1, 2, 3],))
    engine.run()
    assert engine.output.finished_recving == {request.request_id}


def test_pitfall_m_the_halves_share_nothing_but_metadata(monkeypatch):
    engine = Engine(monkeypatch)
    assert engine.worker._scheduler is None and engine.scheduler._worker is None


def test_an_unknown_connectors_metadata_is_ignored(monkeypatch):
    engine = Engine(monkeypatch)
    engine.worker.bind_connector_metadata(object())
    engine.worker.start_load_kv(None)
    engine.worker.wait_for_save()
    assert engine.worker.counts.take() is None or "hook_errors" not in engine.worker.counts._values


def test_as_a_child_of_a_multi_connector(monkeypatch):
    child = {
        "kv_connector": "HeadraceConnector",
        "kv_connector_module_path": "headrace.vllm",
        "kv_role": "kv_both",
        "kv_load_failure_policy": "recompute",
    }

    def make(config, role, cache):
        config.kv_transfer_config = KVTransferConfig(
            kv_connector="MultiConnector",
            kv_role="kv_both",
            kv_connector_extra_config={"connectors": [child, child]},
        )
        return MultiConnector(config, role, cache)

    engine = Engine(monkeypatch, make=make)
    monkeypatch.setattr(Engine, "run", run_multi)
    first = make_request(2 * BS, BS)
    engine.scheduler.on_new_request(first)
    assert engine.scheduler.get_num_new_matched_tokens(first, 0) == (0, False)
    engine.scheduler.update_state_after_alloc(first, Blocks([1, 2]), 0)
    engine.run({first: 2 * BS}, {first: ([1, 2],)})
    engine.scheduler.request_finished_all_groups(first, ([1, 2],))
    second = make_request(2 * BS, BS)
    engine.scheduler.on_new_request(second)
    assert engine.scheduler.get_num_new_matched_tokens(second, 0) == (2 * BS, True)
    engine.scheduler.update_state_after_alloc(second, Blocks([5, 6]), 2 * BS)
    engine.run()
    assert engine.output.finished_recving == {second.request_id}
    engine.check(second, [5, 6], 2)
    assert engine.server.leases == {}, "the child that was not chosen gave its lease back"
    stats = engine.output.kv_connector_stats
    rebuilt = MultiConnector.build_kv_connector_stats(stats.to_dict())
    assert rebuilt.data["HeadraceConnector"].data["loaded_blocks"] == 2


run_multi = Engine.run


def test_the_hooks_of_a_step_stay_in_their_budget(monkeypatch):
    """No hits, 32 decoding requests, a block completed every other step: <= 200 us CPU a step."""
    engine = Engine(monkeypatch, num_blocks=256)
    requests = [make_request([i] * (2 * BS - 2 * i), BS) for i in range(32)]
    tables = {r: ([1 + 3 * i, 2 + 3 * i, 3 + 3 * i],) for i, r in enumerate(requests)}
    for request in requests:
        engine.scheduler.on_new_request(request)
        engine.scheduler.get_num_new_matched_tokens(request, 0)
        engine.scheduler.update_state_after_alloc(request, Blocks([]), 0)
    engine.run({r: r.num_tokens for r in requests}, tables)
    engine.scheduler.counts.take()
    engine.worker.counts.hook_ns = 0
    saves, steps = len(engine.server.calls.saves), 60
    monkeypatch.setattr(Engine, "compute", lambda *a: None)
    spent = 0
    for _ in range(steps):
        for request in requests:
            request.append_output_token_ids(7)
        engine.run(dict.fromkeys(requests, 1), tables)
        reported = engine.output.kv_connector_stats
        spent += reported.data["hook_us"] if reported else 0
    spent += (engine.scheduler.counts.hook_ns + engine.worker.counts.hook_ns) / 1000
    assert len(engine.server.calls.saves) - saves >= 25
    assert engine.scheduler.seen_errors == set() == engine.worker.seen_errors
    print(f"{spent / steps:.1f} us a step")
    assert spent / steps <= 200
