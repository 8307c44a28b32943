"""`headrace hash` prints what the peers printed, and says in one line what it cannot read."""

import json
import subprocess

import pytest
from harness import BUILD, ROOT

HEADRACE = BUILD / "bin" / "headrace"
VECTORS = ROOT / "tests" / "data" / "hash"


def run(*words: str, text: str | None = None) -> subprocess.CompletedProcess:
    return subprocess.run(
        [str(HEADRACE), *words], input=text, capture_output=True, text=True, timeout=60
    )


def rows(file: str) -> list[dict]:
    found = json.loads((VECTORS / file).read_text(encoding="utf-8"))["rows"]
    return [x for x in found if not x.get("fails") and not x.get("wide")]


def expand(tokens) -> list[int]:
    if isinstance(tokens, list):
        return tokens
    return [tokens["first"] + i * tokens["step"] for i in range(tokens["count"])]


def for_line(key):
    """As it is written on the line: the digest of embeddings is a text there."""
    is_embeds = isinstance(key, list) and key[0:1] == ["prompt_embeds"]
    return ["prompt_embeds", key[1]["bytes"]] if is_embeds else key


def flags(row: dict) -> list[str]:
    words = ["--algo", row["algo"], "--block-size", str(row["block_size"])]
    words += ["--tokens", ",".join(map(str, expand(row["tokens"])))]
    for name in ("seed", "model", "parent"):
        if name in row:
            words += [f"--{name}", row[name]]
    if "extra" in row:
        extra = [x and [for_line(key) for key in x] for x in row["extra"]]
        words += ["--extra", json.dumps(extra)]
    return words


def lines(row: dict, words: list[str]) -> list[tuple[str, str]]:
    """(digest, low 64 bits) a block; the form of every line is checked on the way."""
    result = run("hash", *words)
    assert result.returncode == 0 and result.stderr == "", (row["name"], result.stderr)
    blocks = []
    for index, line in enumerate(result.stdout.splitlines()):
        number, digest, low = line.split(" ")
        assert number == str(index)
        assert int(low) == int(digest[-16:], 16) and low == str(int(low))
        blocks.append((digest, low))
    return blocks


def check(row: dict, words: list[str]) -> None:
    """Against all of a digest, or as many of its last bytes as the peer tells."""
    wanted = row.get("hashes") or row["low"]
    size = len(wanted[0])
    assert [x[0][-size:] for x in lines(row, words)] == wanted, row["name"]


@pytest.mark.parametrize("file", ["vllm.json", "llmd.json", "router.json", "blake3.json"])
def test_prints_the_hashes_of_the_peer(file):
    found = rows(file)
    assert found
    for row in found:
        check(row, flags(row))


def test_prints_the_hashes_in_events_of_vllm():
    found = rows("events.json")
    start = next(x for x in found if x["name"] == "int-seq000")
    end = lines(start, flags(start))[-1][0]
    for row in found:
        if len(row.get("parent", end)) == 16:
            assert end.endswith(row["parent"])
            row = {**row, "parent": end}
        check(row, flags(row))


def test_generations_of_llmd_need_no_algorithm():
    for row in (x for x in rows("llmd.json") if "extra" not in x):
        words = flags(row)[2:]
        check(row, ["--generation", row["algo"], *words])


def test_places_an_object_as_vllm_does():
    row = next(x for x in rows("vllm.json") if x["name"] == "lora + mm + salt in block 0")
    parts = {"lora": ["adapter1", "/loras/adapter1"], "mm": [["deadbeef", 3, 4]], "salt": "s"}
    words = flags({**row, "extra": [None]})
    words[words.index("--extra") + 1] = json.dumps(parts)
    check(row, words)
    over_two = next(x for x in rows("vllm.json") if x["name"].startswith("multimodal item over"))
    words = flags({**over_two, "extra": [None]})
    words[words.index("--extra") + 1] = json.dumps({"mm": [["a1b2c3d4", 5, 20]]})
    check(over_two, words)


def test_untagged_keys_are_other_hashes():
    words = ["--algo", "sha256_cbor", "--tokens", "1,2", "--block-size", "2"]
    placed = ["--extra", '{"salt": "s"}', "--generation", "vllm-untagged"]
    given = ["--extra", '[["s"]]']
    assert run("hash", *words, *placed).stdout == run("hash", *words, *given).stdout != ""
    assert run("hash", *words, *placed[:2]).stdout != run("hash", *words, *placed).stdout


def test_tokens_come_from_standard_input():
    row = next(x for x in rows("blake3.json") if x["block_size"] == 256)
    ids = "\n".join(map(str, expand(row["tokens"])))
    result = run("hash", "--algo", "blake3", "--block-size", "256", "--tokens", "-", text=ids)
    assert [x.split()[1] for x in result.stdout.splitlines()] == row["hashes"]


def test_a_prompt_shorter_than_a_block_prints_nothing_and_says_so():
    result = run("hash", "--algo", "sha256", "--tokens", "1,2,3")
    assert (result.returncode, result.stdout) == (0, "")
    assert result.stderr == "headrace hash: 3 tokens do not fill a block of 16\n"


@pytest.mark.parametrize("words, part", [
    (["--algo", "xxhash", "--tokens", "1"], "--seed"),
    (["--algo", "xxhash_cbor", "--tokens", "1"], "PYTHONHASHSEED"),
    (["--algo", "md5", "--tokens", "1"], "--algo"),
    (["--tokens", "1"], "--algo"),
    (["--algo", "sha256"], "--tokens"),
    (["--algo", "sha256", "--tokens", "1,two"], "--tokens"),
    (["--algo", "sha256", "--tokens", "1", "--block-size", "none"], "--block-size"),
    (["--algo", "sha256", "--tokens", "1", "--parent", "ff"], "64 hexadecimal digits"),
    (["--algo", "sha256", "--tokens", "1", "--extra", "{'salt'"], "--extra"),
    (["--algo", "sha256", "--tokens", "1", "--generation", "vllm-9"], "--generation"),
    (["--algo", "sha256", "--tokens", "1", "--sed", "0"], "sed"),
    (["--algo", "sha256", "--tokens"], "--tokens"),
])
def test_what_cannot_be_read_is_told_in_one_line(words, part):
    result = run("hash", *words)
    assert (result.returncode, result.stdout) == (2, "")
    assert part in result.stderr and result.stderr.count("\n") == 1
    assert result.stderr.startswith("headrace hash: ")


def test_help_fits_a_screen():
    result = run("hash", "--help")
    assert result.returncode == 0 and "--generation" in result.stdout
    assert len(result.stdout.splitlines()) <= 24
    assert max(map(len, result.stdout.splitlines())) <= 100


def test_commands_are_listed():
    assert "hash" in run("--help").stdout
    assert run("--version").stdout.startswith("headrace ")
    for words in ([], ["hsah"]):
        result = run(*words)
        assert result.returncode == 2 and "usage: headrace" in result.stderr
