"""For tests of headrace-sim: a real process, asked by plain HTTP or by the clients of the field."""

import http.client
import json
import os
import re
import subprocess
import tempfile
from dataclasses import dataclass

import anthropic
import openai
from harness import BUILD, free_port, wait_for

SIM = BUILD / "sim" / "headrace-sim"
MODEL = "m"


@dataclass
class Reply:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def json(self):
        return json.loads(self.body)

    def error(self) -> dict:
        return self.json()["error"]


@dataclass
class Frame:
    event: str  # "": not named
    text: str

    def json(self):
        return json.loads(self.text)


def frames_of(body: bytes) -> list[Frame]:
    """Of a stream of server-sent events, which must be whole: "data: ..." and an empty line."""
    assert body.endswith(b"\n\n"), body[-80:]
    frames = []
    for block in body.decode().removesuffix("\n\n").split("\n\n"):
        match = re.fullmatch(r"(?:event: (\S+)\n)?data: ([^\n]*)", block)
        assert match, block
        frames.append(Frame(match[1] or "", match[2]))
    return frames


class Connection:
    """A request under way."""

    def __init__(self, sim, path: str, body, method: str = "POST", headers=None) -> None:
        self.http = http.client.HTTPConnection("127.0.0.1", sim.port, timeout=20)
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        self.http.request(method, path, data, headers or {})
        self.reply = None

    def begin(self):
        """The head of the answer is there."""
        self.reply = self.http.getresponse()
        return self.reply

    def line(self) -> bytes:
        """The next line of a stream that is not empty."""
        while not (line := self.reply.readline().strip()):
            pass
        return line

    def rest(self) -> bytes:
        if self.reply is None:
            self.begin()
        return self.reply.read()

    def close(self) -> None:
        self.http.close()
        if self.reply is not None:
            self.reply.close()  # else it keeps the socket open


class Sim:
    """headrace-sim on a port of its own; `with Sim(...) as sim` ends it."""

    def __init__(self, *flags: str, env=None, port: int = 0, rank: int = 0) -> None:
        flag = port or free_port()
        self.port = flag + rank  # of the first rank
        self.log = tempfile.TemporaryFile()
        host = () if "--host" in flags else ("--host", "127.0.0.1")
        self.process = subprocess.Popen(
            [str(SIM), "--model", MODEL, "--port", str(flag), "--zmq-endpoint", "", *host, *flags],
            stdout=self.log, stderr=self.log, env=clean_environment(env))

    def __enter__(self) -> "Sim":
        wait_for(self.is_serving, 20, "the simulator serves")
        return self

    def __exit__(self, *_) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        self.log.close()

    def is_serving(self) -> bool:
        try:
            return self.get("/health").status == 200
        except OSError:
            assert self.process.poll() is None, self.logged()
            return False

    def logged(self) -> str:
        self.log.seek(0)
        return self.log.read().decode(errors="replace")

    def ask(self, path: str, body=None, method: str = "POST", headers=None) -> Reply:
        connection = Connection(self, path, body, method, headers)
        reply = connection.begin()
        answer = Reply(reply.status, reply.headers, reply.read())
        connection.close()
        return answer

    def get(self, path: str) -> Reply:
        return self.ask(path, method="GET")

    def begin(self, path: str, body, headers=None) -> Connection:
        return Connection(self, path, body, headers=headers)

    def chat(self, text: str = "hello", headers=None, **more) -> Reply:
        return self.ask("/v1/chat/completions", chat_body(text, **more), headers=headers)

    def complete(self, prompt="hello", headers=None, **more) -> Reply:
        body = {"model": MODEL, "prompt": prompt, **more}
        return self.ask("/v1/completions", body, headers=headers)

    def stream(self, path: str, body) -> list[Frame]:
        reply = self.ask(path, {"model": MODEL, "stream": True, **body})
        assert reply.status == 200, reply.body
        assert reply.headers["Content-Type"].startswith("text/event-stream")
        return frames_of(reply.body)

    def metrics(self) -> dict[str, float]:
        """'name{labels}' -> value; the labels in the order of their names, le last."""
        samples = {}
        for line in self.get("/metrics").body.decode().splitlines():
            if line and not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                samples[name] = float(value)
        return samples

    def metric(self, name: str) -> float:
        """One of vLLM's that has no label but the model's; or one of ours."""
        of_model = f'{name}{{model_name="{MODEL}"}}'
        metrics = self.metrics()
        return metrics[of_model] if of_model in metrics else metrics[name]

    def wait_metric(self, name: str, value: float) -> None:
        wait_for(lambda: self.metric(name) == value, 10, f"{name} is {value}")

    def openai(self) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"http://127.0.0.1:{self.port}/v1", api_key="none",
                             max_retries=0, timeout=20)

    def anthropic(self) -> anthropic.Anthropic:
        return anthropic.Anthropic(base_url=f"http://127.0.0.1:{self.port}", api_key="none",
                                   max_retries=0, timeout=20)


def clean_environment(more=None) -> dict:
    """Without what the simulator reads of it, and without proxies of the machine."""
    named = r"(SIM_MODEL|PYTHONHASHSEED|POD_\w+|VLLM_\w+|\w+_proxy)"
    kept = {k: v for k, v in os.environ.items() if not re.fullmatch(named, k, re.IGNORECASE)}
    return {**kept, **(more or {})}


def refused_start(*flags: str, env=None) -> subprocess.CompletedProcess:
    """A start that must not come to serving."""
    return subprocess.run([str(SIM), *flags], env=clean_environment(env), timeout=20,
                          capture_output=True, text=True, check=False)


def chat_body(text="hello", **more) -> dict:
    return {"model": MODEL, "messages": [{"role": "user", "content": text}], **more}


def function_tool(name: str = "weather", **properties) -> dict:
    """A tool of OpenAI's chats; all its parameters are needed."""
    properties = properties or {"city": {"type": "string"}, "days": {"type": "integer"}}
    return {"type": "function", "function": {
        "name": name, "description": "what it does",
        "parameters": {"type": "object", "properties": properties,
                       "required": sorted(properties)}}}
