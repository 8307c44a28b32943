"""Reads the tables: tests/suites.txt (what runs, for how long), tests/skips.txt (what may not),
bench/names.txt (what is measured)."""

import dataclasses
import fnmatch
import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[2]
CI_MINUTES = 60
RELEASE = "release"  # a need: the release build, which the row "build" makes


class TableError(Exception):
    """A table says something that cannot be."""


@dataclasses.dataclass(frozen=True)
class Suite:
    name: str
    minutes: float
    when: str  # "ci" or "nightly"
    needs: tuple  # parts of scripts/install_deps.sh, or RELEASE
    about: str


def rows(path):
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip() and not line.startswith("#"):
                yield number, line.strip()


def read_suites(path=ROOT / "tests" / "suites.txt"):
    suites = {}
    for number, line in rows(path):
        try:
            name, minutes, when, needs, about = line.split(None, 4)
            needs = () if needs == "-" else tuple(needs.split(","))
            suites[name] = Suite(name, float(minutes), when, needs, about)
        except ValueError as error:
            raise TableError(f"{path}:{number}: {error}") from error
        if when not in ("ci", "nightly"):
            raise TableError(f"{path}:{number}: '{when}' is neither ci nor nightly")
    total = sum(x.minutes for x in suites.values() if x.when == "ci")
    if total > CI_MINUTES:
        raise TableError(f"{path}: the rows of ci are {total:g} minutes, {CI_MINUTES} may be")
    return suites


@dataclasses.dataclass(frozen=True)
class Allowed:
    pattern: str
    reason: str


def read_skips(path=ROOT / "tests" / "skips.txt"):
    allowed = []
    for number, line in rows(path):
        pattern, _, reason = line.partition(" ")
        if not reason.strip():
            raise TableError(f"{path}:{number}: '{pattern}' has no reason")
        allowed.append(Allowed(pattern, reason.strip()))
    return allowed


def is_allowed(case, allowed):
    return any(fnmatch.fnmatchcase(case, x.pattern) for x in allowed)


def bench_names(suite=None, path=ROOT / "bench" / "names.txt"):
    """Names in order; of one suite, or suite -> names."""
    names = {}
    for _, line in rows(path):
        key, name = line.split()
        names.setdefault(key, []).append(name)
    return names[suite] if suite else names
