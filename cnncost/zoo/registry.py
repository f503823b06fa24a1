"""Networks by name. Does not import torch: shell completion and help texts import this module."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from cnncost.zoo.catalog import CATALOG

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from torch import nn

    from cnncost.zoo.entry import Entry

__all__ = ["UnknownNetworkError", "build", "entries", "entry", "names"]


class UnknownNetworkError(LookupError):
    """The zoo has no network of the requested `name`."""

    def __init__(self, name: str) -> None:
        super().__init__(f"zoo: expected one of {', '.join(names())}; got {name!r}")
        self.name = name


def index(catalog: Iterable[Entry]) -> Mapping[str, Entry]:
    """Return a catalog's entries by name, in the catalog's order.

    Raises:
        ValueError: two entries have the same name.
    """
    by_name: dict[str, Entry] = {}
    for each in catalog:
        if each.name in by_name:
            raise ValueError(f"zoo: {each.name!r} is the name of {by_name[each.name].builder}; choose another")
        by_name[each.name] = each
    return MappingProxyType(by_name)


_ENTRIES = index(CATALOG)


def names() -> tuple[str, ...]:
    """Return all names in the catalog's order, roughly historical: perceptrons first, MobileNet last."""
    return tuple(_ENTRIES)


def entries() -> tuple[Entry, ...]:
    """Return all entries in the order of `names`."""
    return tuple(_ENTRIES.values())


def entry(name: str) -> Entry:
    """Return the entry of this name.

    Raises:
        UnknownNetworkError: there is none.
    """
    try:
        return _ENTRIES[name]
    except KeyError:
        raise UnknownNetworkError(name) from None


def build(name: str, **kwargs: object) -> nn.Module:
    """Build the network of this name; keyword arguments are passed to its builder."""
    return entry(name).build(**kwargs)
