"""Scenario 7: a client that is killed takes nothing with it and leaves nothing behind."""

import os
import signal
import subprocess
import sys
import time

import pytest
from harness import ROOT, chain_of, packed_layout, process_fds, process_maps, wait_for

LAYOUT = packed_layout(512, layers=8, segment=256 << 10)  # 512 blocks of 2 MiB: 1 GiB

VICTIM = """
import sys
sys.path.insert(0, {tests!r})
from harness import *
layout = packed_layout(512, layers=8, segment=256 << 10)
engine = Engine({endpoint!r}, layout, instance="victim")
engine.wipe()  # all of its memory is there, and has to be taken apart
hashes = chain_of("victim", 512)
if {mode!r} == "save":
    running = engine.client.save([Chain(hashes, list(range(512)))])
else:
    answer = engine.lease(chain_of("ready", 200))
    assert answer.hit_blocks == 200, answer
    running = engine.client.load(answer.lease, 0, 200, [list(range(200))])
assert running
print("running", flush=True)
import time
time.sleep(60)
"""


@pytest.mark.parametrize("mover", ["thread", "process"])
@pytest.mark.parametrize("mode", ["save", "load"])
def test_kill_9_of_a_client_in_mid_copy(start_server, start_engine, mode, mover):
    server = start_server("--mover", mover, pool="2gb")
    server.wait_full_pool()
    other = start_engine(server.endpoint, packed_layout(64), instance="other", name_space="other")
    hashes = chain_of("other", 32)
    other.save(hashes)
    if mode == "load":
        ready = start_engine(server.endpoint, LAYOUT, instance="ready")
        ready.save(chain_of("ready", 200), fill=False)
        ready.close()
        wait_for(lambda: server.metric("headrace_sessions") == 1, 3, "the first session is gone")
    before = process_maps(server.process.pid, "headrace-buffer")
    code = VICTIM.format(tests=str(ROOT / "tests" / "system"), endpoint=server.endpoint, mode=mode)
    victim = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert victim.stdout.readline().strip() == "running"
    victim.send_signal(signal.SIGKILL)
    killed = time.monotonic()

    def left() -> float:
        return killed + 1 - time.monotonic()

    wait_for(lambda: server.metric("headrace_sessions") == 1, left(), "the session is gone")
    assert server.metric("headrace_leases") == 0
    assert server.metric("headrace_copies_in_flight") == 0
    wait_for(
        lambda: process_maps(server.process.pid, "headrace-buffer") == before, left(), "no mapping"
    )
    victim.wait(5)
    print(f"gone {time.monotonic() - killed:.3f} s after the kill")
    assert not any("victim" in i["instance"] for i in server.json("/instances")["instances"])

    other.wipe()
    other.load(hashes, list(range(32, 64)))
    assert all(other.holds(32 + i, h) for i, h in enumerate(hashes))
    # What it had saved in full is there, what it had not is not.
    reader = start_engine(server.endpoint, LAYOUT, instance="reader")
    hit = reader.hit(chain_of("victim", 512))
    assert hit <= 512 and (mode == "save" or hit == 0)


def test_the_killed_mover_process_is_replaced_and_no_save_is_half_there(start_server, start_engine):
    server = start_server("--mover", "process", pool="1gb")
    server.wait_full_pool()
    engine = start_engine(server.endpoint, LAYOUT)
    hashes = chain_of("mover", 200)
    for i, block_hash in enumerate(hashes[:8]):
        engine.fill(i, block_hash)
    running = engine.client.save([headrace_chain(hashes)])
    mover = int(subprocess.check_output(["pgrep", "-P", str(server.process.pid)]).split()[0])
    os.kill(mover, signal.SIGKILL)
    done = engine.wait(running)
    assert done.stored + done.failed + done.refused == 200
    wait_for(lambda: server.metric("headrace_mover_restarts_total") >= 1, 3, "the mover is back")
    small = chain_of("after", 8)
    assert engine.save(small).stored == 8
    engine.wipe()
    engine.load(small, list(range(100, 108)))
    assert all(engine.holds(100 + i, h) for i, h in enumerate(small))
    assert not process_fds(server.process.pid, "no such file")


def headrace_chain(hashes):
    from harness import Chain

    return Chain(hashes, list(range(len(hashes))))
