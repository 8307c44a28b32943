"""The suite runner ends what it starts, and nothing that hangs can hold it."""

import time

import interpreters
import pytest
import running
import tables


@pytest.fixture
def make_run(tmp_path, monkeypatch):
    monkeypatch.setattr(running, "LOGS", tmp_path)
    runs = []

    def make(minutes=1.0):
        suite = tables.Suite("probe", minutes, "ci", (), "a suite for this test")
        runs.append(running.SuiteRun(suite, lambda text: None))
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
