"""The suite runner ends what it starts, and nothing that hangs can hold it."""

import time

import counting
import interpreters
import pytest
import run_tests
import running
import tables


@pytest.fixture
def make_run(tmp_path, monkeypatch):
    monkeypatch.setattr(running, "LOGS", tmp_path)
    runs = []

    def make(minutes=1.0, spare=0):
        suite = tables.Suite("probe", minutes, "ci", (), "a suite for this test")
        runs.append(running.SuiteRun(suite, lambda text: None, spare=spare))
        return runs[-1]

    yield make
    for run in runs:
        run.close()


def test_output_goes_to_the_log(make_run):
    run = make_run()
    assert run.run(["echo", "hello"]) == 0
    assert "hello" in run.log_path.read_text()


def test_a_step_that_must_work_says_how_it_ended(make_run):
    with pytest.raises(running.CommandFailed, match="false: exit 1"):
        make_run().must(["false"])


def test_a_suite_that_hangs_is_killed_with_its_children(make_run):
    run = make_run(minutes=0.5 / 60 / running.KILL_FACTOR)
    started = time.monotonic()
    with pytest.raises(running.OutOfTime):
        run.run(["sh", "-c", "sleep 60 & sleep 60"])
    assert time.monotonic() - started < 10
    assert run.outgrew()


def test_a_suite_may_take_what_those_before_it_left(make_run):
    run = make_run(minutes=0, spare=60)
    assert run.run(["true"]) == 0
    assert not run.outgrew() and 0 < run.spare() < 60


def test_a_suite_that_outgrew_its_minutes_leaves_none(make_run):
    run = make_run(minutes=0)
    assert run.outgrew() and run.spare() == 0


def test_nothing_starts_after_the_time_is_over(make_run):
    run = make_run(minutes=0.1 / 60 / running.KILL_FACTOR)
    with pytest.raises(running.OutOfTime):
        run.run(["sleep", "60"])
    with pytest.raises(running.OutOfTime):
        run.run(["true"])


def test_the_environment_of_a_command_is_added_to(make_run):
    code, text = make_run().output(["sh", "-c", "echo $PROBE $HOME"], {"PROBE": "one"})
    assert code == 0 and text.startswith("one /")


def test_a_program_that_is_no_python_is_no_interpreter():
    assert interpreters.version_of("/bin/true") is None
    assert interpreters.version_of("/nonexistent/python") is None


def test_suites_hand_on_what_they_leave(make_run, monkeypatch):
    budgets = []

    def probe(run):
        budgets.append(run.budget)
        return counting.Outcome()

    names = ("install", "build", "probe", "next")
    table = {x: tables.Suite(x, 1.0, "ci", (), "a suite for this test") for x in names}
    monkeypatch.setattr(run_tests, "FUNCTIONS", {"probe": probe, "next": probe})
    run_tests.run_all([table["probe"], table["next"]], table, nightly=False)
    assert budgets == [pytest.approx(180, abs=20), pytest.approx(240, abs=20)]
