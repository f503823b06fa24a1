"""Check Graphs against the declarations of op kinds (`kinds.py`): for tests, and for who writes a front end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import NoneType, UnionType
from typing import Literal, Union, get_args, get_origin

from cnncost.errors import GraphError
from cnncost.graph import Graph, OpSpec, TensorType, verify
from cnncost.near import suggestion
from cnncost.ops.kinds import ANY_KIND, Kind, Role, declaration, declared

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
    found: list[str] = []
    seen: set[OpSpec] = set()
    for index, node in enumerate(graph.nodes):
        if node.spec not in seen:
            seen.add(node.spec)
            place = graph.call_path(node.call) or "the model"
            found += [f"node {index} ({node.name}, in {place}): {fault}" for fault in faults(node.spec)]
    if found:
        more = f"\nand {len(found) - MOST} more" if len(found) > MOST else ""
        raise GraphError("\n".join(found[:MOST]) + more)
    return graph


def faults(spec: OpSpec) -> tuple[str, ...]:
    """What contradicts the declaration of a spec's kind: what was expected, what came, and what to do."""
    kind = declaration(spec.kind)
    if kind is None:
        return () if "::" in spec.kind else (_undeclared(spec.kind),)
    found = (*_attribute_faults(kind, spec), *_role_faults(kind, spec))
    if not found and kind.check is not None and (wrong := kind.check(spec)) is not None:
        found = (f"kind {kind.name!r}: {wrong}",)
    return found


def _undeclared(name: str) -> str:
    return (
        f"no kind is called {name!r}{suggestion(name, declared()) or ';'} declare it by @kind({name!r}, …), or name an "
        "op that is not known after its library, as in 'my_lib::my_op'"
    )


def _attribute_faults(kind: Kind, spec: OpSpec) -> Iterator[str]:
    given = dict(spec.attrs)
    if len(given) < len(spec.attrs):
        names = [name for name, _ in spec.attrs]
        twice = next(name for name in names if names.count(name) > 1)
        yield f"kind {kind.name!r} has the attribute {twice!r} twice; give it once"
    for name, expected in kind.attributes.items():
        if name not in given:
            yield f"kind {kind.name!r} needs the attribute {name!r} ({written(expected)}); it has {sorted(given)}"
    known = {**ANY_KIND, **kind.optional, **kind.attributes}
    for name, value in given.items():
        if name not in known:
            hint = suggestion(name, known) or ";"
            yield f"kind {kind.name!r} has no attribute {name!r}{hint} it may have {sorted(known)}"
        elif not fits(value, known[name]):
            yield f"attribute {name!r} of kind {kind.name!r}: expected {written(known[name])}, got {value!r}"


def fits(value: object, expected: object) -> bool:
    """Whether an attribute's value is of a type, as declared. An int is a float, too; a bool is no int."""
    origin, arguments = get_origin(expected), get_args(expected)
    if expected is object:
        return True
    if expected is None or expected is NoneType:
        return value is None
    if origin in (Union, UnionType):
        return any(fits(value, each) for each in arguments)
    if origin is Literal:
        return any(type(value) is type(each) and value == each for each in arguments)
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return all(fits(each, arguments[0]) for each in value)
        return len(value) == len(arguments) and all(map(fits, value, arguments))
    return type(value) is expected or (expected is float and type(value) is int)


def written(expected: object) -> str:
    """A type as a message names it: `tuple[int, ...]`."""
    if get_origin(expected) is Literal:
        return "one of " + ", ".join(map(repr, get_args(expected)))
    if get_origin(expected) in (Union, UnionType):
        return " or ".join(map(written, get_args(expected)))
    if expected is NoneType:
        return "None"
    return expected.__name__ if isinstance(expected, type) and not get_args(expected) else str(expected)


def _role_faults(kind: Kind, spec: OpSpec) -> Iterator[str]:
    for side, roles, types in (("inputs", kind.inputs, spec.inputs), ("outputs", kind.outputs, spec.outputs)):
        if not _match(roles, types):
            shapes = ", ".join("×".join(map(str, t.shape)) or "a scalar" for t in types) or "none"
            wanted = ", ".join(map(str, roles)) or "none"
            yield f"{side} of kind {kind.name!r}: expected {wanted}; got {shapes}"


def _match(roles: Sequence[Role], types: Sequence[TensorType]) -> bool:
    """Whether the tensors can be assigned to the roles in order. Tracks how many tensors may have been used up."""
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
