"""Tests of the package that need no headrace-server; HEADRACE_CLIENT_LIBRARY names the library, or
the package is installed from its wheel."""

from __future__ import annotations

import os
import pathlib
import sys
import threading
from collections.abc import Iterator

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
if "HEADRACE_CLIENT_LIBRARY" in os.environ:  # from the tree, not from a wheel
    sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from fake_server import FakeServer


@pytest.fixture
def server(tmp_path: pathlib.Path) -> Iterator[FakeServer]:
    fake = FakeServer(str(tmp_path / "s"))
    thread = threading.Thread(target=fake.run, daemon=True)
    thread.start()
    yield fake
    fake.stop()
    thread.join(10)
