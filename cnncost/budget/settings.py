"""Settings of a module's main op as text: `kernel 3`, `stride 2`, `in 64`, `out 128`."""

from __future__ import annotations

from typing import Any

from cnncost.graph import Graph, OpSpec
from cnncost.ops import cost_of
from cnncost.ops.kinds import has
from cnncost.ops.registry import contradiction

_ATTRIBUTES = (
    "kernel", "stride", "padding", "dilation", "groups", "heads", "width", "ffn", "layers", "directions", "hidden",
)  # fmt: skip
DEFAULTS = {"stride": "1", "padding": "0", "dilation": "1", "groups": "1"}
"""Default settings of ops with a kernel, which are left out."""
_SKIPPED_KINDS = frozenset({"layout", "pointwise", "gather", "reduce"})
"""Kinds that are never a module's main op: for a module that runs nothing else, the class name says enough."""


def settings(graph: Graph | None) -> dict[str, dict[str, str]]:
    """Return the settings of each module's main op, by the module's path; empty without a graph.

    Among the ops that the module's first call ran itself, outside its children, the main op is the one with the most
    MACs, then the most FLOPs. Modules without such an op are left out.
    """
    if graph is None:
        return {}
    heaviest: dict[int, tuple[tuple[int, int], OpSpec]] = {}
    for node in graph.nodes:
        if node.spec.kind in _SKIPPED_KINDS or graph.calls[node.call].index:
            continue
        cost = cost_of(node.spec)
        if cost is None and contradiction(node.spec) is not None:  # its attributes may be missing
            continue
        weight = (cost.macs, cost.flops) if cost else (0, 0)
        scope = graph.calls[node.call].scope
        if scope not in heaviest or weight > heaviest[scope][0]:
            heaviest[scope] = (weight, node.spec)
    return {graph.scopes[scope].path: _settings_of(spec) for scope, (_, spec) in heaviest.items()}


def _settings_of(spec: OpSpec) -> dict[str, str]:
    """Return an op's attributes in `_ATTRIBUTES`, except defaults; for ops with a weight, also `in` and `out`."""
    texts = {}
    for name, value in spec.attrs:
        if name in _ATTRIBUTES and (text := _text(value)) != DEFAULTS.get(name):
            texts[name] = text
    # from the end: there may be no batch axis
    axis = -1 - len(spec["kernel"]) if has(spec.kind, "convolution") else -1
    if has(spec.kind, "weighted") and spec.inputs[0].shape and len(spec.inputs[1].shape) > 1:  # not a vector of weights
        texts["in"], texts["out"] = str(spec.inputs[0].shape[axis]), str(spec.outputs[0].shape[axis])
    return texts


def _text(value: Any) -> str:
    """Return `3` for `(3, 3)` and `3×5` for `(3, 5)`."""
    if isinstance(value, tuple):
        return str(value[0]) if len(set(value)) == 1 else "×".join(map(str, value))
    return str(value)
