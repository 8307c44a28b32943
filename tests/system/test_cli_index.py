"""`headrace events tail` and `headrace index` against real publishers and real indexes."""

import json
import re
import signal
import subprocess
import time

import pytest
import zmq
from harness import BUILD, chain_of, free_port, wait_for
from index_harness import IndexAsker
from publisher import BLOCK, Publisher, stored, tokens_of

HEADRACE = BUILD / "bin" / "headrace"
MODEL = "model"
NODE = "node-a"
TOKEN = "token-of-the-index-0123456789"


def run(*words: str, text: str | None = None, seconds: float = 60) -> subprocess.CompletedProcess:
    return subprocess.run(
        [str(HEADRACE), *words], input=text, capture_output=True, text=True, timeout=seconds
    )


def low_word(block_hash: bytes) -> int:
    return int.from_bytes(block_hash[-8:], "big")


@pytest.fixture
def publish():
    """publish(pod) -> Publisher; closed after the test."""
    made = []

    def make(pod: str) -> Publisher:
        made.append(Publisher(pod, topic=f"kv@{pod}@{MODEL}"))
        return made[-1]

    yield make
    for publisher in made:
        publisher.close()


class Tail:
    """A running `headrace events tail`."""

    def __init__(self, directory, *words: str) -> None:
        self.out, self.err = directory / "tail.out", directory / "tail.err"
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(
                [str(HEADRACE), "events", "tail", *words], stdout=out, stderr=err
            )

    def lines(self) -> list[dict]:
        whole = self.out.read_text().rpartition("\n")[0]
        return [json.loads(x) for x in whole.splitlines()]

    def notes(self) -> list[str]:
        return self.err.read_text().splitlines()

    def end(self, number: int = signal.SIGINT) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(20)


@pytest.fixture
def start_tail(tmp_path):
    """start_tail(*words) -> Tail; ended after the test."""
    tails = []

    def start(*words: str) -> Tail:
        tails.append(Tail(tmp_path, *words))
        return tails[-1]

    yield start
    for tail in tails:
        tail.end(signal.SIGKILL)


@pytest.fixture
def publishing(start_server):
    """A server with a pool that publishes; it has .events and .replay."""

    def start(*flags: str):
        endpoints = [f"tcp://127.0.0.1:{free_port()}" for _ in range(2)]
        server = start_server(
            *("--events-endpoint", endpoints[0], "--events-replay-endpoint", endpoints[1]),
            *("--events-topic-node", NODE, *flags),
        )
        server.events, server.replay = endpoints
        return server

    return start


def test_tail_begins_with_what_a_server_keeps_and_goes_on(
    publishing, start_engine, start_tail, tmp_path
):
    server = publishing()
    engine = start_engine(server.endpoint)
    before, after = chain_of("before", 3), chain_of("after", 2)
    engine.save(before)
    tail = start_tail(server.events, "--replay", server.replay, "--topic", f"kv@{NODE}@")
    wait_for(tail.lines, 20, "what was told before")
    engine.save(after, [4, 5])

    def hashes():
        return [x for line in tail.lines() for x in line["block_hashes"]]

    expected = [str(low_word(x)) for x in before + after]
    wait_for(lambda: hashes() == expected, 20, "all is told, in order")
    assert tail.end() == 0 and tail.notes() == []
    lines = tail.lines()
    assert {x["topic"] for x in lines} == {f"kv@{NODE}@{MODEL}"}
    assert [x["sequence"] for x in lines] == sorted(x["sequence"] for x in lines)
    # What decode prints of the same payload, and topic and sequence before it.
    assert list(lines[0])[:3] == ["topic", "sequence", "type"]
    assert lines[0]["medium"] == "cpu"


