"""The laws of a model, by quantity, and of its layers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from cnncost.errors import InputError
from cnncost.near import suggestion

if TYPE_CHECKING:
    from cnncost.laws.law import Law
    from cnncost.laws.polynomial import Polynomial
    from cnncost.laws.samples import Sampler
    from cnncost.laws.solve import Solution
    from cnncost.laws.variables import Variable

HEADINGS = {
    "macs": "MACs", "flops": "FLOPs", "bytes": "bytes read and written", "params": "params",
    "activations": "activations", "inference_peak": "inference peak", "training_peak": "training peak",
}  # fmt: skip
"""Names for people; what is not counted in MACs, FLOPs and parameters is in bytes."""


class Laws(Mapping[str, "Law"]):
    """Laws by quantity: `macs`, `flops`, `bytes`, `params`, `activations`, `inference_peak`, `training_peak`.

    Attributes:
        model: its name.
        variables: what varies.
        layers: of `macs`, `flops`, `bytes` and `params`, the polynomial of each module's own ops over all its calls, by
            path, on the domain of the total's law.
        irregular: modules without such a law, though the total may have one.
        analyses: how many points were analyzed.
        notes: what is to be known of the runs.
    """

    def __init__(
        self, model: str, variables: tuple[Variable, ...], laws: dict[str, Law],
        layers: dict[str, dict[str, Polynomial]], irregular: tuple[str, ...], notes: tuple[str, ...], sampler: Sampler,
    ) -> None:  # fmt: skip
        self.model, self.variables, self.layers = model, variables, layers
        self.irregular, self.notes = irregular, notes
        self._laws, self._sampler = laws, sampler

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
        """How many points were analyzed."""
        return len(self._sampler.known())

    @property
    def symbols(self) -> tuple[str, ...]:
        """The variables in formulas."""
        return tuple(variable.symbol for variable in self.variables)

    def solve(self, budget: str, **sizes: int) -> dict[str, Solution]:
        """The largest size of each variable that keeps a budget, the others as given or as the model's own.

        Args:
            budget: such as `"macs <= 2G"` or `"training_peak <= 24GiB"`.
            sizes: of the variables that are not sought.

        Raises:
            InputError: not of this form, a quantity without a law, a variable that is unknown, or no size keeps it.
        """
        from cnncost.laws.solve import solve

        return solve(self, self._sampler, budget, sizes)

    def __str__(self) -> str:
        from cnncost.laws.render import to_text

        return to_text(self)

    def _repr_markdown_(self) -> str:
        return self.to_markdown()

    def to_markdown(self, by_layer: bool = False) -> str:
        """A markdown table of the laws."""
        from cnncost.laws.render import to_markdown

        return to_markdown(self, by_layer=by_layer)

    def to_latex(self, by_layer: bool = False) -> str:
        """An `align*` environment with a line for each law."""
        from cnncost.laws.render import to_latex

        return to_latex(self, by_layer=by_layer)

    def to_json(self) -> str:
        """Everything, with coefficients as text such as `147/2`."""
        from cnncost.laws.render import to_json

        return to_json(self)

    def to_dict(self) -> dict[str, Any]:
        """What `to_json` writes."""
        from cnncost.laws.render import to_dict

        return to_dict(self)
