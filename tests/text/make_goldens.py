#!/usr/bin/env python3
"""Writes tests/data/text: a small tokenizer of our own making, the ids that the tokenizers package
gives for each text of corpus.py, and what transformers renders for each case of chats.py.

Run with a Python that has both packages. The files say which versions made them.
"""

import json
import sys

import chats
import corpus
import probe
import rendering
import vocabularies

SPECIALS = ["<|begin|>", "<|header|>", "<|end_header|>", "<|turn_end|>", "<|pad|>"]
VOCAB = 1200


def train():
    """Byte-level BPE with Llama 3's split, trained on our own texts."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, \
        processors, trainers
    made = Tokenizer(models.BPE(ignore_merges=True))
    made.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(vocabularies.LLAMA3_SPLIT), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=VOCAB, show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    made.train_from_iterator([corpus.prompt(20_000, seed) for seed in range(8)], trainer)
    made.add_special_tokens([AddedToken(x, normalized=False) for x in SPECIALS])
    begin = made.token_to_id(SPECIALS[0])
    made.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=True),
        processors.TemplateProcessing(single=f"{SPECIALS[0]} $A",
                                      special_tokens=[(SPECIALS[0], begin)])])
    return json.dumps(json.loads(made.to_str()), ensure_ascii=False, separators=(",", ":"))


def byte_offsets(text, spans):
    """Python counts letters; C++ counts bytes."""
    places = [0]
    for letter in text:
        places.append(places[-1] + len(letter.encode()))
    return [[places[x], places[y]] for x, y in spans]


def tokens(path):
    from tokenizers import Tokenizer
    made = Tokenizer.from_file(str(path))
    found = {}
    for name, data in corpus.all_bytes().items():
        text = data.decode(errors="replace")
        bare = made.encode(text, add_special_tokens=False)
        found[name] = {
            "hex": data.hex(), "ids": bare.ids, "offsets": byte_offsets(text, bare.offsets),
            "special_ids": made.encode(text).ids,
            "decoded": made.decode(bare.ids, skip_special_tokens=False)}
    return found


def rendered():
    return {name: {title: {**rendering.request(case), "want": rendering.by_transformers(name, case)}
                   for title, case in cases.items()}
            for name, cases in chats.cases().items()}


def versions(*names):
    import importlib.metadata
    return {x: importlib.metadata.version(x) for x in names}


def written(value):
    return json.dumps(value, ensure_ascii=True, indent=1) + "\n"


def goldens(path):
    """File name -> content, from the tokenizer at `path`."""
    return {
        "tokens.json": written({"made by": versions("tokenizers"), "texts": tokens(path)}),
        "rendered.json": written({"made by": versions("transformers", "jinja2"),
                                  "config": json.dumps(chats.SPECIAL), "templates": rendered()}),
    }


def main():
    path = probe.DATA / "tokenizer.json"
    if "--train" in sys.argv[1:] or not path.exists():
        path.write_text(train(), encoding="utf-8")
    for name, content in goldens(path).items():
        (probe.DATA / name).write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main()
