"""Figures of the papers that the slides cite: the zoo holds them beside its networks, and so they are typed once."""

from __future__ import annotations

from cnncost import units, zoo
from cnncost.lecture.claims import Claim, Of
from cnncost.zoo import Figure

__all__ = ["layer_claims", "published"]

WORDS = {
    "params": "parameters",
    "trainable_params": "trainable parameters",
    "macs": "multiply-adds",
    "connections": "connections",
}


def published(network: str, title: str, *quantities: str, source: str) -> tuple[Claim, ...]:
    """What a paper prints of a whole network, of these quantities, one claim a figure."""
    return tuple(
        _claim(network, f"{title}, {WORDS[figure.quantity]}", figure, f"{source}{figure.source}")
        for figure in zoo.entry(network).published
        if figure.layer is None and figure.quantity in quantities and figure.printed
    )


def layer_claims(network: str, *, source: str) -> tuple[Claim, ...]:
    """What a paper says of each layer of a network: parameters and connections, in the paper's order."""
    return tuple(
        _claim(network, f"{_name(figure.layer)}, {WORDS[figure.quantity]}", figure, source)
        for figure in zoo.entry(network).published
        if figure.layer is not None
    )


def _name(layer: str) -> str:
    """C1 as the papers write it; `output` is a word."""
    return layer.upper() if len(layer) == len("c1") else layer


def _claim(network: str, what: str, figure: Figure, source: str) -> Claim:
    printed = figure.printed or units.exact(figure.value)
    return Claim(what, printed, Of(network, figure.quantity, figure.layer or ""), reason=figure.reason, source=source)
