"""Scenario 5: what a lease promises, and the error of each way to misuse it."""

import pytest
from harness import Code, chain_of, wait_for


@pytest.fixture
def saved(server, start_engine):
    engine = start_engine(server.endpoint)
    hashes = chain_of("lease", 8)
    engine.save(hashes)
    return engine, hashes


def load(engine, lease, first=0, count=8, blocks=None):
    targets = [list(range(40, 40 + count))] if blocks is None else blocks
    submission = engine.client.load(lease, first, count, targets)
    return engine.wait(submission).code if submission else Code.GONE


def test_a_load_consumes_the_lease(saved):
    engine, hashes = saved
    lease = engine.lease(hashes).lease
    assert load(engine, lease) == Code.OK
    assert load(engine, lease) in (Code.GONE, Code.NOT_FOUND)


def test_an_unknown_lease_is_not_found(saved):
    engine, _ = saved
    assert load(engine, 123456789) in (Code.NOT_FOUND, Code.GONE)


def test_another_instances_lease_is_refused(server, start_engine, saved):
    engine, hashes = saved
    lease = engine.lease(hashes).lease
    other = start_engine(server.endpoint, instance="other")
    assert load(other, lease) in (Code.PERMISSION, Code.NOT_FOUND, Code.GONE)
    assert load(engine, lease) == Code.OK


def test_a_released_lease_is_gone(server, saved):
    engine, hashes = saved
    lease = engine.lease(hashes).lease
    engine.client.release([lease])
    assert load(engine, lease) in (Code.GONE, Code.NOT_FOUND)
    wait_for(lambda: server.metric("headrace_leases") == 0, 2, "no lease is left")


@pytest.mark.parametrize(
    ("first", "count", "blocks"),
    [
        (0, 9, None),
        (8, 1, None),
        (4, 5, None),
        (0, 8, [[1, 2, 3, 4, 5, 6, 7, 8], [9] * 8]),
        (0, 8, [[1, 2, 3, 4, 5, 6, 7, 64]]),
    ],
    ids=["too many", "behind the end", "over the end", "too many groups", "block id out of range"],
)
def test_a_load_outside_the_lease_or_the_buffer_is_invalid(saved, first, count, blocks):
    engine, hashes = saved
    before = [engine.digest(block) for block in range(64)]
    lease = engine.lease(hashes).lease
    try:
        code = load(engine, lease, first, count, blocks)
    except ValueError:
        code = Code.INVALID
    assert code == Code.INVALID
    assert [engine.digest(block) for block in range(64)] == before


def test_a_lease_expires(start_server, start_engine):
    server = start_server("--max-lease", "200ms")
    engine = start_engine(server.endpoint)
    hashes = chain_of("expire", 4)
    engine.save(hashes)
    lease = engine.lease(hashes).lease
    wait_for(lambda: server.metric("headrace_leases_expired_total") == 1, 3, "the lease expires")
    assert load(engine, lease, count=4) in (Code.GONE, Code.NOT_FOUND)


def test_leased_blocks_survive_four_pools_of_other_data(start_server, start_engine):
    server = start_server("--page-size", "1mb", pool="16mb")
    server.wait_full_pool()
    engine = start_engine(server.endpoint)
    kept = chain_of("kept", 16)
    engine.save(kept)
    lease = engine.lease(kept).lease
    pool_blocks = (16 << 20) // engine.layout.block_bytes
    for turn in range(4 * pool_blocks // 32):
        assert engine.save(chain_of(("fill", turn), 32), fill=False).failed == 0
    assert server.metric("headrace_evicted_blocks_total") > 2 * pool_blocks
    engine.wipe()
    assert load(engine, lease, count=16, blocks=[list(range(16))]) == Code.OK
    assert all(engine.holds(i, h) for i, h in enumerate(kept))


def test_the_pool_returns_to_zero(server, saved):
    engine, hashes = saved
    engine.lease(hashes)
    engine.client.clear()
    engine.client.close()
    wait_for(lambda: server.metric("headrace_pool_used_bytes") == 0, 3, "the pool is empty")
    assert server.metric("headrace_leases") == 0
