"""Scenario 15: two instances with the same names and hashes, and bytes no client would send."""

import array
import os
import random
import socket
import struct

import pytest
from harness import SharedBuffer, chain_of, split_layout, wait_for


def frame(payload: bytes) -> bytes:
    return struct.pack("<I", len(payload)) + payload


def mp_str(text: bytes) -> bytes:
    return b"\xdb" + struct.pack(">I", len(text)) + text


HELLO = bytes([0x97, 1, 1, 1, 0xA1]) + b"x" + b"\xa1i" + b"\xa0" + b"\x00"


def connect(server) -> socket.socket:
    link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    link.settimeout(5)
    link.connect(server.socket)
    return link


def is_alive(server, engine, hashes) -> bool:
    return server.get("/health")[0] == 200 and engine.hit(hashes) == len(hashes)


@pytest.fixture
def live(server, start_engine):
    engine = start_engine(server.endpoint)
    hashes = chain_of("live", 8)
    engine.save(hashes)
    return engine, hashes


def test_two_instances_with_equal_requests_and_hashes_never_get_foreign_bytes(server, start_engine):
    engines = [
        start_engine(server.endpoint, name_space=f"model-{i}", instance=f"instance-{i}")
        for i in (0, 1)
    ]
    chance = random.Random(15)
    for turn in range(60):
        hashes = chain_of(("turn", turn), chance.randrange(1, 24))
        saves = [e.start_save(hashes, list(range(len(hashes)))) for e in engines]
        assert saves[0] == saves[1]  # the same request numbers at once
        for engine, running in zip(engines, saves):
            assert engine.wait(running).stored == len(hashes)
        loads = []
        for engine in engines:
            answer = engine.lease(hashes)
            assert answer.hit_blocks == len(hashes)
            targets = list(range(40, 40 + len(hashes)))
            loads.append(engine.client.load(answer.lease, 0, len(hashes), [targets]))
        for engine, running in zip(engines, loads):
            assert engine.wait(running).loaded == len(hashes)
            assert all(engine.holds(40 + i, h) for i, h in enumerate(hashes))


def test_random_bytes_close_the_session_and_nothing_else(server, live):
    chance = random.Random(1)
    for size in [1, 3, 4, 5, 64, 4096, 100_000]:
        link = connect(server)
        try:
            link.sendall(chance.randbytes(size))
            link.shutdown(socket.SHUT_WR)
            while link.recv(65536):
                pass
        except OSError:
            pass
        link.close()
    assert is_alive(server, *live)


def test_a_frame_over_the_limit_is_refused_before_it_is_read(server, live):
    link = connect(server)
    link.sendall(struct.pack("<I", 0xFFFFFFFF) + b"x" * 1000)
    received = b""
    try:
        while chunk := link.recv(65536):
            received += chunk
    except OSError:
        pass
    assert is_alive(server, *live)


def test_truncated_frames_then_hang_up(server, live):
    for cut in range(1, 40):
        link = connect(server)
        link.sendall(frame(HELLO + b"\x00" * 30)[:cut])
        link.close()
    assert is_alive(server, *live)
    wait_for(lambda: server.metric("headrace_sessions") == 1, 2, "no session is left")


def test_mutated_messages_are_errors_or_a_closed_session(server, live):
    chance = random.Random(2)
    for _ in range(400):
        link = connect(server)
        body = bytearray(chance.randbytes(chance.randrange(1, 200)))
        body[0] = 0x90 | chance.randrange(16)
        try:
            link.sendall(frame(HELLO) + frame(bytes(body)) + frame(bytes(body[::-1])))
            link.settimeout(0.02)
            link.recv(65536)
        except OSError:
            pass
        link.close()
    assert is_alive(server, *live)


def test_a_pickle_is_an_error(server, live):
    import pickle

    class Boom:
        def __reduce__(self):
            return os.system, ("touch /tmp/headrace-was-owned",)

    link = connect(server)
    link.sendall(frame(pickle.dumps(Boom())))
    link.settimeout(1)
    try:
        link.recv(65536)
    except OSError:
        pass
    assert not os.path.exists("/tmp/headrace-was-owned")
    assert is_alive(server, *live)


def test_a_name_of_a_megabyte_is_refused_by_name(server, live):
    link = connect(server)
    name = b"n" * (1 << 20)
    link.sendall(frame(bytes([0x97, 1, 1, 1]) + mp_str(b"x") + mp_str(name) + b"\xa0\x00"))
    reply = link.recv(65536)
    assert b"instance" in reply
    assert is_alive(server, *live)


def test_a_query_of_ten_thousand_hashes_is_answered(server, live):
    engine, _ = live
    hashes = chain_of("long", 10_000)
    assert engine.hit(hashes) == 0
    assert is_alive(server, *live)


def test_descriptors_nobody_asked_for_are_closed(server, live):
    before = len(os.listdir(f"/proc/{server.process.pid}/fd"))
    link = connect(server)
    memory = SharedBuffer(4096)
    for _ in range(20):
        fds = array.array("i", [memory.fd] * 10)
        link.sendmsg([frame(HELLO)], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
    link.close()
    wait_for(
        lambda: len(os.listdir(f"/proc/{server.process.pid}/fd")) <= before, 3, "all are closed"
    )
    assert is_alive(server, *live)


def test_a_client_that_shrinks_its_buffer_gets_an_error_and_the_server_lives(
    server, live, start_engine
):
    layout = split_layout(64)
    engine = start_engine(server.endpoint, layout, instance="shrinker", name_space="shrinker")
    hashes = chain_of("shrink", 64)
    fd = os.memfd_create("unsealed")
    os.ftruncate(fd, len(engine.memory.view))
    from headrace import Buffer, Chain, Client, Group

    client = Client(server.endpoint, instance="shrinker-2")
    assert client.register(
        "shrunk",
        block_tokens=16,
        buffers=[Buffer(fd, len(engine.memory.view))],
        groups=[Group(layout)],
        wait=5,
    )
    os.ftruncate(fd, 4096)
    running = client.save([Chain(hashes, list(range(64)))])
    assert running
    done = client.poll(5)
    assert done and (done[0].failed == 64 or done[0].code != 0)
    client.close()
    os.close(fd)
    assert is_alive(server, *live)
