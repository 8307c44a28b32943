"""Runs test suites and sums them up. scripts/test says how to call it."""

import os
import subprocess
import sys
import time

import build
import counting
import cpp_suites
import python_suites
import running
import tables

ROOT = build.ROOT
FUNCTIONS = {
    "unit": cpp_suites.unit,
    "asan": cpp_suites.asan,
    "tsan": cpp_suites.tsan,
    "seeds": cpp_suites.seeds,
    "fuzz": cpp_suites.fuzz,
    "tidy": cpp_suites.tidy,
    "style": python_suites.style,
    "python": python_suites.python,
    "system": python_suites.system,
    "vllm": python_suites.vllm,
    "bench-smoke": python_suites.bench_smoke,
}
PREPARING = ("install", "build")  # rows that are no suites but have their minutes
STARTED = time.monotonic()


def say(text):
    """Progress and results; flushed, so that a reader of a pipe sees how far it is."""
    minutes, seconds = divmod(int(time.monotonic() - STARTED), 60)
    for line in str(text).splitlines() or [""]:
        print(f"[{minutes:02d}:{seconds:02d}] {line}", flush=True)


def in_ci():
    return os.environ.get("CI", "").lower() in ("1", "true", "yes")


def prepare_install(run, suites):
    needs = sorted({y for x in suites for y in x.needs} - {tables.RELEASE})
    if needs:
        run.must([ROOT / "scripts" / "install_deps.sh", *needs])
    return counting.Outcome()


def prepare_build(run, suites):
    if not any(tables.RELEASE in x.needs for x in suites):
        return counting.Outcome()
    build.build_release(runner=run.must)
    python_script = ROOT / "python" / "build_wheel.py"
    if python_script.exists():
        build.build_wheel(runner=run.must)
    return counting.Outcome()


def guarded(function, run, *arguments):
    """A suite that cannot go on is a failure of it, never of the runner."""
    try:
        return function(run, *arguments)
    except (running.CommandFailed, build.BuildError, subprocess.CalledProcessError, OSError) as e:
        return counting.failure(run.suite.name, str(e))
    except running.OutOfTime:
        return counting.failure(run.suite.name, f"killed after {run.seconds():.0f} s")


def judge(run, outcome, allowed):
    """Turns what CI does not accept into failures."""
    name = run.suite.name
    outcome.failures = [f"{name}/{x}" for x in outcome.failures]
    outcome.skips = [(f"{name}/{x}", why) for x, why in outcome.skips]
    if in_ci():
        bad = [x for x in outcome.skips if not tables.is_allowed(x[0], allowed)]
        outcome.skips = [x for x in outcome.skips if x not in bad]
        outcome.failures += [f"{x}: skipped, which tests/skips.txt does not allow: {why}"
                             for x, why in bad]
    if run.outgrew():
        outcome.failures.append(f"{name}: took {run.seconds() / 60:.1f} minutes; its line in "
                                f"tests/suites.txt and what was spare are {run.budget / 60:.1f}")
    return outcome


def run_one(run, function, arguments, allowed):
    suite = run.suite
    say(f"== {suite.name}: {suite.about} (at most {run.budget / 60:.1f} min)")
    try:
        outcome = judge(run, guarded(function, run, *arguments), allowed)
    finally:
        run.close()
    for case, why in outcome.skips:
        say(f"   skipped: {case}: {why}")
    for what in outcome.failures:
        say(f"   FAILED: {what}")
    if [x for x in outcome.failures if not x.startswith(f"{suite.name}: took ")]:
        say(f"   the end of {run.log_path.relative_to(ROOT)}:")
        say(cpp_suites.tail(run.log_path.read_text(errors="replace"), 40))
    say(f"   {counts(outcome)}, {run.seconds():.0f} s")
    return outcome


def counts(outcome):
    text = f"{outcome.passed} passed, {len(outcome.failures)} failed"
    return text + (f", {len(outcome.skips)} skipped" if outcome.skips else "")


def run_all(suites, table, nightly):
    """Stops after a preparation that failed: what follows would only repeat it."""
    allowed = tables.read_skips()
    total, times, spare = counting.Outcome(), [], 0
    steps = [(table["install"], prepare_install, (suites,)), (table["build"], prepare_build,
                                                              (suites,))]
    steps += [(x, FUNCTIONS[x.name], ()) for x in suites]
    for suite, function, arguments in steps:
        run = running.SuiteRun(suite, say, nightly, spare)
        outcome = run_one(run, function, arguments, allowed)
        total.add(outcome)
        times.append((suite, outcome, run.seconds()))
        spare = run.spare()
        if suite.name in PREPARING and outcome.failures:
            break
    return total, times


def summary(total, times):
    say("== summary")
    for suite, outcome, seconds in times:
        say(f"   {suite.name:12} {seconds / 60:5.1f} of {suite.minutes:4g} min   {counts(outcome)}")
    for case, why in total.skips:
        say(f"   skipped: {case}: {why}")
    for what in total.failures:
        say(f"   FAILED: {what.splitlines()[0]}")
    print(counts(total), flush=True)


def choose(words, table):
    """The suites that the words name, in the table's order, and whether in their long form."""
    runnable = [x for x in table.values() if x.name not in PREPARING]
    if not words:
        return [x for x in runnable if x.when == "ci"], False
    if words == ["nightly"]:
        return runnable, True
    names = [x.name for x in runnable]
    unknown = set(words) - set(names)
    if unknown:
        raise tables.TableError(f"no suite is called {', '.join(sorted(unknown))}; there are: "
                                f"{', '.join(names)}, nightly, list")
    return [x for x in runnable if x.name in words], False


def main(words):
    try:
        table = tables.read_suites()
        if words in (["list"], ["--help"], ["-h"]):
            for suite in table.values():
                print(f"{suite.name:12} {suite.minutes:3g} min  {suite.when:8} {suite.about}")
            return 0
        suites, nightly = choose(words, table)
    except tables.TableError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if in_ci():
        os.environ.setdefault("HEADRACE_FEATURES", "enabled")
    total, times = run_all(suites, table, nightly)
    summary(total, times)
    return 1 if total.failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
