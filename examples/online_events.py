#!/usr/bin/env python3
"""Watches an index learn what a real vLLM keeps: a prompt's score before it was asked, and after.

    online_events.py --vllm http://127.0.0.1:8000 --index 127.0.0.1:9091 --model m "a long prompt"

The vLLM publishes (--kv-events-config), the index follows it:

    vllm serve MODEL --kv-events-config '{"enable_kv_cache_events": true, "publisher": "zmq",
        "endpoint": "tcp://*:5557", "replay_endpoint": "tcp://*:5558", "topic": "kv@pod-a@MODEL"}'
    headrace-server --device cpu --pool-size 0 --index-config index.yaml
        # pods: [{name: pod-a, endpoint: tcp://HOST:5557, replayEndpoint: tcp://HOST:5558}]
"""

from __future__ import annotations

import argparse
import json
import pathlib
import sys
import time
import urllib.request
from typing import Any

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "python"))

from headrace.index import IndexClient  # noqa: E402


def post(url: str, body: dict[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=120) as reply:
        return json.loads(reply.read())


def show(when: str, scores) -> None:
    held = ", ".join(f"{x.pod} {x.blocks} blocks" for x in scores) or "nobody holds anything"
    print(f"{when}: {held}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vllm", default="http://127.0.0.1:8000", metavar="URL")
    parser.add_argument("--index", default="127.0.0.1:9091", metavar="ADDRESS")
    parser.add_argument("--model", required=True)
    parser.add_argument("--seconds", type=float, default=30, help="to wait for the events")
    parser.add_argument("prompt")
    options = parser.parse_args()

    # vLLM's own tokens: nothing to disagree about, and the index needs no tokenizer.
    asked = {"model": options.model, "prompt": options.prompt}
    tokens = post(f"{options.vllm}/tokenize", asked)["tokens"]
    index = IndexClient([options.index])
    show("before", index.score(options.model, token_ids=tokens))
    post(f"{options.vllm}/v1/completions", {**asked, "max_tokens": 2})
    end = time.monotonic() + options.seconds
    while True:
        scores = index.score(options.model, token_ids=tokens)
        if scores or time.monotonic() > end:
            break
        time.sleep(0.1)
    show("after", scores)
    return 0 if scores else 1


if __name__ == "__main__":
    sys.exit(main())
