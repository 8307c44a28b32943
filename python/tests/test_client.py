"""headrace.Client: what goes in and out, and what it does without a server."""

from __future__ import annotations

import gc
import os
import threading
import time
from array import array
from collections.abc import Iterator

import headrace
import pytest
from fake_server import REGISTER, RELEASE, FakeServer

HASHES = bytes(range(64))  # two of 32 bytes
LAYOUT = headrace.Layout(
    num_blocks=16, segment_bytes=4096, block_stride=65536, layer_offsets=[0, 4096]
)


@pytest.fixture
def client(server: FakeServer) -> Iterator[headrace.Client]:
    with headrace.Client(server.path, call_timeout=10.0) as made:
        yield made


@pytest.fixture
def rank(client: headrace.Client) -> Iterator[headrace.Client]:
    with headrace.SharedBuffer(1 << 20) as shared:
        assert client.register(
            "model",
            block_tokens=16,
            buffers=[shared.buffer()],
            groups=[headrace.Group(LAYOUT)],
            wait=10.0,
        )
        yield client


def test_registers_a_rank(rank: headrace.Client) -> None:
    assert rank.ready
    assert rank.stats.registered
    assert rank.stats.registrations == 1


def test_registers_a_scheduler_without_buffers(client: headrace.Client) -> None:
    assert client.register("model", block_tokens=16, wait=10.0)


def test_queries_and_releases(rank: headrace.Client, server: FakeServer) -> None:
    first, second = rank.query(
        [
            headrace.Query(HASHES, want_lease=True, want_prefix=True),
            headrace.Query([HASHES[:8], HASHES[8:16], HASHES[16:24]], hash_bytes=8),
        ]
    )
    assert (first.hit_blocks, first.code) == (2, headrace.Code.OK)
    assert first.lease != 0
    assert (second.hit_blocks, second.lease, second.prefix) == (3, 0, 0)
    (third,) = rank.query([headrace.Query(HASHES, prefix=first.prefix, prefix_blocks=2)])
    assert third.hit_blocks == 4
    rank.release([first.lease])
    rank.drop_prefixes([first.prefix])
    rank.status(wait=10.0)  # the server has read everything before it answers
    assert [request[2] for request in server.requests if request[0] == RELEASE] == [[11]]


def test_saves_and_loads(rank: headrace.Client) -> None:
    save = rank.save([headrace.Chain(HASHES, [3, headrace.NO_BLOCK], tokens=range(32))])
    assert save != 0
    (saved,) = rank.poll(10.0)
    assert (saved.submission, saved.code, saved.stored) == (save, headrace.Code.OK, 2)
    load = rank.load(11, 0, 2, [array("I", [4, 5]), None])
    (loaded,) = rank.poll(10.0)
    assert (loaded.submission, loaded.loaded, loaded.bytes) == (load, 2, 8192)
    assert rank.poll() == []


def test_clears_purges_and_reports(rank: headrace.Client) -> None:
    assert rank.clear(wait=10.0) == 2
    assert rank.purge(HASHES[:32], wait=10.0)
    assert rank.status(wait=10.0) == {"blocks": 3}


def test_raises_the_servers_words_when_a_registration_is_refused(
    client: headrace.Client, server: FakeServer
) -> None:
    server.refuse[REGISTER] = (headrace.Code.EXISTS, "block_tokens is 32 in this namespace")
    with pytest.raises(headrace.HeadraceError, match="block_tokens is 32") as caught:
        client.register("model", block_tokens=16, wait=10.0)
    assert caught.value.code == headrace.Code.EXISTS


