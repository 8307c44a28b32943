"""A server that answers every request with success, in the few kinds of msgpack that this needs.
It stores nothing: what is tested against it is the package, not the cache."""

from __future__ import annotations

import socket
import struct
from typing import Any

HELLO, REGISTER, QUERY, SAVE, LOAD, RELEASE, CLEAR = 1, 2, 4, 5, 6, 7, 8
PURGE, STATUS = 12, 13


# msgpack's first bytes -> the value, or how many bytes its length (or number) has.
_CONSTANTS = {0xC0: None, 0xC2: False, 0xC3: True}
_BYTES = {0xC4: 1, 0xC5: 2, 0xC6: 4}
_NUMBERS = {0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD3: 8}  # signed ones here are never below 0
_STRINGS = {0xD9: 1, 0xDA: 2, 0xDB: 4}
_ARRAYS = {0xDC: 2, 0xDD: 4}


def pack(value: Any) -> bytes:
    if isinstance(value, bool):
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int):
        return b"\xcf" + struct.pack(">Q", value)
    if isinstance(value, str):
        raw = value.encode()
        return b"\xdb" + struct.pack(">I", len(raw)) + raw
    return b"\xdd" + struct.pack(">I", len(value)) + b"".join(pack(item) for item in value)


class Reader:
    """Decodes one msgpack value after the other."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, size: int) -> bytes:
        self.at += size
        return self.data[self.at - size : self.at]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def value(self) -> Any:
        tag = self.number(1)
        if tag < 0x80:
            return tag
        if 0x90 <= tag < 0xA0:
            return self.array(tag & 15)
        if 0xA0 <= tag < 0xC0:
            return self.take(tag & 31).decode()
        return self.tagged(tag)

    def tagged(self, tag: int) -> Any:
        if tag in _CONSTANTS:
            return _CONSTANTS[tag]
        if tag in _BYTES:
            return self.take(self.number(_BYTES[tag]))
        if tag in _NUMBERS:
            return self.number(_NUMBERS[tag])
        if tag in _STRINGS:
            return self.take(self.number(_STRINGS[tag])).decode()
        return self.array(self.number(_ARRAYS[tag]))

    def array(self, count: int) -> list[Any]:
        return [self.value() for _ in range(count)]


def answer(kind: int, fields: list[Any]) -> list[Any]:
    """The reply's fields, in the order of wire/control.h."""
    if kind == HELLO:
        return ["fake", 7, 1, 1 << 24, 60000]
    if kind == REGISTER:
        return [1, 7]
    if kind == QUERY:
        items = fields[-1]
        return [[[hits(item), 11 * item[3], 22 * item[4], 0] for item in items]]
    if kind == SAVE:
        return [sum(len(chain[4]) // 4 for chain in fields[-1]), 0, 0, 0]
    if kind == LOAD:
        return [fields[3], fields[3] * 4096]
    if kind == CLEAR:
        return [2]
    if kind == PURGE:
        return [True]
    if kind == STATUS:
        return ['{"blocks": 3}']
    return []


def hits(item: list[Any]) -> int:
    handle_blocks, (hash_bytes, hashes) = item[1], item[2]
    return int(handle_blocks + (len(hashes) // hash_bytes if hash_bytes else 0))


class FakeServer:
    def __init__(self, path: str) -> None:
        self.path = path
        self.refuse: dict[int, tuple[int, str]] = {}  # kind -> (code, text)
        self.requests: list[list[Any]] = []
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(path)
        self.listener.listen(8)

    def stop(self) -> None:
        # Closing alone does not wake accept().
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def run(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection:
                self.serve(connection)

    def serve(self, connection: socket.socket) -> None:
        stream = connection.makefile("rb")
        while len(length := stream.read(4)) == 4:
            request = Reader(stream.read(int.from_bytes(length, "little"))).value()
            self.requests.append(request)
            kind, number, *fields = request
            if number == 0:
                continue
            code, text = self.refuse.get(kind, (0, ""))
            frame = pack([kind, number, 1, code, text, *([] if code else answer(kind, fields))])
            connection.sendall(struct.pack("<I", len(frame)) + frame)
