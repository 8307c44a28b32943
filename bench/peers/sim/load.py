"""CPU of the simulator a request, under wrk with as many requests as it takes."""

import json
import os
import pathlib
import re
import shutil
import subprocess

from process import MODEL, Failed, Simulator

FOLDER = pathlib.Path(__file__).resolve().parent
WORDS = "Hello big world this is a benchmark"
TOKENS = 7
CONNECTIONS = 64
PATH = "/v1/chat/completions"
MIN_REQUESTS = 100


def steady(text):
    """As post.lua compares it."""
    text = re.sub(r'"id":"[^"]*"', '"id":""', text)
    return re.sub(r'"created":[0-9]+', '"created":0', text)


def judge_chat(text):
    choice = json.loads(text)["choices"][0]
    if choice["message"]["content"] != WORDS or choice["finish_reason"] != "stop":
        raise Failed(f"a wrong answer: {text[:500]}")


def judge_stream(text):
    events = text.split("\n\n")
    if events[-2:] != ["data: [DONE]", ""]:
        raise Failed(f"a stream ends wrongly: {text[-500:]}")
    deltas = [json.loads(x.removeprefix("data: "))["choices"][0] for x in events[:-2]]
    said = "".join(x["delta"].get("content") or "" for x in deltas)
    # A frame for the role, one a token, one for the end.
    if said != WORDS or len(deltas) != TOKENS + 2 or deltas[-1]["finish_reason"] != "stop":
        raise Failed(f"a wrong stream: {text[:1000]}")


def run_wrk(port, body, expect, seconds):
    wrk = shutil.which("wrk")
    if wrk is None:
        raise Failed("wrk is missing: run scripts/install_deps.sh bench")
    environment = {**os.environ, "PATH_OF": PATH, "BODY": json.dumps(body), "EXPECT": expect}
    result = subprocess.run(
        [wrk, "-t2", f"-c{CONNECTIONS}", f"-d{seconds}s", "--timeout", "10s", "--latency", "-s",
         FOLDER / "post.lua", f"http://127.0.0.1:{port}"],
        env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=False)
    lines = [x for x in result.stdout.splitlines() if x.startswith("JSON ")]
    if result.returncode != 0 or not lines:
        raise Failed(f"wrk ended with {result.returncode}: {result.stdout[-500:]}")
    return json.loads(lines[0].removeprefix("JSON "))


def cpu_us(command, stream, seconds):
    """(us of CPU a request, how many requests, requests a second). Every answer is compared."""
    body = {"model": MODEL, "messages": [{"role": "user", "content": WORDS}]}
    if stream:
        body["stream"] = True
    with Simulator(command, "--max-num-seqs", "256", "--max-waiting-queue-length",
                   "4096") as simulator:
        answer = simulator.post(PATH, body)
        (judge_stream if stream else judge_chat)(answer)
        before = simulator.cpu_seconds()
        seen = run_wrk(simulator.port, body, steady(answer), seconds)
        spent = simulator.cpu_seconds() - before
    if seen["wrong"] or seen["broken"] or seen["good"] < MIN_REQUESTS:
        raise Failed(f"not all is well: {seen}")
    return spent / seen["good"] * 1e6, seen["good"], seen["good"] / seen["seconds"]
