#!/usr/bin/env python3
"""Makes a small Llama with random weights and a byte-level tokenizer, without the network.

    make_model.py KIND DIR [--seed N]
        tiny    2 layers, hidden 256: starts fast, computes fast
        mid     8 layers, hidden 1024: its prefill is worth a cache
        hybrid  4 layers, every other one with a sliding window of 256 tokens (Gemma 3)

Run it with the Python of a venv that has vLLM. A directory that holds a model of this kind and seed
already is left alone.
"""

import argparse
import json
import pathlib
import sys

SIZES = {
    "tiny": {"hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 2,
             "num_attention_heads": 4, "num_key_value_heads": 2},
    "mid": {"hidden_size": 1024, "intermediate_size": 2816, "num_hidden_layers": 8,
            "num_attention_heads": 16, "num_key_value_heads": 8},
    "hybrid": {"hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 4,
               "num_attention_heads": 4, "num_key_value_heads": 2},
}
WINDOW = 256
VOCABULARY = 1024
STAMP = "headrace_model.json"


def save_tokenizer(directory):
    """256 byte symbols and three special tokens: nothing to train or to download."""
    from tokenizers import Tokenizer, decoders, models
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import PreTrainedTokenizerFast

    vocabulary = {"<unk>": 0, "<s>": 1, "</s>": 2}
    for symbol in sorted(ByteLevel.alphabet()):
        vocabulary[symbol] = len(vocabulary)
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>"))
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>")
    fast.chat_template = (
        "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}assistant: ")
    fast.save_pretrained(directory)


def make(kind):
    import transformers

    common = {"vocab_size": VOCABULARY, "max_position_embeddings": 16384, "rms_norm_eps": 1e-5,
              "bos_token_id": 1, "eos_token_id": 2, "tie_word_embeddings": False,
              "initializer_range": 0.05, "dtype": "bfloat16", **SIZES[kind]}
    if kind != "hybrid":
        return transformers.LlamaForCausalLM(transformers.LlamaConfig(**common))
    layers = ["sliding_attention", "full_attention"] * (common["num_hidden_layers"] // 2)
    config = transformers.Gemma3TextConfig(
        **{**common, "tie_word_embeddings": True}, head_dim=64, query_pre_attn_scalar=64,
        sliding_window=WINDOW, layer_types=layers)
    return transformers.Gemma3ForCausalLM(config)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=SIZES)
    parser.add_argument("directory", type=pathlib.Path)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    stamp = options.directory / STAMP
    identity = {"kind": options.kind, "seed": options.seed}
    if stamp.exists() and json.loads(stamp.read_text()) == identity:
        return
    try:
        import torch
    except ImportError:
        sys.exit("error: this Python has no torch; use the one of the venv that vLLM is in")
    options.directory.mkdir(parents=True, exist_ok=True)
    save_tokenizer(options.directory)
    torch.manual_seed(options.seed)
    model = make(options.kind).to(torch.bfloat16)
    model.save_pretrained(options.directory, safe_serialization=True)
    stamp.write_text(json.dumps(identity))
    millions = sum(p.numel() for p in model.parameters()) / 1e6
    print(f"{options.kind}: {millions:.1f} M parameters in {options.directory}", file=sys.stderr)


if __name__ == "__main__":
    main()
