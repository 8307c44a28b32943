"""The worker's half over real tensors and a scripted server that moves real bytes."""

import os

import pytest
import torch
from factory import attention_spec, cache_config, make_caches
from fake_server import FakeServer

from headrace.types import NO_BLOCK
from headrace.vllm import worker as worker_module
from headrace.vllm.config import Settings
from headrace.vllm.handover import Identity
from headrace.vllm.layout import plan_cache
from headrace.vllm.memory import share_storage
from headrace.vllm.metadata import (
    AuditIntent,
    HeadraceMetadata,
    HoldIntent,
    LoadIntent,
    SaveIntent,
)
from headrace.vllm.stats import Counts
from headrace.vllm.worker import Worker

BS = 64


class Rig:
    def __init__(self, server=None, windows=(None,), start=True, **settings):
        self.server = server or FakeServer()
        self.config = cache_config(BS, num_blocks=12, windows=windows)
        self.caches = make_caches(self.config, BS)
        self.counts = Counts()
        settings.setdefault("save_timeout_ms", 1000)
        settings.setdefault("load_timeout_ms", 1000)
        self.worker = Worker(
            Settings(**settings),
            plan_cache(self.config, BS, BS),
            Identity("ns"),
            self.server.connect,
            self.counts,
        )
        if start:
            self.worker.register(self.caches, self.config)
        self.step = 0

    def fill(self, block, value):
        for cache in self.caches.values():
            cache[block] = value

    def hashes(self, *names):
        return b"".join(bytes([n]) * 32 for n in names)

    def meta(self, **fields):
        self.step += 1
        return HeadraceMetadata(step=self.step, **fields)

    def save(self, names, blocks, depth=0, table=None):
        intent = SaveIntent(
            depth, self.hashes(99) if depth else None, self.hashes(*names), 32, table or [blocks]
        )
        meta = self.meta(saves=[intent])
        self.worker.start_saves(meta)
        return meta

    def lease(self, *names):
        number = self.server.number()
        self.server.leases[number] = ("ns", [bytes([n]) * 32 for n in names])
        return number

    def load(self, lease, blocks, request="r", count=None):
        count = len(blocks) if count is None else count
        self.worker.start_loads(self.meta(loads=[LoadIntent(request, lease, 0, count, [blocks])]))

    def pass_time(self, seconds):
        for transfer in (*self.worker._loads.values(), *self.worker._saves.values()):
            transfer.deadline -= seconds


# Start


def test_the_buffer_moves_to_shared_memory_in_place():
    rig = Rig(start=False)
    cache = rig.caches["g0.layer1"]
    cache[3] = 1.5
    rig.worker.register(rig.caches, rig.config)
    assert cache.untyped_storage().is_shared()
    other = rig.caches["g0.layer0"]
    assert other.untyped_storage().data_ptr() == cache.untyped_storage().data_ptr()
    assert torch.all(cache[3] == 1.5)


def test_registration_states_rank_and_layout_after_a_canary_passed():
    rig = Rig()
    names = [call[0] for call in rig.server.calls.registered]
    assert ".canary." in names[0] and names[1] == "ns"
    assert rig.worker.disabled is None
    assert rig.server.held_hashes() == set(), "the canary block is purged"
    assert all(not cache.any() for cache in rig.caches.values()), "the blocks are as before"


def test_a_failing_canary_disables_loudly_and_the_engine_runs_on(warnings):
    server = FakeServer()
    server.scrambles = True
    rig = Rig(server)
    assert "canary" in rig.worker.disabled
    assert any("DISABLED" in text for text in warnings)
    rig.save([1], [3])
    rig.load(rig.lease(), [3])
    done = rig.worker.take_transfers()
    assert done.received == {"r"} and rig.worker.take_bad_blocks() == {3}
    assert rig.worker.take_meta().disabled == rig.worker.disabled
    assert server.calls.loads == [server.calls.loads[0]], "only the canary's own load"


def test_an_absent_server_does_not_disable(warnings):
    server = FakeServer()
    server.mood = "absent"
    rig = Rig(server)
    assert rig.worker.disabled is None
    meta = rig.save([1], [3])
    assert rig.worker.take_meta().closed_steps[meta.step] == 1


