"""For tests of the index: servers that can be asked, and one that follows publishers."""

import json
import urllib.error
import urllib.parse
import urllib.request

import pytest
from harness import wait_for
from publisher import MODEL, Publisher


class IndexAsker:
    """Asks a server with an index."""

    def __init__(self, server, token: str = "") -> None:
        self.server, self.token = server, token
        self.address = f"127.0.0.1:{server.http}"
        self.url = f"http://{self.address}"

    def before_asking(self) -> None:
        """What else has to go on while a score is waited for."""

    def ask(self, method: str, path: str, body=None, token: str = ""):
        """(status, parsed answer)"""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method)
        if token or self.token:
            request.add_header("Authorization", f"Bearer {token or self.token}")
        try:
            with urllib.request.urlopen(request, timeout=10) as reply:
                return reply.status, json.loads(reply.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def score(self, tokens: list[int], **more) -> dict[str, float]:
        """pod -> score"""
        body = {"model": MODEL, "token_ids": tokens, **more}
        status, answer = self.ask("POST", "/v1/score", body)
        assert status == 200, answer
        return {x["pod"]: x["score"] for x in answer["pods"]}

    def wait_score(self, tokens: list[int], expected: dict[str, float], **more) -> None:
        def right():
            self.before_asking()
            return self.score(tokens, **more) == pytest.approx(expected)

        wait_for(right, 20, f"the score is {expected}; it was {self.score(tokens, **more)}")


class Index(IndexAsker):
    """A server without a pool. `listed` publishers stand in its configuration from the start."""

    def __init__(self, start_server, config, *flags, models="", more="", listed=True) -> None:
        self.publishers = {pod: Publisher(pod) for pod in ("pod-a", "pod-b")}
        pods = "pods:\n" + "".join(
            f"  - {{name: {name}, endpoint: '{p.endpoint}', replayEndpoint: '{p.replay}'}}\n"
            for name, p in self.publishers.items())
        config.write_text(
            f"models:\n  - {{name: {MODEL}, tokenizer: bytes}}\n{models}{more}"
            f"{pods if listed else ''}")
        super().__init__(start_server("--index-config", str(config), *flags, pool="0"))
        if listed:
            self.connected(len(self.publishers))

    def before_asking(self) -> None:
        self.answer_replays()

    def answer_replays(self) -> None:
        for publisher in self.publishers.values():
            publisher.answer_replays()

    def connected(self, times: int) -> None:
        """Publishers were dialled so often in all: what they send now is not lost."""
        def heard():
            self.answer_replays()
            metrics = self.server.metrics()
            return metrics.get("headrace_index_connects_total", 0) >= times
        wait_for(heard, 20, "the publishers are followed")

    def close(self) -> None:
        for publisher in self.publishers.values():
            publisher.close()

    def put_pod(self, pod: str, publisher: Publisher, **more):
        return self.ask("PUT", f"/v1/index/pods/{urllib.parse.quote(pod)}",
                        {"endpoint": publisher.endpoint, "replay_endpoint": publisher.replay,
                         **more})