def test_tail_says_gaps_and_ends_by_itself(publish, start_tail):
    publisher = publish("pod-a")
    tail = start_tail(publisher.endpoint, "--count", "4")
    clear = {"type": "AllBlocksCleared"}

    def heard():
        publisher.sent.clear()
        publisher.publish(clear)
        return tail.lines()

    wait_for(heard, 20, "it listens")  # sequence 0, again and again: the same message
    publisher.sent = [b""] * 5
    publisher.publish(clear, clear, clear, clear, clear)
    assert tail.process.wait(20) == 0
    lines = tail.lines()
    assert len(lines) == 4 and lines[-1]["sequence"] == 5
    assert any(re.search(r"gap: 1 to 4 are lost", x) for x in tail.notes()), tail.notes()


def test_tail_fills_gaps_by_replay(publish, start_tail):
    publisher = publish("pod-a")
    publisher.publish(stored(tokens_of(1), 1), lost=True)
    tail = start_tail(publisher.endpoint, "--replay", publisher.replay)

    def told(count):
        def look():
            publisher.answer_replays()
            return len(tail.lines()) == count

        return look

    wait_for(told(1), 20, "what is kept")
    publisher.publish(stored(tokens_of(2), 1), lost=True)
    publisher.publish(stored(tokens_of(3), 1))
    wait_for(told(3), 20, "the gap is filled")
    assert [x["sequence"] for x in tail.lines()] == [0, 1, 2]
    assert tail.end(signal.SIGTERM) == 0 and tail.notes() == []


def test_tail_ends_after_its_time_and_names_what_it_cannot_read(publish, start_tail):
    publisher = publish("pod-a")
    begin = time.monotonic()
    assert run("events", "tail", publisher.endpoint, "--for", "300ms").returncode == 0
    assert 0.3 <= time.monotonic() - begin < 20
    tail = start_tail(publisher.endpoint, "--count", "1")

    def ended():
        publisher.sent.clear()
        publisher.publish(["BlockStored"])
        return tail.process.poll() is not None

    wait_for(ended, 20, "one event")
    assert tail.process.returncode == 1
    line = tail.lines()[0]
    assert (line["sequence"], line["event"]) == (0, 0) and line["error"]


def test_tail_of_a_server_with_curve_keys(publishing, start_engine, start_tail, tmp_path):
    public, secret = zmq.curve_keypair()
    own_public, own_secret = zmq.curve_keypair()
    files = {"server": secret, "clients": own_public, "own": own_secret}
    for name, key in files.items():
        (tmp_path / name).write_bytes(key + b"\n")
        (tmp_path / name).chmod(0o600)
    server = publishing(
        *("--events-curve-secret-file", str(tmp_path / "server")),
        *("--events-curve-clients-file", str(tmp_path / "clients")),
    )
    start_engine(server.endpoint).save(chain_of("secret", 2))
    server_key = ("--server-key", public.decode())
    words = ("events", "tail", server.events, "--replay", server.replay, "--count", "1")
    allowed = run(*words, *server_key, "--key-file", str(tmp_path / "own"), "--for", "20s")
    assert allowed.returncode == 0 and len(allowed.stdout.splitlines()) == 1, allowed.stderr
    stranger = run(*words, *server_key, "--for", "1s")
    assert stranger.stdout == "" and "refuses the handshake" in stranger.stderr


def test_tail_refuses_a_line_that_it_cannot_read():
    cases = [
        ([], "usage: headrace events tail ENDPOINT"),
        (["nowhere"], "ENDPOINT:"),
        (["tcp://127.0.0.1:1", "--count", "x"], "--count:"),
        (["tcp://127.0.0.1:1", "--other", "x"], 'no flag "other"'),
        (["tcp://127.0.0.1:1", "--server-key", "x"], "--server-key:"),
    ]
    for words, text in cases:
        result = run("events", "tail", *words)
        assert (result.returncode, result.stdout) == (2, "") and text in result.stderr, words
    assert run("events", "tail", "--help").returncode == 0


