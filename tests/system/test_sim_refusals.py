"""What headrace-sim refuses: the bodies, the codes, their order, and what the clients of the field
make of them. Then how it stops, and that it does not start."""

import copy
import json
import signal

import anthropic
import openai
import pytest
from harness import wait_for
from sim_harness import MODEL, Frame, Sim, chat_body, frames_of, function_tool, refused_start

GENERATING = {
    "/v1/chat/completions": chat_body(),
    "/v1/completions": {"model": MODEL, "prompt": "hello"},
    "/v1/responses": {"model": MODEL, "input": "hello"},
    "/v1/messages": {"max_tokens": 9, **chat_body()},
    "/inference/v1/generate": {"model": MODEL, "token_ids": [1],
                               "sampling_params": {"max_tokens": 2}},
}
TYPES = {400: "BadRequestError", 401: "AuthenticationError", 403: "PermissionDeniedError",
         404: "NotFoundError", 418: "APIConnectionError", 422: "UnprocessableEntityError",
         429: "RateLimitError", 500: "InternalServerError", 503: "InternalServerError"}


@pytest.fixture(scope="module")
def sim():
    with Sim("--mode", "echo", "--max-model-len", "64") as made:
        yield made


def assert_refused(reply, status: int, param=...) -> dict:
    assert reply.status == status, reply.body
    error = reply.error()
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["code"], error["type"]) == (status, TYPES[status])
    assert error["message"]
    if param is not ...:
        assert error["param"] == param
    return error


@pytest.mark.parametrize("status", TYPES)
@pytest.mark.parametrize("stream", [False, True])
def test_a_header_asks_for_an_error(sim, status, stream):
    """It keeps its status also where a stream was asked for."""
    assert_refused(sim.chat(stream=stream, headers={"X-Return-Error": str(status)}), status)


@pytest.mark.parametrize(("status", "kind"), [
    (400, "BadRequestError"), (401, "AuthenticationError"), (403, "PermissionDeniedError"),
    (404, "NotFoundError"), (422, "UnprocessableEntityError"), (429, "RateLimitError"),
    (500, "InternalServerError"), (503, "APIStatusError")])
def test_clients_know_the_errors(sim, status, kind):
    headers = {"X-Return-Error": str(status)}
    with sim.openai() as client, pytest.raises(getattr(openai, kind)) as told:
        client.chat.completions.create(model=MODEL, messages=chat_body()["messages"],
                                       extra_headers=headers)
    assert told.value.status_code == status
    assert told.value.body["type"] == TYPES[status]
    with sim.anthropic() as client, pytest.raises(getattr(anthropic, kind)) as told:
        client.messages.create(model=MODEL, max_tokens=9, messages=chat_body()["messages"],
                               extra_headers=headers)
    assert told.value.status_code == status
    assert told.value.body["type"] == "error"


@pytest.mark.parametrize("path", GENERATING)
def test_every_generating_endpoint_refuses_alike(sim, path):
    body = GENERATING[path]
    assert sim.ask(path, body).status == 200
    assert sim.ask(path, b"{").status == 400
    assert sim.ask(path, b"[]").status == 400
    assert sim.ask(path, {**body, "model": "nope"}).status == 404
    assert sim.ask(path, body, headers={"X-Return-Error": "429"}).status == 429


FAULTY_REQUEST = {
    "model": "nope", "messages": [{"role": "user", "content": "word " * 100}],
    "tools": [function_tool(x={"type": "nonsense"})], "n": 0, "max_tokens": 0, "stream": True,
    "kv_transfer_params": {"do_remote_decode": True}, "ignore_eos": True}
# What is mended of it at each step, and what it was refused with before.
STEPS = [
    ("model", 404, {"model": MODEL}),
    ("tools[0].function.parameters", 400, {"tools": [function_tool()]}),
    ("n", 400, {"n": 1}),
    ("max_tokens", 400, {"max_tokens": None}),
    ("stream", 400, {"stream": False}),
    ("ignore_eos", 400, {"ignore_eos": False}),
]


