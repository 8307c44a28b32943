"""The pool of a running headrace-server, read and damaged from outside, as failing memory would."""

from __future__ import annotations

from pathlib import Path

_PAGE = 4096


class PoolMemory:
    """Needs the right to open /proc/PID/mem: root, or the same user without a ptrace guard."""

    def __init__(self, pid: int) -> None:
        self._memory = Path(f"/proc/{pid}/mem")
        maps = []
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            span, rights, *rest = line.split(maxsplit=5)
            name = rest[3] if len(rest) > 3 else ""
            if "memfd:" in name and rights.startswith("rw"):
                start, end = (int(x, 16) for x in span.split("-"))
                maps.append((end - start, start))
        assert maps, "the server has no memfd mapped"
        self._bytes, self._start = max(maps)

    def snapshot(self) -> bytes:
        return self._read(0, self._bytes)

    def first_change(self, before: bytes) -> int:
        """Where the first byte lies that differs from an earlier snapshot."""
        now = self.snapshot()
        for page in range(0, len(now), _PAGE):
            old, new = before[page : page + _PAGE], now[page : page + _PAGE]
            if old != new:
                return page + next(i for i in range(_PAGE) if old[i] != new[i]) // 64 * 64
        raise AssertionError("nothing in the pool has changed")

    def flip(self, at: int, bits: int) -> None:
        (byte,) = self._read(at, 1)
        self._write(at, bytes([byte ^ bits]))

    def swap(self, a: int, b: int, size: int) -> None:
        one, other = self._read(a, size), self._read(b, size)
        assert one != other
        self._write(a, other)
        self._write(b, one)

    def _read(self, at: int, size: int) -> bytes:
        with self._memory.open("rb", buffering=0) as memory:
            memory.seek(self._start + at)
            data = b""
            while len(data) < size:
                data += memory.read(min(size - len(data), 1 << 24))
            return data

    def _write(self, at: int, data: bytes) -> None:
        with self._memory.open("r+b", buffering=0) as memory:
            memory.seek(self._start + at)
            assert memory.write(data) == len(data)
