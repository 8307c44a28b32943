"""An index follows a node that evicts all the time: through a cut connection and a kill of the
index it ends as the node is, block by block."""

import itertools
import json
import socket
import subprocess
import threading
import time

import pytest
from harness import BUILD, chain_of, free_port, single_layout, wait_for
from index_harness import IndexAsker
from publisher import BLOCK, MODEL, LivePublisher, stored

NODE = "node-a"
CHAIN = 64
CUT_SECONDS = 10


class Cable:
    """A TCP connection through this process, which can be cut."""

    def __init__(self, port: int) -> None:
        self.target, self.port = port, free_port()
        self.ends, self.listener = [], None
        self.mend()

    def mend(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self.accept, args=(self.listener,), daemon=True).start()

    def accept(self, listener) -> None:
        while True:
            try:
                near, _ = listener.accept()
                far = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                return
            self.ends += [near, far]
            for pair in ((near, far), (far, near)):
                threading.Thread(target=self.carry, args=pair, daemon=True).start()

    @staticmethod
    def carry(source, sink) -> None:
        try:
            while data := source.recv(1 << 16):
                sink.sendall(data)
        except OSError:
            pass

    def cut(self) -> None:
        for end in (self.listener, *self.ends):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # it has ended by itself
            end.close()
        self.ends = []


class Site:
    """A node under churn, an engine that teaches what its hashes mean, and an index of both."""

    def __init__(self, start_server, start_engine, config, *node_flags: str) -> None:
        events, replay = free_port(), free_port()
        self.replay = f"tcp://127.0.0.1:{replay}"
        self.node = start_server(
            "--events-endpoint", f"tcp://127.0.0.1:{events}",
            "--events-replay-endpoint", self.replay,
            "--events-topic-node", NODE, *node_flags,
            pool="64mb")  # fmt: skip
        self.engine = start_engine(self.node.endpoint, single_layout(CHAIN), name_space=MODEL)
        self.cable = Cable(events)
        self.teacher = LivePublisher("pod-a")
        self.config, self.start_server = config, start_server
        config.write_text(
            "pods:\n"
            f"  - {{name: {NODE}, endpoint: 'tcp://127.0.0.1:{self.cable.port}',"
            f" replayEndpoint: '{self.replay}'}}\n"
            f"  - {{name: pod-a, endpoint: '{self.teacher.endpoint}',"
            f" replayEndpoint: '{self.teacher.replay}'}}\n"
        )
        self.numbers = itertools.count()
        self.chains = []
        self.start_index()

    def start_index(self) -> None:
        self.server = self.start_server("--index-config", str(self.config), pool="0")
        self.index = IndexAsker(self.server)

    def close(self) -> None:
        self.cable.cut()
        self.teacher.close()

    def churn(self, chains: int) -> None:
        for number in itertools.islice(self.numbers, chains):
            hashes = chain_of(("follow", number), CHAIN)
            first = 1 + number * CHAIN * BLOCK
            tokens = list(range(first, first + CHAIN * BLOCK))
            words = [int.from_bytes(x[-8:], "big") for x in hashes]
            self.teacher.publish({**stored(tokens, 0), "block_hashes": words})
            self.engine.save(hashes, fill=False)
            self.chains.append((hashes, tokens))

    def differences(self) -> str | None:
        """What `headrace index diff` prints of the index and the node's snapshot."""
        diff = subprocess.run(
            [BUILD / "bin" / "headrace", "index", "diff", self.index.url, self.replay,
             "--topic", f"kv@{NODE}@{MODEL}"],
            capture_output=True, text=True, timeout=60)  # fmt: skip
        if diff.returncode not in (0, 1):
            return f"{diff.returncode}: {diff.stderr}"
        return diff.stdout

    def wait_equal(self, what: str) -> None:
        last = [None]

        def equal() -> bool:
            last[0] = self.differences()
            return last[0] == ""

        try:
            wait_for(equal, 30, what)
        except AssertionError as error:
            lines = (last[0] or "").splitlines()
            raise AssertionError(f"{what}: {len(lines)} differences: {lines[:5]}") from error

    def check_scores(self) -> None:
        """Of every chain, what the index says of the node is what a query there finds."""
        kept = 0
        for hashes, tokens in self.chains:
            hit = self.engine.hit(hashes)
            blocks = {p["pod"]: p["blocks"] for p in self.ask(tokens)}.get(NODE, 0)
            assert blocks == hit
            kept += hit
        assert kept > 0

    def ask(self, tokens) -> list[dict]:
        status, answer = self.index.ask("POST", "/v1/score", {"model": MODEL, "token_ids": tokens})
        assert status == 200, answer
        return answer["pods"]


