"""Shared memory that a server can be given."""

from __future__ import annotations

import fcntl
import mmap
import os
from types import TracebackType

from headrace.types import Buffer

# Of linux/fcntl.h; CPython's fcntl names them only since 3.11.
_F_ADD_SEALS = 1033
_SEALS = 0x1 | 0x2 | 0x4  # F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW


class SharedBuffer:
    """A memfd of `size` bytes, mapped here and given to register() by buffer(). For tests and
    scripts: an engine moves its own buffer into shared memory instead.

    `view` is a writable memoryview of the bytes (numpy.frombuffer(shared.view, ...) works)."""

    def __init__(self, size: int, name: str = "headrace-buffer") -> None:
        if size <= 0:
            raise ValueError("size must be 1 or more")
        self.size = size
        self.fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(self.fd, size)
            fcntl.fcntl(self.fd, _F_ADD_SEALS, _SEALS)
            self._map = mmap.mmap(self.fd, size)
        except BaseException:
            os.close(self.fd)
            raise
        self.view = memoryview(self._map)

    def __len__(self) -> int:
        return self.size

    def buffer(self) -> Buffer:
        return Buffer(fd=self.fd, bytes=self.size)

    def close(self) -> None:
        """Gives the memory back here; a server that has it keeps its own mapping."""
        if self.fd < 0:
            return
        os.close(self.fd)
        self.fd = -1
        self.view.release()
        try:
            self._map.close()
        except BufferError:
            pass  # an array still looks at it: freed with the last one

    def __enter__(self) -> SharedBuffer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
