"""What headrace-sim answers, as the clients of the field read it and as it stands on the wire."""

import base64
import json
import re
import struct

import pytest
from harness import free_port
from sim_harness import MODEL, Sim, chat_body, function_tool

ECHOED = "héllo wörld 你好 🙂 end"
WEATHER = function_tool()


@pytest.fixture(scope="module")
def echo():
    with Sim("--mode", "echo", "--seed", "7", "--served-model-name", MODEL, "other",
             "--enable-request-id-headers",
             env={"POD_NAME": "pod-1", "POD_NAMESPACE": "space"}) as sim:
        yield sim


@pytest.fixture(scope="module")
def client(echo):
    with echo.openai() as made:
        yield made


@pytest.fixture(scope="module")
def claude(echo):
    with echo.anthropic() as made:
        yield made


def test_a_chat_is_answered_whole(client):
    said = client.chat.completions.create(
        model=MODEL, messages=[{"role": "system", "content": "be kind"},
                               {"role": "user", "content": ECHOED}])
    assert said.object == "chat.completion"
    assert said.id.startswith("chatcmpl-")
    assert said.model == MODEL
    (choice,) = said.choices
    assert (choice.index, choice.finish_reason) == (0, "stop")
    assert (choice.message.role, choice.message.content) == ("assistant", ECHOED)
    assert not choice.message.tool_calls
    assert said.usage.prompt_tokens > said.usage.completion_tokens == 5
    assert said.usage.total_tokens == said.usage.prompt_tokens + said.usage.completion_tokens
    assert said.usage.prompt_tokens_details.cached_tokens == 0


def test_an_alias_is_answered_by_the_displayed_name(client):
    said = client.chat.completions.create(model="other",
                                          messages=[{"role": "user", "content": "x"}])
    assert said.model == MODEL


def test_a_chat_of_parts_echoes_their_text(client):
    parts = [{"type": "text", "text": "look"},
             {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]
    said = client.chat.completions.create(model=MODEL,
                                          messages=[{"role": "user", "content": parts}])
    assert said.choices[0].message.content == "look"


def test_a_streamed_chat_adds_up_to_the_whole(client):
    chunks = list(client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": ECHOED}], stream=True,
        stream_options={"include_usage": True}))
    assert {x.object for x in chunks} == {"chat.completion.chunk"}
    assert len({x.id for x in chunks}) == 1
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(x.choices[0].delta.content or "" for x in chunks[:-1]) == ECHOED
    assert [x.choices[0].finish_reason for x in chunks[:-1]] == [None] * 6 + ["stop"]
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens == 5


def test_the_frames_of_a_chat_stand_in_order(echo):
    """A role, one frame a token, a reason, the usage, [DONE]; the usage is null in the others."""
    frames = echo.stream("/v1/chat/completions",
                         {**chat_body("a b"), "stream_options": {"include_usage": True}})
    assert [x.event for x in frames] == [""] * 6
    *chunks, done = frames
    assert done.text == "[DONE]"
    chunks = [x.json() for x in chunks]
    assert [x["choices"][0]["delta"] for x in chunks[:-1]] == [
        {"role": "assistant"}, {"content": "a "}, {"content": "b"}, {}]
    assert [x["choices"][0]["finish_reason"] for x in chunks[:-1]] == [None, None, None, "stop"]
    assert [x["usage"] for x in chunks[:-1]] == [None] * 4
    assert (chunks[-1]["choices"], chunks[-1]["usage"]["completion_tokens"]) == ([], 2)


def test_no_usage_is_streamed_unless_it_is_asked_for(echo):
    frames = echo.stream("/v1/chat/completions", chat_body("a"))
    assert len(frames) == 4
    assert all("usage" not in x.json() for x in frames[:-1])


