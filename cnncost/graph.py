"""The Graph: one recorded model run as small, frozen, framework-independent data.

A Graph holds the values (tensors without data), the nodes (op executions in order), the module tree with its calls, and
the live range of every storage. All numbers that cnncost reports are pure functions of a Graph. `verify` checks the
invariants of a Graph; each front end calls it last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from typing import Any, Literal, NamedTuple, TypeAlias

from cnncost.errors import GraphError
from cnncost.masks import Mask, check_masks
from cnncost.placed import Placement, check_placement
from cnncost.reprs import line
from cnncost.runs import Failure, FusedNodes, RealRun, check_fused
from cnncost.tensor_types import ITEM_BYTES, Shape, SparseType, TensorType

__all__ = [
    "ITEM_BYTES", "SOURCE_ROLES", "Attr", "Call", "Failure", "FusedNodes", "Graph", "Node", "OpSpec", "Owned", "Phase",
    "Placement", "RealRun", "Role", "Scope", "Shape", "SparseType", "Storage", "TensorType", "Use", "Value", "verify",
]  # fmt: skip

Role: TypeAlias = Literal["input", "parameter", "buffer", "constant", "activation"]
Use: TypeAlias = Literal["input", "parameter", "buffer", "constant", "activation", "gradient", "state", "elsewhere"]
Phase: TypeAlias = Literal["forward", "backward", "optimizer"]
Attr: TypeAlias = "bool | int | float | str | tuple[Attr, ...] | None"

SOURCE_ROLES: frozenset[str] = frozenset({"input", "parameter", "buffer", "constant"})
"""Roles of values that exist before the first node."""


class Value(NamedTuple):
    """One version of a tensor. An in-place op creates a new Value on the same storage."""

    id: int
    type: TensorType
    storage: int
    role: Role

    @property
    def shape(self) -> Shape:
        """The type's shape."""
        return self.type.shape

    @property
    def dtype(self) -> str:
        """The type's dtype, such as `float32`."""
        return self.type.dtype


@dataclass(frozen=True, slots=True, eq=False)
class OpSpec:
    """What an op is, independent of where it runs: kind, attributes, input and output types.

    Front ends intern specs, so equal specs are usually one object, and results that were computed for a spec can be
    reused. The hash is computed once, at construction.
    """

    kind: str
    inputs: tuple[TensorType, ...]
    outputs: tuple[TensorType, ...]
    attrs: tuple[tuple[str, Attr], ...] = ()
    _hash: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # object.__setattr__, because the dataclass is frozen
        object.__setattr__(self, "_hash", hash((self.kind, self.inputs, self.outputs, self.attrs)))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, OpSpec) or self._hash != other._hash:
            return False
        return self._key() == other._key()

    def __repr__(self) -> str:
        attrs = "".join(f", {name}={value!r}" for name, value in self.attrs)
        return line(self, f"{self.kind}: {_types(self.inputs)} -> {_types(self.outputs)}{attrs}")

    def _key(self) -> tuple[object, ...]:
        # 1, 1.0 and True are equal in Python, but not the same attribute.
        return self.kind, self.inputs, self.outputs, repr(self.attrs)

    def get(self, name: str, default: Attr = None) -> Any:
        """Return the attribute `name`, or `default`. The type is Any because each rule knows its kind's attributes."""
        for key, value in self.attrs:
            if key == name:
                return value
        return default

    def __getitem__(self, name: str) -> Any:
        for key, value in self.attrs:
            if key == name:
                return value
        raise KeyError(f"op kind {self.kind!r} has no attribute {name!r}; it has {[k for k, _ in self.attrs]}")


def _types(types: Sequence[TensorType]) -> str:
    return ", ".join(f"{'x'.join(map(str, each.shape)) or 'scalar'} {each.dtype}" for each in types) or "nothing"


class Node(NamedTuple):
    """One execution of an op.

    `inputs` and `outputs` are value ids, in the order of the spec's types. `call` is the index of the module call that
    ran the op, `name` the front end's name for the op (`aten.conv2d`).
    """

    spec: OpSpec
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    call: int
    name: str
    phase: Phase = "forward"

    def __repr__(self) -> str:
        run = f"{self.name} in call {self.call}, {self.phase}"
        return line(self, f"{run}: {_types(self.spec.inputs)} -> {_types(self.spec.outputs)}")


class Owned(NamedTuple):
    """A parameter or buffer, as a value id, with its name in its module."""

    name: str
    value: int
    trainable: bool = False


class Scope(NamedTuple):
    """A module of the tree; `calls` is how often it was called. Tied parameters have one value id in all scopes."""

    path: str
    class_name: str
    parameters: tuple[Owned, ...] = ()
    buffers: tuple[Owned, ...] = ()
    calls: int = 0

    def __repr__(self) -> str:
        counts = f"{len(self.parameters)} parameters, {len(self.buffers)} buffers, {self.calls} calls"
        return line(self, f"{self.path or 'the model'} ({self.class_name}): {counts}")


