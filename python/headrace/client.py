"""The client of headrace-server.

One connection, made lazily and made again when it breaks. No call blocks longer than its deadline
and none fails an engine: while the server is absent, frozen or restarting, queries answer with no
hits and save() and load() answer 0, at once. Any thread; calls release the GIL. After a fork the
child's copy answers as if the server were absent: a child makes its own client.
"""

from __future__ import annotations

import ctypes
import json
import os
import weakref
from array import array
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from headrace import _abi
from headrace.types import (
    Answer,
    Buffer,
    Chain,
    Code,
    Completion,
    Group,
    HeadraceError,
    Query,
    Stats,
)

_POLL_CAPACITY = 256
_STATUS_BYTES = 64 << 10
_CLOSE_WAIT = 2.0


class Client:
    """
    endpoint: "ipc:///path" or a path; None: HEADRACE_ENGINE_ENDPOINT, else
        ipc:///tmp/headrace.sock.
    instance: the engine deployment; None: HEADRACE_INSTANCE_ID, else a random name.
    pods, pods_model: as in the topics of the engine's own events, kv@<pod>@<model>. In an index the
        blocks of the namespace count for these pods.
    Times are seconds; None takes the library's default (calls 5 ms, transfers 30 s, breaker 0.2 to
    5 s). gates: saves and loads in flight; 0: the library's default.

    Raises HeadraceError when an option is wrong or the library cannot be loaded, never because of
    the server.
    """

    def __init__(
        self,
        endpoint: str | None = None,
        *,
        instance: str | None = None,
        tenant: str = "",
        program: str = "headrace-python",
        call_timeout: float | None = None,
        transfer_timeout: float | None = None,
        breaker_open: float | None = None,
        breaker_open_max: float | None = None,
        gates: int = 0,
        pods: Sequence[str] = (),
        pods_model: str = "",
    ) -> None:
        library = _abi.load_library()
        options = _abi.Options(
            endpoint=(endpoint or "").encode(),
            instance=(instance or "").encode(),
            tenant=tenant.encode(),
            program=program.encode(),
            call_timeout_us=_micros(call_timeout),
            transfer_timeout_us=_micros(transfer_timeout),
            breaker_open_us=_micros(breaker_open),
            breaker_open_max_us=_micros(breaker_open_max),
            gates=gates,
            num_pods=len(pods),
            pods=(ctypes.c_char_p * len(pods))(*(pod.encode() for pod in pods)),
            pods_model=pods_model.encode(),
        )
        handle = ctypes.c_void_p()
        code = library.hr_client_create(ctypes.byref(options), ctypes.byref(handle))
        if code != Code.OK:
            raise HeadraceError(code, _abi.last_error(library))
        self._library = library
        self._handle = handle
        # For reuse; pop and append are atomic.
        self._frames: list[_QueryFrame] = []
        self._completions: list[ctypes.Array[_abi.Completion]] = []
        # Not at exit: the end of the process is a hang-up, which the server fences.
        weakref.finalize(self, library.hr_client_destroy, handle).atexit = False
        _clients.add(self)

    def register(
        self,
        name_space: str,
        *,
        block_tokens: int,
        rank: int = 0,
        world_size: int = 1,
        buffers: Sequence[Buffer] = (),
        groups: Sequence[Group] = (),
        wait: float = 0.0,
    ) -> bool:
        """Joins a namespace: with buffers and groups as a rank, without as a scheduler. Remembered,
        and sent again by itself after every reconnect; descriptors are duplicated. One registration
        a client. Waits up to `wait` seconds; True when the server has answered, False when it has
        not yet (it stays remembered). Raises HeadraceError when the server refuses it or an
        argument is wrong; then it is forgotten."""
        buffer_array = (_abi.Buffer * len(buffers))(*map(_buffer, buffers))
        group_array = (_abi.Group * len(groups))(*map(_group, groups))
        code = self._library.hr_register(
            self._handle,
            name_space.encode(),
            rank,
            world_size,
            block_tokens,
            buffer_array,
            len(buffers),
            group_array,
            len(groups),
            _micros(wait),
        )
        if code in (Code.UNAVAILABLE, Code.TIMEOUT):
            return False
        self._raise_unless_ok(code)
        return True

    @property
    def ready(self) -> bool:
        """Connected and registered now. Drives the connection on; never blocks, never raises."""
        return bool(self._library.hr_ready(self._handle))

    def query(self, queries: Sequence[Query]) -> list[Answer]:
        """All queries of a scheduler step in one call. Never fails because of the server: every
        query has an answer within the call timeout. ValueError on malformed hashes."""
        count = len(queries)
        if count == 0:
            return []
        frame = self._take_frame(count)
        for item, query in zip(frame.items, queries):
            hashes = query.hashes if isinstance(query.hashes, bytes) else b"".join(query.hashes)
            hash_bytes = query.hash_bytes
            item.num_hashes = _count(hashes, hash_bytes)
            item.hashes = hashes
            item.hash_bytes = hash_bytes
            item.prefix = query.prefix
            item.prefix_blocks = query.prefix_blocks
            item.want_lease = query.want_lease
            item.want_prefix = query.want_prefix
            item.min_blocks = query.min_blocks
            item.consumers = query.consumers
        self._library.hr_query(self._handle, frame.item_array, frame.result_array, count)
        answers = [Answer(r.hit_blocks, r.lease, r.prefix, r.code) for r in frame.results[:count]]
        self._frames.append(frame)
        return answers

    def release(self, leases: Sequence[int]) -> None:
        """Gives leases back. Unknown and old ones are ignored; never blocks, never raises."""
        if leases:
            numbers = (ctypes.c_uint64 * len(leases))(*leases)
            self._library.hr_release(self._handle, numbers, len(leases))

    def drop_prefixes(self, prefixes: Sequence[int]) -> None:
        """Forgets prefixes that were returned by query(want_prefix). Never blocks."""
        if prefixes:
            numbers = (ctypes.c_uint64 * len(prefixes))(*prefixes)
            self._library.hr_drop_prefixes(self._handle, numbers, len(prefixes))

    def save(self, chains: Sequence[Chain]) -> int:
        """Starts to copy blocks into the pool. Returns a submission, or 0 when the server cannot
        be reached now or too much is in flight. The blocks must not change until its Completion.
        Never blocks; ValueError on malformed arguments."""
        chain_array = (_abi.Chain * len(chains))()
        alive = [_fill_chain(out, chain) for out, chain in zip(chain_array, chains)]
        submission = ctypes.c_uint64()
        code = self._library.hr_submit_save(
            self._handle, chain_array, len(chains), ctypes.byref(submission)
        )
        del alive  # the library has copied what it points to
        return self._submitted(code, submission)

    def load(
        self, lease: int, first: int, count: int, blocks: Sequence[Sequence[int] | None]
    ) -> int:
        """Starts to copy positions [first, first + count) of a lease into engine blocks.
        blocks[group] has `count` ids (NO_BLOCK skips one), or is None. Returns a submission, or 0
        when it cannot be started now. A lease that ended (also with its server) is told by the
        Completion's code, GONE or NOT_FOUND. Never blocks; ValueError on malformed arguments."""
        groups = [None if ids is None else _words(ids) for ids in blocks]
        if any(ids is not None and len(ids) != count for ids in groups):
            raise ValueError("blocks of a group: `count` entries or None")
        addresses = [None if ids is None else ids.buffer_info()[0] for ids in groups]
        pointers = (ctypes.c_void_p * len(groups))(*addresses)
        submission = ctypes.c_uint64()
        code = self._library.hr_submit_load(
            self._handle, lease, first, count, pointers, len(groups), ctypes.byref(submission)
        )
        return self._submitted(code, submission)

    def poll(self, wait: float = 0.0) -> list[Completion]:
        """Completions that are here; waits up to `wait` seconds for the first. Call it regularly:
        hang-ups, deadlines and fences are noticed here. Never raises."""
        completions: list[Completion] = []
        try:
            raw = self._completions.pop()
        except IndexError:
            raw = (_abi.Completion * _POLL_CAPACITY)()
        wait_us = _micros(wait)
        while True:
            count = self._library.hr_poll(self._handle, raw, _POLL_CAPACITY, wait_us)
            for c in raw[:count]:
                completions.append(
                    Completion(
                        c.submission,
                        Code(c.code),
                        c.stored,
                        c.deduped,
                        c.refused,
                        c.failed,
                        c.loaded,
                        c.bytes,
                    )
                )
            if count < _POLL_CAPACITY:
                self._completions.append(raw)
                return completions
            wait_us = 0

    def revoke(self, submission: int) -> None:
        """Asks for the blocks of a running save or load back. Its Completion (CANCELLED, or how it
        really ended) comes by poll() as soon as nobody touches the blocks, even when the server is
        frozen. Never blocks."""
        self._library.hr_revoke(self._handle, submission)

    def clear(self, wait: float = 1.0) -> int:
        """Bumps the namespace's generation: what was saved before is not found any more. Returns
        the new generation. Raises HeadraceError."""
        generation = ctypes.c_uint64()
        self._raise_unless_ok(
            self._library.hr_clear(self._handle, _micros(wait), ctypes.byref(generation))
        )
        return generation.value

    def purge(self, hash: bytes, wait: float = 1.0) -> bool:
        """This block and its descendants go. True when it was there. Raises HeadraceError."""
        found = ctypes.c_int32()
        self._raise_unless_ok(
            self._library.hr_purge(
                self._handle, hash, len(hash), _micros(wait), ctypes.byref(found)
            )
        )
        return bool(found.value)

    def status(self, wait: float = 1.0) -> dict[str, Any]:
        """Counts of the server. Raises HeadraceError."""
        capacity = _STATUS_BYTES
        while True:
            text = ctypes.create_string_buffer(capacity)
            needed = self._library.hr_server_status(self._handle, text, capacity, _micros(wait))
            if needed < 0:
                self._raise_unless_ok(-needed)
            if needed <= capacity:
                status: dict[str, Any] = json.loads(text.value)
                return status
            capacity = 2 * needed  # it may have grown by the next call

    @property
    def stats(self) -> Stats:
        """Counts of this client since it was made."""
        raw = _abi.Stats()
        self._library.hr_get_stats(self._handle, ctypes.byref(raw))
        values = {field[0]: getattr(raw, field[0]) for field in _abi.Stats._fields_}
        for name in ("connected", "registered", "breaker_closed"):
            values[name] = bool(values[name])
        return Stats(**values)

    def close(self, wait: float = _CLOSE_WAIT) -> None:
        """Revokes what runs, waits up to `wait` seconds until nobody touches the blocks, hangs up.
        After it every call answers as if the server were absent; poll() still returns
        completions."""
        self._library.hr_client_close(self._handle, _micros(wait))

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _take_frame(self, count: int) -> _QueryFrame:
        try:
            frame = self._frames.pop()
        except IndexError:
            return _QueryFrame(count)
        return frame if len(frame.items) >= count else _QueryFrame(2 * count)

    def _submitted(self, code: int, submission: ctypes.c_uint64) -> int:
        if code == Code.INVALID:
            raise ValueError(_abi.last_error(self._library))
        return submission.value if code == Code.OK else 0

    def _raise_unless_ok(self, code: int) -> None:
        if code != Code.OK:
            raise HeadraceError(code, _abi.last_error(self._library))


