"""Headrace: a KV cache outside the engines that computed it."""

from headrace.client import Client
from headrace.shared import SharedBuffer
from headrace.types import (
    NO_BLOCK,
    Answer,
    Buffer,
    Chain,
    Code,
    Completion,
    Group,
    GroupKind,
    HeadraceError,
    Layout,
    Query,
    Stats,
)

__version__ = "0.1.0"

__all__ = [
    "NO_BLOCK",
    "Answer",
    "Buffer",
    "Chain",
    "Client",
    "Code",
    "Completion",
    "Group",
    "GroupKind",
    "HeadraceError",
    "Layout",
    "Query",
    "SharedBuffer",
    "Stats",
    "__version__",
]
