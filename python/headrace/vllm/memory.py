"""vLLM's KV buffer as shared memory: moved in place, so that every view of it goes on to work."""

from __future__ import annotations

import os

import torch

from headrace.vllm.layout import LayoutError

_SHM = "/dev/shm"


def share_storage(storage: torch.UntypedStorage) -> int:
    """Moves a CPU storage to shared memory and returns a descriptor of it, owned by the caller.
    Views stay valid: they hold the storage, and the storage changes its memory under them.
    Raises LayoutError with what to do."""
    if storage.device.type != "cpu":
        raise LayoutError(
            f"the KV cache is on {storage.device}; this version reaches only memory of the CPU"
        )
    if not storage.is_shared():
        _require_room(storage.nbytes())
    descriptor, size = storage._share_fd_cpu_()
    assert size >= storage.nbytes()
    # The storage owns its descriptor and closes it when it dies.
    return os.dup(descriptor)


def _require_room(size: int) -> None:
    # Without room the move would succeed and the first touch of a missing page would kill vLLM.
    status = os.statvfs(_SHM)
    free = status.f_bavail * status.f_frsize
    if free < size:
        raise LayoutError(
            f"{_SHM} has {free >> 20} MiB free, the KV cache needs {size >> 20} MiB there; enlarge "
            "it (docker: --shm-size, kubernetes: an emptyDir of medium Memory at /dev/shm) or give "
            "vLLM less KV cache"
        )


def memory_order(view: torch.Tensor) -> torch.Tensor:
    """The elements of a dense view, one-dimensional, in the order in which they lie in memory."""
    order = sorted(range(view.dim()), key=lambda dim: (-view.stride(dim), dim))
    return view.permute(order).reshape(-1)
