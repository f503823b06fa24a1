"""The public Laws of a model: the data, with methods that solve for sizes and write formats."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cnncost.laws.data import LawsData

if TYPE_CHECKING:
    from cnncost.laws.solve import Solution


class Laws(LawsData):
    """The laws of a model by quantity. `LawsData` documents the attributes."""

    def solve(self, budget: str, **sizes: int) -> dict[str, Solution]:
        """Return the largest size of each variable within a budget, with the others at `sizes` or at the model's own.

        Args:
            budget: a quantity and its limit, such as `"macs <= 2G"` or `"training_peak <= 24GiB"`.
            sizes: sizes of variables that are not to be solved for.

        Raises:
            InputError: the budget is malformed, its quantity has no law, a variable is unknown, or no size is within
                the budget.
        """
        from cnncost.laws.solve import solve

        return solve(self, budget, sizes)

    def __repr__(self) -> str:
        formulas = ", ".join(f"{name}={law}" for name, law in self.items() if name in ("macs", "params"))
        return f"<Laws of {self.model} by {', '.join(v.name for v in self.variables)}: {formulas}>"

    def __str__(self) -> str:
        return self._rendered("text").rstrip("\n")

    def _repr_markdown_(self) -> str:
        return self.to_markdown()

    def to_markdown(self, by_layer: bool = False) -> str:
        """Return a Markdown table of the laws."""
        return self._rendered("markdown", by_layer)

    def to_latex(self, by_layer: bool = False) -> str:
        """Return a LaTeX section with an `align*` environment, one line per law."""
        return self._rendered("latex", by_layer)

    def to_json(self) -> str:
        """Return everything as JSON, with coefficients as strings such as `147/2`."""
        return self._rendered("json")

    def _rendered(self, form: str, by_layer: bool = False) -> str:
        from cnncost.laws.render import document
        from cnncost.render.formats import rendered

        return rendered(document(self, by_layer), form)

    def to_dict(self) -> dict[str, Any]:
        """Return the content of `to_json` as a dict."""
        from cnncost.laws.render import document
        from cnncost.render.json import to_dict

        return to_dict(document(self))
