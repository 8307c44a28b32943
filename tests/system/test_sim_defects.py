"""What other simulators of a vLLM get wrong, and headrace-sim does not. The numbers are those of
the list of defects in the reference."""

import itertools
import json
import os
import pathlib
import time

import msgpack
import openai
import pytest
import zmq
from harness import free_ports, wait_for
from sim_harness import MODEL, Sim, chat_body, frames_of, refused_start

WITH_CACHE = {"POD_IP": "127.0.0.1"}
TOKEN = "headrace_sim_planned_inter_token_latency_seconds"
FIRST = "headrace_sim_planned_time_to_first_token_seconds"


def long_body(tokens: int = 50, **more) -> dict:
    return {"model": MODEL, "prompt": "a", "max_tokens": tokens, "ignore_eos": True, **more}


def test_latencies_are_not_rounded_to_milliseconds():
    """Defect 1: 500us between tokens was none at all."""
    with Sim("--inter-token-latency", "500us") as sim:
        begin = time.monotonic()
        assert sim.ask("/v1/completions", long_body(201)).status == 200
        assert time.monotonic() - begin >= 0.1
        assert sim.metric(TOKEN + "_sum") == pytest.approx(0.1)
        assert sim.metric(TOKEN + "_count") == 200


def test_a_lone_request_is_no_load():
    """Defect 2: the factor was taken before the request itself was counted."""
    with Sim("--mode", "echo", "--time-to-first-token", "60ms", "--time-factor-under-load", "3",
             "--max-num-seqs", "4") as sim:
        begin = time.monotonic()
        sim.chat()
        assert time.monotonic() - begin >= 0.06
        assert sim.metric(FIRST + "_sum") == pytest.approx(0.06)
        held = [sim.begin("/v1/chat/completions", chat_body()) for _ in range(4)]
        for connection in held:
            connection.rest()
            connection.close()
        # The others are planned with 1, 2, 3 and 4 that run: a factor of 1, 5/3, 7/3 and 3.
        assert sim.metric(FIRST + "_sum") == pytest.approx(0.06 * (1 + 1 + 5 / 3 + 7 / 3 + 3))


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_hangs_up_frees_its_slot(stream):
    """Defect 3: the slot was busy until the generation was over."""
    with Sim("--max-num-seqs", "1", "--inter-token-latency", "10s") as sim:
        gone = sim.begin("/v1/completions", long_body(stream=stream))
        sim.wait_metric("vllm:num_requests_running", 1)
        waiting = sim.begin("/v1/completions", long_body(stream=stream))
        sim.wait_metric("vllm:num_requests_waiting", 1)
        next_one = sim.begin("/v1/completions", long_body(1))
        sim.wait_metric("vllm:num_requests_waiting", 2)
        waiting.close()
        sim.wait_metric("vllm:num_requests_waiting", 1)
        gone.close()
        assert json.loads(next_one.rest())["usage"]["completion_tokens"] == 1
        next_one.close()
        sim.wait_metric("vllm:num_requests_running", 0)
        assert sim.metric('headrace_sim_requests_total{outcome="aborted"}') == 2


TEXTS = ["héllo", "  leading and trailing  ", "你好，世界", "🙂 🙃", "a\u0301 e\u0301",
         "\u2028\t\n", "Ωμέγα — “quotes”", "עברית", "\U0001f468\u200d\U0001f469\u200d\U0001f467"]


