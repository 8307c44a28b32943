"""A real vLLM announces its blocks, an index follows it: what the index says is what vLLM has."""

from __future__ import annotations

import itertools
import json
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from harness import ROOT, Ask, Place, Site, Vllm, wait_until
from index_site import (
    ENGINE_BLOCK,
    INDEX_BLOCK,
    MODEL,
    POD,
    SEED,
    Hasher,
    IndexServer,
    Publisher,
    cached_tokens,
    keys_of,
    reset,
)
from prompts import tokens

SALT = "tenant-blue"
ADAPTER = "sql"
PATIENCE = 30
KEYS_A_BLOCK = ENGINE_BLOCK // INDEX_BLOCK


def fifty(seed: int) -> list[Ask]:
    """Prompts with shared prefixes, exact multiples of a block, and short ones."""
    rng = random.Random(seed)
    systems = [tokens(rng, rng.randrange(ENGINE_BLOCK, 3 * ENGINE_BLOCK)) for _ in range(5)]
    asks = [Ask(systems[i % 5] + tokens(rng, rng.randrange(1, 300))) for i in range(35)]
    asks += [Ask(tokens(rng, ENGINE_BLOCK * (1 + i % 3))) for i in range(10)]
    asks += [Ask(tokens(rng, rng.randrange(10, ENGINE_BLOCK - 8))) for _ in range(5)]
    rng.shuffle(asks)
    return asks


@pytest.fixture(scope="module")
def publisher() -> Iterator[Publisher]:
    directory = tempfile.mkdtemp(prefix="headrace-")  # socket paths must be short
    yield Publisher(Path(directory))
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="module")
def adapter(site: Site, place: Place, tmp_path_factory) -> Path:
    """A LoRA adapter for the tiny model, with random weights."""
    directory = tmp_path_factory.mktemp("adapter") / ADAPTER
    script = Path(__file__).with_name("make_adapter.py")
    model = site.models.make("tiny")
    command = [place.venv / "bin" / "python", script, model, directory]
    subprocess.run([str(x) for x in command], check=True, timeout=120, cwd="/")
    return directory


@pytest.fixture(scope="module")
def vllm(site: Site, adapter: Path, publisher: Publisher) -> Iterator[Vllm]:
    arguments = [
        *("--kv-events-config", json.dumps(publisher.config())),
        *("--prefix-caching-hash-algo", "sha256_cbor"),
        *("--enable-lora", "--max-lora-rank", "8", "--lora-modules", f"{ADAPTER}={adapter}"),
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONHASHSEED", SEED)
        running = site.vllm("index", None, arguments=arguments)
    with running:
        yield running.ready()


@pytest.fixture(scope="module")
def index(site: Site, place: Place, publisher: Publisher, vllm: Vllm) -> Iterator[IndexServer]:
    with IndexServer(place, site.logs, publisher) as running:
        yield running


@pytest.fixture(scope="module")
def hasher(place: Place) -> Hasher:
    return Hasher(place)


@pytest.fixture(autouse=True)
def empty(vllm: Vllm, index: IndexServer) -> None:
    reset(vllm)
    wait_until(lambda: not index.held(), PATIENCE, "the index is empty")


def wait_equal(index: IndexServer, expected: set[str]) -> None:
    def equal() -> bool:
        return index.held() == {key: {POD} for key in expected}

    wait_until(equal, PATIENCE, "the index equals vLLM's blocks")


def test_after_fifty_prompts_the_index_is_what_vllm_has_and_a_reset_empties_it(
    vllm: Vllm, index: IndexServer, hasher: Hasher
):
    asks = fifty(1)
    with ThreadPoolExecutor(4) as pool:
        cached = list(pool.map(lambda ask: cached_tokens(vllm, ask), asks))
    expected = keys_of(hasher, cached)
    assert len(expected) > 50 * KEYS_A_BLOCK
    wait_equal(index, expected)
    # The same by vLLM's own hashes, and no block by any other.
    engine = {x for sequence in cached for x in hasher.engine(sequence)}
    named = {key for x in engine for key in index.names(x)}
    assert named == expected
    for sequence in cached[:10]:
        # Blocks that another prompt shares in part count as far as they are shared.
        prefix = len(list(itertools.takewhile(expected.__contains__, hasher.index(sequence))))
        assert index.score(sequence) == ({POD: prefix} if prefix else {})
    reset(vllm)
    wait_until(lambda: not index.held(), PATIENCE, "a reset empties the index")
    assert index.score(max(cached, key=len)) == {}


def test_an_index_killed_mid_run_is_whole_again(vllm: Vllm, index: IndexServer, hasher: Hasher):
    asks = fifty(2)
    cached: list[list[int]] = []
    with ThreadPoolExecutor(4) as pool:
        answers = pool.map(lambda ask: cached_tokens(vllm, ask), asks)
        for number, answer in enumerate(answers):
            cached.append(answer)
            if number == 15:
                assert index.held()
                index.kill()
            if number == 35:
                index.start()
    wait_equal(index, keys_of(hasher, cached))


def test_salted_prompts_have_scores_of_their_own(vllm: Vllm, index: IndexServer, hasher: Hasher):
    prompt = tokens(random.Random(3), 3 * ENGINE_BLOCK)
    vllm.complete(Ask(prompt, extra={"cache_salt": SALT}))
    full = 3 * KEYS_A_BLOCK
    wait_until(
        lambda: index.score(prompt, cache_salt=SALT) == {POD: full}, PATIENCE, "the salt scores"
    )
    assert index.score(prompt) == {}
    assert index.score(prompt, cache_salt="tenant-red") == {}
    for engine_hash in hasher.engine(prompt, {"salt": SALT}):
        assert len(index.names(engine_hash)) == KEYS_A_BLOCK


def test_prompts_of_an_adapter_have_scores_of_their_own(
    vllm: Vllm, index: IndexServer, hasher: Hasher, adapter: Path
):
    prompt = tokens(random.Random(4), 3 * ENGINE_BLOCK)
    vllm.complete(Ask(prompt, extra={"model": ADAPTER}))
    full = 3 * KEYS_A_BLOCK
    wait_until(lambda: index.score(prompt, lora=ADAPTER) == {POD: full}, PATIENCE, "LoRA scores")
    assert index.score(prompt) == {}
    vllm.complete(Ask(prompt))
    wait_until(lambda: index.score(prompt) == {POD: full}, PATIENCE, "so does the model itself")
    for engine_hash in hasher.engine(prompt, {"lora": [ADAPTER, str(adapter)]}):
        assert len(index.names(engine_hash)) == KEYS_A_BLOCK


def test_the_example_of_online_events_sees_the_index_learn(vllm: Vllm, index: IndexServer):
    prompt = "".join(random.Random(6).choices("abcdefgh ", k=3 * ENGINE_BLOCK))
    words = ["--vllm", vllm.url, "--index", index.url.removeprefix("http://"), "--model", MODEL]
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / "online_events.py", *words, prompt],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    before, after = done.stdout.splitlines()
    assert before == "before: nobody holds anything"
    blocks = re.fullmatch(f"after: {POD} ([0-9]+) blocks", after)
    assert blocks is not None and int(blocks[1]) >= 2 * KEYS_A_BLOCK
