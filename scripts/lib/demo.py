"""The demo: one process saves KV blocks and exits, another loads them. scripts/demo calls it."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

import build
import processes

LIB = pathlib.Path(__file__).resolve().parent
POOL_SIZE = "2gb"
NEEDED_BYTES = 5 << 30  # pool, a KV buffer, memory for the memcpy beside it


def say(text):
    print(f"==> {text}", file=sys.stderr, flush=True)


def check_memory():
    with open("/proc/meminfo", encoding="ascii") as lines:
        free = next(int(x.split()[1]) * 1024 for x in lines if x.startswith("MemAvailable"))
    if free < NEEDED_BYTES:
        raise processes.StartFailed(f"the demo takes {NEEDED_BYTES >> 30} GiB of memory; "
                                    f"{free / (1 << 30):.1f} GiB are free")


def client_process(script, server):
    """Runs one process of the demo to its end; returns the JSON object that it prints."""
    result = subprocess.run([sys.executable, LIB / script], check=False, text=True,
                            stdout=subprocess.PIPE, env={**os.environ, **server.env()},
                            preexec_fn=processes.die_with_parent)
    if result.returncode != 0:
        raise processes.StartFailed(f"{script} ended with {result.returncode}; the server says:\n"
                                    + processes.end_of(f"{server.directory}/server.log"))
    return json.loads(result.stdout.splitlines()[-1])


def rate(result):
    return result["bytes"] / result["seconds"] / 1e9


def table(saved, loaded):
    rows = [("", "save", "load"),
            ("blocks", saved["stored"], loaded["loaded"]),
            ("bytes", saved["bytes"], loaded["bytes"]),
            ("GB/s", f"{rate(saved):.1f}", f"{rate(loaded):.1f}"),
            ("memcpy here, one thread, GB/s", f"{saved['memcpy'] / 1e9:.1f}",
             f"{loaded['memcpy'] / 1e9:.1f}"),
            ("prefix query, 512 hashes sent, us", "", f"{loaded['query_us']:.0f}"),
            ("prefix query by handle, us", "", f"{loaded['handle_us']:.0f}"),
            ("wrong bytes", "", loaded["wrong"])]
    return "\n".join(f"  {title:36}{left!s:>14}{right!s:>14}" for title, left, right in rows)


def run(directory):
    check_memory()
    say("starting a server with a pool of 2 GiB")
    with processes.server(directory, POOL_SIZE, say) as server:
        say("first process: registers a KV buffer like Llama-3.1-8B's, saves 512 blocks, exits")
        saved = client_process("demo_save.py", server)
        say("second process: loads them into other block ids, compares every byte")
        loaded = client_process("demo_load.py", server)
    print(table(saved, loaded), flush=True)
    good = (saved["stored"] == loaded["loaded"] == 512 and loaded["wrong"] == 0)
    print("right to the byte" if good else
          f"WRONG: save {saved['code']}, load {loaded['code']}, {loaded['wrong']} wrong bytes")
    return 0 if good else 1


def main():
    processes.exit_on_sigterm()
    try:
        with tempfile.TemporaryDirectory(prefix="headrace-demo-") as directory:
            return run(directory)
    except (processes.StartFailed, build.BuildError) as error:
        print(f"error: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
