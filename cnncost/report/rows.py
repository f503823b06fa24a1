"""The rows of a Report: module calls, modules, ops, phases and the totals, as plain frozen data."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

from cnncost.graph import Phase, Shape

Status: TypeAlias = Literal["called", "used", "unused", "data", "failed", "unreached"]
Along: TypeAlias = tuple[int | str, ...]
"""A value for each spatial axis of the input: a number, a fraction such as `1/2`, `global` or `unknown`."""


class Layer(NamedTuple):
    """One module call, with what it ran itself; a parent's row is its own share. Columns add up to the total.

    Attributes:
        path: the module's path, `""` for the model itself.
        class_name: of the module.
        kind: the op kind that weighs most in the row, `""` if it ran nothing.
        call, calls: which call of the module this is (from 1), and how many there are.
        output_shapes: of the tensors that the call returned.
        params, trainable_params, buffers: held by the module itself; on its first call's row alone.
        macs, flops: exact.
        bytes_read, bytes_written: if each op read its inputs once and wrote its outputs once.
        status: `called`; `data`: called, and its numbers follow from the values that the model was run on;
            `used`: never called, but its parameters were read (as by a fused parent);
            `unused`: never called, nor its parameters read; `failed`: forward failed in it, and its numbers are of what
            it ran before; `unreached`: never called, as forward failed before.
        unknown: whether it ran an op that has no rule, or did not come to its end: its numbers are lower bounds.
        receptive_field, jump, start: as in `ReceptiveField`; None unless asked for (`with_receptive_fields`).
        allocated, saved: bytes that its ops allocated in forward, and what of it is kept for backward or returned; None
            unless asked for (`with_memory`).
        macs_unmasked: multiply-accumulates if attention skips what its masks leave out; None unless asked for
            (`with_masks`).
        mask_unknown: whether a mask is not known, so that `macs_unmasked` is an upper bound.
    """

    path: str
    class_name: str
    kind: str
    call: int
    calls: int
    output_shapes: tuple[Shape, ...]
    params: int
    trainable_params: int
    buffers: int
    macs: int
    flops: int
    bytes_read: int
    bytes_written: int
    status: Status = "called"
    unknown: bool = False
    receptive_field: Along | None = None
    jump: Along | None = None
    start: Along | None = None
    allocated: int | None = None
    saved: int | None = None
    macs_unmasked: int | None = None
    mask_unknown: bool = False

    @property
    def output_shape(self) -> Shape | None:
        """Shape of the first tensor returned, or None."""
        return self.output_shapes[0] if self.output_shapes else None

    @property
    def label(self) -> str:
        """The path, with `#2` for a second call."""
        return self.path + (f"#{self.call}" if self.call > 1 else "")

    @property
    def frozen_params(self) -> int:
        """Parameters that training leaves as they are."""
        return self.params - self.trainable_params


class Module(NamedTuple):
    """A module with all that is below it, over all its calls; the numbers are those of `Layer`, summed."""

    path: str
    class_name: str
    depth: int
    calls: int
    output_shapes: tuple[Shape, ...]
    params: int
    trainable_params: int
    buffers: int
    macs: int
    flops: int
    bytes_read: int
    bytes_written: int
    status: Status
    unknown: bool
    leaf: bool
    receptive_field: Along | None = None
    jump: Along | None = None
    start: Along | None = None
    allocated: int | None = None
    saved: int | None = None
    macs_unmasked: int | None = None
    mask_unknown: bool = False

    @property
    def frozen_params(self) -> int:
        """Parameters that training leaves as they are."""
        return self.params - self.trainable_params


class Spans(NamedTuple):
    """Size, jump and start of a receptive field, as the columns have them."""

    receptive_field: Along
    jump: Along
    start: Along


class Op(NamedTuple):
    """All executions of an op. `kind` is the rule that counted it."""

    name: str
    kind: str
    count: int  # type: ignore[assignment]  # takes the place of tuple.count, which nobody needs here
    macs: int
    flops: int
    bytes_read: int
    bytes_written: int
    known: bool


class PhaseCost(NamedTuple):
    """A phase of a training step: forward with its loss, backward, or the optimizer's step."""

    phase: Phase
    ops: int
    macs: int
    flops: int
    bytes_read: int
    bytes_written: int


class Totals(NamedTuple):
    """The whole model.

    `lower_bound` says that ops are missing from macs, flops and bytes: unknown ones, or what a failed forward did not
    come to.

    `training_macs` and `training_flops` are of all phases of a training step, and None unless one was analyzed;
    `training_lower_bound` says that unknown ops are missing from them. `macs_unmasked` and `training_macs_unmasked` are
    None unless asked for (`with_masks`); `mask_unknown` and `training_mask_unknown` say that they are upper bounds.
    """

    params: int
    trainable_params: int
    frozen_params: int
    buffers: int
    param_bytes: int
    buffer_bytes: int
    macs: int
    flops: int
    bytes_read: int
    bytes_written: int
    ops: int
    lower_bound: bool
    training_macs: int | None = None
    training_flops: int | None = None
    training_lower_bound: bool = False
    allocated: int | None = None
    saved: int | None = None
    macs_unmasked: int | None = None
    mask_unknown: bool = False
    training_macs_unmasked: int | None = None
    training_mask_unknown: bool = False
