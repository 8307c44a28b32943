"""What headrace-server publishes, read by vLLM's own event classes: maps as vLLM reads them now,
arrays as it read them before (the same classes, declared as it did then). No model runs."""

from __future__ import annotations

import hashlib
import os
import shutil
import struct
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import harness
import msgspec
import pytest
import zmq
from vllm.distributed import kv_events

sys.path.insert(0, str(harness.ROOT / "python"))

import headrace  # noqa: E402

NODE, NAMESPACE = "node-a", "weights"
TOPIC = f"kv@{NODE}@{NAMESPACE}".encode()
PODS, MODEL = ["10.0.0.1:8000", "10.0.0.2:8000"], "org/model"
BLOCK_TOKENS = 16
PATIENCE_MS = 20_000


def positions(kind: type) -> list[tuple]:
    """The fields of an array, in their order. All that came later than medium may be missing."""
    fields, later = [], False
    for field in msgspec.structs.fields(kind):
        fields.append((field.name, field.type, None) if later else (field.name, field.type))
        later = later or field.name == "medium"
    return fields


def reader(form: str) -> msgspec.msgpack.Decoder:
    if form == "map":
        return msgspec.msgpack.Decoder(type=kv_events.KVEventBatch)
    events = [
        msgspec.defstruct(kind.__name__, positions(kind), tag=True, array_like=True)
        for kind in (kv_events.BlockStored, kv_events.BlockRemoved, kv_events.AllBlocksCleared)
    ]
    any_event = events[0] | events[1] | events[2]
    batch = msgspec.defstruct(
        "Batch",
        [("ts", float), ("events", list[any_event]), ("data_parallel_rank", int | None, None)],
        array_like=True,
    )
    return msgspec.msgpack.Decoder(type=batch)


class Published:
    """A server that publishes, and an engine that saves, clears and ends."""

    def __init__(self, place: harness.Place, directory: Path, form: str, hashes: str) -> None:
        os.environ.setdefault("HEADRACE_CLIENT_LIBRARY", str(place.library))
        ports = [harness.free_port() for _ in range(4)]
        self.replay = f"tcp://127.0.0.1:{ports[1]}"
        health = f"http://127.0.0.1:{ports[2]}/health"
        self.directory = tempfile.mkdtemp(prefix="headrace-")  # socket paths must be short
        socket = f"{self.directory}/s"
        command = [
            place.build / "bin" / "headrace-server",
            *("--device", "cpu", "--pool-size", "64mb", "--socket", f"ipc://{socket}"),
            *("--http-addr", f"127.0.0.1:{ports[2]}", "--addr", f"127.0.0.1:{ports[3]}"),
            *("--events-endpoint", f"tcp://127.0.0.1:{ports[0]}", "--events-topic-node", NODE),
            *("--events-replay-endpoint", self.replay, "--events-form", form),
            *("--events-hashes", hashes, "--events-token-ids"),
        ]
        self.program = harness.Program(command, os.environ, directory / "log")
        self.program.wait_for(health, 60)
        self.endpoint = f"ipc://{socket}"
        self.whole = hashes == "bytes"
        self.decoder = reader(form)

    def close(self) -> None:
        self.program.end()
        shutil.rmtree(self.directory, ignore_errors=True)

    def replayed(self) -> list[Any]:
        """Every message so far, as vLLM's subscriber asks for it and reads it."""
        with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
            socket.setsockopt(zmq.LINGER, 0)
            socket.setsockopt(zmq.RCVTIMEO, PATIENCE_MS)
            socket.connect(self.replay)
            socket.send_multipart([b"", struct.pack(">Q", 0)])
            messages = []
            while True:
                answer = socket.recv_multipart()
                if answer[-1] == b"":
                    return messages
                _, topic, sequence, payload = answer
                assert (topic, struct.unpack(">Q", sequence)[0]) == (TOPIC, len(messages))
                messages.append(self.decoder.decode(payload))
                assert messages[-1].data_parallel_rank == 0

    def named(self, hashes: list[bytes]) -> list[int | bytes]:
        return hashes if self.whole else [int.from_bytes(h[-8:], "big") for h in hashes]

    def events(self) -> list[Any]:
        return [event for message in self.replayed() for event in message.events]


@pytest.fixture(params=["map", "array"])
def form(request) -> str:
    return request.param


@pytest.fixture(params=["int", "bytes"])
def published(place, tmp_path, form, request) -> Iterator[Published]:
    server = Published(place, tmp_path, form, request.param)
    yield server
    server.close()


HASHES = [hashlib.sha256(b"block %d" % number).digest() for number in range(4)]
TOKENS = list(range(1000, 1000 + len(HASHES) * BLOCK_TOKENS))


@pytest.fixture
def engine(published) -> Iterator[headrace.Client]:
    layout = headrace.Layout(num_blocks=8, segment_bytes=4096, block_stride=4096, layer_offsets=[0])
    memory = headrace.SharedBuffer(8 * 4096)
    client = headrace.Client(published.endpoint, instance="e", pods=PODS, pods_model=MODEL)
    client.register(
        NAMESPACE,
        block_tokens=BLOCK_TOKENS,
        buffers=[memory.buffer()],
        groups=[headrace.Group(layout)],
        wait=20.0,
    )
    assert client.save([headrace.Chain(HASHES, [0, 1, 2, 3], tokens=TOKENS, lora_id=7)])
    done = harness.wait_until(lambda: client.poll(0.1), 20, "the save ends")
    assert done[0].stored == len(HASHES)
    yield client
    client.close()


def told(published: Published, kind: str, blocks: int) -> list[Any]:
    """The events of this kind that tell of blocks, when they tell of so many."""

    def events() -> list[Any] | None:
        found = [e for e in published.events() if type(e).__name__ == kind and e.block_hashes]
        return found if len([h for e in found for h in e.block_hashes]) == blocks else None

    return harness.wait_until(events, 20, f"{blocks} blocks: {kind}")


def test_vllm_reads_stored_blocks(published, engine):
    stored = told(published, "BlockStored", len(HASHES))
    assert [h for e in stored for h in e.block_hashes] == published.named(HASHES)
    assert [t for e in stored for t in e.token_ids] == TOKENS
    assert stored[0].parent_block_hash is None
    said = {(e.block_size, e.lora_id, e.medium, e.group_idx) for e in stored}
    assert said == {(BLOCK_TOKENS, 7, "cpu", None)}


def test_vllm_reads_removed_blocks(published, engine):
    engine.purge(HASHES[3])
    engine.clear()
    removed = told(published, "BlockRemoved", len(HASHES))
    gone = [h for e in removed for h in e.block_hashes]
    assert gone[0] == published.named(HASHES)[3]
    assert set(gone) == set(published.named(HASHES))
    assert {e.medium for e in removed} == {"cpu"}


def test_for_vllm_the_pods_of_a_node_are_a_store_of_nothing(published, engine):
    told(published, "BlockStored", len(HASHES))
    serving = published.events()[0]
    assert (serving.block_hashes, serving.token_ids, serving.medium) == ([], [], "cpu")
    engine.close()
    last = harness.wait_until(
        lambda: (e := published.events()[-1]).block_hashes == [] and e, 20, "no pod is left"
    )
    assert type(last).__name__ == "BlockStored"
