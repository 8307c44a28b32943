"""Starts, asks, breaks and ends the processes of the system tests. Everything has a deadline."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import Self  # of Python 3.11

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 400  # of a vLLM on a busy machine; a quiet one takes 30
ANSWER_SECONDS = 120
POOL = "256mb"
PATIENT = {"headrace.query_timeout_ms": 100}
"""On a machine whose cores are shared by many, 5 ms pass by chance, and a hit becomes a miss."""


@dataclass(frozen=True)
class Place:
    venv: Path
    build: Path
    library: Path

    @staticmethod
    def find(environ: Mapping[str, str]) -> Place:
        venv = Path(environ.get("HEADRACE_VLLM_VENV", "/opt/headrace-vllm"))
        build = Path(environ.get("HEADRACE_BUILD", ROOT / "build"))
        named = environ.get("HEADRACE_CLIENT_LIBRARY")
        libraries = [Path(named)] if named else sorted(build.rglob("libheadrace_client.so"))
        for needed, how in (
            (venv / "bin" / "vllm", f"scripts/vllm/install_cpu.sh {venv}"),
            (build / "bin" / "headrace-server", "scripts/build"),
        ):
            if not needed.exists():
                raise FileNotFoundError(f"{needed} is missing: {how}")
        if not libraries:
            raise FileNotFoundError(f"libheadrace_client.so is missing in {build}: scripts/build")
        return Place(venv, build, libraries[0])


class Models:
    def __init__(self, place: Place, directory: Path) -> None:
        self._place, self._directory = place, directory

    def make(self, kind: str, seed: int = 0) -> Path:
        target = self._directory / f"{kind}-{seed}"
        script = ROOT / "scripts" / "vllm" / "make_model.py"
        python = self._place.venv / "bin" / "python"
        command = [python, script, kind, target, "--seed", str(seed)]
        subprocess.run([str(x) for x in command], check=True, timeout=180, cwd="/")
        return target


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def fetch(url: str, body: Any = None, timeout: float = ANSWER_SECONDS) -> bytes:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=timeout) as reply:
        return reply.read()


def wait_until(what: Callable[[], Any], seconds: float, text: str) -> Any:
    until = time.monotonic() + seconds
    while True:
        result = what()
        if result:
            return result
        assert time.monotonic() < until, f"not within {seconds} s: {text}"
        time.sleep(0.1)


class Program:
    """A process in a group of its own; its end is waited for."""

    def __init__(self, command: Sequence[Any], env: Mapping[str, str], log: Path) -> None:
        self.log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [str(part) for part in command],
                env={**os.environ, **env},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd="/",
            )

    def tail(self, lines: int = 40) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def wait_for(self, url: str, seconds: float) -> None:
        def answers() -> bool:
            assert self.process.poll() is None, f"ended by itself:\n{self.tail()}"
            with contextlib.suppress(urllib.error.URLError, OSError):
                return bool(fetch(url, timeout=5)) or True
            return False

        wait_until(answers, seconds, f"{url} answers; its log ends\n{self.tail()}")

    def send(self, number: int) -> None:
        os.killpg(self.process.pid, number)

    def end(self, number: int = signal.SIGTERM) -> None:
        for sign, seconds in ((number, 20), (signal.SIGKILL, 20)):
            with contextlib.suppress(ProcessLookupError):
                self.send(signal.SIGCONT)
                self.send(sign)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(seconds)
                return


class HeadraceServer:
    """One headrace-server with a socket of its own; can be killed, frozen and started again."""

    started = "/ready"
    """What answers when it has started."""

    def __init__(self, place: Place, logs: Path, name: str, pool: str = POOL) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="headrace-"))  # socket paths must be short
        self.endpoint = f"ipc://{self.directory}/h.sock"
        addr, http = free_port(), free_port()
        self.url = f"http://127.0.0.1:{http}"
        self.command = [
            place.build / "bin" / "headrace-server",
            *("--device", "cpu", "--pool-size", pool),
            *("--addr", f"127.0.0.1:{addr}", "--http-addr", f"127.0.0.1:{http}"),
            *("--socket", self.endpoint),
        ]
        self._log = logs / f"server-{name}.log"
        self.program: Program | None = None

    def start(self) -> None:
        self.program = Program(self.command, {}, self._log)
        self.program.wait_for(f"{self.url}{self.started}", 30)

    @property
    def pid(self) -> int:
        assert self.program is not None
        return self.program.process.pid

    def kill(self) -> None:
        assert self.program is not None
        self.program.end(signal.SIGKILL)

    def freeze(self) -> None:
        assert self.program is not None
        self.program.send(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self.program is not None
        self.program.send(signal.SIGCONT)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.program is not None:
            self.program.end()
        shutil.rmtree(self.directory, ignore_errors=True)


@dataclass
class Answer:
    ids: list[int]
    seconds: float


@dataclass
class Ask:
    """One completion request."""

    prompt: list[int]
    max_tokens: int = 8
    extra: dict[str, Any] = field(default_factory=dict)


class Vllm:
    """One vLLM of scripts/vllm/serve. Starting returns at once; ready() waits."""

    def __init__(
        self,
        place: Place,
        model: Path,
        log: Path,
        server: HeadraceServer | None,
        *,
        settings: Mapping[str, Any] | None = None,
        arguments: Sequence[str] = (),
        transfer_config: Mapping[str, Any] | None = None,
    ) -> None:
        self._port = free_port()
        env = {
            "VENV": str(place.venv),
            "HEADRACE_CLIENT_LIBRARY": str(place.library),
            "MAX_MODEL_LEN": "2048",
            "HEADRACE_EXTRA": json.dumps({**PATIENT, **(settings or {})}),
        }
        if server is not None:
            env["HEADRACE_ENGINE_ENDPOINT"] = server.endpoint
        mode = ["--headrace"] if server is not None and transfer_config is None else []
        if transfer_config is not None:
            arguments = [*arguments, "--kv-transfer-config", json.dumps(transfer_config)]
        command = [ROOT / "scripts" / "vllm" / "serve", *mode, model, self._port, *arguments]
        self.program = Program(command, env, log)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def ready(self) -> Vllm:
        self.program.wait_for(f"{self.url}/health", START_SECONDS)
        self.complete(Ask([5] * 20))  # warms up
        return self

    def complete(self, ask: Ask) -> Answer:
        body = {
            "model": "m",
            "prompt": ask.prompt,
            "max_tokens": ask.max_tokens,
            "temperature": 0,
            "ignore_eos": True,
            "return_token_ids": True,
            **ask.extra,
        }
        begin = time.perf_counter()
        reply = json.loads(fetch(f"{self.url}/v1/completions", body))
        return Answer(reply["choices"][0]["token_ids"], time.perf_counter() - begin)

    def complete_all(self, asks: Sequence[Ask], at_once: int) -> list[list[int]]:
        with ThreadPoolExecutor(at_once) as pool:
            return [answer.ids for answer in pool.map(self.complete, asks)]

    def abort(self, ask: Ask, after: float) -> None:
        """Asks, and hangs up before the answer."""
        with contextlib.suppress(TimeoutError, OSError):
            body = {"model": "m", "prompt": ask.prompt, "max_tokens": 64, "ignore_eos": True}
            fetch(f"{self.url}/v1/completions", body, timeout=after)

    def reset(self, external: bool = False) -> None:
        query = "?reset_external=true" if external else ""
        fetch(f"{self.url}/reset_prefix_cache{query}", body={}, timeout=30)

    def metrics(self) -> dict[str, float]:
        values: dict[str, float] = {}
        for line in fetch(f"{self.url}/metrics", timeout=30).decode().splitlines():
            name, _, value = line.rpartition(" ")
            if not line.startswith("#") and name:
                values[name.split("{")[0]] = values.get(name.split("{")[0], 0.0) + float(value)
        return values

    def count(self, name: str) -> float:
        return self.metrics().get(f"vllm:headrace_{name}_total", 0.0)

    def external_hits(self) -> float:
        return self.metrics().get("vllm:external_prefix_cache_hits_total", 0.0)

    def hits_of(self, ask: Ask) -> float:
        """External hits that one request makes, in tokens. What it counts may arrive with the step
        after its last one, so others are asked before and after."""
        step = Ask([7, 8, 9], max_tokens=2)
        self.complete(step)
        before = self.external_hits()
        self.complete(ask)
        self.complete(step)
        return self.external_hits() - before

    def settle(self, name: str, at_least: float, seconds: float = 20) -> None:
        """Counts arrive with a later step: give it steps until they are there."""

        def seen() -> bool:
            self.complete(Ask([7, 8, 9], max_tokens=4))
            return self.count(name) >= at_least

        wait_until(seen, seconds, f"headrace_{name} is {self.count(name)}, not {at_least}")

    def __enter__(self) -> Vllm:
        return self

    def __exit__(self, *_: object) -> None:
        self.program.end()


@dataclass(frozen=True)
class Site:
    """Where a test's processes come from and leave their logs."""

    place: Place
    models: Models
    logs: Path

    def vllm(
        self, name: str, server: HeadraceServer | None, kind: str = "tiny", **how: Any
    ) -> Vllm:
        """Of the model of that kind, its log called `name`."""
        return Vllm(self.place, self.models.make(kind), self.logs / f"{name}.log", server, **how)

    def server(self, name: str, pool: str = POOL) -> HeadraceServer:
        return HeadraceServer(self.place, self.logs, name, pool)


@contextlib.contextmanager
def both(*vllms: Vllm) -> Iterator[None]:
    """Several that start side by side, all ended."""
    with contextlib.ExitStack() as stack:
        for one in vllms:
            stack.enter_context(one)
        for one in vllms:
            one.ready()
        yield