def test_a_server_that_comes_late_gets_its_canary_in_the_null_block():
    server = FakeServer()
    server.mood = "absent"
    rig = Rig(server)
    rig.fill(1, 2.0)
    server.mood = "normal"
    rig.worker._handover._recheck_at = 0.0
    rig.save([1], [3])
    assert server.held_hashes("ns") == {bytes([1]) * 32}
    assert torch.all(rig.caches["g0.layer0"][1] == 2.0), "blocks in use are not touched"
    assert not rig.caches["g0.layer0"][0].any()


def test_a_late_canary_that_fails_disables():
    server = FakeServer()
    server.mood = "absent"
    rig = Rig(server)
    server.mood, server.scrambles = "normal", True
    rig.worker._handover._recheck_at = 0.0
    rig.save([1], [3])
    assert rig.worker.disabled and server.held_hashes("ns") == set()


@pytest.mark.parametrize("late", [False, True])
def test_a_layout_that_the_server_refuses_disables(late, warnings):
    server = FakeServer()
    server.refuses = not late
    server.mood = "absent" if late else "normal"
    rig = Rig(server)
    if late:
        server.mood, server.refuses = "normal", True
        rig.worker._handover._recheck_at = 0.0
        rig.save([1], [3])
    assert "overlapping" in rig.worker.disabled


def test_a_server_that_dies_during_the_canary_does_not_disable(monkeypatch):
    server = FakeServer()
    rig = Rig(server, start=False)
    server.dies_at_transfer = True
    monkeypatch.setattr("headrace.vllm.canary._TRANSFER_SECONDS", 0.01)
    rig.worker.register(rig.caches, rig.config)
    assert rig.worker.disabled is None
    assert all(not cache.any() for cache in rig.caches.values())


def test_every_group_of_a_hybrid_model_has_its_canary():
    server = FakeServer()
    rig = Rig(server, windows=(None, 100))
    assert rig.worker.disabled is None
    assert len(server.calls.loads) == 2
    server.mood = "absent"
    late = Rig(server, windows=(None, 100))
    server.mood = "normal"
    late.worker._handover._recheck_at = 0.0
    assert late.worker._handover.usable()
    assert len(server.calls.loads) == 4


def test_a_canary_is_loaded_only_into_the_null_block():
    server = FakeServer()
    Rig(server)
    assert [load[3] for load in server.calls.loads] == [[[0]]]


def test_no_room_in_shared_memory_is_said_before_anything_breaks(monkeypatch, warnings):
    rig = Rig(start=False)
    real = os.statvfs("/dev/shm")

    class Full:
        f_bavail, f_frsize = 1, real.f_frsize

    monkeypatch.setattr(os, "statvfs", lambda path: Full)
    rig.worker.register(rig.caches, rig.config)
    assert "--shm-size" in rig.worker.disabled


def test_memory_of_a_gpu_is_refused_with_its_reason():
    class OnGpu:
        device = torch.device("cuda:0")

    with pytest.raises(Exception, match="cuda:0"):
        share_storage(OnGpu())


# Loads and saves


def test_saved_blocks_come_back_to_the_byte_in_other_blocks():
    rig = Rig()
    for cache in rig.caches.values():
        cache[3:5] = torch.randn(cache[3:5].shape).to(cache.dtype)
    want = {name: cache[3:5].clone() for name, cache in rig.caches.items()}
    meta = rig.save([1, 2], [3, 4])
    rig.worker.take_transfers()
    assert rig.worker.take_meta().closed_steps[meta.step] == 1
    rig.load(rig.lease(1, 2), [8, 7])
    done = rig.worker.take_transfers()
    assert (done.received, done.failed, rig.worker.take_bad_blocks()) == ({"r"}, set(), set())
    for name, cache in rig.caches.items():
        assert torch.equal(cache[8], want[name][0]) and torch.equal(cache[7], want[name][1])
    data = rig.counts.take().data
    assert (data["saved_blocks"], data["loaded_blocks"], data["loads"]) == (2, 2, 1)


def test_a_load_is_reported_only_when_it_has_ended():
    rig = Rig()
    rig.save([1], [3])
    rig.worker.take_transfers()
    rig.server.holds_transfers = True
    rig.load(rig.lease(1), [5])
    assert rig.worker.take_transfers().received == set()
    rig.server.finish_transfers()
    assert rig.worker.take_transfers().received == {"r"}
    assert rig.worker.take_transfers().received == set(), "reported once"


