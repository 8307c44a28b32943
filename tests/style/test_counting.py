"""Counting: a test that failed, died or never ran is never counted as passed."""

import json
import types

import counting
import pytest
import run_tests


def gtest_report(tmp_path, *cases):
    path = tmp_path / "report.json"
    path.write_text(json.dumps({"testsuites": [{"name": "Slab", "testsuite": list(cases)}]}))
    return path


def case(name, **more):
    return {"name": name, "status": "RUN", "result": "COMPLETED", **more}


def test_passed_cases_are_counted(tmp_path):
    outcome = counting.gtest("engine/slab", 0, gtest_report(tmp_path, case("A"), case("B")))
    assert (outcome.passed, outcome.failures, outcome.skips) == (2, [], [])


def test_a_failed_case_is_named_with_its_message(tmp_path):
    report = gtest_report(tmp_path, case("A", failures=[{"failure": "slab_test.cc:7\nFailure"}]))
    outcome = counting.gtest("engine/slab", 1, report)
    assert outcome.failures == ["engine/slab/Slab.A: slab_test.cc:7"]


def test_skipped_and_switched_off_cases_are_skips(tmp_path):
    report = gtest_report(tmp_path, case("A", result="SKIPPED"),
                          case("B", status="NOTRUN", result="SUPPRESSED"))
    outcome = counting.gtest("engine/slab", 0, report)
    assert [x for x, _ in outcome.skips] == ["engine/slab/Slab.A", "engine/slab/Slab.B"]
    assert outcome.passed == 0


def test_a_program_that_dies_is_a_failure(tmp_path):
    outcome = counting.gtest("engine/slab", -6, tmp_path / "none.json")
    assert outcome.failures == ["engine/slab: killed by signal 6 without a report"]


def test_a_program_that_fails_after_its_tests_is_a_failure(tmp_path):
    outcome = counting.gtest("engine/slab", 23, gtest_report(tmp_path, case("A")))
    assert outcome.failures == ["engine/slab: exit 23 after its tests"]


def test_a_program_without_tests_is_a_failure(tmp_path):
    assert counting.gtest("engine/slab", 0, gtest_report(tmp_path)).failures


def junit(tmp_path, inner):
    path = tmp_path / "report.xml"
    path.write_text(f"<testsuites><testsuite>{inner}</testsuite></testsuites>")
    return path


def test_pytest_reports_are_counted(tmp_path):
    report = junit(tmp_path, """
        <testcase classname="tests.system.test_a" name="one"/>
        <testcase classname="tests.system.test_a" name="two"><failure message="no"/></testcase>
        <testcase classname="tests.system.test_a" name="three"><error message="worse"/></testcase>
        <testcase classname="tests.system.test_a" name="four"><skipped message="why"/></testcase>
        """)
    outcome = counting.pytest("system", 1, report)
    assert outcome.passed == 1
    assert outcome.failures == ["tests/system/test_a::two: no", "tests/system/test_a::three: worse"]
    assert outcome.skips == [("tests/system/test_a::four", "why")]


@pytest.mark.parametrize("code", [1, 2, 5, -9])
def test_pytest_that_ends_badly_is_a_failure(tmp_path, code):
    report = junit(tmp_path, '<testcase classname="a" name="one"/>')
    assert counting.pytest("system", code, report).failures


def judged(outcome, allowed=(), outgrew=False):
    run = types.SimpleNamespace(suite=types.SimpleNamespace(name="unit"), budget=60,
                                outgrew=lambda: outgrew, seconds=lambda: 61)
    return run_tests.judge(run, outcome, list(allowed))


def test_ci_fails_on_a_skip_that_is_not_allowed(monkeypatch):
    monkeypatch.setenv("CI", "true")
    outcome = judged(counting.skipped("cpython-3.10", "not there"))
    assert outcome.failures and not outcome.skips


def test_a_skip_elsewhere_is_only_said(monkeypatch):
    monkeypatch.delenv("CI", raising=False)
    outcome = judged(counting.skipped("cpython-3.10", "not there"))
    assert outcome.skips == [("unit/cpython-3.10", "not there")] and not outcome.failures


def test_a_suite_that_outgrows_its_minutes_fails():
    assert "minutes" in judged(counting.Outcome(passed=3), outgrew=True).failures[0]
