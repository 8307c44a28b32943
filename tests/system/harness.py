"""Real processes for the system tests: a headrace-server of a test's own, scripted engines with
shared buffers, and the bytes a block must have. Everything started is ended by pid."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("HEADRACE_BUILD", ROOT / "build"))
os.environ.setdefault("HEADRACE_CLIENT_LIBRARY", str(BUILD / "client" / "libheadrace_client.so"))
sys.path.insert(0, str(ROOT / "python"))

import headrace  # noqa: E402
from headrace import Chain, Client, Code, Group, Layout, Query, SharedBuffer  # noqa: E402

SERVER = BUILD / "bin" / "headrace-server"
MIB = 1 << 20


given_ports: set[int] = set()


def free_ports(count: int) -> int:
    """The first of some that follow each other. Below those that connections are given, of which
    one may be taken before the server binds it."""
    while True:
        first = random.randrange(20000, 32000)
        ports = range(first, first + count)
        if given_ports.intersection(ports):
            continue
        with contextlib.ExitStack() as probes:
            try:
                for port in ports:
                    probes.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except OSError:
                continue
        given_ports.update(ports)
        return first


def free_port() -> int:
    return free_ports(1)


def wait_for(condition, seconds: float, what: str):
    """Polls until `condition()` is true; its value. Fails the test when time is over."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.005)


class Server:
    """headrace-server --device cpu on its own socket and ports."""

    def __init__(
        self, *flags: str, pool: str = "256mb", ready: bool = True, pool_wait: bool = True, env=None
    ) -> None:
        self.directory = tempfile.mkdtemp(prefix="headrace-test-")
        self.socket = os.path.join(self.directory, "socket")
        self.endpoint = "ipc://" + self.socket
        self.http = free_port()
        self.addr = free_port()
        self.flags = [
            "--device",
            "cpu",
            "--pool-size",
            pool,
            "--socket",
            self.socket,
            "--addr",
            f"127.0.0.1:{self.addr}",
            "--http-addr",
            f"127.0.0.1:{self.http}",
            *flags,
        ]
        self.env = {**os.environ, **(env or {})}
        self.log_path = os.path.join(self.directory, "log")
        self.process: subprocess.Popen | None = None
        self.start(ready, pool_wait)

    def start(self, ready: bool = True, pool_wait: bool = True) -> None:
        log = open(self.log_path, "ab")
        self.process = subprocess.Popen(
            [str(SERVER), *self.flags], stderr=log, stdout=log, env=self.env
        )
        log.close()
        if ready:
            wait_for(self.is_serving, 10, "the server serves: " + self.log())
        if ready and pool_wait:
            wait_for(self.has_room, 30, "the first 256 MiB of the pool are backed")

    def has_room(self) -> bool:
        pool = self.json("/ready")["pool"]
        return pool["ready_bytes"] >= min(pool["total_bytes"], 256 * MIB)

    def is_serving(self) -> bool:
        try:
            return self.get("/health")[0] == 200
        except OSError:
            assert self.process.poll() is None, self.log()
            return False

    def log(self) -> str:
        with open(self.log_path, errors="replace") as file:
            return file.read()

    def get(self, path: str, timeout: float = 5) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{self.http}{path}", timeout=timeout
            ) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def json(self, path: str):
        return json.loads(self.get(path)[1])

    def metrics(self) -> dict[str, float]:
        """Every sample of /metrics: 'name' or 'name{labels}' -> value."""
        samples = {}
        for line in self.get("/metrics")[1].splitlines():
            if line and not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                samples[name] = float(value)
        return samples

    def metric(self, name: str) -> float:
        """Sum over the labels of one metric."""
        found = [v for k, v in self.metrics().items() if re.split(r"[{ ]", k)[0] == name]
        assert found, f"no metric {name}"
        return sum(found)

    def wait_full_pool(self) -> None:
        wait_for(
            lambda: self.metric("headrace_pool_ready_bytes") >= self.metric("headrace_pool_bytes"),
            60,
            "the pool is backed",
        )

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)
        return self.process.returncode

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)


def hash_of(*words) -> bytes:
    return hashlib.sha256(repr(words).encode()).digest()


def chain_of(name, count: int) -> list[bytes]:
    """A sequence of block hashes, each made from its predecessor, as engines make them."""
    hashes, parent = [], b""
    for i in range(count):
        parent = hashlib.sha256(parent + repr((name, i)).encode()).digest()
        hashes.append(parent)
    return hashes


def content(name_space: str, block_hash: bytes, segment: int, size: int) -> bytes:
    seed = name_space.encode() + block_hash + segment.to_bytes(4, "little")
    return hashlib.shake_128(seed).digest(size)


def split_layout(blocks: int, layers: int = 4, segment: int = 4096) -> Layout:
    """K first: [layer][K|V][block][segment]."""
    return Layout(
        num_blocks=blocks,
        segment_bytes=segment,
        block_stride=segment,
        parts=2,
        part_stride=blocks * segment,
        layer_offsets=[layer * 2 * blocks * segment for layer in range(layers)],
    )


