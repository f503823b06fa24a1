"""Checks Graphs against the declarations of op kinds (`kinds.py`), for tests and for authors of front ends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from cnncost.errors import GraphError, RuleError
from cnncost.graph import Graph, OpSpec, Shape, TensorType, verify
from cnncost.near import suggestion
from cnncost.ops.kinds import ANY_KIND, Kind, Role, declaration, declared, fits, type_text

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
    messages = (*_attribute_faults(kind, spec), *_role_faults(kind, spec))
    if not messages:  # the other checks assume that attributes and tensors are as declared
        wrong = kind.check(spec) if kind.check is not None else None
        wrong = wrong or _reach_fault(spec)
        messages = () if wrong is None else (f"kind {kind.name!r}: {wrong}",)
    return messages


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
    return ", ".join([*map(_shape, spec.inputs), *(f"{name}={value}" for name, value in spec.attrs)])


def _shape(tensor: TensorType) -> str:
    return "×".join(map(str, tensor.shape)) or "a scalar"


def _undeclared_message(name: str) -> str:
    return (
        f"no kind is called {name!r}{suggestion(name, declared()) or ';'} declare it by @kind({name!r}, …), or use the "
        "qualified name of the op if it has no declaration, such as 'my_lib::my_op'"
    )


def _attribute_faults(kind: Kind, spec: OpSpec) -> Iterator[str]:
    attributes = dict(spec.attrs)
    if len(attributes) < len(spec.attrs):
        names = [name for name, _ in spec.attrs]
        twice = next(name for name in names if names.count(name) > 1)
        yield f"kind {kind.name!r} has the attribute {twice!r} twice; give it once"
    for name, expected in kind.attributes.items():
        if name not in attributes:
            missing = f"{name!r} ({type_text(expected)})"
            yield f"kind {kind.name!r} needs the attribute {missing}; it has {sorted(attributes)}"
    allowed = {**ANY_KIND, **kind.optional, **kind.attributes}
    for name, value in attributes.items():
        if name not in allowed:
            hint = suggestion(name, allowed) or ";"
            yield f"kind {kind.name!r} has no attribute {name!r}{hint} it may have {sorted(allowed)}"
        elif not fits(value, allowed[name]):
            yield f"attribute {name!r} of kind {kind.name!r}: expected {type_text(allowed[name])}, got {value!r}"


def _role_faults(kind: Kind, spec: OpSpec) -> Iterator[str]:
    for side, roles, types in (("inputs", kind.inputs, spec.inputs), ("outputs", kind.outputs, spec.outputs)):
        if not _match(roles, types):
            shapes = ", ".join(map(_shape, types)) or "none"
            expected = ", ".join(map(str, roles)) or "none"
            yield f"{side} of kind {kind.name!r}: expected {expected}; got {shapes}"


def _match(roles: Sequence[Role], types: Sequence[TensorType]) -> bool:
    """True if the tensors can be assigned to the roles in order.

    `used` holds the numbers of tensors that the previous roles can take together, `reached` those including the current
    role. `front` holds the numbers added last: a role for several tensors may take one more than each.
    """
    used = {0}
    for role in roles:
        reached = set() if role.needed else set(used)
        front = used
        while front := {n + 1 for n in front if n < len(types) and _rank_fits(role, types[n])} - reached:
            reached |= front
            if not role.many:
                break
        used = reached
    return len(types) in used


def _rank_fits(role: Role, tensor: TensorType) -> bool:
    return role.least <= len(tensor.shape) and (role.most is None or len(tensor.shape) <= role.most)
