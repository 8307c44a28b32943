"""Runs benchmark programs, checks what they print, passes it on. scripts/bench says how to call it.

A program prints one JSON object a line:
  name    of bench/names.txt          value   a finite number, in `unit`
  limit   what the machine can do, in `unit`    peer   what a comparable system does, in `unit`
  ratio   value / reference for rates, reference / value for times; the reference is the limit,
          else the peer. 1 is "as good as", more is better
  runs, spread, how   how often, how far apart, and what was done
"""

import argparse
import json
import math
import subprocess
import sys

import build
import tables

ROOT = build.ROOT
DYNAMO = "ai-dynamo-runtime==1.6.1"
TIMES = {"ns", "us", "ms", "s"}
PURE_RATIOS = {"ratio"}  # the value is itself a ratio of two rates
KNOWN = {"name", "value", "unit", "limit", "peer", "ratio", "runs", "spread", "how"}
RATIO_SLACK = 0.02  # printed figures are rounded


def say(text):
    print(text, file=sys.stderr, flush=True)


def dynamo_venv():
    return ROOT / ".cache" / "dynamo-venv"


def install_dynamo(runner):
    """NVIDIA Dynamo's wheel, whose radix tree the index is measured beside."""
    venv = dynamo_venv()
    if any(venv.glob("lib/python3*/site-packages/dynamo")):
        return
    runner([sys.executable, "-m", "venv", venv])
    runner([venv / "bin" / "python", "-m", "pip", "-q", "install", "--no-deps", DYNAMO])


def program(suite, quick):
    """The command of a suite."""
    bin_folder = build.BUILD / "bin"
    if suite == "engine":
        return [bin_folder / "headrace-bench-engine", bin_folder / "headrace-server"]
    if suite == "index":
        return [sys.executable, ROOT / "bench" / "index_bench.py",
                bin_folder / "headrace-bench-index", dynamo_venv() / "bin" / "python",
                *(["--quick"] if quick else [])]
    if suite == "sim":
        return [sys.executable, ROOT / "bench" / "sim_bench.py", bin_folder / "headrace-sim",
                *(["--quick"] if quick else [])]
    return [sys.executable, ROOT / "bench" / "vllm_bench.py"]


def is_rate(unit):
    return unit.endswith("/s") or unit in PURE_RATIOS


def number(entry, field):
    value = entry.get(field)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return f"{field} is not a finite number: {value!r}"
    return None


def wrong_ratio(entry):
    """Why `ratio` does not fit the other fields, or None."""
    reference = entry.get("limit", entry.get("peer"))
    if "ratio" not in entry:
        return None if reference is None else "there is a reference but no ratio"
    value, unit = entry["value"], entry["unit"]
    if reference is None and unit in PURE_RATIOS:
        expected = value
    elif reference is None:
        return "there is a ratio but neither limit nor peer"
    elif unit not in TIMES and not is_rate(unit):
        return f"unit {unit!r} is neither a time nor a rate, so it can have no ratio"
    elif value == 0 or reference == 0:
        return "value or reference is 0"
    else:
        expected = value / reference if is_rate(unit) else reference / value
    if abs(entry["ratio"] - expected) > RATIO_SLACK * abs(expected):
        return f"ratio is {entry['ratio']:g}, the other fields make it {expected:.4g}"
    return None


def problem(entry):
    """What is wrong with one line, or None."""
    if not isinstance(entry, dict):
        return "not an object"
    unknown = set(entry) - KNOWN
    if unknown:
        return f"unknown fields: {', '.join(sorted(unknown))}"
    for field in ("name", "unit"):
        if not isinstance(entry.get(field), str):
            return f"{field} is missing or no text"
    for field in ("value", "limit", "peer", "ratio", "runs"):
        wrong = number(entry, field) if field in entry or field == "value" else None
        if wrong:
            return wrong
    return wrong_ratio(entry)


class Checker:
    """Looks at every line of one suite, in order. Owns what it saw."""

    def __init__(self, names):
        self.names = names
        self.seen = []
        self.errors = []

    def line(self, text):
        """Whether the line may be passed on."""
        try:
            entry = json.loads(text)
        except ValueError:
            self.errors.append(f"no JSON: {text.strip()[:200]}")
            return False
        wrong = problem(entry)
        name = entry.get("name") if isinstance(entry, dict) else None
        if wrong:
            self.errors.append(f"{name}: {wrong}")
            return False
        if name not in self.names:
            self.errors.append(f"{name}: not in bench/names.txt")
        if name in self.seen:
            self.errors.append(f"{name}: printed twice")
        self.seen.append(name)
        return True

    def finish(self, code):
        missing = [x for x in self.names if x not in self.seen]
        if code != 0:
            self.errors.append(f"the program ended with {code}")
        if missing:
            self.errors.append(f"missing: {' '.join(missing)}")
        return self.errors


def run_suite(suite, quick):
    command = [str(x) for x in program(suite, quick)]
    say(f"== {suite}: {' '.join(command)}")
    checker = Checker(tables.bench_names(suite))
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True,
                          stdin=subprocess.DEVNULL) as process:
        for text in process.stdout:
            if text.strip() and checker.line(text):
                print(text.strip(), flush=True)
    return [f"{suite}: {x}" for x in checker.finish(process.returncode)]


def prepare(suites):
    """Builds, and makes what the suites stand on."""
    say("== building")
    build.run([ROOT / "scripts" / "build"])
    if "index" in suites:
        install_dynamo(build.run)
    if "sim" in suites:
        build.run([ROOT / "scripts" / "install_deps.sh", "bench"])
    if "vllm" in suites:
        import python_suites  # pylint: disable=import-outside-toplevel
        venv = python_suites.install_vllm(build.run, "lmcache")
        say(f"   vLLM in {venv}")


def main(words):
    suites = list(tables.bench_names())
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Measures; see the script.")
    parser.add_argument("suite", nargs="*", help=f"of {', '.join(suites)}; none named: all")
    parser.add_argument("--no-build", action="store_true", help="take build/ as it is")
    parser.add_argument("--quick", action="store_true",
                        help="index, sim: every name from little work; the figures mean nothing")
    options = parser.parse_args(words)
    wanted = options.suite or suites
    if not set(wanted) <= set(suites):
        parser.error(f"suites are {', '.join(suites)}")
    try:
        if not options.no_build:
            prepare(wanted)
        errors = [x for suite in wanted for x in run_suite(suite, options.quick)]
    except (build.BuildError, OSError) as error:
        errors = [str(error)]
    for error in errors:
        say(f"error: {error}")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
