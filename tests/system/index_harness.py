"""For tests of the index: publishers as vLLM is one, and a server that follows them."""

import json
import struct
import time
import urllib.error
import urllib.parse
import urllib.request

import msgpack
import pytest
import zmq
from harness import wait_for

MODEL = "test/model"
BLOCK = 16


class Publisher:
    """A vLLM's end: three frames, big-endian sequence, msgpack; the last messages for replay."""

    def __init__(self, pod: str, keys: tuple[bytes, bytes] | None = None) -> None:
        """With `keys`, the public and the secret one, it speaks to nobody without CURVE."""
        self.topic = f"kv@{pod}@{MODEL}".encode()
        self.context = zmq.Context()
        self.pub = self.context.socket(zmq.PUB)
        self.router = self.context.socket(zmq.ROUTER)
        for socket in (self.pub, self.router):
            socket.linger = 0
            if keys:
                socket.curve_publickey, socket.curve_secretkey = keys
                socket.curve_server = True
        self.port = self.pub.bind_to_random_port("tcp://127.0.0.1")
        self.replay_port = self.router.bind_to_random_port("tcp://127.0.0.1")
        self.endpoint = f"tcp://127.0.0.1:{self.port}"
        self.replay = f"tcp://127.0.0.1:{self.replay_port}"
        self.sequence = 0
        self.sent: list[tuple[int, bytes]] = []

    def close(self) -> None:
        self.pub.close()
        self.router.close()
        self.context.term()

    def publish(self, *events, lost: bool = False) -> None:
        payload = msgpack.packb([time.time(), list(events), None])
        self.sent.append((self.sequence, payload))
        if not lost:
            self.pub.send_multipart([self.topic, struct.pack(">Q", self.sequence), payload])
        self.sequence += 1

    def answer_replays(self) -> int:
        """Answers what was asked so far; how many questions there were."""
        answered = 0
        while self.router.poll(0):
            peer, empty, start, *_ = self.router.recv_multipart()
            (first,) = struct.unpack(">Q", start)
            for sequence, payload in self.sent:
                if sequence >= first:
                    self.router.send_multipart(
                        [peer, empty, self.topic, struct.pack(">Q", sequence), payload])
            self.router.send_multipart([peer, empty, b"", b"\xff" * 8, b""])
            answered += 1
        return answered


def tokens_of(blocks: int, base: int = 0) -> list[int]:
    return [base + i for i in range(blocks * BLOCK)]


def stored(tokens, first_hash: int, array=False, **more):
    """A BlockStored; `more` are fields of it."""
    hashes = [first_hash + i for i in range(len(tokens) // BLOCK)]
    if array:
        return ["BlockStored", hashes, None, tokens, BLOCK, None, "GPU"]
    return {"type": "BlockStored", "block_hashes": hashes, "token_ids": tokens,
            "block_size": BLOCK, "medium": "GPU", **more}


class Index:
    """A server without a pool. `listed` publishers stand in its configuration from the start."""

    def __init__(self, start_server, config, *flags, models="", more="", listed=True) -> None:
        self.publishers = {pod: Publisher(pod) for pod in ("pod-a", "pod-b")}
        pods = "pods:\n" + "".join(
            f"  - {{name: {name}, endpoint: '{p.endpoint}', replayEndpoint: '{p.replay}'}}\n"
            for name, p in self.publishers.items())
        config.write_text(
            f"models:\n  - {{name: {MODEL}, tokenizer: bytes}}\n{models}{more}"
            f"{pods if listed else ''}")
        self.server = start_server("--index-config", str(config), *flags, pool="0")
        self.token = None
        if listed:
            self.connected(len(self.publishers))

    def answer_replays(self) -> None:
        for publisher in self.publishers.values():
            publisher.answer_replays()

    def connected(self, times: int) -> None:
        """Publishers were dialled so often in all: what they send now is not lost."""
        def heard():
            self.answer_replays()
            metrics = self.server.metrics()
            return metrics.get("headrace_index_connects_total", 0) >= times
        wait_for(heard, 20, "the publishers are followed")

    def close(self) -> None:
        for publisher in self.publishers.values():
            publisher.close()

    def ask(self, method: str, path: str, body=None, token=None):
        """(status, parsed answer)"""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.server.http}{path}", data=data, method=method)
        token = token or self.token
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        try:
            with urllib.request.urlopen(request, timeout=10) as reply:
                return reply.status, json.loads(reply.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def put_pod(self, pod: str, publisher: Publisher, **more):
        return self.ask("PUT", f"/v1/index/pods/{urllib.parse.quote(pod)}",
                        {"endpoint": publisher.endpoint, "replay_endpoint": publisher.replay,
                         **more})

    def score(self, tokens, **more):
        """pod -> score"""
        status, answer = self.ask("POST", "/v1/score",
                                  {"model": MODEL, "token_ids": tokens, **more})
        assert status == 200, answer
        return {x["pod"]: x["score"] for x in answer["pods"]}

    def wait_score(self, tokens, expected, **more) -> None:
        def right():
            self.answer_replays()
            return self.score(tokens, **more) == pytest.approx(expected)
        wait_for(right, 20, f"the score is {expected}; it is {self.score(tokens, **more)}")
