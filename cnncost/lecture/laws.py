"""Returns claims' figures as formulas in the image size or other variables, by `cnncost.formula`."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from cnncost.errors import CnncostError
from cnncost.laws.law import domain_text
from cnncost.laws.polynomial import Polynomial
from cnncost.laws.writing import to_text
from cnncost.lecture.claims import ModelFigure, Option

if TYPE_CHECKING:
    from cnncost.laws.laws import Laws

__all__ = ["QUANTITIES", "formula", "network_laws"]

QUANTITIES = ("params", "macs", "flops", "inference_peak")
"""Quantities that have a formula. For a layer only the first three have one."""


@cache
def network_laws(network: str, options: tuple[tuple[str, Option], ...], inputs: tuple[str, ...], vary: str) -> Laws:
    """Return the formulas of all quantities of a network."""
    from cnncost.laws.derive import formula as laws_of
    from cnncost.shapes import parse_inputs

    shapes = parse_inputs(inputs) if inputs else None
    return laws_of(network, shapes, vary, model_args=dict(options), training=False)


def formula(of: ModelFigure, vary: str) -> str:
    """Return the formula of a quantity, such as `300·N² + 300 for N from 8 to 1,024`.

    Raises:
        CnncostError: there is no such layer, or the quantity has no exact formula.
    """
    laws = network_laws(of.network, of.options, of.inputs, vary)
    law = laws[of.quantity]
    if not law.known:
        raise CnncostError(f"{of.quantity} of {of.network}: {law.why}")
    if law.bound:
        raise CnncostError(f"{of.quantity} of {of.network}: no exact law: {law.bound}")
    text = str(law)
    if of.layer:
        parts = laws.layers[of.quantity]
        # the layer and its submodules, including those without a law (`irregular`)
        paths = [path for path in {**parts, **dict.fromkeys(laws.irregular)} if f"{path}.".startswith(f"{of.layer}.")]
        if without := [path for path in paths if path in laws.irregular]:
            raise CnncostError(f"{of.quantity} of {without[0]}: it has no law of its own")
        if not paths:
            raise CnncostError(f"no layer {of.layer}; expected one of {', '.join(filter(None, parts))}")
        total = Polynomial((), ())  # zero
        for path in paths:
            total = total.plus(parts[path])
        text = to_text(total, laws.symbols)
    return f"{text} for {domain_text(law)}"
