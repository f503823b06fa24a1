"""Emulates `DistributedDataParallel`, whose C++ reducer is bound to the user's parameters and can't be copied.

This module does for the copied model what the reducer does: it broadcasts the buffers before forward, collects
gradients in buckets as they arrive, all-reduces each bucket once it is full, and copies the results back. After the
first step torch rebuilds its buckets in the order in which gradients arrived, which is assumed here to be the reverse
order of the parameters. With `find_unused_parameters` and without a static graph, torch keeps its first buckets, in the
parameters' order. Ref: torch/csrc/distributed/c10d/reducer.cpp.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import nn

from cnncost.errors import InputError
from cnncost.frontends.torch.compat import distributed
from cnncost.frontends.torch.compat.modules import WITHIN_COMPILED
from cnncost.frontends.torch.ledger import TensorTable


class Replica(NamedTuple):
    """Settings of a `DistributedDataParallel` module.

    Attributes:
        group: its process group.
        limits: maximum bytes of the first bucket, and of all others.
        views: whether gradients are views of the buckets instead of separate tensors.
        buffers: whether buffers are broadcast before a forward with autograd.
        unused: whether parameters may remain without a gradient; their buckets are sent although they are incomplete.
        reduces_used_map: whether backward ends with an all-reduce of the map of parameters that had a gradient on any
            rank.
        hooked: whether a communication hook replaces the all-reduces.
    """

    group: Any
    limits: tuple[int, ...]
    views: bool
    buffers: bool
    unused: bool
    reduces_used_map: bool
    hooked: bool


REPLICATED = "DistributedDataParallel"
"""The class of replicated modules, by its name: importing it takes long."""
INSIDE = (
    "DistributedDataParallel inside of the model: its buckets of gradients and their all-reduces are not counted, and "
    "training's peak is a lower bound; wrap the whole model in it"
)


def replica_of(model: Any) -> Replica | None:
    """Return the settings of a `DistributedDataParallel` module, compiled or not; None for any other module."""
    while type(model).__name__ == "OptimizedModule":
        model = getattr(model, WITHIN_COMPILED)
    if type(model).__name__ != REPLICATED:
        return None
    return Replica(
        model.process_group, distributed.bucket_limits(model), bool(model.gradient_as_bucket_view),
        bool(getattr(model, "forward_sync_buffers", model.broadcast_buffers)),
        bool(model.find_unused_parameters or model.static_graph),
        bool(model.find_unused_parameters and not model.static_graph), distributed.has_hook(model),
    )  # fmt: skip


def unsent_notes(replica: Replica | None) -> list[str]:
    """Return a note on what the figures of a training step on values lack; empty without a replica."""
    note = (
        "a run on values sends nothing: the buckets of DistributedDataParallel and its all-reduces are not counted, "
        "and training's peak is a lower bound"
    )
    return [] if replica is None else [note]


def broadcast_buffers(replica: Replica | None, model: nn.Module) -> None:
    """Broadcast the first rank's buffers before forward, concatenated by dtype, if the replica does so.

    A forward without autograd broadcasts nothing; `replica` is then None.
    """
    if replica is None or not replica.buffers:
        return
    by_dtype: dict[torch.dtype, list[torch.Tensor]] = {}
    for buffer in model.buffers():
        by_dtype.setdefault(buffer.dtype, []).append(buffer)
    with torch.no_grad():
        for buffers in by_dtype.values():
            joined = torch.cat([buffer.reshape(-1) for buffer in buffers])
            distributed.broadcast(replica.group, joined)
            parts = joined.split([buffer.numel() for buffer in buffers])
            for buffer, part in zip(buffers, parts, strict=True):
                buffer.copy_(part.view_as(buffer))


class Buckets:
    """The buckets of a step, which are allocated before it. Hooks on the copied parameters fill them with gradients.

    Raises:
        InputError: the module has a communication hook, which can't be called without the C++ reducer's buckets.
    """

    def __init__(self, replica: Replica, parameters: Sequence[nn.Parameter], ledger: TensorTable) -> None:
        if replica.hooked:
            raise InputError(
                "training: the model's DistributedDataParallel has a communication hook, which is not supported; "
                "expected a model without one, or the module inside (`model.module`), whose step communicates nothing"
            )
        self._replica = replica
        self._places: dict[int, tuple[int, torch.Tensor]] = {}
        """By a parameter's `id`, the index of its bucket, and the view of the bucket for its gradient."""
        self._flat: list[torch.Tensor] = []
        """The flat tensor of each bucket."""
        self._missing: list[int] = []
        """For each bucket, the number of gradients that have not arrived yet."""
        # the order in which gradients arrive, except where torch does not rebuild its first buckets
        ready = list(parameters if replica.reduces_used_map else reversed(parameters))
        for number, indices in enumerate(distributed.buckets(ready, replica.limits)):
            inside = [ready[i] for i in indices]
            sizes = [parameter.numel() for parameter in inside]
            flat = torch.empty(sum(sizes), dtype=inside[0].dtype, device=inside[0].device)
            ledger.add_source(flat, "constant")
            ledger.mark(flat, "gradient")
            self._flat.append(flat)
            self._missing.append(len(inside))
            for parameter, part in zip(inside, flat.split(sizes), strict=True):
                self._places[id(parameter)] = (number, part.view(parameter.shape))
        self._parameters = parameters
        self._unsent = len(self._flat)
        for parameter in parameters:
            parameter.register_post_accumulate_grad_hook(self._arrived)

    def _arrived(self, parameter: torch.Tensor) -> None:
        """Write a gradient, divided by the number of ranks, into its bucket; all-reduce the bucket once it is full."""
        number, place = self._places[id(parameter)]
        assert parameter.grad is not None  # it has just been accumulated
        with torch.no_grad():
            torch.mul(parameter.grad, 1 / self._replica.group.size(), out=place)
            if self._replica.views:
                parameter.grad = place
            self._missing[number] -= 1
            if self._missing[number]:
                return
            self._send(number)

    def finish(self) -> None:
        """After backward, all-reduce the buckets that still wait for gradients.

        Raises:
            InputError: there are such buckets, and the module has neither `find_unused_parameters` nor a static graph:
                torch would raise an error in the next step.
        """
        waiting = [number for number, missing in enumerate(self._missing) if missing]
        if waiting and not self._replica.unused:
            raise InputError(
                "training: some parameters in DistributedDataParallel have no gradient, so torch would raise an error "
                "in the next step; expected DistributedDataParallel(…, find_unused_parameters=True), or a loss that "
                "depends on all parameters"
            )
        with torch.no_grad():
            for number in waiting:
                self._send(number)
            if self._replica.reduces_used_map:
                flat = self._flat[0]
                seen = torch.zeros(len(self._parameters), dtype=torch.int32, device=flat.device)
                distributed.all_reduce(self._replica.group, seen)

    def _send(self, number: int) -> None:
        distributed.all_reduce(self._replica.group, self._flat[number])
        self._unsent -= 1
        if not self._unsent and not self._replica.views:
            self._copy_back()

    def _copy_back(self) -> None:
        for parameter in self._parameters:
            if parameter.grad is not None:
                parameter.grad.copy_(self._places[id(parameter)][1])
