"""Collectives of `torch.distributed`: c10d's ops, which write to their arguments, and functional ones."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from cnncost.frontends.torch.compat.distributed import group_of, ranks_in
from cnncost.frontends.torch.lowering.registry import Attrs, Lowered, OpCall, lower_layout, lowers
from cnncost.tensor_types import ITEM_BYTES

_C10D = {
    "allreduce_": ("all_reduce", "tensors"), "allreduce_coalesced_": ("all_reduce", "tensors"),
    "allgather_": ("all_gather", "output_tensors"), "_allgather_base_": ("all_gather", "output_tensor"),
    "allgather_into_tensor_coalesced_": ("all_gather", "outputs"),
    "reduce_scatter_": ("reduce_scatter", "input_tensors"), "_reduce_scatter_base_": ("reduce_scatter", "input_tensor"),
    "reduce_scatter_tensor_coalesced_": ("reduce_scatter", "inputs"),
    "broadcast_": ("broadcast", "tensors"), "reduce_": ("reduce", "tensors"),
    "gather_": ("gather", "output_tensors"), "scatter_": ("scatter", "input_tensors"),
    "alltoall_": ("all_to_all", "input_tensors"), "alltoall_base_": ("all_to_all", "input"),
    "send": ("send", "tensors"), "recv_": ("receive", "tensors"), "recv_any_source_": ("receive", "tensors"),
}  # fmt: skip
"""By c10d's op: the collective, and the argument with its whole data: the parts of all ranks, if the data is split."""
_FUNCTIONAL = {
    "all_reduce": "all_reduce", "all_reduce_": "all_reduce", "all_reduce_coalesced": "all_reduce",
    "all_reduce_coalesced_": "all_reduce", "broadcast": "broadcast", "broadcast_": "broadcast",
    "all_gather_into_tensor": "all_gather", "all_gather_into_tensor_out": "all_gather",
    "all_gather_into_tensor_coalesced": "all_gather",
    "reduce_scatter_tensor": "reduce_scatter", "reduce_scatter_tensor_out": "reduce_scatter",
    "reduce_scatter_tensor_coalesced": "reduce_scatter",
    "all_to_all_single": "all_to_all", "isend": "send", "irecv": "receive",
}  # fmt: skip
"""By functional op: the collective."""
_WHOLE_IS_OUTPUT = {"all_gather"}
"""Collectives whose output has the whole data; for all others, the input has it."""


@lowers(*(f"c10d::{name}" for name in _C10D))
def c10d(call: OpCall) -> Lowered:
    """An op that writes to its arguments. In gather and scatter, only the root has the whole data."""
    name, argument = _C10D[call.name.partition("::")[2]]
    attrs, ranks, rank = _group(call["process_group"])
    whole = list(_tensors(call[argument]))
    if name in {"gather", "scatter"} and not whole:  # not the root: its size follows from this rank's part
        part = list(_tensors(call["input_tensors" if name == "gather" else "output_tensors"]))
        parts = [(t.numel() * ranks, t.element_size()) for t in part]
    elif name in {"gather", "scatter", "all_to_all", "all_gather", "reduce_scatter"}:
        parts = [(sum(t.numel() for t in whole), whole[0].element_size())] if whole else []
    else:
        parts = [(t.numel(), t.element_size()) for t in whole]
    if "root_rank" in call.arguments:
        attrs["root"] = int(call["root_rank"])
    if name == "all_to_all":
        received = list(_tensors(call["output_tensors" if argument == "input_tensors" else "output"]))
        attrs |= _exchanged_elements(call, whole, received, ranks, rank)
    return "collective", {**attrs, "collective": name, "parts": tuple(parts)}


@lowers(*(f"{space}::{name}" for name in _FUNCTIONAL for space in ("_c10d_functional", "_c10d_functional_autograd")))
def functional(call: OpCall) -> Lowered:
    """An op that returns its result."""
    name = _FUNCTIONAL[call.name.partition("::")[2]]
    whole = call.outputs if name in _WHOLE_IS_OUTPUT else call.inputs[: len(call.outputs)]
    attrs, ranks, rank = _group(call["group_name"])
    if "src" in call.arguments and name == "broadcast":
        attrs["root"] = int(call["src"])
    if name == "all_to_all":
        attrs |= _exchanged_elements(call, [call["input"]], [call.outputs[0]], ranks, rank)
    return "collective", {**attrs, "collective": name, "parts": tuple((t.numel, ITEM_BYTES[t.dtype]) for t in whole)}


