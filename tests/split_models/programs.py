"""Models split by torch's own means, built alike on a real rank and on the fake one. Imports nothing from cnncost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import nn


class Program(NamedTuple):
    """How a model is split.

    Attributes:
        mesh: sizes of the mesh's axes by name.
        build: from the mesh to the model and its inputs.
        cycles: whether garbage is collected during inference: under `no_grad` torch leaves the result of a functional
            collective in a cycle of references.
    """

    mesh: dict[str, int]
    build: Callable[[Any], tuple[nn.Module, tuple[torch.Tensor, ...]]]
    cycles: bool = False


class Block(nn.Module):
    """A perceptron with a residual."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, hidden)
        self.down = nn.Linear(hidden, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.down(F.gelu(self.up(self.norm(x))))


class Attention(nn.Module):
    """Self-attention with as many heads as its projections have."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.each = width // heads
        self.q, self.k, self.v = (nn.Linear(width, width, bias=False) for _ in range(3))
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = (p(x).unflatten(-1, (-1, self.each)).transpose(1, 2) for p in (self.q, self.k, self.v))
        return self.out(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2))


class Decoder(nn.Module):
    """A block of a language model."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.mlp = Block(width, 4 * width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


def blocks(count: int = 3, width: int = 96, hidden: int = 200) -> nn.Sequential:
    return nn.Sequential(*[Block(width, hidden) for _ in range(count)])


def sharded(mesh: Any, model: nn.Module, **options: Any) -> nn.Module:
    """Each child apart, then the model."""
    from torch.distributed.fsdp import fully_shard

    for child in model.children():
        fully_shard(child, mesh=mesh, **options)
    return fully_shard(model, mesh=mesh, **options)


def _sharded(**options: Any) -> Callable[[Any], Any]:
    return lambda mesh: (sharded(mesh["dp"], blocks(), **options), (torch.randn(64, 96),))


def _uneven(mesh: Any) -> Any:
    model = nn.Sequential(nn.Linear(13, 7), nn.ReLU(), nn.Linear(7, 5, bias=False))
    return sharded(mesh["dp"], model), (torch.randn(32, 13),)


def _whole(mesh: Any) -> Any:
    from torch.distributed.fsdp import fully_shard

    return fully_shard(blocks(), mesh=mesh["dp"]), (torch.randn(64, 96),)


def _mixed(mesh: Any) -> Any:
    from torch.distributed.fsdp import MixedPrecisionPolicy

    policy = MixedPrecisionPolicy(param_dtype=torch.float64, reduce_dtype=torch.float32)
    return sharded(mesh["dp"], blocks(), mp_policy=policy), (torch.randn(64, 96),)


def _convolutions(mesh: Any) -> Any:
    model = nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU()),
        nn.Sequential(nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.BatchNorm2d(32), nn.ReLU()),
        nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10)),
    )
    return sharded(mesh["dp"], model), (torch.randn(4, 3, 32, 32),)


def _tensor_parallel(mesh: Any) -> Any:
    from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

    model = blocks()
    plan = {"up": ColwiseParallel(), "down": RowwiseParallel()}
    for block in model:
        parallelize_module(block, mesh["tp"], plan)
    return model, (torch.randn(64, 96),)


def decoder_plan(block: nn.Module, mesh: Any) -> None:
    from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

    parallelize_module(
        block,
        mesh,
        {
            "attention.q": ColwiseParallel(), "attention.k": ColwiseParallel(), "attention.v": ColwiseParallel(),
            "attention.out": RowwiseParallel(), "mlp.up": ColwiseParallel(), "mlp.down": RowwiseParallel(),
        },
    )  # fmt: skip


def _decoders(mesh: Any) -> Any:
    model = nn.Sequential(*[Decoder(64, 4) for _ in range(2)])
    for block in model:
        decoder_plan(block, mesh["tp"])
    return model, (torch.randn(2, 24, 64),)


def _sequence_parallel(mesh: Any) -> Any:
    from torch.distributed.tensor import Replicate, Shard
    from torch.distributed.tensor.parallel import (
        ColwiseParallel,
        PrepareModuleInput,
        RowwiseParallel,
        SequenceParallel,
        parallelize_module,
    )

    model = blocks(2)
    plan = {
        "norm": SequenceParallel(sequence_dim=0),
        "up": ColwiseParallel(input_layouts=Shard(0)),
        "down": RowwiseParallel(output_layouts=Shard(0), use_local_output=False),
    }
    for block in model:
        parallelize_module(block, mesh["tp"], plan)
    parallelize_module(
        model, mesh["tp"], PrepareModuleInput(input_layouts=(Replicate(),), desired_input_layouts=(Shard(0),))
    )
    return model, (torch.randn(64, 96),)


