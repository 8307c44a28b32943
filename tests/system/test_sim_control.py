"""What headrace-sim tells of itself and how it is steered: models and adapters, metrics, the
configuration and what may change of it, sleep, ranks, the cache."""

import json
import re

import pytest
from harness import free_ports, wait_for
from sim_harness import MODEL, Sim, chat_body

TTFT = [.001, .005, .01, .02, .04, .06, .08, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160,
        640, 2560]
TOKEN = [.01, .025, .05, .075, .1, .15, .2, .3, .4, .5, .75, 1, 2.5, 5, 7.5, 10, 20, 40, 80]
REQUEST = [.3, .5, .8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920,
           7680]
COUNTS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000]  # up to a --max-model-len of 1024
HISTOGRAMS = {
    "time_to_first_token_seconds": TTFT, "time_per_output_token_seconds": TOKEN,
    "inter_token_latency_seconds": TOKEN, "request_time_per_output_token_seconds": TOKEN,
    "e2e_request_latency_seconds": REQUEST, "request_queue_time_seconds": REQUEST,
    "request_inference_time_seconds": REQUEST, "request_prefill_time_seconds": REQUEST,
    "request_decode_time_seconds": REQUEST, "request_prompt_tokens": COUNTS,
    "request_generation_tokens": COUNTS, "request_params_max_tokens": COUNTS,
    "max_num_generation_tokens": COUNTS}
OTHERS = {
    "num_requests_running": ("gauge", {"model_name"}),
    "num_requests_waiting": ("gauge", {"model_name"}),
    "kv_cache_usage_perc": ("gauge", {"model_name"}),
    "lora_requests_info": ("gauge", {"max_lora", "running_lora_adapters",
                                     "waiting_lora_adapters"}),
    "cache_config_info": ("gauge", {"block_size", "num_gpu_blocks"}),
    "request_success_total": ("counter", {"model_name", "finish_reason"}),
    "prompt_tokens_total": ("counter", {"model_name"}),
    "generation_tokens_total": ("counter", {"model_name"}),
    "prefix_cache_hits_total": ("counter", {"model_name"}),
    "prefix_cache_queries_total": ("counter", {"model_name"})}


@pytest.fixture(scope="module")
def sim():
    with Sim("--mode", "echo", "--served-model-name", MODEL, "--max-loras", "2",
             "--lora-modules", '{"name":"sql","path":"/adapters/sql"}') as made:
        yield made


def labels_of(sample: str) -> dict[str, str]:
    return dict(re.findall(r'(\w+)="([^"]*)"', sample))


def test_every_histogram_has_its_buckets(sim):
    samples = sim.metrics()
    for name, bounds in HISTOGRAMS.items():
        buckets = [labels_of(x) for x in samples if x.startswith(f"vllm:{name}_bucket{{")]
        assert {x["model_name"] for x in buckets} == {MODEL}
        assert [float(x["le"]) for x in buckets] == [*bounds, float("inf")]
        for ending in ("sum", "count"):
            assert f'vllm:{name}_{ending}{{model_name="{MODEL}"}}' in samples


def test_every_metric_has_its_type_and_labels(sim):
    text = sim.get("/metrics").body.decode()
    types = dict(re.findall(r"^# TYPE (\S+) (\w+)$", text, re.MULTILINE))
    samples = sim.metrics()
    for name, (kind, labels) in OTHERS.items():
        assert types[f"vllm:{name}"] == kind
        found = [x for x in samples if x.partition("{")[0] == f"vllm:{name}"]
        assert found
        assert all(set(labels_of(x)) == labels for x in found)
    assert {x for x in types if x.startswith("vllm:")} == {
        f"vllm:{x}" for x in (*HISTOGRAMS, *OTHERS)}
    assert all(x.startswith(("vllm:", "headrace_sim_")) for x in types)
    assert sim.get("/metrics").headers["Content-Type"].startswith("text/plain")


def test_a_request_is_counted_everywhere():
    with Sim("--inter-token-latency", "2ms", "--time-to-first-token", "12ms") as sim:
        sim.complete("a b c", max_tokens=11, ignore_eos=True)
        sim.chat(headers={"X-Return-Error": "500"})
        got = sim.metrics()
        of_model = f'{{model_name="{MODEL}"}}'
        for name in HISTOGRAMS:
            times = {"inter_token_latency_seconds": 10, "time_per_output_token_seconds": 10,
                     "request_queue_time_seconds": 0}.get(name, 1)
            assert got[f"vllm:{name}_count{of_model}"] == times, name
        assert got[f"vllm:prompt_tokens_total{of_model}"] == 3
        assert got[f"vllm:generation_tokens_total{of_model}"] == 11
        assert got[f"vllm:request_params_max_tokens_sum{of_model}"] == 11
        length = f'vllm:request_success_total{{finish_reason="length",model_name="{MODEL}"}}'
        assert got[length] == 1
        assert got[f"vllm:time_to_first_token_seconds_sum{of_model}"] >= 0.012
        assert got[f"vllm:e2e_request_latency_seconds_sum{of_model}"] >= 0.032
        planned = "headrace_sim_planned_e2e_request_latency_seconds_sum"
        assert got[planned] == pytest.approx(0.032)
        assert got['headrace_sim_requests_total{outcome="failure"}'] == 1


