"""The files of the project, as the style tests see them."""

import functools
import os
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = pathlib.Path("tests/style")
OUTSIDE = re.compile(r"^(build.*|shared|\..*|__pycache__|.*\.egg-info)$")  # not ours, or made
VISIBLE = {".ci"}
TEXT = {".cc", ".h", ".py", ".sh", ".md", ".txt", ".build", ".yaml", ".toml", ""}


@functools.cache
def files():
    """Every file, as a path from the root, sorted."""
    found = []
    for folder, names, leaves in os.walk(ROOT):
        names[:] = [x for x in names if x in VISIBLE or not OUTSIDE.match(x)]
        found += [(pathlib.Path(folder) / x).relative_to(ROOT) for x in leaves]
    return sorted(found)


def cpp():
    return [x for x in files() if x.suffix in (".cc", ".h")]


def headers():
    return [x for x in files() if x.suffix == ".h"]


def python():
    scripts = [x for x in files() if x.parts[0] == "scripts" and not x.suffix]
    return [x for x in files() if x.suffix == ".py"] + \
        [x for x in scripts if text(x).startswith("#!/usr/bin/env python3")]


def texts():
    """Files that people write and read, but not data."""
    return [x for x in files() if x.suffix in TEXT and "corpus" not in x.parts]


def is_test(path):
    """Tests, fuzz targets and what only they include."""
    return path in test_only() or named_test(path)


def named_test(path):
    return "tests" in path.parts[:-1] or path.stem.endswith(("_test", "_fuzz"))


@functools.cache
def includers():
    """Header -> the other files that include it."""
    found = {x: set() for x in headers()}
    for path in cpp():
        for include in re.findall(r'#\s*include "([^"]+)"', text(path)):
            header = pathlib.Path(include)
            if header in found and path != header.with_suffix(".cc"):
                found[header].add(path)
    return found


@functools.cache
def test_only():
    """Headers that nothing but tests includes, with their sources: doubles, rigs."""
    found = set()
    while True:
        more = {x for x, users in includers().items() if x not in found and users and
                all(named_test(y) or y in found for y in users)}
        if not more:
            return found
        found |= more | {x.with_suffix(".cc") for x in more}


@functools.cache
def text(path):
    try:
        return (ROOT / path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


@functools.cache
def num_lines(path):
    return text(path).count("\n")


def table(name, columns):
    """Rows of a table in this folder; the last column may hold blanks."""
    for line in (ROOT / HERE / name).read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.startswith("#"):
            yield re.split(r"\s{2,}", line.strip(), maxsplit=columns - 1)


def listing(problems):
    """For a failure's message: one problem a line."""
    return "\n  ".join([f"{len(problems)} found:", *problems])
