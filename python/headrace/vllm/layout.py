"""Where vLLM's KV blocks lie: from tensors and kv_cache_config to Headrace's groups and layouts.

A layout is never guessed: what the one affine formula cannot express raises LayoutError, and the
connector then says so and stays off.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import torch
from vllm.v1.kv_cache_interface import (
    ChunkedLocalAttentionSpec,
    FullAttentionSpec,
    KVCacheConfig,
    KVCacheSpec,
    SlidingWindowSpec,
    UniformTypeKVCacheSpecs,
)

from headrace.types import Group, GroupKind, Layout

class LayoutError(Exception):
    """This model's KV cache cannot be described to the server; the text says why."""


@dataclass(frozen=True, slots=True)
class GroupPlan:
    """What both halves know of one group without seeing a tensor."""

    group_id: int
    """vLLM's index, into the block tables."""
    layer_names: tuple[str, ...]
    kind: GroupKind
    window_blocks: int
    page_bytes: int
    """Of one block in one layer, without padding."""


@dataclass(frozen=True, slots=True)
class CachePlan:
    block_tokens: int
    hash_ratio: int
    """vLLM hashes a block (block_tokens / hash_ratio tokens) may be finer than its blocks."""
    groups: tuple[GroupPlan, ...]
    vllm_groups: int = 1
    """All of vLLM's groups, those included that are not kept."""

    def hash_index(self, block: int) -> int:
        """Index in request.block_hashes of the hash that names block `block` and its prefix."""
        return (block + 1) * self.hash_ratio - 1

    def hashes_of(self, block_hashes: Sequence[bytes], first: int, end: int) -> list[bytes]:
        """The names of blocks [first, end)."""
        return list(block_hashes[self.hash_index(first) : end * self.hash_ratio : self.hash_ratio])

    @property
    def has_windows(self) -> bool:
        """Window groups give blocks away while their request runs."""
        return any(group.kind is not GroupKind.FULL for group in self.groups)


@dataclass(frozen=True, slots=True)
class Segments:
    """One layer: `parts` runs of `bytes` for each block, in its storage."""

    offset: int
    block_stride: int
    bytes: int
    parts: int = 1
    part_stride: int = 0


def plan_cache(config: KVCacheConfig, block_tokens: int, hash_block_tokens: int) -> CachePlan:
    """Raises LayoutError."""
    groups = []
    kept = config.prefix_cacheable_group_ids
    if lost := set(config.transfer_group_ids) - set(kept):
        # A hit would leave these groups empty, and the model would answer nonsense.
        raise LayoutError(f"KV cache groups {sorted(lost)} cannot be kept by hash")
    for group_id in kept:
        group = config.kv_cache_groups[group_id]
        spec = _uniform_spec(group.kv_cache_spec)
        if spec.block_size != block_tokens:
            raise LayoutError(
                f"KV cache group {group_id} has blocks of {spec.block_size} tokens, the scheduler "
                f"of {block_tokens}; groups with different block sizes are not supported"
            )
        kind, window_blocks = _kind_of(spec)
        page = getattr(spec, "unpadded_page_size_bytes", spec.page_size_bytes)
        groups.append(
            GroupPlan(group_id, tuple(group.layer_names), kind, window_blocks, page)
        )
    if not groups:
        raise LayoutError("the model has no KV cache group that can be kept by hash")
    if block_tokens % hash_block_tokens != 0:
        raise LayoutError(
            f"blocks of {block_tokens} tokens are no multiple of the {hash_block_tokens} tokens "
            "that vLLM hashes"
        )
    ratio = block_tokens // hash_block_tokens
    return CachePlan(block_tokens, ratio, tuple(groups), len(config.kv_cache_groups))


def _uniform_spec(spec: KVCacheSpec) -> KVCacheSpec:
    if not isinstance(spec, UniformTypeKVCacheSpecs):
        return spec
    layers = list(spec.kv_cache_specs.values())
    if any(layer.page_size_bytes != layers[0].page_size_bytes for layer in layers):
        raise LayoutError("the layers of a KV cache group have blocks of different sizes")
    return layers[0]


