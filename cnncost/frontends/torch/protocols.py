"""Interfaces within the front end, for modules that would otherwise have to import their callers."""

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
        """The in-place op that torch would run instead if no dispatch mode were active; None if it would run `func`."""


class Originals(Protocol):
    """Maps the user's tensors to their copies, which were made before forward."""

    def copy_of(self, tensor: torch.Tensor) -> torch.Tensor | None:
        """The copy of one of the user's tensors; None if it was not copied."""


class Recording(Protocol):
    """A recorder as its callees see it: a dispatch mode with a tensor table and a list of nodes.

    Attributes:
        ledger: the tensors and storages.
        nodes: nodes recorded so far.
        masks: attention masks.
        values_at_hand: known values of meta tensors, by the tensors' `id`.
        follows_devices: whether results of ops must be assigned to devices, because some tensor is not on the model's.
        on_values: whether ops run on real data.
        decomposes: the composite op whose inner ops are recorded, if that is what the recorder is for.
    """

    ledger: TensorTable
    nodes: list[Node]
    masks: Masks
    values_at_hand: dict[int, torch.Tensor]
    follows_devices: bool
    on_values: bool
    decomposes: Any

    @property
    def originals(self) -> Originals | None:
        """The mapping to the copies that were made before forward; None if there are none."""

    def __enter__(self) -> Any:
        """Start intercepting ops."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Any:
        """Stop intercepting ops."""

    def register_external(self, tensor: torch.Tensor) -> TrackedTensor:
        """Register a tensor that no recorded op returned."""

    def append(self, spec: OpSpec, inputs: tuple[int, ...], outputs: tuple[int, ...], name: str) -> None:
        """Append a node."""

    def read(self, tensor: torch.Tensor) -> torch.Tensor | None:
        """Return a copy of a meta tensor's values; None if they are unknown."""

    def refuse(self, error: Exception) -> Exception:
        """Note an error that forward gets only because tensors have no data; return it."""

    def makes_values(self, on: bool) -> None:
        """Set whether tensors that code creates on the CPU get data there, instead of being created on meta."""

    def copy_values(self, tensor: torch.Tensor, other: torch.Tensor) -> None:
        """Give `tensor` the known values of `other`, from which an unrecorded op created it."""
