"""clang-tidy looks at what changed last: on a branch what changed on it, on main the newest."""

import pathlib
import subprocess

import changed
import pytest

KNOWN = {pathlib.Path(x) for x in ("a/one.cc", "a/two.cc", "b/three.cc", "b/four.cc")}


class Repository:
    def __init__(self, path):
        self.path = path
        self.git("init", "-q", "-b", "main")

    def git(self, *words):
        names = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
        subprocess.run(["git", *names, *words], cwd=self.path, check=True)

    def write(self, *names):
        for name in names:
            path = self.path / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(path.read_text() + "x" if path.exists() else "x")

    def commit(self, *names):
        self.write(*names)
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "test")


@pytest.fixture
def repository(tmp_path, monkeypatch):
    monkeypatch.setattr(changed, "ROOT", tmp_path)
    made = Repository(tmp_path)
    made.commit(*map(str, KNOWN))
    return made


def names(most):
    return [str(x) for x in changed.sources(KNOWN, most)]


def test_main_takes_the_newest(repository):
    repository.commit("b/three.cc")
    repository.commit("a/two.cc")
    assert names(1) == ["a/two.cc"]
    assert names(2) == ["a/two.cc", "b/three.cc"]
    assert names(9) == sorted(map(str, KNOWN))


def test_a_branch_takes_what_changed_on_it(repository):
    repository.git("checkout", "-q", "-b", "topic")
    repository.commit("b/three.cc")
    assert names(9) == ["b/three.cc"]


def test_what_is_not_committed_comes_first(repository):
    repository.commit("b/three.cc")
    repository.write("a/one.cc")
    assert names(1) == ["a/one.cc"]


def test_a_header_is_seen_through_a_source(repository):
    repository.commit("b/four.h")
    assert names(1) == ["b/four.cc"]
    repository.commit("a/types.h")
    assert names(1) == ["a/one.cc"]


def test_other_files_do_not_count(repository):
    repository.commit("b/three.cc")
    repository.commit("README.md", "other.cc")
    assert names(1) == ["b/three.cc"]
