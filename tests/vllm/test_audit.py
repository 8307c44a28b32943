"""Audit mode in a real vLLM: quiet over clean prompts, loud over a flipped bit, swapped layers and
other weights under the same name."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator

import pytest
from harness import Ask, HeadraceServer, Site, Vllm
from pool_memory import PoolMemory
from prompts import full_blocks, tokens, two_hundred

AUDIT_ALL = {"headrace.audit_share": 1.0}
CHUNKED = ["--max-num-batched-tokens", "512"]
SMALL_POOL = ["--num-gpu-blocks-override", "40"]  # requests are preempted
SEGMENT = 2 * 64 * 128 * 2 * 2  # of the tiny model: KV heads, head size, tokens, K and V, bf16


@pytest.fixture(scope="module")
def server(site: Site) -> Iterator[HeadraceServer]:
    with site.server("audit", pool="128mb") as running:
        yield running


@pytest.fixture(scope="module")
def audited(site: Site, server: HeadraceServer) -> Iterator[Vllm]:
    arguments = [*CHUNKED, *SMALL_POOL]
    with site.vllm("audited", server, settings=AUDIT_ALL, arguments=arguments) as vllm:
        yield vllm.ready()


def alarms_of(vllm: Vllm, ask: Ask) -> tuple[float, float]:
    """(audits, alarms) of one prompt that the server has and vLLM has not."""
    vllm.reset()
    audits, alarms = vllm.count("audits"), vllm.count("audit_alarms")
    vllm.complete(ask)
    vllm.settle("audits", audits + 1)
    return vllm.count("audits") - audits, vllm.count("audit_alarms") - alarms


def stored_block(vllm: Vllm, server: HeadraceServer, seed: int) -> tuple[Ask, PoolMemory, int]:
    """A prompt of one block, and where its block lies in the pool."""
    ask = Ask(tokens(random.Random(seed), 150))
    pool = PoolMemory(server.pid)
    before = pool.snapshot()
    saved = vllm.count("saved_blocks")
    vllm.complete(ask)
    vllm.settle("saved_blocks", saved + 1)
    return ask, pool, pool.first_change(before)


def test_no_alarm_over_200_clean_prompts(audited: Vllm):
    asks = two_hundred()
    audited.complete_all(asks, 8)
    audited.settle("saved_blocks", 300)
    audited.reset()
    audited.complete_all(asks, 5)  # other batches, other chunk shapes
    audited.settle("audits", full_blocks(asks) // 3)
    assert audited.count("audit_alarms") == 0
    metrics = audited.metrics()
    print({k: v for k, v in metrics.items() if "audit" in k})
    assert metrics["vllm:headrace_hook_errors_total"] == 0
    assert metrics["vllm:num_preemptions_total"] > 0


def test_a_flipped_exponent_bit_in_the_pool_is_found_and_purged(audited, server):
    ask, pool, at = stored_block(audited, server, seed=1)
    assert alarms_of(audited, ask) == (1, 0)
    pool.flip(at + 4001, 0x40)  # odd: the high byte of a bf16
    assert alarms_of(audited, ask) == (1, 1)
    saved = audited.count("saved_blocks")
    audited.reset()
    audited.complete(ask)  # a miss: the block is purged, and saved anew
    audited.settle("saved_blocks", saved + 1)
    assert alarms_of(audited, ask) == (1, 0)


def test_layers_in_the_wrong_order_are_found(audited, server):
    ask, pool, at = stored_block(audited, server, seed=2)
    pool.swap(at, at + SEGMENT, SEGMENT)
    assert alarms_of(audited, ask) == (1, 1)


def test_other_weights_under_the_same_name_are_found(site, server, audited):
    """The same path, file names, sizes and times: nothing that a namespace could see."""
    ask = Ask(tokens(random.Random(3), 400))
    saved = audited.count("saved_blocks")
    audited.complete(ask)
    audited.settle("saved_blocks", saved + 3)
    audited.program.end()
    weights = site.models.make("tiny") / "model.safetensors"
    status = weights.stat()
    shutil.copyfile(site.models.make("tiny", seed=1) / "model.safetensors", weights)
    assert weights.stat().st_size == status.st_size
    os.utime(weights, ns=(status.st_atime_ns, status.st_mtime_ns))
    try:
        with site.vllm("other", server, settings=AUDIT_ALL, arguments=CHUNKED) as other:
            other.ready()
            audits, alarms = alarms_of(other, ask)
        assert audits >= 1 and alarms == audits
    finally:
        shutil.rmtree(weights.parent)  # made again by whoever needs it
