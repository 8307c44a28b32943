"""Runs the unit tests with the Python of the venv that has vLLM."""

import os
import subprocess
from pathlib import Path

import harness

HERE = Path(__file__).resolve().parent


def pytest_of(python: Path, tmp_path: Path) -> dict[str, str]:
    """Environment in which `python` has pytest; a venv that lacks it gets one beside it."""
    env = {**os.environ, "PYTHONPATH": str(harness.ROOT / "python")}
    if subprocess.run([python, "-c", "import pytest"], env=env, timeout=60).returncode != 0:
        target = tmp_path / "pytest"
        install = [python, "-m", "pip", "install", "-q", "--target", target, "pytest"]
        subprocess.run([str(x) for x in install], check=True, timeout=300)
        env["PYTHONPATH"] += f":{target}"
    return env


def test_the_connectors_unit_tests_pass_with_the_real_vllm(place, tmp_path):
    python = place.venv / "bin" / "python"
    env = pytest_of(python, tmp_path)
    env["HEADRACE_CLIENT_LIBRARY"] = str(place.library)
    run = subprocess.run(
        [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", HERE / "unit"],
        env=env,
        timeout=400,
        capture_output=True,
        text=True,
        cwd="/",
    )
    print(run.stdout[-3000:])
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]
