"""Guards the interpreter against nodes that don't conform to the schemas of their ops."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from cnncost.errors import SourceError
from cnncost.frontends.onnx.builder import Path
from cnncost.frontends.onnx.conformity import MISFITS
from cnncost.frontends.onnx.functions import tensor_of_floats
from cnncost.frontends.onnx.lowering.registry import Op, Outputs, Ref, Tensor
from cnncost.frontends.onnx.protocols import Interpretation
from cnncost.frontends.onnx.tensors import dense
from cnncost.tensor_types import TensorType

T = TypeVar("T")
_FOLDED: dict[str, dict[str, int]] = {
    "Constant": {"value": 4, "value_int": 2, "value_ints": 7, "value_float": 1, "value_floats": 6,
                 "sparse_value": 11}, "Size": {},
    "Shape": {"start": 2, "end": 2},
}  # fmt: skip
"""By op that is evaluated before others are compared with their schemas: attributes with the numbers of their types."""


def conform(interpreter: Interpretation, node: Any, domain: str, op: Op) -> None:
    """Compare a node with its op's schema; attributes and dtypes that the schema doesn't allow become notes.

    Raises:
        SourceError: a required input is missing, or an attribute's value has the wrong type.
    """
    wrong, notes = interpreter.inference.faults(node, op, domain)
    if wrong := interpreter.inference.missing_input(node, domain) or wrong:
        raise SourceError(f"{interpreter.spec}: node {node.name or node.op_type}: {wrong}; the file is damaged")
    for note in notes:
        interpreter.builder.note(note)


def conform_folded(interpreter: Interpretation, node: Any, op: Op) -> None:
    """Compare a Constant, Shape or Size with its op's schema; common ones need none, as building it takes a while.

    Raises:
        SourceError: as `conform` does.
    """
    common = _FOLDED.get(node.op_type)
    if common is None or (len(node.output) == 1 and all(common.get(a.name) == a.type for a in node.attribute)):
        return
    conform(interpreter, node, "", op)


def constant_tensor(interpreter: Interpretation, node: Any) -> Any:
    """Return a Constant's tensor, sparse tensor or list of floats as a TensorProto; None if it has another value."""
    proto = None
    for attribute in node.attribute:
        if attribute.name == "value":
            proto = attribute.t
        elif attribute.name == "sparse_value":
            note_sparse(interpreter, [attribute.sparse_tensor])
            proto = dense(attribute.sparse_tensor)
        elif attribute.name == "value_floats":
            proto = tensor_of_floats(interpreter.onnx, attribute)
    return proto


def note_sparse(interpreter: Interpretation, tensors: Iterable[Any]) -> None:
    """Note how sparse tensors are counted."""
    for each in tensors:
        interpreter.builder.note(
            f"{each.values.name or 'a constant'} is sparse: it is counted in full, as runtimes read it"
        )


def attempt(interpreter: Interpretation, node: Any, rule: Callable[..., T], *args: Any) -> T | None:
    """Return a rule's result for a node; None, with a note, if the node's inputs or attributes don't fit the op."""
    try:
        return rule(*args)
    except MISFITS:
        interpreter.builder.note(
            f"{node.name or node.op_type}: its inputs or attributes don't fit the op, whose cost may be unknown"
        )
        return None


def has_shape_rule(interpreter: Interpretation, node: Any, domain: str, op: Op) -> bool:
    """Return False if an op outside ONNX's own domain has outputs whose types no rule infers, declared or not."""
    if not domain:
        return True
    inferred = interpreter.inference.types(node, op, domain)
    return all(kind is not None or not name for kind, name in zip(inferred, node.output, strict=True))


def is_complete(op: Op, results: Outputs) -> bool:
    """Return True if all inputs and step outputs that a lowering refers to exist."""
    sources = [source for step in op.steps for source in step.inputs]
    for source in (*sources, *(each for each in results if each is not None)):
        if isinstance(source, Ref):
            if source.output >= len(op.steps[source.step].outputs):
                return False
        elif not op.has(source):
            return False
    return True


def typed(
    interpreter: Interpretation, node: Any, op: Op, found: list[Tensor], types: Sequence[Any], path: Path
) -> list[Tensor]:  # fmt: skip
    """Return the outputs of a function's body; one of unknown shape gets the type known for the call, if any.

    In that case, the call is also recorded as an unknown op that returns these outputs, besides the nodes of its body.
    """
    known = [kind if isinstance(kind, TensorType) else None for kind in types]
    lacking = [
        bool(name) and kind is not None and tensor.type is None and tensor.parts is None and not tensor.absent
        for name, kind, tensor in zip(node.output, known, found, strict=False)
    ]
    if not any(lacking):
        return found
    filled = interpreter.unknown(node, node.domain, op, known, interpreter.builder.call(path))
    return [new if lacks else old for lacks, new, old in zip(lacking, filled, found, strict=False)]
