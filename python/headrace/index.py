"""Asks index replicas which pod holds how much of a prompt.

Needs nothing but Python: no server, no client library. docs/index_api.md has the questions and
answers, and says how replicas share an index.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["IndexClient", "IndexRefused", "IndexUnavailable", "PodScore"]

_MOVED = 307
_MOST_MOVES = 2
_MOST_BYTES = 64 << 20


class IndexRefused(Exception):
    """The question is wrong, or the token does not open it: asking again does not help."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status} {message}")
        self.status = status


class IndexUnavailable(Exception):
    """No replica that could know the answer is there. It says nothing about the pods."""


@dataclass(frozen=True)
class PodScore:
    pod: str
    score: float
    normalized: float
    blocks: int
    uncertain: bool


class IndexClient:
    """Asks the replica that answered last, then the others; follows one that names another.

    `replicas` are addresses, "10.0.0.1:9091". One thread at a time.
    """

    def __init__(self, replicas: Sequence[str], token: str = "", timeout: float = 2.0) -> None:
        if not replicas:
            raise ValueError("replicas: at least one address is needed")
        self._replicas = list(replicas)
        self._token = token
        self._timeout = timeout

    def score(self, model: str, pods: Sequence[str] = (), **question: Any) -> list[PodScore]:
        """Best first; pods that hold nothing of the prompt are left out.

        `question` is one of prompt=, token_ids= and messages=, and what else the request takes.
        """
        body = {"model": model, **question, **({"pods": list(pods)} if pods else {})}
        answer = self._ask(json.dumps(body).encode())
        return [
            PodScore(
                pod=x["pod"],
                score=x["score"],
                normalized=x["normalized"],
                blocks=x["blocks"],
                uncertain=x.get("uncertain", False),
            )
            for x in answer["pods"]
        ]

    def _ask(self, body: bytes) -> Mapping[str, Any]:
        order, moves, why = list(self._replicas), 0, ""
        while order:
            address = order.pop(0)
            try:
                status, answer = self._exchange(address, body)
            except (OSError, http.client.HTTPException, ValueError) as error:
                why = f"{address}: {error or type(error).__name__}"
                continue
            if status == 200:
                self._prefer(address)
                return answer
            if status == _MOVED and moves < _MOST_MOVES:
                # Only they can know: this replica has other prompts.
                moves += 1
                order = list(answer["replica"]["addresses"])
                continue
            error = answer.get("error", {})
            why = f"{address} answers {status} {error.get('field', '')} {error.get('message', '')}"
            if 400 <= status < 500:
                raise IndexRefused(status, f"{error.get('field', '')}: {error.get('message', '')}")
        raise IndexUnavailable(why)

    def _exchange(self, address: str, body: bytes) -> tuple[int, Mapping[str, Any]]:
        connection = http.client.HTTPConnection(address, timeout=self._timeout)
        try:
            headers = {"Content-Type": "application/json"}
            if self._token:
                headers["Authorization"] = f"Bearer {self._token}"
            connection.request("POST", "/v1/score", body, headers)
            reply = connection.getresponse()
            answer = json.loads(reply.read(_MOST_BYTES))
            if not isinstance(answer, dict):
                raise ValueError("the answer is none of an index")
            return reply.status, answer
        finally:
            connection.close()

    def _prefer(self, address: str) -> None:
        if address in self._replicas:
            self._replicas.remove(address)
            self._replicas.insert(0, address)
