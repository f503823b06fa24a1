"""Builds a Report from the results of passes, and decides which modules get a row."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

from cnncost import units
from cnncost.graph import Graph, Phase, Shape
from cnncost.passes.arithmetic import macs_by_dtype
from cnncost.passes.communication import KIND, Exchange, communication
from cnncost.passes.compute import Compute, Sums
from cnncost.passes.memory.inexact import inexact_ops, zero_sensitive_ops
from cnncost.passes.parameters import OwnedCount, Parameters
from cnncost.report.data import OF_STEP
from cnncost.report.model import Report
from cnncost.report.placement import all_links, on_devices
from cnncost.report.rows import Layer, Op, PhaseCost, Status, Totals
from cnncost.versions import installed

ASSUMED = " backward (assumed: 2× forward)"
"""Suffix of a backward op's name if its cost is estimated from forward."""
_NO_OPS = Sums(0, 0, 0, 0, 0)
_OWNS_NOTHING = OwnedCount()
ByName: TypeAlias = Mapping[str, Mapping[int, int]]


class FurtherStatistics(NamedTuple):
    """Statistics of additional passes, by name.

    Attributes:
        by_call: numbers by the call's index.
        by_scope: numbers by the scope's index, of modules whether or not they are called.
    """

    by_call: ByName
    by_scope: ByName

    def of_call(self, index: int, scope: int, first: bool) -> dict[str, int]:
        """Return the statistics of a call; the first one has those of its module."""
        return self._of(self.by_call, index) | (self.of_scope(scope) if first else dict.fromkeys(self.by_scope, 0))

    def of_scope(self, scope: int) -> dict[str, int]:
        """Return the statistics of a module that don't depend on its calls."""
        return self._of(self.by_scope, scope)

    def totals(self) -> dict[str, Any]:
        """Return the sums."""
        return {name: sum(numbers.values()) for name, numbers in (*self.by_call.items(), *self.by_scope.items())}

    @staticmethod
    def _of(by_name: ByName, index: int) -> dict[str, int]:
        return {name: numbers.get(index, 0) for name, numbers in by_name.items()}


_NOTHING_FURTHER = FurtherStatistics(MappingProxyType({}), MappingProxyType({}))


def build(
    model: str, graph: Graph, parameters: Parameters, compute: Compute,
    training: Graph | None = None, phases: Mapping[Phase, Compute] | None = None,
    further: FurtherStatistics = _NOTHING_FURTHER,
) -> Report:  # fmt: skip
    """Build the Report.

    Args:
        model: the model's name.
        graph: the recorded forward pass.
        parameters: result of the pass over parameters.
        compute: result of the pass over forward's ops.
        training: the recorded training step, if there is one.
        phases: results of the pass over the training step's ops, by phase.
        further: results of additional passes.
    """
    phases = phases or {}
    unknown_after_forward = [u for phase, part in phases.items() if phase != "forward" for u in part.unknown]
    unknown = [*compute.unknown, *unknown_after_forward]
    layers = _layers(graph, parameters, compute, further)
    return Report(
        model=model,
        inputs=tuple((graph.values[i].shape, graph.values[i].dtype) for i in graph.inputs),
        totals=_totals(graph, parameters, compute, phases, further),
        layers=layers,
        ops=_ops(compute),
        unknown={op: sum(u.count for u in unknown if u.op == op) for op in dict.fromkeys(u.op for u in unknown)},
        unknown_places={u.op: u.first_path for u in reversed(unknown)},  # reversed: an op's first place wins
        tree=tuple([(path, class_name, calls) for path, class_name, _, _, calls in graph.scopes]),
        container_shapes=_container_shapes(graph, layers),
        param_dtypes=dict(parameters.by_dtype),
        phases=tuple([PhaseCost(phase=phase, **part.total._asdict()) for phase, part in phases.items()]),
        graph=graph,
        training=training,
        run_on=graph.real.inputs if graph.real is not None else "",
        reads=graph.real.reads if graph.real is not None else 0,
        examples=graph.examples,
        mac_dtypes=macs_by_dtype(graph),
        notes=tuple(dict.fromkeys((
            *graph.notes, *_unregistered(graph), *_notes_of_step(graph, training),
            *_notes_of_memory(compute, phases, training),
        ))),
        communication=_communication(graph, compute, training, phases),
        devices=on_devices(graph, training),
        links=all_links(graph, training),
        partial=_partial(graph),
        assumed=_assumed(training),
        made_with=installed(),
    )  # fmt: skip