@pytest.mark.parametrize(("body", "finish"), [
    ({"max_tokens": 5}, "stop"),
    ({"max_tokens": 4}, "length"),
    ({"max_tokens": 2}, "length"),
    ({"max_tokens": 2, "max_completion_tokens": 9}, "stop"),  # the newer name wins
    ({"max_tokens": 9, "max_completion_tokens": 2}, "length"),
])
def test_an_echo_is_never_cut(echo, body, finish):
    choice = echo.chat("a b c d", **body).json()["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("a b c d", finish)


def test_choices_of_a_chat_are_numbered(client):
    said = client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": "a b"}], n=3)
    assert [(x.index, x.message.content) for x in said.choices] == [(i, "a b") for i in range(3)]
    assert said.usage.completion_tokens == 6


def test_choices_of_a_streamed_chat_end_each(client):
    texts, reasons = {}, {}
    for chunk in client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": "a b"}], n=2, stream=True):
        (choice,) = chunk.choices
        texts[choice.index] = texts.get(choice.index, "") + (choice.delta.content or "")
        reasons[choice.index] = choice.finish_reason
    assert texts == {0: "a b", 1: "a b"}
    assert reasons == {0: "stop", 1: "stop"}


def test_log_probabilities_of_a_chat(client):
    said = client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": "a b c d"}], logprobs=True,
        top_logprobs=2)
    told = said.choices[0].logprobs.content
    assert [x.token for x in told] == ["a ", "b ", "c ", "d"]
    assert [x.logprob for x in told] == pytest.approx([-1.0, -1.1, -1.2, -1.0])
    for token in told:
        assert bytes(token.bytes).decode() == token.token
        assert [x.logprob for x in token.top_logprobs] == pytest.approx(
            [token.logprob, token.logprob - 0.5])


def test_one_alternative_is_told_where_a_chat_names_no_number(client):
    said = client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": "a"}], logprobs=True)
    assert len(said.choices[0].logprobs.content[0].top_logprobs) == 1


def test_log_probabilities_of_a_stream_are_those_of_the_whole(client):
    told = []
    for chunk in client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": "a b"}], logprobs=True, stream=True):
        if chunk.choices[0].logprobs:
            told += chunk.choices[0].logprobs.content
    assert [(x.token, x.logprob) for x in told] == [("a ", -1.0), ("b", pytest.approx(-1.1))]


@pytest.mark.parametrize(("choice", "calls"), [
    ("required", 1), ("none", 0),
    ({"type": "function", "function": {"name": "weather"}}, 1)])
def test_tools_are_called_as_the_choice_says(client, choice, calls):
    said = client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": "a"}], tools=[WEATHER],
        tool_choice=choice, parallel_tool_calls=False).choices[0]
    assert len(said.message.tool_calls or []) == calls
    assert said.finish_reason == ("tool_calls" if calls else "stop")
    for call in said.message.tool_calls or []:
        arguments = json.loads(call.function.arguments)
        assert call.type == "function"
        assert call.function.name == "weather"
        assert isinstance(arguments["city"], str)
        assert 0 <= arguments["days"] <= 100


def test_a_streamed_call_adds_up_and_ends_with_its_reason(client):
    names, arguments, reasons = {}, {}, []
    for chunk in client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": "a"}], tools=[WEATHER],
            tool_choice="required", stream=True):
        (choice,) = chunk.choices
        reasons.append((choice.finish_reason, bool(choice.delta.tool_calls)))
        for call in choice.delta.tool_calls or []:
            names[call.index] = names.get(call.index) or call.function.name
            arguments[call.index] = arguments.get(call.index, "") + call.function.arguments
    assert set(names.values()) == {"weather"}
    assert all(set(json.loads(x)) == {"city", "days"} for x in arguments.values())
    assert reasons[-1] == ("tool_calls", True)  # on the last piece of the arguments
    assert all(reason is None for reason, _ in reasons[:-1])


@pytest.mark.parametrize(("prompt", "texts"), [
    ("a b", ["a b"]), (["a b", "c"], ["a b", "c"]), ([1, 2, 3], ["1,2,3"]),
    ([[1, 2], [3]], ["1,2", "3"])])
