"""Servers that share their index through a real Redis: same scores, also after Redis lost all."""

import json
import pathlib
import shutil
import socket
import subprocess

import pytest
from harness import free_port, wait_for
from index_harness import IndexAsker
from publisher import BLOCK, MODEL, Publisher, stored, tokens_of

SECRET = "secret-of-redis-0123"


class Redis:
    """redis-server on loopback in a folder of its own; it keeps nothing on disk."""

    def __init__(self, folder: pathlib.Path, *options: str, tls: bool = False) -> None:
        self.program = shutil.which("redis-server") or shutil.which("valkey-server")
        if self.program is None:
            pytest.skip("redis-server is not here; scripts/install_deps.sh test")
        self.port = free_port()
        ports = ["--port", "0", "--tls-port"] if tls else ["--port"]
        self.words = [
            self.program,
            *ports,
            str(self.port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
            "--dir",
            str(folder),
            *options,
        ]
        self.process: subprocess.Popen | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(self.words, stdout=subprocess.DEVNULL)
        wait_for(self.accepts, 10, "redis-server listens")

    def accepts(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)


@pytest.fixture
def start_redis(tmp_path):
    """start_redis(*options) -> Redis; killed after the test."""
    started = []

    def start(*options, **more) -> Redis:
        started.append(Redis(tmp_path, *options, **more))
        started[-1].start()
        return started[-1]

    yield start
    for redis in started:
        redis.kill()


def section(address: str, more: str = "", kind: str = "redisConfig") -> str:
    return f"kvBlockIndexConfig:\n  {kind}: {{address: '{address}'{more}}}\n"


def url(redis: Redis) -> str:
    return f"redis://127.0.0.1:{redis.port}"


@pytest.fixture
def start_reader(start_server, tmp_path):
    """start_reader(text) -> Server that follows nobody."""

    def start(text: str):
        config = tmp_path / "reader.yaml"
        config.write_text(f"models:\n  - {{name: {MODEL}, tokenizer: bytes}}\n{text}")
        return start_server("--index-config", str(config), pool="0")

    return start


def ask(server, path: str, body=None):
    return IndexAsker(server).ask("GET" if body is None else "POST", path, body)


def scores(server, tokens):
    """pod -> score, or the status of a refusal"""
    status, answer = ask(server, "/v1/score", {"model": MODEL, "token_ids": tokens})
    return {x["pod"]: x["score"] for x in answer["pods"]} if status == 200 else status


def wait_scores(servers, tokens, expected, before=lambda: None) -> None:
    def right():
        before()
        return all(scores(server, tokens) == pytest.approx(expected) for server in servers)

    wait_for(right, 20, f"all say {expected}; they say {[scores(x, tokens) for x in servers]}")


def publish(index) -> None:
    a, b = index.publishers.values()
    a.publish(stored(tokens_of(6), 1000))
    b.publish(stored(tokens_of(2), 2000))
    b.publish(stored(tokens_of(4)[2 * BLOCK :], 3000, parent_block_hash=2001, medium="CPU"))
    a.publish({"type": "BlockRemoved", "block_hashes": [1005], "medium": "GPU"})


@pytest.mark.parametrize("schema", ["native", "llmd"])
def test_two_servers_give_the_same_scores(make_index, start_reader, start_redis, schema):
    redis = start_redis()
    text = section(url(redis), f", schema: {schema}", "valkeyConfig")
    index = make_index(more=text)
    reader = start_reader(text)
    publish(index)
    both = [index.server, reader]
    wait_scores(both, tokens_of(7), {"pod-a": 5, "pod-b": 3.6}, index.answer_replays)
    chosen = {"model": MODEL, "token_ids": tokens_of(7), "pods": ["pod-b", "nobody"]}
    assert ask(index.server, "/v1/score", chosen) == ask(reader, "/v1/score", chosen)
    assert ask(reader, "/v1/score", chosen)[1]["pods"][0]["blocks"] == 4
    # People ask, too.
    found = index.ask("GET", f"/v1/index/lookup?hash=2001&model={MODEL}")[1]["blocks"]
    assert len(found) == 1
    holders = sorted(x["pod"] for x in found[0]["holders"])
    assert holders == ["pod-a", "pod-b"]
    assert ask(reader, f"/v1/index/lookup?key={found[0]['key']}")[1]["blocks"][0]["holders"]
    status, answer = ask(reader, "/v1/index/dump")
    assert status == 501 and "Redis" in answer["error"]["message"]
    # A pod that clears or goes is gone for all.
    index.publishers["pod-a"].publish({"type": "AllBlocksCleared"})
    wait_scores(both, tokens_of(7), {"pod-b": 3.6})
    wait_for(
        lambda: index.server.metric("headrace_index_redis_added_total") > 0, 5, "it is counted"
    )
    assert index.server.metric("headrace_index_redis_up") == 1
    assert ask(reader, "/v1/index/stats")[1]["redis"]["available"] is True


def test_a_redis_that_died_is_told_again(make_index, start_reader, start_redis):
    redis = start_redis()
    index = make_index(more=section(url(redis)))
    reader = start_reader(section(url(redis)))
    both = [index.server, reader]
    publish(index)
    wait_scores(both, tokens_of(7), {"pod-a": 5, "pod-b": 3.6}, index.answer_replays)
    redis.kill()
    wait_for(
        lambda: [scores(x, tokens_of(7)) for x in both] == [503, 503],
        10,
        "nobody answers in Redis' place",
    )
    status, answer = ask(reader, "/v1/score", {"model": MODEL, "token_ids": tokens_of(7)})
    assert status == 503 and "shared index" in answer["error"]["message"], answer
    wait_for(lambda: reader.metric("headrace_index_redis_up") == 0, 5, "it is known to be down")
    # What is told meanwhile is not lost either, and nobody answers replays any more.
    index.publishers["pod-b"].publish(
        stored(tokens_of(5)[4 * BLOCK :], 4000, parent_block_hash=3001)
    )
    wait_for(lambda: ask(index.server, "/v1/index/stats")[1]["blocks"] >= 5, 5, "it came")
    redis.start()
    wait_scores(both, tokens_of(7), {"pod-a": 5, "pod-b": 4.6})
    wait_for(
        lambda: index.server.metric("headrace_index_redis_lost_streams_total") >= 2,
        5,
        "it is counted",
    )


def test_a_server_that_died_begins_anew(make_index, start_reader, start_redis):
    redis = start_redis()
    index = make_index(more=section(url(redis)))
    reader = start_reader(section(url(redis)))
    publish(index)
    wait_scores([reader], tokens_of(7), {"pod-a": 5, "pod-b": 3.6}, index.answer_replays)
    index.server.kill()
    assert scores(reader, tokens_of(7)) == pytest.approx({"pod-a": 5, "pod-b": 3.6})
    # pod-a died as well and holds nothing; pod-b can tell all again.
    gone = index.publishers["pod-a"]
    gone.sent.clear()
    index.server.start(pool_wait=False)
    wait_scores([index.server, reader], tokens_of(7), {"pod-b": 3.6}, index.answer_replays)


def test_fleets_that_share_a_redis_differ_in_the_prefix(make_index, start_reader, start_redis):
    redis = start_redis()
    index = make_index(more=section(url(redis), ", prefix: 'one:'"))
    other = start_reader(section(url(redis), ", prefix: 'two:'"))
    publish(index)
    wait_scores([index.server], tokens_of(7), {"pod-a": 5, "pod-b": 3.6}, index.answer_replays)
    assert scores(other, tokens_of(7)) == {}


def test_passwords(make_index, start_reader, start_redis, tmp_path):
    redis = start_redis("--requirepass", SECRET)
    secret = tmp_path / "password"
    secret.write_text(SECRET + "\n")
    index = make_index(more=section(url(redis), f", passwordFile: '{secret}'"))
    publish(index)
    wait_scores([index.server], tokens_of(7), {"pod-a": 5, "pod-b": 3.6}, index.answer_replays)
    right = start_reader(section(f"redis://:{SECRET}@127.0.0.1:{redis.port}"))
    wait_scores([right], tokens_of(7), {"pod-a": 5, "pod-b": 3.6})
    wrong = start_reader(section(f"redis://:not-{SECRET}@127.0.0.1:{redis.port}"))
    wait_for(lambda: "WRONGPASS" in wrong.log(), 10, "the log has Redis' words")
    status, answer = ask(wrong, "/v1/score", {"model": MODEL, "token_ids": tokens_of(1)})
    assert status == 503 and "WRONGPASS" in answer["error"]["message"], answer
    for server in (index.server, right, wrong):
        assert SECRET not in server.log()
        assert SECRET not in json.dumps(ask(server, "/v1/index/stats")[1])


def test_tls(make_index, start_redis, tmp_path):
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not here; scripts/install_deps.sh test")
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=127.0.0.1",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-keyout",
            str(key),
            "-out",
            str(cert),
        ],
        check=True,
        capture_output=True,
    )
    redis = start_redis(
        "--tls-cert-file",
        str(cert),
        "--tls-key-file",
        str(key),
        "--tls-ca-cert-file",
        str(cert),
        tls=True,
    )
    files = f", caFile: '{cert}', certFile: '{cert}', keyFile: '{key}'"
    index = make_index(more=section(f"rediss://127.0.0.1:{redis.port}", files))
    publish(index)
    wait_scores([index.server], tokens_of(7), {"pod-a": 5, "pod-b": 3.6}, index.answer_replays)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (section("http://x"), "kvBlockIndexConfig.redisConfig.address: "),
        (section(f"redis://:{SECRET}@x:y"), "kvBlockIndexConfig.redisConfig.address: "),
        (
            section("redis://x", ", passwordFile: /nowhere"),
            "kvBlockIndexConfig.redisConfig.passwordFile: cannot read /nowhere: No such file",
        ),
        (
            section(f"redis://:{SECRET}@x", ", passwordFile: /nowhere"),
            "redisConfig.passwordFile: the address has a password already; keep one",
        ),
        (section("rediss://x", ", caFile: /nowhere"), "/nowhere"),
    ],
)
def test_what_cannot_be_is_said_at_the_start(start_server, tmp_path, text, said):
    config = tmp_path / "index.yaml"
    config.write_text(text)
    server = start_server("--index-config", str(config), pool="0", ready=False)
    assert server.process.wait(10) != 0
    assert said in server.log() and SECRET not in server.log(), server.log()


def test_a_publisher_put_again_elsewhere_begins_anew(make_index, start_reader, start_redis):
    redis = start_redis()
    index = make_index(more=section(url(redis)), listed=False)
    reader = start_reader(section(url(redis)))
    both = [index.server, reader]
    a = index.publishers["pod-a"]
    a.publish(stored(tokens_of(3), 1))
    assert index.put_pod("pod-a", a)[0] == 201
    wait_scores(both, tokens_of(3), {"pod-a": 3}, index.answer_replays)
    moved = index.publishers["moved"] = Publisher("pod-a")
    moved.publish(stored(tokens_of(1), 1))
    assert index.put_pod("pod-a", moved)[0] == 200
    wait_scores(both, tokens_of(3), {"pod-a": 1}, index.answer_replays)
    assert index.ask("DELETE", "/v1/index/pods/pod-a")[0] == 200
    wait_scores(both, tokens_of(3), {})
