"""A simulator with the flags of llm-d-inference-sim, as a process that is measured from outside."""

import json
import os
import pathlib
import resource
import shlex
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request

MODEL = "sim-model"
START_SECONDS = 30
STOP_SECONDS = 15
TICKS = os.sysconf("SC_CLK_TCK")


class Failed(Exception):
    """What was measured did not do what it must; there is no figure."""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def raise_file_limit():
    """Streams are descriptors here, and in the processes started from here."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


class Simulator:
    """`command` (words of a shell) with `flags`, on a free port; stopped at the end of `with`."""

    def __init__(self, command, *flags):
        self.port = free_port()
        self.log = tempfile.TemporaryFile("w+")
        words = [*shlex.split(command), "--force-dummy-tokenizer", "--port", str(self.port),
                 "--model", MODEL, "--mode", "echo", "--v", "1", *flags]
        begun = time.monotonic()
        self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=self.log,
                                        stderr=subprocess.STDOUT)
        try:
            self.wait_until_healthy()
        except Failed:
            self.stop()
            raise
        self.start_seconds = time.monotonic() - begun

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def wait_until_healthy(self):
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and self.process.poll() is None:
            try:
                if self.get("/health")[0] == 200:
                    return
            except OSError:
                time.sleep(0.001)
        self.log.seek(0)
        raise Failed(f"the simulator does not start: {self.log.read()[-1000:]}")

    def get(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as reply:
            return reply.status, reply.read().decode()

    def post(self, path, body):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}",
                                         json.dumps(body).encode(),
                                         {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as reply:
            return reply.read().decode()

    def running(self):
        """What vllm:num_requests_running says."""
        for line in self.get("/metrics")[1].splitlines():
            if line.startswith("vllm:num_requests_running"):
                return int(float(line.rsplit(" ", 1)[1]))
        raise Failed("there is no vllm:num_requests_running")

    def cpu_seconds(self):
        """Of all its threads, user's and the kernel's."""
        stat = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text()
        fields = stat.rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def rss_mb(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(x for x in status.splitlines() if x.startswith("VmRSS:"))
        return int(line.split()[1]) * 1024 / 1e6

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()
