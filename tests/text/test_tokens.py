"""Ids of real vocabularies are those of the tokenizers package, also through the prefix store."""

import random

import corpus
import pytest
import vocabularies

tokenizers = pytest.importorskip("tokenizers")

STORE_ROUNDS = 60
# What the prefix store may reuse with each: (cuts in text, anchors at all).
CUTS = {"deepseek": True, "claude": False, "qwen": True, "mistral-tekken": True,
        "mistral-spm": False}


@pytest.fixture(scope="module", params=sorted(vocabularies.SOURCES))
def loaded(request, probe):
    path = vocabularies.path_of(request.param)
    judge = tokenizers.Tokenizer.from_file(str(path))
    judge.no_padding()
    judge.no_truncation()
    told = probe.must("load", path=str(path), chunk=64)
    return request.param, judge, told


def test_what_is_known_of_it(loaded):
    name, judge, told = loaded
    assert told["vocab"] == judge.get_vocab_size()
    assert told["in_text"] == CUTS[name]
    assert told["anchors"] > 0 and told["affixes_known"]


@pytest.mark.parametrize("special", [False, True])
def test_ids(loaded, probe, special):
    _, judge, _ = loaded
    for name, data in corpus.all_bytes().items():
        text = data.decode(errors="replace")
        want = judge.encode(text, add_special_tokens=special)
        assert probe.ids(data, special) == want.ids, name


def test_decoding(loaded, probe):
    _, judge, _ = loaded
    for name, data in corpus.all_bytes().items():
        ids = judge.encode(data.decode(errors="replace")).ids
        for skip in (False, True):
            want = judge.decode(ids, skip_special_tokens=skip)
            assert probe.must("decode", ids=ids, skip=skip)["text"] == want, name


def test_ids_of_long_prompts(loaded, probe):
    _, judge, _ = loaded
    for seed in range(6):
        text = corpus.prompt(16_000, seed, specials(judge))
        assert probe.ids(text.encode()) == judge.encode(text, add_special_tokens=False).ids


def specials(judge):
    return [x.content for x in judge.get_added_tokens_decoder().values()][:8]


def changed(source, data, tokens):
    """The same begin, another end; the cut falls anywhere, also inside a letter or a token."""
    keep = data[:source.randrange(len(data) + 1)]
    ends = [b"", b" ", b"\n", b"x", b"'s", b"  \n", "\u0301".encode(), b"\xe4\xb8", b"1234", b"ing",
            source.choice(tokens).encode()[:source.randrange(1, 9)], source.choice(tokens).encode(),
            corpus.prompt(300, source.random(), tokens).encode()]
    return keep + b"".join(source.choice(ends) for _ in range(source.randrange(1, 4)))


def test_the_prefix_store_answers_as_the_tokenizer(loaded, probe):
    name, judge, _ = loaded
    source = random.Random(f"{name} store")
    tokens = specials(judge)
    texts = [corpus.prompt(1500, f"{name} {x}", tokens).encode() for x in range(5)]
    reused = 0
    for _ in range(STORE_ROUNDS):
        data = changed(source, source.choice(texts), tokens)
        texts.append(data)
        special = source.random() < 0.3
        answer = probe.must("store", hex=data.hex(), special=special)
        want = judge.encode(data.decode(errors="replace"), add_special_tokens=special).ids
        assert answer["ids"] == want, data
        reused = answer["reused"]
    assert reused > 1000, "the store is of no use here"
