"""Settings of the connector: kv_connector_extra_config, then the environment, which wins."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from vllm.config import VllmConfig
from vllm.logger import init_logger

logger = init_logger("vllm.headrace")

PREFIX = "headrace."
SKIP_SAVE = "skip_save"
MAX_LOAD_TOKENS = "max_load_tokens"
_TOPIC = re.compile(r"(kv@([^@]*)(?:@(.*))?)?.*", re.DOTALL)  # matches whatever it is
_MAX_PODS = 64
_MAX_NAME_BYTES = 256
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
    pods: tuple[str, ...] = ()
    """This engine in the topics of its own events, kv@<pod>@<model>; none: as its topic says."""
    pods_model: str | None = None

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


def _pods(value: Any) -> tuple[str, ...]:
    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise TypeError("a list of names, or names with commas between")
    names = tuple(name.strip() for name in names)
    if len(names) > _MAX_PODS or not all(map(_is_pod, names)):
        raise TypeError(f"at most {_MAX_PODS} names of 1 to 256 bytes without @")
    return names


def _is_name(name: str) -> bool:
    return 0 < len(name.encode()) <= _MAX_NAME_BYTES and name.isprintable()


def _is_pod(name: str) -> bool:
    return _is_name(name) and "@" not in name


def _model(value: Any) -> str | None:
    if value is not None and not (isinstance(value, str) and _is_name(value)):
        raise TypeError("a name of 1 to 256 bytes")
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
    "pods": _pods,
    "pods_model": _model,
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
    if environ.get("HEADRACE_PODS"):
        try:
            values["pods"] = _pods(environ["HEADRACE_PODS"])
        except TypeError as error:
            raise ValueError(f"HEADRACE_PODS must be {error}") from None
    return Settings(**values)


def served_pods(settings: Settings, config: VllmConfig) -> tuple[tuple[str, ...], str]:
    """The pods that this engine is, and its model, as its own events' topics name them: settings,
    else its topic. Without either nothing the server holds counts for it in an index."""
    topic = getattr(getattr(config, "kv_events_config", None), "topic", None) or ""
    _, pod, model = _TOPIC.fullmatch(topic).groups()
    pods = settings.pods or ((pod,) if pod else ())
    if not pods:
        return (), ""
    name = settings.pods_model or model or _served_name(config)
    if not all(map(_is_pod, pods)) or not _is_name(name):
        logger.warning(
            "headrace: pods %s of model %r are no names: no index counts them", pods, name
        )
        return (), ""
    return pods, name


def _served_name(config: VllmConfig) -> str:
    name = getattr(config.model_config, "served_model_name", None) or config.model_config.model
    return name if isinstance(name, str) else str(name[0])


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
