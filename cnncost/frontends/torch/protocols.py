"""What parts of the front end ask of one another, where the asked one knows the asking one."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Protocol

import torch

from cnncost.frontends.torch.attention_masks import Masks
from cnncost.frontends.torch.blocks import Found, Known
from cnncost.frontends.torch.ledger import Ledger
from cnncost.graph import Node, OpSpec


class Director(Protocol):
    """Knows of ops that run where no module is being called."""

    def call(self, found: Found) -> int:
        """The call that the next op is due to."""

    def in_place(self, func: Any, args: tuple[Any, ...], found: Found) -> Any:
        """The op in place that torch would run if nobody watched, or None."""


class Originals(Protocol):
    """Knows what was copied before forward."""

    def copy_of(self, tensor: torch.Tensor) -> torch.Tensor | None:
        """The copy of a user's tensor, or None."""


class Recording(Protocol):
    """A recorder, to those whom it calls: a dispatch mode with books, into which ops can be written.

    Attributes:
        ledger: the tensors and storages.
        nodes: what was recorded so far.
        masks: of attention.
        values_at_hand: values of tensors that have none themselves, by identity.
        follows_devices: tensors are on more than one device.
        on_values: ops are run for real.
    """

    ledger: Ledger
    nodes: list[Node]
    masks: Masks
    values_at_hand: dict[int, torch.Tensor]
    follows_devices: bool
    on_values: bool

    @property
    def originals(self) -> Originals | None:
        """What was copied before forward, where anything was."""

    def __enter__(self) -> Any:
        """See every op from here on."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Any:
        """See none any more."""

    def meet(self, tensor: torch.Tensor) -> Known:
        """Enter a tensor that no recorded op made."""

    def append(self, spec: OpSpec, inputs: tuple[int, ...], outputs: tuple[int, ...], name: str) -> None:
        """Write a node."""

    def read(self, tensor: torch.Tensor) -> torch.Tensor | None:
        """A copy of the values of a tensor that has none itself; None where they are not at hand."""

    def makes_values(self, on: bool) -> None:
        """Whether tensors that are asked for on the CPU are made there."""

    def same_values(self, tensor: torch.Tensor, other: torch.Tensor) -> None:
        """A tensor that was made of another where the recorder doesn't see it has its values."""
