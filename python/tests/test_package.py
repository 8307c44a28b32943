"""The wheel and the console check."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import zipfile

import headrace
import pytest
from fake_server import FakeServer
from headrace import _abi

PYTHON_FOLDER = pathlib.Path(__file__).parents[1]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
    command = [sys.executable, "-B", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def build(out: pathlib.Path) -> pathlib.Path:
    script = str(PYTHON_FOLDER / "build_wheel.py")
    done = run(script, "--library", _abi.library_path(), "--out", str(out))
    assert done.returncode == 0, done.stderr
    return pathlib.Path(done.stdout.strip())


def test_wheel_holds_the_package_and_its_library(tmp_path: pathlib.Path) -> None:
    wheel = build(tmp_path)
    assert wheel.name.startswith(f"headrace-{headrace.__version__}-py3-none-linux_")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        assert {"headrace/__init__.py", "headrace/py.typed"} <= names
        library = archive.read("headrace/libheadrace_client.so")
        recorded = archive.read(f"headrace-{headrace.__version__}.dist-info/RECORD").decode()
    assert library == pathlib.Path(_abi.library_path()).read_bytes()
    assert {line.split(",")[0] for line in recorded.splitlines()} == names
    assert not any("__pycache__" in name for name in names)


def test_wheel_is_reproducible(tmp_path: pathlib.Path) -> None:
    assert build(tmp_path / "a").read_bytes() == build(tmp_path / "b").read_bytes()


def test_wheel_works_from_where_pip_would_put_it(tmp_path: pathlib.Path) -> None:
    with zipfile.ZipFile(build(tmp_path)) as archive:
        archive.extractall(tmp_path / "site")
    environment = {"PYTHONPATH": str(tmp_path / "site"), "PATH": os.environ["PATH"]}
    done = subprocess.run(
        [sys.executable, "-B", "-m", "headrace", "--version"],
        capture_output=True,
        text=True,
        env=environment,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert str(tmp_path / "site" / "headrace" / "libheadrace_client.so") in done.stdout


def test_wheel_needs_a_library() -> None:
    done = run(str(PYTHON_FOLDER / "build_wheel.py"), "--library", "/none.so", "--out", "/tmp")
    assert done.returncode == 2
    assert "--library" in done.stderr


def test_check_says_whether_a_server_answers(server: FakeServer) -> None:
    done = run("-m", "headrace", "--check", "--endpoint", server.path)
    assert done.returncode == 0, done.stderr
    assert "server answers" in done.stdout
    absent = run("-m", "headrace", "--check", "--endpoint", "/nobody/listens")
    assert absent.returncode == 1
    assert "no server answers" in absent.stderr


def test_says_which_library_cannot_be_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_CLIENT_LIBRARY", "/none.so")
    with pytest.raises(headrace.HeadraceError, match="/none.so") as caught:
        headrace.Client("/x")
    assert caught.value.code == headrace.Code.UNSUPPORTED
