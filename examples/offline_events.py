#!/usr/bin/env python3
"""Scores a prompt from a capture of KV events, without a server: how an index works, in small.

    offline_events.py CAPTURE --tokens 1,2,3 [--headrace build/bin/headrace]

CAPTURE holds payloads of KV event messages as hexadecimal digits, one a line, as `headrace events
decode` takes them. What is printed is how many blocks of the prompt the publisher held at the end.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from typing import Any


class Capture:
    """What one publisher holds. The engine's hash is a block's name, its event says what it is."""

    def __init__(self) -> None:
        self.held: set[str] = set()
        # (hash of the block before, or None; tokens) -> hash
        self.next_block: dict[tuple[str | None, tuple[int, ...]], str] = {}
        self.block_sizes: set[int] = set()

    def apply(self, event: dict[str, Any]) -> None:
        if event["type"] == "AllBlocksCleared":
            self.held.clear()
        elif event["type"] == "BlockRemoved":
            self.held.difference_update(event["block_hashes"])
        else:
            self._store(event)

    def _store(self, event: dict[str, Any]) -> None:
        self.held.update(event["block_hashes"])
        # Adapters, images and salts make blocks of their own out of equal tokens.
        if event.get("lora_name") or any(event.get("extra_keys") or ()):
            return
        size, parent = event["block_size"], event["parent_block_hash"]
        self.block_sizes.add(size)
        for i, block in enumerate(event["block_hashes"]):
            tokens = tuple(event["token_ids"][i * size : (i + 1) * size])
            if len(tokens) == size:
                self.next_block[parent, tokens] = block
            parent = block

    def score(self, tokens: list[int]) -> int:
        """Blocks of the longest prefix that is held."""
        best = 0
        for size in self.block_sizes:
            parent, blocks = None, 0
            for start in range(0, len(tokens) - size + 1, size):
                parent = self.next_block.get((parent, tuple(tokens[start : start + size])))
                if parent not in self.held:
                    break
                blocks += 1
            best = max(best, blocks)
        return best


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("capture")
    parser.add_argument("--tokens", required=True, help="1,2,3")
    parser.add_argument("--headrace", default="headrace", help="the program")
    options = parser.parse_args()
    command = [options.headrace, "events", "decode", options.capture]
    decoded = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    capture = Capture()
    for line in decoded.stdout.splitlines():
        event = json.loads(line)
        if "error" not in event:
            capture.apply(event)
    print(capture.score([int(x) for x in options.tokens.split(",")]))
    return decoded.returncode


if __name__ == "__main__":
    sys.exit(main())
