"""The scheduler's half against vLLM's requests and a scripted server."""

import pytest
from factory import cache_config, computed, make_request, step
from fake_server import FakeServer

from headrace.types import NO_BLOCK
from headrace.vllm.config import Settings
from headrace.vllm.layout import plan_cache
from headrace.vllm.metadata import HeadraceWorkerMetadata
from headrace.vllm.scheduler import Scheduler
from headrace.vllm.stats import Counts

BS = 64


class Rig:
    def __init__(
        self, block_size=BS, world_size=1, windows=(None,), draw=lambda: 0.0, **settings
    ):
        self.bs = block_size
        self.server = FakeServer()
        self.now = 100.0
        self.client = self.server.connect()
        self.client.register("ns", block_tokens=block_size)
        self.counts = Counts()
        config = cache_config(block_size, windows=windows)
        plan = plan_cache(config, block_size, block_size)
        self.scheduler = Scheduler(
            Settings(**settings),
            plan,
            world_size,
            self.client,
            self.counts,
            clock=lambda: self.now,
            draw=draw,
        )

    def holds(self, request, blocks):
        """The server has the first `blocks` blocks of the request."""
        for digest in request.block_hashes[:blocks]:
            self.server.blocks["ns", 0, bytes(digest)] = {}

    def request(self, tokens, **kwargs):
        request = make_request(tokens, self.bs, **kwargs)
        self.scheduler.add(request)
        return request

    def run(self, scheduled, tables=None, preempted=None):
        meta = self.scheduler.build(step(scheduled, tables, preempted))
        computed(scheduled)
        return meta

    def admit(self, request, table, scheduled, local=0):
        """Match, allocate and schedule in one step, without a hit to load."""
        matched = self.scheduler.match(request, local)
        self.scheduler.allocated(request, (table,), 0)
        request.num_computed_tokens = local
        assert matched == (0, False)
        return self.run({request: scheduled}, {request: (table,)})

    def closed(self, meta, ranks=1):
        report = HeadraceWorkerMetadata()
        report.closed_steps[meta.step] = ranks
        self.scheduler.update((), report)

    @property
    def queries(self):
        return self.server.calls.queries


# Matching


def test_what_the_server_holds_beyond_the_local_hit_is_matched_asynchronously():
    rig = Rig()
    request = rig.request(5 * BS + 1)
    rig.holds(request, 4)
    assert rig.scheduler.match(request, BS) == (3 * BS, True)


def test_nothing_held_is_no_match_and_not_asynchronous():
    rig = Rig()
    assert rig.scheduler.match(rig.request(5 * BS), 0) == (0, False)


def test_a_prompt_without_a_full_block_costs_no_query():
    rig = Rig()
    assert rig.scheduler.match(rig.request(BS - 1), 0) == (0, False)
    assert rig.queries == []


def test_pitfall_d_repeated_matching_asks_the_server_once():
    rig = Rig()
    request = rig.request(5 * BS)
    rig.holds(request, 3)
    answers = {rig.scheduler.match(request, 0) for _ in range(10)}
    assert answers == {(3 * BS, True)}
    assert len(rig.queries) == 1


def test_all_new_requests_of_a_step_are_looked_up_in_one_call():
    rig = Rig()
    requests = [rig.request(5 * BS, salt=str(i)) for i in range(5)]
    rig.holds(requests[3], 2)
    for request in requests[:3]:
        assert rig.scheduler.match(request, 0) == (0, False)
    assert rig.scheduler.match(requests[3], 0) == (2 * BS, True)
    assert [len(call) for call in rig.queries] == [5]


def test_a_batch_is_bounded():
    rig = Rig()
    requests = [rig.request(BS, salt=str(i)) for i in range(100)]
    rig.scheduler.match(requests[0], 0)
    assert len(rig.queries[0]) <= 33


def test_an_old_answer_with_a_lease_is_asked_for_again():
    rig = Rig()
    request = rig.request(5 * BS)
    rig.holds(request, 3)
    rig.scheduler.match(request, 0)
    rig.now += 11
    assert rig.scheduler.match(request, 0) == (3 * BS, True)
    assert len(rig.queries) == 2 and len(rig.server.leases) == 1


