"""A simulator under everything at once: it does not grow, loses no slot, no descriptor and no
count. Ten seconds, half an hour at night."""

import asyncio
import os
import struct
import threading

import zmq
from harness import wait_for
from sim_load import Client, Counts, run_clients
from sim_wire import Sim

SECONDS = 1800 if os.environ.get("HEADRACE_NIGHTLY") else 10
CLIENTS = 24
SAMPLES = 50  # of the memory; the first fifth is to warm up
GROWTH_BYTES = 4 << 20  # that is no leak: a heap's holes


class Watch:
    """Looks at the simulator's memory while the clients run."""

    def __init__(self, sim):
        self.sim = sim
        self.sizes = []
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.over.wait(SECONDS / SAMPLES):
            self.sizes.append(self.sim.rss_bytes())

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()

    def growth(self):
        """From the second fifth to the last."""
        fifth = len(self.sizes) // 5
        return max(self.sizes[-fifth:]) - max(self.sizes[fifth:2 * fifth])


class Subscriber:
    """Reads KV events as an indexer does: who does not read makes the simulator keep them."""

    def __init__(self):
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.SUB)
        self.socket.setsockopt(zmq.SUBSCRIBE, b"")
        self.endpoint = f"tcp://127.0.0.1:{self.socket.bind_to_random_port('tcp://127.0.0.1')}"
        self.numbers = []
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.over.is_set():
            if self.socket.poll(100):
                self.numbers.append(struct.unpack(">Q", self.socket.recv_multipart()[1])[0])

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()
        self.socket.close(0)
        self.context.term()


def flags(events):
    """Few slots and a short line, so that requests wait and are refused; a cache that is full."""
    return ["--mode", "random", "--seed", "7", "--max-num-seqs", "16",
            "--max-waiting-queue-length", "6", "--time-to-first-token", "2ms",
            "--inter-token-latency", "500us", "--time-factor-under-load", "2",
            "--max-loras", "2", "--lora-modules", '{"name":"first","path":"/p"}',
            "--enable-kvcache", "--kv-cache-size", "200", "--block-size", "8",
            "--zmq-endpoint", events,
            "--failure-injection-rate", "5"]


def check_counts(sim, counts):
    outcomes = sim.outcomes()
    metrics = sim.metrics()
    assert sum(outcomes.values()) == counts.sent(), (outcomes, counts)
    assert sim.metric("headrace_sim_kv_event_gaps_total") == 0
    # What a client did not wait for may have ended in any way.
    assert outcomes["success"] >= counts.success
    assert outcomes["failure"] >= counts.failure
    assert outcomes["aborted"] <= counts.gone
    answered = sum(v for k, v in metrics.items() if k.startswith("vllm:request_success_total{"))
    assert answered == outcomes["success"]
    assert sim.metric("vllm:e2e_request_latency_seconds_count") == outcomes["success"]
    assert sim.metric("vllm:kv_cache_usage_perc") == 0  # no block is held by nobody


def test_mixed_load_leaves_nothing_behind():
    kinds = {x.removeprefix("make_") for x in dir(Client) if x.startswith("make_")}
    counts = Counts()
    with Subscriber() as events, \
            Sim(*flags(events.endpoint), env={"POD_IP": "10.0.0.1"}) as sim:
        files = sim.num_files()
        with Watch(sim) as watch:
            asyncio.run(run_clients(sim.port, CLIENTS, SECONDS, counts))
        sim.wait_idle()
        check_counts(sim, counts)
        wait_for(lambda: sim.num_files() <= files, 10, "all descriptors are closed")
    numbers = events.numbers
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert watch.growth() < GROWTH_BYTES, (watch.sizes, counts)
    assert min(counts.success, counts.failure, counts.gone, counts.plain) > 0, counts
    assert set(counts.by_kind) == kinds
    assert set(counts.by_status) >= {200, 400, 404, 429, 503}, counts