class Call(NamedTuple):
    """One call of a module: `index` counts the calls of its scope from 0."""

    scope: int
    parent: int | None
    index: int  # type: ignore[assignment]  # shadows tuple.index, which is not used here
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


class Storage(NamedTuple):
    """A block of memory and its live range in node indices.

    Attributes:
        nbytes: its size.
        born: the node that allocated it; None if it existed before the first node.
        died: the node after which no reference was left; None if it outlived the run.
        use: its purpose: the role of its first value, `gradient`, or `state` (of an optimizer). `elsewhere` is memory
            of the CPU while the model is on one accelerator, and is not counted.
    """

    id: int
    nbytes: int
    born: int | None
    died: int | None
    use: Use = "activation"


@dataclass(frozen=True)
class Graph:
    """One recorded run of a model.

    Attributes:
        values: the values, ordered by id: `values[i].id == i`.
        nodes: the nodes, in execution order.
        scopes: the module tree, in the order of `named_modules`; `scopes[0]` is the model, with path `""`.
        calls: module calls in the order in which they started; `calls[0]` is the model's.
        storages: the storages, ordered by id.
        inputs: value ids of the model's inputs.
        outputs: value ids of the model's outputs.
        real: set if figures depend on more than shapes, such as real data or random draws; usually None.
        examples: number of examples if it is not the size of an axis of the first input: the length of a list of
            images, or 1 for a single image without a batch axis; else None.
        notes: remarks on how the Graph was recorded, which are shown with the results.
        masks: attention masks with known values, by node index.
        failed: where forward failed; None if it finished.
        undeclared: value ids of parameters that may be constants: the model file does not state what was trained,
            and no op takes them as its weight. They may be biases or scales, but also tables or masks.
        placement: the devices of the storages if the model is on several devices; else None.
        fused: groups of nodes that torch runs as one kernel, with what the kernel's memory depends on.
    """

    values: tuple[Value, ...]
    nodes: tuple[Node, ...]
    scopes: tuple[Scope, ...]
    calls: tuple[Call, ...]
    storages: tuple[Storage, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    real: RealRun | None = None
    examples: int | None = None
    notes: tuple[str, ...] = ()
    masks: tuple[tuple[int, Mask], ...] = ()
    failed: Failure | None = None
    undeclared: tuple[int, ...] = ()
    placement: Placement | None = None
    fused: tuple[FusedNodes, ...] = ()

    def __repr__(self) -> str:
        """Return one line with counts, because a dataclass's `repr` would print every node."""
        model = f" of {self.scopes[0].class_name}" if self.scopes else ""
        return f"<Graph{model}: {len(self.nodes)} nodes, {len(self.calls)} module calls, {len(self.values)} values>"

    @cached_property
    def specs(self) -> tuple[OpSpec, ...]:
        """The distinct specs, in order of first use."""
        return tuple(dict.fromkeys(node.spec for node in self.nodes))

    def call_path(self, call: int) -> str:
        """Return the path of a call's module, with the suffix `#n` from the module's second call on."""
        scope, index = self.calls[call].scope, self.calls[call].index
        return self.scopes[scope].path + (f"#{index + 1}" if index else "")


def verify(graph: Graph) -> Graph:
    """Check the invariants of a Graph and return it.

    Raises:
        GraphError: an id is used before it is defined, or defined twice; a shape or dtype differs from the spec's; a
            scope, call, value or storage does not exist; the call tree is out of order; or masks, placement or fused
            nodes are invalid.
    """
    _verify_tables(graph)
    _verify_nodes(graph)
    _verify_storages(graph)
    check_masks(graph.masks, len(graph.nodes))
    check_placement(graph.placement, len(graph.storages))
    check_fused(graph.fused, len(graph.nodes))
    return graph


def _verify_tables(graph: Graph) -> None:
    values = len(graph.values)
    ids, _, storages, _ = zip(*graph.values, strict=True) if values else ((),) * 4  # zip(*()) has no columns
    if ids != tuple(range(values)):
        wrong = next(i for i, index in enumerate(ids) if index != i)
        raise GraphError(f"value {wrong}: its id is {graph.values[wrong].id}; values are stored by id")
    if not _within(storages, len(graph.storages)):
        lost = next(value for value in graph.values if not 0 <= value.storage < len(graph.storages))
        raise GraphError(f"value {lost.id}: storage {lost.storage} does not exist (there are {len(graph.storages)})")
    owned = list(chain.from_iterable([parameters + buffers for _, _, parameters, buffers, _ in graph.scopes]))
    if not _within([value for _, value, _ in owned], values):
        path, name, value = next(
            (s.path, o.name, o.value)
            for s in graph.scopes
            for o in s.parameters + s.buffers
            if not 0 <= o.value < values
        )
        raise GraphError(f"scope {path!r}: {name} is value {value}, which does not exist")
    if (absent := next((value for value in graph.inputs if not 0 <= value < values), None)) is not None:
        raise GraphError(f"input value {absent} does not exist (there are {values})")
    _verify_calls(graph)


def _within(ids: Sequence[int], count: int) -> bool:
    """Return whether all ids are valid indices into a table with `count` rows."""
    return not ids or (min(ids) >= 0 and max(ids) < count)


def _verify_calls(graph: Graph) -> None:
    scopes, values = len(graph.scopes), len(graph.values)
    if not _within(list(chain.from_iterable([inputs + outputs for _, _, _, inputs, outputs in graph.calls])), values):
        for i, call in enumerate(graph.calls):
            for value in call.inputs + call.outputs:
                if not 0 <= value < values:
                    raise GraphError(f"call {i}: value {value} does not exist (there are {values})")
    for i, (scope, parent, _, _, _) in enumerate(graph.calls):
        if not 0 <= scope < scopes:
            raise GraphError(f"call {i}: scope {scope} does not exist (there are {scopes})")
        if (parent is None) != (i == 0) or (parent is not None and not 0 <= parent < i):
            raise GraphError(f"call {i}: parent {parent}; only call 0 has none, and parents begin earlier")
    if graph.failed is not None and not _within((graph.failed.call, *graph.failed.calls), len(graph.calls)):
        raise GraphError(f"{graph.failed}: names a call that does not exist (there are {len(graph.calls)})")


def _verify_storages(graph: Graph) -> None:
    last = len(graph.nodes) - 1
    for i, (index, _, born, died, _) in enumerate(graph.storages):
        if index != i:
            raise GraphError(f"storage {i}: its id is {index}; storages are stored by id")
        if not (born is None or 0 <= born <= last) or not (died is None or 0 <= died <= last):
            raise GraphError(f"storage {i}: born at node {born}, died after {died}; the last node is {last}")
        if born is not None and died is not None and died < born:
            raise GraphError(f"storage {i}: died after node {died}, before its birth at {born}")


def _verify_nodes(graph: Graph) -> None:
    """Check all nodes in bulk; search for the first invalid one only if the bulk check fails."""
    types = [kind for _, kind, _, _ in graph.values]
    specs, reads, writes, calls, _, _ = zip(*graph.nodes, strict=True) if graph.nodes else ((),) * 6
    read, written = list(chain.from_iterable(reads)), list(chain.from_iterable(writes))
    valid = (
        _within(calls, len(graph.calls))
        and _within(read, len(types))
        and _within(written, len(types))
        and [types[i] for i in read] == list(chain.from_iterable([spec.inputs for spec in specs]))
        and [types[i] for i in written] == list(chain.from_iterable([spec.outputs for spec in specs]))
    )
    defined = {index for index, _, _, role in graph.values if role in SOURCE_ROLES}
    for i, (inputs, outputs) in enumerate(zip(reads, writes, strict=True)):
        if not valid or not defined.issuperset(inputs):
            _verify_node(graph, i, defined)
        # an op may return one of its inputs; the first condition is fast and almost always false
        if not defined.isdisjoint(outputs) and not (defined & set(outputs)) <= set(inputs):
            raise GraphError(f"node {i} ({graph.nodes[i].name}): defines a value of {outputs} a second time")
        defined.update(outputs)
    if not defined.issuperset(graph.outputs):
        raise GraphError(f"output value {next(v for v in graph.outputs if v not in defined)} is never defined")


def _verify_node(graph: Graph, index: int, defined: set[int]) -> None:
    spec, inputs, outputs, call, name, _ = graph.nodes[index]
    where = f"node {index} ({name})"
    if not 0 <= call < len(graph.calls):
        raise GraphError(f"{where}: call {call} does not exist (there are {len(graph.calls)})")
    for value in inputs:
        if value not in defined:
            raise GraphError(f"{where}: reads value {value} before it is defined")
    for value in outputs:
        if not 0 <= value < len(graph.values):
            raise GraphError(f"{where}: value {value} does not exist (there are {len(graph.values)})")
    for ids, expected in ((inputs, spec.inputs), (outputs, spec.outputs)):
        if len(ids) != len(expected):
            raise GraphError(f"{where}: has {len(inputs)} inputs and {len(outputs)} outputs, "
                             f"its spec {len(spec.inputs)} and {len(spec.outputs)}")  # fmt: skip
        for found, kind in zip((graph.values[v] for v in ids), expected, strict=True):
            if found.type != kind:
                raise GraphError(f"{where}: value {found.id} is {found.dtype}{list(found.shape)}, "
                                 f"its spec says {kind.dtype}{list(kind.shape)}")  # fmt: skip
