"""A node's registration lists the pods it serves: an entry of the node counts for each of them."""

import pytest
from harness import chain_of, free_port, wait_for
from publisher import MODEL, stored, tokens_of

NODE = "node-a:50055"


def low_words(hashes) -> list[int]:
    return [int.from_bytes(h[-8:], "big") for h in hashes]


@pytest.fixture
def node(start_server):
    """A server that publishes, with the endpoints that an index asks for."""
    endpoints = [f"tcp://127.0.0.1:{free_port()}" for _ in range(2)]
    flags = ["--events-endpoint", endpoints[0], "--events-replay-endpoint", endpoints[1]]
    server = start_server(*flags, "--events-topic-node", NODE)
    server.body = {"endpoint": endpoints[0], "replay_endpoint": endpoints[1]}
    return server


def test_what_a_node_holds_counts_for_the_pods_it_serves(make_index, node, start_engine):
    index, tokens, hashes = make_index(), tokens_of(3), chain_of("shared", 3)

    def becomes(expected: dict[str, float], what: str) -> None:
        def right() -> bool:
            index.answer_replays()
            scores = index.score(tokens)
            return {pod: scores.get(pod, 0) for pod in expected} == pytest.approx(expected)

        wait_for(right, 20, f"{what}; the scores are {index.score(tokens)}")

    # The pods name their model otherwise than the node its topic: by content, not by name.
    pods = {"instance": "a", "pods": ["pod-a"], "pods_model": MODEL}
    engine = start_engine(node.endpoint, name_space="digest-of-weights", **pods)
    engine.save(hashes)
    assert index.ask("PUT", "/v1/index/pods/node-a%3A50055", node.body)[0] in (200, 201)
    told = {**stored(tokens, 0), "block_hashes": low_words(hashes)}
    index.publishers["pod-a"].publish(told)
    becomes({"pod-a": 3, "pod-b": 0}, "nearer than the node's is the pod's own")
    gone = {"type": "BlockRemoved", "block_hashes": low_words(hashes), "medium": "GPU"}
    index.publishers["pod-a"].publish(gone)
    becomes({"pod-a": 3 * 0.8, "pod-b": 0}, "the node has it")

    pods = {"instance": "b", "pods": ["pod-b"], "pods_model": MODEL}
    start_engine(node.endpoint, name_space="digest-of-weights", **pods)
    becomes({"pod-a": 3 * 0.8, "pod-b": 3 * 0.8}, "it serves both")
    engine.client.close()
    becomes({"pod-a": 0, "pod-b": 3 * 0.8}, "it serves one")
