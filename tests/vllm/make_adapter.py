"""Makes a LoRA adapter with random weights for a model that scripts/vllm/make_model.py made.

    make_adapter.py MODEL DIR

Run it with the Python of a venv that has vLLM.
"""

import json
import pathlib
import sys

RANK = 8


def main() -> None:
    import torch
    from safetensors.torch import save_file

    model, directory = map(pathlib.Path, sys.argv[1:])
    config = json.loads((model / "config.json").read_text())
    hidden, heads = config["hidden_size"], config["num_attention_heads"]
    head = config.get("head_dim") or hidden // heads
    outputs = {"q_proj": heads * head, "v_proj": config["num_key_value_heads"] * head}
    torch.manual_seed(0)
    weights = {}
    for layer in range(config["num_hidden_layers"]):
        for name, size in outputs.items():
            stem = f"base_model.model.model.layers.{layer}.self_attn.{name}"
            weights[f"{stem}.lora_A.weight"] = 0.1 * torch.randn(RANK, hidden)
            weights[f"{stem}.lora_B.weight"] = 0.1 * torch.randn(size, RANK)
    directory.mkdir(parents=True)
    save_file(weights, directory / "adapter_model.safetensors")
    adapter = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": str(model),
        "r": RANK,
        "lora_alpha": 2 * RANK,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": sorted(outputs),
    }
    (directory / "adapter_config.json").write_text(json.dumps(adapter))


if __name__ == "__main__":
    main()
