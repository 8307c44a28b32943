"""examples/, each run as a user would."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request

import msgpack
import pytest
from harness import BUILD, ROOT, free_port, wait_for
from index_harness import IndexAsker
from publisher import MODEL, LivePublisher, stored, tokens_of

EXAMPLES = ROOT / "examples"


def post(url: str, body: dict) -> dict:
    request = urllib.request.Request(url, json.dumps(body).encode())
    with urllib.request.urlopen(request, timeout=10) as reply:
        return json.loads(reply.read())


def offline(capture, tokens: list[int]) -> tuple[int, str]:
    words = [str(capture), "--tokens", ",".join(map(str, tokens))]
    words += ["--headrace", str(BUILD / "bin" / "headrace")]
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "offline_events.py"), *words],
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stdout.strip()


def test_offline_events_scores_a_capture(tmp_path):
    tokens = tokens_of(4)
    batches = [
        [stored(tokens[:32], 10)],
        [stored(tokens[32:], 20, parent_block_hash=11)],
        [stored(tokens, 30, extra_keys=[[["cache_salt", "blue"]], None, None, None])],
    ]
    capture = tmp_path / "capture.hex"

    def write(*more):
        lines = [msgpack.packb([1.0, events, None]).hex() for events in [*batches, *more]]
        capture.write_text("\n".join(lines) + "\n")

    write()
    assert offline(capture, tokens + [1]) == (0, "4")
    assert offline(capture, [7, *tokens[1:]]) == (0, "0")
    write([{"type": "BlockRemoved", "block_hashes": [20], "medium": "GPU"}])
    assert offline(capture, tokens) == (0, "2")
    write([["AllBlocksCleared"], ["NoEvent"]])
    assert offline(capture, tokens) == (1, "0")


def test_offline_events_scores_what_a_real_vllm_announced(tmp_path):
    rows = (ROOT / "tests" / "data" / "events" / "vllm.jsonl").read_text().splitlines()
    captured = [json.loads(x) for x in rows]
    capture = tmp_path / "capture.hex"
    capture.write_text("\n".join(x["hex"] for x in captured) + "\n")
    events = [e for x in captured for e in x["batch"][1] if e["type"] == "BlockStored"]
    first = next(e for e in events if e["parent_block_hash"] is None and not e.get("lora_name"))
    code, text = offline(capture, first["token_ids"])
    assert code == 0 and text.isdigit()


class Gateway:
    def __init__(self, index: str, pods: str) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        words = ["--port", self.url.rpartition(":")[2], "--index", index, "--pods", pods]
        self.process = subprocess.Popen(
            [sys.executable, str(EXAMPLES / "gateway_scorer.py"), *words]
        )
        wait_for(self.serves, 20, "the gateway serves")

    def serves(self) -> bool:
        try:
            post(f"{self.url}/done", {"pod": "pod-a"})
        except OSError:
            assert self.process.poll() is None
            return False
        return True

    def pick(self, tokens: list[int]) -> tuple[str, int]:
        answer = post(f"{self.url}/pick", {"model": MODEL, "token_ids": tokens})
        return answer["pod"], answer["blocks"]


@pytest.fixture
def start_gateway():
    made = []

    def start(index: str, pods: str) -> Gateway:
        made.append(Gateway(index, pods))
        return made[-1]

    yield start
    for gateway in made:
        gateway.process.terminate()
        gateway.process.wait(10)


@pytest.fixture
def followed(start_server, tmp_path):
    """(server, publisher) of pod-b, which holds four blocks"""
    publisher = LivePublisher("pod-b")
    publisher.publish(stored(tokens_of(4), 1))
    config = tmp_path / "index.yaml"
    config.write_text(
        f"pods: [{{name: pod-b, endpoint: '{publisher.endpoint}',"
        f" replayEndpoint: '{publisher.replay}'}}]\n"
    )
    server = start_server("--index-config", str(config), pool="0")
    IndexAsker(server).wait_score(tokens_of(4), {"pod-b": 4})
    yield server, publisher
    publisher.close()


def test_gateway_sends_prompts_where_they_are_and_others_in_turn(followed, start_gateway):
    server, _ = followed
    gateway = start_gateway(f"127.0.0.1:{server.http}", "pod-a,pod-b,pod-c")
    assert [gateway.pick(tokens_of(5)) for _ in range(3)] == [("pod-b", 4)] * 3
    assert {gateway.pick(tokens_of(3, first=900)) for _ in range(2)} == {("pod-a", 0), ("pod-c", 0)}


def test_gateway_goes_on_without_an_index(followed, start_gateway):
    server, _ = followed
    gateway = start_gateway(f"127.0.0.1:{server.http}", "pod-a,pod-b")
    server.kill()
    assert {gateway.pick(tokens_of(4)) for _ in range(2)} == {("pod-a", 0), ("pod-b", 0)}
    server.start(pool_wait=False)
    IndexAsker(server).wait_score(tokens_of(4), {"pod-b": 4})
    assert gateway.pick(tokens_of(4)) == ("pod-b", 4)


def test_gateway_leaves_a_pod_that_has_too_much_to_do(followed, start_gateway):
    server, _ = followed
    gateway = start_gateway(f"127.0.0.1:{server.http}", "pod-a,pod-b")
    picked = [gateway.pick(tokens_of(4))[0] for _ in range(12)]
    assert picked[:9] == ["pod-b"] * 9 and "pod-a" in picked[9:]
    for _ in range(9):
        post(f"{gateway.url}/done", {"pod": "pod-b"})
    assert gateway.pick(tokens_of(4)) == ("pod-b", 4)


def test_gateway_refuses_what_it_cannot_read(followed, start_gateway):
    server, _ = followed
    gateway = start_gateway(f"127.0.0.1:{server.http}", "pod-a")
    for path, body in (("/pick", {}), ("/done", {"pod": "nobody"}), ("/other", {})):
        with pytest.raises(urllib.error.HTTPError) as refused:
            post(gateway.url + path, body)
        assert refused.value.code == 400


def test_online_events_says_how_to_use_it():
    path = EXAMPLES / "online_events.py"  # run against a real vLLM in tests/vllm/test_index.py
    done = subprocess.run([sys.executable, str(path), "--help"], capture_output=True, timeout=20)
    assert done.returncode == 0