class Index(IndexAsker):
    """A server without a pool that follows these publishers."""

    def __init__(self, start_server, config, sources: dict[str, tuple[str, str]], *flags) -> None:
        rows = "".join(
            f"  - {{name: {name}, endpoint: '{endpoint}', replayEndpoint: '{replay}'}}\n"
            for name, (endpoint, replay) in sources.items()
        )
        config.write_text(f"models: [{{name: {MODEL}, tokenizer: bytes}}]\npods:\n{rows}")
        super().__init__(start_server("--index-config", str(config), *flags, pool="0"))

    def holders(self) -> int:
        status, page = self.ask("GET", "/v1/index/dump")
        assert status == 200, page
        return sum(len(x["holders"]) for x in page["blocks"])


@pytest.fixture
def start_index(start_server, tmp_path):
    numbers = iter(range(100))

    def start(publishers: list[Publisher], *flags: str, expected: int, token: str = "") -> Index:
        sources = {p.topic.split("@")[1]: (p.endpoint, p.replay) for p in publishers}
        index = Index(start_server, tmp_path / f"{next(numbers)}.yaml", sources, *flags)
        index.token = token

        def whole():
            for publisher in publishers:
                publisher.answer_replays()
            return index.holders() == expected

        wait_for(whole, 20, f"the index has {expected} holders")
        return index

    return start


@pytest.fixture
def two_pods(publish):
    """pod-a holds five blocks, pod-b the first two of them."""
    publishers = [publish("pod-a"), publish("pod-b")]
    publishers[0].publish(stored(tokens_of(5), 101), lost=True)
    publishers[1].publish(stored(tokens_of(2), 201), lost=True)
    return publishers


def comma(tokens: list[int]) -> str:
    return ",".join(map(str, tokens))


def test_score_prints_a_table_or_json(two_pods, start_index):
    index = start_index(two_pods, expected=7)
    words = ("index", "score", "--url", index.url, "--model", MODEL)
    table = run(*words, "--tokens", comma(tokens_of(5)))
    assert table.returncode == 0, table.stderr
    assert table.stdout.splitlines()[0] == "80 tokens, 5 blocks"
    rows = [x.split() for x in table.stdout.splitlines()[2:]]
    assert rows == [["pod-a", "5.00", "1.000", "5"], ["pod-b", "2.00", "0.400", "2"]]
    answer = run(
        *words, "--tokens", "-", "--pods", "pod-b", "--format", "json", text=comma(tokens_of(5))
    )
    assert [x["pod"] for x in json.loads(answer.stdout)["pods"]] == ["pod-b"]
    nothing = run(*words, "--prompt", "sixteen letters!" * 2)
    assert nothing.stdout == "32 tokens, 2 blocks\nno pod holds anything of it\n"
    salted = run(*words, "--tokens", comma(tokens_of(5)), "--salt", "blue")
    assert "no pod holds anything" in salted.stdout


def test_score_and_dump_say_why_they_are_refused(two_pods, start_index, tmp_path):
    file = tmp_path / "tokens"
    file.write_text(f"# ours\n\n{TOKEN}\n")
    index = start_index(two_pods, "--index-token-file", str(file), expected=7, token=TOKEN)
    score = ("index", "score", "--url", index.url, "--model", MODEL)
    score += ("--tokens", comma(tokens_of(1)))
    refused = run(*score)
    assert refused.returncode == 1 and "401" in refused.stderr and "authorization" in refused.stderr
    assert run("index", "dump", "--url", index.url).returncode == 1
    assert "pod-a" in run(*score, "--token-file", str(file)).stdout
    assert run("index", "dump", "--url", index.url, "--token-file", str(file)).returncode == 0
    gone = run("index", "score", "--url", f"127.0.0.1:{free_port()}", *score[4:])
    assert gone.returncode == 1 and "127.0.0.1" in gone.stderr
    chat = run(*score[:6], "--messages", "[]", "--token-file", str(file))
    assert chat.returncode == 1 and "400" in chat.stderr


