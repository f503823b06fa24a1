"""Guards the interpreter against nodes that are not as their ops demand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from cnncost.errors import SourceError
from cnncost.frontends.onnx.builder import Path
from cnncost.frontends.onnx.conformity import MISFITS
from cnncost.frontends.onnx.lowering.registry import Op, Outputs, Ref, Tensor
from cnncost.frontends.onnx.protocols import Interpretation
from cnncost.tensor_types import TensorType

T = TypeVar("T")


def conform(interpreter: Interpretation, node: Any, domain: str, op: Op) -> None:
    """Compare a node with its op's schema, and note attributes and dtypes that the op does not have.

    Raises:
        SourceError: an input or attribute is wrong or missing that the op can't do without.
    """
    wrong, notes = interpreter.inference.faults(node, op, domain)
    if wrong := interpreter.inference.missing_input(node, domain) or wrong:
        raise SourceError(f"{interpreter.spec}: node {node.name or node.op_type}: {wrong}; the file is damaged")
    for note in notes:
        interpreter.builder.note(note)


def attempt(interpreter: Interpretation, node: Any, rule: Callable[..., T], *args: Any) -> T | None:
    """Return what a rule returns for a node; None, with a note, if the node's inputs or attributes don't fit its op."""
    try:
        return rule(*args)
    except MISFITS:
        interpreter.builder.note(
            f"{node.name or node.op_type}: its inputs or attributes are not those of the op; it is unknown"
        )
        return None


def has_shape_rule(interpreter: Interpretation, node: Any, domain: str, op: Op) -> bool:
    """Return False for a form of a runtime's op that no rule covers, although the file declares its outputs."""
    if not domain:
        return True
    inferred = interpreter.inference.types(node, op, domain)
    return all(kind is not None or not name for kind, name in zip(inferred, node.output, strict=True))


def is_complete(op: Op, results: Outputs) -> bool:
    """Return True if all inputs and outputs of steps that a lowering refers to exist."""
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
    """Return the outputs of a function's body; those of unknown shape get the type that is known for the call, if any.

    The call is then recorded as an unknown op that returns them, besides what is known of its body.
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
