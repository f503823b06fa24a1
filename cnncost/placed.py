"""The devices of a model that is on several, as data that a Graph carries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from cnncost.errors import GraphError


class Placement(NamedTuple):
    """The devices of a model that is on several.

    Attributes:
        devices: their names, such as `cuda:0`; the host last.
        storages: by storage id, the index of its device.
    """

    devices: tuple[str, ...]
    storages: tuple[int, ...]

    def runs_on(self, storages: Sequence[int]) -> int:
        """Index of the device that an op runs on: that of its first result, or of what it reads if it has none.

        Args:
            storages: those of its results, then those of its inputs.
        """
        return self.storages[storages[0]]


def check_placement(placed: Placement | None, storages: int) -> None:
    """Raise GraphError unless each of so many storages is on one of the devices."""
    if placed is None:
        return
    wrong = next((i for i in placed.storages if not 0 <= i < len(placed.devices)), None)
    if len(placed.storages) != storages or wrong is not None:
        raise GraphError(
            f"placement: expected one of the devices {', '.join(placed.devices)} for each of {storages} storages, got "
            + (f"{len(placed.storages)}" if wrong is None else f"device {wrong}")
        )