def test_pitfall_c_blocks_are_leased_from_the_match_to_the_end_of_the_load():
    rig = Rig()
    request = rig.request(3 * BS)
    rig.holds(request, 3)
    rig.scheduler.match(request, 0)
    assert len(rig.server.leases) == 1
    rig.scheduler.allocated(request, ([5, 6, 7],), 3 * BS)
    (load,) = rig.run({}).loads
    assert (load.first, load.count, load.blocks) == (0, 3, [[5, 6, 7]])
    assert load.lease in rig.server.leases
    rig.scheduler.update([request.request_id], None)
    assert rig.server.leases == {}


def test_pitfall_c_a_request_that_is_aborted_before_it_runs_gives_its_lease_back():
    rig = Rig()
    request = rig.request(3 * BS)
    rig.holds(request, 3)
    rig.scheduler.match(request, 0)
    assert rig.scheduler.finished(request) is False
    assert rig.server.leases == {}


def test_a_lease_that_vllm_does_not_use_is_given_back():
    rig = Rig()
    request = rig.request(3 * BS)
    rig.holds(request, 3)
    rig.scheduler.match(request, 0)
    rig.scheduler.allocated(request, ([1, 2, 3],), 0)  # another child of a MultiConnector won
    assert rig.server.leases == {}
    assert rig.run({}).loads == []


def test_pitfall_k_an_abort_during_a_load_asks_for_no_report_of_sending():
    rig = Rig()
    request = rig.request(3 * BS)
    rig.holds(request, 3)
    rig.scheduler.match(request, 0)
    rig.scheduler.allocated(request, ([1, 2, 3],), 3 * BS)
    rig.run({})
    assert rig.scheduler.finished(request) is False
    assert len(rig.server.leases) == 1, "the load still runs"
    rig.scheduler.update([request.request_id], None)
    assert rig.server.leases == {}
    assert rig.run({}).holds == []


def test_pitfall_q_a_full_local_hit_is_loaded_only_where_that_is_cheaper():
    # vLLM's own hit stops one token short, so of 4 blocks it has 3. With blocks of 16 tokens it
    # computes the fourth; with blocks of 128 loading is cheaper.
    for bs, expected in ((16, (0, False)), (128, (128, True))):
        rig = Rig(bs)
        request = rig.request(4 * bs)
        rig.holds(request, 4)
        assert rig.scheduler.match(request, 3 * bs) == expected


def test_pitfall_b_small_blocks_leave_a_token_to_compute():
    # Loads are asynchronous, for which vLLM rewinds a token itself; so whole prompts may match.
    rig = Rig(16)
    request = rig.request(16 * 16)
    rig.holds(request, 16)
    assert rig.scheduler.match(request, 0) == (15 * 16, True)


def test_min_load_blocks_turns_short_hits_into_misses():
    rig = Rig(min_load_blocks=3)
    request = rig.request(5 * BS)
    rig.holds(request, 2)
    assert rig.scheduler.match(request, 0) == (0, False)
    assert rig.server.leases == {}


def test_max_load_tokens_of_a_request_bounds_the_match():
    rig = Rig()
    request = rig.request(5 * BS, params={"headrace.max_load_tokens": 2 * BS + 5})
    rig.holds(request, 5)
    assert rig.scheduler.match(request, BS) == (2 * BS, True)
    nothing = rig.request(5 * BS, params={"max_load_tokens": 0})
    assert rig.scheduler.match(nothing, 0) == (0, False)


def test_the_hit_of_a_window_model_is_never_cut():
    # Of a window group only the blocks before the hit's own end are sure to be there.
    rig = Rig(16, windows=(None, 100))
    request = rig.request(16 * 16)
    rig.scheduler.match(request, 0)
    assert len(rig.queries[0][0].hashes) == 15 * 32, "the last block is not asked for"
    rig = Rig(windows=(None, 100))
    request = rig.request(5 * BS, params={"headrace.max_load_tokens": 2 * BS})
    rig.holds(request, 5)
    assert rig.scheduler.match(request, 0) == (0, False)


