"""vLLM's own classes, made small: requests with real block hashes, cache configs, step outputs."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import torch
from vllm.sampling_params import SamplingParams
from vllm.utils.hashing import sha256_cbor
from vllm.v1.core.kv_cache_utils import get_request_block_hasher, init_none_hash
from vllm.v1.kv_cache_interface import (
    FullAttentionSpec,
    KVCacheConfig,
    KVCacheGroupSpec,
    KVCacheTensor,
    SlidingWindowSpec,
)
from vllm.v1.request import Request

init_none_hash(sha256_cbor)
_ids = itertools.count()

HEADS, HEAD_SIZE = 2, 8


def make_request(
    tokens: int | list[int],
    block_size: int,
    *,
    params: dict | None = None,
    skip_reading: bool | None = None,
    salt: str | None = None,
    max_tokens: int = 64,
) -> Request:
    """`tokens`: the prompt, or how long it is (the same tokens for the same length's prefix)."""
    prompt = list(range(tokens)) if isinstance(tokens, int) else tokens
    extra = {"kv_transfer_params": params} if params else None
    sampling = SamplingParams(
        max_tokens=max_tokens, extra_args=extra, skip_reading_prefix_cache=skip_reading
    )
    return Request(
        request_id=f"r{next(_ids)}",
        prompt_token_ids=prompt,
        sampling_params=sampling,
        pooling_params=None,
        cache_salt=salt,
        block_hasher=get_request_block_hasher(block_size, sha256_cbor),
    )


def attention_spec(block_size: int, window: int | None = None):
    common = dict(
        block_size=block_size, num_kv_heads=HEADS, head_size=HEAD_SIZE, dtype=torch.bfloat16
    )
    if window is None:
        return FullAttentionSpec(**common)
    return SlidingWindowSpec(sliding_window=window, **common)


def cache_config(
    block_size: int,
    num_blocks: int = 16,
    layers: int = 2,
    windows: tuple[int | None, ...] = (None,),
    hash_block_size: int | None = None,
) -> KVCacheConfig:
    """One group a window (None: full attention), groups lying over each other as vLLM does it."""
    page = attention_spec(block_size).page_size_bytes
    groups, tensors = [], []
    for index, window in enumerate(windows):
        names = [f"g{index}.layer{layer}" for layer in range(layers)]
        groups.append(KVCacheGroupSpec(names, attention_spec(block_size, window)))
        tensors.append(
            KVCacheTensor(
                size=page * num_blocks * layers,
                layers=names,
                layer_stride=page * num_blocks,
                block_stride=page,
            )
        )
    return KVCacheConfig(
        num_blocks=num_blocks,
        kv_cache_tensors=tensors,
        kv_cache_groups=groups,
        kv_cache_layout="LBHNC",
        hash_block_size=hash_block_size,
    )


def make_caches(config: KVCacheConfig, block_size: int) -> dict[str, torch.Tensor]:
    """One zeroed buffer, and vLLM's 4-D views of it: [blocks, heads, tokens, K and V]."""
    page = attention_spec(block_size).page_size_bytes
    layers = len(config.kv_cache_groups[0].layer_names)
    raw = torch.zeros(page * config.num_blocks * layers, dtype=torch.int8)
    caches = {}
    for group in config.kv_cache_groups:
        for layer, name in enumerate(group.layer_names):
            part = raw[layer * page * config.num_blocks : (layer + 1) * page * config.num_blocks]
            shape = (config.num_blocks, HEADS, block_size, 2 * HEAD_SIZE)
            caches[name] = part.view(torch.bfloat16).view(shape)
    return caches


class Tables:
    """Stands for vLLM's KVConnectorBlockState."""

    def __init__(self, tables: dict[str, tuple[list[int], ...]]) -> None:
        self._tables = tables

    def get_block_ids(self, request_id: str) -> tuple[list[int], ...] | None:
        return self._tables.get(request_id)


def step(
    scheduled: dict[Request, int] | None = None,
    tables: dict[Request, tuple[list[int], ...]] | None = None,
    preempted: list[Request] | None = None,
) -> SimpleNamespace:
    """What build_connector_meta reads of a SchedulerOutput. Call computed() afterwards."""
    scheduled = scheduled or {}
    return SimpleNamespace(
        num_scheduled_tokens={r.request_id: n for r, n in scheduled.items()},
        total_num_scheduled_tokens=sum(scheduled.values()),
        preempted_req_ids={r.request_id for r in preempted or ()},
        kv_connector_block_state=Tables({r.request_id: t for r, t in (tables or {}).items()}),
    )


def computed(scheduled: dict[Request, int]) -> None:
    """What vLLM does after a step."""
    for request, tokens in scheduled.items():
        request.num_computed_tokens += tokens
