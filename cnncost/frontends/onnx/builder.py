"""Builds a Graph (values, nodes, scopes, live ranges) while the interpreter lowers an ONNX file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from cnncost.graph import Attr, Call, Graph, Node, OpSpec, Owned, Role, Scope, Storage, Use, Value, verify
from cnncost.tensor_types import TensorType

Attrs = dict[str, Attr]
Path = tuple[tuple[str, str], ...]
"""(name, class name) of nested modules, outermost first; a class name is empty if unknown."""


class Weight(NamedTuple):
    """A parameter or buffer: its value id, its name in the file, and the index of the call that uses it first."""

    value: int
    name: str
    call: int
    buffer: bool


class Builder:
    """A Graph under construction.

    The storage of an activation dies after its last use; inputs, weights and outputs live until the end.
    """

    def __init__(self) -> None:
        self.values: list[Value] = []
        self.nodes: list[Node] = []
        self.notes: dict[str, None] = {}
        self.weights: list[Weight] = []
        self.undeclared: list[int] = []
        """Value ids of parameters that no op takes as a weight: the file does not say whether they are trained."""
        self.carried: dict[int, tuple[Weight, ...]] = {}
        """The stored eight-bit tensors from which a value was computed, by value id, if it was computed from stored
        tensors only. They become parameters as soon as an op reads the value as a weight."""
        self._storages: list[tuple[int, int | None, Use]] = []  # (bytes, index of the node that creates it, use)
        self._last: dict[int, int] = {}
        """Index of the last node so far that uses a storage, by storage id."""
        self._specs: dict[tuple[object, ...], OpSpec] = {}
        self._scopes: dict[tuple[str, ...], int] = {(): 0}
        self._classes: list[str] = ["Graph"]
        self._paths: list[tuple[str, ...]] = [()]
        self._parents: list[int | None] = [None]
        self._calls: dict[Path, int] = {}

    # ---- values and nodes

    def source(self, kind: TensorType, role: Role) -> int:
        """Add a value that exists before the first node, with a separate storage, and return its id."""
        self._storages.append((kind.nbytes, None, role))
        self.values.append(Value(len(self.values), kind, len(self._storages) - 1, role))
        return len(self.values) - 1

    def node(
        self, name: str, kind: str, attrs: Attrs, inputs: Sequence[int], outputs: Sequence[TensorType], call: int,
        alias: bool = False,
    ) -> tuple[int, ...]:  # fmt: skip
        """Append a node and return the ids of its outputs. With `alias`, they share the storage of the first input."""
        types = tuple(self.values[i].type for i in inputs)
        key = (kind, types, tuple(outputs), repr(sorted(attrs.items())))  # repr distinguishes 1, 1.0 and True
        spec = self._specs.get(key)
        if spec is None:
            spec = self._specs[key] = OpSpec(kind, types, tuple(outputs), tuple(sorted(attrs.items())))
        return self.add(name, spec, inputs, call, alias)

    def add(self, name: str, spec: OpSpec, inputs: Sequence[int], call: int, alias: bool = False) -> tuple[int, ...]:
        """Like `node`, but with the spec of an earlier node, which need not be interned again."""
        index, values = len(self.nodes), []
        for output in spec.outputs:
            if alias:
                storage = self.values[inputs[0]].storage
            else:
                storage = len(self._storages)
                self._storages.append((output.nbytes, index, "activation"))
            values.append(len(self.values))
            self.values.append(Value(len(self.values), output, storage, "activation"))
        if self.carried and (origins := self._carried_by(inputs)):
            self.carried.update(dict.fromkeys(values, origins))
        for value in (*inputs, *values):
            self._last[self.values[value].storage] = index
        self.nodes.append(Node(spec, tuple(inputs), tuple(values), call, name))
        return tuple(values)

    def _carried_by(self, inputs: Sequence[int]) -> tuple[Weight, ...]:
        """Return what the inputs carry; nothing if one of them is an input or activation that carries nothing."""
        if any(i not in self.carried and self.values[i].role in {"activation", "input"} for i in inputs):
            return ()
        return tuple(dict.fromkeys(weight for i in inputs for weight in self.carried.get(i, ())))

    def promote(self, value: int) -> None:
        """Turn the stored tensors that a value carries into parameters."""
        for weight in self.carried[value]:
            if self.values[weight.value].role != "constant":
                continue
            self.values[weight.value] = self.values[weight.value]._replace(role="parameter")
            storage = self.values[weight.value].storage
            self._storages[storage] = (*self._storages[storage][:2], "parameter")
            self.weights.append(weight)

    def promote_matrices(self, values: Sequence[int]) -> None:
        """Turn the eight-bit tensors that an op without a rule reads into parameters, except vectors of zero points.

        A vector becomes a parameter only if no other stored input is larger: some ops take packed weights as a vector.
        """
        types = [self.values[i].type for i in values if self.values[i].role in {"constant", "parameter"}]
        largest = max((kind.numel for kind in types), default=0)
        for value in values:
            kind = self.values[value].type
            if value in self.carried and (len(kind.shape) > 1 or kind.numel == largest):
                self.promote(value)

    def note(self, text: str) -> None:
        """Add a note to the Graph; each text is added only once."""
        self.notes[text] = None

    # ---- the module tree

    def call(self, path: Path) -> int:
        """Return the call index of a module, registering the module if it is new.

        Each module in a file is called once, so the index of its call is also the index of its scope.
        """
        if path in self._calls:
            return self._calls[path]
        scope = 0
        parts: tuple[str, ...] = ()
        for name, class_name in path:
            parts = (*parts, name)
            existing = self._scopes.get(parts)
            if existing is None:
                existing = self._scopes[parts] = len(self._classes)
                self._classes.append(class_name)
                self._paths.append(parts)
                self._parents.append(scope)
            elif class_name and not self._classes[existing]:
                self._classes[existing] = class_name
            scope = existing
        self._calls[path] = scope
        return scope

    def graph(self, inputs: Sequence[int], outputs: Sequence[int]) -> Graph:
        """Return the finished Graph. Raises GraphError if it is inconsistent."""
        parameters, buffers = self._owned()
        ins, outs = self._boundaries(outputs)
        op_types: dict[int, set[str]] = {}
        for node in self.nodes:
            op_types.setdefault(node.call, set()).add(node.name.rpartition(".")[2])
        scopes, calls = [], []
        for i, parts in enumerate(self._paths):
            # a module of unknown class that runs only one type of op is named after the op
            default = next(iter(op_types[i])) if len(op_types.get(i, ())) == 1 else "Module"
            scopes.append(
                Scope(".".join(parts), self._classes[i] or default, tuple(parameters.get(i, ())),
                      tuple(buffers.get(i, ())), 1)
            )  # fmt: skip
            calls.append(Call(i, self._parents[i], 0, tuple(ins.get(i, ())), tuple(outs.get(i, ()))))
        calls[0] = Call(0, None, 0, tuple(inputs), tuple(outputs))
        returned = {self.values[i].storage for i in outputs}
        storages = tuple(
            Storage(i, nbytes, born, None if born is None or i in returned else self._last.get(i, born), use)
            for i, (nbytes, born, use) in enumerate(self._storages)
        )
        return verify(
            Graph(tuple(self.values), tuple(self.nodes), tuple(scopes), tuple(calls), storages, tuple(inputs),
                  tuple(outputs), notes=tuple(self.notes), undeclared=tuple(self.undeclared))
        )  # fmt: skip

    def _owned(self) -> tuple[dict[int, list[Owned]], dict[int, list[Owned]]]:
        """Return the parameters and buffers of each scope.

        A weight named `layer1.conv.weight` belongs to the module `layer1.conv` if that exists, else to the module that
        uses it first.
        """
        parameters: dict[int, list[Owned]] = {}
        buffers: dict[int, list[Owned]] = {}
        for value, name, call, buffer in self.weights:
            *module, short = name.split(".")
            scope = self._scopes.get(tuple(module)) if module else None
            where = call if scope is None else scope
            name_there = name if scope is None or not module else short
            (buffers if buffer else parameters).setdefault(where, []).append(Owned(name_there, value, not buffer))
        return parameters, buffers

    def _boundaries(self, outputs: Sequence[int]) -> tuple[dict[int, list[int]], dict[int, list[int]]]:
        """Return, by scope, its inputs (values computed outside) and its outputs (values read outside or returned)."""
        chains: dict[int, tuple[int, ...]] = {}

        def chain(call: int) -> tuple[int, ...]:
            if call not in chains:
                parent = self._parents[call]
                chains[call] = (*(chain(parent) if parent is not None else ()), call)
            return chains[call]

        made_in: dict[int, tuple[int, ...]] = {}
        ins: dict[int, dict[int, None]] = {}
        outs: dict[int, dict[int, None]] = {}
        weights = {weight.value for weight in self.weights}
        for node in self.nodes:
            here = chain(node.call)
            for value in node.inputs:
                there = made_in.get(value, (0,))
                common = sum(1 for a, b in zip(here, there, strict=False) if a == b)
                if value not in weights:
                    for scope in here[common:]:
                        ins.setdefault(scope, {})[value] = None
                for scope in there[common:]:
                    outs.setdefault(scope, {})[value] = None
            made_in.update(dict.fromkeys(node.outputs, here))
        for value in outputs:
            for scope in made_in.get(value, (0,))[1:]:  # except the whole model, which has `outputs`
                outs.setdefault(scope, {})[value] = None
        # Sort a module's outputs so that the value computed last, its real output, comes first: exporters share common
        # subexpressions between modules, so other values may also leave it.
        made_at = {value: i for i, node in enumerate(self.nodes) for value in node.outputs}
        last_first = {k: sorted(v, key=lambda value: -made_at.get(value, -1)) for k, v in outs.items()}
        return {k: list(v) for k, v in ins.items()}, last_first