def test_a_request_that_reads_no_cache_is_not_looked_up_but_saved():
    rig = Rig()
    request = rig.request(2 * BS, skip_reading=True)
    meta = rig.admit(request, [1, 2], 2 * BS)
    assert rig.queries == [] and len(meta.saves) == 1


@pytest.mark.parametrize("mood", ["absent", "frozen"])
def test_a_server_that_does_not_answer_is_a_miss(mood):
    rig = Rig()
    rig.server.mood = mood
    request = rig.request(2 * BS)
    assert rig.scheduler.match(request, 0) == (0, False)
    assert rig.counts.take().data["query_failures"] == 1


def test_a_resumed_request_sends_only_its_new_hashes():
    rig = Rig()
    request = rig.request(40 * BS)
    rig.admit(request, list(range(1, 42)), 40 * BS)
    request.append_output_token_ids([7] * BS)
    request.num_computed_tokens = 0
    rig.run({}, preempted=[request])
    rig.scheduler.match(request, 0)
    (again,) = rig.queries[-1]
    assert again.prefix and again.prefix_blocks == 40
    assert len(again.hashes) == again.hash_bytes
    rig.scheduler.finished(request)
    assert rig.server.calls.dropped_prefixes == [again.prefix]


def test_a_load_that_failed_is_not_tried_again():
    rig = Rig()
    request = rig.request(3 * BS)
    rig.holds(request, 3)
    rig.scheduler.match(request, 0)
    rig.scheduler.allocated(request, ([1, 2, 3],), 3 * BS)
    rig.run({})
    failed = HeadraceWorkerMetadata(failed_loads={request.request_id})
    rig.scheduler.update([request.request_id], failed)
    assert rig.scheduler.match(request, 0) == (0, False)
    meta = rig.run({request: 3 * BS}, {request: ([1, 2, 3],)})
    assert meta.saves[0].depth == 0, "what is computed instead is offered again"


# Saving


def test_every_full_block_is_saved_once_in_a_chain():
    rig = Rig()
    request = rig.request(3 * BS + 5)
    first = rig.admit(request, [4, 5, 6, 7], 2 * BS + 10)
    second = rig.run({request: BS - 5}, {request: ([4, 5, 6, 7],)})
    (a,), (b,) = first.saves, second.saves
    hashes = [bytes(h) for h in request.block_hashes]
    assert (a.depth, a.parent, a.hashes, a.blocks) == (0, None, b"".join(hashes[:2]), [[4, 5]])
    assert (b.depth, b.parent, b.hashes, b.blocks) == (2, hashes[1], hashes[2], [[6]])
    assert rig.run({request: 1}, {request: ([4, 5, 6, 7],)}).saves == []


def test_pitfall_e_blocks_that_decoding_fills_are_saved_too():
    rig = Rig()
    request = rig.request(BS - 1)
    rig.admit(request, [3], BS - 1)
    request.append_output_token_ids(9)
    (save,) = rig.run({request: 1}, {request: ([3],)}).saves
    assert save.blocks == [[3]] and save.hashes == bytes(request.block_hashes[0])


def test_pitfall_e_a_partial_block_has_no_hash_and_is_not_saved():
    rig = Rig()
    request = rig.request(BS - 1)
    assert rig.admit(request, [3], BS - 1).saves == []


def test_draft_tokens_that_have_no_hash_yet_do_not_complete_a_block():
    rig = Rig()
    request = rig.request(BS - 2)
    assert rig.admit(request, [3], BS + 2).saves == []


def test_save_decode_off_keeps_to_the_prompt():
    rig = Rig(save_decode=False)
    request = rig.request(BS + 1)
    assert len(rig.admit(request, [3, 4], BS + 1).saves) == 1
    request.append_output_token_ids([1] * BS)
    assert rig.run({request: BS}, {request: ([3, 4, 5],)}).saves == []


def test_skip_save_of_a_request_is_honoured():
    rig = Rig()
    request = rig.request(2 * BS, params={"headrace.skip_save": True})
    assert rig.admit(request, [1, 2], 2 * BS).saves == []