class _QueryFrame:
    """The structs of one query() call, with a Python object for each made once."""

    def __init__(self, capacity: int) -> None:
        self.item_array = (_abi.QueryItem * capacity)()
        self.result_array = (_abi.QueryResult * capacity)()
        self.items = list(self.item_array)
        self.results = list(self.result_array)


_clients: weakref.WeakSet[Client] = weakref.WeakSet()


def _leave_parents_connections() -> None:
    """In a forked child: any call makes the library close the child's copy of the socket, so that
    the server still sees the parent's end."""
    for client in list(_clients):
        client._library.hr_ready(client._handle)


os.register_at_fork(after_in_child=_leave_parents_connections)


def _micros(seconds: float | None) -> int:
    """0 stays 0; anything above is at least one microsecond."""
    if not seconds:
        return 0
    return max(1, int(min(seconds, 86400.0) * 1e6)) if seconds > 0 else int(seconds * 1e6)


def _count(hashes: bytes, hash_bytes: int) -> int:
    if not 1 <= hash_bytes <= 32:
        raise ValueError("hash_bytes must be 1 to 32")
    count, rest = divmod(len(hashes), hash_bytes)
    if rest:
        raise ValueError(f"hashes must be a multiple of hash_bytes ({hash_bytes}) long")
    return count