def test_the_checks_have_an_order(sim):
    body = copy.deepcopy(FAULTY_REQUEST)
    data = json.dumps(body).encode()
    path = "/v1/chat/completions"
    error = {"X-Return-Error": "403"}
    assert_refused(sim.ask(path, data[:-1], headers=error), 400)  # no JSON, before all others
    assert_refused(sim.ask(path, body, headers=error), 403)
    for param, status, mended in STEPS:
        assert_refused(sim.ask(path, body), status, param)
        body.update(mended)
    assert "maximum context length" in assert_refused(sim.ask(path, body), 400)["message"]
    body["messages"][0]["content"] = "short"
    assert sim.ask(path, body).status == 200


def test_failures_on_purpose_come_before_the_model(sim):
    with Sim("--failure-injection-rate", "100", "--failure-types", "rate_limit") as failing:
        body = {**FAULTY_REQUEST}
        assert_refused(failing.ask("/v1/chat/completions", body), 429)
        assert_refused(failing.chat(headers={"X-Return-Error": "403"}), 403)
        assert failing.ask("/v1/chat/completions", b"{").status == 400
        for path, wanted in GENERATING.items():
            assert failing.ask(path, wanted).status == 429
        assert failing.ask("/tokenize", {"prompt": "a"}).status == 200
        assert failing.ask("/v1/embeddings", {"model": MODEL, "input": "a"}).status == 200


@pytest.mark.parametrize(("name", "status", "param"), [
    ("rate_limit", 429, None), ("invalid_api_key", 401, None), ("context_length", 400, "messages"),
    ("server_error", 503, None), ("invalid_request", 400, "model"),
    ("model_not_found", 404, "model")])
def test_the_six_failures(failing, name, status, param):
    failing.ask("/admin/config", {"failure-types": [name]})
    assert_refused(failing.chat(), status, param)


@pytest.fixture(scope="module")
def failing():
    with Sim("--failure-injection-rate", "100") as made:
        yield made


def test_all_failures_come_where_none_is_named(failing):
    failing.ask("/admin/config", {"failure-types": []})
    assert {failing.chat().status for _ in range(60)} == {429, 401, 400, 503, 404}


def test_a_rate_is_a_share(failing):
    failing.ask("/admin/config", {"failure-injection-rate": 30, "failure-types": ["rate_limit"]})
    failed = sum(failing.chat(max_tokens=1).status == 429 for _ in range(200))
    failing.ask("/admin/config", {"failure-injection-rate": 100, "failure-types": []})
    assert 30 <= failed <= 90  # of 60; 4.6 standard deviations


@pytest.mark.parametrize("body", [
    b"", b"nonsense", b"[]", b'{"model":', b'{"model":"m","messages":"x"}', b"\xff\xfe",
    b'{"model":"m","messages":[{"role":"user","content":"\xff"}]}',
    b'{"model":"m","messages":[{"role":"user","content":1}]}',
    b'{"model":"m","messages":[{"role":"user","content":"a"}],"max_tokens":"many"}',
    b'{"model":"m","messages":[{"role":"user","content":"a"}],"max_tokens":1e400}',
    b'{"model":"m","messages":[{"role":"user","content":"a"}],"stream":"yes"}',
    b'{"model":"m","messages":' + b"[" * 5000 + b"]" * 5000 + b"}",
], ids=range(12))
def test_what_is_no_request_is_refused(sim, body):
    assert_refused(sim.ask("/v1/chat/completions", body), 400)
    assert sim.chat("after").status == 200


@pytest.mark.parametrize(("path", "body", "status"), [
    ("/tokenize", {"prompt": "a", "messages": []}, 400), ("/tokenize", {}, 400),
    ("/tokenize", {"model": "nope", "prompt": "a"}, 404),
    ("/v1/messages", chat_body(), 400),  # max_tokens is needed there
    ("/inference/v1/generate", {"model": MODEL, "token_ids": [1]}, 400),
    ("/inference/v1/generate", {"model": MODEL, "sampling_params": {}}, 400),
    ("/v1/embeddings", {"model": MODEL}, 400),
    ("/v1/embeddings", {"model": MODEL, "input": "a", "dimensions": 0}, 400),
    ("/v1/embeddings", {"model": MODEL, "input": "a", "encoding_format": "hex"}, 400),
    ("/v1/completions", {"model": MODEL}, 400), ("/v1/responses", {"model": MODEL}, 400),
    ("/v1/load_lora_adapter", b"{", 400), ("/v1/unload_lora_adapter", b"{", 400),
    ("/v1/nothing", {}, 404)])
