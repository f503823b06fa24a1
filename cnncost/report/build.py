"""From pass results to a Report: who gets which row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from cnncost.graph import Graph, Phase
from cnncost.passes.arithmetic import macs_by_dtype
from cnncost.passes.compute import Compute, Sums
from cnncost.passes.parameters import OwnedCount, Parameters
from cnncost.report.model import Report
from cnncost.report.rows import Layer, Op, PhaseCost, Status, Totals

ASSUMED = " backward (assumed: 2× forward)"
"""Ends the name of an op of backward that is counted by its forward."""
_NOTHING = Sums(0, 0, 0, 0, 0)
_HOLDS_NOTHING = OwnedCount()
_layer: Callable[[tuple[object, ...]], Layer] = partial(tuple.__new__, Layer)
"""A row a module call: past the named constructor it takes half the time."""


def build(
    model: str, graph: Graph, parameters: Parameters, compute: Compute,
    training: Graph | None = None, phases: Mapping[Phase, Compute] | None = None,
) -> Report:  # fmt: skip
    """Compose the Report; of a training step too, if one was recorded."""
    total, phases = compute.total, phases or {}
    learnt = [u for phase, part in phases.items() if phase != "forward" for u in part.unknown]
    unknown = [*compute.unknown, *learnt]
    return Report(
        model=model,
        inputs=tuple((graph.values[i].shape, graph.values[i].dtype) for i in graph.inputs),
        totals=Totals(
            parameters.params, parameters.trainable, parameters.params - parameters.trainable, parameters.buffers,
            parameters.param_bytes, parameters.buffer_bytes, total.macs, total.flops, total.read, total.written,
            total.ops, bool(compute.unknown) or graph.failed is not None,
            sum(part.total.macs for part in phases.values()) if phases else None,
            sum(part.total.flops for part in phases.values()) if phases else None,
            any(part.unknown for part in phases.values()),
        ),
        layers=_layers(graph, parameters, compute),
        ops=_ops(compute),
        unknown={op: sum(u.count for u in unknown if u.op == op) for op in dict.fromkeys(u.op for u in unknown)},
        unknown_places={u.op: u.first_path for u in reversed(unknown)},
        tree=tuple([(path, class_name, calls) for path, class_name, _, _, calls in graph.scopes]),
        param_dtypes=dict(parameters.by_dtype),
        phases=tuple([PhaseCost(phase, *part.total) for phase, part in phases.items()]),
        graph=graph,
        training=training,
        run_on=graph.real.inputs if graph.real is not None else "",
        reads=graph.real.reads if graph.real is not None else 0,
        examples=graph.examples,
        mac_dtypes=macs_by_dtype(graph),
        notes=tuple(dict.fromkeys((*graph.notes, *(training.notes if training is not None else ())))),
        partial=_partial(graph),
        assumed=_assumed(training),
    )  # fmt: skip


def _assumed(training: Graph | None) -> tuple[str, ...]:
    """Names of what a rule states the forward of alone."""
    nodes = training.nodes if training is not None else ()
    names = [node.name.removesuffix(ASSUMED) for node in nodes if node.name.endswith(ASSUMED)]
    return tuple(dict.fromkeys(names))


def _partial(graph: Graph) -> str:
    """Where a forward failed, in words."""
    if graph.failed is None:
        return ""
    scope = graph.scopes[graph.calls[graph.failed.call].scope]
    place = f"{graph.call_path(graph.failed.call) or 'the model'} ({scope.class_name})"
    return f"forward failed in {place}: all figures are of what ran before, and lower bounds"


def _layers(graph: Graph, parameters: Parameters, compute: Compute) -> tuple[Layer, ...]:
    """A row for each call that ran ops, is a leaf, or whose module holds parameters; then the uncalled modules."""
    scopes, values = graph.scopes, graph.values
    parents = {call.parent for call in graph.calls}
    by_data = {graph.nodes[i].call for i in graph.real.nodes} if graph.real is not None else frozenset()
    failed, cut = (graph.failed.call, {*graph.failed.calls}) if graph.failed is not None else (None, frozenset[int]())
    rows: list[Layer] = []
    for index, (scope, _, nth, _, outputs) in enumerate(graph.calls):
        sums = compute.by_call.get(index)
        owned = parameters.by_scope.get(scope, _HOLDS_NOTHING) if nth == 0 else _HOLDS_NOTHING
        if sums is None:
            if index in parents and not (owned.params or owned.buffers) and index != failed:
                continue
            sums = _NOTHING
        path, class_name, _, _, calls = scopes[scope]
        rows.append(
            _layer((
                path, class_name, compute.kinds.get(index, ""), nth + 1, calls,
                tuple([values[v].shape for v in outputs]), owned.params, owned.trainable, owned.buffers,
                sums.macs, sums.flops, sums.read, sums.written,
                "failed" if index == failed else "data" if index in by_data else "called",
                index in compute.unknown_calls or index in cut, None, None, None, None, None, None, False,
            ))
        )  # fmt: skip
    return (*rows, *_uncalled(graph, parameters))


def _uncalled(graph: Graph, parameters: Parameters) -> list[Layer]:
    """Modules that were never called: those that hold parameters, and leaves.

    A container whose children were called (a Sequential that is iterated over) is no leaf and holds nothing.
    """
    missing = [(i, scope) for i, scope in enumerate(graph.scopes) if not scope.calls]
    if not missing:
        return []
    read = {value for node in graph.nodes for value in node.inputs}
    parents = {scope.path.rpartition(".")[0] for scope in graph.scopes if scope.path}
    rows = []
    for index, scope in missing:
        owned = parameters.by_scope.get(index, _HOLDS_NOTHING)
        held = scope.parameters + scope.buffers
        if not held and scope.path in parents:
            continue
        missed: Status = "unused" if graph.failed is None else "unreached"
        status: Status = "used" if any(o.value in read for o in held) else missed
        rows.append(
            Layer(
                scope.path,
                scope.class_name,
                "",
                0,
                0,
                (),
                owned.params,
                owned.trainable,
                owned.buffers,
                0,
                0,
                0,
                0,
                status,
            )  # fmt: skip
        )
    return rows


def _ops(compute: Compute) -> tuple[Op, ...]:
    unknown = {u.op for u in compute.unknown}
    rows = [
        Op(name, kind, sums.ops, sums.macs, sums.flops, sums.read, sums.written, name not in unknown)
        for (name, kind), sums in compute.by_op.items()
    ]
    return tuple(sorted(rows, key=lambda op: (-op.macs, -op.flops, -op.count, op.name)))
