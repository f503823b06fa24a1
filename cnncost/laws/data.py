"""The laws of a model and of its layers as plain data, by quantity."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from cnncost.errors import InputError
from cnncost.near import suggestion

if TYPE_CHECKING:
    from cnncost.laws.law import Law
    from cnncost.laws.polynomial import Polynomial
    from cnncost.laws.samples import Sampler
    from cnncost.laws.variables import Variable

HEADINGS = {
    "macs": "MACs", "flops": "FLOPs", "bytes": "bytes read and written", "params": "params",
    "activations": "activations", "inference_peak": "inference peak", "training_peak": "training peak",
}  # fmt: skip
"""Displayed names by quantity. All quantities but MACs, FLOPs and parameters are in bytes."""


class LawsData(Mapping[str, "Law"]):
    """Laws by quantity: `macs`, `flops`, `bytes`, `params`, `activations`, `inference_peak`, `training_peak`.

    Attributes:
        model: the model's name.
        variables: the variables, in the order of a point's sizes.
        layers: for each of `macs`, `flops`, `bytes` and `params`, a polynomial by module path, for the ops that the
            module runs itself in all its calls. The polynomials hold in the domain of the total's law.
        irregular: modules without such a polynomial. The total may still have a law.
        analyses: number of points that were analyzed.
        notes: remarks on the analyses.
        sampler: analyzes the model at further points.
    """

    def __init__(
        self, model: str, variables: tuple[Variable, ...], laws: dict[str, Law],
        layers: dict[str, dict[str, Polynomial]], irregular: tuple[str, ...], notes: tuple[str, ...], sampler: Sampler,
    ) -> None:  # fmt: skip
        self.model, self.variables, self.layers = model, variables, layers
        self.irregular, self.notes = irregular, notes
        self._laws, self.sampler = laws, sampler

    def __getitem__(self, quantity: str) -> Law:
        if quantity not in self._laws:
            near = suggestion(quantity, self._laws) or f"; expected one of {', '.join(self._laws)}"
            raise InputError(f"{quantity}: no law has this name{near}")
        return self._laws[quantity]

    def __contains__(self, quantity: object) -> bool:
        return quantity in self._laws

    def __iter__(self) -> Iterator[str]:
        return iter(self._laws)

    def __len__(self) -> int:
        return len(self._laws)

    @property
    def analyses(self) -> int:
        """Number of points that were analyzed."""
        return len(self.sampler.results())

    @property
    def symbols(self) -> tuple[str, ...]:
        """The variables' symbols in formulas."""
        return tuple(variable.symbol for variable in self.variables)
