#!/usr/bin/env python3
"""`scripts/bench index`: NVIDIA Dynamo's tree from its wheel, then headrace-bench-index with its
figures as the peer. JSON lines on standard output.
  index_bench.py PROGRAM PYTHON [--quick]    PYTHON: of a venv that has ai-dynamo-runtime"""

import json
import pathlib
import subprocess
import sys

FOLDER = pathlib.Path(__file__).resolve().parent
# What headrace-bench-index calls them.
PEERS = {
    "index.dynamo.score512.pods8": "score8",
    "index.dynamo.score512.pods64": "score64",
    "index.dynamo.score512.pods512": "score512",
    "index.dynamo.ingest16": "ingest16",
}


def dynamo(python, flags):
    """Passes its lines on; name -> value."""
    result = subprocess.run([python, FOLDER / "dynamo_bench.py", *flags], check=True, text=True,
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    lines = [json.loads(x) for x in result.stdout.splitlines()]
    print(result.stdout, end="", flush=True)
    return {x["name"]: x["value"] for x in lines}


def main(words):
    program, python, *flags = words
    values = dynamo(python, flags)
    peers = [f"--peer={PEERS[name]}={value}" for name, value in values.items()]
    return subprocess.run([program, *flags, *peers], check=False,
                          stdin=subprocess.DEVNULL).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
