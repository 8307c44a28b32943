"""Two real replicas that split an index: each prompt has one of them, and clients find it."""

import json
import subprocess

import pytest
from harness import BUILD, free_port, wait_for
from index_harness import IndexAsker
from publisher import MODEL, LivePublisher, stored, tokens_of

from headrace.index import IndexClient, IndexUnavailable

TOKEN = "token-of-the-index-0123456789"
FIRST_BLOCKS = 3
BLOCKS = 6
PROMPTS = 24


def prompt(number: int) -> list[int]:
    return tokens_of(BLOCKS, 1 + 1000 * number)


def write_chat_model(folder):
    """A word is a token, a chat is what was said."""
    folder.mkdir()
    words = {"[UNK]": 0, **{f"w{i}": i for i in range(1, 100)}}
    model = {"type": "WordLevel", "vocab": words, "unk_token": "[UNK]"}
    tokenizer = {"version": "1.0", "model": model, "pre_tokenizer": {"type": "Whitespace"}}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    template = "{% for m in messages %}{{ m.content }} {% endfor %}"
    (folder / "chat_template.jinja").write_text(template)
    return folder


class Split:
    """pod-a holds all of each prompt, pod-b the first five blocks of it."""

    def __init__(self, start_server, directory) -> None:
        self.publishers = [LivePublisher("pod-a"), LivePublisher("pod-b")]
        for number in range(PROMPTS):
            self.publish(number)
        ports = [free_port(), free_port()]
        self.addresses = [f"127.0.0.1:{port}" for port in ports]
        self.tokens = directory / "tokens"
        self.tokens.write_text(TOKEN + "\n")
        pods = "".join(
            f"  - {{name: pod-{name}, endpoint: '{x.endpoint}', replayEndpoint: '{x.replay}'}}\n"
            for name, x in zip("ab", self.publishers, strict=True)
        )
        chatty = write_chat_model(directory / "chatty")
        self.servers = []
        for port, address in zip(ports, self.addresses, strict=True):
            config = directory / f"{port}.yaml"
            config.write_text(
                f"models: [{{name: {MODEL}, tokenizer: bytes}},"
                f" {{name: chatty, tokenizer: '{chatty}'}}]\npods:\n{pods}"
                f"replicas: {json.dumps(self.addresses)}\nreplica: '{address}'\n"
                f"shardBlocks: {FIRST_BLOCKS}\n"
            )
            flags = ["--http-addr", address, "--index-config", str(config)]
            flags += ["--index-token-file", str(self.tokens)]
            server = start_server(*flags, pool="0", ready=False)
            server.http = port
            self.servers.append(server)
            wait_for(server.is_serving, 10, "the replica serves")
        self.askers = [IndexAsker(x, TOKEN) for x in self.servers]

    def publish(self, number: int) -> None:
        tokens = prompt(number)
        self.publishers[0].publish(stored(tokens, 1000 * number + 1))
        self.publishers[1].publish(stored(tokens[: 5 * 16], 1000 * number + 1))

    def ask(self, replica: int, tokens, route="/v1/score", **more):
        body = {"model": MODEL, "token_ids": tokens, **more}
        return self.askers[replica].ask("POST", route, body)

    def is_scored(self, replica: int, number: int) -> bool:
        """By the replica that has it, by all that was told of it."""
        status, answer = self.ask(replica, prompt(number))
        assert status == 200, answer
        return [(x["pod"], x["blocks"]) for x in answer["pods"]] == [
            ("pod-a", 6),
            ("pod-b", 5),
        ]

    def owner(self, number: int) -> int:
        """The other one names it."""
        replies = [self.ask(replica, prompt(number)) for replica in (0, 1)]
        (owner,) = [replica for replica in (0, 1) if replies[replica][0] == 200]
        moved = {"replica": {"addresses": [self.addresses[owner]]}}
        assert replies[1 - owner] == (307, moved)
        return owner

    def wait_whole(self) -> list[int]:
        """Each prompt's owner."""
        owners = [self.owner(number) for number in range(PROMPTS)]
        for number, owner in enumerate(owners):
            wait_for(
                lambda n=number, o=owner: self.is_scored(o, n), 20, f"{number} is known"
            )
        return owners

    def score(self, address: str, number: int) -> subprocess.CompletedProcess:
        """`headrace index score`, which is told of this address only."""
        words = ["--url", address, "--token-file", str(self.tokens), "--model", MODEL]
        words += ["--tokens", ",".join(map(str, prompt(number))), "--format", "json"]
        return subprocess.run(
            [str(BUILD / "bin" / "headrace"), "index", "score", *words],
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def close(self) -> None:
        for publisher in self.publishers:
            publisher.close()


@pytest.fixture
def split(start_server, tmp_path):
    made = Split(start_server, tmp_path)
    yield made
    made.close()


def test_a_prompt_has_one_replica_and_the_other_names_it(split):
    owners = split.wait_whole()
    assert set(owners) == {0, 1}
    for replica, asker in enumerate(split.askers):
        assert asker.ask("GET", "/v1/index/replicas") == (
            200,
            {
                "replicas": split.addresses,
                "replica": split.addresses[replica],
                "shardBlocks": FIRST_BLOCKS,
                "hash": {"algorithm": "xxh64", "seed": "", "blockTokens": 16},
            },
        )
        # Stems are kept by both, what stands behind them by one.
        own = owners.count(replica) * (BLOCKS - FIRST_BLOCKS + 1)
        stats = asker.ask("GET", "/v1/index/stats")[1]
        assert stats["blocks"] == PROMPTS * (FIRST_BLOCKS - 1) + own
        assert stats["requests_moved"] == owners.count(1 - replica)
        # Of each foreign prompt four blocks of pod-a and three of pod-b.
        foreign = 7 * owners.count(1 - replica)
        assert stats["foreign_blocks"] == foreign
        counted = {"headrace_index_foreign_blocks_total": foreign}
        counted["headrace_index_moved_requests_total"] = owners.count(1 - replica)
        server = split.servers[replica]
        wait_for(
            lambda s=server, c=counted: c.items() <= s.metrics().items(),
            10,
            str(counted),
        )
        for number in range(PROMPTS):
            stem = prompt(number)[: (FIRST_BLOCKS - 1) * 16]
            assert asker.score(stem) == {"pod-a": 2, "pod-b": 2}


def test_every_route_with_a_prompt_names_the_owner(split):
    text = "sixteen letters!" * BLOCKS
    body = {"model": MODEL, "prompt": text}
    routes = ["/v1/score", "/score_completions", "/v1/index/announce"]
    for route in routes:
        more = {"pod": "pod-a", "ttl_seconds": 60} if "announce" in route else {}
        replies = [x.ask("POST", route, {**body, **more}) for x in split.askers]
        assert sorted(status for status, _ in replies) == [200, 307], replies
    words = " ".join(f"w{i}" for i in range(1, 16 * BLOCKS + 1))
    chat = {"model": "chatty", "messages": [{"role": "user", "content": words}]}
    moved = [x.ask("POST", "/score_chat_completions", chat) for x in split.askers]
    assert sorted(status for status, _ in moved) == [200, 307], moved
    owner = [status for status, _ in replies].index(200)
    assert split.askers[owner].score(list(text.encode())) == {"pod-a": BLOCKS}


def test_clients_find_the_replica_that_has_it(split):
    owners = split.wait_whole()
    for address in split.addresses:
        client = IndexClient([address], TOKEN)
        for number in range(PROMPTS):
            scores = client.score(MODEL, token_ids=prompt(number))
            assert [(x.pod, x.blocks) for x in scores] == [("pod-a", 6), ("pod-b", 5)]
        for number in (owners.index(0), owners.index(1)):
            done = split.score(address, number)
            assert done.returncode == 0, done.stderr
            assert [x["blocks"] for x in json.loads(done.stdout)["pods"]] == [6, 5]


def test_a_killed_replica_comes_back_whole_while_the_other_answers(split):
    owners = split.wait_whole()
    dead, alive = 0, 1
    kept = [number for number in range(PROMPTS) if owners[number] == alive]
    lost = [number for number in range(PROMPTS) if owners[number] == dead]
    split.servers[dead].kill()
    client = IndexClient(split.addresses, TOKEN)

    def others_are_answered() -> bool:
        for number in kept:
            scores = client.score(MODEL, token_ids=prompt(number))
            assert [x.blocks for x in scores] == [6, 5]
        return True

    assert others_are_answered()
    with pytest.raises(IndexUnavailable):
        client.score(MODEL, token_ids=prompt(lost[0]))
    done = split.score(split.addresses[alive], lost[0])
    assert done.returncode != 0 and split.addresses[dead] in done.stderr
    # What it is told of nobody but the publishers knows.
    split.publishers[1].publish(
        {"type": "BlockRemoved", "block_hashes": [1000 * lost[0] + 2], "medium": "GPU"}
    )
    for number in range(PROMPTS, PROMPTS + 8):
        split.publish(number)

    split.servers[dead].start(pool_wait=False)

    def is_whole() -> bool:
        assert others_are_answered()
        status, answer = split.ask(dead, prompt(lost[0]))
        assert status == 200, answer
        found = {x["pod"]: x["blocks"] for x in answer["pods"]}
        return found == {"pod-a": 6, "pod-b": 1} and all(
            split.is_scored(dead, number) for number in lost[1:]
        )

    wait_for(is_whole, 20, "the replica has heard it all again")
    for number in range(PROMPTS, PROMPTS + 8):
        owner = split.owner(number)
        wait_for(
            lambda n=number, o=owner: split.is_scored(o, n), 20, f"{number} is known"
        )
