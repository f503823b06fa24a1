"""Describes an op's input and output tensors in words, with the names of parameters and buffers."""

from __future__ import annotations

from cnncost import units
from cnncost.graph import Graph, Node, Value


class Signatures:
    """The signatures of a Graph's nodes."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._owners: dict[int, list[tuple[str, str]]] = {}
        for scope in graph.scopes:
            for each in scope.parameters + scope.buffers:
                self._owners.setdefault(each.value, []).append((scope.path, each.name))
        self._value_by_storage = {graph.values[value].storage: value for value in self._owners}

    def of(self, node: Node, path: str) -> str:
        """Return, for example, `x 1×3×224×224 float32, weight 64×3×3×3 → 1×64×224×224`.

        A dtype is shown only if it differs from the previous tensor's. Parameters and buffers of the module `path` are
        shown by their own names, those of other modules by their full names.
        """
        values = [self.graph.values[i] for i in node.inputs]
        names = {value.id: self._registered_name(value, path) for value in values}
        nameless = [value for value, name in names.items() if not name]
        texts, dtype = [], ""
        for value in values:
            texts.append(f"{names[value.id] or _letter(value.id, nameless)} {_type_text(value, dtype)}")
            dtype = value.dtype
        outputs = []
        for i in node.outputs:
            outputs.append(_type_text(self.graph.values[i], dtype))
            dtype = self.graph.values[i].dtype
        return f"{', '.join(texts) or 'nothing'} → {', '.join(outputs) or 'nothing'}"

    def _registered_name(self, value: Value, path: str) -> str:
        """Return the name of a parameter or buffer, or `view of` and the name for a view of one; else empty."""
        if value.id in self._owners:
            return self._name(value.id, path)
        base = self._value_by_storage.get(value.storage)
        return f"view of {self._name(base, path)}" if base is not None else ""

    def _name(self, value: int, path: str) -> str:
        owners = self._owners[value]
        own_names = [name for owner, name in owners if owner == path]
        if own_names:
            return own_names[-1]
        owner, name = owners[0]
        return f"{owner}.{name}" if owner else name


def _letter(value: int, nameless: list[int]) -> str:
    """Return `x`, or `x1`, `x2`, … if an op reads several unnamed tensors."""
    return "x" if len(nameless) == 1 else f"x{nameless.index(value) + 1}"


def _type_text(value: Value, last_dtype: str) -> str:
    """Return a value's shape, and its dtype if it differs from `last_dtype`."""
    return units.shape(value.shape) + (f" {value.dtype}" if value.dtype != last_dtype else "")