def test_time_in_the_queue_is_measured_of_those_that_wait():
    with Sim("--max-num-seqs", "1", "--time-to-first-token", "30ms") as sim:
        body = {"model": MODEL, "prompt": "a", "max_tokens": 1}
        held = [sim.begin("/v1/completions", body) for _ in range(2)]
        for connection in held:
            connection.rest()
            connection.close()
        assert sim.metric("vllm:request_queue_time_seconds_count") == 1
        assert 0 < sim.metric("vllm:request_queue_time_seconds_sum")


def test_models_are_listed_with_their_adapters():
    with Sim("--served-model-name", "first", "second", "--max-model-len", "77", "--lora-modules",
             '{"name":"sql","path":"/adapters/sql"}', '{"name":"bare"}') as sim:
        with sim.openai() as client:
            cards = {x.id: x for x in client.models.list()}
        assert list(cards) == ["first", "second", "sql", "bare"]
        told = {name: (x.root, x.parent, x.owned_by, x.max_model_len)
                for name, x in cards.items()}
        assert told == {
            "first": (MODEL, None, "vllm", 77), "second": (MODEL, None, "vllm", 77),
            "sql": ("/adapters/sql", "first", "vllm", 77), "bare": ("bare", "first", "vllm", 77)}
        assert sim.complete(max_tokens=1).status == 404  # its name is not one it is served by
        assert sim.complete(model="second", max_tokens=1).json()["model"] == "first"
        assert 'vllm:num_requests_running{model_name="first"}' in sim.metrics()


def test_adapters_come_and_go(sim):
    body = {"lora_name": "new", "lora_path": "/adapters/new"}
    assert sim.complete(model="new").status == 404
    loaded = sim.ask("/v1/load_lora_adapter", body)
    assert (loaded.status, loaded.body) == (200, b"")
    assert sim.complete(model="new").json()["model"] == "new"
    assert "new" in [x["id"] for x in sim.get("/v1/models").json()["data"]]
    unloaded = sim.ask("/v1/unload_lora_adapter", {"lora_name": "new"})
    assert (unloaded.status, unloaded.body) == (200, b"")
    assert sim.complete(model="new").status == 404
    assert "new" not in [x["id"] for x in sim.get("/v1/models").json()["data"]]


def test_an_adapter_waits_for_a_slot_and_the_base_goes_past():
    with Sim("--max-loras", "1", "--inter-token-latency", "5ms", "--lora-modules",
             '{"name":"one"}', '{"name":"two"}') as sim:
        body = {"prompt": "a", "max_tokens": 200, "ignore_eos": True}
        running = sim.begin("/v1/completions", {**body, "model": "one"})
        sim.wait_metric("vllm:num_requests_running", 1)
        waiting = sim.begin("/v1/completions", {**body, "model": "two", "max_tokens": 1})
        sim.wait_metric("vllm:num_requests_waiting", 1)
        shown = [labels_of(x) for x in sim.metrics() if x.startswith("vllm:lora_requests_info")]
        assert shown == [{"max_lora": "1", "running_lora_adapters": "one",
                          "waiting_lora_adapters": "two"}]
        assert sim.complete(max_tokens=1).status == 200
        assert sim.complete(model="one", max_tokens=1).status == 200
        assert sim.metric("vllm:num_requests_waiting") == 1
        running.close()
        assert json.loads(waiting.rest())["model"] == "two"
        waiting.close()


def test_prompts_of_an_adapter_are_not_rendered(sim):
    assert sim.ask("/v1/completions/render", {"model": "sql", "prompt": "a"}).status == 400
    assert sim.ask("/v1/chat/completions/render", {**chat_body(), "model": "sql"}).status == 400


def test_it_is_healthy_before_it_is_ready():
    with Sim("--startup-duration", "400ms") as sim:
        assert [sim.get(x).status for x in ("/health", "/health/ready", "/ready")] == [
            200, 503, 503]
        wait_for(lambda: sim.get("/health/ready").status == 200, 5, "it is ready")
        assert sim.get("/ready").status == 200


