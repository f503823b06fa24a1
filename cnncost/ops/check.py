"""Checks Graphs against the declarations of op kinds (`kinds.py`), for tests and for authors of front ends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from cnncost.errors import GraphError, RuleError
from cnncost.graph import Graph, OpSpec, Shape, TensorType, verify
from cnncost.near import suggestion
from cnncost.ops.kinds import ANY_KIND, Kind, Role, declaration, declared, fits, written

if TYPE_CHECKING:
    from cnncost.ops.reach.registry import Output

MOST = 10
"""Maximum number of faults in a message."""


def verify_graph(graph: Graph) -> Graph:
    """Check that a Graph is consistent and that its ops are what their kinds' declarations say; return it.

    Kinds with `::` in their names that are not declared are custom or unknown ops, of which nothing is known.

    Raises:
        GraphError: what `cnncost.graph.verify` raises; a kind that does not exist; an attribute that is missing,
            unknown or of another type; tensors whose number or ranks do not fit; shapes that contradict attributes.
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
    """Return messages on how a spec contradicts its kind's declaration: what was expected, what came, what to do."""
    kind = declaration(spec.kind)
    if kind is None:
        return () if "::" in spec.kind else (_undeclared(spec.kind),)
    faults = (*_attribute_faults(kind, spec), *_role_faults(kind, spec))
    if not faults:
        wrong = kind.check(spec) if kind.check is not None else None
        wrong = wrong or _reach_fault(spec)
        faults = () if wrong is None else (f"kind {kind.name!r}: {wrong}",)
    return faults


def _reach_fault(spec: OpSpec) -> str | None:
    """Return a message if the reach rule leads to other shapes than those of the outputs: then attributes are wrong."""
    from cnncost.ops.reach.registry import reach_of  # loaded late: most analyses use no reach rules

    try:
        reach = reach_of(spec)
        for output, tensor in zip(reach or (), spec.outputs, strict=False):
            if output is not None and (wrong := _output_fault(spec, output, tensor.shape)) is not None:
                return wrong
    except (RuleError, ValueError) as error:
        return f"expected shapes and attributes that fit each other, got {_told(spec)}: {error}"
    return None


def _output_fault(spec: OpSpec, output: Output, expected: Shape) -> str | None:
    """Return a message if an output's routes can't be followed, or don't lead to the shape that the spec gives it."""
    from cnncost.ops.reach.registry import applies, resulting

    shapes = []
    for route in output.routes:
        shape = spec.inputs[route.input].shape
        for step in route.steps:
            if not applies(step, shape):
                return f"{step} of input {route.input} does not apply to the shape {shape}; got {_told(spec)}"
            shape = resulting(shape, (step,))
        shapes.append(shape)
    if output.joined is not None and shapes:
        joined = sum(shape[output.joined] for shape in shapes)
        shapes = [(*shape[: output.joined], joined, *shape[output.joined + 1 :]) for shape in shapes]
    wrong = next((shape for shape in shapes if shape != expected), None)
    return None if wrong is None else f"its attributes lead to the shape {wrong}, its output has {expected}"


def _told(spec: OpSpec) -> str:
    return ", ".join([*map(_shape, spec.inputs), *(f"{name}={value}" for name, value in spec.attrs)])


def _shape(tensor: TensorType) -> str:
    return "×".join(map(str, tensor.shape)) or "a scalar"


def _undeclared(name: str) -> str:
    return (
        f"no kind is called {name!r}{suggestion(name, declared()) or ';'} declare it by @kind({name!r}, …), or name an "
        "op that is not known after its library, as in 'my_lib::my_op'"
    )


def _attribute_faults(kind: Kind, spec: OpSpec) -> Iterator[str]:
    attributes = dict(spec.attrs)
    if len(attributes) < len(spec.attrs):
        names = [name for name, _ in spec.attrs]
        twice = next(name for name in names if names.count(name) > 1)
        yield f"kind {kind.name!r} has the attribute {twice!r} twice; give it once"
    for name, expected in kind.attributes.items():
        if name not in attributes:
            yield f"kind {kind.name!r} needs the attribute {name!r} ({written(expected)}); it has {sorted(attributes)}"
    declared = {**ANY_KIND, **kind.optional, **kind.attributes}
    for name, value in attributes.items():
        if name not in declared:
            hint = suggestion(name, declared) or ";"
            yield f"kind {kind.name!r} has no attribute {name!r}{hint} it may have {sorted(declared)}"
        elif not fits(value, declared[name]):
            yield f"attribute {name!r} of kind {kind.name!r}: expected {written(declared[name])}, got {value!r}"


def _role_faults(kind: Kind, spec: OpSpec) -> Iterator[str]:
    for side, roles, types in (("inputs", kind.inputs, spec.inputs), ("outputs", kind.outputs, spec.outputs)):
        if not _match(roles, types):
            shapes = ", ".join(map(_shape, types)) or "none"
            wanted = ", ".join(map(str, roles)) or "none"
            yield f"{side} of kind {kind.name!r}: expected {wanted}; got {shapes}"


def _match(roles: Sequence[Role], types: Sequence[TensorType]) -> bool:
    """True if the tensors can be assigned to the roles in order.

    `used` holds every number of tensors that the roles so far may have taken, `reached` the same with the next role.
    `front` holds the numbers reached last: from each, the role takes one more tensor, and again if it is for several.
    """
    used = {0}
    for role in roles:
        reached = set() if role.needed else set(used)
        front = used
        while front := {n + 1 for n in front if n < len(types) and _ranked(role, types[n])} - reached:
            reached |= front
            if not role.many:
                break
        used = reached
    return len(types) in used


def _ranked(role: Role, tensor: TensorType) -> bool:
    return role.least <= len(tensor.shape) and (role.most is None or len(tensor.shape) <= role.most)