@pytest.fixture
def site(start_server, start_engine, tmp_path):
    made = Site(start_server, start_engine, tmp_path / "index.yaml")
    yield made
    made.close()


def test_ends_as_the_node_is_after_a_cut_and_a_kill(site):
    site.churn(60)
    site.wait_equal("live")
    evicted = site.node.metric("headrace_events_published_total") - 60 * CHAIN
    assert evicted > 0, "nothing was evicted: the pool is too large for this test"

    before = site.server.metrics()
    site.cable.cut()
    end = time.monotonic() + CUT_SECONDS
    while time.monotonic() < end:
        site.churn(4)
        time.sleep(0.5)
    assert site.differences() != "", "the cut had no effect"
    site.cable.mend()
    site.wait_equal("after a cut of 10 s")
    after = site.server.metrics()
    name = f'headrace_index_pod_replays_total{{pod="{NODE}"}}'
    assert after[name] > before.get(name, 0)
    site.check_scores()

    site.server.kill()
    site.churn(10)
    site.start_index()
    site.wait_equal("after a kill of the index")
    site.check_scores()


class SplitSite(Site):
    """Two replicas of the index; what the node remembers of its messages is soon forgotten."""

    def __init__(self, start_server, start_engine, config) -> None:
        self.ports = [free_port(), free_port()]
        super().__init__(start_server, start_engine, config, "--events-buffer-steps", "16")

    def start_index(self) -> None:
        pods = self.config.read_text()
        addresses = [f"127.0.0.1:{port}" for port in self.ports]
        self.replicas = []
        for port, address in zip(self.ports, addresses, strict=True):
            config = self.config.with_name(f"{port}.yaml")
            config.write_text(f"{pods}replicas: {json.dumps(addresses)}\n"
                              f"replica: '{address}'\nshardBlocks: 3\n")
            server = self.start_server("--index-config", str(config), "--http-addr", address,
                                       pool="0", ready=False)
            server.http = port
            wait_for(server.is_serving, 10, "the replica serves")
            self.replicas.append(server)
        self.askers = [IndexAsker(x) for x in self.replicas]

    def blocks(self, replica: int, tokens) -> int | None:
        """Of the node; nothing where the other replica is asked for it."""
        body = {"model": MODEL, "token_ids": tokens}
        status, answer = self.askers[replica].ask("POST", "/v1/score", body)
        if status == 307:
            return None
        assert status == 200, answer
        return {p["pod"]: p["blocks"] for p in answer["pods"]}.get(NODE, 0)

    def is_whole(self, *replicas: int) -> bool:
        """Every chain of theirs is known as far as a query at the node finds it."""
        found = [(self.engine.hit(hashes), self.blocks(replica, tokens))
                 for hashes, tokens in self.chains for replica in replicas]
        own = [(hit, blocks) for hit, blocks in found if blocks is not None]
        assert any(hit > 0 for hit, _ in own) and len(own) < len(self.chains) * 2
        return all(hit == blocks for hit, blocks in own)


@pytest.fixture
def split_site(start_server, start_engine, tmp_path):
    made = SplitSite(start_server, start_engine, tmp_path / "index.yaml")
    yield made
    made.close()


def test_a_killed_replica_has_its_part_again_by_a_snapshot(split_site):
    site, (dead, alive) = split_site, (0, 1)
    site.churn(60)
    wait_for(lambda: site.is_whole(dead, alive), 30, "both are whole")
    site.replicas[dead].kill()
    for _ in range(10):
        site.churn(2)
        wait_for(lambda: site.is_whole(alive), 20, "the other one answers")
    site.replicas[dead].start(pool_wait=False)
    wait_for(lambda: site.is_whole(dead, alive), 30, "the killed one is whole again")
    _, stats = site.askers[dead].ask("GET", "/v1/index/stats")
    assert stats["foreign_blocks"] > 0, "it kept the other one's part, too"
    (node,) = [pod for pod in stats["pods"] if pod["pod"] == NODE]
    assert node["snapshots"] > 0, "replays were enough: the node remembers too much"