def test_other_requests_that_are_refused(sim, path, body, status):
    assert sim.ask(path, body).status == status


def test_a_path_has_its_methods(sim):
    assert sim.ask("/v1/models", {}).status == 405
    assert sim.get("/v1/chat/completions").status == 405


def test_a_schema_is_not_looked_at_where_the_flag_says_so(sim):
    tools = [function_tool(x={"type": "nonsense"})]
    assert_refused(sim.chat(tools=tools), 400)
    with Sim("--mode", "echo", "--skip-tool-validation") as careless:
        assert careless.chat(tools=tools, tool_choice="required").status == 200


def test_a_prompt_and_its_answer_fit_the_context(sim):
    assert sim.complete([1] * 60, max_tokens=4).status == 200
    assert sim.complete([1] * 63).status == 200
    for body in ({"max_tokens": 5, "prompt": [1] * 60}, {"prompt": [1] * 64}):
        assert_refused(sim.complete(**body), 400)
        assert sim.complete(**body, stream=True).status == 400  # not a stream with an error


def test_a_prompt_larger_than_the_cache_is_an_error():
    with Sim("--enable-kvcache", "--kv-cache-size", "2", "--block-size", "8",
             env={"POD_IP": "127.0.0.1"}) as sim:
        assert sim.complete([1] * 23, max_tokens=1).status == 200
        assert_refused(sim.complete([1] * 24, max_tokens=1), 500)


def test_a_full_line_is_an_error():
    with Sim("--max-num-seqs", "1", "--max-waiting-queue-length", "1",
             "--inter-token-latency", "10s") as sim:
        long = {"model": MODEL, "prompt": "a", "max_tokens": 9, "ignore_eos": True}
        held = [sim.begin("/v1/completions", long)]
        sim.wait_metric("vllm:num_requests_running", 1)
        held.append(sim.begin("/v1/completions", long))
        sim.wait_metric("vllm:num_requests_waiting", 1)
        assert_refused(sim.complete(), 429)
        assert_refused(sim.complete([1] * 2000), 429)  # before the length is looked at
        for connection in held:
            connection.close()


def test_no_line_at_all_may_be_wanted():
    with Sim("--max-num-seqs", "1", "--max-waiting-queue-length", "0",
             "--time-to-first-token", "10s") as sim:
        held = sim.begin("/v1/completions", {"model": MODEL, "prompt": "a"})
        sim.wait_metric("vllm:num_requests_running", 1)
        assert_refused(sim.complete(), 429)
        held.close()


def test_a_stop_lets_streams_end_whole():
    """SIGTERM: what runs is answered, what comes is refused with 503, then it exits with 0."""
    with Sim("--inter-token-latency", "20ms") as sim:
        streaming = sim.begin("/v1/completions", {
            "model": MODEL, "prompt": "a", "max_tokens": 30, "ignore_eos": True, "stream": True})
        late = sim.begin("/health", None)  # a connection that stands already
        late.rest()
        streaming.begin()
        first = streaming.line()
        sim.process.send_signal(signal.SIGTERM)
        refused = wait_for(lambda: refusal_of(late), 5, "a new request is refused")
        assert_refused(refused, 503)
        frames = [Frame("", first.decode().removeprefix("data: "))]
        frames += frames_of(streaming.rest().lstrip())
        assert frames[-1].text == "[DONE]"
        reasons = [x.json()["choices"][0]["finish_reason"] for x in frames[:-1]]
        assert reasons == [None] * 30 + ["length"]
        assert sim.process.wait(10) == 0


def refusal_of(connection):
    """The answer to one more request, unless it is a good one."""
    connection.http.request("POST", "/v1/completions", json.dumps(
        {"model": MODEL, "prompt": "a", "max_tokens": 1}))
    reply = connection.http.getresponse()
    reply.data = reply.read()
    reply.error = lambda: json.loads(reply.data)["error"]
    reply.body = reply.data
    return reply if reply.status != 200 else None


def test_a_second_stop_is_not_needed_where_nothing_runs():
    with Sim() as sim:
        sim.process.send_signal(signal.SIGTERM)
        assert sim.process.wait(5) == 0


GO = ("--model", MODEL)