def _words(values: Sequence[int]) -> array[int]:
    """An array of 32-bit unsigned; the same object where it is one already."""
    if isinstance(values, array) and values.typecode == "I":
        return values
    try:
        return array("I", values)
    except (OverflowError, TypeError) as error:
        raise ValueError(f"block ids and tokens must be 0 to 2**32 - 1: {error}") from None


def _fill_chain(out: _abi.Chain, chain: Chain) -> tuple[object, ...]:
    """Returns what must stay alive during the call."""
    hashes = chain.hashes if isinstance(chain.hashes, bytes) else b"".join(chain.hashes)
    count = _count(hashes, chain.hash_bytes)
    blocks = _words(chain.blocks)
    if len(blocks) != count:
        raise ValueError(f"blocks: {len(blocks)} entries for {count} hashes")
    if chain.parent is not None and len(chain.parent) != chain.hash_bytes:
        raise ValueError(f"parent must be hash_bytes ({chain.hash_bytes}) long")
    tokens = None if chain.tokens is None else _words(chain.tokens)
    out.group = chain.group
    out.depth = chain.depth
    out.parent = chain.parent
    out.hash_bytes = chain.hash_bytes
    out.hashes = hashes
    out.blocks = blocks.buffer_info()[0]
    out.num_blocks = count
    out.lora_id = chain.lora_id
    out.salt_id = chain.salt_id
    if tokens:
        out.tokens = tokens.buffer_info()[0]
        out.num_tokens = len(tokens)
    return hashes, blocks, tokens


def _buffer(buffer: Buffer) -> _abi.Buffer:
    return _abi.Buffer(fd=buffer.fd, offset=buffer.offset, bytes=buffer.bytes)


def _group(group: Group) -> _abi.Group:
    layout = group.layout
    offsets = (ctypes.c_uint64 * len(layout.layer_offsets))(*layout.layer_offsets)
    return _abi.Group(
        kind=group.kind,
        window_blocks=group.window_blocks,
        buffer=group.buffer,
        num_blocks=layout.num_blocks,
        segment_bytes=layout.segment_bytes,
        block_stride=layout.block_stride,
        part_stride=layout.part_stride,
        parts=layout.parts,
        num_layers=len(offsets),
        layer_offsets=offsets,
    )