@pytest.mark.parametrize("tokenizer", ["regex", "byte"])
def test_text_stays_whole(tokenizer):
    """Defect 4: what is not ASCII was deleted, and not billed; so was space at the beginning. In a
    stream no character is split between two frames, although a token may be less than one."""
    with Sim("--mode", "echo", "--tokenizer", tokenizer) as sim:
        for text in TEXTS:
            whole = sim.chat(text).json()
            assert whole["choices"][0]["message"]["content"] == text
            tokens = whole["usage"]["completion_tokens"]
            assert tokens > 0
            frames = sim.stream("/v1/chat/completions", chat_body(text))
            pieces = [x.json()["choices"][0]["delta"].get("content", "") for x in frames[:-1]]
            assert "".join(pieces) == text
            assert "\ufffd" not in "".join(pieces)
            assert len(frames) == tokens + 3  # a role, the tokens, a reason, [DONE]
            for path, body in (("/v1/responses", {"input": text}),
                               ("/v1/messages", {"max_tokens": 900, **chat_body(text)})):
                deltas = [x.json()["delta"] for x in sim.stream(path, body)
                          if x.event in ("response.output_text.delta", "content_block_delta")]
                assert "".join(x["text"] if "text" in x else x for x in deltas) == text
            counted = sim.ask("/tokenize", {"model": MODEL, "prompt": text}).json()
            assert counted["count"] > 0
            back = sim.ask("/detokenize", {"model": MODEL, "tokens": counted["tokens"]})
            assert tokenizer == "regex" or back.json()["prompt"] == text


def test_choices_share_their_prompt_in_the_cache():
    """Defect 5: n=2, or an id that is there twice, was an error 500 with a KV cache."""
    with Sim("--enable-kvcache", "--inter-token-latency", "1ms", "--enable-request-id-headers",
             env=WITH_CACHE) as sim:
        prompt = list(range(64))
        said = sim.complete(prompt, n=3, max_tokens=2)
        assert said.status == 200
        assert len(said.json()["choices"]) == 3
        held = [sim.begin("/v1/completions", {**long_body(20), "prompt": prompt},
                          headers={"X-Request-Id": "same"}) for _ in range(3)]
        for connection in held:
            assert json.loads(connection.rest())["id"] == "cmpl-same-0"
            assert connection.reply.status == 200
            connection.close()


def test_an_adapter_unloaded_in_flight_gives_its_slot_back():
    """Defect 6: with one slot the next adapter's request hung for ever."""
    with Sim("--max-loras", "1", "--inter-token-latency", "5ms", "--lora-modules",
             '{"name":"one"}', '{"name":"two"}') as sim:
        running = sim.begin("/v1/completions", {**long_body(40), "model": "one"})
        sim.wait_metric("vllm:num_requests_running", 1)
        other = sim.begin("/v1/completions", {**long_body(2), "model": "two"})
        sim.wait_metric("vllm:num_requests_waiting", 1)
        assert sim.ask("/v1/unload_lora_adapter", {"lora_name": "one"}).status == 200
        assert json.loads(running.rest())["usage"]["completion_tokens"] == 40
        assert json.loads(other.rest())["model"] == "two"
        assert sim.complete(model="one").status == 404
        for connection in (running, other):
            connection.close()


def test_a_body_over_the_limit_is_413():
    """Defect 7: it was 200 with an empty body."""
    with Sim("--mode", "echo", "--max-request-body-size-mb", "1", "--max-model-len",
             "2000000") as sim:
        fits = sim.chat("x" * (1 << 20 >> 1), max_tokens=1)
        assert fits.status == 200
        with sim.openai() as client, pytest.raises(openai.APIStatusError) as told:
            client.completions.create(model=MODEL, prompt="x" * (1 << 20))
        assert told.value.status_code == 413
        assert told.value.body["code"] == 413


def test_a_bad_configuration_does_not_exit_with_0():
    """Defect 7, too."""
    assert refused_start("--model", MODEL, "--max-num-seqs", "0").returncode == 2


def test_an_empty_answer_is_streamed_without_an_error():
    """Defect 7, too: an error stood in a stream that had begun with 200."""
    with Sim("--mode", "echo") as sim:
        frames = sim.stream("/v1/chat/completions", chat_body(""))
        assert [x.json()["choices"][0]["finish_reason"] for x in frames[:-1]] == [None, "stop"]
        assert frames[-1].text == "[DONE]"
        assert sim.chat("").json()["choices"][0]["message"]["content"] == ""