def test_who_it_is(sim):
    assert sim.get("/version").json()["version"]
    first, second = (sim.get("/query").json() for _ in range(2))
    assert first == second
    assert first["0"]["engine_id"]


WITH_CACHE = {"POD_IP": "127.0.0.1"}


@pytest.fixture
def cached():
    with Sim("--mode", "echo", "--enable-kvcache", "--block-size", "8", "--enable-sleep-mode",
             "--max-model-len", "4096",
             env={**WITH_CACHE, "VLLM_SERVER_DEV_MODE": "1"}) as made:
        yield made


def hits(sim, prompt) -> int:
    return sim.complete(prompt).json()["usage"]["prompt_tokens_details"]["cached_tokens"]


def test_what_is_cached_is_told(cached):
    prompt = list(range(30))
    assert [hits(cached, prompt), hits(cached, prompt), hits(cached, prompt[:20])] == [0, 24, 16]
    assert cached.metric("vllm:prefix_cache_queries_total") == 80
    assert cached.metric("vllm:prefix_cache_hits_total") == 40
    assert cached.metric("vllm:kv_cache_usage_perc") == 0  # nothing runs
    info = [labels_of(x) for x in cached.metrics() if x.startswith("vllm:cache_config_info")]
    assert info == [{"block_size": "8", "num_gpu_blocks": "1024"}]


def test_a_threshold_of_hits_ends_an_answer_at_once(cached):
    body = {"prompt": list(range(32)), "cache_hit_threshold": 0.5}
    choice = cached.complete(**body).json()["choices"][0]
    assert (choice["finish_reason"], choice["text"]) == ("cache_threshold", "")
    frames = cached.stream("/v1/chat/completions",
                           {**chat_body("word " * 60), "cache_hit_threshold": 1})
    assert [x.json()["choices"][0]["finish_reason"] for x in frames[:-1]] == ["cache_threshold"]
    hits(cached, body["prompt"])
    assert cached.complete(**body).json()["choices"][0]["finish_reason"] == "stop"


def test_sleep_drops_the_cache_until_it_wakes(cached):
    prompt = list(range(16))
    hits(cached, prompt)
    assert hits(cached, prompt) == 16
    assert cached.get("/is_sleeping").json() == {"is_sleeping": False}
    assert cached.ask("/sleep").status == 200
    assert cached.get("/is_sleeping").json() == {"is_sleeping": True}
    assert [hits(cached, prompt) for _ in range(2)] == [0, 0]  # served all the same
    assert cached.ask("/wake_up?tags=weights").status == 200
    assert [hits(cached, prompt) for _ in range(2)] == [0, 0]
    assert cached.ask("/wake_up?tags=kv_cache").status == 200
    assert [hits(cached, prompt) for _ in range(2)] == [0, 16]
    assert cached.ask("/wake_up").status == 200
    assert cached.get("/is_sleeping").json() == {"is_sleeping": False}


@pytest.mark.parametrize(("flags", "env"), [
    ((), {"VLLM_SERVER_DEV_MODE": "1"}), (("--enable-sleep-mode",), {}),
    (("--enable-sleep-mode", "--no-enable-sleep-mode"), {"VLLM_SERVER_DEV_MODE": "1"})])
def test_it_does_not_sleep_unless_it_may(flags, env):
    with Sim(*flags, env=env) as sim:
        assert sim.ask("/sleep").status == 200
        assert sim.get("/is_sleeping").json() == {"is_sleeping": False}


def test_the_configuration_changes_in_part(sim):
    before = sim.get("/admin/config").json()
    assert (before["mode"], before["max-loras"]) == ("echo", 2)
    assert before["time-to-first-token"] == "0s"
    reply = sim.ask("/admin/config", {"time-to-first-token": "1500us",
                                      "time-factor-under-load": 2})
    assert reply.status == 200
    after = sim.get("/admin/config").json()
    assert after == reply.json() == {**before, "time-to-first-token": "1500us",
                                     "time-factor-under-load": 2.0}
    planned = "headrace_sim_planned_time_to_first_token_seconds_sum"
    begin = sim.metric(planned)
    sim.chat()
    assert sim.metric(planned) - begin == pytest.approx(0.0015)
    sim.ask("/admin/config", {"time-to-first-token": "0s", "time-factor-under-load": 1})


