"""What clients do wrong, by mistake or on purpose: the simulator answers with a code that says so,
or closes the connection. It never ends, no slot stays taken, no descriptor stays open."""

import json
import os
import re
import socket
import time

import pytest
from harness import wait_for
from sim_wire import CHAT, MODEL, Sim, chat, http, read_all, read_answer, read_until

NIGHTLY = bool(os.environ.get("HEADRACE_NIGHTLY"))
IDLE_SECONDS = 75  # after which a silent connection is closed
DEEP = 200_000
COMPLETIONS = "/v1/completions"
GENERATE = {
    CHAT: chat(),
    COMPLETIONS: {"model": MODEL, "prompt": "hello"},
    "/v1/responses": {"model": MODEL, "input": "hello"},
    "/v1/messages": {"model": MODEL, "max_tokens": 9,
                     "messages": [{"role": "user", "content": "hello"}]},
    "/inference/v1/generate": {"model": MODEL, "token_ids": [1, 2], "sampling_params": {}},
}
OTHERS = ["/tokenize", "/detokenize", "/v1/embeddings", "/v1/load_lora_adapter",
          "/v1/unload_lora_adapter", "/admin/config", "/fake_metrics",
          "/v1/chat/completions/render", "/v1/completions/render"]
MALFORMED = {
    "nothing": b"",
    "half": b'{"model":',
    "tail": b'{"model":"m"} x',
    "list": b"[]",
    "null": b"null",
    "text": b'"x"',
    "nan": b'{"model":NaN}',
    "bytes": b"\x00\xff\xfe\x80",
    "invalid UTF-8": b'{"model":"\xc3\x28","prompt":"\xff","messages":"\xed\xa0\x80"}',
    "lone surrogate": b'{"model":"\\ud800","prompt":"\\udfff"}',
    "deep lists": b"[" * DEEP,
    "deep objects": b'{"messages":' * DEEP,
    "deep and closed": b'{"messages":' + b"[" * DEEP + b"]" * DEEP + b"}",
}
NUMBERS = ["1e999", "-1e999", "1e308", "99999999999999999999999999", "-1", "0", "0.5", "4294967295",
           "4294967296", "9223372036854775807", "9223372036854775808", '"7"', "null", "[]", "true"]


@pytest.fixture(scope="module")
def sim():
    with Sim("--mode", "echo", "--max-num-seqs", "8", "--max-request-body-size-mb", "4") as started:
        yield started


@pytest.fixture(scope="module")
def slow():
    """Long answers: 400 tokens, 5 ms apart."""
    with Sim("--mode", "echo", "--max-num-seqs", "64", "--time-to-first-token", "20ms",
             "--inter-token-latency", "5ms") as started:
        yield started


@pytest.fixture(autouse=True)
def nothing_is_left(request):
    """After each test no slot is taken, and as many descriptors are open as before it."""
    name = next((x for x in ("sim", "slow") if x in request.fixturenames), None)
    if name is None:
        yield
        return
    running = request.getfixturevalue(name)
    before = running.num_files()
    yield
    running.wait_idle()
    wait_for(lambda: running.num_files() <= before, 10, "all descriptors are closed")


def long_chat(stream=True):
    return chat(" ".join(f"w{i}" for i in range(400)), stream=stream)


def is_told(status, body):
    """Whether an answer with an error's code says so in the shape of vLLM's errors."""
    error = json.loads(body)["error"]
    return bool(error["message"]) and error.get("code", status) == status


@pytest.mark.parametrize("path", [*GENERATE, *OTHERS])
def test_a_malformed_body_is_refused(sim, path):
    with sim.connect() as link:
        for what, data in MALFORMED.items():
            link.sendall(http(path, data))
            status, body = read_answer(link)
            assert status in (400, 404, 422), (what, status, body[:200])
            assert is_told(status, body), what


@pytest.mark.parametrize("field", [
    "max_tokens", "max_completion_tokens", "max_output_tokens", "n", "top_logprobs", "logprobs",
    "temperature", "seed", "min_tokens", "cache_hit_threshold", "stream", "stop",
    "stream_options", "tools", "kv_transfer_params", "sampling_params", "dimensions"])
