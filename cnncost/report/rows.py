"""The rows of a Report: module calls, modules, ops, phases and the totals, as plain frozen data.

A field or property declared as a statistic becomes a column in all formats; `schema.py` aggregates it over rows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from cnncost.graph import Phase, Shape
from cnncost.report.brief import counts, fields
from cnncost.report.schema import derived, statistic
from cnncost.reprs import line

Status: TypeAlias = Literal["called", "used", "unused", "data", "failed", "unreached"]
Along: TypeAlias = tuple[int | str, ...]
"""A value for each spatial axis: a number, a fraction such as `1/2`, `global` or `unknown`; or `("several",)`."""
FurtherColumn: TypeAlias = Literal["kernel", "stride", "input", "trainable"]
"""Further columns, shown by a Report on request."""


def several(values: Iterable[Along | None]) -> Along | None:
    """Return the value common to all rows that have one; `("several",)` if they differ, None if no row has one."""
    distinct = dict.fromkeys(value for value in values if value is not None)
    return ("several",) if len(distinct) > 1 else next(iter(distinct), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Computed:
    """Arithmetic and memory traffic, present in every row."""

    macs: int = statistic("MACs", "multiply-accumulates", bounded=True)
    flops: int = statistic("FLOPs", "floating-point operations; a multiply-accumulate is two", bounded=True)
    bytes_read: int = statistic("read", "bytes, if each op reads its inputs once", "bytes", bounded=True)
    bytes_written: int = statistic("written", "bytes, if each op writes its outputs once", "bytes", bounded=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics(Computed):
    """Statistics of module calls, modules and the whole model."""

    kernel: Along | None = statistic(
        "kernel", "size of the windows of its own convolutions and pools", "along", sums="no", group="kernel"
    )
    stride: Along | None = statistic(
        "stride", "positions from one of these windows to the next", "along", sums="no", group="stride"
    )
    input_shapes: tuple[Shape, ...] | None = statistic(
        "input", "shapes of the tensors that the call was given", "shapes", sums="no", group="input"
    )
    params: int = statistic("params", "parameters, each counted once")
    trainable_params: int = statistic("trainable", "parameters that training changes")
    buffers: int = statistic("buffers", "elements of buffers, such as running means")
    receptive_field: Along | None = statistic(
        "field", "input positions that a unit sees along each axis, borders aside", "along", sums="no", group="rf"
    )
    jump: Along | None = statistic(
        "jump", "input positions from one unit to the next", "along", sums="no", group="rf"
    )  # fmt: skip
    start: Along | None = statistic(
        "start", "first input position that unit 0 sees; negative in the padding", "along", sums="no", group="rf"
    )
    allocated: int | None = statistic("allocated", "bytes that its ops allocate in forward", "bytes", group="memory")
    saved: int | None = statistic(
        "saved", "allocated bytes that outlive forward: saved for backward, or returned", "bytes", group="memory"
    )
    macs_unmasked: int | None = statistic(
        "unmasked", "MACs if attention skips masked query-key pairs", bounded=True, masked=True, group="masks"
    )
    mask_unknown: bool = statistic(
        "mask", "whether a mask is unknown: macs_unmasked is an upper bound", "flag", sums="any", group="masks",
        default=False,
    )  # fmt: skip

    @derived("frozen", "parameters that training does not change", after="trainable_params")
    def frozen_params(self) -> int:
        """Parameters that training does not change."""
        return self.params - self.trainable_params


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer(Statistics):
    """One module call with the ops it ran itself; a parent's row excludes its children. Columns add up to the total.

    Attributes:
        path: the module's path, `""` for the model itself.
        class_name: the module's class.
        kind: the op kind with the largest cost in the row, `""` if it ran nothing.
        call, calls: which call of the module this is, from 1, and how many there are; `call` is 0 if there are none.
        output_shapes: shapes of the tensors that the call returned.
        params, trainable_params, buffers: elements owned by the module itself; only in the row of its first call.
        macs, flops: exact counts; lower bounds if `unknown`.
        bytes_read, bytes_written: bytes, if each op reads its inputs once and writes its outputs once.
        status: `called`; `data`: called, and its numbers depend on the data that the model was run on;
            `used`: never called, but its parameters were read (for example by a fused parent);
            `unused`: never called, and its parameters were not read; `failed`: forward failed in it, and its numbers
            are those of the ops that it ran before the failure; `unreached`: never called, because forward failed.
        unknown: whether it ran an op that has no rule, or did not finish: its numbers are lower bounds.
        receptive_field, jump, start: as in `ReceptiveField`; None unless requested (`with_receptive_fields`).
        allocated, saved: bytes that its ops allocated in forward, and those of them that outlive it, saved for
            backward or returned; None unless requested (`with_memory`).
        macs_unmasked: multiply-accumulates if attention skips masked pairs; None unless requested (`with_masks`).
        mask_unknown: whether a mask is unknown, which makes `macs_unmasked` an upper bound.
        kernel, stride: sizes and strides of the windows of its own convolutions and pools, by axis; `several` if they
            differ. None if it has none, and unless requested (`with_columns`).
        input_shapes: shapes of the tensors passed to the call; None unless requested.
    """

    path: str
    class_name: str
    kind: str = ""
    call: int = 0
    calls: int = 0
    output_shapes: tuple[Shape, ...] = ()
    status: Status = "called"
    unknown: bool = False

    @property
    def output_shape(self) -> Shape | None:
        """Shape of the first tensor returned, or None."""
        return self.output_shapes[0] if self.output_shapes else None

    @property
    def label(self) -> str:
        """The path, with `#2` for a second call."""
        return self.path + (f"#{self.call}" if self.call > 1 else "")

    def __repr__(self) -> str:
        return line(self, f"{self.label or 'the model'} ({self.class_name}): {counts(self)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Module(Statistics):
    """A module including its descendants, over all its calls: sums of `Layer` rows.

    `output_shapes` and `input_shapes` are the shapes of the tensors that its last call returned and was passed;
    `kernel` and `stride` are None for a module with children.
    """

    path: str
    class_name: str
    depth: int
    calls: int
    output_shapes: tuple[Shape, ...]
    status: Status
    unknown: bool
    leaf: bool

    @property
    def output_shape(self) -> Shape | None:
        """Shape of the first tensor returned, or None."""
        return self.output_shapes[0] if self.output_shapes else None

    def __repr__(self) -> str:
        return line(self, f"{self.path or 'the model'} ({self.class_name}): {counts(self)}")


class Spans(NamedTuple):
    """Size, jump and start of a receptive field, named like the columns."""

    receptive_field: Along
    jump: Along
    start: Along


@dataclass(frozen=True, slots=True, kw_only=True)
class Op(Computed):
    """All executions of an op. `kind` selects its rule; `known` is False if there is none."""

    name: str
    kind: str
    count: int
    known: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseCost(Computed):
    """A phase of a training step: forward with its loss, backward, or the optimizer's step."""

    phase: Phase
    ops: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals(Statistics):
    """The whole model.

    `lower_bound` says that ops are missing from macs, flops and bytes: unknown ops, or ops that a failed forward did
    not reach.

    `training_macs` and `training_flops` cover all phases of a training step, and are None unless one was analyzed;
    `training_lower_bound` says that unknown ops are missing from them. `macs_unmasked` and `training_macs_unmasked` are
    None unless requested (`with_masks`); `mask_unknown` and `training_mask_unknown` say that they are upper bounds.
    `output_shapes` are the shapes of the tensors that the model returned.
    """

    param_bytes: int
    buffer_bytes: int
    ops: int
    lower_bound: bool
    output_shapes: tuple[Shape, ...] = ()
    training_macs: int | None = None
    training_flops: int | None = None
    training_lower_bound: bool = False
    training_macs_unmasked: int | None = statistic(
        "unmasked, training", "the unmasked MACs of a training step", sums="no", group="masks"
    )
    training_mask_unknown: bool = statistic(
        "mask, training", "whether training_macs_unmasked is an upper bound", "flag", sums="no", group="masks",
        default=False,
    )  # fmt: skip

    def __repr__(self) -> str:
        return f"<Totals: {counts(self)}>"

    def _repr_html_(self) -> str:
        return fields(self)
