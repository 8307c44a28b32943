"""The suites that pytest runs, and the smoke test of the benchmarks."""

import os
import pathlib
import shutil
import sys

import bench
import build
import counting
import interpreters
import tables

ROOT = build.ROOT
TOOLS = ROOT / ".venv-tools" / "bin" / "python"
PYTEST = "pytest==9.2.0"


def environment():
    """Where tests find the build."""
    return {"HEADRACE_BUILD": str(build.BUILD), "PYTHONDONTWRITEBYTECODE": "1"}


def checkout_environment():
    """As environment(), with the Python package as it stands in the checkout."""
    return {**environment(), "PYTHONPATH": str(ROOT / "python"),
            "HEADRACE_CLIENT_LIBRARY": str(build.client_library())}


def run_pytest(run, python, folder, env, name=None):
    if not (ROOT / folder).is_dir():
        return counting.failure(folder, "there is no such folder")
    report = run.directory / f"{name or run.suite.name}.xml"
    report.unlink(missing_ok=True)
    if run.nightly:
        env = {**env, "HEADRACE_NIGHTLY": "1"}
    code = run.run([python, "-m", "pytest", "-p", "no:cacheprovider", "-ra", "--durations=10",
                    "--color=no", f"--junitxml={report}", ROOT / folder], env)
    return counting.pytest(name or run.suite.name, code, report)


def release(run):
    """The release build as it stands, or made now."""
    build.build_release(runner=run.must)


def style(run):
    build.configure(build.BUILD, build.release_options(), runner=run.must)
    made = build.made_headers(build.BUILD)
    if made:
        build.compile_targets(build.BUILD, made, runner=run.must)
    return run_pytest(run, TOOLS, "tests/style", environment())


def system(run):
    release(run)
    return run_pytest(run, TOOLS, "tests/system", checkout_environment())


def python(run):
    release(run)
    wheel = build.build_wheel(runner=run.must)
    outcome = counting.Outcome()
    found = interpreters.find()
    for version in interpreters.VERSIONS:
        if version not in found:
            outcome.add(counting.skipped(f"cpython-{version}", f"no python{version} on PATH and "
                                         "none from pyenv"))
            continue
        outcome.add(wheel_in(run, version, found[version], wheel))
    return outcome


def wheel_in(run, version, interpreter, wheel):
    """The installed wheel, and nothing of the checkout: its own library, its own modules."""
    venv = ROOT / ".cache" / f"venv-py{version}"
    python_path = venv / "bin" / "python"
    if run.run([python_path, "-c", "import pytest"]) != 0 if python_path.exists() else True:
        shutil.rmtree(venv, ignore_errors=True)
        run.must([interpreter, "-m", "venv", venv])
        run.must([python_path, "-m", "pip", "-q", "install", PYTEST])
    run.must([python_path, "-m", "pip", "-q", "install", "--no-deps", "--force-reinstall", wheel])
    part = run_pytest(run, python_path, "python/tests", environment(), f"cpython-{version}")
    part.failures = [f"cpython-{version} {x}" for x in part.failures]
    part.skips = [(f"cpython-{version}/{x}", why) for x, why in part.skips]
    return part


def vllm_venv():
    """The first that is there: what the environment names, our own, one of the machine."""
    named = os.environ.get("HEADRACE_VLLM_VENV")
    if named:
        return pathlib.Path(named)
    own = ROOT / ".cache" / "vllm-venv"
    shared = pathlib.Path("/opt/headrace-vllm")
    return shared if not own.exists() and (shared / "bin" / "vllm").exists() else own


def has(venv, *modules):
    """Whether the venv's own folder holds them; importing vLLM would take many seconds."""
    return (venv / "bin" / "vllm").exists() and \
        all(any(venv.glob(f"lib/python3*/site-packages/{x}")) for x in modules)


def install_vllm(runner, *more):
    """Returns the venv, which has vLLM for the CPU in it afterwards, and `more` ("lmcache")."""
    venv = vllm_venv()
    if not has(venv, "vllm", "pytest", *more):
        words = [f"--{x}" for x in more]
        runner(["bash", ROOT / "scripts" / "vllm" / "install_cpu.sh", *words, venv])
    return venv


def vllm(run):
    release(run)
    if interpreters.newest(at_least=(3, 11)) is None:
        return counting.skipped("vllm", "vLLM needs Python 3.11 or later")
    venv = install_vllm(run.must)
    env = {**checkout_environment(), "HEADRACE_VLLM_VENV": str(venv)}
    program = venv / "bin" / "python"
    outcome = run_pytest(run, program, "tests/vllm", env)
    # Its judges, tokenizers and transformers, come with vLLM.
    return outcome.add(run_pytest(run, program, "tests/text", env, "text"))


def bench_smoke(run):
    """Every name appears with sound fields; on shared cores the figures mean nothing."""
    release(run)
    suites = ["engine", "index", "sim"]
    bench.install_dynamo(run.must)
    command = [sys.executable, ROOT / "scripts" / "lib" / "bench.py", "--no-build", "--quick"]
    code, text = run.output([*command, *suites], environment())
    if code != 0:
        return counting.failure("bench", f"{counting.how_ended(code)}\n{text[-2000:]}")
    return counting.Outcome(passed=sum(len(tables.bench_names(x)) for x in suites))