@lowers("_dtensor::shard_dim_alltoall")
def reshard(call: OpCall) -> Lowered:
    """A tensor that is split along another axis: an all-to-all of equal parts."""
    x = call.inputs[0]
    parts = ((x.numel, ITEM_BYTES[x.dtype]),)
    return "collective", {**_group(call["group_name"])[0], "collective": "all_to_all", "parts": parts}


@lowers("fsdp::all_gather_copy_in", "fsdp::split_with_sizes_copy", "fsdp::chunk_cat")
def fsdp_copy(call: OpCall) -> Lowered:
    """FSDP's copies of parameters and gradients into and out of the buffers of its collectives."""
    return lower_layout(call, copy=True)


@lowers("fsdp::chunk_cat_mixed_dtype")
def fsdp_copy_and_cast(call: OpCall) -> Lowered:
    """FSDP's copy of gradients into a buffer since torch 2.15. If their dtypes differ, they are first cast to its own.

    Ref: torch/csrc/distributed/fsdp/ChunkCat.h. CUDA's kernel casts bfloat16 and float32 while copying and needs less.
    """
    kind, attrs = lower_layout(call, copy=True)
    tensors, buffer = list(call["tensors"]), call["out"]
    if len({t.dtype for t in tensors}) > 1:
        attrs |= {"scratch": sum(t.numel() for t in tensors if t.dtype != buffer.dtype) * buffer.element_size()}
    return kind, attrs


def _group(argument: Any) -> tuple[Attrs, int, int]:
    """Return attributes that describe the group, the number of its ranks, and this rank's index in it."""
    group = group_of(argument)
    ranks, rank = group.size(), group.rank()
    members = _runs(ranks_in(group))
    return {"ranks": ranks, "rank": rank, "group": _name(group.group_desc), "members": members}, ranks, rank


def _runs(numbers: list[int]) -> tuple[tuple[int, int, int], ...]:
    """Return ascending numbers as ranges (start, end, step): an axis of a mesh is one range, whatever its size."""
    runs, first = [], 0
    while first < len(numbers):
        last = first
        step = numbers[first + 1] - numbers[first] if first + 1 < len(numbers) else 1
        while last + 1 < len(numbers) and numbers[last + 1] - numbers[last] == step:
            last += 1
        runs.append((numbers[first], numbers[last] + 1, step))
        first = last + 1
    return tuple(runs)


def _name(description: str) -> str:
    """Return a group's name for reports: the axis of its mesh, or `world` for the default group."""
    return "world" if description == "default_pg" else description.removeprefix("mesh_") or "a group"


def _exchanged_elements(call: OpCall, sent: list[Any], received: list[Any], ranks: int, rank: int) -> Attrs:
    """Return the numbers of elements that an all-to-all sends to other ranks and receives from them."""
    return {
        "sends": _of_others(sent, call.get("input_split_sizes"), ranks, rank),
        "receives": _of_others(received, call.get("output_split_sizes"), ranks, rank),
    }


def _of_others(tensors: list[Any], splits: Any, ranks: int, rank: int) -> int:
    """Return the number of elements of all parts but this rank's own.

    The parts are tensors, or one tensor split evenly or by `splits`.
    """
    total = sum(map(_elements, tensors))
    if len(tensors) > 1:
        return total - _elements(tensors[rank])
    splits = list(splits or ()) or [1] * ranks
    return total // sum(splits) * (sum(splits) - splits[rank]) if sum(splits) else 0


def _elements(tensor: Any) -> int:
    """Return the number of elements of a tensor or a tensor type."""
    return tensor.numel() if isinstance(tensor, torch.Tensor) else tensor.numel


def _tensors(value: Any) -> Iterable[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _tensors(item)
