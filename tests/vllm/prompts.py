"""200 prompts over the hard cases: shared prefixes, exact block multiples, long ones that are
prefilled in chunks, salts, and ones shorter than a block. The same every time."""

from __future__ import annotations

import random

from harness import Ask

BLOCK = 128
DECODED = 140
"""Tokens that some answers have, so that decoding fills blocks and the pool overflows."""


def tokens(rng: random.Random, count: int) -> list[int]:
    return [rng.randrange(3, 1000) for _ in range(count)]


def two_hundred() -> list[Ask]:
    rng = random.Random(20)
    systems = [tokens(rng, rng.randrange(BLOCK, 4 * BLOCK)) for _ in range(10)]
    asks = [
        Ask(systems[i % 10] + tokens(rng, rng.randrange(1, 150)), max_tokens=8) for i in range(100)
    ]
    asks += [Ask(tokens(rng, BLOCK * (1 + i % 5))) for i in range(20)]
    asks += [Ask(tokens(rng, rng.randrange(700, 1200))) for _ in range(20)]
    asks += [Ask(tokens(rng, rng.randrange(10, BLOCK))) for _ in range(20)]
    asks += [
        Ask(systems[i % 10] + tokens(rng, 40), extra={"cache_salt": f"tenant-{i % 2}"})
        for i in range(20)
    ]
    rng.shuffle(asks)
    # Side by side at the end: seven of five blocks each fill a pool of 40, and then they grow.
    asks += [Ask(tokens(rng, rng.randrange(600, 5 * BLOCK)), max_tokens=DECODED) for _ in range(20)]
    assert len(asks) == 200
    return asks


def full_blocks(asks: list[Ask]) -> int:
    return sum(len(ask.prompt) // BLOCK for ask in asks)