def test_only_the_adapters_that_run_are_shown():
    """Defect 8: every set of labels that there ever was stayed."""
    with Sim("--mode", "echo", "--lora-modules", '{"name":"one"}', '{"name":"two"}',
             "--max-loras", "2", "--time-to-first-token", "30ms") as sim:
        seen = set()
        for name in ("one", "two", "one"):
            running = sim.begin("/v1/completions", {"model": name, "prompt": "a"})
            wanted = (f'vllm:lora_requests_info{{max_lora="2",running_lora_adapters="{name}",'
                      'waiting_lora_adapters=""}')
            seen.add(wait_for(lambda wanted=wanted: shown_loras(sim) == [wanted] and wanted, 5,
                              "the adapter that runs is shown alone"))
            running.rest()
            running.close()
        assert len(seen) == 2
        assert shown_loras(sim) == ['vllm:lora_requests_info{max_lora="2",'
                                    'running_lora_adapters="",waiting_lora_adapters=""}']


def shown_loras(sim) -> list[str]:
    return [x for x in sim.metrics() if x.startswith("vllm:lora_requests_info")]


@pytest.fixture(scope="module")
def echo():
    with Sim("--mode", "echo") as sim:
        yield sim


@pytest.mark.parametrize(("path", "body", "status"), [
    ("/v1/load_lora_adapter", {"lora_name": "", "lora_path": "/p"}, 400),
    ("/v1/load_lora_adapter", {"lora_path": "/p"}, 400),
    ("/v1/load_lora_adapter", {"lora_name": "there", "lora_path": "/p"}, 400),
    ("/v1/unload_lora_adapter", {"lora_name": "unknown"}, 404),
    ("/v1/unload_lora_adapter", {"lora_name": ""}, 400),
    ("/v1/chat/completions", {"model": MODEL, "messages": []}, 400),
    ("/v1/embeddings", {"model": "nope", "input": "a"}, 404)])
def test_what_makes_no_sense_is_refused(echo, path, body, status):
    """Defect 9: all of it was 200."""
    echo.ask("/v1/load_lora_adapter", {"lora_name": "there", "lora_path": "/p"})
    assert echo.ask(path, body).status == status


@pytest.mark.parametrize("stream", [False, True])
def test_a_stop_ends_the_answer(echo, stream):
    """Defect 9, too: it was ignored."""
    body = chat_body("one two three four", stop=["three", "nothing"], stream=stream)
    data = echo.ask("/v1/chat/completions", body).body
    if stream:
        choices = [x.json()["choices"][0] for x in frames_of(data)[:-1]]
        text = "".join(x["delta"].get("content", "") for x in choices)
    else:
        choices = json.loads(data)["choices"]
        text = choices[0]["message"]["content"]
    assert (text, choices[-1]["finish_reason"]) == ("one two ", "stop")


def test_an_answer_has_at_least_min_tokens():
    """Defect 9, too."""
    with Sim() as sim:
        for _ in range(20):
            said = sim.complete("a", max_tokens=20, min_tokens=18).json()
            assert 18 <= said["usage"]["completion_tokens"] <= 20


def test_metrics_miss_no_request():
    """Defect 10: what was faster than the metrics was not counted."""
    with Sim("--mode", "echo") as sim:
        with sim.openai() as client:
            for _ in range(3):
                client.completions.create(model=MODEL, prompt=["a b"] * 300, n=2, stream=False)
        assert sim.metric("vllm:generation_tokens_total") == 3 * 300 * 2 * 2
        assert sim.metric("vllm:inter_token_latency_seconds_count") == 3 * 300 * 2


class Subscriber:
    """Binds what a simulator dials."""

    def __init__(self, port: int) -> None:
        self.socket = zmq.Context.instance().socket(zmq.SUB)
        self.socket.subscribe(b"")
        self.port = port
        wait_for(self.bound, 10, "the port is free again")

    def bound(self) -> bool:
        try:
            self.socket.bind(f"tcp://127.0.0.1:{self.port}")
        except zmq.ZMQError:  # who had it is closed by a thread of its own
            return False
        return True

    def receive(self):
        """(sequence, events)"""
        assert self.socket.poll(10000), "no message within 10 s"
        topic, sequence, payload = self.socket.recv_multipart()
        assert topic.startswith(b"kv@127.0.0.1")
        return int.from_bytes(sequence, "big"), msgpack.unpackb(payload)[1]

    def close(self) -> None:
        self.socket.close(0)


