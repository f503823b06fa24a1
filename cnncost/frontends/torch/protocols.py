"""Interfaces between modules of the front end, for modules that would otherwise import their callers."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Protocol

import torch

from cnncost.frontends.torch.attention_masks import Masks
from cnncost.frontends.torch.blocks import TensorArgs, TrackedTensor
from cnncost.frontends.torch.ledger import TensorTable
from cnncost.graph import Node, OpSpec


class CallAttributor(Protocol):
    """Attributes ops that run outside of module calls."""

    def call(self, operands: TensorArgs) -> int:
        """The index of the module call that the next op is attributed to."""

    def in_place(self, func: Any, args: tuple[Any, ...], operands: TensorArgs) -> Any:
        """The in-place op that torch would run instead without a dispatch mode, or None if it would run `func`."""


class Originals(Protocol):
    """Maps the user's tensors to the copies made before forward."""

    def copy_of(self, tensor: torch.Tensor) -> torch.Tensor | None:
        """The copy of a user's tensor; None if it was not copied."""


class Recording(Protocol):
    """A recorder as seen by its callees: a dispatch mode with a tensor table, to which nodes can be appended.

    Attributes:
        ledger: the tensors and storages.
        nodes: nodes recorded so far.
        masks: attention masks.
        values_at_hand: known values of meta tensors, by identity.
        follows_devices: whether an op's results have to be given a device, as some tensor is not on the model's.
        on_values: whether ops run on real data.
    """

    ledger: TensorTable
    nodes: list[Node]
    masks: Masks
    values_at_hand: dict[int, torch.Tensor]
    follows_devices: bool
    on_values: bool

    @property
    def originals(self) -> Originals | None:
        """The mapping to copies made before forward, if any."""

    def __enter__(self) -> Any:
        """Start intercepting ops."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Any:
        """Stop intercepting ops."""

    def register_external(self, tensor: torch.Tensor) -> TrackedTensor:
        """Register an external tensor."""

    def append(self, spec: OpSpec, inputs: tuple[int, ...], outputs: tuple[int, ...], name: str) -> None:
        """Append a node."""

    def read(self, tensor: torch.Tensor) -> torch.Tensor | None:
        """A copy of the values of a meta tensor; None if they are unknown."""

    def makes_values(self, on: bool) -> None:
        """Set whether tensors that code requests on the CPU are created there, with data, instead of on meta."""

    def copy_values(self, tensor: torch.Tensor, other: torch.Tensor) -> None:
        """Give a tensor the known values of the tensor that it was created from, by an op that was not recorded."""
