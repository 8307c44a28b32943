"""The suites in C++: unit, asan, tsan, seeds, fuzz, tidy. Each takes a SuiteRun."""

import concurrent.futures
import fnmatch
import os
import pathlib
import shutil

import build
import changed
import counting

ROOT = build.ROOT
FUZZ_SECONDS = 6
NIGHTLY_FUZZ_SECONDS = 600
# What fits into the minutes of tidy's line; the nightly run looks at every file.
TIDY_FILES = 24
# Programs that play histories, and how many of them.
SEEDS = ("headrace-seeds", 10_000)
NIGHTLY_SEEDS = ("headrace-seeds", 1_000_000)
FLEETS = ("headrace-fleet-seeds", 1)  # of 1000 publishers each
NIGHTLY_FLEETS = ("headrace-fleet-seeds", 20)
# The same histories cost ten times as much under a sanitizer.
SANITIZED_SEEDS = ("headrace-seeds", 1_000)
TIMEOUT_FACTOR = 5  # of a test under a sanitizer

# What clang-tidy leaves out in some files, with the reason.
TIDY_OFF = (
    # The analyzer spends 20 s a file inside GoogleTest's macros and finds nothing.
    ("*_test.cc", "-clang-analyzer-*"),
    # Seeds are constants so that a failure comes again; products of small constants do not
    # overflow; nobody waits for the lists of a test or a bench.
    ("*_test.cc|tests/*|bench/*|*/fake_*", "-bugprone-random-generator-seed,"
     "-bugprone-implicit-widening-of-multiplication-result,"
     "-performance-inefficient-vector-operation"),
    # What throws while a test's constants are made ends the test, as it should.
    ("*_test.cc", "-bugprone-throwing-static-initialization"),
    # The analyzer walks through all of Boost.Beast and of gRPC, for minutes.
    ("net/http_server.cc|server/index_rpc.cc", "-clang-analyzer-*"),
    # The C ABI's functions are exempt from sizes by tests/style/exempt.txt.
    ("client/headrace_c.cc", "-readability-function-size"),
)

# Checks of UBSan at every access, which take half of the time that building takes and find what
# ASan finds too.
LEFT_TO_ASAN = "-fno-sanitize=null,alignment,object-size,vptr"

ASAN_ENV = {
    "ASAN_OPTIONS": "detect_leaks=1:strict_string_checks=1:detect_stack_use_after_return=1",
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
}
TSAN_ENV = {
    "TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1:"
                    f"suppressions={ROOT / 'tests' / 'tsan.txt'}",
}


def parallel(function, items):
    with concurrent.futures.ThreadPoolExecutor(build.jobs()) as pool:
        return list(pool.map(function, items))


def add_all(outcomes):
    total = counting.Outcome()
    for outcome in outcomes:
        total.add(outcome)
    return total


def in_suite(test, suite):
    return any(x.split(":")[-1] == suite for x in test["suite"])


def run_gtests(run, directory, env=None, prefix=(), factor=1):
    """Builds and runs every test of meson's suite "unit" in `directory`."""
    if directory != build.BUILD:
        build.compile_targets(directory, ["tests/test_pch"], runner=run.must)
    build.compile_targets(directory, ["meson-test-prereq"], runner=run.must)
    tests = [x for x in build.introspect(directory, "tests") if in_suite(x, "unit")]
    if not tests:
        return counting.failure(run.suite.name, "no unit test in the build")
    reports = run.directory / "gtest"
    shutil.rmtree(reports, ignore_errors=True)

    def one(test):
        report = reports / f"{test['name'].replace('/', '_')}.json"
        limit = ["timeout", "-k", "5", str(test["timeout"] * factor)]
        command = [*limit, *prefix, *test["cmd"], f"--gtest_output=json:{report}",
                   "--gtest_brief=1"]
        environment = {**(test["env"] or {}), **(env or {}), "HEADRACE_BUILD": str(directory)}
        code, text = run.output(command, environment, test["workdir"] or ROOT)
        if code == 124:
            return counting.failure(test["name"], f"took over {test['timeout'] * factor} s")
        outcome = counting.gtest(test["name"], code, report)
        if code != 0 and not report.exists():  # it died: a sanitizer's report, a check that failed
            outcome.failures[-1] += f"\n{tail(text, 60)}"
        return outcome

    return add_all(parallel(one, tests))


def run_seeds(run, directory, histories, env=None, prefix=()):
    name, count = histories
    program = build.executables(directory).get(name)
    if program is None:
        return counting.failure(name, "not in the build")
    build.compile_targets(directory, [os.path.relpath(program, directory)], runner=run.must)
    code, text = run.output([*prefix, program, "--seeds", str(count)], env)
    if code != 0:
        return counting.failure(f"{name} --seeds {count}",
                                f"{counting.how_ended(code)}\n{tail(text, 25)}")
    return counting.Outcome(passed=1)


def tail(text, lines):
    return "\n".join(text.rstrip().splitlines()[-lines:])


def unit(run):
    build.configure(build.BUILD, build.release_options(), runner=run.must)
    return run_gtests(run, build.BUILD)


