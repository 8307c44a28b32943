"""Sizes of files and functions. Alarms, not goals: split by idea, never by count."""

import ast
import fnmatch
import functools
import re
import statistics

import lizard
import tree

FILE_LINES = 600
MEDIAN_FILE_LINES = 150
COLUMNS = 100
FUNCTION_LINES = 70
P95_FUNCTION_LINES = 40
COMPLEXITY = 12
PARAMETERS = 5
CHECKS_PER_THOUSAND = 10
TEST_SHARE = 0.60
DECLARATION = re.compile(
    r"(?:^|[;{}])\s*(?!return\b|else\b|delete\b|throw\b)[\w:<>,*& ]+[ *&\n]"
    r"(\w+)\(([^(){};]*)\)\s*(?:const|noexcept|override|final|= 0|\s)*;", re.MULTILINE)
CHECK = re.compile(r"\b(HR_CHECK|HR_DCHECK|static_assert)\s*\(")


@functools.cache
def functions():
    """(path, function) of all C++ and Python, as lizard sees them."""
    return [(path, x) for path in tree.cpp() + tree.python()
            for x in lizard.analyze_file(str(tree.ROOT / path)).function_list]


@functools.cache
def exempt():
    return {(path, name, limit): why for path, name, limit, why in tree.table("exempt.txt", 4)}


def is_exempt(path, name, limit):
    return any(fnmatch.fnmatch(str(path), x) and (name, limit) == (y, z) for x, y, z in exempt())


def name_of(function):
    return function.name.split("::")[-1]


def over(limit, value_of, most):
    """Functions over a limit that exempt.txt does not list."""
    return [f"{path}:{x.start_line}: {x.name}: {value_of(x)}, {most} may be"
            for path, x in functions()
            if value_of(x) > most and not is_exempt(path, name_of(x), limit)]


def test_files_are_short_enough():
    problems = [f"{x}: {tree.num_lines(x)} lines" for x in tree.cpp() + tree.python()
                if tree.num_lines(x) > FILE_LINES]
    assert not problems, tree.listing(problems)


def test_the_median_file_is_short():
    median = statistics.median(tree.num_lines(x) for x in tree.cpp() if not tree.is_test(x))
    assert median <= MEDIAN_FILE_LINES


def test_lines_are_short_enough():
    problems = [f"{path}:{number}: {len(line)} columns" for path in tree.cpp() + tree.python()
                for number, line in enumerate(tree.text(path).splitlines(), 1)
                if len(line) > COLUMNS]
    assert not problems, tree.listing(problems)


def test_functions_are_short_enough():
    problems = over("lines", lambda x: x.length, FUNCTION_LINES)
    assert not problems, tree.listing(problems)


def test_nearly_all_functions_are_short():
    lengths = sorted(x.length for _, x in functions())
    assert lengths[int(len(lengths) * 0.95)] <= P95_FUNCTION_LINES


def test_functions_are_simple_enough():
    problems = over("complexity", lambda x: x.cyclomatic_complexity, COMPLEXITY)
    assert not problems, tree.listing(problems)


def cpp_functions_and_declarations():
    """Declarations too: lizard sees only bodies, and an ABI is made of declarations."""
    for path, function in functions():
        if path.suffix != ".py":
            yield path, function.start_line, name_of(function), function.parameter_count
    for path in tree.headers():
        code = re.sub(r"/\*.*?\*/|//[^\n]*", lambda m: "\n" * m.group().count("\n"),
                      tree.text(path), flags=re.DOTALL)
        for found in DECLARATION.finditer(code):
            line = code[:found.start(1)].count("\n") + 1
            yield path, line, found.group(1), num_parameters(found.group(2))


def num_parameters(declared):
    inner = re.sub(r"<[^<>]*(<[^<>]*>[^<>]*)*>", "", declared)
    return inner.count(",") + 1 if inner.strip() else 0


def test_functions_take_few_parameters():
    problems = [f"{path}:{line}: {name}: {count}" for path, line, name, count
                in cpp_functions_and_declarations()
                if count > PARAMETERS and not is_exempt(path, name, "parameters")]
    assert not problems, tree.listing(problems)


def test_python_functions_take_few_positional_parameters():
    """Parameters by keyword are named where they are given, as a struct's members are."""
    problems = []
    for path in tree.python():
        for node in ast.walk(ast.parse(tree.text(path))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                names = [x.arg for x in node.args.posonlyargs + node.args.args]
                count = len([x for x in names if x not in ("self", "cls")])
                if count > PARAMETERS and not is_exempt(path, node.name, "parameters"):
                    problems.append(f"{path}:{node.lineno}: {node.name}: {count}")
    assert not problems, tree.listing(problems)


def test_every_exemption_is_needed():
    values = {"lines": lambda x: x.length > FUNCTION_LINES,
              "complexity": lambda x: x.cyclomatic_complexity > COMPLEXITY}
    needed = {(str(path), name_of(x), limit) for path, x in functions()
              for limit, is_over in values.items() if is_over(x)}
    needed |= {(str(path), name, "parameters") for path, _, name, count
               in cpp_functions_and_declarations() if count > PARAMETERS}
    useless = [row for row in exempt() if not any(
        fnmatch.fnmatch(path, row[0]) and (name, limit) == row[1:] for path, name, limit in needed)]
    assert not useless, tree.listing([str(x) for x in useless])


def test_code_checks_what_must_hold():
    sources = [x for x in tree.cpp() if not tree.is_test(x) and x.parts[0] != "bench"]
    lines = sum(tree.num_lines(x) for x in sources)
    checks = sum(len(CHECK.findall(tree.text(x))) for x in sources)
    assert 1000 * checks / lines >= CHECKS_PER_THOUSAND, f"{checks} checks in {lines} lines"


def test_there_are_enough_tests():
    code = tree.cpp() + [x for x in tree.python() if x.parts[0] == "python"] + \
        [x for x in tree.python() if x.parts[0] == "tests"]
    tests = sum(tree.num_lines(x) for x in code if tree.is_test(x))
    sources = sum(tree.num_lines(x) for x in code if not tree.is_test(x) and x.parts[0] != "bench")
    assert tests >= TEST_SHARE * sources, f"{tests} lines of tests for {sources} of source"
