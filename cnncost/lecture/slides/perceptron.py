"""LeNet-300: the fully connected half of the tables of slides 6 to 55."""

from __future__ import annotations

from cnncost.lecture.claims import TOTAL, Cell, Claim, Of

__all__ = ["biases", "fc10_row", "lenet300_macs", "lenet300_macs_total", "lenet300_params", "lenet300_total"]

LAYERS = ((300, "fc1", "300 * (28*28)"), (100, "fc2", "100 * 300"), (10, "fc3", "10 * 100"))
ALL_LAYERS = "300·(28·28) + 100·300 + 10·100"
AS_MACS = "slides 41 and 46 print the same product as 235k"


def biases(network: str, layer: str = "") -> tuple[str, Of]:
    """The measure shown next to a count of weights: the parameters, biases included."""
    return "with biases", Of(network, "params", layer)


def _rows(quantity: str, printed: tuple[str, ...], last: int) -> tuple[Claim, ...]:
    return tuple(
        Claim(
            f"FC-{units}",
            figure,
            Of("lenet300", quantity, layer),
            work=work,
            formula=work.replace(" * ", "·").replace("*", "·"),
            beside=(biases("lenet300", layer),) if quantity == "weights" else (),
            reason=AS_MACS if figure == "230k" else "",
            cell=Cell("fc", row),
        )
        for row, (units, layer, work), figure in zip((1, 2, last), LAYERS, printed, strict=True)
    )


def lenet300_params(*, last: int = 3) -> tuple[Claim, ...]:
    """The rows of slides 6, 40, 44, 45, 52 and 55; `last` is the row number of FC-10."""
    return _rows("weights", ("230k", "30k", "1k"), last)


def lenet300_macs() -> tuple[Claim, ...]:
    """The rows of slides 41 and 46: each weight is used once, so MACs equal weights."""
    return _rows("macs", ("235k", "30k", "1k"), 3)


def lenet300_total() -> Claim:
    """The total under the parameters."""
    whole = Of("lenet300", "weights")
    beside = (biases("lenet300"),)
    return Claim("total", "~260k", whole, formula=ALL_LAYERS, beside=beside, cell=Cell("fc", TOTAL))


def lenet300_macs_total() -> Claim:
    """The total under the MACs."""
    return Claim("total", "~266k", Of("lenet300", "macs"), formula=ALL_LAYERS, cell=Cell("fc", TOTAL))


def fc10_row(network: str, *, row: int = 3, quantity: str = "weights") -> Claim:
    """FC-10 as the last layer of a convolutional network."""
    return Claim(
        "FC-10",
        "1k",
        Of(network, quantity, "fc2"),
        work="10 * 100",
        formula="10·100",
        beside=(biases(network, "fc2"),) if quantity == "weights" else (),
        cell=Cell("conv", row),
    )