def test_only_what_the_server_lacks_is_saved():
    rig = Rig()
    request = rig.request(4 * BS + 1)
    rig.holds(request, 2)
    rig.scheduler.match(request, 0)
    rig.scheduler.allocated(request, ([1, 2, 3, 4, 5],), 2 * BS)
    rig.run({})
    rig.scheduler.update([request.request_id], None)
    rig.scheduler.allocated(request, ([1, 2, 3, 4, 5],), 0)  # the second call, after the load
    request.num_computed_tokens = 2 * BS
    (save,) = rig.run({request: 2 * BS + 1}, {request: ([1, 2, 3, 4, 5],)}).saves
    assert (save.depth, save.blocks) == (2, [[3, 4]])


def test_local_blocks_that_the_server_lost_are_saved_again():
    rig = Rig()
    request = rig.request(3 * BS + 1)
    meta = rig.admit(request, [1, 2, 3, 4], BS + 1, local=2 * BS)
    assert meta.saves[0].depth == 0 and meta.saves[0].blocks == [[1, 2, 3]]


def test_salt_and_lora_names_travel_with_the_blocks():
    rig = Rig()
    salted = rig.request(BS, salt="s")
    plain = rig.request(BS)
    (a,) = rig.admit(salted, [1], BS).saves
    (b,) = rig.admit(plain, [2], BS).saves
    assert a.salt_id != 0 and b.salt_id == 0
    assert a.hashes != b.hashes, "pitfall g: vLLM's hash keeps salts apart"


def test_null_blocks_are_no_parts():
    rig = Rig()
    request = rig.request(2 * BS)
    (save,) = rig.admit(request, [0, 2], 2 * BS).saves
    assert save.blocks == [[NO_BLOCK, 2]]


# The end of a request


def test_blocks_are_held_while_their_save_runs():
    rig = Rig()
    request = rig.request(BS)
    meta = rig.admit(request, [1], BS)
    assert rig.scheduler.finished(request) is True
    (hold,) = rig.run({}).holds
    assert (hold.request_id, hold.steps) == (request.request_id, [meta.step])


def test_blocks_are_free_when_their_save_has_ended():
    rig = Rig()
    request = rig.request(BS)
    rig.closed(rig.admit(request, [1], BS))
    assert rig.scheduler.finished(request) is False


def test_blocks_are_held_until_every_rank_has_saved():
    rig = Rig(world_size=2)
    request = rig.request(BS)
    meta = rig.admit(request, [1], BS)
    rig.closed(meta, ranks=1)
    assert rig.scheduler.finished(request) is True


def test_a_request_without_saves_in_flight_is_freed_at_once():
    rig = Rig()
    request = rig.request(BS - 1)
    rig.admit(request, [1], BS - 1)
    assert rig.scheduler.finished(request) is False
    assert rig.scheduler.finished(request) is False, "a second call does no harm"


def test_pitfall_i_preemption_fences_running_saves_and_starts_over():
    rig = Rig()
    request = rig.request(2 * BS)
    first = rig.admit(request, [1, 2], 2 * BS)
    request.num_computed_tokens = 0
    meta = rig.run({}, preempted=[request])
    assert meta.fences == [first.step]
    # Resumed, as V1 or as V2 has it: nothing is tracked through new_block_ids, the table is read.
    again = rig.admit(request, [8, 9], 2 * BS)
    assert again.saves[0].blocks == [[8, 9]]
    assert rig.scheduler.finished(request) is True


def test_preemption_after_the_save_has_ended_fences_nothing():
    rig = Rig()
    request = rig.request(2 * BS)
    rig.closed(rig.admit(request, [1, 2], 2 * BS))
    assert rig.run({}, preempted=[request]).fences == []


def test_an_idle_step_says_so():
    rig = Rig()
    assert rig.run({}).idle
    assert not rig.admit(rig.request(BS), [1], BS).idle


# Resets and trouble


def test_an_external_reset_bumps_the_generation_and_forgets_answers():
    rig = Rig()
    request = rig.request(3 * BS)
    rig.holds(request, 3)
    rig.scheduler.match(request, 0)
    assert rig.scheduler.reset() is True
    assert rig.server.leases == {} and rig.server.calls.clears == 1
    assert rig.scheduler.match(request, 0) == (0, False)


