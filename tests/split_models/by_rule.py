"""Models as `--parallel` splits them by rule, split by hand. Imports nothing from cnncost."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

sys.path[:0] = [str(Path(__file__).resolve().parent)]
from programs import Decoder, Program, decoder_plan  # noqa: E402  # the path comes first


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