def _both(mesh: Any) -> Any:
    model = nn.Sequential(*[Decoder(64, 4) for _ in range(2)])
    for block in model:
        decoder_plan(block, mesh["tp"])
    return sharded(mesh["dp"], model), (torch.randn(2, 24, 64),)


def _replicated(**options: Any) -> Callable[[Any], Any]:
    from torch.nn.parallel import DistributedDataParallel

    def build(mesh: Any) -> Any:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(300, 500), nn.ReLU(), nn.Linear(500, 700), nn.Linear(700, 10))
        return DistributedDataParallel(model, process_group=mesh.get_group("dp"), **options), (torch.randn(16, 300),)

    return build


class Partly(nn.Module):
    """Has a layer that forward leaves out."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.spare, self.last = nn.Linear(300, 500), nn.Linear(500, 500), nn.Linear(500, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.first(x).relu())


def _partly_replicated(mesh: Any) -> Any:
    from torch.nn.parallel import DistributedDataParallel

    torch.manual_seed(0)
    group = mesh.get_group("dp")
    return DistributedDataParallel(Partly(), process_group=group, find_unused_parameters=True), (torch.randn(16, 300),)


def _replicated_convolutions(mesh: Any) -> Any:
    from torch.nn.parallel import DistributedDataParallel

    model = nn.Sequential(nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 196, 10))
    return DistributedDataParallel(model, process_group=mesh.get_group("dp")), (torch.randn(4, 3, 16, 16),)


class Experts(nn.Module):
    """A rank's expert, to which an all-to-all brings each rank's share of tokens, and takes them back."""

    def __init__(self, group: Any) -> None:
        super().__init__()
        self.group = group
        self.before, self.expert, self.after = Block(48, 96), Block(48, 192), Block(48, 96)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        from torch.distributed import _functional_collectives as functional

        x = self.before(x)
        there = functional.all_to_all_single_autograd(x, None, None, self.group)
        back = functional.all_to_all_single_autograd(self.expert(there), None, None, self.group)
        return self.after(back)


class Gathered(nn.Module):
    """Context parallel by hand: each rank has its part of the sequence's queries, and gathers all keys and values."""

    def __init__(self, group: Any) -> None:
        super().__init__()
        self.group = group
        self.qkv, self.out = nn.Linear(32, 96, bias=False), nn.Linear(32, 32, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        from torch.distributed import _functional_collectives as functional

        older = "all_gather_tensor_autograd"  # its name before torch 2.13
        gather = getattr(functional, "all_gather_single_autograd", None) or getattr(functional, older)
        q, *both = self.qkv(x).chunk(3, -1)
        k, v = (gather(each.contiguous(), 1, self.group) for each in both)
        q, k, v = (each.unflatten(-1, (4, 8)).transpose(1, 2) for each in (q, k, v))
        return self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


def _experts(mesh: Any) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    return Experts(mesh.get_group()), (torch.randn(64, 48),)


def _gathered(mesh: Any) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    return Gathered(mesh.get_group()), (torch.randn(2, 64, 32),)


PROGRAMS: dict[str, Program] = {
    "fully sharded": Program({"dp": 2}, _sharded()),
    "fully sharded, four ranks": Program({"dp": 4}, _sharded()),
    "fully sharded, not freed after forward": Program({"dp": 2}, _sharded(reshard_after_forward=False)),
    "fully sharded as one": Program({"dp": 2}, _whole),
    "fully sharded, uneven": Program({"dp": 4}, _uneven),
    "fully sharded, mixed precision": Program({"dp": 2}, _mixed),
    "fully sharded convolutions": Program({"dp": 2}, _convolutions),
    "replicated": Program({"dp": 2}, _replicated()),
    "replicated, gradients in buckets": Program({"dp": 2}, _replicated(gradient_as_bucket_view=True)),
    "replicated, a layer unused": Program({"dp": 2}, _partly_replicated),
    "replicated convolutions": Program({"dp": 2}, _replicated_convolutions),
    "tensor parallel": Program({"tp": 2}, _tensor_parallel, cycles=True),
    "tensor parallel attention": Program({"tp": 4}, _decoders, cycles=True),
    "sequence parallel": Program({"tp": 2}, _sequence_parallel, cycles=True),
    "expert parallel": Program({"ep": 2}, _experts, cycles=True),
    "context parallel by hand": Program({"cp": 2}, _gathered, cycles=True),
    "tensor parallel, fully sharded": Program({"dp": 2, "tp": 2}, _both),
}