def test_any_number_in_any_field_has_an_answer(sim, field):
    with sim.connect() as link:
        for path, body in [*GENERATE.items(), ("/v1/embeddings", {"model": MODEL, "input": "a"})]:
            for number in NUMBERS:
                text = json.dumps({**body, field: "@"}).replace('"@"', number)
                link.sendall(http(path, text.encode()))
                status, answer = read_any(link)
                assert status in (200, 400, 422, 429), (path, number, status, answer[:200])
                assert status == 200 or is_told(status, answer)


def read_any(link):
    """As read_answer, of a stream too."""
    data = read_until(link, b"\r\n\r\n")
    head, _, body = data.partition(b"\r\n\r\n")
    if b"chunked" in head.lower():
        while not body.endswith(b"0\r\n\r\n"):
            body += link.recv(65536)
        return int(head.split()[1]), body
    length = int(re.search(rb"content-length: (\d+)", head.lower())[1])
    while len(body) < length:
        body += link.recv(65536)
    return int(head.split()[1]), body


@pytest.mark.parametrize("ids", [
    "[4294967296]", "[-1]", "[1e99]", "[4294967295]", "[[1],[-1]]", "[1,\"a\"]", "[[]]", "[]",
    "[" + ",".join(["1"] * 200_000) + "]", "[" + ",".join(["[1]"] * 50_000) + "]",
    "[" + ",".join(['"a"'] * 50_000) + "]"])
def test_odd_lists_of_prompts_have_an_answer(sim, ids):
    for path, field in ((COMPLETIONS, "prompt"), ("/v1/embeddings", "input"),
                        ("/inference/v1/generate", "token_ids"), ("/detokenize", "tokens")):
        body = '{"model":"%s","sampling_params":{},"%s":%s}' % (MODEL, field, ids)
        status, answer = sim.ask(http(path, body.encode()))
        assert status in (200, 400, 422, 429), (path, ids[:50], status, answer[:200])


@pytest.mark.parametrize("text", ["\x00", "\ud800".encode("utf-8", "surrogatepass"), "é" * 5000,
                                  "\U0001f600" * 900, " " * 100_000, "a" * 1_000_000])
def test_odd_text_has_an_answer(sim, text):
    data = text if isinstance(text, bytes) else json.dumps(text, ensure_ascii=False)[1:-1].encode()
    for stream in (b"true", b"false"):
        body = b'{"model":"%s","stream":%s,"prompt":"%s"}' % (MODEL.encode(), stream, data)
        with sim.send(http(COMPLETIONS, body)) as link:
            assert read_any(link)[0] in (200, 400)


@pytest.mark.parametrize("data, code", [
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),  # TLS
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    (b"GET /health HTTP/9.9\r\n\r\n", 400),
    (b"GET  /health HTTP/1.1\r\n\r\n", 400),
    (b"GET /health\r\n\r\n", 400),
    (b"\r\n" * 5000, 400),
    (http("/nowhere"), 404),
    (http(CHAT, method="DELETE"), 405),
    (http(CHAT, b"{}", length=-1), 400),
    (http(CHAT, b"{}", length=99999999999999999999999), 400),
    (http(CHAT, b"{}", length=5 << 20), 413),
    (http(CHAT, b"{}", more="X: " + "a" * 20_000 + "\r\n"), 431),
    (http(CHAT, b"{}", more="Transfer-Encoding: chunked\r\n"), 400),
    (b"POST %s HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n" % CHAT.encode(), 400),
    (b"POST %s HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n" % CHAT.encode(),
     413),
])
def test_what_is_no_request_is_refused_and_closed_or_told(sim, data, code):
    with sim.send(data) as link:
        link.shutdown(socket.SHUT_WR)
        answer = read_all(link)
    assert int(answer.split()[1]) == code, answer[:200]
    assert sim.is_alive()


def test_headers_that_come_in_single_bytes_hold_up_nobody(slow):
    data = http(CHAT, chat())
    links = [slow.connect() for _ in range(20)]
    for link in links:
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for at in range(len(data)):
        for link in links:
            link.sendall(data[at:at + 1])
        if at % 50 == 0:
            assert slow.get("/health")[0] == 200
    for link in links:
        assert read_answer(link)[0] == 200
        link.close()