def test_a_failed_load_reports_its_blocks_with_the_request():
    rig = Rig()
    rig.server.fails_loads = True
    rig.load(rig.lease(1), [5, NO_BLOCK])
    done = rig.worker.take_transfers()
    assert done.received == {"r"} and rig.worker.take_bad_blocks() == {5}
    assert rig.worker.take_bad_blocks() == set()
    assert rig.worker.take_meta().failed_loads == {"r"}


def test_a_failed_load_of_a_hybrid_model_reports_the_request_as_failed():
    rig = Rig(windows=(None, 100))
    intent = LoadIntent("r", 12345, 0, 1, [[5], [6]])
    rig.worker.start_loads(rig.meta(loads=[intent]))
    done = rig.worker.take_transfers()
    assert done.failed == {"r"} and done.received == {"r"}
    assert rig.worker.take_bad_blocks() == set(), "block ids are not unique over groups"


def test_a_load_that_takes_too_long_is_revoked_and_then_fails():
    rig = Rig()
    rig.server.holds_transfers = True
    rig.load(rig.lease(1), [5])
    rig.worker.take_transfers()
    rig.pass_time(10)
    assert rig.worker.take_transfers().received == set(), "not before the fence"
    assert len(rig.server.calls.revoked) == 1
    assert rig.worker.take_transfers().received == {"r"}
    assert rig.worker.take_bad_blocks() == {5}


def test_loads_end_even_when_starting_them_raises():
    rig = Rig()
    rig.worker._handover.client.load = None
    rig.load(rig.lease(1), [5])
    assert rig.worker.take_transfers().received == {"r"}


def test_the_saves_of_all_requests_of_a_step_go_in_one_call():
    rig = Rig()
    before = len(rig.server.calls.saves)
    intents = [SaveIntent(0, None, rig.hashes(n), 32, [[n]]) for n in (3, 4, 5)]
    rig.worker.start_saves(rig.meta(saves=intents))
    assert [len(call) for call in rig.server.calls.saves[before:]] == [3]


# The end of requests, preemption


def test_a_held_request_is_sent_when_its_save_has_ended():
    rig = Rig()
    rig.server.holds_transfers = True
    saved = rig.save([1], [3])
    rig.worker.start_saves(rig.meta(holds=[HoldIntent("r", [saved.step])]))
    assert rig.worker.take_transfers().sent == set()
    rig.server.finish_transfers()
    assert rig.worker.take_transfers().sent == {"r"}
    assert rig.worker.take_transfers().sent == set(), "reported once"


def test_a_held_request_whose_saves_are_over_is_sent_at_once():
    rig = Rig()
    saved = rig.save([1], [3])
    rig.worker.take_transfers()
    rig.worker.start_saves(rig.meta(holds=[HoldIntent("r", [saved.step])]))
    assert rig.worker.take_transfers().sent == {"r"}


def test_a_frozen_server_holds_blocks_no_longer_than_the_save_timeout():
    rig = Rig()
    rig.server.mood = "frozen"
    saved = rig.save([1], [3])
    rig.worker.start_saves(rig.meta(holds=[HoldIntent("r", [saved.step])]))
    assert rig.worker.take_transfers().sent == set()
    rig.pass_time(10)
    rig.worker.take_transfers()
    assert rig.worker.take_transfers().sent == {"r"}


def test_a_revoked_save_whose_completion_never_comes_still_frees_its_blocks(monkeypatch):
    rig = Rig()
    rig.server.mood = "frozen"
    saved = rig.save([1], [3])
    monkeypatch.setattr(rig.worker._handover.client, "revoke", lambda submission: None)
    rig.worker.start_saves(rig.meta(holds=[HoldIntent("r", [saved.step])]))
    rig.pass_time(10)
    rig.worker.take_transfers()
    rig.pass_time(10)
    assert rig.worker.take_transfers().sent == {"r"}


def test_pitfall_i_saves_of_preempted_blocks_are_fenced_before_the_step(monkeypatch):
    monkeypatch.setattr(worker_module, "_FENCE_SECONDS", 0.001)
    rig = Rig()
    rig.server.holds_transfers = True
    saved = rig.save([1], [3])
    other = rig.save([2], [4])
    rig.worker.fence(rig.meta(fences=[saved.step]))
    assert len(rig.server.calls.revoked) == 1
    closed = rig.worker.take_meta().closed_steps
    assert closed[saved.step] == 1 and other.step not in closed


