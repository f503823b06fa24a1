"""Placement of a model on several devices, as part of a Graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from cnncost.errors import GraphError


class Placement(NamedTuple):
    """The devices of a model, and where each storage is.

    Attributes:
        devices: their names, such as `cuda:0`; the host last.
        storages: index into `devices` for each storage, by storage id.
    """

    devices: tuple[str, ...]
    storages: tuple[int, ...]

    def runs_on(self, storages: Sequence[int]) -> int:
        """Return the index of the device that an op runs on: its first output's, or its first input's without outputs.

        Args:
            storages: ids of the storages of the op's outputs, then of its inputs.
        """
        return self.storages[storages[0]]


def check_placement(placement: Placement | None, storages: int) -> None:
    """Raise GraphError unless the placement puts each of `storages` storages on one of its devices."""
    if placement is None:
        return
    wrong = next((i for i in placement.storages if not 0 <= i < len(placement.devices)), None)
    if len(placement.storages) != storages or wrong is not None:
        raise GraphError(
            f"placement: expected one of the devices {', '.join(placement.devices)} for each of {storages} storages, "
            "got " + (f"{len(placement.storages)} devices" if wrong is None else f"the device index {wrong}")
        )
