"""Scenario 4: the same block is kept, and copied, once."""

from harness import chain_of


def test_saving_twice_and_from_two_instances_copies_once(server, start_engine):
    one = start_engine(server.endpoint, instance="one")
    two = start_engine(server.endpoint, instance="two")
    hashes = chain_of("dedup", 24)
    first = one.save(hashes)
    assert (first.stored, first.deduped) == (24, 0)
    used = server.metric("headrace_pool_used_bytes")
    moved = server.metric("headrace_saved_bytes_total")

    again = one.save(hashes)
    other = two.save(hashes)
    assert (again.stored, again.deduped) == (0, 24)
    assert (other.stored, other.deduped) == (0, 24)
    assert server.metric("headrace_pool_used_bytes") == used
    assert server.metric("headrace_saved_bytes_total") == moved

    two.wipe()
    two.load(hashes, list(range(30, 54)))
    assert all(two.holds(30 + i, h) for i, h in enumerate(hashes))


def test_saves_of_the_same_blocks_in_flight_at_once_copy_once(server, start_engine):
    engines = [start_engine(server.endpoint, instance=f"i{i}") for i in range(3)]
    hashes = chain_of("race", 48)
    running = [engine.start_save(hashes, list(range(48))) for engine in engines]
    done = [engine.wait(submission) for engine, submission in zip(engines, running)]
    assert sum(d.stored for d in done) == 48
    assert sum(d.stored + d.deduped for d in done) == 3 * 48
    assert server.metric("headrace_saved_bytes_total") == 48 * engines[0].layout.block_bytes
    assert engines[0].hit(hashes) == 48