def test_names_wrong_arguments(rank: headrace.Client) -> None:
    with pytest.raises(ValueError, match="multiple of hash_bytes"):
        rank.query([headrace.Query(b"123")])
    with pytest.raises(ValueError, match="hash_bytes must be 1 to 32"):
        rank.query([headrace.Query(HASHES, hash_bytes=33)])
    with pytest.raises(ValueError, match="1 entries for 2 hashes"):
        rank.save([headrace.Chain(HASHES, [1])])
    with pytest.raises(ValueError, match="parent must be"):
        rank.save([headrace.Chain(HASHES, [1, 2], parent=b"1", depth=1)])
    with pytest.raises(ValueError, match="exactly when depth is not 0"):
        rank.save([headrace.Chain(HASHES, [1, 2], depth=1)])
    with pytest.raises(ValueError, match="block ids"):
        rank.save([headrace.Chain(HASHES, [1, -2])])
    with pytest.raises(ValueError, match="entries or None"):
        rank.load(1, 0, 2, [[1]])
    with pytest.raises(ValueError, match="lease must not be 0"):
        rank.load(0, 0, 1, [[1]])
    with pytest.raises(headrace.HeadraceError, match="endpoint"):
        headrace.Client("tcp://host:1")
    with pytest.raises(headrace.HeadraceError, match="rank must be below"):
        headrace.Client("/x").register("model", block_tokens=16, rank=1)


def test_misses_within_its_budget_without_a_server(tmp_path: object) -> None:
    client = headrace.Client(f"{tmp_path}/nobody")
    assert not client.register("model", block_tokens=16)
    assert not client.ready
    times = []
    for _ in range(20):
        start = time.perf_counter()
        (answer,) = client.query([headrace.Query(HASHES, want_lease=True)])
        times.append(time.perf_counter() - start)
        assert (answer.hit_blocks, answer.lease) == (0, 0)
        assert answer.code == headrace.Code.UNAVAILABLE
    assert sorted(times)[10] < 0.005
    assert client.save([headrace.Chain(HASHES, [1, 2])]) == 0
    assert client.load(1, 0, 1, [[1]]) == 0
    assert client.poll() == []
    client.release([5])
    client.revoke(7)
    with pytest.raises(headrace.HeadraceError) as caught:
        client.clear(wait=0.01)
    assert caught.value.code == headrace.Code.UNAVAILABLE


def test_answers_like_an_absent_server_after_close(rank: headrace.Client) -> None:
    rank.close()
    assert not rank.ready
    assert rank.query([headrace.Query(HASHES)])[0].code == headrace.Code.UNAVAILABLE
    assert rank.save([headrace.Chain(HASHES, [1, 2])]) == 0
    assert rank.poll(10.0) == []


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
def test_leaves_the_parent_alone_in_a_forked_child(rank: headrace.Client) -> None:
    child = os.fork()
    if child == 0:
        code = rank.query([headrace.Query(HASHES)])[0].code
        os._exit(0 if code == headrace.Code.UNAVAILABLE else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert rank.query([headrace.Query(HASHES)])[0].hit_blocks == 2
    assert rank.stats.connects == 1


def test_serves_threads_at_once(rank: headrace.Client) -> None:
    wrong: list[int] = []

    def ask() -> None:
        for blocks in (1, 2) * 100:
            hit = rank.query([headrace.Query(HASHES[: 32 * blocks])])[0].hit_blocks
            if hit != blocks:
                wrong.append(hit)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_gives_everything_back_when_it_is_forgotten(server: FakeServer) -> None:
    before = len(os.listdir("/proc/self/fd"))
    client = headrace.Client(server.path, call_timeout=10.0)
    client.register("model", block_tokens=16, wait=10.0)
    assert len(os.listdir("/proc/self/fd")) > before
    del client
    gc.collect()
    deadline = time.monotonic() + 10  # the fake server closes its side by itself
    while len(os.listdir("/proc/self/fd")) > before and time.monotonic() < deadline:
        time.sleep(0.001)
    assert len(os.listdir("/proc/self/fd")) <= before


def test_shared_buffer_is_one_memory_with_its_descriptor() -> None:
    with headrace.SharedBuffer(8192, name="test") as shared:
        shared.view[4096:4100] = b"abcd"
        assert os.pread(shared.fd, 4, 4096) == b"abcd"
        assert len(shared) == shared.buffer().bytes == 8192
        with pytest.raises(OSError):
            os.ftruncate(shared.fd, 0)
    with pytest.raises(ValueError):
        headrace.SharedBuffer(0)
