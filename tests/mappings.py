"""A mapping that is neither a dict nor can be written to, as users write them."""

from collections.abc import Mapping


class ReadOnly(Mapping):
    def __init__(self, items):
        self._items = dict(items)

    def __getitem__(self, key):
        return self._items[key]

    def __iter__(self):
        return iter(self._items)

    def __len__(self):
        return len(self._items)
