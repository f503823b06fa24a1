"""Calls of modules and functions with a user's rule: the op carries the rule's result."""

from __future__ import annotations

from cnncost.graph import OpSpec
from cnncost.ops.kinds import kind, rest
from cnncost.ops.registry import Cost, Term


@kind(
    "custom",
    inputs=(rest("x"),),
    outputs=(rest("y"),),
    attributes={
        "terms": tuple[tuple[str, tuple[tuple[str, int], ...], int, bool], ...],
        "read": int | None,
        "written": int | None,
    },
)
def custom(spec: OpSpec) -> Cost:
    """Return the cost that the module's or function's rule returned for this call.

    Attributes: terms, each (label, ((name, factor), …), flops per item, mac); read, written: bytes, or None if every
    input is read once or every output written once.
    """
    terms = tuple(Term(*term) for term in spec["terms"])
    read, written = spec["read"], spec["written"]
    return Cost(
        terms,
        sum(t.nbytes for t in spec.inputs) if read is None else read,
        sum(t.nbytes for t in spec.outputs) if written is None else written,
    )