def test_a_completion_answers_each_prompt(client, prompt, texts):
    said = client.completions.create(model=MODEL, prompt=prompt, n=2)
    assert said.object == "text_completion"
    assert re.fullmatch(r"cmpl-.+-0", said.id)
    assert [(x.index, x.text) for x in said.choices] == [
        (i, texts[i // 2]) for i in range(2 * len(texts))]


def test_prompts_are_counted_once_and_completions_summed(echo):
    one = echo.complete("a b").json()["usage"]
    four = echo.complete(["a b", "c"], n=2).json()["usage"]
    assert (one["prompt_tokens"], one["completion_tokens"]) == (2, 2)
    assert (four["prompt_tokens"], four["completion_tokens"], four["total_tokens"]) == (3, 6, 9)


def test_log_probabilities_of_a_completion(client):
    told = client.completions.create(model=MODEL, prompt="你 b", logprobs=2).choices[0].logprobs
    assert told.tokens == ["你 ", "b"]
    assert told.text_offset == [0, 2]  # in characters
    assert told.token_logprobs == pytest.approx([-1.0, -1.1])
    assert [len(x) for x in told.top_logprobs] == [2, 2]
    assert client.completions.create(model=MODEL, prompt="a",
                                     logprobs=0).choices[0].logprobs is None


def test_a_streamed_completion_names_the_prompt_in_its_id(echo):
    chunks = [x.json() for x in echo.stream("/v1/completions", {"prompt": ["a b", "c"]})[:-1]]
    texts = {}
    for chunk in chunks:
        (choice,) = chunk["choices"]
        assert chunk["id"].endswith(f"-{choice['index']}")
        texts[choice["index"]] = texts.get(choice["index"], "") + choice["text"]
    assert texts == {0: "a b", 1: "c"}
    assert [x["choices"][0]["finish_reason"] for x in chunks].count("stop") == 2


def test_a_response_is_answered_whole(client):
    said = client.responses.create(model=MODEL, input=ECHOED, instructions="be kind")
    assert (said.object, said.status, said.output_text) == ("response", "completed", ECHOED)
    assert said.id.startswith("resp_")
    assert said.instructions == "be kind"
    assert said.usage.output_tokens == 5


def test_a_response_to_items_echoes_the_last_message(client):
    said = client.responses.create(model=MODEL, input=[
        {"role": "user", "content": "first"},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "4"},
        {"role": "user", "content": [{"type": "input_text", "text": "last one"}]}])
    assert said.output_text == "last one"


def test_a_response_that_reached_its_limit_is_incomplete(client):
    said = client.responses.create(model=MODEL, input="a b c", max_output_tokens=2)
    assert said.status == "incomplete"
    assert said.incomplete_details.reason == "max_output_tokens"


def test_a_streamed_response_has_named_events_and_no_done(echo, client):
    frames = echo.stream("/v1/responses", {"input": "a b"})
    assert [x.event for x in frames] == [f"response.{x}" for x in (
        "created", "in_progress", "output_item.added", "content_part.added", "output_text.delta",
        "output_text.delta", "output_text.done", "content_part.done", "output_item.done",
        "completed")]
    assert [x.json()["type"] for x in frames] == [x.event for x in frames]
    assert [x.json()["sequence_number"] for x in frames] == list(range(len(frames)))
    with client.responses.stream(model=MODEL, input=ECHOED) as events:
        deltas = [x.delta for x in events if x.type == "response.output_text.delta"]
        assert events.get_final_response().output_text == "".join(deltas) == ECHOED


@pytest.mark.parametrize("nested", [True, False])
def test_tools_of_a_response(client, nested):
    tool = WEATHER if nested else {"type": "function", **WEATHER["function"]}
    said = client.responses.create(model=MODEL, input="a", tools=[tool], tool_choice="required",
                                   parallel_tool_calls=False)
    (call,) = said.output
    assert (call.type, call.name) == ("function_call", "weather")
    assert set(json.loads(call.arguments)) == {"city", "days"}


def test_a_message_is_answered_whole(claude):
    said = claude.messages.create(model=MODEL, max_tokens=20, system="be kind",
                                  messages=[{"role": "user", "content": ECHOED}])
    assert (said.type, said.role, said.model) == ("message", "assistant", MODEL)
    assert said.id.startswith("msg_")
    assert [x.text for x in said.content] == [ECHOED]
    assert (said.stop_reason, said.usage.output_tokens) == ("end_turn", 5)
    assert said.usage.input_tokens > 5


def test_a_message_says_that_it_reached_its_limit(claude):
    said = claude.messages.create(model=MODEL, max_tokens=1,
                                  messages=[{"role": "user", "content": "a b"}])
    assert said.stop_reason == "max_tokens"


def test_a_streamed_message(echo, claude):
    body = {"max_tokens": 9, "messages": [{"role": "user", "content": "a b"}]}
    assert [x.event for x in echo.stream("/v1/messages", body)] == [
        "message_start", "content_block_start", "ping", "content_block_delta",
        "content_block_delta", "content_block_stop", "message_delta", "message_stop"]
    with claude.messages.stream(model=MODEL, max_tokens=20,
                                messages=[{"role": "user", "content": ECHOED}]) as events:
        assert "".join(events.text_stream) == ECHOED
        assert events.get_final_message().stop_reason == "end_turn"


@pytest.mark.parametrize("choice", [{"type": "any"}, {"type": "tool", "name": "weather"}])
def test_tools_of_a_message(claude, choice):
    tool = {"name": "weather", "input_schema": WEATHER["function"]["parameters"]}
    with claude.messages.stream(
            model=MODEL, max_tokens=99, tools=[tool], tool_choice=choice,
            messages=[{"role": "user", "content": "a"}]) as events:
        streamed = events.get_final_message()
    whole = claude.messages.create(
        model=MODEL, max_tokens=99, tools=[tool], tool_choice=choice,
        messages=[{"role": "user", "content": "a"}])
    for said in (streamed, whole):
        assert said.stop_reason == "tool_use"
        assert {(x.type, x.name) for x in said.content} == {("tool_use", "weather")}
        assert all(set(x.input) == {"city", "days"} for x in said.content)


def test_a_message_may_forbid_its_tools(claude):
    tool = {"name": "weather", "input_schema": WEATHER["function"]["parameters"]}
    said = claude.messages.create(model=MODEL, max_tokens=9, tools=[tool],
                                  tool_choice={"type": "none"},
                                  messages=[{"role": "user", "content": "a"}])
    assert [x.text for x in said.content] == ["a"]


def test_tokens_in_and_tokens_out(echo):
    body = {"model": MODEL, "token_ids": [1, 2, 3],
            "sampling_params": {"max_tokens": 4, "ignore_eos": True}}
    whole = echo.ask("/inference/v1/generate", body).json()
    (choice,) = whole["choices"]
    assert (choice["index"], choice["finish_reason"]) == (0, "length")
    assert whole["request_id"]
    assert {"kv_transfer_params", "ec_transfer_params"} <= set(whole)
    *frames, done = echo.stream("/inference/v1/generate", body)
    assert done.text == "[DONE]"
    choices = [x.json()["choices"][0] for x in frames]
    assert sum((x["token_ids"] for x in choices), []) == choice["token_ids"]
    assert {len(x["token_ids"]) for x in choices} == {1}
    assert [x["finish_reason"] for x in choices[:-1]] == [None] * (len(choices) - 1)
    assert choices[-1]["finish_reason"] == "length"  # in the frame of the last token


def vector(ids: list[int], size: int) -> list[float]:
    return [2 * (ids[i] % 1024) / 1024 - 1 if i < len(ids)
            else 2 * (ids[i % len(ids)] % 256) / 256 - 1 for i in range(size)]


def test_embeddings_are_made_of_the_tokens(client):
    """The client asks for base64 by itself, and for floats where it is told to."""
    ids = [5, 2000, 77]
    for wanted in ({}, {"encoding_format": "float"}):
        told = client.embeddings.create(model=MODEL, input=[ids, [1]], dimensions=6, **wanted)
        assert [x.index for x in told.data] == [0, 1]
        assert told.data[0].embedding == pytest.approx(vector(ids, 6))
        assert told.data[1].embedding == pytest.approx(vector([1], 6))
        assert told.usage.prompt_tokens == 4
    assert len(client.embeddings.create(model=MODEL, input="text").data[0].embedding) == 384


def test_base64_embeddings_are_little_endian_floats(echo):
    said = echo.ask("/v1/embeddings", {"model": MODEL, "input": [5, 9], "dimensions": 3,
                                       "encoding_format": "base64"}).json()
    data = base64.b64decode(said["data"][0]["embedding"])
    assert list(struct.unpack("<3f", data)) == pytest.approx(vector([5, 9], 3))


def test_tokens_of_a_text_and_back(echo):
    tokens = echo.ask("/tokenize", {"model": MODEL, "prompt": "a b c"}).json()
    assert (tokens["count"], tokens["max_model_len"], tokens["token_strs"]) == (3, 1024, None)
    assert len(tokens["tokens"]) == 3
    chat = echo.ask("/tokenize", chat_body("a b c")).json()
    assert chat["count"] > 3


def test_rendered_prompts_are_the_tokens_of_the_engine(echo):
    tokens = echo.ask("/tokenize", {"model": MODEL, "prompt": "a b"}).json()["tokens"]
    for prompt, rendered in (("a b", [tokens]), (["a b", "a b"], [tokens] * 2),
                             ([7, 8], [[7, 8]])):
        said = echo.ask("/v1/completions/render", {"model": MODEL, "prompt": prompt}).json()
        assert [x["token_ids"] for x in said] == rendered
    chat = echo.ask("/v1/chat/completions/render", chat_body("a b")).json()
    assert chat["token_ids"] == echo.ask("/tokenize", chat_body("a b")).json()["tokens"]


def test_the_pod_stands_in_every_answer(echo):
    for reply in (echo.chat(), echo.chat(stream=True), echo.get("/v1/models"),
                  echo.chat(headers={"X-Return-Error": "503"})):
        assert reply.headers["x-inference-pod"] == "pod-1"
        assert reply.headers["x-inference-port"] == str(echo.port)
        assert reply.headers["x-inference-namespace"] == "space"


def test_the_id_of_a_request_is_that_of_its_header(echo):
    named = echo.chat(headers={"X-Request-Id": "mine"})
    assert (named.headers["X-Request-Id"], named.json()["id"]) == ("mine", "chatcmpl-mine")
    made = echo.chat()
    assert made.json()["id"] == f"chatcmpl-{made.headers['X-Request-Id']}"


def test_without_the_flag_the_header_changes_nothing():
    with Sim("--mode", "echo") as sim:
        reply = sim.chat(headers={"X-Request-Id": "mine"})
        assert "X-Request-Id" not in reply.headers
        assert reply.json()["id"] != "chatcmpl-mine"
        assert "x-inference-pod" not in reply.headers


def test_a_seed_gives_the_same_answers_and_ids_again():
    port = free_port()
    runs = []
    for _ in range(2):
        with Sim("--seed", "11", port=port) as sim:
            said = [sim.chat("x").json() for _ in range(4)]
            runs.append([(x["id"], x["choices"], x["usage"]) for x in said])
    assert runs[0] == runs[1]
    assert len({choices[0]["message"]["content"] for _, choices, _ in runs[0]}) == 4


def test_random_answers_keep_to_their_limit():
    """With ignore_eos they have it exactly; a finish of "length" means just that."""
    with Sim("--seed", "3", "--max-model-len", "64") as sim:
        for most in (1, 3, 30):
            exact = sim.complete("a b c", max_tokens=most, ignore_eos=True).json()
            assert exact["usage"]["completion_tokens"] == most
            assert exact["choices"][0]["finish_reason"] == "length"
        lengths = []
        for i in range(60):
            said = sim.complete("a b c d", **({"max_tokens": 20} if i % 2 else {})).json()
            limit = 20 if i % 2 else 60
            lengths.append(said["usage"]["completion_tokens"])
            assert 1 <= lengths[-1] <= limit
            full = said["choices"][0]["finish_reason"] == "length"
            assert full == (lengths[-1] == limit)
        assert 20 in lengths[1::2]
        assert len(set(lengths)) > 10


def test_a_prefill_for_another_engine_tells_where_its_blocks_are(echo):
    said = echo.chat("a b", kv_transfer_params={"do_remote_decode": True}).json()
    assert said["choices"][0]["finish_reason"] == "remote_decode"
    assert said["kv_transfer_params"] == {
        "do_remote_decode": False, "do_remote_prefill": True, "remote_block_ids": ["DUMMY_ID"],
        "remote_engine_id": "DUMMY_ID", "remote_host": "DUMMY", "remote_port": 1234, "tp_size": 1}