def seeds(run):
    build.configure(build.BUILD, build.release_options(), runner=run.must)
    outcome = run_seeds(run, build.BUILD, NIGHTLY_SEEDS if run.nightly else SEEDS)
    if outcome.passed:
        run.report(tail(run.log_path.read_text(errors="replace"), 25))
    fleets = run_seeds(run, build.BUILD, NIGHTLY_FLEETS if run.nightly else FLEETS)
    if fleets.passed:
        run.report(tail(run.log_path.read_text(errors="replace"), 22))
    return outcome.add(fleets)


def sanitizer_build(run, name, options, env=None):
    directory = ROOT / f"build-{name}"
    options = {"debug": "true", "optimization": "1", "b_lundef": "false", "tests": "enabled",
               "bench": "disabled",
               "werror": "false",  # g++ 12 warns of what is not there when it instruments
               # ccache cannot keep these, and the release build turns warnings into errors, of
               # which g++ 12 has some that are none through a precompiled header.
               "test_pch": "true",
               **options}
    build.configure(directory, options, env, runner=run.must)
    return directory


def asan_build(run):
    """One build for asan and fuzz: g++ has no libFuzzer."""
    # Lines in a trace; whole debug information doubles the build.
    args = f"-g1 -fsanitize=fuzzer-no-link {LEFT_TO_ASAN}"
    options = {"b_sanitize": "address,undefined", "fuzz": "enabled", "cpp_args": args}
    return sanitizer_build(run, "asan", options, {"CC": "clang-19", "CXX": "clang++-19"})


def asan(run):
    directory = asan_build(run)
    outcome = run_gtests(run, directory, ASAN_ENV, factor=TIMEOUT_FACTOR)
    return outcome.add(run_seeds(run, directory, SANITIZED_SEEDS, ASAN_ENV))


def tsan(run):
    directory = sanitizer_build(run, "tsan", {"b_sanitize": "thread", "cpp_args": "-g1"})
    # g++ 12's runtime cannot place its shadow where the kernel randomises 32 bits of addresses.
    prefix = ["setarch", os.uname().machine, "-R"]
    if run.run([*prefix, "true"]) != 0:
        prefix = []
    outcome = run_gtests(run, directory, TSAN_ENV, prefix, factor=TIMEOUT_FACTOR)
    return outcome.add(run_seeds(run, directory, SANITIZED_SEEDS, TSAN_ENV, prefix))


def fuzz(run):
    directory = asan_build(run)
    targets = {x.removesuffix("_fuzz"): y for x, y in build.executables(directory).items()
               if x.endswith("_fuzz")}
    if not targets:
        return counting.failure("fuzz", "no target in the build")
    paths = [os.path.relpath(x, directory) for x in targets.values()]
    build.compile_targets(directory, paths, runner=run.must)
    seconds = NIGHTLY_FUZZ_SECONDS if run.nightly else FUZZ_SECONDS
    return add_all(parallel(lambda x: fuzz_one(run, *x, seconds), sorted(targets.items())))


def fuzz_one(run, name, program, seconds):
    """New inputs go to a folder of the run; the corpus of the project only changes by hand."""
    found = run.directory / name
    shutil.rmtree(found, ignore_errors=True)
    found.mkdir(parents=True)
    corpus = ROOT / "tests" / "fuzz" / "corpus" / name
    corpora = [found] + ([corpus] if corpus.is_dir() else [])
    command = [program, f"-max_total_time={seconds}", "-timeout=5", "-rss_limit_mb=2048",
               f"-artifact_prefix={found}/crash-", "-print_final_stats=1", *corpora]
    code, text = run.output(command, {"UBSAN_OPTIONS": ASAN_ENV["UBSAN_OPTIONS"]})
    if code == 0:
        return counting.Outcome(passed=1)
    inputs = sorted(str(x.relative_to(ROOT)) for x in found.glob("crash-*"))
    return counting.failure(name, f"{counting.how_ended(code)}; replay: "
                            f"{pathlib.Path(program).relative_to(ROOT)} {' '.join(inputs)}\n"
                            f"{tail(text, 25)}")


def tidy_off(path):
    """The option that leaves checks out for `path`; clang-tidy takes one such option."""
    off = [checks for patterns, checks in TIDY_OFF
           if any(fnmatch.fnmatch(str(path), x) for x in patterns.split("|"))]
    return [f"--checks={','.join(off)}"] if off else []


def tidy(run):
    build.configure(build.BUILD, build.release_options(), runner=run.must)
    tool = ROOT / ".venv-tools" / "bin" / "clang-tidy"
    known = {pathlib.Path(x).relative_to(ROOT) for x in changed.compiled(build.BUILD)}
    files = changed.Files(known, "all") if run.nightly else changed.sources(known, TIDY_FILES)
    run.log(f"{len(files)} of {len(known)} files: {files.reason}")
    run.report(f"   {len(files)} of {len(known)} files ({files.reason})")

    def one(path):
        off = tidy_off(path)
        command = [tool, "--quiet", "-p", build.BUILD, *off, ROOT / path]
        code, text = run.output(command)
        if code == 0:
            return counting.Outcome(passed=1)
        errors = [x for x in text.splitlines() if ": error:" in x] or [tail(text, 3)]
        return counting.failure(path, "\n    ".join(errors[:10]))

    return add_all(parallel(one, files))
