"""Settings of the connector: kv_connector_extra_config, then the environment, which wins."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from vllm.logger import init_logger

logger = init_logger("vllm.headrace")

PREFIX = "headrace."
SKIP_SAVE = "skip_save"
MAX_LOAD_TOKENS = "max_load_tokens"
_WORTH_LOADING_TOKENS = 64
"""An asynchronous load costs a scheduler round trip; fewer tokens are computed sooner than loaded
(128 tokens: 0.04 s to load, 0.115 s to compute on the CPU back end)."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the user may set, each under "headrace.<name>" in kv_connector_extra_config."""

    endpoint: str | None = None
    instance_id: str | None = None
    audit_share: float = 0.0
    """Share of hits that are computed all the same and compared with what was stored."""
    load_timeout_ms: int = 3000
    save_timeout_ms: int = 3000
    """A transfer that takes longer is revoked, so a frozen server holds vLLM's blocks no longer."""
    query_timeout_ms: int = 5
    save_decode: bool = True
    """Also save blocks that generated tokens fill."""
    min_load_blocks: int = 0
    """Shorter external hits are computed; 0: as many blocks as make 64 tokens."""

    def blocks_worth_loading(self, block_tokens: int) -> int:
        if self.min_load_blocks > 0:
            return self.min_load_blocks
        return -(-_WORTH_LOADING_TOKENS // block_tokens)

    def whole_prompt_worth_loading(self, block_tokens: int) -> bool:
        """Whether loading the last block is cheaper than computing it."""
        return block_tokens >= _WORTH_LOADING_TOKENS


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value or None
    raise TypeError("a string")


def _share(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise TypeError("a number from 0.0 to 1.0")
    return float(value)


def _positive(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
        raise TypeError("a whole number above 0")
    return value


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise TypeError("a whole number, 0 or more")
    return value


def _switch(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError("true or false")
    return value


_PARSERS: dict[str, Callable[[Any], Any]] = {
    "endpoint": _text,
    "instance_id": _text,
    "audit_share": _share,
    "load_timeout_ms": _positive,
    "save_timeout_ms": _positive,
    "query_timeout_ms": _positive,
    "save_decode": _switch,
    "min_load_blocks": _count,
}
assert set(_PARSERS) == {f.name for f in fields(Settings)}


def parse_settings(
    extra: Mapping[str, Any], environ: Mapping[str, str] | None = None
) -> Settings:
    """Raises ValueError naming the key and what would be right; warns once of unknown keys."""
    environ = os.environ if environ is None else environ
    values: dict[str, Any] = {}
    for key, value in extra.items():
        if not key.startswith(PREFIX):
            continue
        name = key[len(PREFIX) :]
        parser = _PARSERS.get(name)
        if parser is None:
            known = ", ".join(PREFIX + n for n in _PARSERS)
            logger.warning("headrace: unknown setting %s is ignored; known are %s", key, known)
            continue
        try:
            values[name] = parser(value)
        except TypeError as error:
            raise ValueError(f"{key} is {value!r}, it must be {error}") from None
    if environ.get("HEADRACE_ENGINE_ENDPOINT"):
        values["endpoint"] = environ["HEADRACE_ENGINE_ENDPOINT"]
    if environ.get("HEADRACE_INSTANCE_ID"):
        values["instance_id"] = environ["HEADRACE_INSTANCE_ID"]
    return Settings(**values)


@dataclass(frozen=True, slots=True)
class RequestOptions:
    """What one request may ask for in its kv_transfer_params."""

    skip_save: bool = False
    max_load_tokens: int | None = None


def parse_request_options(params: Any) -> RequestOptions:
    """A value that makes no sense is as if it were not there: requests come from anybody."""
    if not isinstance(params, Mapping):
        return RequestOptions()

    def get(name: str) -> Any:
        return params.get(PREFIX + name, params.get(name))

    limit = get(MAX_LOAD_TOKENS)
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 0:
        limit = None
    return RequestOptions(skip_save=get(SKIP_SAVE) is True, max_load_tokens=limit)
