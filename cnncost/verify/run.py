"""Count one model with cnncost and its peers."""

from __future__ import annotations

from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING, Any

import torch

from cnncost import units
from cnncost.frontends.torch.inputs import prepare
from cnncost.frontends.torch.placement import home_of
from cnncost.frontends.torch.unwrap import unwrapped
from cnncost.graph import Graph
from cnncost.passes.compute import Compute, compute
from cnncost.sources.find import find
from cnncost.sources.resolve import Resolved, resolve
from cnncost.verify import fvcore_count, torch_counter
from cnncost.verify.copies import Arguments, copied, parameters_on_meta, unfused
from cnncost.verify.result import PeerCount, Verification

if TYPE_CHECKING:
    from torch import nn


def verify(
    model: nn.Module | str | Resolved,
    inputs: Any = None,
    *,
    model_args: dict[str, Any] | None = None,
    with_fvcore: bool = True,
) -> Verification:
    """Count a model by cnncost, fvcore and torch's counter (a file by onnx-tool), and explain every difference.

    All of them count copies in eval mode with torch's fused attention path off; the model itself is only
    recorded, as in `analyze`.

    Args:
        model: an `nn.Module`, a specification such as `"lenet5"`, `"net.py:Net"`, or a result of `resolve`.
        inputs: as in `analyze`.
        model_args: keyword arguments for a factory or class named by a specification.
        with_fvcore: also run fvcore, which needs real weights and a real forward.

    Raises:
        CnncostError: the model can't be found, built, recorded or copied. A failing peer is part of the result,
            not an error.
    """
    if isinstance(model, Resolved):
        resolved = resolve(model, inputs)
    else:
        resolved = resolve(find(model, model_args).without_method("verify"), inputs)
    if resolved.source.kind == "onnx":
        return _of_file(resolved)
    torch_counter.warm_up()
    begun = perf_counter()
    as_given = compute(resolved.record())
    seconds = perf_counter() - begun
    module = unwrapped(resolved.model)
    graph = _recorded(resolved, module)
    found = compute(graph)
    arguments = Arguments(prepare(resolved.inputs, module))
    peers: tuple[PeerCount, ...] = (fvcore_count.count(module, arguments, graph),) if with_fvcore else ()
    peers += (torch_counter.count(module, arguments, graph),)
    return Verification(
        model=resolved.name,
        inputs=tuple((graph.values[i].shape, graph.values[i].dtype) for i in graph.inputs),
        macs=found.total.macs,
        flops=found.total.flops,
        unknown={u.op: u.count for u in found.unknown},
        seconds=seconds,
        peers=peers,
        notes=_notes(module, as_given, found),
    )


def _of_file(resolved: Resolved) -> Verification:
    """An ONNX file beside onnx-tool."""
    from cnncost.frontends.onnx import example
    from cnncost.verify import onnx_tool_count

    begun = perf_counter()
    graph = resolved.record()
    seconds = perf_counter() - begun
    return onnx_tool_count.verified(resolved.name, graph, example(resolved.model, graph), seconds)


def _recorded(resolved: Resolved, module: nn.Module) -> Graph:
    """The Graph of the model as the peers run it."""
    device = home_of(module, prepare(resolved.inputs, module))
    if device.type == "meta" and resolved.weightless:
        device = torch.device("cpu")
    twin = resolve(copied(module, parameters_on_meta), resolved.inputs)
    twin = replace(twin, source=replace(twin.source, text=resolved.name), device=device)
    with unfused():
        return twin.record()


def _notes(module: nn.Module, as_given: Compute, found: Compute) -> tuple[str, ...]:
    from torch import nn

    notes = []
    if any(isinstance(part, (nn.MultiheadAttention, nn.TransformerEncoderLayer)) for part in module.modules()):
        notes.append(
            "torch's fused path of nn.MultiheadAttention and nn.TransformerEncoderLayer is off here; with real weights "
            "it is taken in eval mode under no_grad, and neither peer counts what is in it"
        )
    before, after = as_given.total, found.total
    if (before.macs, before.flops) != (after.macs, after.flops):
        mode = "train" if module.training else "eval"
        counts = f"{units.counted(before.macs, 'MAC')} and {units.counted(before.flops, 'FLOP')}"
        notes.append(f"as given, in {mode} mode, the model has {counts}; the numbers here are of eval mode")
    return tuple(notes)
