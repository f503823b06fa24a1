"""Predicted time of one op on a device; for the model see the package."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple, TypeAlias

from cnncost.devices.model import FORMATS, Device, number_format
from cnncost.errors import DeviceError
from cnncost.graph import ITEM_BYTES, Graph, OpSpec, TensorType
from cnncost.ops import Cost, cost_of, product_dtype
from cnncost.ops.kinds import has
from cnncost.ops.transfer import link_bytes
from cnncost.reprs import line

Bound: TypeAlias = Literal["compute", "memory", "launch", ""]


class OpTime(NamedTuple):
    """The predicted time of one execution of an op, in seconds, and its components.

    `peak` is the FLOP/s and `dtype` the number format that `compute` was computed with; `copies` and `pages` are 0
    unless the device specifies them. `bound` is empty for an op that takes no time. `integers` is the part of `compute`
    for products of integers; `missing` is their number format if the device has no peak for it, and `seconds` then is
    a lower bound.
    """

    flops: int = 0
    nbytes: int = 0
    dtype: str = ""
    peak: float = 0.0
    compute: float = 0.0
    memory: float = 0.0
    copies: float = 0.0
    pages: float = 0.0
    launch: float = 0.0
    seconds: float = 0.0
    bound: Bound = ""
    integers: float = 0.0
    missing: str = ""

    def __repr__(self) -> str:
        mark = ">=" if self.missing else ""
        return line(self, f"{mark}{self.seconds:.3g} s, bound by {self.bound or 'nothing'}: {self.flops:,} FLOPs")

    @property
    def intensity(self) -> float | None:
        """FLOPs per byte, or None if no bytes are moved."""
        return self.flops / self.nbytes if self.nbytes else None


class _Op(NamedTuple):
    """A spec, which of its inputs are weights, and which of its outputs have new storages."""

    spec: OpSpec
    weights: tuple[bool, ...]
    new: tuple[bool, ...]


class DistinctOps(NamedTuple):
    """The ops of a Graph whose times may differ, each node's index among them, and the bytes of all weights."""

    ops: tuple[_Op, ...]
    of_node: tuple[int, ...]
    weights: int


def distinct_ops(graph: Graph) -> DistinctOps:
    """Group the nodes that take the same time on any device: equal specs, weights and new storages."""
    weight_storages, weights = _weights(graph)
    indices: dict[tuple[int, tuple[bool, ...], tuple[bool, ...]], int] = {}
    ops: list[_Op] = []
    of_node = []
    for node in graph.nodes:
        storages = {graph.values[i].storage for i in node.inputs}
        are_weights = tuple([graph.values[i].storage in weight_storages for i in node.inputs])
        new = tuple([graph.values[i].storage not in storages for i in node.outputs])
        index = indices.setdefault((id(node.spec), are_weights, new), len(ops))
        if index == len(ops):
            ops.append(_Op(node.spec, are_weights, new))
        of_node.append(index)
    return DistinctOps(tuple(ops), tuple(of_node), weights)


def op_times(graph: Graph, distinct: DistinctOps, device: Device, dtype: str | None = None) -> list[OpTime | None]:
    """Return the time of each of a Graph's distinct ops on a device; None if it is unknown.

    Arguments and errors are those of `roofline`.
    """
    weights = distinct.weights if dtype is None else _weight_bytes_as(FORMATS[dtype].bits, graph, distinct.weights)
    weight_level = device.level(weights)
    return [_time(op, device, dtype, weight_level) for op in distinct.ops]


def _weights(graph: Graph) -> tuple[set[int], int]:
    """Return the storages of parameters and buffers, and their total bytes, which each run of the model reads again."""
    storages = {value.storage for value in graph.values if value.role in {"parameter", "buffer"}}
    return storages, sum(graph.storages[i].nbytes for i in storages)


def _weight_bytes_as(bits: int, graph: Graph, nbytes: int) -> int:
    """Return the bytes of the weights at `bits` each, assuming that all have the first parameter's dtype."""
    first = next((v.type for v in graph.values if v.role == "parameter" and v.type.floating), None)
    return nbytes if first is None else nbytes * bits // (8 * ITEM_BYTES[first.dtype])


def _time(op: _Op, device: Device, dtype: str | None, weight_level: float | None) -> OpTime | None:
    """Return the time of an op; None if unknown. `weight_level`: bandwidth of the level that holds all weights."""
    recorded = cost_of(op.spec)
    if recorded is None:
        return None
    spec = op.spec if dtype is None else _retyped(op.spec, FORMATS[dtype].bits)
    if spec.kind == "transfer":
        return _transfer_time(spec, device)
    cost = recorded if spec is op.spec else cost_of(spec) or recorded  # its bytes are those in `dtype`
    nbytes = cost.read + cost.written
    used = dtype or _format(op.spec)
    if not nbytes and not recorded.flops:
        return _view_time(spec.kind, device)
    peak = device.rate(spec.kind, used) if recorded.flops and used else 0.0
    integers, missing = _integer_time(op.spec, recorded, device)
    compute = (recorded.flops / peak if peak else 0.0) + integers
    memory = _memory_time(op, spec, cost, device, weight_level)
    copied = _copied(op, spec) if device.copies else []
    # each copy is read once and written once
    copies = sum(2 * n / bandwidth for n, bandwidth in _levels(copied, device, weight_level))
    pages = _pages(op, spec, copied, device)
    launch = device.call(spec.kind)
    one_by_one = launch + max(compute, memory) + copies + pages
    seconds = max(launch, compute, memory) if device.overlaps else one_by_one
    bound = _bound(compute, memory, copies + pages, launch)
    return OpTime(
        recorded.flops, nbytes, used, peak, compute, memory, copies, pages, launch, seconds, bound, integers, missing
    )


