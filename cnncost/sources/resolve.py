"""Resolves a MODEL of any kind into a built model with inputs."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from cnncost import units
from cnncost.classes import classes_hashable
from cnncost.errors import CnncostError, ForwardError, InputError, SourceError
from cnncost.graph import Graph
from cnncost.sources.arrays import with_tensors
from cnncost.sources.attempts import BUILT_WITH_WEIGHTS, better_error, brief_message, reason
from cnncost.sources.batch import with_batch
from cnncost.sources.find import find
from cnncost.sources.method import is_child, method_of
from cnncost.sources.source import ModelSource

if TYPE_CHECKING:
    from torch import nn
    from torch.export import ExportedProgram

    from cnncost.frontends.torch import RecordOptions, Training

Trace: TypeAlias = Literal["static", "auto", "real"]
Model: TypeAlias = "nn.Module | ExportedProgram | Graph | str | PathLike[str] | ModelSource | Resolved"
"""Types that `analyze` accepts as a model."""
_MEMORY_SHARE = 0.6
"""Maximum share of this machine's memory for the weights of a real run; activations need memory, too."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """A built model with its inputs, ready to be recorded.

    Attributes:
        source: the source of the model.
        model: the model, without weights if the source can build it that way.
        inputs: as for `analyze`.
        train: train or eval mode; None: the model's own.
        weightless: whether the model has no weights but the source can build it with weights.
        dtype: dtype of parameters and buffers; None unless one was requested.
        autocast: as for `analyze`.
        notes: notes about how the model was built.
        device: the device that tensors report; None: the CPU if `weightless`, else their own.
        batch: the batch size that was set in `inputs`; None: the inputs are as given.
        inputs_before: the inputs before the batch size was set.
    """

    source: ModelSource
    model: Any
    inputs: Any
    train: bool | None = None
    weightless: bool = False
    dtype: Any = None
    autocast: Any = None
    notes: tuple[str, ...] = ()
    device: Any = None
    batch: int | None = None
    inputs_before: Any = None

    @property
    def name(self) -> str:
        """The user's text for the model."""
        return self.source.text

    @property
    def title(self) -> str:
        """Title in reports: the name, and the autocast that was requested or is in force."""
        from cnncost.frontends.torch.autocast import in_force
        from cnncost.frontends.torch.autocast_setting import parse

        autocast = parse(self.autocast) or in_force()
        return self.name if autocast is None else f"{self.name} under autocast {autocast}"

    def with_weights(self) -> Any:
        """Build the model again, with its initial weights. Raises SourceError if that fails."""
        return self._cast(self.source.build(weights=True))

    def batched(self, batch: int) -> Resolved:
        """Return a copy with the batch size set in the inputs. Raises InputError if that is impossible."""
        return replace(self, inputs=with_batch(self.inputs, batch), batch=batch, inputs_before=self.inputs)

    def to(self, dtype: Any) -> Resolved:
        """Return a copy with parameters and buffers in another floating-point dtype.

        Raises:
            InputError: the user passed a built model, which must stay as it is.
        """
        if self.source.built:
            raise InputError("dtype: expected a specification such as 'net.py:Net' to build, got a built model")
        changed = replace(self, dtype=dtype)
        changed._cast(self.model)
        return changed

    def _cast(self, model: Any) -> Any:
        return model if self.dtype is None else model.to(self.dtype)

    def record(self, trace: Trace = "static", returned: Callable[[Any], None] | None = None) -> Graph:
        """Record a run: on tensors without data, on real data, or on real data only if necessary.

        Args:
            trace: as for `analyze`.
            returned: called with a copy of forward's result in a static analysis, which can be the input of another.

        Raises:
            CnncostError: the run failed. The message begins with the model's name.
        """
        return self._recorded(trace, self._options(self.train, None), returned)

    def record_step(self, loss: Any, optimizer: Any, set_to_none: bool, trace: Trace = "static") -> Graph:
        """Record a training step, in train mode unless the model keeps its own. Raises like `record`."""
        from cnncost.frontends.torch import Training

        train = None if self.train is None else True
        return self._recorded(trace, self._options(train, Training(loss, optimizer, set_to_none)))

    def record_by(self, options: RecordOptions, returned: Callable[[Any], None] | None = None) -> Graph:
        """Record a static run with these options. Mode, autocast and device that are None are taken from this model.

        Args:
            options: as for the front end's `record`.
            returned: as for the front end's `record`.

        Raises:
            CnncostError: the run failed. The message begins with the model's name.
        """
        train = options.train
        if train is None and self.train is not None:
            train = options.training is not None or self.train
        options = replace(options, train=train, autocast=options.autocast or self.autocast)
        placed = self if options.device is None else replace(self, device=options.device)
        return placed._recorded("static", options, returned)

    def _options(self, train: bool | None, training: Training | None) -> RecordOptions:
        from cnncost.frontends.torch import RecordOptions

        return RecordOptions(train=train, training=training, autocast=self.autocast)

    def callable_of(self, model: Any) -> Any:
        """Return the callable to record: the model itself or the named method. Raises SourceError for a bad name."""
        return method_of(self.name, model, self.source.method) if self.source.method else model

    def _recorded(
        self, trace: Trace, options: RecordOptions, returned: Callable[[Any], None] | None = None
    ) -> Graph:  # fmt: skip
        """Record a run with these options. If a batch size was set, check that the inputs have a batch axis."""
        from cnncost.frontends.torch.unbatched import without_batch_axis

        try:
            with self.source.importable():
                graph = (
                    self._run_on_data(options) if trace == "real" else self._without_values(trace, options, returned)
                )
                noted = without_batch_axis(graph)  # with a note if there is no batch axis
        except CnncostError as error:
            if self.batch is not None:  # a missing batch axis may be the cause, and its error is more informative
                replace(self, inputs=self.inputs_before, batch=None).check_batch_axis(self.batch)
            message = f"{self.name}: {error.args[0]}"
            if error.recorded is not None:  # ops that ran before the error may lack a batch axis; a note then says so
                recorded: Graph = without_batch_axis(error.recorded)
                if recorded is not error.recorded:
                    message, error.recorded = f"{message}; {recorded.notes[-1]}", recorded
            error.args = (message, *error.args[1:])
            raise
        if self.batch is not None and noted is not graph:
            replace(self, inputs=self.inputs_before, batch=None).check_batch_axis(self.batch)
        return noted

    def check_batch_axis(self, batch: int | None = None) -> None:
        """Check that the inputs have a batch axis by running the model on them; if that fails, nothing is checked.

        Raises:
            InputError: a convolution takes the first input as a single example, without a batch axis.
        """
        from cnncost.frontends.torch.unbatched import lacks_batch_axis

        try:
            graph = self.record()
        except CnncostError:
            return
        if lacks_batch_axis(graph):
            shape = "x".join(map(str, graph.values[graph.inputs[0]].shape))
            raise InputError(
                f"{self.name}: {'a batch size' if batch is None else f'batch {batch}'}: the input {shape} has no batch "
                f"axis in which to set it; give it one: --input 1x{shape}"
            )

    def _without_values(
        self, trace: Trace, options: RecordOptions, returned: Callable[[Any], None] | None
    ) -> Graph:  # fmt: skip
        """Analyze statically; if that fails, again with weights; with "auto", finally run on real data."""
        from cnncost.frontends.torch import record

        device = self.device
        if device is None and self.weightless:
            device = "cpu"  # where the model would be if built with weights
        try:
            on_device = replace(options, device=device)
            return _with_notes(
                record(self.callable_of(self.model), self.inputs, on_device, returned=returned), self.notes
            )
        except ForwardError as error:
            first = error
        if self.weightless and not first.misfit and not self._memory_fault():
            try:
                note = f"{BUILT_WITH_WEIGHTS}{brief_message(first)}"
                built = record(self.callable_of(self.with_weights()), self.inputs, options, returned=returned)
                return _with_notes(built, (*self.notes, note))
            except (ForwardError, SourceError):
                pass  # report the first error
        if trace == "static":
            raise first
        return self._run_instead(first, options)

    def _run_instead(self, static: ForwardError, options: RecordOptions) -> Graph:
        """Run on real data after a failed static analysis; a note says why.

        Raises:
            CnncostError: the run failed as well. This is the more informative of the two errors; it mentions the other.
        """
        try:
            graph = self._run_on_data(options)
        except CnncostError as error:
            better = better_error(static, error)
            raise better from better.__cause__
        return _with_notes(graph, (f"a static analysis failed, so forward was run on values: {brief_message(static)}",))

    def _run_on_data(self, options: RecordOptions) -> Graph:
        from cnncost.frontends.torch.real import record_real

        if not self.weightless:
            return record_real(self.callable_of(self.model), self.inputs, options)
        if fault := self._memory_fault():
            raise InputError(fault)
        return record_real(self.callable_of(self.with_weights()), self.inputs, options)

    def _memory_fault(self) -> str:
        """Return a message if the weights don't fit into memory; empty if they do."""
        weights = sum(parameter.numel() * parameter.element_size() for parameter in self.model.parameters())
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        if weights <= _MEMORY_SHARE * memory:
            return ""
        return (
            f"a run on values needs the weights, {units.data(weights)}, and this machine has {units.data(memory)} of "
            "memory; make the model smaller with --model-args, or rewrite the code that reads values"
        )


