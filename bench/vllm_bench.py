#!/usr/bin/env python3
"""`scripts/bench vllm`: what the connector costs where it cannot help, and what it saves where it
can, in real vLLM servers for the CPU, in turns with a vLLM without a connector and with LMCache's.
JSON lines on standard output, progress on standard error. About 18 minutes on two cores."""

from __future__ import annotations

import argparse
import json
import pathlib
import random
import signal
import statistics
import subprocess
import tempfile

from vllm_fleet import (
    ROOT,
    VLLM,
    Headrace,
    LMCache,
    headrace_connector,
    lmcache_connector,
    progress,
    venv,
)

TOKENS = 4096
PAIRS = 24  # of requests whose times differ by 3 %: the median is known to 0.6 %
ROUNDS = 5
DECODE = 48


def emit(name: str, value: float, unit: str, **more) -> None:
    line = {"name": name, "value": round(value, 6), "unit": unit}
    line.update({key: item for key, item in more.items() if item is not None})
    print(json.dumps(line), flush=True)


def spread(values: list[float]) -> float:
    return round((max(values) - min(values)) / statistics.median(values), 3)


def low_bound(ratios: list[float], draws: int = 4000) -> float:
    """Lower end of the 95 % bootstrap interval of the median."""
    chance = random.Random(1)
    medians = sorted(statistics.median(chance.choices(ratios, k=len(ratios))) for _ in range(draws))
    return medians[int(draws * 0.025)]


class Prompts:
    """Token ids that no prompt before had."""

    def __init__(self) -> None:
        self.chance = random.Random(4096)

    def next(self, tokens: int = TOKENS) -> list[int]:
        return [self.chance.randrange(3, 259) for _ in range(tokens)]


def pairs(plain: VLLM, ours: VLLM, prompts: Prompts, what: str) -> list[float]:
    """time without / time with, for the same new prompt, the order changing each time."""
    ratios = []
    for pair in range(PAIRS):
        prompt = prompts.next()
        order = [plain, ours] if pair % 2 == 0 else [ours, plain]
        took = {server.name: server.complete(prompt, DECODE)["total"] for server in order}
        ratios.append(took[plain.name] / took[ours.name])
        progress(
            f"{what}: pair {pair + 1} of {PAIRS}: {took[plain.name]:.2f} s without, "
            f"{took[ours.name]:.2f} s with"
        )
    return ratios


def harm(plain: VLLM, ours: VLLM, server: Headrace, prompts: Prompts) -> None:
    hits = ours.metric("vllm:external_prefix_cache_hits_total")
    saved = server.metric("headrace_saved_blocks_total")
    ratios = pairs(plain, ours, prompts, "0 % external hits")
    assert ours.metric("vllm:external_prefix_cache_hits_total") == hits, "a hit where none may be"
    assert server.metric("headrace_saved_blocks_total") > saved, "the connector did not save"
    how = (
        f"{PAIRS} interleaved pairs of new {TOKENS}-token prompts, {DECODE} decoded, both on "
        "cores 0-1 with equal malloc settings, connector saves every block"
    )
    emit(
        "connector.throughput",
        statistics.median(ratios),
        "ratio",
        runs=PAIRS,
        spread=spread(ratios),
        limit=1.0,
        ratio=statistics.median(ratios),
        how=how,
    )
    emit(
        "connector.throughput.low",
        low_bound(ratios),
        "ratio",
        runs=PAIRS,
        limit=0.97,
        ratio=low_bound(ratios) / 0.97,
        how="lower 95 % bootstrap bound of the median; " + how,
    )


def hooks(ours: VLLM) -> None:
    micros = ours.metric("vllm:headrace_hook_us_total")
    steps = ours.metric("vllm:headrace_steps_total")
    assert steps > 0, "the connector reported no step"
    emit(
        "connector.hook.step",
        micros / steps,
        "us",
        limit=200.0,
        ratio=round(200 * steps / micros, 3),
        runs=int(steps),
        how="thread CPU time of all hooks, scheduler and worker, over all steps",
    )


def frozen(plain: VLLM, ours: VLLM, server: Headrace, prompts: Prompts) -> None:
    server.signal(signal.SIGSTOP)
    try:
        ratios = pairs(plain, ours, prompts, "frozen server")
    finally:
        server.signal(signal.SIGCONT)
    emit(
        "connector.frozen.low",
        low_bound(ratios),
        "ratio",
        runs=PAIRS,
        spread=spread(ratios),
        limit=0.97,
        ratio=low_bound(ratios) / 0.97,
        how=f"headrace-server stopped by SIGSTOP, {PAIRS} interleaved pairs",
    )


