"""Scenario 3: what counts as a hit."""

import pytest
from harness import Engine, Query, chain_of, split_layout, wait_for


@pytest.fixture
def engine(server, start_engine) -> Engine:
    return start_engine(server.endpoint)


def test_all_none_first_missing_and_empty(engine):
    hashes = chain_of("rules", 12)
    assert engine.hit(hashes) == 0
    engine.save(hashes)
    assert engine.hit(hashes) == 12
    assert engine.hit(hashes[:5]) == 5
    assert engine.hit([b"x" * 32] + hashes[1:]) == 0
    assert engine.hit([]) == 0
    assert engine.hit(hashes + chain_of("other", 4)) == 12


def test_a_gap_in_a_prefix_is_never_a_hit(engine):
    hashes = chain_of("gap", 10)
    engine.save(hashes[:4])
    engine.save(hashes[5:], depth=5, parent=hashes[4])
    assert engine.hit(hashes) == 4
    engine.save([hashes[4]], depth=4, parent=hashes[3])
    assert engine.hit(hashes) == 10  # the hidden ones show with their parent


def test_a_list_that_is_no_chain_scores_only_its_true_prefix(engine):
    one, two = chain_of("one", 8), chain_of("two", 8)
    engine.save(one)
    engine.save(two)
    assert engine.hit(one[:4] + two[4:]) == 4
    assert engine.hit(one[:3] + one[4:]) == 3


def test_a_block_with_only_some_ranks_is_no_hit(server, start_engine):
    ranks = [start_engine(server.endpoint, rank=r, world_size=2, name_space="tp") for r in (0, 1)]
    hashes = chain_of("tp", 6)
    ranks[0].save(hashes)
    assert ranks[0].hit(hashes) == 0
    ranks[1].save(hashes[:4])
    assert ranks[0].hit(hashes) == 4
    answer = ranks[0].lease(hashes, consumers=2)
    for rank in ranks:
        rank.wipe()
        assert rank.wait(rank.client.load(answer.lease, 0, 4, [[50, 51, 52, 53]])).loaded == 4
        assert all(rank.holds(50 + i, hashes[i]) for i in range(4))


def test_two_namespaces_never_mix(server, start_engine):
    hashes = chain_of("shared", 6)
    one = start_engine(server.endpoint, name_space="a", instance="a")
    two = start_engine(server.endpoint, name_space="b", instance="b")
    one.save(hashes)
    assert two.hit(hashes) == 0
    two.save(hashes[:3])
    assert (one.hit(hashes), two.hit(hashes)) == (6, 3)
    two.load(hashes[:3], [60, 61, 62])
    assert all(two.holds(60 + i, hashes[i]) for i in range(3))


def test_a_handle_stands_for_the_hashes_sent_before(engine):
    hashes = chain_of("handle", 30)
    engine.save(hashes[:20])
    first = engine.client.query([Query(hashes[:20], want_prefix=True)])[0]
    assert first.hit_blocks == 20 and first.prefix
    tail = engine.client.query([Query(hashes[20:], prefix=first.prefix, prefix_blocks=20)])[0]
    assert tail.hit_blocks == 20
    engine.save(hashes[20:], depth=20, parent=hashes[19])
    tail = engine.client.query([Query(hashes[20:], prefix=first.prefix, prefix_blocks=20)])[0]
    assert tail.hit_blocks == 30


def test_many_prefixes_in_one_call_have_each_their_answer(engine):
    chains = [chain_of(f"many{i}", 5) for i in range(8)]
    for i, chain in enumerate(chains):
        engine.save(chain[: i % 6] or chain[:1])
    answers = engine.client.query([Query(chain) for chain in chains])
    assert [a.hit_blocks for a in answers] == [max(1, i % 6) for i in range(8)]


def test_an_external_reset_bumps_the_generation_and_nothing_is_found(server, engine):
    hashes = chain_of("reset", 10)
    engine.save(hashes)
    used = server.metric("headrace_pool_used_bytes")
    assert used > 0
    generation = engine.client.clear()
    assert engine.hit(hashes) == 0
    assert engine.client.clear() == generation + 1
    wait_for(lambda: server.metric("headrace_pool_used_bytes") == 0, 5, "the old blocks are swept")
    engine.save(hashes)
    assert engine.hit(hashes) == 10


def test_a_purged_block_takes_its_descendants_along(engine):
    hashes = chain_of("purge", 10)
    engine.save(hashes)
    assert engine.client.purge(hashes[4])
    assert engine.hit(hashes) == 4
    assert not engine.client.purge(hashes[4])


def test_another_layout_under_the_same_namespace_is_refused_by_name(server, engine):
    import headrace

    with pytest.raises(headrace.HeadraceError) as error:
        Engine(server.endpoint, split_layout(64, layers=2), instance="other")
    assert error.value.code in (headrace.Code.EXISTS, headrace.Code.INVALID)
    assert (
        "group" in error.value.text or "layout" in error.value.text or "segment" in error.value.text
    )
