"""A real vLLM on the CPU with the connector, and a real headrace-server.

These tests import no vLLM: they start it from the venv HEADRACE_VLLM_VENV, which
scripts/vllm/install_cpu.sh makes. The unit tests in unit/ import it, so test_unit.py runs them with
that venv's Python; test_events.py reads with its classes, where this Python has them.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import harness  # noqa: E402

try:
    import vllm  # noqa: F401

    collect_ignore = ["test_unit.py"]  # this Python runs unit/ itself
except ImportError:
    collect_ignore = ["unit", "test_events.py"]


@pytest.fixture(scope="session")
def place() -> harness.Place:
    """Where vLLM, the build and the models are. What is missing is an error, not a skip: the suite
    is run only where vLLM is."""
    return harness.Place.find(os.environ)


@pytest.fixture(scope="session")
def site(place: harness.Place, tmp_path_factory: pytest.TempPathFactory) -> harness.Site:
    models = harness.Models(place, tmp_path_factory.mktemp("models"))
    return harness.Site(place, models, tmp_path_factory.mktemp("logs"))