def test_dump_writes_every_block_of_every_page(two_pods, start_index):
    index = start_index(two_pods, expected=7)
    dump = run("index", "dump", "--url", index.url, "--page", "2")
    assert dump.returncode == 0, dump.stderr
    blocks = [json.loads(x) for x in dump.stdout.splitlines()]
    hashed = run(
        *("hash", "--algo", "xxh64", "--model", MODEL, "--block-size", str(BLOCK)),
        *("--tokens", comma(tokens_of(5))),
    )
    keys = [line.split()[2] for line in hashed.stdout.splitlines()]
    assert sorted(x["key"] for x in blocks) == sorted(keys)
    held = {x["key"]: {h["pod"] for h in x["holders"]} for x in blocks}
    assert [held[key] for key in keys] == [{"pod-a", "pod-b"}] * 2 + [{"pod-a"}] * 3


def test_diff_of_two_indexes_and_of_a_file(two_pods, start_index, tmp_path):
    both = start_index(two_pods, expected=7)
    same = start_index(two_pods, expected=7)
    less = start_index(two_pods[:1], expected=5)
    assert run("index", "diff", both.url, same.url).returncode == 0
    different = run("index", "diff", both.url, less.url)
    assert different.returncode == 1
    lines = different.stdout.splitlines()
    assert len(lines) == 2 and all(re.fullmatch(r"< \d+ pod-b gpu", x) for x in lines)
    turned = run("index", "diff", less.url, both.url).stdout.splitlines()
    assert turned == [x.replace("<", ">") for x in lines]
    file = tmp_path / "dump"
    file.write_text(run("index", "dump", "--url", both.url).stdout)
    assert run("index", "diff", str(file), same.url).returncode == 0
    assert run("index", "diff", less.url, str(file)).returncode == 1
    file.write_text("no dump\n")
    broken = run("index", "diff", str(file), same.url)
    assert broken.returncode == 3 and "line 1" in broken.stderr
    assert run("index", "diff", both.url).returncode == 2
    assert run("index", "diff", str(tmp_path / "missing"), both.url).returncode == 3


def test_diff_of_an_index_and_its_publisher(
    publish, publishing, start_engine, start_server, tmp_path
):
    node = publishing()
    engine = start_engine(node.endpoint)
    chain = chain_of("prompt", 4)
    engine.save(chain)
    pod = publish("pod-a")  # teaches what the node's hashes mean
    taught = {**stored(tokens_of(4), 0), "block_hashes": [low_word(x) for x in chain]}
    pod.publish(taught, lost=True)
    sources = {"pod-a": (pod.endpoint, pod.replay), NODE: (node.events, node.replay)}
    index = Index(start_server, tmp_path / "index.yaml", sources)

    def whole():
        pod.answer_replays()
        return index.holders() == 8

    wait_for(whole, 20, "the index knows both")
    words = ("index", "diff", index.url, node.replay, "--topic", f"kv@{NODE}@{MODEL}")
    alike = run(*words)
    assert (alike.returncode, alike.stdout) == (0, ""), alike.stderr
    index.server.signal(signal.SIGSTOP)
    engine.save(chain_of("unknown", 1), [9])  # no engine has taught what that is
    index.server.signal(signal.SIGCONT)
    different = run(*words)
    assert different.returncode == 1
    assert different.stdout == f"> hash {low_word(chain_of('unknown', 1)[0])} {NODE} cpu\n"
    other = run(*words, "--pod", "pod-a")
    assert other.returncode == 1
    assert len([x for x in other.stdout.splitlines() if x.startswith("<")]) == 4
    nobody = run("index", "diff", index.url, pod.replay, "--topic", pod.topic)
    assert nobody.returncode == 3 and "snapshot" in nobody.stderr
    assert run("index", "diff", index.url, node.replay).returncode == 3


def test_help_says_what_there_is():
    assert run("index", "--help").returncode == 0
    for command in ("score", "dump", "diff"):
        result = run("index", command, "--help")
        assert result.returncode == 0
        assert result.stdout.startswith(f"usage: headrace index {command}")
        assert all(len(line) <= 100 for line in result.stdout.splitlines())
    for words in ([], ["other"], ["score"], ["dump", "--page", "0"]):
        assert run("index", *words).returncode == 2, words
    assert "index" in run("--help").stdout
