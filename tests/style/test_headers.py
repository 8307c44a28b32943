"""Every header compiles alone: it includes what it uses, so that nobody must know an order.

A header that its source or test includes first is compiled alone by the build; the others are
compiled here. Headers that the build makes are found in build/, where scripts/test has them made.
"""

import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import subprocess
import tempfile

import tree

CACHE = tree.ROOT / ".cache" / "style" / "headers.json"
COMMAND = ["g++", "-std=c++20", "-march=x86-64-v2", "-Wall", "-Wextra", "-Werror",
           "-Wno-missing-field-initializers", "-fsyntax-only", "-x", "c++", "-I.", "-Ibuild"]


def digest(paths):
    """Of the files' content and of the command; None where a file is gone."""
    total = hashlib.sha256(" ".join(COMMAND).encode())
    for path in sorted(paths):
        try:
            total.update(path.encode() + (tree.ROOT / path).read_bytes())
        except OSError:
            return None
    return total.hexdigest()


def compile_alone(header):
    """(the project's files it stands on, the compiler's words; empty when it compiles)."""
    with tempfile.NamedTemporaryFile(suffix=".d") as depends:
        result = subprocess.run(
            [*COMMAND, "-MMD", "-MF", depends.name, "-include", str(header), "/dev/null"],
            cwd=tree.ROOT, check=False, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT)
        words = pathlib.Path(depends.name).read_text(encoding="utf-8").replace("\\\n", " ").split()
    ours = {os.path.normpath(x) for x in words if x.endswith(".h") and not x.startswith("/")}
    return ours | {str(header)}, result.stdout.strip() if result.returncode else ""


def check(header, cached):
    """A header that compiled is not compiled again until a file that it stands on changes."""
    known = cached.get(str(header))
    if known and digest(known["files"]) == known["digest"]:
        return str(header), known, ""
    files, words = compile_alone(header)
    entry = {"files": sorted(files), "digest": digest(files)} if not words else None
    return str(header), entry, words


def is_first_somewhere(header):
    """Whether its source, or its test, begins with it."""
    stem = str(header).removesuffix(".h")
    for source in (f"{stem}.cc", f"{stem}_test.cc"):
        path = tree.ROOT / source
        first = re.search(r"^#include (.*)$", path.read_text(), re.M) if path.exists() else None
        if first and first.group(1) == f'"{header}"':
            return True
    return False


def test_every_header_compiles_alone():
    cached = json.loads(CACHE.read_text(encoding="utf-8")) if CACHE.exists() else {}
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        headers = [x for x in tree.headers() if not is_first_somewhere(x)]
        results = list(pool.map(lambda x: check(x, cached), headers))
    assert results, "there is no header"
    CACHE.parent.mkdir(parents=True, exist_ok=True)
    CACHE.write_text(json.dumps({x: entry for x, entry, _ in results if entry}), encoding="utf-8")
    problems = [f"{header}: {words}" for header, _, words in results if words]
    assert not problems, tree.listing(problems)


def test_every_header_is_included_once():
    problems = [str(x) for x in tree.headers() if "#pragma once" not in tree.text(x)]
    assert not problems, tree.listing(problems)
