"""Processes that a demo starts, and stops however it ends: by itself, Ctrl-C, SIGTERM, kill -9."""

import contextlib
import ctypes
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import build

END_SECONDS = 10
GROW_SECONDS = 120
PR_SET_PDEATHSIG = 1


class StartFailed(Exception):
    """A program ended, or did not answer in time; the text holds the end of its log."""


def die_with_parent():
    """In the child: the kernel sends it SIGTERM when the demo dies, however that happens."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def exit_on_sigterm():
    """So that `with` blocks are left, and stop what they started."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers(url):
    try:
        with urllib.request.urlopen(url, timeout=2) as reply:
            return reply.status == 200
    except (urllib.error.URLError, OSError):
        return False


def end_of(log, lines=15):
    return "\n".join(pathlib.Path(log).read_text(errors="replace").splitlines()[-lines:])


@contextlib.contextmanager
def started(command, log, env=None):
    """A program with its output in `log`; stopped by SIGTERM, then by SIGKILL, with its group."""
    with open(log, "ab") as output:
        process = subprocess.Popen(
            [str(x) for x in command], stdout=output, stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL, env={**os.environ, **(env or {})}, cwd=build.ROOT,
            start_new_session=True, preexec_fn=die_with_parent)
    try:
        yield process
    finally:
        stop(process)


def stop(process):
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(END_SECONDS)
            return


def wait_for(url, process, log, seconds, tell=None):
    """Until `url` answers 200. `tell(elapsed)` is called about once a second."""
    begun = time.monotonic()
    while not answers(url):
        elapsed = time.monotonic() - begun
        if process.poll() is not None:
            raise StartFailed(f"ended with {process.returncode}:\n{end_of(log)}")
        if elapsed > seconds:
            raise StartFailed(f"{url} did not answer in {seconds} s:\n{end_of(log)}")
        if tell:
            tell(elapsed)
        time.sleep(0.05 if elapsed < 2 else 0.5)


class Server:
    """A headrace-server for one demo: own socket, free ports. Made by `server`."""

    def __init__(self, directory, process, http):
        self.directory, self.process, self.http = directory, process, http
        self.endpoint = f"ipc://{directory}/headrace.sock"

    def env(self):
        """For clients: where the server is, and the Python package of this checkout."""
        return {"HEADRACE_ENGINE_ENDPOINT": self.endpoint,
                "HEADRACE_CLIENT_LIBRARY": str(build.client_library()),
                "PYTHONPATH": str(build.ROOT / "python")}

    def wait_until_grown(self, tell):
        """The server serves at once and backs its pool in the background; a measurement waits."""
        until = time.monotonic() + GROW_SECONDS
        while time.monotonic() < until:
            with urllib.request.urlopen(f"{self.http}/ready", timeout=5) as reply:
                pool = json.load(reply)["pool"]
            if pool["failed"]:
                raise StartFailed("the machine ran out of memory for the pool")
            if pool["done"]:
                tell(f"pool: {pool['total_bytes'] >> 20} MiB of {pool['pages']} pages, "
                     f"backed in {pool['seconds']:.1f} s")
                return
            time.sleep(0.1)
        raise StartFailed(f"the pool was not backed in {GROW_SECONDS} s")


@contextlib.contextmanager
def server(directory, pool_size, tell):
    http = free_port()
    log = pathlib.Path(directory) / "server.log"
    command = [build.BUILD / "bin" / "headrace-server", "--device", "cpu", "--pool-size", pool_size,
               "--addr", f"127.0.0.1:{free_port()}", "--http-addr", f"127.0.0.1:{http}",
               "--socket", f"ipc://{directory}/headrace.sock"]
    tell("$ " + " ".join(os.path.relpath(x, build.ROOT) if x is command[0] else str(x)
                         for x in command))
    with started(command, log) as process:
        wait_for(f"http://127.0.0.1:{http}/ready", process, log, 60)
        found = Server(directory, process, f"http://127.0.0.1:{http}")
        found.wait_until_grown(tell)
        yield found
