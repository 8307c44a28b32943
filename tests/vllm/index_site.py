"""An index over a real vLLM: the server that follows it, what it is asked, and what vLLM's own
blocks must be, computed from tokens alone by `headrace hash`."""

from __future__ import annotations

import json
import subprocess
import urllib.error
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import Ask, HeadraceServer, Place, Vllm, fetch

MODEL = "m"
POD = "pod-a"
ENGINE_BLOCK = 128
"""Tokens of vLLM's block on a CPU."""
INDEX_BLOCK = 16
SEED = "0"


@dataclass(frozen=True)
class Publisher:
    """Where a vLLM announces. Not tcp://127.0.0.1: vLLM dials what is no wildcard."""

    directory: Path

    @property
    def endpoint(self) -> str:
        return f"ipc://{self.directory}/events"

    @property
    def replay(self) -> str:
        return f"ipc://{self.directory}/replay"

    def config(self) -> dict[str, Any]:
        return {
            "enable_kv_cache_events": True,
            "publisher": "zmq",
            "endpoint": self.endpoint,
            "replay_endpoint": self.replay,
            "topic": f"kv@{POD}@{MODEL}",
        }


class IndexServer(HeadraceServer):
    """An index alone, following one pod."""

    started = "/health"

    def __init__(self, place: Place, logs: Path, publisher: Publisher) -> None:
        super().__init__(place, logs, "index", pool="0")
        config = self.directory / "index.yaml"
        config.write_text(
            f"tokenProcessorConfig: {{blockSizeTokens: {INDEX_BLOCK}}}\n"
            f"pods: [{{name: {POD}, endpoint: '{publisher.endpoint}',"
            f" replayEndpoint: '{publisher.replay}'}}]\n"
        )
        self.command += ["--index", "on", "--index-config", config]

    def ask(self, path: str, body: Any = None) -> Any:
        return json.loads(fetch(self.url + path, body, timeout=30))

    def score(self, tokens: list[int], **extra: Any) -> dict[str, float]:
        body = {"model": MODEL, "token_ids": tokens, **({"extra": extra} if extra else {})}
        return {x["pod"]: x["score"] for x in self.ask("/v1/score", body)["pods"]}

    def held(self) -> dict[str, set[str]]:
        """Every block that somebody holds: its key, and the pods."""
        found, cursor = {}, 0
        while True:
            page = self.ask(f"/v1/index/dump?cursor={cursor}&limit=1024")
            for block in page["blocks"]:
                if block["holders"]:
                    found[block["key"]] = {x["pod"] for x in block["holders"]}
            cursor = page["next"]
            if cursor == 0:
                return found

    def names(self, engine_hash: int) -> list[str]:
        """The keys of the held blocks that an engine's hash names."""
        try:
            blocks = self.ask(f"/v1/index/lookup?hash={engine_hash}&model={MODEL}")["blocks"]
        except urllib.error.HTTPError as error:
            assert error.code == 404, error.read()
            return []
        return [x["key"] for x in blocks if x["holders"]]


class Hasher:
    """`headrace hash`, over many prompts."""

    def __init__(self, place: Place) -> None:
        self._program = place.build / "bin" / "headrace"

    def _numbers(self, tokens: list[int], *flags: str) -> list[str]:
        text = ",".join(map(str, tokens))
        done = subprocess.run(
            [self._program, "hash", "--tokens", "-", *flags],
            input=text,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        return [line.split()[2] for line in done.stdout.splitlines()]

    def engine(self, tokens: list[int], extra: dict[str, Any] | None = None) -> list[int]:
        """vLLM's own, one a full block of vLLM's."""
        flags = ["--algo", "sha256_cbor", "--seed", SEED, "--block-size", str(ENGINE_BLOCK)]
        if extra:
            flags += ["--extra", json.dumps(extra)]
        return [int(x) for x in self._numbers(tokens, *flags)]

    def index(self, tokens: list[int]) -> list[str]:
        """The index's keys."""
        flags = ["--algo", "xxh64", "--model", MODEL, "--block-size", str(INDEX_BLOCK)]
        return self._numbers(tokens, *flags)


def full_blocks(tokens: list[int]) -> list[int]:
    """Those that fill vLLM's blocks."""
    return tokens[: len(tokens) // ENGINE_BLOCK * ENGINE_BLOCK]


def reset(vllm: Vllm) -> None:
    """Its events leave with the next step: give it one."""
    vllm.reset()
    vllm.complete(Ask([7, 8, 9], max_tokens=2))


def cached_tokens(vllm: Vllm, ask: Ask) -> list[int]:
    """What vLLM has the KV of after it answered: all but the last token that it sampled."""
    return ask.prompt + vllm.complete(ask).ids[:-1]


def keys_of(hasher: Hasher, sequences: Iterable[list[int]]) -> set[str]:
    return {key for tokens in sequences for key in hasher.index(full_blocks(tokens))}
