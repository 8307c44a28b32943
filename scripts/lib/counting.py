"""Counts test cases in what GoogleTest and pytest report."""

import dataclasses
import json
import xml.etree.ElementTree


@dataclasses.dataclass
class Outcome:
    """What a suite, or a part of one, came to. A part that could not report is one failure."""
    passed: int = 0
    failures: list = dataclasses.field(default_factory=list)  # "case: what went wrong"
    skips: list = dataclasses.field(default_factory=list)  # (case, reason)

    def add(self, other):
        self.passed += other.passed
        self.failures += other.failures
        self.skips += other.skips
        return self


def failure(case, what):
    return Outcome(failures=[f"{case}: {what}"])


def skipped(case, reason):
    return Outcome(skips=[(case, reason)])


def first_line(text):
    lines = [x for x in (text or "").strip().splitlines() if x.strip()]
    return lines[0].strip()[:200] if lines else "no message"


def how_ended(code):
    return f"killed by signal {-code}" if code < 0 else f"exit {code}"


def gtest(program, code, report_path):
    """`report_path` is the file of --gtest_output=json; absent when the program died."""
    outcome = Outcome()
    try:
        with open(report_path, encoding="utf-8") as file:
            report = json.load(file)
    except (OSError, ValueError):
        return failure(program, f"{how_ended(code)} without a report")
    for suite in report["testsuites"]:
        for case in suite["testsuite"]:
            name = f"{program}/{suite['name']}.{case['name']}"
            if case.get("failures"):
                outcome.failures.append(f"{name}: {first_line(case['failures'][0]['failure'])}")
            elif case["status"] == "NOTRUN":
                outcome.skips.append((name, "switched off (DISABLED_)"))
            elif case["result"] == "SKIPPED":
                outcome.skips.append((name, "GTEST_SKIP"))
            else:
                outcome.passed += 1
    if code != 0 and not outcome.failures:
        outcome.failures.append(f"{program}: {how_ended(code)} after its tests")
    if not (outcome.passed or outcome.failures or outcome.skips):
        outcome.failures.append(f"{program}: holds no test")
    return outcome


def pytest(name, code, report_path):
    """`report_path` is the file of --junitxml."""
    try:
        root = xml.etree.ElementTree.parse(report_path).getroot()
    except (OSError, xml.etree.ElementTree.ParseError):
        return failure(name, f"pytest: {how_ended(code)} without a report")
    outcome = Outcome()
    for case in root.iter("testcase"):
        title = f"{case.get('classname', '').replace('.', '/')}::{case.get('name')}"
        bad = [case.find("failure"), case.find("error")]
        bad = next((x for x in bad if x is not None), None)
        skip = case.find("skipped")
        if bad is not None:
            outcome.failures.append(f"{title}: {first_line(bad.get('message'))}")
        elif skip is not None:
            outcome.skips.append((title, first_line(skip.get("message"))))
        else:
            outcome.passed += 1
    if code != 0 and not outcome.failures:
        outcome.failures.append(f"{name}: pytest: {how_ended(code)}")
    if not (outcome.passed or outcome.failures or outcome.skips):
        outcome.failures.append(f"{name}: holds no test")
    return outcome
