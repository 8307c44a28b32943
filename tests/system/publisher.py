"""Publishers of events as vLLM is one, and what they tell."""

from __future__ import annotations

import struct
import threading
import time

import msgpack
import zmq

MODEL = "test/model"
BLOCK = 16


def tokens_of(blocks: int, first: int = 1) -> list[int]:
    return list(range(first, first + blocks * BLOCK))


def stored(tokens: list[int], first_hash: int, array: bool = False, **more):
    """A BlockStored of whole blocks; `more` are fields of it."""
    hashes = [first_hash + i for i in range(len(tokens) // BLOCK)]
    if array:
        return ["BlockStored", hashes, None, tokens, BLOCK, None, "GPU"]
    return {
        "type": "BlockStored",
        "block_hashes": hashes,
        "parent_block_hash": None,
        "token_ids": tokens,
        "block_size": BLOCK,
        "medium": "GPU",
        **more,
    }


class Publisher:
    """A vLLM's end: PUB, and a ROUTER that replays all of it when it is told to answer."""

    def __init__(
        self,
        pod: str,
        keys: tuple[bytes, bytes] | None = None,
        *,
        host: str = "127.0.0.1",
        topic: str | None = None,
    ) -> None:
        """With `keys`, the public and the secret one, it speaks to nobody without CURVE."""
        self.topic = f"kv@{pod}@{MODEL}" if topic is None else topic
        self._context = zmq.Context()
        self._pub = self._context.socket(zmq.PUB)
        self._router = self._context.socket(zmq.ROUTER)
        for socket in (self._pub, self._router):
            socket.linger = 0
            if keys:
                socket.curve_publickey, socket.curve_secretkey = keys
                socket.curve_server = True
        self.port = self._pub.bind_to_random_port(f"tcp://{host}")
        self.replay_port = self._router.bind_to_random_port(f"tcp://{host}")
        self.endpoint, self.replay = f"tcp://{host}:{self.port}", f"tcp://{host}:{self.replay_port}"
        self.sent: list[bytes] = []  # payloads; the place is the sequence

    def close(self) -> None:
        self._pub.close()
        self._router.close()
        self._context.term()

    def publish(self, *events, lost: bool = False) -> None:
        payload = msgpack.packb([time.time(), list(events), None])
        self.sent.append(payload)
        if not lost:
            self._pub.send_multipart(self._frames(len(self.sent) - 1, payload))

    def answer_replays(self, wait_ms: int = 0) -> None:
        """Answers what was asked so far."""
        while self._router.poll(wait_ms):
            peer, empty, start, *_ = self._router.recv_multipart()
            if len(start) != 8:
                continue
            (first,) = struct.unpack(">Q", start)
            for sequence, payload in list(enumerate(self.sent))[first:]:
                self._router.send_multipart([peer, empty, *self._frames(sequence, payload)])
            self._router.send_multipart([peer, empty, b"", b"\xff" * 8, b""])

    def _frames(self, sequence: int, payload: bytes) -> list[bytes]:
        return [self.topic.encode(), struct.pack(">Q", sequence), payload]


class LivePublisher(Publisher):
    """Answers by itself, on a thread: whoever comes late is told."""

    def __init__(self, pod: str, **options) -> None:
        super().__init__(pod, **options)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._answer)
        self._thread.start()

    def _answer(self) -> None:
        while not self._stop.is_set():
            self.answer_replays(20)

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        super().close()
