"""Python's msgspec, which vLLM itself writes events with, reads what our encoder wrote (its bytes
stand in tests/data/events/ours.jsonl and are held against the encoder by wire/event_golden_test.cc)
and writes what `headrace events decode` reads."""

from __future__ import annotations

import json
import random
import subprocess
from typing import Any

import msgspec
import pytest
from harness import BUILD, ROOT

HEADRACE = BUILD / "bin" / "headrace"
SAMPLES = ROOT / "tests" / "data" / "events"

STORED = [
    ("block_hashes", list[int | bytes]),
    ("parent_block_hash", int | bytes | None),
    ("token_ids", list[int]),
    ("block_size", int),
    ("lora_id", int | None),
    ("medium", str | None),
    ("lora_name", str | None),
    ("extra_keys", list[Any] | None, None),
    ("group_idx", int | None, None),
    ("kv_cache_spec_kind", str | None, None),
    ("kv_cache_spec_sliding_window", int | None, None),
    ("locality", str | None, None),
    ("ownership", str | None, None),
    ("session_id", str | None, None),
]
REMOVED = [
    ("block_hashes", list[int | bytes]),
    ("medium", str | None),
    ("group_idx", int | None, None),
    ("locality", str | None, None),
    ("ownership", str | None, None),
]


def structs(array: bool):
    """BlockStored, BlockRemoved, AllBlocksCleared and their batch, as vLLM declares them."""
    made = {
        name: msgspec.defstruct(
            name, fields, tag=True, array_like=array, omit_defaults=True, gc=False
        )
        for name, fields in (
            ("BlockStored", STORED),
            ("BlockRemoved", REMOVED),
            ("AllBlocksCleared", []),
        )
    }
    event = made["BlockStored"] | made["BlockRemoved"] | made["AllBlocksCleared"]
    batch = msgspec.defstruct(
        "Batch",
        [("ts", float), ("events", list[event]), ("data_parallel_rank", int | None, None)],
        array_like=True,
    )
    return made, batch


def decode(*payloads: bytes) -> list[dict]:
    text = "".join(x.hex() + "\n" for x in payloads)
    result = subprocess.run(
        [str(HEADRACE), "events", "decode", "-"],
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (result.returncode, result.stderr) == (0, "")
    return [json.loads(x) for x in result.stdout.splitlines()]


def shown_hash(value: int | bytes) -> str:
    return "0x" + value.hex() if isinstance(value, bytes) else str(value % 2**64)


def shown(value: Any) -> Any:
    """As JSON shows what stands in extra keys."""
    if isinstance(value, (list, tuple)):
        return [shown(x) for x in value]
    return "0x" + value.hex() if isinstance(value, bytes) else value


def expected(event: Any) -> dict:
    """The event as `headrace events decode` must show it."""
    line = {"type": type(event).__name__}
    for name in event.__struct_fields__:
        value = getattr(event, name)
        if name == "block_hashes":
            value = [shown_hash(x) for x in value]
        elif name == "parent_block_hash" and value is not None:
            value = shown_hash(value)
        required = {x[0] for x in (STORED if "token_ids" in event.__struct_fields__ else REMOVED)
                    if len(x) == 2}
        if value is not None or name in required:
            line[name] = shown(value)
    return line


@pytest.mark.parametrize("row", (SAMPLES / "ours.jsonl").read_text().splitlines())
def test_msgspec_reads_what_we_write(row):
    row = json.loads(row)
    payload = bytes.fromhex(row["hex"])
    made, batch_type = structs(row["array"])
    batch = msgspec.msgpack.decode(payload, type=batch_type)
    stored, removed, cleared = batch.events
    assert (batch.ts, batch.data_parallel_rank) == (1795239762.25, 1)
    kinds = {type(x) for x in stored.block_hashes} | {type(stored.parent_block_hash)}
    assert kinds == {int if row["int_hashes"] else bytes}
    assert (stored.block_size, len(stored.token_ids), len(stored.block_hashes)) == (16, 48, 3)
    assert (stored.lora_id, stored.lora_name, stored.medium) == (-5, "adapter", "GPU")
    assert stored.extra_keys == [None, ["img", ["mm", 3]], None]
    assert (stored.group_idx, stored.kv_cache_spec_kind) == (2, "sliding_window")
    assert stored.kv_cache_spec_sliding_window == 4096
    assert removed.block_hashes == stored.block_hashes
    assert (removed.medium, removed.group_idx) == ("cpu", 0)
    assert type(cleared) is made["AllBlocksCleared"]
    if not row["array"]:
        assert (stored.locality, stored.ownership, stored.session_id) == ("REMOTE", "shared", "s-1")
        assert (removed.locality, removed.ownership) == ("LOCAL", "own")
        bare = msgspec.msgpack.decode(payload)[1][1]
        assert (bare["reason"], bare["remaining_copy_counts"]) == ("evicted", [1, 0, 300])


def random_hash(rng: random.Random, as_bytes: bool) -> int | bytes:
    if as_bytes:
        return b"\x01" + rng.randbytes(31)
    return rng.choice([rng.randrange(1, 100), rng.getrandbits(64) | 1, -rng.randrange(1, 2**63)])


def random_event(rng: random.Random, made: dict) -> Any:
    as_bytes = rng.random() < 0.5
    hashes = [random_hash(rng, as_bytes) for _ in range(rng.randrange(1, 20))]
    medium = rng.choice([None, "GPU", "CPU", "STORAGE"])
    group = rng.choice([None, 0, 3])
    kind = rng.randrange(4)
    if kind == 0:
        return made["AllBlocksCleared"]()
    if kind == 1:
        return made["BlockRemoved"](hashes, medium, group, rng.choice([None, "LOCAL"]))
    limit = rng.choice([100, 300, 128000, 2**32])
    extra = [rng.choice([None, ["lora"], [["mm", 7], "salt", b"\x01\x02"]]) for _ in hashes]
    return made["BlockStored"](
        hashes,
        rng.choice([None, random_hash(rng, as_bytes)]),
        [rng.randrange(limit) for _ in range(16 * len(hashes))],
        16,
        rng.choice([None, 5]),
        medium,
        rng.choice([None, "adapter"]),
        rng.choice([None, extra]),
        group,
        rng.choice([None, "mamba"]),
        rng.choice([None, 1024]),
        rng.choice([None, "REMOTE"]),
        rng.choice([None, "shared"]),
        rng.choice([None, "session"]),
    )


@pytest.mark.parametrize("array", [False, True], ids=["map", "array"])
def test_we_read_what_msgspec_writes(array):
    rng = random.Random(6)
    made, batch_type = structs(array)
    batches = [
        batch_type(float(i), [random_event(rng, made) for _ in range(rng.randrange(6))], i % 3)
        for i in range(200)
    ]
    lines = decode(*(msgspec.msgpack.encode(x) for x in batches))
    assert lines == [expected(event) for batch in batches for event in batch.events]


def test_we_read_a_batch_that_msgspec_writes_as_a_map():
    made, _ = structs(array=False)
    batch = {"ts": 1, "events": [made["BlockRemoved"]([7], "GPU")], "data_parallel_rank": 2}
    assert decode(msgspec.msgpack.encode(batch)) == [
        {"type": "BlockRemoved", "block_hashes": ["7"], "medium": "GPU"}
    ]
