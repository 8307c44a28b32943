"""Scores by gRPC, asked by a client that knows nothing of this project: messages by hand."""

import re
import struct

import pytest
from harness import free_port, wait_for
from publisher import MODEL, stored, tokens_of

ADMIN = "admin-token-0123456789"
TENANT = "tenant-token-0123456789"

grpc = pytest.importorskip("grpc")


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def field(number: int, data: bytes) -> bytes:
    """Of a length-delimited kind."""
    return varint(number << 3 | 2) + varint(len(data)) + data


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def fields_of(data: bytes) -> list[tuple[int, object]]:
    """(number, value) of a message."""
    found, at = [], 0
    while at < len(data):
        key, at = read_varint(data, at)
        if key & 7 == 2:
            size, at = read_varint(data, at)
            value, at = data[at:at + size], at + size
        elif key & 7 == 1:
            (value,) = struct.unpack("<d", data[at:at + 8])
            at += 8
        else:
            value, at = read_varint(data, at)
        found.append((key >> 3, value))
    return found


class Client:
    def __init__(self, port: int, token: str | None = None) -> None:
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        self.metadata = [("authorization", f"Bearer {token}")] if token else None

    def call(self, method: str, request: bytes) -> dict[str, float]:
        """pod -> score, in the answer's order"""
        ask = self.channel.unary_unary(f"/indexer.v1.IndexerService/{method}")
        answer = ask(request, metadata=self.metadata, timeout=20, wait_for_ready=True)
        rows = [dict(fields_of(row)) for number, row in fields_of(answer) if number == 1]
        return {row[1].decode(): row[2] for row in rows}

    def prompt(self, text: str, pods=(), salt="") -> dict[str, float]:
        request = field(1, text.encode()) + field(2, MODEL.encode())
        request += b"".join(field(3, pod.encode()) for pod in pods)
        return self.call("GetPodScores", request + (field(100, salt.encode()) if salt else b""))

    def tokens(self, tokens, model=MODEL) -> dict[str, float]:
        packed = b"".join(varint(x) for x in tokens)
        return self.call("ScoreTokens", field(1, packed) + field(2, model.encode()))

    def refusal(self, ask) -> tuple[str, str]:
        with pytest.raises(grpc.RpcError) as refused:
            ask(self)
        return refused.value.code().name, refused.value.details()


@pytest.fixture
def make_served(make_index, start_server):
    """make_served(*flags) -> (Index, the port of its gRPC)"""
    probe = start_server("--grpc-addr", "127.0.0.1:0", pool="0", ready=False)
    wait_for(lambda: re.search("built without gRPC|scores by gRPC", probe.log()), 20, "it starts")
    if "built without gRPC" in probe.log():
        pytest.skip("built without gRPC")
    probe.stop()

    def make(*flags):
        port = free_port()
        return make_index("--grpc-addr", f"127.0.0.1:{port}", *flags), port

    return make


def test_scores_prompts_and_tokens(make_served):
    index, port = make_served()
    a, b = index.publishers.values()
    prompt = "sixteen letters!" * 3
    a.publish(stored(list(prompt.encode()), 1))
    b.publish(stored(list(prompt.encode())[:16], 1))
    index.wait_score(list(prompt.encode()), {"pod-a": 3, "pod-b": 1})
    client = Client(port)
    assert list(client.prompt(prompt).items()) == [("pod-a", 3.0), ("pod-b", 1.0)]
    assert client.prompt(prompt, pods=["pod-b", "nobody"]) == {"pod-b": 1.0}
    assert client.tokens(list(prompt.encode())) == {"pod-a": 3.0, "pod-b": 1.0}
    assert client.tokens(tokens_of(2, first=500)) == {}
    assert client.refusal(lambda x: x.tokens([1], model="other")) == (
        "INVALID_ARGUMENT", f'model: "other" is not known here; the models are {MODEL}')
    code, details = client.refusal(lambda x: x.call("GetPodScores", field(2, MODEL.encode())))
    assert (code, details) == ("INVALID_ARGUMENT", "prompt: must not be empty")
    garbage = client.refusal(lambda x: x.call("GetPodScores", b"\xff"))[0]
    assert garbage in ("INTERNAL", "UNIMPLEMENTED")  # by the version of gRPC
    assert client.refusal(lambda x: x.call("Nothing", b""))[0] == "UNIMPLEMENTED"


def test_asks_for_the_same_tokens(make_served, tmp_path):
    file = tmp_path / "tokens"
    file.write_text(f"{ADMIN}\n{TENANT} salt=blue\n")
    index, port = make_served("--index-token-file", str(file))
    text = "sixteen letters!"
    index.token = ADMIN
    index.publishers["pod-a"].publish(
        stored(list(text.encode()), 1, extra_keys=[[["cache_salt", "blue"]]]))
    index.wait_score(list(text.encode()), {"pod-a": 1}, extra={"cache_salt": "blue"})
    for token in (None, ADMIN + "x"):
        assert Client(port, token).refusal(lambda x: x.prompt(text))[0] == "UNAUTHENTICATED"
    assert Client(port, ADMIN).prompt(text) == {}
    assert Client(port, ADMIN).prompt(text, salt="blue") == {"pod-a": 1.0}
    tenant = Client(port, TENANT)
    assert tenant.prompt(text, salt="blue") == {"pod-a": 1.0}
    assert tenant.refusal(lambda x: x.prompt(text)) == (
        "PERMISSION_DENIED", "cache_salt: must be the salt of the token that asks")


@pytest.mark.parametrize("flags, line", [
    (["--grpc-addr", "0.0.0.0:1"], r"--grpc-addr: 0.0.0.0:1 can be reached .*--index-token-file"),
    (["--grpc-addr", "nonsense"], r"--grpc-addr: .nonsense. is not HOST:PORT"),
    (["--grpc-addr", "127.0.0.1:{used}"], r"--grpc-addr: 127.0.0.1:\d+ cannot be bound"),
])
def test_a_start_that_is_refused_names_the_option(make_served, start_server, flags, line):
    _, port = make_served()
    server = start_server(*[x.replace("{used}", str(port)) for x in flags], pool="0", ready=False)
    assert server.process.wait(10) == 2
    assert re.search(line, server.log()), server.log()