def _communication(
    graph: Graph, compute: Compute, training: Graph | None, phases: Mapping[Phase, Compute]
) -> tuple[Exchange, ...]:
    """Return one rank's communication in inference and in a training step; empty for a model that is not split."""
    # checking for collectives by kind first saves most models the pass
    exchanges: tuple[Exchange, ...] = ()
    if any(kind == KIND for _, kind in compute.by_op):
        exchanges = communication(graph, "inference")
    if training is not None and any(kind == KIND for part in phases.values() for _, kind in part.by_op):
        exchanges += communication(training, "training")
    return exchanges


def _unregistered(graph: Graph) -> tuple[str, ...]:
    """Return a note about weights that forward uses but the model doesn't register, such as modules in a plain list.

    The front end puts the class of an unregistered module in its path, as `<Linear>`.
    """
    unregistered = {i for i, scope in enumerate(graph.scopes) if any(part[:1] == "<" for part in scope.path.split("."))}
    if not unregistered:
        return ()
    scope_of: dict[int, int] = {}
    for node in graph.nodes:
        if graph.calls[node.call].scope in unregistered:
            scope_of.update(
                (v, graph.calls[node.call].scope) for v in node.inputs if graph.values[v].role == "constant"
            )
    # constants that are indices or scalars are no weights
    weights = [v for v in scope_of if "float" in graph.values[v].dtype and graph.values[v].shape]
    if not weights:
        return ()
    count = units.counted(sum(prod(graph.values[v].shape) for v in weights), "weight")
    first, *others = dict.fromkeys(graph.scopes[scope_of[v]].path for v in weights)
    modules = f"{first} and {units.counted(len(others), 'other module')}" if others else first
    note = (
        f"{count} of {modules} are not parameters of the model, because the module is not registered: keep it in an "
        "attribute or in an nn.ModuleList, or an optimizer won't train it"
    )
    return (note,)


def _notes_of_step(graph: Graph, training: Graph | None) -> tuple[str, ...]:
    """Return the training step's notes, followed by one if its figures depend on data that forward's don't.

    For example, layers may be dropped at random in train mode only.
    """
    if training is None:
        return ()
    if training.real is None or (graph.real is not None and graph.real.inputs == training.real.inputs):
        return training.notes
    return (*training.notes, f"{OF_STEP}{training.real.inputs}: which ops it runs depends on that")


def _notes_of_memory(
    compute: Compute, phases: Mapping[Phase, Compute], training: Graph | None
) -> tuple[str, ...]:  # fmt: skip
    """Return notes on ops whose memory is only counted approximately."""
    inexact = inexact_ops(op for part in (compute, *phases.values()) for op in part.by_op)
    larger_with_zeros = zero_sensitive_ops(training) if training is not None else ()
    notes = []
    if inexact:
        reason = f"what {', '.join(inexact)} shares or allocates is not known exactly"
        notes.append(f"the peaks may be too high or too low: {reason}")
    if larger_with_zeros:
        names = ", ".join(larger_with_zeros)
        notes.append(f"the training peak is for values without zeros; with zeros, {names} needs more memory")
    return tuple(notes)


def _assumed(training: Graph | None) -> tuple[str, ...]:
    """Return the names of ops whose rule covers forward only: their backward is assumed to cost twice as much."""
    nodes = training.nodes if training is not None else ()
    names = [node.name.removesuffix(ASSUMED) for node in nodes if node.name.endswith(ASSUMED)]
    return tuple(dict.fromkeys(names))


def _partial(graph: Graph) -> str:
    """Return a sentence that says where forward failed; empty if it finished."""
    if graph.failed is None:
        return ""
    scope = graph.scopes[graph.calls[graph.failed.call].scope]
    place = f"{graph.call_path(graph.failed.call) or 'the model'} ({scope.class_name})"
    return f"forward failed in {place}: all figures cover only what ran before, and are lower bounds"


def _totals(
    graph: Graph,
    parameters: Parameters,
    compute: Compute,
    phases: Mapping[Phase, Compute],
    further: FurtherStatistics,
) -> Totals:
    return Totals(
        params=parameters.params, trainable_params=parameters.trainable_params, buffers=parameters.buffers,
        param_bytes=parameters.param_bytes, buffer_bytes=parameters.buffer_bytes, **compute.total._asdict(),
        lower_bound=bool(compute.unknown) or graph.failed is not None,
        output_shapes=_shapes_of(graph, graph.calls[0].outputs) if graph.calls else (),
        training_macs=sum(part.total.macs for part in phases.values()) if phases else None,
        training_flops=sum(part.total.flops for part in phases.values()) if phases else None,
        training_lower_bound=any(part.unknown for part in phases.values()),
        **further.totals(),
    )  # fmt: skip


