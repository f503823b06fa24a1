"""MODEL as a name in the reference zoo; each network has its own input."""

from __future__ import annotations

from cnncost.errors import SourceError
from cnncost.near import suggestion
from cnncost.sources.source import ModelSource


def load(name: str) -> ModelSource:
    """The zoo's entry. Raises SourceError for an unknown name, with similar ones."""
    from cnncost import zoo

    try:
        entry = zoo.entry(name)
    except zoo.UnknownNetworkError:
        raise SourceError(
            f"{name}: no network of this name{suggestion(name, zoo.names())}; "
            "`cnncost zoo` lists all; your own is named as package.module:factory or path/to/file.py:Class"
        ) from None
    return ModelSource("zoo", name, entry.build, entry.input)
