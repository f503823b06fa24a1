"""Checks Graphs against the declarations of op kinds (`kinds.py`), for tests and for authors of front ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnncost.errors import GraphError, RuleError
from cnncost.graph import Graph, OpSpec, Shape, verify
from cnncost.near import suggestion
from cnncost.ops.kinds import attribute_faults, declaration, declared, role_faults, shape_text
from cnncost.ops.registry import contradiction

if TYPE_CHECKING:
    from cnncost.ops.reach.registry import Output

MOST = 10
"""Maximum number of faults listed in an error message."""


def verify_graph(graph: Graph) -> Graph:
    """Check that a Graph is consistent and that its ops fit the declarations of their kinds; return it.

    Undeclared kinds with `::` in their names (custom or unknown ops) are not checked.

    Raises:
        GraphError: `cnncost.graph.verify` fails; a kind is not declared; an attribute is missing, unknown or of the
            wrong type; the number or ranks of tensors do not fit; shapes contradict attributes.
    """
    verify(graph)
    messages: list[str] = []
    checked: set[OpSpec] = set()
    for index, node in enumerate(graph.nodes):
        if node.spec not in checked:
            checked.add(node.spec)
            place = graph.call_path(node.call) or "the model"
            messages += [f"node {index} ({node.name}, in {place}): {fault}" for fault in faults(node.spec)]
    if messages:
        more = f"\nand {len(messages) - MOST} more" if len(messages) > MOST else ""
        raise GraphError("\n".join(messages[:MOST]) + more)
    return graph


def faults(spec: OpSpec) -> tuple[str, ...]:
    """Return messages that say where a spec contradicts its kind's declaration, and what was expected."""
    kind = declaration(spec.kind)
    if kind is None:
        return () if "::" in spec.kind else (_undeclared_message(spec.kind),)
    messages = (*attribute_faults(kind, spec), *role_faults(kind, spec))
    if messages:
        return messages
    if (message := contradiction(spec)) is not None:
        return (message,)
    wrong = (kind.reach_check(spec) if kind.reach_check is not None else None) or _reach_fault(spec)
    return () if wrong is None else (f"kind {kind.name!r}: {wrong}",)


def _reach_fault(spec: OpSpec) -> str | None:
    """Return a message if the reach rule leads to other shapes than the outputs', a sign of wrong attributes."""
    from cnncost.ops.reach.registry import reach_of  # loaded late: most analyses use no reach rules

    try:
        reach = reach_of(spec)
        for output, tensor in zip(reach or (), spec.outputs, strict=False):
            if output is not None and (wrong := _output_fault(spec, output, tensor.shape)) is not None:
                return wrong
    except (RuleError, ValueError) as error:
        return f"expected shapes and attributes that fit each other, got {_describe(spec)}: {error}"
    return None


def _output_fault(spec: OpSpec, output: Output, expected: Shape) -> str | None:
    """Return a message if an output's routes can't be followed, or lead to another shape than the spec's."""
    from cnncost.ops.reach.registry import applies, shape_after

    shapes = []
    for route in output.routes:
        shape = spec.inputs[route.input].shape
        for step in route.steps:
            if not applies(step, shape):
                return f"{step} of input {route.input} does not apply to the shape {shape}; got {_describe(spec)}"
            shape = shape_after(shape, (step,))
        shapes.append(shape)
    if output.joined is not None and shapes:
        joined = sum(shape[output.joined] for shape in shapes)
        shapes = [(*shape[: output.joined], joined, *shape[output.joined + 1 :]) for shape in shapes]
    wrong = next((shape for shape in shapes if shape != expected), None)
    return None if wrong is None else f"its attributes lead to the shape {wrong}, but its output has {expected}"


def _describe(spec: OpSpec) -> str:
    """Return a spec's input shapes and attributes as text for messages."""
    return ", ".join([*map(shape_text, spec.inputs), *(f"{name}={value}" for name, value in spec.attrs)])


def _undeclared_message(name: str) -> str:
    return (
        f"no kind is called {name!r}{suggestion(name, declared()) or ';'} declare it by @kind({name!r}, …), or use the "
        "qualified name of the op if it has no declaration, such as 'my_lib::my_op'"
    )
