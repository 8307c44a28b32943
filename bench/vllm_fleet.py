"""Real vLLM servers for the CPU, a headrace-server and LMCache's server, started for a bench and
ended by pid. Everything is on 127.0.0.1 and bounded in time."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[1]
BUILD = pathlib.Path(os.environ.get("HEADRACE_BUILD", ROOT / "build"))


# A vLLM worker goes on to spin for about a second after its last step, and would take a core from
# the server that is measured next.
SETTLE = 1.5


def progress(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


def venv() -> pathlib.Path:
    named = os.environ.get("HEADRACE_VLLM_VENV")
    for path in [named, ROOT / ".cache" / "vllm-venv", "/opt/headrace-vllm"]:
        if path and (pathlib.Path(path) / "bin" / "vllm").exists():
            return pathlib.Path(path)
    raise SystemExit("no vLLM: run scripts/vllm/install_cpu.sh, or set HEADRACE_VLLM_VENV")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Process:
    """A child with its output in a file; ended as a whole group."""

    def __init__(self, name: str, words: list[str], env: dict[str, str] | None = None) -> None:
        self.name = name
        self.log = tempfile.NamedTemporaryFile(
            "w+", prefix=f"headrace-bench-{name}-", suffix=".log"
        )
        self.child = subprocess.Popen(
            [str(word) for word in words],
            stdout=self.log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **(env or {})},
            start_new_session=True,
        )

    def tail(self) -> str:
        with open(self.log.name, errors="replace") as file:
            return "".join(file.readlines()[-30:])

    def wait_http(self, port: int, path: str, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.child.poll() is not None:
                raise SystemExit(f"{self.name} ended: {self.tail()}")
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=2).read()
                return
            except OSError:
                time.sleep(0.2)
        raise SystemExit(f"{self.name} does not answer after {seconds} s: {self.tail()}")

    def signal(self, number: int) -> None:
        os.killpg(self.child.pid, number)

    def stop(self) -> None:
        if self.child.poll() is None:
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGTERM)
            try:
                self.child.wait(20)
            except subprocess.TimeoutExpired:
                self.signal(signal.SIGKILL)
                self.child.wait(20)
        try:
            self.signal(signal.SIGKILL)  # workers that outlived their leader
        except ProcessLookupError:
            pass


class Headrace(Process):
    def __init__(self, pool: str = "4gb") -> None:
        self.directory = tempfile.mkdtemp(prefix="headrace-bench-")
        self.endpoint = f"ipc://{self.directory}/socket"
        self.http = free_port()
        super().__init__(
            "headrace",
            [
                BUILD / "bin" / "headrace-server",
                "--device",
                "cpu",
                "--pool-size",
                pool,
                "--socket",
                f"{self.directory}/socket",
                "--addr",
                f"127.0.0.1:{free_port()}",
                "--http-addr",
                f"127.0.0.1:{self.http}",
            ],
        )
        self.wait_http(self.http, "/health", 10)

    def metric(self, name: str) -> float:
        return metric_of(self.http, name)


class LMCache(Process):
    def __init__(self, gigabytes: int = 4) -> None:
        self.port, self.http = free_port(), free_port()
        super().__init__(
            "lmcache",
            [
                venv() / "bin" / "lmcache",
                "server",
                "--host",
                "127.0.0.1",
                "--port",
                self.port,
                "--l1-size-gb",
                gigabytes,
                "--no-l1-use-lazy",
                "--eviction-policy",
                "LRU",
                "--supported-transfer-mode",
                "auto",
                "--shm-name",
                f"lmc{os.getpid()}",
                "--http-port",
                self.http,
            ],
            {"OMP_NUM_THREADS": "1", "LMCACHE_TRACK_USAGE": "false"},
        )
        self.wait_http(self.http, "/healthcheck", 120)


class VLLM(Process):
    """One vLLM for the CPU. `connector` is the JSON of --kv-transfer-config, or None."""

    def __init__(self, name: str, model: pathlib.Path, connector: dict | None, **env: str) -> None:
        self.port = free_port()
        words = [
            venv() / "bin" / "vllm",
            "serve",
            model,
            "--host",
            "127.0.0.1",
            "--port",
            self.port,
            "--served-model-name",
            "m",
            "--enforce-eager",
            "--dtype",
            "bfloat16",
            "--max-model-len",
            "8192",
            "--max-num-seqs",
            "8",
        ]
        if connector:
            words += ["--kv-transfer-config", json.dumps(connector)]
        library = BUILD / "client" / "libheadrace_client.so"
        settings = {
            "HF_HUB_OFFLINE": "1",
            "VLLM_NO_USAGE_STATS": "1",
            "DO_NOT_TRACK": "1",
            "VLLM_CPU_KVCACHE_SPACE": "1",
            "VLLM_TARGET_DEVICE": "cpu",
            "VLLM_SERVER_DEV_MODE": "1",
            "VLLM_CPU_OMP_THREADS_BIND": "0-1",
            # The heap's top is given back and touched anew in some processes and not in others, by
            # the chance of what lies there: up to 5 % of a prefill. None gives it back here.
            "GLIBC_TUNABLES": "glibc.malloc.trim_threshold=4294967296"
            ":glibc.malloc.mmap_threshold=33554432",
            "PYTHONPATH": str(ROOT / "python"),
            "HEADRACE_CLIENT_LIBRARY": str(library),
            **env,
        }
        super().__init__(name, words, settings)

    def wait(self) -> VLLM:
        self.wait_http(self.port, "/health", 400)
        progress(f"{self.name} is up")
        return self

    def post(self, path: str, body: dict | None = None, timeout: float = 300) -> bytes:
        data = b"" if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            data=data,
            method="POST",
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=timeout) as reply:
            return reply.read()

    def complete(self, tokens: list[int], count: int = 16) -> dict:
        """One streamed greedy completion: ttft and total in seconds, the token ids."""
        time.sleep(SETTLE)
        body = {
            "model": "m",
            "prompt": tokens,
            "max_tokens": count,
            "temperature": 0,
            "stream": True,
            "ignore_eos": True,
            "return_token_ids": True,
        }
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/v1/completions",
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        start, first, ids = time.perf_counter(), None, []
        with urllib.request.urlopen(request, timeout=300) as reply:
            for line in reply:
                if not line.startswith(b"data: ") or b"[DONE]" in line:
                    continue
                first = first or time.perf_counter() - start
                for choice in json.loads(line[6:]).get("choices", []):
                    ids += choice.get("token_ids") or []
        return {"ttft": first, "total": time.perf_counter() - start, "ids": ids}

    def reset_prefix_cache(self) -> None:
        self.post("/reset_prefix_cache")

    def metric(self, name: str) -> float:
        return metric_of(self.port, name)


def metric_of(port: int, name: str) -> float:
    """Sum of the samples of one metric; 0 when there is none."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as reply:
        lines = reply.read().decode().splitlines()
    return sum(
        float(line.rsplit(" ", 1)[1]) for line in lines if line.split("{")[0].split(" ")[0] == name
    )


def headrace_connector(server: Headrace) -> dict:
    return {
        "kv_connector": "HeadraceConnector",
        "kv_connector_module_path": "headrace.vllm",
        "kv_role": "kv_both",
        "kv_load_failure_policy": "recompute",
        "kv_connector_extra_config": {"headrace.endpoint": server.endpoint},
    }


def lmcache_connector(server: LMCache) -> dict:
    return {
        "kv_connector": "LMCacheMPConnector",
        "kv_role": "kv_both",
        "kv_load_failure_policy": "recompute",
        "kv_connector_extra_config": {
            "lmcache.mp.host": "tcp://127.0.0.1",
            "lmcache.mp.port": server.port,
        },
    }
