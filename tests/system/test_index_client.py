"""headrace.index, the Python client, against real indexes that keep the same."""

import pytest
from harness import free_port
from index_harness import IndexAsker
from publisher import MODEL, LivePublisher, stored, tokens_of

from headrace.index import IndexClient, IndexRefused, IndexUnavailable

TOKEN = "token-of-the-index-0123456789"


@pytest.fixture
def replicas(start_server, tmp_path):
    """Two servers that follow pod-a, which holds three blocks."""
    publisher = LivePublisher("pod-a")
    publisher.publish(stored(tokens_of(3), 1))
    config, tokens = tmp_path / "index.yaml", tmp_path / "tokens"
    config.write_text(
        f"models: [{{name: {MODEL}}}]\npods: [{{name: pod-a, endpoint: '{publisher.endpoint}',"
        f" replayEndpoint: '{publisher.replay}'}}]\n"
    )
    tokens.write_text(TOKEN + "\n")
    flags = ["--index-config", str(config), "--index-token-file", str(tokens)]
    servers = [start_server(*flags, pool="0") for _ in range(2)]
    for server in servers:
        IndexAsker(server, TOKEN).wait_score(tokens_of(3), {"pod-a": 3})
    yield servers
    publisher.close()


def addresses(servers) -> list[str]:
    return [f"127.0.0.1:{x.http}" for x in servers]


def test_scores_and_takes_the_next_replica_when_one_is_down(replicas):
    client = IndexClient(addresses(replicas), TOKEN)

    def blocks():
        return [(x.pod, x.blocks) for x in client.score(MODEL, token_ids=tokens_of(4))]

    assert blocks() == [("pod-a", 3)]
    replicas[0].kill()
    assert blocks() == [("pod-a", 3)]
    (score,) = client.score(MODEL, token_ids=tokens_of(4))
    assert (score.score, score.normalized, score.uncertain) == (3, 0.75, False)
    assert client.score(MODEL, ["nobody"], token_ids=tokens_of(4)) == []
    replicas[1].kill()
    with pytest.raises(IndexUnavailable):
        blocks()


def test_a_refusal_is_no_reason_to_ask_another(replicas):
    client = IndexClient([*addresses(replicas), f"127.0.0.1:{free_port()}"], TOKEN)
    with pytest.raises(IndexRefused, match="token_ids") as refused:
        client.score(MODEL, token_ids=["x"])
    assert refused.value.status == 400
    with pytest.raises(IndexRefused) as refused:
        IndexClient(addresses(replicas)).score(MODEL, token_ids=[1])
    assert refused.value.status == 401
    with pytest.raises(ValueError):
        IndexClient([])
