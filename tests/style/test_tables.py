"""The tables that the scripts read are sound, and the code that reads them refuses what is not."""

import os
import re

import pytest
import run_tests
import tables
import tree


def written(tmp_path, text):
    path = tmp_path / "table.txt"
    path.write_text(text, encoding="utf-8")
    return path


def test_suites_of_ci_fit_into_an_hour():
    suites = tables.read_suites()
    assert sum(x.minutes for x in suites.values() if x.when == "ci") <= 60


def test_suites_over_an_hour_are_refused(tmp_path):
    with pytest.raises(tables.TableError, match="61 minutes"):
        tables.read_suites(written(tmp_path, "unit 61 ci - text\n"))


def test_suites_run_in_ci_or_nightly_only(tmp_path):
    with pytest.raises(tables.TableError, match="neither"):
        tables.read_suites(written(tmp_path, "unit 1 weekly - text\n"))


def test_every_suite_can_be_run_and_is_in_the_table():
    assert set(tables.read_suites()) == set(run_tests.FUNCTIONS) | set(run_tests.PREPARING)


def test_suites_need_what_can_be_installed():
    script = tree.text(tree.pathlib.Path("scripts/install_deps.sh"))
    parts = set(re.findall(r"^      (\w+)\)", script, re.MULTILINE))
    for suite in tables.read_suites().values():
        assert set(suite.needs) <= parts | {tables.RELEASE}, suite.name


def test_a_skip_needs_a_reason(tmp_path):
    with pytest.raises(tables.TableError, match="no reason"):
        tables.read_skips(written(tmp_path, "system/case\n"))


def test_skips_match_by_pattern(tmp_path):
    allowed = tables.read_skips(written(tmp_path, "system/*rdma* no such device here\n"))
    assert tables.is_allowed("system/test_rdma::test_reads", allowed)
    assert not tables.is_allowed("unit/test_rdma", allowed)


def test_skips_of_the_project_can_be_read():
    assert all(x.reason for x in tables.read_skips())


def test_bench_names_are_unique():
    names = [x for y in tables.bench_names().values() for x in y]
    assert len(names) == len(set(names))


def test_scripts_can_be_run():
    for name in ("build", "test", "bench", "demo", "install_deps.sh"):
        assert os.access(tree.ROOT / "scripts" / name, os.X_OK), name
