"""Simulators tell an index of their caches: what it says of a prompt before it is sent is what the
simulator then finds of it."""

import contextlib
import json
import os
import random
import subprocess
import tempfile
import urllib.request

import pytest
from harness import BUILD, free_ports, wait_for
from index_harness import IndexAsker

SIM = BUILD / "sim" / "headrace-sim"
MODEL = "sim-model"
BLOCK = 16
ADAPTERS = ['{"name":"ada","path":"/a"}', '{"name":"bea","path":"/b"}']


class Sim:
    """headrace-sim with a KV cache, whose events are bound on ports that nobody chose."""

    def __init__(self, *flags: str, ranks: int = 1) -> None:
        self.port = free_ports(ranks)
        self.log = tempfile.TemporaryFile("w+")
        words = [str(SIM), "--model", MODEL, "--host", "127.0.0.1", "--port", str(self.port),
                 "--mode", "echo", "--v", "1", "--enable-kvcache", "--kv-events-bind",
                 "--zmq-endpoint", "tcp://127.0.0.1:*", "--event-batch-size", "1",
                 "--kv-events-replay-endpoint", "tcp://127.0.0.1:*",
                 "--data-parallel-size", str(ranks), *flags]
        env = {**os.environ, "POD_IP": "127.0.0.1", "VLLM_SERVER_DEV_MODE": "1"}
        self.process = subprocess.Popen(words, stdout=self.log, stderr=self.log, env=env)
        self.pods = [f"127.0.0.1:{self.port + rank}" for rank in range(ranks)]
        for pod in self.pods:
            wait_for(lambda pod=pod: self.is_serving(pod), 10, "the simulator serves")

    def is_serving(self, pod: str) -> bool:
        assert self.process.poll() is None, self.said()
        try:
            return self.ask("GET", "/health", pod=pod) is None
        except OSError:
            return False

    def said(self) -> str:
        self.log.seek(0)
        return self.log.read()

    def ask(self, method: str, path: str, body=None, pod: str = ""):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://{pod or self.pods[0]}{path}", data, method=method)
        with urllib.request.urlopen(request, timeout=10) as reply:
            text = reply.read()
        return json.loads(text) if text else None

    def source(self, pod: str) -> dict:
        (source,) = self.ask("GET", "/kv_event_sources", pod=pod).values()
        return source

    def tokens(self, text: str) -> list[int]:
        return self.ask("POST", "/v1/chat/completions/render", chat(text))["token_ids"]

    def cached_blocks(self, text: str, model: str = MODEL, pod: str = "") -> int:
        """Sends the chat: how much of its prompt was there."""
        usage = self.ask("POST", "/v1/chat/completions", chat(text, model), pod)["usage"]
        cached = usage["prompt_tokens_details"]["cached_tokens"]
        assert cached % BLOCK == 0
        return cached // BLOCK

    def close(self) -> None:
        self.process.terminate()
        try:
            code = self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        said = self.said()
        self.log.close()
        assert code == 0, said


def chat(text: str, model: str = MODEL) -> dict:
    return {"model": model, "messages": [{"role": "user", "content": text}]}


def words(first: str, count: int) -> str:
    return " ".join(f"{first}{i}" for i in range(count))


class Site:
    """Simulators, and an index that follows them."""

    def __init__(self, start_server, config, sims: list[Sim], discover: bool) -> None:
        self.start_server, self.config, self.sims = start_server, config, sims
        self.pods = [pod for sim in sims for pod in sim.pods]
        lines = "".join(self.line(sim, pod, discover) for sim in sims for pod in sim.pods)
        config.write_text(f"{'discover:' if discover else 'pods:'}\n{lines}")
        self.start()

    @staticmethod
    def line(sim: Sim, pod: str, discover: bool) -> str:
        if discover:
            return f"  - {pod}\n"
        source = sim.source(pod)
        return (f"  - {{name: '{pod}', endpoint: '{source['endpoint']}',"
                f" replayEndpoint: '{source['replay_endpoint']}'}}\n")

    def start(self) -> None:
        self.server = self.start_server("--index-config", str(self.config), pool="0")
        self.index = IndexAsker(self.server)
        wait_for(lambda: self.server.metrics().get("headrace_index_connects_total", 0)
                 >= len(self.pods), 20, "the simulators are followed")

    def blocks(self, text: str, model: str = MODEL) -> dict[str, int]:
        """What the index says of a prompt, by pod."""
        body = {"model": model, "token_ids": self.sims[0].tokens(text)}
        status, answer = self.index.ask("POST", "/v1/score", body)
        assert status == 200, answer
        for pod in answer["pods"]:
            assert pod["score"] == pod["blocks"]  # all of it lies in the GPU
        return {pod["pod"]: pod["blocks"] for pod in answer["pods"]}

    def wait_blocks(self, text: str, expected: dict[str, int], model: str = MODEL) -> None:
        wait_for(lambda: self.blocks(text, model) == expected, 10,
                 f"the index says {expected}; it said {self.blocks(text, model)}")

    def send(self, sim: Sim, text: str, model: str = MODEL, pod: str = "") -> int:
        """The chat is sent: what the index said of it is found, and then all of it is told."""
        pod = pod or sim.pods[0]
        known = self.blocks(text, model).get(pod, 0)
        assert sim.cached_blocks(text, model, pod) == known
        full = len(sim.tokens(text)) // BLOCK
        wait_for(lambda: self.blocks(text, model).get(pod, 0) == full, 10,
                 f"{pod} tells of {full} blocks; known are {self.blocks(text, model)}")
        return known


