"""What scripts/bench lets through: figures with a unit, and ratios that follow from them."""

import bench
import pytest


def entry(**more):
    return {"name": "engine.save.2m", "value": 20.0, "unit": "GB/s", **more}


def test_a_rate_is_value_over_reference():
    assert bench.problem(entry(limit=25.0, ratio=0.8)) is None


def test_a_time_is_reference_over_value():
    assert bench.problem(entry(value=10.0, unit="us", peer=8.0, ratio=0.8)) is None


def test_the_limit_is_the_reference_before_the_peer():
    assert bench.problem(entry(limit=25.0, peer=40.0, ratio=0.8)) is None
    assert bench.problem(entry(limit=25.0, peer=40.0, ratio=0.5))


def test_a_pure_ratio_stands_alone_or_against_a_limit():
    assert bench.problem(entry(value=0.99, unit="ratio", ratio=0.99)) is None
    assert bench.problem(entry(value=0.97, unit="ratio", limit=0.97, ratio=1.0)) is None


@pytest.mark.parametrize("wrong", [
    entry(limit=25.0),
    entry(ratio=0.8),
    entry(limit=25.0, ratio=1.25),
    entry(value=10.0, unit="us", peer=8.0, ratio=1.25),
    entry(value=float("nan")),
    entry(value="20"),
    entry(value=True),
    entry(unit=None),
    entry(unit="blocks", limit=25.0, ratio=0.8),
    entry(limit=0.0, ratio=0.0),
    entry(color="red"),
    [1, 2],
])
def test_lines_that_say_too_little_or_do_not_add_up_are_refused(wrong):
    assert bench.problem(wrong)


def test_a_missing_name_is_an_error():
    checker = bench.Checker(["a", "b"])
    assert checker.line('{"name": "a", "value": 1, "unit": "us"}')
    assert checker.finish(0) == ["missing: b"]


def test_a_name_twice_or_unknown_is_an_error():
    checker = bench.Checker(["a"])
    for name in ("a", "a", "c"):
        checker.line(f'{{"name": "{name}", "value": 1, "unit": "us"}}')
    assert checker.finish(0) == ["a: printed twice", "c: not in bench/names.txt"]


def test_a_program_that_fails_is_an_error():
    assert bench.Checker([]).finish(1) == ["the program ended with 1"]


def test_a_line_that_is_no_json_is_not_passed_on():
    checker = bench.Checker([])
    assert not checker.line("warming up")
    assert checker.finish(0) == ["no JSON: warming up"]
