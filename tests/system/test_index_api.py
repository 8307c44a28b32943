"""The index as others use it: events come over ZeroMQ in vLLM's wire, scores go over HTTP."""

import re

import pytest
from harness import free_port, wait_for
from publisher import BLOCK, MODEL, stored, tokens_of

ADMIN = "admin-token-0123456789"
TENANT = "tenant-token-0123456789"


def test_scores_what_engines_tell(make_index):
    index = make_index()
    a, b = index.publishers.values()
    a.publish(stored(tokens_of(4), 1000))
    b.publish(stored(tokens_of(2), 1 << 63, array=True))
    b.publish(stored(tokens_of(4)[2 * BLOCK:], 2000, parent_block_hash=(1 << 63) + 1, medium="CPU"))
    index.wait_score(tokens_of(5), {"pod-a": 4, "pod-b": 2 + 2 * 0.8})
    answer = index.ask("POST", "/v1/score",
                       {"model": MODEL, "token_ids": tokens_of(5) + [1]})[1]
    assert (answer["model"], answer["tokens"], answer["blocks"]) == (MODEL, 5 * BLOCK + 1, 5)
    best = answer["pods"][0]
    assert [best[x] for x in ("pod", "score", "normalized", "blocks")] == ["pod-a", 4, 0.8, 4]
    chosen = index.score(tokens_of(5), pods=["pod-b", "nobody"])
    assert chosen == pytest.approx({"pod-b": 3.6})
    a.publish({"type": "BlockRemoved", "block_hashes": [1002], "medium": "GPU"})
    index.wait_score(tokens_of(4), {"pod-a": 2, "pod-b": 3.6})
    a.publish({"type": "AllBlocksCleared"})
    index.wait_score(tokens_of(4), {"pod-b": 3.6})


def test_scores_prompts_in_llmds_form(make_index):
    index = make_index()
    prompt = "sixteen letters!" * 3
    index.publishers["pod-a"].publish(stored(list(prompt.encode()), 1))
    index.wait_score(list(prompt.encode()), {"pod-a": 3})
    body = {"model": MODEL, "prompt": prompt + "tail"}
    assert index.ask("POST", "/score_completions", body) == (200, {"pod-a": 3})
    assert index.ask("POST", "/v1/score", body)[1]["pods"][0]["score"] == 3
    status, answer = index.ask("POST", "/score_chat_completions",
                               {"model": MODEL, "messages": [{"role": "user", "content": "x"}]})
    assert status == 400 and answer["error"]["field"] == "messages"


def test_salts_and_adapters_have_scores_of_their_own(make_index):
    index = make_index()
    a = index.publishers["pod-a"]
    a.publish(stored(tokens_of(2), 10, extra_keys=[[["cache_salt", "blue"]], None]))
    a.publish(stored(tokens_of(2), 20, lora_id=1, lora_name="sql",
                     extra_keys=[[["lora", "sql", "/x"]]] * 2))
    index.wait_score(tokens_of(2), {"pod-a": 2}, extra={"cache_salt": "blue"})
    index.wait_score(tokens_of(2), {"pod-a": 2}, extra={"lora": "sql"})
    assert index.score(tokens_of(2)) == {}
    assert index.score(tokens_of(2), extra={"cache_salt": "red"}) == {}


def test_a_gap_is_replayed(make_index):
    index = make_index()
    a = index.publishers["pod-a"]
    a.publish(stored(tokens_of(1), 1))
    index.wait_score(tokens_of(3), {"pod-a": 1})
    a.publish(stored(tokens_of(2)[BLOCK:], 2, parent_block_hash=1), lost=True)
    a.publish(stored(tokens_of(3)[2 * BLOCK:], 3, parent_block_hash=2))
    index.wait_score(tokens_of(3), {"pod-a": 3})
    wait_for(lambda: index.server.metric("headrace_index_gaps_total") >= 1, 5, "the gap is counted")
    assert index.server.metric("headrace_index_replays_total") >= 1


def test_a_restarted_index_is_whole_again(make_index):
    index = make_index()
    index.publishers["pod-a"].publish(stored(tokens_of(4), 1))
    index.wait_score(tokens_of(4), {"pod-a": 4})
    index.server.kill()
    index.server.start(pool_wait=False)
    index.wait_score(tokens_of(4), {"pod-a": 4})


def test_refusals_name_the_field(make_index):
    index = make_index("--index-max-tokens", "64")
    cases = [
        (b"{", ""), (b"[]", ""), (b"\xff", ""),
        ({"prompt": "x"}, "model"),
        ({"model": "other", "prompt": "x"}, "model"),
        ({"model": MODEL}, "prompt"),
        ({"model": MODEL, "prompt": 7}, "prompt"),
        ({"model": MODEL, "prompt": "x" * 65}, "prompt"),
        ({"model": MODEL, "token_ids": [0] * 65}, "token_ids"),
        ({"model": MODEL, "token_ids": [1, "2"]}, "token_ids[1]"),
        ({"model": MODEL, "token_ids": [1], "pods": {}}, "pods"),
        ({"model": MODEL, "token_ids": [1], "extra": {"salt": "x"}}, "extra.salt"),
        ({"model": MODEL, "token_ids": [1], "podz": []}, "podz"),
    ]
    for body, field in cases:
        status, answer = index.ask("POST", "/v1/score", body)
        assert status == 400, body
        assert answer["error"]["field"] == field and answer["error"]["message"], answer
    assert index.ask("POST", "/v1/score", b"x" * (2 << 20))[0] == 413
    assert index.ask("GET", "/v1/score")[0] == 405
    assert index.server.metric("kvcache_index_lookup_requests_total") == 0