def _layers(graph: Graph, parameters: Parameters, compute: Compute, further: FurtherStatistics) -> tuple[Layer, ...]:
    """Return rows for calls that ran ops, calls of leaves and of modules with parameters, and the failed call.

    Rows for modules that were never called follow.
    """
    scopes = graph.scopes
    parents = {call.parent for call in graph.calls}
    # calls whose sizes depend on a real run's data; the call in which forward failed, and all that it cut short
    by_data = {graph.nodes[i].call for i in graph.real.nodes} if graph.real is not None else frozenset()
    failed, cut = (graph.failed.call, {*graph.failed.calls}) if graph.failed is not None else (None, frozenset[int]())
    rows: list[Layer] = []
    for index, (scope, _, nth, _, outputs) in enumerate(graph.calls):
        sums = compute.by_call.get(index)
        owned = parameters.by_scope.get(scope, _OWNS_NOTHING) if nth == 0 else _OWNS_NOTHING
        own_statistics: dict[str, Any] = further.of_call(index, scope, nth == 0) if any(further) else {}
        if sums is None:
            if index in parents and not any((*owned, *own_statistics.values())) and index != failed:
                continue
            sums = _NO_OPS
        _, macs, flops, read, written = sums
        params, trainable, buffers = owned
        path, class_name, _, _, calls = scopes[scope]
        rows.append(
            Layer(
                path=path, class_name=class_name, kind=compute.kinds.get(index, ""), call=nth + 1, calls=calls,
                output_shapes=_shapes_of(graph, outputs),
                params=params, trainable_params=trainable, buffers=buffers,
                macs=macs, flops=flops, bytes_read=read, bytes_written=written,
                status="failed" if index == failed else "data" if index in by_data else "called",
                unknown=index in compute.unknown_calls or index in cut, **own_statistics,
            )
        )  # fmt: skip
    return (*rows, *_uncalled(graph, parameters, further))


def _shapes_of(graph: Graph, outputs: tuple[int, ...]) -> tuple[Shape, ...]:
    return tuple([graph.values[v].shape for v in outputs])


def _container_shapes(graph: Graph, layers: tuple[Layer, ...]) -> dict[str, tuple[Shape, ...]]:
    """Return the output shapes of modules whose last call has no row in `layers`, by path; the model is left out."""
    rows = {(layer.path, layer.call) for layer in layers}
    shapes = {}
    for scope, parent, nth, _, outputs in graph.calls:
        path, _, _, _, calls = graph.scopes[scope]
        if parent is not None and outputs and nth + 1 == calls and (path, calls) not in rows:
            shapes[path] = _shapes_of(graph, outputs)
    return shapes


def _uncalled(graph: Graph, parameters: Parameters, further: FurtherStatistics) -> list[Layer]:
    """Return rows for modules that were never called: leaves, and modules that own parameters.

    A container whose children were called (a Sequential that is iterated over) is not a leaf, owns no parameters, and
    gets no row.
    """
    uncalled = [(i, scope) for i, scope in enumerate(graph.scopes) if not scope.calls]
    if not uncalled:
        return []
    read = {value for node in graph.nodes for value in node.inputs}
    parents = {scope.path.rpartition(".")[0] for scope in graph.scopes if scope.path}
    rows = []
    for index, scope in uncalled:
        owned = parameters.by_scope.get(index, _OWNS_NOTHING)
        own_tensors = scope.parameters + scope.buffers
        own_statistics: dict[str, Any] = further.of_scope(index)
        if not own_tensors and scope.path in parents and not any(own_statistics.values()):
            continue
        not_read: Status = "unused" if graph.failed is None else "unreached"
        status: Status = "used" if any(o.value in read for o in own_tensors) else not_read
        rows.append(
            Layer(
                path=scope.path, class_name=scope.class_name, status=status, **owned._asdict(),
                macs=0, flops=0, bytes_read=0, bytes_written=0, **own_statistics,
            )
        )  # fmt: skip
    return rows


def _ops(compute: Compute) -> tuple[Op, ...]:
    unknown = {u.op for u in compute.unknown}
    rows = [
        Op(
            name=name,
            kind=kind,
            count=sums.ops,
            known=name not in unknown,
            macs=sums.macs,
            flops=sums.flops,
            bytes_read=sums.bytes_read,
            bytes_written=sums.bytes_written,
        )
        for (name, kind), sums in compute.by_op.items()
    ]
    return tuple(sorted(rows, key=lambda op: (-op.macs, -op.flops, -op.count, op.name)))
