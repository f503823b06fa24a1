"""Ops of a jit trace as plain data, and the nodes that cnncost records for them.

Some composite ops (`einsum`, `tensordot`, a convolution with padding "same") are whole in a trace, whereas cnncost
records their parts. To find the parts of such an op, it is run again by itself, on meta tensors.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import nn

from cnncost.errors import CnncostError
from cnncost.frontends.torch import record
from cnncost.graph import Node
from cnncost.verify.copies import META

_CALL = "prim::PythonOp"
"""Kind of a `torch.autograd.Function`'s node; forward's ops are in its subgraph."""


class TracedTensor(NamedTuple):
    """Shape and dtype of a tensor among an op's arguments."""

    shape: tuple[int, ...]
    dtype: torch.dtype


class TracedOp(NamedTuple):
    """An op of a trace.

    Attributes:
        kind: the op's name in the trace, such as `aten::einsum`.
        overload: the overload's name; empty for the default overload.
        args, kwargs: plain values, `TracedTensor`s, and tuples of these. If any is unknown, `args` is None.
        body: for a Python function, the ops in it.
    """

    kind: str
    overload: str
    args: tuple[Any, ...] | None
    kwargs: tuple[tuple[str, Any], ...]
    body: tuple[TracedOp, ...] = ()

    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Return the shapes of all tensors among the positional arguments."""
        return tuple(tensor.shape for tensor in _traced(self.args or ()))


class _Unknown(Exception):  # noqa: N818  # ends a conversion; not an error
    """An argument's value is computed in the trace."""


def traced(node: Any) -> TracedOp:
    """Convert a trace's node to plain data, because the node doesn't outlive the trace."""
    kind = str(node.kind())
    if kind == _CALL:
        inner = node.g("Subgraph").nodes() if node.hasAttribute("Subgraph") else ()
        body = tuple(traced(part) for part in inner if not part.kind().startswith("prim::") or part.kind() == _CALL)
        return TracedOp(f"{kind}.{node.pyname()}", "", (), (), body)
    try:
        schema = torch.parse_schema(node.schema())
        values = [_value(value) for value in node.inputs()]
    except (RuntimeError, _Unknown):  # no schema, a schema with a custom class, or an unknown argument
        return TracedOp(kind, "", None, ())
    named = list(zip(schema.arguments, values, strict=False))
    args = tuple(value for argument, value in named if not argument.kwarg_only)
    kwargs = tuple((argument.name, value) for argument, value in named if argument.kwarg_only)
    return TracedOp(kind, schema.overload_name, args, kwargs)


def _value(value: Any) -> Any:
    """Return an input of a trace's node as plain data. Raises _Unknown if its value is computed in the trace."""
    maker = value.node()
    if maker.kind() == "prim::Constant":
        constant = value.toIValue()
        if isinstance(constant, torch.Tensor):
            return TracedTensor(tuple(constant.shape), constant.dtype)
        return _frozen(constant)
    if maker.kind() in {"prim::ListConstruct", "prim::TupleConstruct"}:
        return tuple(_value(item) for item in maker.inputs())
    if value.isCompleteTensor():
        return TracedTensor(tuple(value.type().sizes()), value.type().dtype())
    raise _Unknown


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


class Parts:
    """Finds the nodes that cnncost records for ops of a trace; equal ops are recorded once."""

    def __init__(self) -> None:
        self._known: dict[TracedOp, tuple[Node, ...]] = {}

    def nodes_of(self, op: TracedOp) -> tuple[Node, ...]:
        """Return the op's nodes; empty if the op can't be run by itself."""
        if op.body:
            return tuple(node for part in op.body for node in self.nodes_of(part))
        try:
            if op not in self._known:
                self._known[op] = _recorded(op)
            return self._known[op]
        except TypeError:  # unhashable argument
            return _recorded(op)


def _recorded(op: TracedOp) -> tuple[Node, ...]:
    space, _, name = op.kind.partition("::")
    packet = getattr(getattr(torch.ops, space), name, None) if space != "prim" else None
    if op.args is None or packet is None:
        return ()
    call = _SingleOp(getattr(packet, op.overload or "default"), op)
    tensors = tuple(torch.empty(t.shape, dtype=t.dtype, device=META) for t in _traced((op.args, op.kwargs)))
    try:
        return record(call, tensors).nodes
    except CnncostError:
        return ()


class _SingleOp(nn.Module):
    """A model that consists of a single op."""

    def __init__(self, func: Any, op: TracedOp) -> None:
        super().__init__()
        self._func = func
        self._op = op

    def forward(self, *tensors: torch.Tensor) -> Any:
        """Run the op with these tensors in its arguments."""
        rest = iter(tensors)
        args = [_filled(arg, rest) for arg in self._op.args or ()]
        kwargs = {name: _filled(arg, rest) for name, arg in self._op.kwargs}
        return self._func(*args, **kwargs)


def _traced(value: Any) -> Iterator[TracedTensor]:
    """Yield the tensors in nested tuples, in order."""
    if isinstance(value, TracedTensor):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from _traced(item)


def _filled(value: Any, rest: Iterator[torch.Tensor]) -> Any:
    """Return an argument with its TracedTensors replaced by the next tensors of `rest`; tuples become lists."""
    if isinstance(value, TracedTensor):
        return next(rest)
    return [_filled(item, rest) for item in value] if isinstance(value, tuple) else value