def test_a_body_that_stops_holds_up_nobody(slow):
    links = [slow.send(http(CHAT, b'{"model":', length=1000)) for _ in range(50)]
    started = time.monotonic()
    assert slow.ask(http(CHAT, chat()))[0] == 200
    assert time.monotonic() - started < 5
    assert slow.is_idle()  # half a request takes no slot
    if NIGHTLY:
        links[0].settimeout(IDLE_SECONDS + 10)
        assert links[0].recv(1) == b""  # the server's patience is over
    for link in links:
        link.close()


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_closes_its_half_is_answered_or_closed(slow, stream):
    for _ in range(10):
        link = slow.send(http(CHAT, chat("a b c", stream=stream)))
        link.shutdown(socket.SHUT_WR)
        answer = read_all(link)
        link.close()
        assert not answer or answer.startswith(b"HTTP/1.1 200 ")
    assert slow.get("/health")[0] == 200


def test_a_client_that_does_not_read_its_stream_frees_its_slot(slow):
    ended = slow.outcomes()["success"]
    links = [slow.send(http(CHAT, long_chat()), receive_bytes=4096) for _ in range(20)]
    wait_for(lambda: slow.outcomes()["success"] == ended + 20, 20, "all are generated")
    assert slow.is_idle()
    for link in links:
        link.close()


def test_what_a_client_reads_late_is_whole(slow):
    link = slow.send(http(CHAT, long_chat()), receive_bytes=4096)
    ended = slow.outcomes()["success"]
    wait_for(lambda: slow.outcomes()["success"] > ended, 20, "it is generated")
    data = read_until(link, b"0\r\n\r\n")
    link.close()
    said = "".join(json.loads(x)["choices"][0]["delta"].get("content") or ""
                   for x in re.findall(rb"data: (\{.*\})", data))
    assert said == " ".join(f"w{i}" for i in range(400))


def test_a_client_may_go_at_every_moment_of_a_stream(slow):
    """After each byte up to the second token's, then by the frame; by a close and by a reset."""
    before = sum(slow.outcomes().values())
    with slow.send(http(CHAT, chat("a b c", stream=True))) as link:
        whole = len(read_until(link, b"0\r\n\r\n"))
    moments = [*range(0, 300, 7), *range(300, whole, 61), whole]
    for at in moments:
        link = slow.send(http(CHAT, chat("a b c", stream=True)))
        got = 0
        while got < at:
            got += len(link.recv(at - got))
        if at % 2 == 1:
            link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        if at < 20:
            wait_for(lambda: slow.metric("vllm:num_requests_running") > 0, 5, "it runs")
        link.close()
    slow.wait_idle()
    assert sum(slow.outcomes().values()) == before + 1 + len(moments)


def test_a_client_that_goes_frees_its_slot_and_its_place_in_the_line():
    with Sim("--mode", "echo", "--max-num-seqs", "1", "--time-to-first-token", "60s") as sim:
        links = [sim.send(http(CHAT, chat(stream=i % 2 == 0))) for i in range(8)]
        wait_for(lambda: sim.metric("vllm:num_requests_waiting") == 7, 10, "seven wait")
        for link in (links[0], links[5], links[3]):  # the one that runs, two that wait
            link.close()
        wait_for(lambda: sim.metric("vllm:num_requests_waiting") == 4, 5, "four wait")
        assert sim.metric("vllm:num_requests_running") == 1
        for link in links:
            link.close()
        sim.wait_idle(5)
        assert sim.outcomes() == {"success": 0, "failure": 0, "aborted": 8}


def test_many_requests_in_one_go_are_answered_in_their_order(sim):
    count = 200
    link = sim.send(b"".join(http(COMPLETIONS, {"model": MODEL, "prompt": f"w{i}"})
                             for i in range(count)))
    data = b""
    while data.count(b'"prompt_tokens"') < count:
        more = link.recv(65536)
        assert more
        data += more
    link.close()
    assert re.findall(rb'"text":"(w\d+)"', data) == [b"w%d" % i for i in range(count)]
