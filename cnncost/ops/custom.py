"""Modules and functions with a rule of the user's own: the op carries what the rule said."""

from __future__ import annotations

from cnncost.graph import OpSpec
from cnncost.ops.registry import Cost, Term, rule


@rule("custom")
def custom(spec: OpSpec) -> Cost:
    """What the module's or function's rule says of this call.

    Attributes: terms, each (what, ((name, factor), …), flops an item, mac); read, written: bytes, None for every input
    read and every output written once.
    """
    terms = tuple(Term(*term) for term in spec["terms"])
    read, written = spec["read"], spec["written"]
    return Cost(
        terms,
        sum(t.nbytes for t in spec.inputs) if read is None else read,
        sum(t.nbytes for t in spec.outputs) if written is None else written,
    )
