"""Very large models, from their published configurations: seconds, memory, and parameters beside what papers say.

python tests/benchmarks/giants.py [NAME …]   with Transformers; each model in a process of its own
"""

import json
import resource
import subprocess
import sys
import time

TOKENS = 2048
LLAMA = {  # Llama Team 2024 (arXiv 2407.21783), table 3; the release's config.json has the same
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 16384, "intermediate_size": 53248,
    "num_attention_heads": 128, "num_key_value_heads": 8, "vocab_size": 128256, "tie_word_embeddings": False,
    "max_position_embeddings": 131072, "rms_norm_eps": 1e-5,
}  # fmt: skip
DEEPSEEK = {  # DeepSeek-AI 2024 (arXiv 2412.19437), section 4.2; groups of experts as in the release's config.json
    "model_type": "deepseek_v3", "architectures": ["DeepseekV3ForCausalLM"], "num_hidden_layers": 61,
    "hidden_size": 7168, "intermediate_size": 18432, "moe_intermediate_size": 2048, "num_attention_heads": 128,
    "num_key_value_heads": 128, "n_routed_experts": 256, "n_shared_experts": 1, "num_experts_per_tok": 8, "n_group": 8,
    "topk_group": 4, "first_k_dense_replace": 3, "q_lora_rank": 1536, "kv_lora_rank": 512, "qk_rope_head_dim": 64,
    "qk_nope_head_dim": 128, "v_head_dim": 128, "vocab_size": 129280, "tie_word_embeddings": False,
}  # fmt: skip


def decoder(config):
    """Of Transformers, with a prompt."""
    import transformers

    made = transformers.AutoConfig.for_model(**config)
    return transformers.AutoModelForCausalLM.from_config(made), f"1x{TOKENS}:int64"


def llama_by_hand(layers):
    """Queries and output, keys and values of 8 heads, a gated MLP and two norms a layer; embedding, head, last norm."""
    d, vocab = 16384, 128256
    weights = layers * (2 * d * d + 2 * d * 8 * 128 + 3 * d * 53248)
    params = weights + layers * 2 * d + 2 * vocab * d + d
    return params, TOKENS * (weights + vocab * d) + layers * 2 * d * TOKENS**2


def deepseek_by_hand():
    """Latent attention in 61 layers; a dense MLP in 3, in 58 a gate, 256 experts of which 8 run, and a shared one."""
    d, vocab, heads, expert = 7168, 129280, 128, 3 * 7168 * 2048
    attention = d * 1536 + 1536 * heads * 192 + d * (512 + 64) + 512 * heads * 256 + heads * 128 * d
    whole = 61 * attention + 3 * 3 * d * 18432 + 58 * 256 * d + vocab * d
    params = whole + 58 * 257 * expert + 61 * (1536 + 512 + 2 * d) + vocab * d + d
    return params, TOKENS * (whole + 58 * 9 * expert) + 61 * heads * (192 + 128) * TOKENS**2


