"""Counts a model with cnncost and with other tools, its peers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING, Any

import torch

from cnncost import units
from cnncost.frontends.torch.autocast_setting import parse
from cnncost.frontends.torch.inputs import prepare
from cnncost.frontends.torch.placement import default_device
from cnncost.frontends.torch.real import with_values
from cnncost.frontends.torch.unwrap import unwrapped
from cnncost.graph import Graph
from cnncost.passes.compute import Compute, compute
from cnncost.sources.find import find
from cnncost.sources.resolve import Resolved, Trace, resolve
from cnncost.verify import fvcore_count, torch_counter
from cnncost.verify.copies import Arguments, autocast_of_peers, copied, on_cpu, parameters_on_meta, unfused
from cnncost.verify.result import PeerCount, Verification

if TYPE_CHECKING:
    from torch import nn


def verify(
    model: nn.Module | str | Resolved,
    inputs: Any = None,
    *,
    model_args: dict[str, Any] | None = None,
    trace: Trace = "static",
    autocast: Any = None,
    with_fvcore: bool = True,
) -> Verification:
    """Count a model with cnncost, fvcore and torch's counter, and explain all differences; an ONNX file with onnx-tool.

    They all count copies in eval mode with torch's fused attention path off; the model itself is only recorded, as in
    `analyze`.

    Args:
        model: an `nn.Module`, a specification such as `"lenet5"` or `"net.py:Net"`, or a result of `resolve`.
        inputs: as in `analyze`.
        model_args: keyword arguments for a factory or class named by a specification.
        trace: as in `analyze`; in a real run, the peers run on the same data.
        autocast: as in `analyze`; peers run under it only in a real run, where it may determine which ops run.
        with_fvcore: also run fvcore, which needs real weights and a real forward.

    Raises:
        CnncostError: the model can't be found, built, recorded or copied. If a peer fails, the result says so.
    """
    if isinstance(model, Resolved):
        resolved = resolve(model, inputs, autocast=autocast)
    else:
        resolved = resolve(find(model, model_args).without_method("verify"), inputs, autocast=autocast)
    if resolved.source.kind == "onnx":
        return _of_file(resolved, trace)
    torch_counter.warm_up()
    start = perf_counter()
    graph_as_given = resolved.record(trace)
    as_given = compute(graph_as_given)
    seconds = perf_counter() - start
    if graph_as_given.real is not None:
        return _counted_on_data(resolved, as_given, seconds, with_fvcore)
    module = unwrapped(resolved.model)
    graph = _recorded(resolved, module)
    arguments = Arguments(prepare(resolved.inputs, module))
    return _counted(resolved, module, arguments, as_given, graph, seconds, with_fvcore)


def _counted_on_data(resolved: Resolved, as_given: Compute, seconds: float, with_fvcore: bool) -> Verification:
    """Return the counts of cnncost and the peers, on the same data and with the same weights."""
    if resolved.weightless:  # built only once: each time a model is built, its weights are drawn anew
        resolved = replace(resolved, model=resolved.with_weights(), weightless=False)
        as_given = compute(resolved.record("real"))
    module = unwrapped(resolved.model)
    values, _ = with_values(prepare(resolved.inputs, module), module)
    with unfused():
        graph = replace(_resolved_copy(resolved, copied(module, on_cpu)), autocast=resolved.autocast).record("real")
    with autocast_of_peers(parse(resolved.autocast)):
        return _counted(resolved, module, Arguments(values), as_given, graph, seconds, with_fvcore)


def _counted(
    resolved: Resolved, module: nn.Module, arguments: Arguments, as_given: Compute, graph: Graph, seconds: float,
    with_fvcore: bool,
) -> Verification:  # fmt: skip
    """Return the counts of the peers and of a Graph.

    Args:
        resolved: the model as the user gave it.
        module: the module of which the peers run copies.
        arguments: forward's arguments.
        as_given: cnncost's count in the model's own mode.
        graph: the Graph of what the peers run.
        seconds: time that cnncost took for the model as given.
        with_fvcore: also run fvcore.
    """
    found = compute(graph)
    peers: tuple[PeerCount, ...] = (
        (fvcore_count.count(module, arguments, graph, autocast=resolved.autocast is not None),) if with_fvcore else ()
    )
    peers += (torch_counter.count(module, arguments, graph),)
    return Verification(
        model=resolved.title,
        inputs=tuple((graph.values[i].shape, graph.values[i].dtype) for i in graph.inputs),
        macs=found.total.macs,
        flops=found.total.flops,
        unknown={u.op: u.count for u in found.unknown},
        seconds=seconds,
        peers=peers,
        notes=tuple(_notes(resolved, graph, module, as_given, found)),
    )


def _of_file(resolved: Resolved, trace: Trace) -> Verification:
    """Return the counts of an ONNX file by cnncost and onnx-tool."""
    from cnncost.frontends.onnx import example
    from cnncost.verify import onnx_tool_count

    start = perf_counter()
    graph = resolved.record(trace)
    seconds = perf_counter() - start
    return onnx_tool_count.verified(resolved.name, graph, example(resolved.model, graph), seconds)


def _recorded(resolved: Resolved, module: nn.Module) -> Graph:
    """Return the Graph of the model as the peers run it."""
    device = default_device(module, prepare(resolved.inputs, module))
    if device.type == "meta" and resolved.weightless:
        device = torch.device("cpu")  # where the model would be with weights
    same = replace(_resolved_copy(resolved, copied(module, parameters_on_meta)), device=device)
    with unfused():
        return same.record()


def _resolved_copy(resolved: Resolved, copy: nn.Module) -> Resolved:
    """Return the copy of a model as a Resolved with the model's name, to be recorded in its place."""
    found = resolve(copy, resolved.inputs)
    return replace(found, source=replace(found.source, text=resolved.name))


def _notes(
    resolved: Resolved, graph: Graph, module: nn.Module, as_given: Compute, found: Compute
) -> Iterator[str]:  # fmt: skip
    from torch import nn

    if graph.real is not None:
        yield f"forward was run on values, by cnncost and by the peers: {graph.real.inputs}"
    elif (cast := parse(resolved.autocast)) is not None:
        yield f"the peers run without autocast {cast}: casts have neither MACs nor FLOPs"
    if any(isinstance(part, (nn.MultiheadAttention, nn.TransformerEncoderLayer)) for part in module.modules()):
        yield (
            "torch's fused path of nn.MultiheadAttention and nn.TransformerEncoderLayer is off here; with real weights "
            "it is taken in eval mode under no_grad, and the peers count nothing in it"
        )
    before, after = as_given.total, found.total
    if (before.macs, before.flops) != (after.macs, after.flops):
        mode = (
            f"{'train' if module.training else 'eval'} mode{'' if resolved.autocast is None else ' and under autocast'}"
        )
        counts = f"{units.counted(before.macs, 'MAC')} and {units.counted(before.flops, 'FLOP')}"
        yield f"as given, in {mode}, the model has {counts}; the numbers here are for eval mode"
