from types import SimpleNamespace

import pytest
from vllm.config.kv_events import KVEventsConfig

from headrace.vllm.config import (
    Settings,
    parse_request_options,
    parse_settings,
    served_pods,
)


def test_settings_take_every_key():
    settings = parse_settings(
        {
            "headrace.endpoint": "ipc:///run/x.sock",
            "headrace.instance_id": "a",
            "headrace.audit_share": 0.25,
            "headrace.load_timeout_ms": 100,
            "headrace.save_timeout_ms": 200,
            "headrace.query_timeout_ms": 7,
            "headrace.save_decode": False,
            "headrace.min_load_blocks": 3,
            "headrace.pods": ["10.0.0.1:8000", "b"],
            "headrace.pods_model": "m",
        },
        {},
    )
    pods = ("10.0.0.1:8000", "b")
    assert settings == Settings("ipc:///run/x.sock", "a", 0.25, 100, 200, 7, False, 3, pods, "m")


def test_environment_wins_over_settings():
    environ = {"HEADRACE_ENGINE_ENDPOINT": "ipc:///e", "HEADRACE_INSTANCE_ID": "i"}
    extra = {"headrace.endpoint": "ipc:///c", "headrace.instance_id": "c"}
    settings = parse_settings(extra, environ)
    assert (settings.endpoint, settings.instance_id) == ("ipc:///e", "i")


def test_pods_of_the_environment_win():
    settings = parse_settings({"headrace.pods": "c"}, {"HEADRACE_PODS": "a:1, b:2"})
    assert settings.pods == ("a:1", "b:2")
    with pytest.raises(ValueError, match="HEADRACE_PODS must be"):
        parse_settings({}, {"HEADRACE_PODS": "kv@a@m"})


def engine_with(topic=None, served=None, model="org/m"):
    events = None if topic is None else KVEventsConfig(True, publisher="zmq", topic=topic)
    return SimpleNamespace(
        kv_events_config=events,
        model_config=SimpleNamespace(model=model, served_model_name=served),
    )


@pytest.mark.parametrize(
    ("settings", "config", "expected"),
    [
        ({}, engine_with(), ((), "")),
        ({}, engine_with(""), ((), "")),
        ({}, engine_with("kv-events"), ((), "")),
        ({}, engine_with("kv@@m"), ((), "")),
        ({}, engine_with("kv@10.0.0.1:8000@org/m@rev"), (("10.0.0.1:8000",), "org/m@rev")),
        ({}, engine_with("kv@p", "served"), (("p",), "served")),
        ({"pods": ("a", "b")}, engine_with("kv@p@t"), (("a", "b"), "t")),
        ({"pods": ("a",)}, engine_with(None, ["first", "second"]), (("a",), "first")),
        ({"pods": ("a",)}, engine_with(), (("a",), "org/m")),
        ({"pods": ("a",), "pods_model": "x"}, engine_with("kv@p@t"), (("a",), "x")),
    ],
)
def test_pods_are_those_of_settings_or_of_the_topic(settings, config, expected, warnings):
    assert served_pods(Settings(**settings), config) == expected
    assert not warnings


def test_names_that_a_server_would_refuse_are_left_out(warnings):
    assert served_pods(Settings(pods=("a",)), engine_with(model="m" * 300)) == ((), "")
    assert served_pods(Settings(), engine_with("kv@" + "p" * 300)) == ((), "")
    assert len(warnings) == 2


def test_unknown_key_is_named_in_one_warning(warnings):
    parse_settings({"headrace.audit_shar": 1, "other.key": 2}, {})
    assert len(warnings) == 1
    assert "headrace.audit_shar " in warnings[0] and "headrace.audit_share" in warnings[0]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("audit_share", 2),
        ("audit_share", "much"),
        ("load_timeout_ms", 0),
        ("load_timeout_ms", True),
        ("save_decode", "yes"),
        ("min_load_blocks", -1),
        ("endpoint", 5),
        ("pods", 5),
        ("pods", ["a", 5]),
        ("pods", "a,,b"),
        ("pods", "kv@pod"),
        ("pods", ["p" * 257]),
        ("pods", ["p"] * 65),
        ("pods_model", "m" * 257),
    ],
)
def test_wrong_value_names_the_key_and_what_is_right(key, value):
    with pytest.raises(ValueError, match=rf"headrace\.{key} is .* must be"):
        parse_settings({"headrace." + key: value}, {})


def test_short_hits_are_not_worth_a_load_and_blocks_of_64_tokens_are():
    settings = Settings()
    assert [settings.blocks_worth_loading(bs) for bs in (16, 32, 64, 128)] == [4, 2, 1, 1]
    assert not settings.whole_prompt_worth_loading(16)
    assert settings.whole_prompt_worth_loading(128)


@pytest.mark.parametrize("prefix", ["", "headrace."])
def test_request_options_are_taken_with_and_without_prefix(prefix):
    options = parse_request_options({prefix + "skip_save": True, prefix + "max_load_tokens": 256})
    assert options.skip_save and options.max_load_tokens == 256


@pytest.mark.parametrize(
    "params", [None, 7, {"skip_save": "yes", "max_load_tokens": -1}, {"max_load_tokens": True}]
)
def test_request_options_that_make_no_sense_are_as_if_absent(params):
    options = parse_request_options(params)
    assert not options.skip_save and options.max_load_tokens is None
