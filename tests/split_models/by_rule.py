"""Models as `--parallel` splits them by rule, split by hand. Imports nothing from cnncost."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import nn

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[1])]
import torchvision_cpu  # noqa: E402  # the path comes first
from programs import Decoder, Program, decoder_plan  # noqa: E402  # likewise

if find_spec("transformers"):
    torchvision_cpu.install()  # which Transformers imports if it is there


class Language(nn.Module):
    """Tokens, blocks, and a head."""

    def __init__(self, width: int = 64, heads: int = 4, depth: int = 3, tokens: int = 250) -> None:
        super().__init__()
        self.embed = nn.Embedding(tokens, width)
        self.blocks = nn.ModuleList(Decoder(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, tokens, bias=False)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.embed(ids)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


LLAMA = {"hidden_size": 64, "intermediate_size": 160, "num_hidden_layers": 3, "num_attention_heads": 4,
         "num_key_value_heads": 2, "vocab_size": 250, "use_cache": False}  # fmt: skip
"""The configuration of a small Llama; its vocabulary is one that four ranks don't divide."""
WORDS = {"blocks.*.attention.q": "colwise", "blocks.*.attention.k": "colwise", "blocks.*.attention.v": "colwise",
         "blocks.*.attention.out": "rowwise", "blocks.*.mlp.up": "colwise", "blocks.*.mlp.down": "rowwise",
         "embed": "embedding_rowwise", "head": "colwise_gather_output"}  # fmt: skip
"""How `Language` is split, in words; `_language` does the same by hand."""


def _mixed_policy() -> Any:
    from torch.distributed.fsdp import MixedPrecisionPolicy

    return MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)


def _sharded_by_block(mesh: Any, model: nn.Module, listed: Any, mixed: bool) -> nn.Module:
    from torch.distributed.fsdp import fully_shard

    names = mesh.mesh_dim_names
    if "fsdp" in names:
        how = {"mesh": mesh["dp", "fsdp"] if "dp" in names else mesh["fsdp"]}
        how |= {"mp_policy": _mixed_policy()} if mixed else {}
        for block in listed:
            fully_shard(block, **how)
        fully_shard(model, **how)
    return model


def _language(mixed: bool = False) -> Callable[[Any], Any]:
    def build(mesh: Any) -> Any:
        from torch.distributed.tensor import Replicate
        from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

        model = Language()
        if "tp" in mesh.mesh_dim_names:
            for block in model.blocks:
                decoder_plan(block, mesh["tp"])
            ends = {"embed": RowwiseParallel(input_layouts=Replicate()),
                    "head": ColwiseParallel(output_layouts=Replicate())}  # fmt: skip
            parallelize_module(model, mesh["tp"], ends)
        return _sharded_by_block(mesh, model, model.blocks, mixed), (torch.zeros(2, 24, dtype=torch.int64),)

    return build


def _llama(mixed: bool = False) -> Callable[[Any], Any]:
    def build(mesh: Any) -> Any:
        from torch.distributed.tensor import Replicate
        from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module
        from transformers import LlamaConfig, LlamaModel

        model = LlamaModel(LlamaConfig(**LLAMA))
        if "tp" in mesh.mesh_dim_names:
            for layer in model.layers:
                names = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "mlp.gate_proj", "mlp.up_proj")
                plan = {name: ColwiseParallel() for name in names}
                plan |= {"self_attn.o_proj": RowwiseParallel(), "mlp.down_proj": RowwiseParallel()}
                parallelize_module(layer, mesh["tp"], plan)
            parallelize_module(model, mesh["tp"], {"embed_tokens": RowwiseParallel(input_layouts=Replicate())})
        return _sharded_by_block(mesh, model, model.layers, mixed), (torch.full((1, 128), 2),)

    return build


BY_RULE: dict[str, tuple[str, str, Program]] = {
    f"{name}, {axes}{', mixed' if mixed else ''}": (
        name, axes, Program({n: int(size) for n, _, size in (each.partition("=") for each in axes.split(","))},
                            build(mixed), cycles="tp" in axes),
    )
    for name, build in (("llama", _llama), ("language", _language))
    for axes, mixed in (("fsdp=2", False), ("fsdp=2", True), ("tp=2", False), ("fsdp=2,tp=2", False),
                        ("fsdp=2,tp=2", True), ("dp=2,fsdp=2", False), ("dp=2,fsdp=1,tp=2", False), ("fsdp=4", False))
}  # fmt: skip
"""Programs that `--parallel` makes by rule, here done by hand: model, axes and program."""

_LATENT = {"num_key_value_heads": 4, "kv_lora_rank": 16, "q_lora_rank": 24, "qk_rope_head_dim": 8, "v_head_dim": 16,
           "qk_nope_head_dim": 16, "moe_intermediate_size": 32, "num_experts_per_tok": 2, "n_routed_experts": 8,
           "n_group": 2, "topk_group": 1, "first_k_dense_replace": 1}  # fmt: skip
OWN: dict[str, dict[str, Any]] = {
    "Llama": {}, "Gemma2": {"head_dim": 16, "query_pre_attn_scalar": 16}, "Phi3": {"pad_token_id": 0},
    "Qwen3": {"head_dim": 16}, "Mixtral": {"num_local_experts": 4}, "DeepseekV2": _LATENT, "DeepseekV3": _LATENT,
}  # fmt: skip
"""Architectures that Transformers itself splits by their `tp_plan`, and what makes them small beside `LLAMA`."""


def _by_transformers(name: str) -> Callable[[Any], Any]:
    def build(mesh: Any) -> Any:
        import transformers
        from transformers.distributed.tensor_parallel import apply_tensor_parallelism

        config = getattr(transformers, f"{name}Config")(**{**LLAMA, **OWN[name]})
        model = getattr(transformers, f"{name}Model")(config)
        plan = model._expand_parallel_plan(model.tp_plan)
        model = apply_tensor_parallelism(model, mesh["tp"], plan)
        return _sharded_by_block(mesh, model, model.layers, mixed=False), (torch.full((1, 128), 2),)

    return build


BY_TRANSFORMERS: dict[str, tuple[str, str, Program]] = {
    f"{name} by Transformers, {axes}": (name, axes, Program(mesh, _by_transformers(name), cycles=True))
    for name, axes, mesh in (*((name, "tp=2", {"tp": 2}) for name in OWN),
                             *((name, "fsdp=2,tp=2", {"fsdp": 2, "tp": 2}) for name in ("Qwen3", "Mixtral")))
}  # fmt: skip
"""Architecture, axes and program."""
