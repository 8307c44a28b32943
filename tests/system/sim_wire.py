"""For tests that break a simulator's connections: the process, its descriptors and memory, and
requests as bytes on a socket."""

import json
import os
import pathlib
import socket
import subprocess
import tempfile
import urllib.request

from harness import BUILD, free_port, wait_for

SIM = BUILD / "bin" / "headrace-sim"
MODEL = "sim-model"
CHAT = "/v1/chat/completions"
END = b"data: [DONE]\n\n\r\n0\r\n\r\n"  # of a whole stream; its last chunk, and the one after
OUTCOMES = ("success", "failure", "aborted")


def chat(text="hello", **more):
    return {"model": MODEL, "messages": [{"role": "user", "content": text}], **more}


def http(path, body=b"", method="POST", length=None, more=""):
    """One request; `length` where it shall not be the body's."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    length = len(data) if length is None else length
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n{more}\r\n"
    return head.encode() + data


class Sim:
    """headrace-sim on a free port; `with Sim(...) as sim` ends it, and a crash is told."""

    def __init__(self, *flags, env=None):
        self.port = free_port()
        self.log = tempfile.TemporaryFile("w+")
        words = [str(SIM), "--model", MODEL, "--host", "127.0.0.1", "--port", str(self.port),
                 "--v", "1", *flags]
        self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=self.log,
                                        stderr=self.log, env={**os.environ, **(env or {})})

    def __enter__(self):
        wait_for(self.is_alive, 20, "the simulator serves")
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            code = self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            code = "killed"
        self.log.seek(0)
        text = self.log.read()
        self.log.close()
        assert code == 0, f"ended with {code}: {text[-2000:]}"

    def is_alive(self):
        assert self.process.poll() is None, "the simulator ended"
        try:
            return self.get("/health")[0] == 200
        except OSError:
            return False

    def get(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as reply:
            return reply.status, reply.read().decode()

    def metrics(self):
        """'name{labels}' -> value."""
        lines = [x for x in self.get("/metrics")[1].splitlines() if x and not x.startswith("#")]
        return {name: float(value) for name, value in (x.rsplit(" ", 1) for x in lines)}

    def metric(self, name):
        """Sum over its labels."""
        return sum(v for k, v in self.metrics().items() if k.split("{")[0] == name)

    def outcomes(self):
        metrics = self.metrics()
        return {x: int(metrics[f'headrace_sim_requests_total{{outcome="{x}"}}']) for x in OUTCOMES}

    def is_idle(self):
        metrics = self.metrics()
        busy = [v for k, v in metrics.items() if k.startswith(("vllm:num_requests_running{",
                                                               "vllm:num_requests_waiting{"))]
        assert len(busy) == 2
        return busy == [0, 0]

    def wait_idle(self, seconds=10):
        wait_for(self.is_idle, seconds, "nothing runs and nothing waits")

    def num_files(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def rss_bytes(self):
        pages = pathlib.Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def connect(self, receive_bytes=0):
        """A socket; its kernel keeps about `receive_bytes` of what nobody reads."""
        link = socket.socket()
        link.settimeout(10)
        if receive_bytes:
            link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        link.connect(("127.0.0.1", self.port))
        return link

    def send(self, data, **options):
        link = self.connect(**options)
        link.sendall(data)
        return link

    def ask(self, data):
        """The status and the body of the answer to bytes on a connection of their own."""
        with self.send(data) as link:
            return read_answer(link)


def read_all(link):
    """Until the other end closes. A reset is an end, too."""
    data = b""
    try:
        while more := link.recv(65536):
            data += more
    except ConnectionError:
        pass
    return data


def read_until(link, text):
    data = b""
    while text not in data:
        more = link.recv(65536)
        assert more, f"closed before {text!r}: {data[-300:]!r}"
        data += more
    return data


def read_answer(link):
    """Status and body of one answer with a Content-Length; (0, b"") when there is none."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = link.recv(65536)
        if not more:
            assert not data, f"half a header: {data!r}"
            return 0, b""
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    fields = dict(x.lower().split(b": ", 1) for x in head.split(b"\r\n")[1:])
    while len(body) < int(fields[b"content-length"]):
        more = link.recv(65536)
        assert more, "closed within a body"
        body += more
    return int(head.split()[1]), body
