"""The include ladder of docs/architecture.md, and what each folder keeps out."""

import re

import tree

INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)


def rows():
    return {folder: set(row.split()) for folder, row in tree.table("ladder.txt", 2)}


def folders_with_code():
    return {x.parts[0] for x in tree.cpp()}


def test_every_folder_with_code_has_a_row():
    missing = folders_with_code() - set(rows())
    assert not missing, f"not in ladder.txt: {sorted(missing)}"


def test_rows_name_only_rows():
    known = set(rows()) | {"*", "-"}
    for folder, allowed in rows().items():
        assert allowed <= known, f"{folder} may include {allowed - known}, which are no folders"


def test_the_ladder_has_no_circle():
    allowed = {x: y - {"-", "*"} for x, y in rows().items()}
    while allowed:
        lowest = {x for x, y in allowed.items() if not y & set(allowed)}
        assert lowest, f"these include each other: {sorted(allowed)}"
        allowed = {x: y for x, y in allowed.items() if x not in lowest}


def test_engine_and_transport_do_not_include_each_other():
    assert "transport" not in rows()["engine"] and "engine" not in rows()["transport"]


def test_includes_obey_the_ladder():
    problems = []
    for path in tree.cpp():
        allowed = rows()[path.parts[0]] | {path.parts[0]}
        for include in INCLUDE.findall(tree.text(path)):
            if "*" not in allowed and include.split("/")[0] not in allowed:
                problems.append(f"{path} includes {include}")
    assert not problems, tree.listing(problems)


def is_generated(include):
    """The meson.build of its folder makes it."""
    folder, _, name = include.rpartition("/")
    build_file = tree.ROOT / folder / "meson.build"
    return build_file.exists() and f"output: '{name}'" in build_file.read_text()


def test_includes_start_at_the_root():
    problems = [f"{path} includes {include}" for path in tree.cpp()
                for include in INCLUDE.findall(tree.text(path))
                if not (tree.ROOT / include).exists() and not is_generated(include)]
    assert not problems, tree.listing(problems)


def test_own_header_comes_first():
    problems = []
    for path in tree.cpp():
        own = str(path.with_suffix(".h"))
        includes = re.findall(r'^#include ["<]([^">]+)', tree.text(path), re.MULTILINE)
        if path.suffix == ".cc" and own in includes and includes[0] != own:
            problems.append(f"{path} includes {includes[0]} before {own}")
    assert not problems, tree.listing(problems)


def test_folders_keep_out_what_they_must():
    problems = []
    for folder, pattern, why in tree.table("without.txt", 3):
        for path in tree.cpp():
            if path.parts[0] == folder and not tree.is_test(path):
                problems += [f"{path}:{number}: {line.strip()} ({why})" for number, line
                             in enumerate(tree.text(path).splitlines(), 1)
                             if re.search(pattern, line.partition("//")[0])]
    assert not problems, tree.listing(problems)