@pytest.mark.parametrize(("flags", "named"), [
    ((), "--model"),
    ((*GO, "--nonsense", "1"), "--nonsense"),
    ((*GO, "--port", "0"), "--port"),
    ((*GO, "--port", "65536"), "--port"),
    ((*GO, "--port", "many"), "--port"),
    ((*GO, "--mode", "loud"), "--mode"),
    ((*GO, "--max-num-seqs", "0"), "--max-num-seqs"),
    ((*GO, "--max-waiting-queue-length", "-1"), "--max-waiting-queue-length"),
    ((*GO, "--max-model-len", "0"), "--max-model-len"),
    ((*GO, "--max-loras", "0"), "--max-loras"),
    ((*GO, "--max-loras", "3", "--max-cpu-loras", "2"), "--max-cpu-loras"),
    ((*GO, "--lora-modules", '{"name":""}'), "--lora-modules"),
    ((*GO, "--lora-modules", '{"name":"a","base_model_name":"z"}'), "--lora-modules"),
    ((*GO, "--time-to-first-token", "5"), "--time-to-first-token"),
    ((*GO, "--inter-token-latency", "-1ms"), "--inter-token-latency"),
    ((*GO, "--time-to-first-token", "10ms", "--time-to-first-token-std-dev", "4ms"), "std-dev"),
    ((*GO, "--time-factor-under-load", "0.5"), "--time-factor-under-load"),
    ((*GO, "--latency-calculator", "guess"), "--latency-calculator"),
    ((*GO, "--block-size", "12"), "--block-size"),
    ((*GO, "--enable-kvcache"), "POD_IP"),
    ((*GO, "--event-batch-size", "0"), "--event-batch-size"),
    ((*GO, "--global-cache-hit-threshold", "1.5"), "--global-cache-hit-threshold"),
    ((*GO, "--failure-injection-rate", "101"), "--failure-injection-rate"),
    ((*GO, "--failure-types", "fire"), "--failure-types"),
    ((*GO, "--data-parallel-size", "9"), "--data-parallel-size"),
    ((*GO, "--data-parallel-rank", "8"), "--data-parallel-rank"),
    ((*GO, "--ssl-certfile", "x"), "--ssl"),
    ((*GO, "--max-request-body-size-mb", "513"), "--max-request-body-size-mb"),
    ((*GO, "--fake-metrics", '{"kv-cache-usage":2}'), "--fake-metrics"),
    ((*GO, "--dataset-path", "/nonexistent"), "--dataset-path"),
    ((*GO, "--dataset-url", "http://x"), "--dataset"),
    ((*GO, "--max-tool-call-integer-param", "1", "--min-tool-call-integer-param", "2"), "integer"),
    ((*GO, "--tool-call-not-required-param-probability", "101"), "probability"),
    ((*GO, "--host", "not an address"), "--host"),
    ((*GO, "--config", "/nonexistent"), "--config"),
], ids=lambda x: " ".join(x[2:]) or "none" if isinstance(x, tuple) else "")
def test_a_wrong_configuration_ends_with_2_and_one_line(flags, named):
    ended = refused_start(*flags)
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert len(ended.stderr.splitlines()) == 1, ended.stderr
    assert named in ended.stderr


@pytest.mark.parametrize(("text", "named"), [
    ("nonsense: 1\n", "nonsense"), ("max-num-seqs: 0\n", "max-num-seqs"),
    ("max-num-seqs: [1\n", "yaml"), ("lora-modules: ['{']\n", "lora-modules"),
    ("fake-metrics: {kv-cache-usage: 2}\n", "kv-cache-usage")])
def test_a_wrong_file_ends_with_2_and_one_line(tmp_path, text, named):
    file = tmp_path / "sim.yaml"
    file.write_text(text)
    ended = refused_start(*GO, "--config", str(file))
    assert ended.returncode == 2
    assert len(ended.stderr.splitlines()) == 1, ended.stderr
    assert named in ended.stderr


def test_a_port_in_use_ends_with_2_and_one_line(sim):
    ended = refused_start(*GO, "--host", "127.0.0.1", "--port", str(sim.port))
    assert ended.returncode == 2
    assert len(ended.stderr.splitlines()) == 1, ended.stderr
    assert str(sim.port) in ended.stderr
