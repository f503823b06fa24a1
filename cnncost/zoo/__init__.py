"""Reference networks from papers and from Enzo Tartaglione's MN909 lecture (see `cnncost.lecture`).

Each comes with its source, the deviations from it, and published figures.

Names and figures are plain data (`catalog`); torch is imported when a network is built.
To add a network, write a builder in a module of this package and an entry in `catalog`.
"""

from cnncost.zoo.entry import Entry, Figure, Quantity
from cnncost.zoo.registry import UnknownNetworkError, build, entries, entry, names

__all__ = ["Entry", "Figure", "Quantity", "UnknownNetworkError", "build", "entries", "entry", "names"]
