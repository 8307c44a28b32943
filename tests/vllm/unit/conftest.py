"""Unit tests of the connector: vLLM's own classes, a scripted server, no process started."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
for path in (HERE, HERE.parents[2] / "python"):
    if str(path) not in sys.path:
        sys.path.insert(0, str(path))
os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
for name in ("HEADRACE_ENGINE_ENDPOINT", "HEADRACE_INSTANCE_ID"):
    os.environ.pop(name, None)


class _Texts(logging.Handler):
    def __init__(self, level: int) -> None:
        super().__init__(level)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


@pytest.fixture
def warnings() -> Iterator[list[str]]:
    """What the connector logs as a warning or worse."""
    handler = _Texts(logging.WARNING)
    logger = logging.getLogger("vllm.headrace")
    logger.addHandler(handler)
    yield handler.texts
    logger.removeHandler(handler)