def test_a_reset_that_the_server_missed_is_made_up_before_anything_is_loaded():
    rig = Rig()
    request = rig.request(3 * BS)
    rig.holds(request, 3)
    rig.server.mood = "frozen"
    assert rig.scheduler.reset() is False
    rig.server.mood = "normal"
    assert rig.scheduler.match(request, 0) == (0, False), "stale blocks are not used"
    rig.scheduler.finished(request)
    rig.now += 2
    other = rig.request(3 * BS)
    assert rig.scheduler.match(other, 0) == (0, False)
    assert rig.server.calls.clears == 1 and rig.server.held_hashes("ns") == set()


def test_what_was_computed_before_a_reset_is_not_saved_after_it():
    rig = Rig()
    request = rig.request(BS + 1)
    rig.admit(request, [1, 2], BS + 1)
    rig.scheduler.reset()
    request.append_output_token_ids([1] * BS)
    assert rig.run({request: BS}, {request: ([1, 2, 3],)}).saves == []


def test_a_worker_that_gave_up_ends_lookups_and_saves():
    rig = Rig()
    rig.scheduler.update((), HeadraceWorkerMetadata(disabled="canary"))
    request = rig.request(3 * BS)
    rig.holds(request, 3)
    assert rig.scheduler.match(request, 0) == (0, False)
    assert rig.run({request: BS}, {request: ([1],)}).saves == []


def test_a_load_that_cannot_be_planned_is_reported_as_failed_by_a_worker():
    rig = Rig()
    request = rig.request(3 * BS)
    rig.scheduler.give_up_load(request, ([1, 2, 3],))
    (load,) = rig.run({}).loads
    assert load.lease == 0 and load.blocks == [[1, 2, 3]]


def test_an_error_in_planning_saves_leaves_loads_and_holds_alone():
    rig = Rig()
    request = rig.request(3 * BS)
    rig.holds(request, 3)
    rig.scheduler.match(request, 0)
    rig.scheduler.allocated(request, ([1, 2, 3],), 3 * BS)
    output = step({request: BS})
    output.kv_connector_block_state = None
    request.num_computed_tokens = 3 * BS
    meta = rig.scheduler.build(output)
    assert len(meta.loads) == 1 and meta.saves == []


# Audit


def test_audited_hits_are_misses_and_compared_once_computed():
    rig = Rig(audit_share=1.0)
    request = rig.request(3 * BS)
    rig.holds(request, 3)
    meta = rig.admit(request, [1, 2, 3], 2 * BS)
    assert meta.audits == [], "the third block is not computed yet"
    meta = rig.run({request: BS}, {request: ([1, 2, 3],)})
    (audit,) = meta.audits
    assert (audit.first, audit.count, audit.blocks) == (0, 3, [[1, 2, 3]])
    assert audit.lease in rig.server.leases
    assert audit.hashes == [bytes(h) for h in request.block_hashes]
    assert meta.saves == [], "what is compared is there already"
    rig.scheduler.update((), HeadraceWorkerMetadata(ended_audits={request.request_id}))
    assert rig.server.leases == {}


def test_audits_take_the_given_share():
    draws = iter([0.6, 0.4, 0.0])
    rig = Rig(audit_share=0.5, draw=lambda: next(draws))
    first, second = rig.request(2 * BS), rig.request(2 * BS)
    rig.holds(first, 2)
    assert rig.scheduler.match(first, 0) == (2 * BS, True)
    assert rig.scheduler.match(second, 0) == (0, False)


def test_an_audit_is_bounded_and_moves_over_long_prompts():
    rig = Rig(audit_share=1.0, draw=lambda: 0.5)
    rig2 = Rig(audit_share=0.6, draw=lambda: 0.5)
    for r in (rig, rig2):
        request = r.request(40 * BS)
        r.holds(request, 40)
        meta = r.admit(request, list(range(1, 41)), 40 * BS)
        assert (meta.audits[0].first, meta.audits[0].count) == (20, 8)
