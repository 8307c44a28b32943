"""Nothing lies about: every source is built, every header included, every script reachable."""

import pathlib
import re

import tree


def meson_texts():
    return {x.parent: tree.text(x) for x in tree.files() if x.name == "meson.build"}


def is_built(path):
    """Named in the meson.build of its folder or of one above, as a source or as a test."""
    name = str(path)
    for folder in path.parents:
        text = meson_texts().get(folder, "")
        inner = str(path.relative_to(folder))
        stem = re.sub(r"_(test|fuzz)\.cc$", "", name)
        names = {inner} if stem == name else {inner, stem, str(pathlib.Path(stem).name)}
        if any(f"'{x}'" in text for x in names):
            return True
    return False


def test_every_source_is_in_a_meson_build():
    problems = [str(x) for x in tree.cpp() if x.suffix == ".cc" and not is_built(x)]
    assert not problems, tree.listing(problems)


def test_every_header_is_included_somewhere():
    included = {y for x in tree.cpp()
                for y in re.findall(r'#\s*include "([^"]+)"', tree.text(x))}
    problems = [str(x) for x in tree.headers() if str(x) not in included and not is_built(x)]
    assert not problems, tree.listing(problems)


def test_meson_builds_list_their_sources():
    problems = [str(x) for x, text in meson_texts().items()
                if re.search(r"\bglob\b|run_command\([^)]*(find|ls)\b", text)]
    assert not problems, tree.listing(problems)


def test_the_root_meson_build_is_short():
    assert tree.num_lines(pathlib.Path("meson.build")) <= 120


def test_every_library_script_is_used():
    lib = [x for x in tree.files() if x.parts[:2] == ("scripts", "lib")]
    others = [x for x in tree.texts() if x.parts[0] in ("scripts", "tests", ".ci", "bench")]
    problems = [str(x) for x in lib
                if not any(re.search(rf"\b{x.stem}\b", tree.text(y)) for y in others if y != x)]
    assert not problems, tree.listing(problems)


def test_links_between_documents_lead_somewhere():
    problems = []
    for path in (x for x in tree.files() if x.suffix == ".md"):
        for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", tree.text(path)):
            if "://" not in link and not (tree.ROOT / path.parent / link).exists():
                problems.append(f"{path}: {link}")
    assert not problems, tree.listing(problems)


def test_scripts_named_in_documents_exist():
    problems = []
    for path in (x for x in tree.files() if x.suffix == ".md"):
        for name in re.findall(r"`(scripts/[\w./-]+)", tree.text(path)):
            if not (tree.ROOT / name.rstrip(".")).exists():
                problems.append(f"{path}: {name}")
    assert not problems, tree.listing(problems)


def test_what_tsan_leaves_out_has_one_thread():
    """The list in tests/meson.build; folders without threads are the ladder's."""
    threads = re.compile(r"std::(thread|jthread|async)\b|pthread_create|Workers|Indexer::Create")
    build = tree.text(pathlib.Path("tests/meson.build"))
    listed = re.search(r"one_thread = \[(.*?)\]", build, re.S)
    names = re.findall(r"'([^']+)'", listed[1])
    tests = [pathlib.Path(f"{x}_test.cc") for x in names]
    problems = [str(x) for x in tests if threads.search(tree.text(x))]
    assert names and not problems, tree.listing(problems)
