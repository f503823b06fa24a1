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


def published(network: str, title: str, *quantities: str, source: str, printed_only: bool = True) -> tuple[Claim, ...]:
    """What a paper prints of a whole network, of these quantities, one claim a figure."""
    return tuple(
        _claim(network, f"{title}, {WORDS[figure.quantity]}", figure, source)
        for figure in zoo.entry(network).published
        if figure.layer is None and figure.quantity in quantities and (figure.printed or not printed_only)
    )


def layer_claims(network: str, *, source: str) -> tuple[Claim, ...]:
    """What a paper says of each layer of a network: parameters and connections, in the paper's order."""
    return tuple(
        _claim(network, f"{figure.layer.upper()}, {WORDS[figure.quantity]}", figure, source)
        for figure in zoo.entry(network).published
        if figure.layer is not None
    )


def _claim(network: str, what: str, figure: Figure, source: str) -> Claim:
    return Claim(
        what,
        figure.printed or units.exact(figure.value),
        Of(network, figure.quantity, figure.layer or ""),
        source=f"{source}, {figure.source}",
    )
