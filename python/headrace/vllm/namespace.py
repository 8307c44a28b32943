"""The name of all that makes block contents interchangeable.

vLLM's block hashes cover tokens, LoRA, multimodal items and salts, but not what computed the
block: model and weights, dtypes and scales, block geometry, positions (RoPE), attention back end,
and on a CPU the instruction set, because the CPU back end packs K for it.
"""

from __future__ import annotations

import hashlib
import json
import platform
from pathlib import Path
from typing import Any

import vllm
from vllm.config import VllmConfig
from vllm.logger import init_logger
from vllm.v1.kv_cache_interface import KVCacheConfig

from headrace.vllm.layout import CachePlan

logger = init_logger("vllm.headrace")

_WEIGHT_SUFFIXES = (".safetensors", ".bin", ".pt", ".pth", ".gguf")
_NOT_CONTENT = ("_name_or_path", "transformers_version")
_ISA_FLAGS = (
    "avx2",
    "avx512f",
    "avx512_bf16",
    "avx512_vnni",
    "amx_bf16",
    "amx_tile",
    "asimd",
    "bf16",
    "sve",
    "vx",
)


def namespace_of(config: VllmConfig, cache: KVCacheConfig, plan: CachePlan) -> str:
    """Equal in the scheduler and in every worker of a deployment; never raises for want of a
    detail: what cannot be known is left out and the rest still tells."""
    parts = describe(config, cache, plan)
    text = json.dumps(parts, sort_keys=True, default=repr, separators=(",", ":"))
    digest = hashlib.sha256(text.encode()).hexdigest()
    logger.debug("headrace: namespace %s is of %s", digest, text)
    return "vllm-" + digest


def describe(config: VllmConfig, cache: KVCacheConfig, plan: CachePlan) -> dict[str, Any]:
    model, caching, parallel = config.model_config, config.cache_config, config.parallel_config
    device = config.device_config.device_type
    return {
        "vllm": vllm.__version__,  # what goes into a block hash changes between versions
        "model": model.model,
        "revision": model.revision,
        "config": _digest(_hf_config(model.hf_config)),
        "weights": weights_fingerprint(Path(model.model), model.revision),
        "dtype": str(model.dtype),
        "quantization": model.quantization,
        "kv_dtype": caching.cache_dtype,
        "kv_scales": getattr(caching, "calculate_kv_scales", None),
        "block_tokens": plan.block_tokens,
        "hash_ratio": plan.hash_ratio,
        "hash": caching.prefix_caching_hash_algo,
        "layout": cache.kv_cache_layout,
        "groups": [
            (group.kind, group.window_blocks, group.page_bytes, repr_spec(cache, group.group_id))
            for group in plan.groups
        ],
        "parallel": [
            parallel.tensor_parallel_size,
            parallel.pipeline_parallel_size,
            getattr(parallel, "decode_context_parallel_size", 1),
            getattr(parallel, "prefill_context_parallel_size", 1),
        ],
        "backend": str(getattr(getattr(config, "attention_config", None), "backend", None)),
        "device": device,
        "isa": cpu_isa() if device == "cpu" else None,
    }


def repr_spec(cache: KVCacheConfig, group_id: int) -> str:
    return repr(cache.kv_cache_groups[group_id].kv_cache_spec)


def weights_fingerprint(path: Path, revision: str | None) -> Any:
    """Of a directory the weight files' names, sizes and times; of a snapshot in a Hugging Face
    cache its commit, which is the same on every host; else the revision. Weights that change
    without a trace in these are found by audit mode only."""
    if path.parent.name == "snapshots":
        return ["commit", path.name]
    if not path.is_dir():
        return ["revision", revision]
    files = []
    for file in sorted(path.iterdir()):
        if file.suffix in _WEIGHT_SUFFIXES:
            status = file.stat()
            files.append([file.name, status.st_size, status.st_mtime_ns])
    return files


def cpu_isa(cpuinfo: Path = Path("/proc/cpuinfo")) -> list[str]:
    """The machine and those flags by which the CPU back end chooses how to pack a block."""
    flags: set[str] = set()
    try:
        for line in cpuinfo.read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip().lower() in ("flags", "features"):
                flags = set(value.split())
                break
    except OSError:
        flags = {"unknown"}
    return [platform.machine(), *sorted(flags.intersection((*_ISA_FLAGS, "unknown")))]


def _hf_config(hf_config: Any) -> dict[str, Any]:
    values = hf_config.to_dict() if hasattr(hf_config, "to_dict") else {"repr": repr(hf_config)}
    return {key: value for key, value in values.items() if key not in _NOT_CONTENT}


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=repr).encode()).hexdigest()