def test_a_model_without_a_tokenizer_takes_token_ids(make_index):
    index = make_index(models="  - {name: bare}\n")
    status, answer = index.ask("POST", "/v1/score", {"model": "bare", "prompt": "x"})
    assert status == 400 and "no tokenizer" in answer["error"]["message"]
    assert index.ask("POST", "/v1/score", {"model": "bare", "token_ids": [1]})[0] == 200


def test_people_can_look_inside(make_index):
    index = make_index()
    index.publishers["pod-a"].publish(stored(tokens_of(5), 100))
    index.wait_score(tokens_of(5), {"pod-a": 5})
    status, found = index.ask("GET", f"/v1/index/lookup?hash=102&model={MODEL}")
    assert status == 200 and found["blocks"][0]["holders"] == [{"pod": "pod-a", "tier": "gpu"}]
    key = found["blocks"][0]["key"]
    assert index.ask("GET", f"/v1/index/lookup?key={key}")[1]["blocks"][0]["key"] == key
    keys, cursor = [], 0
    while True:
        page = index.ask("GET", f"/v1/index/dump?cursor={cursor}&limit=2")[1]
        assert len(page["blocks"]) <= 2
        keys += [x["key"] for x in page["blocks"]]
        cursor = page["next"]
        if cursor == 0:
            break
    assert len(keys) == len(set(keys)) == 5 and key in keys
    stats = index.ask("GET", "/v1/index/stats")[1]
    assert stats["blocks"] == 5 and stats["sources"]["followed"] == 2
    assert [x["stored_blocks"] for x in stats["pods"] if x["pod"] == "pod-a"] == [5]
    wait_for(lambda: index.server.metric("kvcache_index_admissions_total") == 5, 5, "it is counted")
    assert index.server.metric("headrace_index_bytes_per_block") > 0


def test_a_pod_can_be_removed(make_index):
    index = make_index()
    for pod in index.publishers.values():
        pod.publish(stored(tokens_of(2), 1))
    index.wait_score(tokens_of(2), {"pod-a": 2, "pod-b": 2})
    assert index.ask("DELETE", "/v1/index/pods/pod-a") == (200, {"removed": "pod-a"})
    assert index.score(tokens_of(2)) == {"pod-b": 2}
    assert index.ask("DELETE", "/v1/index/pods/nobody")[0] == 404


def test_tokens_open_what_they_are_for(make_index, tmp_path):
    file = tmp_path / "tokens"
    file.write_text(f"# ours\n{ADMIN}\n{TENANT} salt=blue\n")
    index = make_index("--index-token-file", str(file))
    index.publishers["pod-a"].publish(
        stored(tokens_of(2), 1, extra_keys=[[["cache_salt", "blue"]], None]))
    body = {"model": MODEL, "token_ids": tokens_of(2), "extra": {"cache_salt": "blue"}}
    routes = [("POST", "/v1/score", body), ("POST", "/score_completions", {}),
              ("POST", "/score_chat_completions", {}), ("GET", "/v1/index/stats", None),
              ("GET", "/v1/index/lookup?key=1", None), ("GET", "/v1/index/dump", None),
              ("POST", "/v1/index/announce", {}), ("GET", "/v1/index/pods", None),
              ("PUT", "/v1/index/pods/pod-a", {}), ("DELETE", "/v1/index/pods/pod-a", None)]
    for method, path, data in routes:
        assert index.ask(method, path, data)[0] == 401, path
        assert index.ask(method, path, data, token=ADMIN + "x")[0] == 401, path
        if "score" not in path:
            assert index.ask(method, path, data, token=TENANT)[0] == 403, path
    index.token = ADMIN
    index.wait_score(tokens_of(2), {"pod-a": 2}, extra={"cache_salt": "blue"})
    index.token = TENANT
    assert index.score(tokens_of(2), extra={"cache_salt": "blue"}) == {"pod-a": 2}
    for extra in ({}, {"cache_salt": "red"}):
        status, answer = index.ask("POST", "/v1/score", {**body, "extra": extra})
        assert status == 403 and answer["error"]["field"] == "extra.cache_salt"
    for path in ("/health", "/ready", "/metrics"):
        assert index.server.get(path)[0] == 200


@pytest.mark.parametrize("flags, line", [
    (["--http-addr", "0.0.0.0:{port}"], r"--http-addr: .*--index-token-file"),
    (["--index-config", "/nowhere"], r"--index-config: cannot read /nowhere"),
    (["--index-token-file", "/nowhere"], r"--index-token-file: /nowhere: cannot be read"),
    (["--discover", "10.0.0.1"], r"--discover: \"10.0.0.1\" is not HOST:PORT"),
])
def test_a_start_that_is_refused_names_the_option(start_server, flags, line):
    flags = [x.replace("{port}", str(free_port())) for x in flags]
    server = start_server(*flags, pool="0", ready=False)
    assert server.process.wait(10) == 2
    assert re.search(line, server.log()), server.log()


def test_an_open_address_with_tokens_is_served(start_server, tmp_path):
    file = tmp_path / "tokens"
    file.write_text(ADMIN + "\n")
    server = start_server("--http-addr", f"0.0.0.0:{free_port()}", "--index-token-file", str(file),
                          pool="0", ready=False)
    wait_for(lambda: "serving on" in server.log(), 10, "it serves")
