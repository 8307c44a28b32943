"""Configures and compiles with meson and ninja; links programs; packs the wheel.

Run as a program it is scripts/build. The test runner uses the same functions, so that a build
of the tests and a build of a user differ only in their options.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
BYTES_PER_JOB = 1 << 30  # what the largest translation unit takes, with some room


class BuildError(Exception):
    """A command failed; its output is where the caller sent it."""


def system_tool(name):
    """Debian's own meson and ninja, whatever else stands first on PATH."""
    path = f"/usr/bin/{name}"
    found = path if os.access(path, os.X_OK) else shutil.which(name)
    if not found:
        raise BuildError(f"{name} is missing: run scripts/install_deps.sh")
    return found


def jobs():
    """One compiler a core, fewer where memory is short."""
    with open("/proc/meminfo", encoding="ascii") as lines:
        available = next(int(x.split()[1]) * 1024 for x in lines if x.startswith("MemAvailable"))
    return max(1, min(len(os.sched_getaffinity(0)), available // BYTES_PER_JOB))


def run(command, env=None):
    """Runs with output on standard error: standard output belongs to results."""
    environment = {**os.environ, **(env or {})}
    result = subprocess.run([str(x) for x in command], env=environment, cwd=ROOT, check=False,
                            stdin=subprocess.DEVNULL, stdout=sys.stderr)
    if result.returncode != 0:
        raise BuildError(f"{' '.join(str(x) for x in command)}: exit {result.returncode}")


def configure(directory, options, env=None, runner=run):
    """Sets up `directory` with `options`, or again when they are not those of the last time."""
    wanted = json.dumps([sorted(options.items()), sorted((env or {}).items())])
    stamp = directory / "headrace-options.json"
    ready = (directory / "build.ninja").exists()
    if ready and stamp.exists() and stamp.read_text() == wanted:
        return
    if ready and env:
        shutil.rmtree(directory)  # a compiler cannot be changed in place
        ready = False
    defines = [f"-D{name}={value}" for name, value in options.items()]
    again = ["--reconfigure"] if ready else []
    runner([system_tool("meson"), "setup", *again, *defines, directory, ROOT], env)
    stamp.write_text(wanted)


def compile_targets(directory, targets=(), runner=run):
    runner([system_tool("ninja"), "-C", directory, "-j", str(jobs()), *targets])


def introspect(directory, what):
    output = subprocess.run([system_tool("meson"), "introspect", f"--{what}", directory],
                            check=True, stdout=subprocess.PIPE, cwd=ROOT).stdout
    return json.loads(output)


def executables(directory):
    """Name -> path of every executable of the build."""
    return {x["name"]: pathlib.Path(x["filename"][0]) for x in introspect(directory, "targets")
            if x["type"] == "executable"}


def programs_and_libraries(directory):
    """What a user gets. Meson's own default builds test programs as well."""
    return [os.path.relpath(y, directory) for x in introspect(directory, "targets")
            if x["build_by_default"] for y in x["filename"]]


def made_headers(directory):
    """Headers that the build itself makes."""
    return [os.path.relpath(y, directory) for x in introspect(directory, "targets")
            for y in x["filename"] if y.endswith(".h")]


def link_programs(directory):
    """Every program (headrace, and names that begin with headrace-) gets a link in bin/."""
    links = directory / "bin"
    links.mkdir(exist_ok=True)
    for old in links.iterdir():
        old.unlink()
    names = []
    for name, path in sorted(executables(directory).items()):
        if (name == "headrace" or name.startswith("headrace-")) and path.exists():
            (links / name).symlink_to(os.path.relpath(path, links))
            names.append(name)
    return names


def release_options():
    return {"buildtype": "release", "auto_features": os.environ.get("HEADRACE_FEATURES", "auto")}


def client_library():
    return BUILD / "client" / "libheadrace_client.so"


def build_wheel(runner=run):
    shutil.rmtree(BUILD / "wheel", ignore_errors=True)
    runner([sys.executable, ROOT / "python" / "build_wheel.py", "--library", client_library(),
            "--out", BUILD / "wheel"])
    wheels = list((BUILD / "wheel").glob("*.whl"))
    if len(wheels) != 1:
        raise BuildError(f"build_wheel.py left {len(wheels)} wheels in build/wheel, not one")
    return wheels[0]


def build_release(runner=run):
    """Everything that a user gets. Returns the names of the programs."""
    configure(BUILD, release_options(), runner=runner)
    compile_targets(BUILD, ["build.ninja"], runner=runner)  # new programs are in the list then
    compile_targets(BUILD, programs_and_libraries(BUILD), runner=runner)
    return link_programs(BUILD)


def main():
    started = time.monotonic()
    try:
        names = build_release()
        wheel = build_wheel()
    except BuildError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    seconds = time.monotonic() - started
    print(f"built in {seconds:.0f} s: build/bin/{{{','.join(names)}}}, {wheel.relative_to(ROOT)}",
          file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