def _kind_of(spec: KVCacheSpec) -> tuple[GroupKind, int]:
    if isinstance(spec, SlidingWindowSpec):
        return GroupKind.WINDOW, max(1, -(-(spec.sliding_window - 1) // spec.block_size))
    if isinstance(spec, ChunkedLocalAttentionSpec):
        # A chunk's start lies at most one chunk back.
        return GroupKind.WINDOW, max(1, -(-spec.attention_chunk_size // spec.block_size))
    if isinstance(spec, FullAttentionSpec):
        return GroupKind.FULL, 0
    # Of state models vLLM hands boundary states over by exact block ids, not in block tables; what
    # a table says of them may be another position's state.
    raise LayoutError(f"KV caches of kind {type(spec).__name__} are not supported")


def wire_groups(
    plan: CachePlan, config: KVCacheConfig, caches: Mapping[str, torch.Tensor]
) -> tuple[torch.UntypedStorage, list[Group]]:
    """The one storage that holds every layer, and the groups in it. Raises LayoutError."""
    storage: torch.UntypedStorage | None = None
    groups = []
    for group in plan.groups:
        layers = []
        for name in group.layer_names:
            if name not in caches:
                raise LayoutError(f"vLLM registered no KV cache for layer {name}")
            layer_storage = caches[name].untyped_storage()
            if storage is None:
                storage = layer_storage
            elif storage.data_ptr() != layer_storage.data_ptr():
                raise LayoutError("the KV cache lies in several allocations, not in one")
            layers.append(_layer_segments(name, group, config, caches[name]))
        groups.append(_group(group, layers, config.num_blocks))
    assert storage is not None
    return storage, groups


def _group(plan: GroupPlan, layers: Sequence[Segments], num_blocks: int) -> Group:
    first = layers[0]
    for layer in layers:
        same = (layer.block_stride, layer.bytes, layer.parts, layer.part_stride)
        if same != (first.block_stride, first.bytes, first.parts, first.part_stride):
            raise LayoutError(f"the layers of KV cache group {plan.group_id} differ in shape")
    return Group(
        layout=Layout(
            num_blocks=num_blocks,
            segment_bytes=first.bytes,
            block_stride=first.block_stride,
            layer_offsets=[layer.offset for layer in layers],
            parts=first.parts,
            part_stride=first.part_stride,
        ),
        kind=plan.kind,
        window_blocks=plan.window_blocks,
    )


def _layer_segments(
    name: str, group: GroupPlan, config: KVCacheConfig, cache: torch.Tensor
) -> Segments:
    recorded = _recorded_segments(name, group, config)
    segments = tensor_segments(cache, config.num_blocks)
    if recorded is not None and segments.parts == 1:
        same = (segments.offset, segments.block_stride) == (recorded.offset, recorded.block_stride)
        if not same or segments.bytes > recorded.bytes:
            raise LayoutError(
                f"layer {name}: the tensor says {segments}, kv_cache_config says {recorded}"
            )
    return segments


def _recorded_segments(name: str, group: GroupPlan, config: KVCacheConfig) -> Segments | None:
    for record in config.kv_cache_tensors:
        layers = getattr(record, "layers", None)
        if layers is None or name not in layers:
            continue
        offset = record.offset + layers.index(name) * record.layer_stride
        return Segments(offset, record.block_stride, group.page_bytes)
    return None


def tensor_segments(cache: torch.Tensor, num_blocks: int) -> Segments:
    """From shape and strides alone:
    [B, ...]     blocks first, one run a block (K and V packed, or K beside V, or MLA)
    [B, 2, ...]  blocks first, K and V apart
    [2, B, ...]  K of all blocks, then V of all blocks
    where B is num_blocks, or a multiple of it when the kernel's blocks are smaller.
    Raises LayoutError."""
    size = cache.element_size()
    shape, strides = list(cache.shape), list(cache.stride())
    block_dim, parts = _block_dimension(shape, num_blocks)
    part_stride = strides[0] if parts == 2 else 0
    ratio = shape[block_dim] // num_blocks
    inner_shape, inner_strides = shape[block_dim + 1 :], strides[block_dim + 1 :]
    if not _is_dense(inner_shape, inner_strides):
        # K and V of a block apart, each dense.
        if parts == 2 or inner_shape[0] != 2 or not _is_dense(inner_shape[1:], inner_strides[1:]):
            raise LayoutError(f"a block has gaps: shape {shape}, strides {strides}")
        parts, part_stride = 2, inner_strides[0]
        inner_shape = inner_shape[1:]
    elements = prod(inner_shape)
    if ratio > 1 and strides[block_dim] != elements:
        raise LayoutError(f"kernel blocks with gaps: shape {shape}, strides {strides}")
    return Segments(
        offset=cache.storage_offset() * size,
        block_stride=strides[block_dim] * ratio * size,
        bytes=elements * ratio * size,
        parts=parts,
        part_stride=part_stride * size,
    )


def _block_dimension(shape: Sequence[int], num_blocks: int) -> tuple[int, int]:
    """Which dimension counts blocks, and in how many parts K-first splitting cuts them."""
    if len(shape) > 1 and shape[0] == 2 and shape[0] != num_blocks and shape[1] % num_blocks == 0:
        return 1, 2
    if shape[0] % num_blocks == 0:
        return 0, 1
    raise LayoutError(f"a KV cache of shape {list(shape)} does not hold {num_blocks} blocks")


def _is_dense(shape: Sequence[int], strides: Sequence[int]) -> bool:
    """Whether the elements fill one run, in whatever order of the dimensions."""
    run = 1
    for stride, length in sorted(zip(strides, shape, strict=True)):
        if length == 1:
            continue
        if stride != run:
            return False
        run *= length
    return True


def check_against_views(
    groups: Sequence[Group], plan: CachePlan, caches: Mapping[str, torch.Tensor], num_blocks: int
) -> None:
    """The formula must find each view's own address: first, second and last block of all layers.
    Raises LayoutError."""
    for group, planned in zip(groups, plan.groups, strict=True):
        for layer, name in enumerate(planned.layer_names):
            cache = caches[name]
            base = cache.untyped_storage().data_ptr()
            for block in {0, min(1, num_blocks - 1), num_blocks - 1}:
                views = block_views(cache, num_blocks, block)
                for part, view in enumerate(views if group.layout.parts == 2 else views[:1]):
                    expected = (
                        group.layout.layer_offsets[layer]
                        + block * group.layout.block_stride
                        + part * group.layout.part_stride
                    )
                    if view.data_ptr() - base != expected:
                        raise LayoutError(f"layer {name}, block {block}: the layout is wrong")


def block_views(cache: torch.Tensor, num_blocks: int, block: int) -> list[torch.Tensor]:
    """The layer's own view of one block: [K, V] where they are apart, else [all]."""
    segments = tensor_segments(cache, num_blocks)
    split = segments.parts == 2 and cache.shape[0] == 2 and cache.shape[0] != num_blocks
    whole = [cache[0], cache[1]] if split else [cache]
    ratio = whole[0].shape[0] // num_blocks
    views = [part[block * ratio : (block + 1) * ratio] for part in whole]
    if segments.parts == 2 and not split:
        return [views[0][:, 0], views[0][:, 1]]
    return views
