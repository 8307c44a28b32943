"""Scenarios 8 and 9: a server that dies, freezes and comes back under a client that goes on."""

import os
import signal
import time

from harness import Code, Query, chain_of, packed_layout, wait_for

BUDGET = 0.005
SLACK = 0.015  # of a busy machine with two cores


def timed_query(engine, hashes):
    start = time.perf_counter()
    answer = engine.client.query([Query(hashes)])[0]
    return answer, time.perf_counter() - start


def test_queries_without_a_server_are_misses_within_the_budget(tmp_path, start_engine):
    engine = start_engine("ipc://" + str(tmp_path / "nobody"), wait=0, call_timeout=BUDGET)
    assert not engine.registered
    took = []
    for _ in range(50):
        answer, seconds = timed_query(engine, chain_of("none", 100))
        assert answer.hit_blocks == 0 and answer.code == Code.UNAVAILABLE
        took.append(seconds)
    assert sorted(took)[25] < BUDGET and max(took) < BUDGET + SLACK


def test_kill_9_of_the_server_gives_misses_and_a_new_one_is_joined_by_itself(server, start_engine):
    engine = start_engine(server.endpoint, call_timeout=BUDGET)
    hashes = chain_of("death", 16)
    engine.save(hashes)
    server.kill()
    took = []
    for _ in range(50):
        answer, seconds = timed_query(engine, hashes)
        assert answer.hit_blocks == 0
        took.append(seconds)
    assert max(took) < BUDGET + SLACK
    server.start()
    wait_for(lambda: engine.client.ready, 5, "the client registers again")
    assert engine.hit(hashes) == 0  # a cold pool: all misses
    assert engine.save(hashes).stored == 16
    assert engine.hit(hashes) == 16
    assert engine.client.stats.epochs >= 2


def test_a_kill_9_in_mid_load_ends_the_load_and_nothing_is_written_later(
    start_server, start_engine
):
    server = start_server(pool="1gb")
    server.wait_full_pool()
    engine = start_engine(server.endpoint, packed_layout(256, layers=8, segment=256 << 10))
    hashes = chain_of("mid", 200)
    engine.save(hashes, fill=False)
    answer = engine.lease(hashes)
    running = engine.client.load(answer.lease, 0, 200, [list(range(200))])
    server.kill()
    done = engine.wait(running)
    if done.code != Code.OK:  # else it had ended before
        assert done.code == Code.UNAVAILABLE
    before = [engine.digest(block) for block in range(0, 200, 7)]
    server.start()
    wait_for(lambda: engine.client.ready, 5, "the client registers again")
    assert [engine.digest(block) for block in range(0, 200, 7)] == before


def test_a_frozen_server_costs_one_budget_and_then_nothing(server, start_engine):
    engine = start_engine(server.endpoint, call_timeout=BUDGET)
    hashes = chain_of("frozen", 64)
    engine.save(hashes)
    server.signal(signal.SIGSTOP)
    took = []
    for _ in range(200):
        answer, seconds = timed_query(engine, hashes)
        assert answer.hit_blocks == 0 and answer.code in (Code.TIMEOUT, Code.UNAVAILABLE)
        took.append(seconds)
    server.signal(signal.SIGCONT)
    assert max(took) < BUDGET + SLACK
    assert sorted(took)[100] < 0.001
    wait_for(lambda: engine.hit(hashes) == 64, 5, "hits come back after the thaw")


def test_blocks_are_taken_back_from_a_frozen_server_and_never_written_later(server, start_engine):
    engine = start_engine(server.endpoint, call_timeout=BUDGET)
    hashes = chain_of("revoke", 32)
    engine.save(hashes)
    lease = engine.lease(hashes).lease
    server.signal(signal.SIGSTOP)
    load = engine.client.load(lease, 0, 32, [list(range(32))])
    fresh = chain_of("stale", 8)
    save = engine.start_save(fresh, list(range(40, 48)))
    assert load and save
    engine.client.revoke(load)
    engine.client.revoke(save)
    codes = {d.submission: d.code for d in _poll_until(engine, 2, 3)}
    assert codes[load] == Code.CANCELLED and codes[save] == Code.CANCELLED
    engine.wipe()  # the blocks are used for something else now
    server.signal(signal.SIGCONT)
    wait_for(lambda: engine.client.ready and engine.hit(hashes) == 32, 5, "the server is back")
    time.sleep(0.3)
    assert all(byte == 0 for byte in engine.memory.view[:])
    assert engine.hit(fresh) == 0  # what it copied after the wipe was not published


def _poll_until(engine, count, seconds):
    done, end = [], time.monotonic() + seconds
    while len(done) < count and time.monotonic() < end:
        done += engine.client.poll(0.1)
    return done


def test_sigterm_under_load_ends_every_submission(start_server, start_engine):
    server = start_server(pool="1gb")
    engine = start_engine(server.endpoint, packed_layout(256, layers=8, segment=256 << 10))
    running = engine.client.save([_chain(chain_of("term", 256))])
    server.signal(signal.SIGTERM)
    assert server.process.wait(4) == 0
    assert engine.wait(running, 5).code in (Code.OK, Code.UNAVAILABLE, Code.CANCELLED)
    assert not os.path.exists(server.socket)


def _chain(hashes):
    from harness import Chain

    return Chain(hashes, list(range(len(hashes))))