def after_reset(servers: list[VLLM], prompts: Prompts) -> tuple[dict, dict, list]:
    """TTFT cold and loaded after /reset_prefix_cache and one unrelated prompt, in turns."""
    cold = {server.name: [] for server in servers}
    loaded = {server.name: [] for server in servers}
    kept = []
    for turn in range(ROUNDS):
        prompt, other = prompts.next(), prompts.next()
        kept.append((prompt, {}))
        for server in servers:
            first = server.complete(prompt)
            cold[server.name].append(first["ttft"])
            server.complete(other)
            server.reset_prefix_cache()
            again = server.complete(prompt)
            loaded[server.name].append(again["ttft"])
            kept[-1][1][server.name] = first["ids"]
            same = (
                "same tokens"
                if again["ids"] == first["ids"]
                else "other tokens (bf16 chunk shapes)"
            )
            progress(
                f"{server.name} round {turn + 1}: cold {first['ttft']:.3f} s, loaded "
                f"{again['ttft']:.3f} s, {same}"
            )
    return cold, loaded, kept


def after_restart(servers: list[VLLM], kept: list, prompts: Prompts) -> dict:
    times = {server.name: [] for server in servers}
    for server in servers:
        server.complete(prompts.next())  # a server's first request is slow: it warms up
    for prompt, _ in kept:
        for server in servers:
            times[server.name].append(server.complete(prompt)["ttft"])
            progress(f"{server.name} restarted: {times[server.name][-1]:.3f} s")
    return times


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--without-peer", action="store_true", help="leave LMCache out")
    arguments.add_argument("--harm", action="store_true", help="only what the connector costs")
    wanted = arguments.parse_args()
    prompts = Prompts()
    running: list = []
    with tempfile.TemporaryDirectory(prefix="headrace-bench-model-") as folder:
        model = pathlib.Path(folder) / "mid"
        progress("making the model")
        make_model = ROOT / "scripts" / "vllm" / "make_model.py"
        subprocess.run([venv() / "bin" / "python", make_model, "mid", model], check=True, stdout=2)
        try:
            run(model, prompts, wanted, running)
        finally:
            for process in reversed(running):
                process.stop()


def run(model: pathlib.Path, prompts: Prompts, wanted: argparse.Namespace, running: list) -> None:
    def keep(process):
        running.append(process)
        return process

    server = keep(Headrace())
    plain = keep(VLLM("plain", model, None))
    ours = keep(VLLM("headrace", model, headrace_connector(server)))
    plain.wait(), ours.wait()
    for each in (plain, ours):
        each.complete(prompts.next())
    harm(plain, ours, server, prompts)
    hooks(ours)
    if wanted.harm:
        return
    frozen(plain, ours, server, prompts)
    plain.stop()

    lmcache = keep(LMCache()) if not wanted.without_peer else None
    peer = keep(VLLM("lmcache", model, lmcache_connector(lmcache))).wait() if lmcache else None
    servers = [ours] + ([peer] if peer else [])
    if peer:
        peer.complete(prompts.next())
    hits = ours.metric("vllm:external_prefix_cache_hits_total")
    cold, loaded, kept = after_reset(servers, prompts)
    hits = ours.metric("vllm:external_prefix_cache_hits_total") - hits
    assert hits >= ROUNDS * (TOKENS - 128), f"only {hits} tokens were external hits"
    for each in servers:
        each.stop()
    ours = keep(VLLM("headrace", model, headrace_connector(server)))
    servers = [ours.wait()]
    if peer:
        servers.append(keep(VLLM("lmcache", model, lmcache_connector(lmcache))).wait())
    restarted = after_restart(servers, kept, prompts)
    hits = ours.metric("vllm:external_prefix_cache_hits_total")
    assert hits >= ROUNDS * (TOKENS - 128), f"only {hits} tokens were external hits"
    report("vllm.ttft4k.cold", cold)
    report("vllm.ttft4k.loaded", loaded)
    report("vllm.ttft4k.restarted", restarted)


def report(name: str, times: dict) -> None:
    ours = statistics.median(times["headrace"])
    peer = statistics.median(times["lmcache"]) if "lmcache" in times else None
    emit(
        name,
        ours,
        "s",
        peer=peer and round(peer, 6),
        ratio=peer and round(peer / ours, 4),
        runs=len(times["headrace"]),
        spread=spread(times["headrace"]),
        how=f"median of {ROUNDS}, {TOKENS}-token prompts, mid model, in turns with LMCache's "
        "server and connector; loaded: after an unrelated prompt of the same length and "
        "/reset_prefix_cache",
    )


if __name__ == "__main__":
    main()
