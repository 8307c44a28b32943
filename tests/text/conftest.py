"""Tokens and rendered templates against Python's own packages.

Runs in a Python that has tokenizers, transformers and sentencepiece: the one of vLLM
(scripts/vllm/install_cpu.sh). Those of this folder that need none of them run anywhere.
"""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import probe as probes  # noqa: E402


@pytest.fixture(scope="session")
def probe():
    started = probes.Probe()
    yield started
    started.close()
