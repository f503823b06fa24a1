"""Reads measures from a file of claims: `{ model = "resnet50", quantity = "macs" }`, and sums, ratios and so on."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

from cnncost.errors import InputError
from cnncost.laws.variables import parse
from cnncost.lecture import claims
from cnncost.lecture.arithmetic import evaluate
from cnncost.lecture.laws import QUANTITIES as LAWS
from cnncost.lecture.quantities import NETWORK_ONLY, QUANTITIES, TRAINING
from cnncost.near import suggestion
from cnncost.toml_file import Keys, TomlFile

__all__ = ["Measures"]

_FIGURE_KEYS = ("model", "quantity", "layer", "input", "model_args", "optimizer")
_PAIRS: dict[str, Callable[[claims.Measure, claims.Measure], claims.Measure]] = {
    "difference": claims.Difference,
    "below": claims.Below,
    "share": claims.Share,
    "ratio": claims.Ratio,
}
_EXPECTED = '{ model = "resnet50", quantity = "macs" }'


class Measures(TomlFile):
    """Reads measures from the tables of a TOML file."""

    def measure(self, table: Any, keys: Keys) -> claims.Measure:
        """Return the measure that a table describes.

        Raises:
            CnncostError: a key or quantity is unknown, or a value has the wrong type.
        """
        self.typed(table, dict, keys, f"a measure: {_EXPECTED}")
        kinds: dict[str, Callable[[dict[str, Any], Keys], claims.Measure]] = {
            "model": self._model_figure, "sum": self._sum, **dict.fromkeys(_PAIRS, self._pair), "times": self._scaled,
            "formula": self._formula, "law": self._law, "experiment": self._experiment, "published": self._published,
        }  # fmt: skip
        present = [kind for kind in kinds if kind in table]
        if len(present) != 1:
            near = suggestion(next(iter(table), ""), kinds) if not present else ""
            both = "both " if len(present) == 2 else ""
            message = f"has {both}{' and '.join(present)}" if present else f"has none of {', '.join(kinds)}{near}"
            raise self.wrong(keys, f"{keys[-1]}: {message}; expected one of them, as in {_EXPECTED}")
        return kinds[present[0]](table, keys)

    def _model_figure(self, table: dict[str, Any], keys: Keys) -> claims.ModelFigure:
        self.check_keys(table, keys, _FIGURE_KEYS, "a measure of a model")
        model = self._required_text(table, keys, "model", 'a MODEL such as "resnet50" or "net.py:Net"')
        quantity = self._required_text(table, keys, "quantity", f"one of {', '.join(QUANTITIES)}")
        if quantity not in QUANTITIES:
            near = suggestion(quantity, QUANTITIES) or f"; expected one of {', '.join(QUANTITIES)}"
            raise self.wrong((*keys, "quantity"), f"unknown quantity {quantity!r}{near}")
        layer = self.typed(table.get("layer", ""), str, (*keys, "layer"), "a module's path")
        if layer and quantity in NETWORK_ONLY:
            raise self.wrong((*keys, "layer"), f"{quantity} is a quantity of the whole model, not of a layer")
        optimizer = self.typed(table.get("optimizer", ""), str, (*keys, "optimizer"), 'an optimizer, such as "adamw"')
        if optimizer and quantity not in TRAINING:
            only = ", ".join(sorted(TRAINING))
            raise self.wrong((*keys, "optimizer"), f"{quantity} needs no training step; only {only} do")
        options = self.typed(table.get("model_args", {}), dict, (*keys, "model_args"), "a table of arguments")
        return claims.ModelFigure(
            model, quantity, layer,
            tuple((name, self._option(value, (*keys, "model_args", name))) for name, value in options.items()),
            self.inputs(table.get("input"), (*keys, "input")), optimizer,
        )  # fmt: skip

    def _required_text(self, table: dict[str, Any], keys: Keys, name: str, expected: str) -> str:
        if name not in table:
            raise self.wrong(keys, f"{name}: missing; expected {expected}")
        text: str = self.typed(table[name], str, (*keys, name), expected)
        return text

    def _option(self, value: Any, keys: Keys) -> claims.Option:
        if isinstance(value, list):
            return tuple(self._option(each, keys) for each in value)
        if not isinstance(value, (str, int, float)):
            raise self.wrong(keys, f"{keys[-1]}: expected a number, string, boolean or list of these, got {value!r}")
        return value

    def _several(self, table: dict[str, Any], keys: Keys, name: str, count: int | None = None) -> list[claims.Measure]:
        self.check_keys(table, keys, (name,), f"a {name}")
        expected = f"a list of {count or 'two or more'} measures"
        parts = self.typed(table[name], list, (*keys, name), expected)
        if len(parts) < 2 or (count is not None and len(parts) != count):
            raise self.wrong((*keys, name), f"{name}: expected {expected}, got {len(parts)}")
        return [self.measure(part, (*keys, name, i)) for i, part in enumerate(parts)]

    def _sum(self, table: dict[str, Any], keys: Keys) -> claims.Sum:
        return claims.Sum(tuple(self._several(table, keys, "sum")))

    def _pair(self, table: dict[str, Any], keys: Keys) -> claims.Measure:
        name = next(name for name in _PAIRS if name in table)
        one, other = self._several(table, keys, name, 2)
        return _PAIRS[name](one, other)

    def _scaled(self, table: dict[str, Any], keys: Keys) -> claims.Scaled:
        self.check_keys(table, keys, ("times", "of", "words", "unit"), "a multiple")
        expected = 'a factor, times = "1/2", and its measure, of = { … }'
        times = table["times"]
        try:
            factor = Fraction(str(times) if isinstance(times, (str, int, float)) else "")
        except (ValueError, ZeroDivisionError):
            raise self.wrong((*keys, "times"), f"times: expected {expected}, got {times!r}"[:300]) from None
        if "of" not in table:
            raise self.wrong(keys, f"of: missing; expected {expected}")
        words = self.typed(table.get("words", f"times {times}"), str, (*keys, "words"), "what the factor is")
        unit = self.typed(table.get("unit", ""), str, (*keys, "unit"), "a unit")
        return claims.Scaled(self.measure(table["of"], (*keys, "of")), factor, words, unit)

    def _formula(self, table: dict[str, Any], keys: Keys) -> claims.Formula:
        self.check_keys(table, keys, ("formula",), "a formula")
        text = self._required_text(table, keys, "formula", '"16·(5·5·6 + 1)"')
        try:
            evaluate(text)
        except ValueError as error:
            raise self.wrong((*keys, "formula"), str(error)) from None
        return claims.Formula(text)

    def _law(self, table: dict[str, Any], keys: Keys) -> claims.Law:
        self.check_keys(table, keys, ("law", "vary"), "a law")
        # `keys` is the path of TOML keys to this table: a law is allowed only under `beside`
        if "beside" not in keys:
            raise self.wrong(
                keys, f"{keys[-1]}: a formula can't be compared with a printed figure; put it beside the figure"
            )
        expected = '{ law = { model = "lenet300", quantity = "params" }, vary = "size+side=8..64" }'
        figure = self._model_figure(self.typed(table["law"], dict, (*keys, "law"), expected), (*keys, "law"))
        laws = LAWS[:-1] if figure.layer else LAWS  # inference_peak, the last one, has no laws of layers
        if figure.quantity not in laws:
            quantities = ", ".join(laws)
            raise self.wrong((*keys, "law", "quantity"), f"{figure.quantity}: has no law; expected one of {quantities}")
        vary = self._required_text(table, keys, "vary", expected)
        try:
            parse(vary)
        except InputError as error:
            raise self.wrong((*keys, "vary"), str(error)) from None
        return claims.Law(figure, vary)

    def _experiment(self, table: dict[str, Any], keys: Keys) -> claims.Experiment:
        self.check_keys(table, keys, ("experiment", "arguments"), "an experiment")
        name = self._required_text(table, keys, "experiment", "an experiment's name")
        arguments = self.typed(table.get("arguments", []), list, (*keys, "arguments"), "a list of whole numbers")
        for each in arguments:
            self.typed(each, int, (*keys, "arguments"), "a list of whole numbers")
        return claims.Experiment(name, tuple(arguments))

    def _published(self, table: dict[str, Any], keys: Keys) -> claims.Published:
        self.check_keys(table, keys, ("published", "source"), "a published figure")
        text = self._required_text(table, keys, "published", "a figure, as printed")
        return claims.Published(text, self._required_text(table, keys, "source", "where it is printed"))
