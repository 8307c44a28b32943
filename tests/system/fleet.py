"""What tests around an index share: a publisher as vLLM's, and an index that can be asked."""

from __future__ import annotations

import json
import struct
import threading
import time
import urllib.error
import urllib.request

import msgpack
import zmq
from harness import wait_for

MODEL = "test/model"
BLOCK = 16


def tokens_of(blocks: int, first: int = 1) -> list[int]:
    return list(range(first, first + blocks * BLOCK))


def stored(tokens: list[int], first_hash: int, **more) -> dict:
    return {
        "type": "BlockStored",
        "block_hashes": [first_hash + i for i in range(len(tokens) // BLOCK)],
        "parent_block_hash": None,
        "token_ids": tokens,
        "block_size": BLOCK,
        "medium": "GPU",
        **more,
    }


class LivePublisher:
    """PUB and a ROUTER that replays everything, on a thread: whoever comes late is told."""

    def __init__(self, pod: str, host: str = "127.0.0.1", topic: str | None = None) -> None:
        self._topic = (f"kv@{pod}@{MODEL}" if topic is None else topic).encode()
        self._context = zmq.Context()
        self._pub = self._context.socket(zmq.PUB)
        self._router = self._context.socket(zmq.ROUTER)
        self._pub.linger = self._router.linger = 0
        self.port = self._pub.bind_to_random_port(f"tcp://{host}")
        self.replay_port = self._router.bind_to_random_port(f"tcp://{host}")
        self.endpoint, self.replay = f"tcp://{host}:{self.port}", f"tcp://{host}:{self.replay_port}"
        self._sent: list[bytes] = []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._answer)
        self._thread.start()

    def publish(self, *events) -> None:
        payload = msgpack.packb([time.time(), list(events), None])
        with self._lock:
            sequence = struct.pack(">Q", len(self._sent))
            self._sent.append(payload)
            self._pub.send_multipart([self._topic, sequence, payload])

    def _answer(self) -> None:
        while not self._stop.is_set():
            if not self._router.poll(20):
                continue
            peer, empty, start, *_ = self._router.recv_multipart()
            if len(start) != 8:
                continue
            with self._lock:
                sent = list(enumerate(self._sent))[struct.unpack(">Q", start)[0] :]
            for sequence, payload in sent:
                frames = [self._topic, struct.pack(">Q", sequence), payload]
                self._router.send_multipart([peer, empty, *frames])
            self._router.send_multipart([peer, empty, b"", b"\xff" * 8, b""])

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self._pub.close()
        self._router.close()
        self._context.term()


class IndexAsker:
    def __init__(self, server, token: str = "") -> None:
        self.address = f"127.0.0.1:{server.http}"
        self.url = f"http://{self.address}"
        self._token = token

    def ask(self, method: str, path: str, body=None):
        """(status, parsed answer)"""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method)
        if self._token:
            request.add_header("Authorization", f"Bearer {self._token}")
        try:
            with urllib.request.urlopen(request, timeout=10) as reply:
                return reply.status, json.loads(reply.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def score(self, tokens: list[int]) -> dict[str, float]:
        status, answer = self.ask("POST", "/v1/score", {"model": MODEL, "token_ids": tokens})
        assert status == 200, answer
        return {x["pod"]: x["score"] for x in answer["pods"]}

    def wait_score(self, tokens: list[int], expected: dict[str, float]) -> None:
        wait_for(
            lambda: self.score(tokens) == expected,
            20,
            f"the score is {expected}; it was {self.score(tokens)}",
        )