@pytest.fixture
def subscribed():
    """A simulator with one event a message, and who listens to it."""
    port = free_ports(2)  # not of those that a connection to nobody might meet itself at
    replay = port + 1
    subscriber = Subscriber(port)
    with Sim("--enable-kvcache", "--kv-cache-size", "16", "--block-size", "8", "--mode", "echo",
             "--max-model-len", "4096", "--event-batch-size", "1", "--zmq-endpoint",
             f"tcp://127.0.0.1:{port}", "--kv-events-replay-endpoint", f"tcp://127.0.0.1:{replay}",
             env=WITH_CACHE) as sim:
        sim.events_port, sim.replay_port = port, replay
        # The first message that arrives shows that the simulator is connected.
        while not subscriber.socket.poll(20):
            sim.complete([next_token()] * 8)
        yield sim, subscriber
    subscriber.close()


TOKENS = itertools.count(1)  # no prompt is like another


def next_token() -> int:
    return next(TOKENS)


def test_no_event_is_lost(subscribed):
    """Defect 10, too: a cache of 16 blocks has sent 160 events without a rest, and then dropped
    what came."""
    sim, subscriber = subscribed
    sequence, _ = subscriber.receive()
    for _ in range(200):
        assert sim.complete([next_token()] * 16).status == 200
    stored = set()
    while len(stored) < 400:
        number, events = subscriber.receive()
        assert number > sequence
        if stored:
            assert number == sequence + 1
        sequence = number
        for event in events:
            if event[0] == "BlockStored":
                stored.update(event[1])
    assert sim.metric("headrace_sim_kv_event_gaps_total") == 0


def test_a_subscriber_may_come_back(subscribed):
    """Defect 10, too: the first error of the socket ended the events for good."""
    sim, subscriber = subscribed
    subscriber.close()
    again = Subscriber(sim.events_port)
    while not again.socket.poll(50):
        assert sim.complete([next_token()] * 8).status == 200
    assert again.receive()[1]
    again.close()


def test_a_replay_that_is_not_read_holds_nobody_up(subscribed):
    """Defect 10, too: one that stuck stopped the others, and the events."""
    sim, subscriber = subscribed
    for _ in range(50):
        sim.complete([next_token()] * 64)
    stuck, asking = (zmq.Context.instance().socket(zmq.DEALER) for _ in range(2))
    try:
        stuck.rcvhwm = 1
        for socket in (stuck, asking):
            socket.connect(f"tcp://127.0.0.1:{sim.replay_port}")
        for _ in range(20):
            stuck.send_multipart([b"", bytes(8)])
        asking.send_multipart([b"", bytes(8)])
        numbers = []
        while True:
            assert asking.poll(10000), "no answer within 10 s"
            _, topic, sequence, _ = asking.recv_multipart()
            if sequence == b"\xff" * 8:
                assert topic == b""
                break
            numbers.append(int.from_bytes(sequence, "big"))
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        assert len(numbers) > 50
    finally:
        stuck.close(0)
        asking.close(0)


def test_it_listens_where_it_is_told_to_and_asks_nobody():
    """Defect 11: it listened on all IPv4 addresses, and asked a service of the internet."""
    with Sim("--host", "::1", "127.0.0.1", "--model", "facebook/opt-125m") as sim:
        assert addresses(sim) == {("tcp", "0100007F", "0A"),
                                  ("tcp6", "00000000000000000000000001000000", "0A")}


def addresses(sim) -> set[tuple[str, str, str]]:
    """(family, local address, state) of the sockets of the process; 0A listens."""
    inodes = set()
    for entry in os.listdir(f"/proc/{sim.process.pid}/fd"):
        try:
            inodes.add(os.readlink(f"/proc/{sim.process.pid}/fd/{entry}"))
        except OSError:
            continue
    found = set()
    for family in ("tcp", "tcp6", "udp", "udp6"):
        table = pathlib.Path(f"/proc/{sim.process.pid}/net/{family}").read_text()
        for line in table.splitlines()[1:]:
            words = line.split()
            if f"socket:[{words[9]}]" in inodes:
                found.add((family, words[1].split(":")[0], words[3]))
    return found
