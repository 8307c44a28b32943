"""The committed goldens are what the packages say, and what we say."""

import importlib.metadata
import json

import make_goldens
import probe as probes
import pytest
import rendering


@pytest.fixture(scope="module")
def stored():
    return {name: (probes.DATA / name).read_text(encoding="utf-8")
            for name in ("tokens.json", "rendered.json")}


def test_the_packages_still_say_so(stored):
    """With other versions than those that made the files as well, but for the versions' names."""
    made = make_goldens.goldens(probes.DATA / "tokenizer.json")
    for name, text in made.items():
        new, old = json.loads(text), json.loads(stored[name])
        new.pop("made by"), old.pop("made by")
        assert new == old, f"{name}: make_goldens.py writes other content"


def test_the_versions_are_named(stored):
    for text in stored.values():
        for package, version in json.loads(text)["made by"].items():
            assert version and importlib.metadata.version(package)


def test_tokens(probe, stored):
    probe.must("load", path=str(probes.DATA / "tokenizer.json"))
    for name, want in json.loads(stored["tokens.json"])["texts"].items():
        data = bytes.fromhex(want["hex"])
        assert probe.ids(data) == want["ids"], name
        assert probe.ids(data, special=True) == want["special_ids"], name
        assert probe.must("offsets", hex=want["hex"])["offsets"] == want["offsets"], name
        assert probe.must("decode", ids=want["ids"])["text"] == want["decoded"], name


def test_templates(probe, stored):
    data = json.loads(stored["rendered.json"])
    for name, cases in data["templates"].items():
        probe.must("template", config=data["config"], jinja=rendering.source(name))
        for title, case in cases.items():
            want = case.pop("want")
            answer = probe.ask("render", **case)
            got = answer["text"] if "text" in answer else rendering.RAISED + answer["error"]
            assert rendering.same(want, got), (name, title, want, got)