def test_window_groups_are_saved_before_the_step_ends(monkeypatch):
    monkeypatch.setattr(worker_module, "_WINDOW_SECONDS", 0.001)
    rig = Rig(windows=(None, 100))
    rig.server.holds_transfers = True
    saved = rig.save([1], [], table=[[3], [4]])
    assert len(rig.server.calls.revoked) == 1, "late: taken back, its window blocks go on"
    rig.worker.take_transfers()
    assert rig.worker.take_meta().closed_steps[saved.step] == 1


def test_after_a_save_that_took_too_long_saves_pause():
    rig = Rig()
    rig.server.mood = "frozen"
    rig.save([1], [3])
    rig.pass_time(10)
    rig.worker.take_transfers()
    rig.server.mood = "normal"
    calls = len(rig.server.calls.saves)
    meta = rig.save([2], [4])
    assert len(rig.server.calls.saves) == calls
    assert rig.worker.take_meta().closed_steps[meta.step] == 1
    rig.worker._pause_until = 0.0
    rig.save([2], [4])
    assert len(rig.server.calls.saves) == calls + 1


# Audit


def audit_rig():
    rig = Rig(audit_share=1.0)
    for cache in rig.caches.values():
        cache[3:5] = torch.randn(cache[3:5].shape).to(cache.dtype)
    rig.save([1, 2], [3, 4])
    rig.worker.take_transfers()
    rig.counts.take()
    return rig


def audit(rig, blocks):
    intent = AuditIntent("r", rig.lease(1, 2), 0, 2, [blocks], [bytes([1]) * 32, bytes([2]) * 32])
    rig.worker.audit(rig.meta(audits=[intent]))
    assert rig.worker.take_meta().ended_audits == {"r"}
    taken = rig.counts.take()
    data = taken.data if taken else {}
    return data.get("audits", 0), data.get("audit_alarms", 0)


def test_an_audit_of_equal_blocks_is_quiet():
    rig = audit_rig()
    assert audit(rig, [3, 4]) == (2, 0)


def test_an_audit_bears_the_noise_of_other_chunk_shapes():
    rig = audit_rig()
    for cache in rig.caches.values():
        noise = torch.randn(cache[3:5].shape) * 0.01
        cache[3:5] = (cache[3:5].float() * (1 + noise)).to(cache.dtype)
    assert audit(rig, [3, 4]) == (2, 0)
    assert 0 < rig.counts._gauges["audit_relative"] < 0.02
    assert 0 < rig.counts._gauges["audit_element"] < 0.3


def test_an_audit_finds_one_flipped_exponent_bit_and_purges_the_block(warnings):
    rig = audit_rig()
    key = ("ns", 0, bytes([2]) * 32)
    segment = bytearray(rig.server.blocks[key][1])
    segment[1001] ^= 0x40  # the high bit of a bf16 exponent
    rig.server.blocks[key][1] = bytes(segment)
    assert audit(rig, [3, 4]) == (2, 1)
    assert rig.server.calls.purged[-1] == bytes([2]) * 32
    assert any("AUDIT ALARM" in text for text in warnings)


def test_an_audit_finds_a_wrong_layout():
    rig = audit_rig()
    rig.server.scrambles = True
    assert audit(rig, [3, 4]) == (2, 2)


def test_an_audit_finds_other_weights():
    rig = audit_rig()
    for cache in rig.caches.values():
        cache[3:5] = torch.randn(cache[3:5].shape).to(cache.dtype)
    assert audit(rig, [3, 4]) == (2, 2)


def test_an_audit_finds_a_nan():
    rig = audit_rig()
    rig.caches["g0.layer0"][3, 0, 0, 0] = float("nan")
    assert audit(rig, [3, 4]) == (2, 1)


def test_an_audit_whose_blocks_are_gone_says_nothing():
    rig = audit_rig()
    rig.server.fails_loads = True
    assert audit(rig, [3, 4]) == (0, 0)


def test_audits_of_hybrid_models_are_left_out_aloud(warnings):
    Rig(windows=(None, 100), audit_share=0.5)
    assert any("no audits" in text for text in warnings)


def test_page_size_is_what_the_layout_moves():
    rig = Rig()
    rig.save([1], [3])
    (segments,) = rig.server.blocks.values()
    assert {len(s) for s in segments.values()} == {attention_spec(BS).page_size_bytes}