@pytest.mark.parametrize(("body", "named"), [
    ({"time-to-first-token": "5ms", "nonsense": 1}, "nonsense"),
    ({"time-to-first-token": "5ms", "max-num-seqs": 9}, "max-num-seqs"),
    ({"failure-injection-rate": 50, "failure-types": ["fire"]}, "failure-types"),
    ({"inter-token-latency": "5ms", "failure-injection-rate": 101}, "failure-injection-rate"),
    ({"inter-token-latency": "1s", "inter-token-latency-std-dev": "900ms"}, "inter-token-latency"),
    ({"latency-calculator": "guess"}, "latency-calculator"),
    ({"time-factor-under-load": 0.5}, "time-factor-under-load")])
def test_a_wrong_change_changes_nothing(sim, body, named):
    before = sim.get("/admin/config").json()
    refused = sim.ask("/admin/config", body)
    assert refused.status == 400
    assert named in refused.error()["message"]
    assert sim.get("/admin/config").json() == before


FAKES = {"running-requests": 7, "waiting-requests": 3, "kv-cache-usage": 0.25,
         "ttft-buckets-values": [1, 2], "request-success-total": {"stop": 20},
         "loras": [{"running": "x,y", "waiting": "z", "timestamp": 123}]}


def test_fake_metrics_stand_in_place_of_the_real_ones():
    with Sim("--fake-metrics", json.dumps(FAKES), "--mode", "echo") as sim:
        sim.chat()
        assert sim.metric("vllm:num_requests_running") == 7
        assert sim.metric("vllm:num_requests_waiting") == 3
        assert sim.metric("vllm:kv_cache_usage_perc") == 0.25
        assert sim.metric("vllm:time_to_first_token_seconds_count") == 3
        got = sim.metrics()
        bucket = "vllm:time_to_first_token_seconds_bucket"
        counts = [v for k, v in got.items() if k.startswith(bucket)]
        assert counts[:3] == [1, 3, 3]
        # A counter begins with what it was given, and then counts.
        stop = f'vllm:request_success_total{{finish_reason="stop",model_name="{MODEL}"}}'
        assert got[stop] == 21
        assert got['vllm:lora_requests_info{max_lora="1",running_lora_adapters="x,y",'
                   'waiting_lora_adapters="z"}'] == 123
        changed = sim.ask("/fake_metrics", {"running-requests": 9})
        assert (changed.status, changed.body) == (204, b"")
        assert sim.metric("vllm:num_requests_running") == 9
        assert sim.metric("vllm:num_requests_waiting") == 3  # as it was
        assert sim.ask("/fake_metrics", {"running-requests": -1}).status == 400
        assert sim.ask("/admin/config", {"fake-metrics": {"waiting-requests": 4}}).status == 200
        assert sim.metric("vllm:num_requests_waiting") == 4


def test_a_fake_metric_may_be_a_function():
    fakes = {"running-requests": "ramp:10:20:100ms", "waiting-requests": "squarewave:0:5:200ms"}
    with Sim("--fake-metrics", json.dumps(fakes), "--fake-metrics-refresh-interval",
             "5ms") as sim:
        sim.wait_metric("vllm:num_requests_running", 20)
        for value in (0, 5, 0):
            sim.wait_metric("vllm:num_requests_waiting", value)


def test_flags_go_before_the_environment_and_that_before_the_file(tmp_path):
    file = tmp_path / "sim.yaml"
    file.write_text("model: of-file\nmax-num-seqs: 3\nmax-loras: 2\nhash-seed: f\n"
                    "served-model-name: [a, b]\ninter-token-latency: 2ms\n"
                    "lora-modules: ['{\"name\":\"l\"}']\n")
    flags = ("--config", str(file), "--max-num-seqs", "4", "--served-model-name")
    with Sim(*flags, env={"PYTHONHASHSEED": "e"}) as sim:
        got = sim.get("/admin/config").json()
        assert (got["model"], got["max-num-seqs"], got["max-loras"]) == (MODEL, 4, 2)
        assert (got["hash-seed"], got["inter-token-latency"]) == ("e", "2ms")
        assert got["served-model-name"] == [MODEL]  # an empty list goes before the file's
        assert [x["name"] for x in got["lora-modules"]] == ["l"]


def test_each_rank_has_its_port_its_line_and_its_metrics():
    port = free_ports(2)
    with Sim("--mode", "echo", "--data-parallel-size", "2", port=port) as sim:
        sim.chat()
        sim.chat()
        sim.port = port + 1
        assert sim.chat().status == 200
        done = 'headrace_sim_requests_total{outcome="success"}'
        assert sim.metric(done) == 1
        assert list(sim.get("/query").json()) == ["1"]
        sim.port = port
        assert sim.metric(done) == 2


def test_one_rank_may_have_a_process_of_its_own():
    with Sim("--mode", "echo", "--data-parallel-rank", "3", port=free_ports(4), rank=3) as sim:
        assert list(sim.get("/query").json()) == ["3"]
