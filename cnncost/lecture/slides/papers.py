"""Figures of the papers that the slides cite, read from the zoo, so that they are typed only once."""

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
    """A paper's figures for a whole network, for these quantities, one claim per figure."""
    return tuple(
        _claim(network, f"{title}, {WORDS[figure.quantity]}", figure, f"{source}{figure.source}")
        for figure in zoo.entry(network).published
        if figure.layer is None and figure.quantity in quantities and figure.printed
    )


def layer_claims(network: str, *, source: str) -> tuple[Claim, ...]:
    """A paper's figures for each layer of a network: parameters and connections, in the paper's order."""
    return tuple(
        _claim(network, f"{_name(figure.layer)}, {WORDS[figure.quantity]}", figure, source)
        for figure in zoo.entry(network).published
        if figure.layer is not None
    )


def _name(layer: str) -> str:
    """Layer name as the papers write it, as in C1; `output` stays a word."""
    return layer.upper() if len(layer) == len("c1") else layer


def _claim(network: str, what: str, figure: Figure, source: str) -> Claim:
    printed = figure.printed or units.exact(figure.value)
    return Claim(what, printed, Of(network, figure.quantity, figure.layer or ""), reason=figure.reason, source=source)
