"""Formatting, and words that do not stand in the project."""

import fnmatch
import re
import subprocess

import tree

CLANG_FORMAT = tree.ROOT / ".venv-tools" / "bin" / "clang-format"
RUFF = tree.ROOT / ".venv-tools" / "bin" / "ruff"
# Names that do not exist or that nobody uses (F), form (E, W), errors (PLE).
RUFF_RULES = "F,E,W,PLE"


def test_cpp_is_formatted():
    result = subprocess.run([CLANG_FORMAT, "--dry-run", *[str(x) for x in tree.cpp()]],
                            cwd=tree.ROOT, check=True, text=True, stderr=subprocess.PIPE)
    places = re.findall(r"^(\S+?):(\d+):\d+: (?:warning|error)", result.stderr, re.MULTILINE)
    problems = [f"{path}:{line}" for path, line in places]
    assert not problems, tree.listing(problems) + "\nclang-format -i mends it (.venv-tools/bin)"


def test_names_in_python_exist_and_are_used():
    result = subprocess.run([RUFF, "check", "--isolated", "--no-cache", "--line-length=100",
                             f"--select={RUFF_RULES}", "--output-format=concise",
                             *[str(x) for x in tree.python()]],
                            cwd=tree.ROOT, check=False, text=True, stdout=subprocess.PIPE)
    assert result.returncode == 0, result.stdout


def test_text_ends_in_one_newline_and_has_no_blanks_at_line_ends():
    problems = []
    for path in tree.texts():
        content = tree.text(path)
        if content and (not content.endswith("\n") or content.endswith("\n\n")):
            problems.append(f"{path}: must end in one newline")
        if path.suffix != ".md":
            problems += [f"{path}:{number}: blanks at the end, or a tab" for number, line
                         in enumerate(content.splitlines(), 1)
                         if line != line.rstrip() or "\t" in line]
    assert not problems, tree.listing(problems)


def banned():
    for pattern, allowed, why in tree.table("banned.txt", 3):
        yield re.compile(pattern), [] if allowed == "-" else allowed.split(","), why


def test_banned_words_do_not_stand_anywhere():
    problems = []
    for path in (x for x in tree.texts() if x != tree.HERE / "banned.txt"):
        rules = [(pattern, why) for pattern, allowed, why in banned()
                 if not any(fnmatch.fnmatch(str(path), x) for x in allowed)]
        for number, line in enumerate(tree.text(path).splitlines(), 1):
            problems += [f"{path}:{number}: {line.strip()[:80]} ({why})"
                         for pattern, why in rules if pattern.search(line)]
    assert not problems, tree.listing(problems)


def test_unit_tests_do_not_sleep():
    sleeps = re.compile(r"\b(sleep_for|sleep_until|usleep|nanosleep|sleep)\s*\(")
    problems = [f"{path}:{number}: {line.strip()}" for path in tree.cpp()
                if path.stem.endswith("_test")
                for number, line in enumerate(tree.text(path).splitlines(), 1)
                if sleeps.search(line)]
    assert not problems, tree.listing(problems)
