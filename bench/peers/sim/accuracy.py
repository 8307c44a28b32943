#!/usr/bin/env python3
"""How exactly streams keep time: mean total of many at once, beyond what the client adds itself.

That is known from the same client against a server that does nothing but keep time, in a process
of its own (accuracy.py --serve), in turns with the simulator."""

import asyncio
import contextlib
import heapq
import selectors
import socket
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass

from client import request, run_streams
from process import Failed, Simulator

STREAMS = 200
TTFT_MS = 200
ITL_MS = 20
TOKENS = 50
HEAD = (b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
        b"Connection: close\r\n\r\n")


class Clockwork:
    """Sends token i of each stream at its time, from one thread; knows no HTTP."""

    def __init__(self):
        self.selector = selectors.DefaultSelector()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.selector.register(self.listener, selectors.EVENT_READ)
        self.due = []  # (when, number of the stream, token, socket)
        self.left = {}  # socket -> bytes of its request that are to come
        self.begun = 0

    def accept(self):
        link, _ = self.listener.accept()
        self.left[link] = len(request(TOKENS))
        self.selector.register(link, selectors.EVENT_READ)

    def read(self, link):
        self.left[link] -= len(link.recv(65536))
        if self.left[link] > 0:
            return
        del self.left[link]
        self.selector.unregister(link)
        link.sendall(HEAD)
        self.begun += 1
        heapq.heappush(self.due, (time.monotonic() + TTFT_MS / 1000, self.begun, 0, link))

    def send(self):
        when, number, token, link = heapq.heappop(self.due)
        text = f"w{token}" + (" " if token + 1 < TOKENS else "")
        link.sendall(b'data: {"choices":[{"text":"%s"}]}\n\n' % text.encode())
        if token + 1 < TOKENS:
            heapq.heappush(self.due, (when + ITL_MS / 1000, number, token + 1, link))
        else:
            link.sendall(b"data: [DONE]\n\n")
            link.close()

    def run(self):
        while True:
            wait = max(0.0, self.due[0][0] - time.monotonic()) if self.due else None
            for key, _ in self.selector.select(wait):
                self.accept() if key.fileobj is self.listener else self.read(key.fileobj)
            while self.due and self.due[0][0] <= time.monotonic():
                self.send()


@contextlib.contextmanager
def clockwork():
    """The port of one in another process."""
    with subprocess.Popen([sys.executable, __file__, "--serve"], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, text=True) as process:
        try:
            yield int(process.stdout.readline())
        finally:
            process.terminate()


def totals(port):
    streams = asyncio.run(run_streams(port, STREAMS, TOKENS))
    wrong = [x for x in streams if not x.right]
    if wrong:
        raise Failed(f"{len(wrong)} of {len(streams)} streams are not whole and right")
    return statistics.fmean(x.total_s for x in streams)


@dataclass
class Figures:
    error_percent: float
    total_ms: float
    null_ms: float
    spread: float


def total_error(command, rounds):
    """The median of the rounds' errors, in percent of the total that is wanted."""
    wanted = (TTFT_MS + (TOKENS - 1) * ITL_MS) / 1000
    ours, theirs = [], []
    with clockwork() as null, Simulator(
            command, "--max-num-seqs", "256", "--time-to-first-token", f"{TTFT_MS}ms",
            "--inter-token-latency", f"{ITL_MS}ms") as simulator:
        for turn in range(rounds):
            # Whoever comes first in a round shall not always be the same.
            for null_now in ([True, False] if turn % 2 == 0 else [False, True]):
                if null_now:
                    theirs.append(totals(null))
                else:
                    ours.append(totals(simulator.port))
    errors = [(x - y) / wanted * 100 for x, y in zip(ours, theirs)]
    return Figures(statistics.median(errors), statistics.median(ours) * 1000,
                   statistics.median(theirs) * 1000, max(errors) - min(errors))


if __name__ == "__main__":
    server = Clockwork()
    print(server.listener.getsockname()[1], flush=True)
    server.run()
