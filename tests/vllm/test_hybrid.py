"""A model with full-attention and sliding-window layers: two KV cache groups over one memory."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from harness import Ask, HeadraceServer, Site, Vllm
from prompts import tokens


@pytest.fixture(scope="module")
def server(site: Site) -> Iterator[HeadraceServer]:
    with site.server("hybrid") as running:
        yield running


@pytest.fixture(scope="module")
def hybrid(site: Site, server: HeadraceServer) -> Iterator[Vllm]:
    with site.vllm("hybrid", server, kind="hybrid") as vllm:
        yield vllm.ready()


def test_both_groups_are_loaded_and_the_tokens_are_right(hybrid: Vllm):
    rng = random.Random(5)
    asks = [Ask(tokens(rng, count)) for count in (200, 700, 1000, 1500)]
    for ask in asks:
        computed = {tuple(hybrid.complete(ask).ids) for _ in range(2)}  # cold, local hit
        hybrid.reset()
        assert hybrid.hits_of(ask) == len(ask.prompt) // 128 * 128
        hybrid.reset()
        assert tuple(hybrid.complete(ask).ids) in computed
    metrics = hybrid.metrics()
    assert metrics["vllm:headrace_load_failures_total"] == 0
    assert metrics["vllm:headrace_hook_errors_total"] == 0


def test_a_window_that_has_moved_on_does_not_lose_the_prefix(hybrid: Vllm):
    """Blocks behind the window are given away while the request still decodes."""
    ask = Ask(tokens(random.Random(6), 600), max_tokens=300)
    answer = hybrid.complete(ask).ids
    hybrid.reset()
    turn = Ask(ask.prompt + answer)
    assert hybrid.hits_of(turn) >= (len(turn.prompt) - 1) // 128 * 128