@pytest.fixture
def make_site(start_server, tmp_path):
    """make_site([flags of a simulator, ...], ...) -> Site; its simulators end after the test."""
    with contextlib.ExitStack() as ends:

        def make(*flags_of_sims, ranks: int = 1, discover: bool = True) -> Site:
            sims = []
            for flags in flags_of_sims:
                sims.append(Sim(*flags, ranks=ranks))
                ends.callback(sims[-1].close)
            return Site(start_server, tmp_path / "index.yaml", sims, discover)

        yield make


@pytest.mark.parametrize("algorithm", ["llmd-d", "sha256_cbor"])
@pytest.mark.parametrize("discover", [True, False], ids=["discovered", "listed"])
def test_the_index_knows_what_is_cached_where(make_site, algorithm, discover):
    flags = ["--block-hash", algorithm, "--use-vllm-map-event-format"][:2 if discover else 3]
    site = make_site(flags, flags, discover=discover)
    one, two = site.sims
    long, other = words("long", 70), words("other", 40)
    longer = long + " " + words("more", 40)
    assert site.blocks(long) == {}
    assert site.send(one, long) == 0
    assert site.send(one, long) == len(one.tokens(long)) // BLOCK
    assert set(site.blocks(long)) == {one.pods[0]}
    assert site.send(two, longer) == 0
    assert site.send(one, longer) > 0  # its beginning
    site.send(two, other)
    full = len(one.tokens(other)) // BLOCK
    site.wait_blocks(other, {two.pods[0]: full})


@pytest.mark.parametrize("algorithm", ["llmd-d", "sha256_cbor"])
def test_the_index_follows_caches_that_are_too_small(make_site, algorithm):
    """Prompts share beginnings, and not half of them has room: after each it is told what went."""
    flags = ["--block-hash", algorithm, "--kv-cache-size", "12"]
    site = make_site(flags, flags)
    chance = random.Random(algorithm)
    texts = []
    for family in range(4):
        stem = words(f"stem{family}x", 40)
        texts += [stem, *(f"{stem} {words(f'leaf{family}x{i}x', 30)}" for i in range(2))]
    found = [site.send(chance.choice(site.sims), chance.choice(texts)) for _ in range(40)]
    assert 0 in found[20:]  # something was evicted
    assert max(found) == 4


def test_a_simulator_that_sleeps_holds_nothing(make_site):
    site = make_site(["--enable-sleep-mode"], ["--enable-sleep-mode"])
    one, two = site.sims
    text = words("w", 80)
    full = len(one.tokens(text)) // BLOCK
    for sim in site.sims:
        site.send(sim, text)
    one.ask("POST", "/sleep")
    assert one.ask("GET", "/is_sleeping") == {"is_sleeping": True}
    site.wait_blocks(text, {two.pods[0]: full})
    assert one.cached_blocks(text) == one.cached_blocks(text) == 0  # and keeps nothing
    one.ask("POST", "/wake_up")
    assert site.send(one, text) == 0
    site.wait_blocks(text, {pod: full for pod in site.pods})


@pytest.mark.parametrize("algorithm", ["llmd-d", "sha256_cbor"])
def test_adapters_have_blocks_of_their_own(make_site, algorithm):
    site = make_site(["--block-hash", algorithm, "--max-loras", "2", "--lora-modules", *ADAPTERS])
    (sim,) = site.sims
    text = words("w", 80)
    full = len(sim.tokens(text)) // BLOCK
    assert site.send(sim, text, "ada") == 0
    assert site.blocks(text) == site.blocks(text, "bea") == {}
    assert site.send(sim, text, "bea") == 0
    assert site.send(sim, text) == 0
    for model in (MODEL, "ada", "bea"):
        assert site.send(sim, text, model) == full


def test_ranks_have_caches_of_their_own(make_site):
    site = make_site([], ranks=2)
    (sim,) = site.sims
    text = words("w", 80)
    full = len(sim.tokens(text)) // BLOCK
    first, second = sim.pods
    assert [sim.source(pod)["topic"] for pod in sim.pods] == [f"kv@{pod}@{MODEL}"
                                                              for pod in sim.pods]
    assert site.send(sim, text, pod=second) == 0
    site.wait_blocks(text, {second: full})
    assert site.send(sim, text, pod=first) == 0
    site.wait_blocks(text, {first: full, second: full})


def test_an_index_that_was_away_has_all_replayed(make_site):
    site = make_site(["--kv-cache-size", "24"], [], discover=False)
    texts = [words(f"text{i}x", 60) for i in range(4)]
    for text in texts:
        for sim in site.sims:
            site.send(sim, text)
    known = [site.blocks(text) for text in texts]
    site.server.kill()
    late = words("late", 60)
    for sim in site.sims:
        assert sim.cached_blocks(late) == 0
    site.start()
    full = len(site.sims[0].tokens(late)) // BLOCK
    site.wait_blocks(late, {pod: full for pod in site.pods})
    for sim in site.sims:
        for text in [*texts, late]:
            site.send(sim, text)
    assert [x[site.pods[1]] for x in known] == [site.blocks(x)[site.pods[1]] for x in texts]
    assert site.server.metric("headrace_index_replays_total") >= len(site.pods)
