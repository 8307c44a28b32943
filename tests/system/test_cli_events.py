"""`headrace events decode` prints what engines announced, and says which event it cannot read."""

import json
import subprocess

from harness import BUILD, ROOT

HEADRACE = BUILD / "bin" / "headrace"
SAMPLES = ROOT / "tests" / "data" / "events"


def run(*words: str, text: str | None = None) -> subprocess.CompletedProcess:
    return subprocess.run(
        [str(HEADRACE), *words], input=text, capture_output=True, text=True, timeout=60
    )


def rows(file: str) -> list[dict]:
    return [json.loads(x) for x in (SAMPLES / file).read_text(encoding="utf-8").splitlines()]


def for_line(event: dict) -> dict:
    """A captured event as a line shows it: hashes are texts."""

    def text(value):
        return "0x" + value["__bytes__"] if isinstance(value, dict) else str(value)

    event = dict(event)
    if "block_hashes" in event:
        event["block_hashes"] = [text(x) for x in event["block_hashes"]]
    if event.get("parent_block_hash") is not None:
        event["parent_block_hash"] = text(event["parent_block_hash"])
    return event


def test_prints_what_a_real_vllm_announced(tmp_path):
    captured = rows("vllm.jsonl")
    file = tmp_path / "payloads.hex"
    file.write_text("\n".join(x["hex"] for x in captured) + "\n\n", encoding="ascii")
    result = run("events", "decode", str(file))
    assert (result.returncode, result.stderr) == (0, "")
    lines = [json.loads(x) for x in result.stdout.splitlines()]
    assert lines == [for_line(event) for x in captured for event in x["batch"][1]]
    # As vLLM writes them, in its order.
    assert [list(x) for x in lines] == [list(e) for x in captured for e in x["batch"][1]]


def test_names_each_bad_event_and_goes_on():
    cleared = "91b0416c6c426c6f636b73436c6561726564"
    bad_token = "95ab426c6f636b53746f7265649101c091ff04"
    text = f"9301930{5}{bad_token}{cleared}00\n9301 91\n930191{cleared}00\n"
    result = run("events", "decode", "-", text=text)
    assert result.returncode == 1
    lines = [json.loads(x) for x in result.stdout.splitlines()]
    assert [x.get("event", x.get("type")) for x in lines] == [
        0,
        1,
        "AllBlocksCleared",
        None,
        "AllBlocksCleared",
    ]
    assert lines[1]["error"].startswith("token_ids: must be ")
    assert all(set(x) == {"error", "event"} for x in lines if "error" in x)


def test_prints_nothing_for_nothing():
    result = run("events", "decode", "-", text="\n  \n")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_refuses_a_line_or_a_file_that_it_cannot_read(tmp_path):
    for words in (["events"], ["events", "decode"], ["events", "other", "-"]):
        result = run(*words)
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr.startswith("usage: headrace events decode FILE\n")
    missing = run("events", "decode", str(tmp_path / "missing"))
    assert (missing.returncode, missing.stdout) == (1, "")
    assert str(tmp_path / "missing") in missing.stderr
    assert run("events", "--help").returncode == 0