def vit_22b():
    """Dehghani et al. 2023 (arXiv 2302.05442), table 1: layers of which both halves run beside each other on one norm.

    Norms have no bias, queries and keys have norms, and their projections no bias. Without the pooling head.
    """
    import torch
    from torch import nn
    from torch.nn.functional import gelu, scaled_dot_product_attention

    d, heads, tokens = 6144, 48, 256

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.LayerNorm(d, bias=False)
            self.qkv = nn.Linear(d, 3 * d, bias=False)
            self.q_norm, self.k_norm = nn.LayerNorm(d // heads, bias=False), nn.LayerNorm(d // heads, bias=False)
            self.out, self.up, self.down = nn.Linear(d, d), nn.Linear(d, 4 * d), nn.Linear(4 * d, d)

        def forward(self, x):
            y = self.norm(x)
            q, k, v = self.qkv(y).unflatten(2, (3, heads, d // heads)).permute(2, 0, 3, 1, 4)
            seen = scaled_dot_product_attention(self.q_norm(q), self.k_norm(k), v)
            return x + self.out(seen.transpose(1, 2).flatten(2)) + self.down(gelu(self.up(y)))

    class ViT(nn.Module):
        def __init__(self):
            super().__init__()
            self.patches = nn.Conv2d(3, d, 14, 14)
            self.positions = nn.Parameter(torch.empty(1, tokens, d))
            self.blocks = nn.Sequential(*(Block() for _ in range(48)))
            self.norm = nn.LayerNorm(d, bias=False)

        def forward(self, x):
            return self.norm(self.blocks(self.patches(x).flatten(2).transpose(1, 2) + self.positions))

    return ViT(), "1x3x224x224"


def vit_22b_by_hand():
    """12·6144² weights in each of 48 layers, the paper's 21,743 M; biases, norms, patches and positions."""
    d, tokens = 6144, 256
    params = 48 * (12 * d * d + 6 * d + d + 2 * 128) + 14 * 14 * 3 * d + d + tokens * d + d
    return params, 48 * (12 * d * d * tokens + 2 * tokens * tokens * d) + 14 * 14 * 3 * d * tokens


def resnet_1001():
    """He et al. 2016 (arXiv 1603.05027), CIFAR-10: 3 stages of 111 bottlenecks, norms first, 9·111 + 2."""
    from torch import nn

    class Block(nn.Module):
        def __init__(self, c, p, stride):
            super().__init__()
            self.bn1, self.bn2, self.bn3 = nn.BatchNorm2d(c), nn.BatchNorm2d(p), nn.BatchNorm2d(p)
            self.conv1 = nn.Conv2d(c, p, 1, bias=False)
            self.conv2 = nn.Conv2d(p, p, 3, stride, 1, bias=False)
            self.conv3 = nn.Conv2d(p, 4 * p, 1, bias=False)
            self.shortcut = nn.Conv2d(c, 4 * p, 1, stride, bias=False) if c != 4 * p else None
            self.relu = nn.ReLU()

        def forward(self, x):
            y = self.relu(self.bn1(x))
            left = x if self.shortcut is None else self.shortcut(y)
            y = self.conv2(self.relu(self.bn2(self.conv1(y))))
            return left + self.conv3(self.relu(self.bn3(y)))

    stages, c = [], 16
    for p in (16, 32, 64):
        blocks = []
        for i in range(111):
            blocks.append(Block(c, p, 2 if i == 0 and p > 16 else 1))
            c = 4 * p
        stages.append(nn.Sequential(*blocks))
    end = [nn.BatchNorm2d(256), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(256, 10)]
    return nn.Sequential(nn.Conv2d(3, 16, 3, padding=1, bias=False), *stages, *end), "1x3x32x32"


def resnet_1001_by_hand():
    """Per stage a block from c channels, 13p² + 5cp weights of which cp run at the old size, and 110 of 17p²."""
    weights, norms, macs = 27 * 16 + 2560, 2 * 256 + 10, 27 * 16 * 32**2 + 2560
    for c, p, old, new in ((16, 16, 32, 32), (64, 32, 32, 16), (128, 64, 16, 8)):
        weights += 13 * p * p + 5 * c * p + 110 * 17 * p * p
        norms += 2 * c + 4 * p + 110 * 12 * p
        macs += c * p * old**2 + (13 * p * p + 4 * c * p + 110 * 17 * p * p) * new**2
    return weights + norms, macs


MODELS = {
    "llama-3-405b": (lambda: decoder(LLAMA | {"num_hidden_layers": 126}), llama_by_hand(126), "405 B"),
    "8 layers of llama-3-405b": (lambda: decoder(LLAMA | {"num_hidden_layers": 8}), llama_by_hand(8), ""),
    "deepseek-v3": (lambda: decoder(DEEPSEEK), deepseek_by_hand(), "671 B, 37 B active"),
    "vit-22b": (vit_22b, vit_22b_by_hand(), "21,743 M"),
    "resnet-1001": (resnet_1001, resnet_1001_by_hand(), "10.2 M"),
}
"""What to build, parameters and MACs by hand, and parameters in the paper."""


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # Linux counts in KiB


def measure(name):
    import torch

    import cnncost

    build, expected, _ = MODELS[name]
    cnncost.analyze(torch.nn.Linear(1, 1), (1, 1))
    started, memory = time.process_time(), peak()
    with torch.device("meta"):
        model, inputs = build()
    building = time.process_time() - started
    started = time.process_time()
    report = cnncost.analyze(model.eval(), inputs)
    analysis = time.process_time() - started
    started = time.process_time()
    text = str(report)
    written = time.process_time() - started
    totals = report.totals
    assert expected == (totals.params, totals.macs), (expected, totals.params, totals.macs)
    assert not totals.lower_bound, text
    return {
        "params": totals.params, "macs": totals.macs, "inputs": inputs,
        "rows": len(report.tree), "build": building, "analyze": analysis, "report": written, "mib": peak() - memory,
    }  # fmt: skip


def main(names):
    print("| model | parameters | in the paper | MACs | input | modules | build s | analyze s | report s | MiB |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for name in names or MODELS:
        run = [sys.executable, __file__, "--one", name]
        found = json.loads(subprocess.run(run, capture_output=True, text=True, check=True).stdout.splitlines()[-1])
        print(
            f"| {name} | {found['params']:,} | {MODELS[name][2]} | {found['macs']:,} | {found['inputs']} "
            f"| {found['rows']:,} | {found['build']:.1f} | {found['analyze']:.1f} | {found['report']:.1f} "
            f"| {found['mib']:,.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(measure(sys.argv[2])))
    else:
        main(sys.argv[1:])
