import pytest
import torch
from factory import HEAD_SIZE, HEADS, attention_spec, cache_config, make_caches
from vllm.v1.kv_cache_interface import KVCacheGroupSpec, MambaSpec

from headrace.types import GroupKind
from headrace.vllm.layout import (
    LayoutError,
    block_views,
    check_against_views,
    plan_cache,
    tensor_segments,
    wire_groups,
)

B, BS = 6, 32


def test_one_buffer_of_packed_layers_is_one_group_with_offsets():
    config = cache_config(BS, num_blocks=B, layers=3)
    caches = make_caches(config, BS)
    plan = plan_cache(config, BS, BS)
    storage, (group,) = wire_groups(plan, config, caches)
    page = attention_spec(BS).page_size_bytes
    assert group.kind is GroupKind.FULL
    assert group.layout.segment_bytes == group.layout.block_stride == page
    assert list(group.layout.layer_offsets) == [0, B * page, 2 * B * page]
    assert storage.nbytes() == 3 * B * page
    check_against_views([group], plan, caches, B)


def test_k_first_split_has_two_parts():
    segments = tensor_segments(torch.zeros(2, B, BS, HEADS, HEAD_SIZE, dtype=torch.bfloat16), B)
    half = BS * HEADS * HEAD_SIZE * 2
    assert (segments.parts, segments.bytes, segments.block_stride) == (2, half, half)
    assert segments.part_stride == B * half


def test_blocks_first_with_adjoining_k_and_v_is_one_segment():
    segments = tensor_segments(torch.zeros(B, 2, BS, HEADS, HEAD_SIZE, dtype=torch.float16), B)
    assert (segments.parts, segments.bytes) == (1, 2 * BS * HEADS * HEAD_SIZE * 2)


def test_blocks_first_with_k_and_v_apart_has_two_parts():
    wide = torch.zeros(B, 4, BS, HEAD_SIZE, dtype=torch.float16)
    segments = tensor_segments(wide[:, ::2], B)
    assert (segments.parts, segments.bytes) == (2, BS * HEAD_SIZE * 2)
    assert segments.part_stride == 2 * BS * HEAD_SIZE * 2


def test_mla_is_a_single_segment():
    segments = tensor_segments(torch.zeros(B, BS, 576, dtype=torch.bfloat16), B)
    assert (segments.parts, segments.bytes) == (1, BS * 576 * 2)


def test_heads_before_tokens_in_memory_is_the_same_run():
    cache = torch.zeros(B, BS, HEADS, HEAD_SIZE, dtype=torch.bfloat16)
    assert tensor_segments(cache.transpose(1, 2), B) == tensor_segments(cache, B)


def test_layers_of_a_block_in_one_run_keep_the_whole_blocks_stride():
    packed = torch.zeros(B, 3, BS, 2 * HEAD_SIZE, dtype=torch.bfloat16)
    segments = tensor_segments(packed[:, 1], B)
    assert segments.block_stride == 3 * segments.bytes
    assert segments.offset == segments.bytes


def test_kernel_blocks_smaller_than_blocks_are_joined():
    segments = tensor_segments(torch.zeros(B * 4, BS, HEADS, HEAD_SIZE, dtype=torch.bfloat16), B)
    assert segments.bytes == segments.block_stride == 4 * BS * HEADS * HEAD_SIZE * 2


@pytest.mark.parametrize(
    "cache",
    [
        torch.zeros(B + 1, BS, HEADS, HEAD_SIZE),
        torch.zeros(B, BS, HEADS, 2 * HEAD_SIZE)[..., ::2],
        torch.zeros(B * 2, 2 * BS, HEADS, HEAD_SIZE)[:, :BS],
    ],
)
def test_what_the_formula_cannot_say_is_refused(cache):
    with pytest.raises(LayoutError):
        tensor_segments(cache, B)


def test_views_of_a_block_are_the_layers_own():
    cache = torch.arange(2 * B * 4, dtype=torch.float32).view(2, B, 4)
    k, v = block_views(cache, B, 3)
    assert torch.equal(k[0], cache[0, 3]) and torch.equal(v[0], cache[1, 3])


def test_a_wrong_offset_is_found_by_the_views():
    config = cache_config(BS, num_blocks=B)
    caches = make_caches(config, BS)
    plan = plan_cache(config, BS, BS)
    _, (group,) = wire_groups(plan, config, caches)
    group.layout.layer_offsets[1] += 64
    with pytest.raises(LayoutError, match="the layout is wrong"):
        check_against_views([group], plan, caches, B)


def test_a_tensor_that_contradicts_the_config_is_refused():
    config = cache_config(BS, num_blocks=B)
    caches = make_caches(config, BS)
    config.kv_cache_tensors[0].layer_stride += 64
    with pytest.raises(LayoutError, match="kv_cache_config says"):
        wire_groups(plan_cache(config, BS, BS), config, caches)


def test_layers_in_several_allocations_are_refused():
    config = cache_config(BS, num_blocks=B)
    caches = make_caches(config, BS)
    config.kv_cache_tensors.clear()
    caches["g0.layer1"] = caches["g0.layer1"].clone()
    with pytest.raises(LayoutError, match="several allocations"):
        wire_groups(plan_cache(config, BS, BS), config, caches)


def test_window_groups_know_how_many_blocks_a_hit_needs():
    plan = plan_cache(cache_config(BS, windows=(None, 100)), BS, BS)
    assert [g.kind for g in plan.groups] == [GroupKind.FULL, GroupKind.WINDOW]
    assert plan.groups[1].window_blocks == 4  # 99 tokens back
    assert plan.has_windows


def test_state_models_are_refused():
    config = cache_config(BS)
    spec = MambaSpec(block_size=BS, shapes=((4, 4),), dtypes=(torch.float32,))
    config.kv_cache_groups.append(KVCacheGroupSpec(["m"], spec))
    with pytest.raises(LayoutError, match="MambaSpec|cannot be kept"):
        plan_cache(config, BS, BS)


def test_a_group_that_cannot_be_kept_by_hash_keeps_the_connector_off():
    config = cache_config(BS, windows=(None, None))
    config.__dict__["prefix_cacheable_group_ids"] = (0,)
    with pytest.raises(LayoutError, match=r"\[1\] cannot be kept"):
        plan_cache(config, BS, BS)


def test_groups_of_different_block_sizes_are_refused():
    config = cache_config(BS, windows=(None, 100))
    config.kv_cache_groups[1].kv_cache_spec = attention_spec(2 * BS, 100)
    with pytest.raises(LayoutError, match="different block sizes"):
        plan_cache(config, BS, BS)


def test_pitfall_f_a_block_is_named_by_the_hash_at_its_end():
    plan = plan_cache(cache_config(BS, hash_block_size=8), BS, 8)
    assert [plan.hash_index(i) for i in range(3)] == [3, 7, 11]
    hashes = [bytes([i]) for i in range(13)]
    assert plan.hashes_of(hashes, 1, 3) == [bytes([7]), bytes([11])]
