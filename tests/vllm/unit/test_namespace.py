import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from factory import cache_config

from headrace.vllm.layout import plan_cache
from headrace.vllm.namespace import cpu_isa, describe, namespace_of, weights_fingerprint

BS = 64


class HfConfig:
    def __init__(self, **values):
        self.values = {"hidden_size": 8, "rope_theta": 1e4, "_name_or_path": "x", **values}

    def to_dict(self):
        return self.values


def engine(tmp_path, **changes):
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    os.utime(tmp_path / "model.safetensors", ns=(1, 1))
    values = {
        "model": str(tmp_path),
        "hf": {},
        "dtype": "torch.bfloat16",
        "kv_dtype": "auto",
        "hash": "sha256",
        "tp": 1,
        **changes,
    }
    return SimpleNamespace(
        model_config=SimpleNamespace(
            model=values["model"],
            revision=None,
            hf_config=HfConfig(**values["hf"]),
            dtype=values["dtype"],
            quantization=None,
        ),
        cache_config=SimpleNamespace(
            cache_dtype=values["kv_dtype"], prefix_caching_hash_algo=values["hash"]
        ),
        parallel_config=SimpleNamespace(
            tensor_parallel_size=values["tp"], pipeline_parallel_size=1
        ),
        device_config=SimpleNamespace(device_type="cpu"),
    )


def name(config, block_size=BS, **cache):
    kv = cache_config(block_size, **cache)
    return namespace_of(config, kv, plan_cache(kv, block_size, kv.hash_block_size or block_size))


def test_a_namespace_is_the_same_wherever_it_is_computed(tmp_path):
    config = engine(tmp_path)
    assert name(config) == name(config, num_blocks=99), "the pool's size says nothing of content"
    assert name(config).startswith("vllm-") and len(name(config)) == 5 + 64


def test_the_name_in_the_config_is_no_content(tmp_path):
    other = engine(tmp_path, hf={"_name_or_path": "elsewhere", "transformers_version": "9"})
    assert name(engine(tmp_path)) == name(other)


@pytest.mark.parametrize(
    "changes",
    [
        {"hf": {"rope_theta": 5e5}},
        {"dtype": "torch.float16"},
        {"kv_dtype": "fp8"},
        {"hash": "xxhash"},
        {"tp": 2},
    ],
)
def test_pitfall_g_what_block_hashes_leave_out_is_in_the_namespace(tmp_path, changes):
    assert name(engine(tmp_path)) != name(engine(tmp_path, **changes))


def test_pitfall_g_block_geometry_is_in_the_namespace(tmp_path):
    config = engine(tmp_path)
    names = {name(config), name(config, 2 * BS), name(config, windows=(100,))}
    assert len(names | {name(config, hash_block_size=16)}) == 4


def test_changed_weights_under_the_same_name_are_another_namespace(tmp_path):
    config = engine(tmp_path)
    before = name(config)
    os.utime(tmp_path / "model.safetensors", ns=(2, 2))
    assert name(config) != before


def test_weights_of_a_snapshot_are_named_by_their_commit():
    path = Path("/cache/models--a--b/snapshots/0123abcd")
    assert weights_fingerprint(path, None) == ["commit", "0123abcd"]


def test_a_model_that_is_no_directory_is_named_by_its_revision():
    assert weights_fingerprint(Path("org/model"), "v2") == ["revision", "v2"]


def test_the_cpus_instruction_set_is_part_of_the_content(tmp_path):
    with_amx, without = tmp_path / "a", tmp_path / "b"
    with_amx.write_text("processor : 0\nflags : fpu avx2 avx512f amx_bf16\n")
    without.write_text("processor : 0\nflags : fpu avx2 avx512f\n")
    assert cpu_isa(with_amx) != cpu_isa(without)
    assert "unknown" in cpu_isa(tmp_path / "missing")


def test_a_gpu_does_not_care_for_the_cpus_instruction_set(tmp_path):
    config = engine(tmp_path)
    config.device_config.device_type = "cuda"
    kv = cache_config(BS)
    assert describe(config, kv, plan_cache(kv, BS, BS))["isa"] is None