def blocks_first_layout(blocks: int, layers: int = 4, segment: int = 4096) -> Layout:
    """[layer][block][K|V][segment]."""
    return Layout(
        num_blocks=blocks,
        segment_bytes=segment,
        block_stride=2 * segment,
        parts=2,
        part_stride=segment,
        layer_offsets=[layer * 2 * blocks * segment for layer in range(layers)],
    )


def packed_layout(blocks: int, layers: int = 4, segment: int = 8192) -> Layout:
    """[layer][block][K and V together]."""
    return Layout(
        num_blocks=blocks,
        segment_bytes=segment,
        block_stride=segment,
        layer_offsets=[layer * blocks * segment for layer in range(layers)],
    )


def single_layout(blocks: int, layers: int = 1, segment: int = 32768) -> Layout:
    """[block][all layers in one run]."""
    return packed_layout(blocks, 1, segment)


def buffer_bytes(layout: Layout) -> int:
    return (
        max(layout.layer_offsets)
        + (layout.num_blocks - 1) * layout.block_stride
        + (layout.parts - 1) * layout.part_stride
        + layout.segment_bytes
    )


@dataclass
class Outcome:
    code: Code
    completion: headrace.Completion | None = None


class Engine:
    """A scripted engine: one buffer, one client, blocks filled and checked through the layout."""

    def __init__(
        self,
        endpoint: str,
        layout: Layout | None = None,
        *,
        name_space: str = "model",
        instance: str = "engine",
        rank: int = 0,
        world_size: int = 1,
        wait: float = 5.0,
        **options,
    ) -> None:
        self.layout = layout or split_layout(64)
        self.name_space = name_space
        self.rank = rank
        self.memory = SharedBuffer(buffer_bytes(self.layout))
        options.setdefault("call_timeout", 2.0)  # what is asked here is what, not how fast
        self.client = Client(endpoint, instance=instance, **options)
        self.registered = self.client.register(
            name_space,
            block_tokens=16,
            rank=rank,
            world_size=world_size,
            buffers=[self.memory.buffer()],
            groups=[Group(self.layout)],
            wait=wait,
        )

    def segments(self, block: int):
        layout = self.layout
        for part in range(layout.parts):
            for layer in range(len(layout.layer_offsets)):
                offset = layout.layer_offsets[layer] + block * layout.block_stride
                yield part * len(layout.layer_offsets) + layer, offset + part * layout.part_stride

    def fill(self, block: int, block_hash: bytes) -> None:
        for number, offset in self.segments(block):
            data = content(
                f"{self.name_space}/{self.rank}", block_hash, number, self.layout.segment_bytes
            )
            self.memory.view[offset : offset + self.layout.segment_bytes] = data

    def holds(self, block: int, block_hash: bytes) -> bool:
        size = self.layout.segment_bytes
        return all(
            self.memory.view[offset : offset + size]
            == content(f"{self.name_space}/{self.rank}", block_hash, number, size)
            for number, offset in self.segments(block)
        )

    def wipe(self) -> None:
        self.memory.view[:] = bytes(len(self.memory.view))

    def digest(self, block: int) -> bytes:
        size = self.layout.segment_bytes
        state = hashlib.sha256()
        for _, offset in self.segments(block):
            state.update(self.memory.view[offset : offset + size])
        return state.digest()

    def wait(self, submission: int, seconds: float = 20) -> headrace.Completion:
        assert submission != 0, "the submission was refused"
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for done in self.client.poll(0.2):
                if done.submission == submission:
                    return done
        raise AssertionError("no completion in time")

    def start_save(
        self, hashes, blocks, depth: int = 0, parent: bytes | None = None, fill=True
    ) -> int:
        if fill:
            for block, block_hash in zip(blocks, hashes):
                self.fill(block, block_hash)
        return self.client.save([Chain(hashes, blocks, parent=parent, depth=depth)])

    def save(self, hashes, blocks=None, depth: int = 0, parent: bytes | None = None, fill=True):
        blocks = list(range(len(hashes))) if blocks is None else blocks
        return self.wait(self.start_save(hashes, blocks, depth, parent, fill))

    def hit(self, hashes) -> int:
        return self.client.query([Query(hashes)])[0].hit_blocks

    def lease(self, hashes, **more) -> headrace.Answer:
        return self.client.query([Query(hashes, want_lease=True, **more)])[0]

    def load(self, hashes, blocks, first: int = 0) -> headrace.Completion:
        """Leases the whole of `hashes` and loads positions from `first` on into `blocks`."""
        answer = self.lease(hashes)
        assert answer.hit_blocks == len(hashes) and answer.lease, answer
        return self.wait(self.client.load(answer.lease, first, len(blocks), [blocks]))

    def close(self) -> None:
        self.client.close()
        self.memory.close()


def process_fds(pid: int, word: str) -> list[str]:
    """What the descriptors of a process point to, where it contains `word`."""
    found = []
    for entry in os.listdir(f"/proc/{pid}/fd"):
        try:
            target = os.readlink(f"/proc/{pid}/fd/{entry}")
        except OSError:
            continue
        if word in target:
            found.append(target)
    return found


def process_maps(pid: int, word: str) -> int:
    with open(f"/proc/{pid}/maps") as maps:
        return sum(word in line for line in maps)


__all__ = [name for name in dir() if not name.startswith("_")]
