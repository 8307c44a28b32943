"""Runs the commands of one suite: output to its log, a deadline, progress now and then."""

import contextlib
import os
import pathlib
import signal
import subprocess
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
LOGS = ROOT / "build" / "test-logs"
PROGRESS_SECONDS = 30
KILL_FACTOR = 2  # a suite that takes this many times its minutes, and has none spare, hangs
END_SECONDS = 10  # between SIGTERM and SIGKILL


class CommandFailed(Exception):
    """A step that the rest of its suite stands on did not end with 0."""


class OutOfTime(Exception):
    """The suite was killed."""


class SuiteRun:
    """One run of one suite. Owns its log file and every process that it started.

    It may take the minutes of its line and the `spare` seconds that the suites before it left.
    `log` and `start` may be used by several threads; the rest by one.
    """

    def __init__(self, suite, say, nightly=False, spare=0):
        self.suite = suite
        self.nightly = nightly
        self.started = time.monotonic()
        factor = 20 if nightly else 1
        line = suite.minutes * 60 * factor
        self.budget = line + spare
        self.killed_at = max(self.budget, line * KILL_FACTOR)
        self.directory = LOGS / suite.name
        self.directory.mkdir(parents=True, exist_ok=True)
        self.log_path = LOGS / f"{suite.name}.log"
        self._log = open(self.log_path, "wb", buffering=0)
        self._say = say
        self._processes = set()
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._out_of_time = False
        self._watch = threading.Thread(target=self._watching, daemon=True)
        self._watch.start()

    def seconds(self):
        return time.monotonic() - self.started

    def outgrew(self):
        return self.seconds() > self.budget

    def spare(self):
        """Seconds that the suites after this one may take beyond their own minutes."""
        return max(0, self.budget - self.seconds())

    def log(self, text):
        self._log.write(text.encode() + b"\n")

    def report(self, text):
        """For people, beside the log."""
        self._say(text)

    def run(self, command, env=None, cwd=ROOT):
        """Runs to its end; output goes to the log. Returns the exit status."""
        return self._finish(self._start(command, env, cwd, self._log))

    def must(self, command, env=None):
        """As run, for a step without which the suite cannot go on."""
        code = self.run(command, env)
        if code != 0:
            raise CommandFailed(f"{pathlib.Path(str(command[0])).name}: exit {code}")

    def output(self, command, env=None, cwd=ROOT):
        """For commands that run side by side: returns (status, output), which is logged whole."""
        process = self._start(command, env, cwd, subprocess.PIPE)
        text = process.stdout.read()
        code = self._finish(process)
        with self._lock:
            self._log.write(text)
        return code, text.decode(errors="replace")

    def _start(self, command, env, cwd, stdout):
        if self._out_of_time:
            raise OutOfTime()
        words = [str(x) for x in command]
        with self._lock:
            self._log.write(f"+ {' '.join(words)}\n".encode())
            process = subprocess.Popen(
                words, cwd=cwd, env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL,
                stdout=stdout, stderr=subprocess.STDOUT, start_new_session=True)
            self._processes.add(process)
        return process

    def _finish(self, process):
        code = process.wait()
        with self._lock:
            self._processes.discard(process)
        if self._out_of_time:
            raise OutOfTime()
        return code

    def _watching(self):
        told = time.monotonic()
        while not self._done.wait(0.5):
            if self.seconds() > self.killed_at:
                self._out_of_time = True
                self.stop_all()
                return
            if time.monotonic() - told > PROGRESS_SECONDS:
                told = time.monotonic()
                self._say(f"   {self.suite.name}, {self.seconds():.0f} s: {self.last_line()}")

    def last_line(self):
        with open(self.log_path, "rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 4096))
            lines = file.read().decode(errors="replace").replace("\r", "\n").strip().splitlines()
        return lines[-1][:120] if lines else ""

    def stop_all(self):
        """Ends what this run started, by its process groups."""
        with self._lock:
            mine = list(self._processes)
        for sign, wait in ((signal.SIGTERM, END_SECONDS), (signal.SIGKILL, 1)):
            for process in mine:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, sign)
            until = time.monotonic() + wait
            while time.monotonic() < until and any(x.poll() is None for x in mine):
                time.sleep(0.1)

    def close(self):
        self._done.set()
        self._watch.join()
        self.stop_all()
        self._log.close()