def _integer_time(spec: OpSpec, cost: Cost, device: Device) -> tuple[float, str]:
    """Return the seconds of an op's products of integers, and their number format if the device has no peak for it."""
    seconds = 0.0
    for term in cost.terms:
        if term.mac and not term.flops and term.items:
            used = product_dtype(term, spec)
            try:
                seconds += 2 * term.items / device.rate(spec.kind, used)
            except DeviceError:
                return 0.0, used
    return seconds, ""


def _transfer_time(spec: OpSpec, device: Device) -> OpTime | None:
    """Return the time of a copy between two such devices, or one and the host; None if no bandwidth is known."""
    link = device.host_link if "cpu" in (spec["source"], spec["target"]) else device.fabric
    if link is None:
        return None
    nbytes, launch = link_bytes(spec), device.call(spec.kind)
    sending = nbytes / device.links[link]
    seconds = max(launch, sending) if device.overlaps else launch + sending
    bound = _bound(0.0, sending, 0.0, launch)
    return OpTime(nbytes=nbytes, memory=sending, launch=launch, seconds=seconds, bound=bound)


def _view_time(kind: str, device: Device) -> OpTime:
    """Return the time of a view, which runs no kernel: its launch time if the device specifies one, else 0."""
    rate = device.rates.get(kind)
    launch = (rate.launch if rate is not None else None) or 0.0
    return OpTime(launch=launch, seconds=launch, bound="launch" if launch else "")


def _bound(compute: float, memory: float, copies: float, launch: float) -> Bound:
    """Return the largest component of the time; `copies`, which includes pages, counts as memory."""
    moving = copies + (memory if memory > compute else 0.0)
    computing = compute if compute >= memory else 0.0  # only the longer of the two is part of the time
    if launch >= max(computing, moving):
        return "launch"
    return "compute" if computing >= moving else "memory"


def _format(spec: OpSpec) -> str:
    """Return the number format of an op's first floating-point tensor; empty if it has none."""
    first = next((t.dtype for t in (*spec.inputs, *spec.outputs) if t.floating), "")
    return number_format(first)


def _retyped(spec: OpSpec, bits: int) -> OpSpec:
    """Return the same op with its floats stored in `bits` bits each."""

    def cast(types: tuple[TensorType, ...]) -> tuple[TensorType, ...]:
        return tuple([t.of_bits(bits) if t.floating else t for t in types])

    return OpSpec(spec.kind, cast(spec.inputs), cast(spec.outputs), spec.attrs)


def _memory_time(op: _Op, spec: OpSpec, cost: Cost, device: Device, weight_level: float | None) -> float:
    """Return the seconds for an op's bytes, weights and other tensors each from the memory level that holds them."""
    inputs = zip(spec.inputs, op.weights, strict=True)
    weights = min(cost.read, sum(tensor.nbytes for tensor, is_weight in inputs if is_weight))
    others = cost.read + cost.written - weights
    level = device.level(others)
    return (weights / weight_level if weight_level else 0.0) + (others / level if level else 0.0)


def _copied(op: _Op, spec: OpSpec) -> list[tuple[int, bool]]:
    """Return the bytes of each operand that a library copies into its own layout, and whether it is a weight.

    Of a convolution these are input, weights and output; of a product with more than one row, its larger operand.
    """
    if has(spec.kind, "convolution"):
        types = (*spec.inputs[:2], *spec.outputs)
        return [(t.nbytes, is_weight) for t, is_weight in zip(types, (*op.weights[:2], False), strict=False)]
    if has(spec.kind, "product") and len(spec.inputs) > 1 and _rows(spec) > 1:
        largest = max(range(len(spec.inputs)), key=lambda i: spec.inputs[i].nbytes)
        return [(spec.inputs[largest].nbytes, op.weights[largest])]
    return []


def _rows(spec: OpSpec) -> int:
    """Return the number of rows of a product's output."""
    out = spec.outputs[0].shape
    return spec.outputs[0].numel // out[-1] if out and out[-1] else 1


def _levels(copied: Iterable[tuple[int, bool]], device: Device, weight_level: float | None) -> list[tuple[int, float]]:
    """Return the bytes of each copied operand and its memory level's bandwidth, if a source states it."""
    levels = [(n, weight_level if is_weight else device.level(2 * n)) for n, is_weight in copied]  # n and its copy
    return [(n, level) for n, level in levels if level]


def _pages(op: _Op, spec: OpSpec, copied: list[tuple[int, bool]], device: Device) -> float:
    """Return the seconds that the system takes to provide pages for large new tensors: outputs and library copies."""
    if device.fresh is None:
        return 0.0
    sizes = [t.nbytes for t, new in zip(spec.outputs, op.new, strict=True) if new] + [n for n, _ in copied]
    return sum(n for n in sizes if n > device.fresh.size) / device.fresh.bandwidth
