"""Scenario 6: a pool that is always full."""

import random

from harness import chain_of, packed_layout

SYSTEM_PROMPTS = 40
OPERATIONS = 20_000


def test_20000_random_saves_and_loads_at_a_full_pool(start_server, start_engine):
    """No refusal while evictable data exists, live/used >= 0.95, freed <= 1.1 x needed."""
    server = start_server("--page-size", "1mb", pool="64mb")
    server.wait_full_pool()
    layout = packed_layout(64, layers=2, segment=8192)  # 16 KiB a block: 4096 blocks fill the pool
    engine = start_engine(server.endpoint, layout)
    chance = random.Random(6)
    prompts = [chain_of(("system", i), 8) for i in range(SYSTEM_PROMPTS)]
    for prompt in prompts:
        engine.save(prompt)
    live: dict[int, list[bytes]] = {}
    loads = checked = 0
    for step in range(OPERATIONS):
        if live and chance.random() < 0.4:
            hashes = chance.choice(list(live.values()))
            answer = engine.lease(hashes)
            loads += 1
            if answer.hit_blocks == 0:
                continue
            count = min(answer.hit_blocks, 24)
            done = engine.wait(
                engine.client.load(answer.lease, 0, count, [list(range(40, 40 + count))])
            )
            assert done.loaded == count, done
            checked += 1
            position = chance.randrange(count)
            assert engine.holds(40 + position, hashes[position])
        else:
            prompt = chance.choice(prompts)
            tail = chain_of(("tail", step), chance.randrange(1, 16))
            done = engine.save(prompt + tail, list(range(8 + len(tail))))
            assert done.refused == 0 and done.failed == 0, (step, done)
            assert done.stored >= len(tail)
            live[step] = prompt + tail
            if len(live) > 2000:
                del live[next(iter(live))]
    metrics = server.metrics()
    evicted, needed = (
        metrics["headrace_evicted_bytes_total"],
        metrics["headrace_evictions_needed_bytes_total"],
    )
    used, alive = metrics["headrace_pool_used_bytes"], metrics["headrace_pool_live_bytes"]
    print(
        f"evicted/needed {evicted / needed:.3f}, live/used {alive / used:.3f}, "
        f"used/pool {used / (64 << 20):.3f}, loads {loads}, checked {checked}"
    )
    assert metrics["headrace_evicted_blocks_total"] > 4096
    assert checked > loads * 0.1
    assert alive / used >= 0.95
    assert evicted <= 1.1 * needed
    assert used / (64 << 20) >= 0.9
    for prompt in prompts:  # shared by everything that came after, so never the coldest
        assert engine.hit(prompt) == 8