def _with_notes(graph: Graph, notes: tuple[str, ...]) -> Graph:
    return replace(graph, notes=(*notes, *graph.notes)) if notes else graph


@classes_hashable()
def resolve(
    model: Any, inputs: Any = None, model_args: dict[str, Any] | None = None, autocast: Any = None,
    batch: int | None = None,
) -> Resolved:  # fmt: skip
    """Build a model from its source, without weights if possible, or use an existing one.

    Args:
        model: as for `analyze`; a source; or a result of this function, to be run on other inputs.
        inputs: as for `analyze`; None: the source's own.
        model_args: keyword arguments for the named factory or class.
        autocast: as for `analyze`.
        batch: the batch size to set in the inputs; None: unchanged.

    Raises:
        SourceError: the name is unknown; a file, class or package is missing; or the factory fails or returns no
            module.
        InputError: neither the user nor the source gives inputs, or no batch size can be set in them.
    """
    inputs = with_tensors(inputs)
    if isinstance(model, Resolved):  # built already
        resolved = model if inputs is None else replace(model, inputs=inputs, batch=None, inputs_before=None)
        resolved = replace(resolved, autocast=autocast or model.autocast)
    else:
        source = find(model, model_args)
        if source.follow is not None:
            followed: Resolved = source.follow(source, inputs, autocast)
            return followed if batch is None else followed.batched(batch)
        resolved = _build(source, inputs, autocast)
    return resolved if batch is None else resolved.batched(batch)


def _build(source: ModelSource, inputs: Any, autocast: Any) -> Resolved:
    if source.built:
        return Resolved(source, source.build(), inputs, autocast=autocast)
    model, weightless, notes = _without_weights(source)
    example = inputs
    if example is None and not (source.method and is_child(method_of(source.text, model, source.method))):
        example = source.inputs_for(model)
    if example is None:
        raise InputError(
            f"{source.text}: no input given, and the source has no default; give one, for example --input 1x3x224x224, "
            "in Python inputs='1x3x224x224', in a budget input = '1x3x224x224'"
        )
    # Counts are the same in eval mode, and batch norm in train mode rejects a single value per channel.
    return Resolved(source, model, example, train=False, weightless=weightless, autocast=autocast, notes=notes)


def _without_weights(source: ModelSource) -> tuple[Any, bool, tuple[str, ...]]:
    """Build a model, on the meta device if possible; return it, whether it lacks weights, and a note if it has them."""
    try:
        return source.build(), True, ()
    except SourceError as error:
        if not isinstance(error.__cause__, Exception):
            raise  # the factory returned no module, or exited the program
        return source.build(weights=True), False, (f"{BUILT_WITH_WEIGHTS}{reason(error.__cause__)}",)
