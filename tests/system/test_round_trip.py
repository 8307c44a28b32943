"""Scenario 2: what was saved comes back into other blocks, right to the byte, from any layout."""

import pytest
from harness import (
    Engine,
    blocks_first_layout,
    chain_of,
    packed_layout,
    single_layout,
    split_layout,
)

LAYOUTS = {
    "k_first_split": split_layout(160),
    "blocks_first": blocks_first_layout(160),
    "packed": packed_layout(160),
    "single_segment": single_layout(160),
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_64_blocks_come_back_into_other_block_ids_of_another_process_life(
    server, start_engine, layout
):
    hashes = chain_of("round", 64)
    writer = Engine(server.endpoint, layout, instance="one")
    done = writer.save(hashes, list(range(0, 128, 2)))
    assert (done.stored, done.failed, done.refused) == (64, 0, 0)
    writer.close()

    reader = start_engine(server.endpoint, layout, instance="two")
    assert reader.hit(hashes) == 64
    targets = [159 - i for i in range(64)]
    untouched = {block: reader.digest(block) for block in range(160) if block not in targets}
    loaded = reader.load(hashes, targets)
    assert loaded.loaded == 64 and loaded.bytes == 64 * layout.block_bytes
    for block, block_hash in zip(targets, hashes):
        assert reader.holds(block, block_hash)
    for block, digest in untouched.items():
        assert reader.digest(block) == digest


def test_the_bytes_went_through_shared_memory_and_are_counted(server, start_engine):
    engine = start_engine(server.endpoint)
    hashes = chain_of("counted", 8)
    engine.save(hashes)
    engine.load(hashes, list(range(20, 28)))
    moved = 8 * engine.layout.block_bytes
    assert server.metric("headrace_saved_bytes_total") == moved
    assert server.metric("headrace_loaded_bytes_total") == moved
    assert server.metric("headrace_mover_shm_bytes_total") == 2 * moved
    assert server.metric("headrace_mover_cma_bytes_total") == 0


def test_a_load_of_the_middle_of_a_lease_takes_the_right_blocks(server, start_engine):
    engine = start_engine(server.endpoint)
    hashes = chain_of("middle", 16)
    engine.save(hashes)
    engine.wipe()
    assert engine.load(hashes, [40, 41, 42], first=7).loaded == 3
    for i in range(3):
        assert engine.holds(40 + i, hashes[7 + i])


def test_a_mover_in_a_process_of_its_own_moves_the_same_bytes(start_server, start_engine):
    server = start_server("--mover", "process")
    engine = start_engine(server.endpoint)
    hashes = chain_of("process", 32)
    assert engine.save(hashes).stored == 32
    engine.wipe()
    engine.load(hashes, list(range(32, 64)))
    assert all(engine.holds(32 + i, h) for i, h in enumerate(hashes))
