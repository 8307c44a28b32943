#!/usr/bin/env python3
"""A scorer for a gateway: says which pod a request should go to.

    gateway_scorer.py --port 8080 --index 10.0.0.1:9091,10.0.0.2:9091 --pods pod-a,pod-b

POST /pick takes the body of an OpenAI request (`model` and one of `prompt`, `messages`,
`token_ids`) and answers {"pod": NAME, "blocks": N}. The pod that holds most of the prompt wins,
unless it has too much to do already; without an index that answers, pods take turns. POST /done
{"pod": NAME} says that a request is over.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import sys
import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "python"))

from headrace.index import IndexClient, IndexRefused, IndexUnavailable, PodScore  # noqa: E402

QUESTION = ("prompt", "messages", "token_ids", "tools")
SLACK = 8
"""Requests that a pod may have more than the idlest one before its cache counts no more."""


def choose(scores: Sequence[PodScore], running: dict[str, int]) -> tuple[str, int]:
    """(pod, blocks of it that need not be computed)"""
    least = min(running.values())
    for score in scores:  # best first
        # A pod whose events have a gap may hold less than it seems to.
        if not score.uncertain and running.get(score.pod, SLACK + least + 1) <= least + SLACK:
            return score.pod, score.blocks
    return min(running, key=lambda pod: running[pod]), 0


class Gateway:
    """Which pods there are, and how many requests each has. Any thread."""

    def __init__(self, replicas: Sequence[str], token: str, pods: Sequence[str]) -> None:
        self._replicas, self._token = list(replicas), token
        self._running = dict.fromkeys(pods, 0)
        self._lock = threading.Lock()
        self._local = threading.local()

    def _scores(self, body: dict[str, Any]) -> Sequence[PodScore]:
        if not hasattr(self._local, "index"):
            self._local.index = IndexClient(self._replicas, self._token, timeout=0.5)
        question = {name: body[name] for name in QUESTION if name in body}
        if salt := body.get("cache_salt"):
            question["extra"] = {"cache_salt": salt}
        try:
            return self._local.index.score(body["model"], list(self._running), **question)
        except (IndexUnavailable, IndexRefused) as error:
            print(f"without an index: {error}", file=sys.stderr, flush=True)
            return ()

    def pick(self, body: dict[str, Any]) -> dict[str, Any]:
        scores = self._scores(body)
        with self._lock:
            pod, blocks = choose(scores, self._running)
            # The one that was picked goes last among equals: idle pods take turns.
            self._running[pod] = self._running.pop(pod) + 1
        return {"pod": pod, "blocks": blocks}

    def done(self, pod: str) -> dict[str, Any]:
        with self._lock:
            self._running[pod] = max(0, self._running[pod] - 1)
            return {"pod": pod, "running": self._running[pod]}


def handler_of(gateway: Gateway) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            try:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                routes = {
                    "/pick": lambda: gateway.pick(body),
                    "/done": lambda: gateway.done(body["pod"]),
                }
                status, answer = 200, routes[self.path]()
            except (KeyError, TypeError, ValueError) as error:
                status, answer = 400, {"error": f"{type(error).__name__}: {error}"}
            data = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--index", required=True, metavar="ADDRESS,...")
    parser.add_argument("--index-token-file", metavar="FILE")
    parser.add_argument("--pods", required=True, metavar="NAME,...")
    options = parser.parse_args()
    file = options.index_token_file
    token = pathlib.Path(file).read_text().split()[0] if file else ""
    gateway = Gateway(options.index.split(","), token, options.pods.split(","))
    ThreadingHTTPServer((options.host, options.port), handler_of(gateway)).serve_forever()


if __name__ == "__main__":
    main()
